//! Reports of files that verify, held against what was asked for.

use aimslog_proto::statement::evidence::{
    FieldReport, HeadReport, HeldOutside, Input, KeyNow, SignerReport, TimeBracket,
    Verdict as Answer,
};

use super::*;

const FIELDS: u64 = 21;

fn record(entry: &[u8], fields: &[&str]) -> RecordReport {
    let fields = (0..).zip(fields).map(|(index, name)| FieldReport {
        index,
        name: (*name).to_owned(),
        value: serde_json::Value::Null,
    });
    RecordReport {
        index: 5,
        size: 9,
        entry_id: EntryId::of(entry).to_string(),
        kind: "oversight_decision.v1".to_owned(),
        subject: String::new(),
        time: TimeBracket {
            after: None,
            not_later_than: None,
        },
        signed_at_claim: 0,
        registered_at_ms_claim: None,
        register_number_claim: None,
        signer: SignerReport {
            organization: String::new(),
            principal: String::new(),
            holder: String::new(),
            roles: Vec::new(),
            agent_for: None,
            on_behalf_of: None,
            key: String::new(),
            registered_at_index: 0,
            key_now: KeyNow::NotRetiredHere,
        },
        fields: fields.collect(),
        fields_total: FIELDS,
        held_outside: HeldOutside::Nobody,
        does_not_show: Vec::new(),
    }
}

fn report(records: Vec<RecordReport>) -> Report {
    Report {
        verdict: Answer::Verified,
        input: Input::EvidenceFile,
        head: Some(HeadReport {
            origin: String::new(),
            size: 9,
            root: String::new(),
            cosigners: Vec::new(),
        }),
        operators: None,
        entry: None,
        records_total: records.len(),
        records,
        findings: Vec::new(),
    }
}

fn asked(entries: &[&[u8]], fields: &[&str], under: u64) -> EvidenceRequest {
    EvidenceRequest {
        engaged: false,
        entries: entries.iter().map(|entry| EntryId::of(entry)).collect(),
        fields: fields.iter().map(ToString::to_string).collect(),
        since: None,
        under: Some(TreeSize(under)),
    }
}

#[test]
fn a_file_holds_the_records_that_were_asked_for_and_no_other() {
    let both = || report(vec![record(b"a", &[]), record(b"b", &[])]);
    let ask = |entries: &[&[u8]]| asked(entries, &[], 9).answered_by(&both());
    assert_eq!(ask(&[b"a", b"b"]), Ok(()));
    assert_eq!(ask(&[b"b", b"a", b"a"]), Ok(()), "as a set");
    for other in [&[b"a".as_slice()][..], &[b"a", b"c"], &[b"a", b"b", b"c"]] {
        assert!(ask(other).is_err(), "{other:?}");
    }
    let mut twice = both();
    twice.records_total = 3;
    assert!(asked(&[b"a", b"b"], &[], 9).answered_by(&twice).is_err());
}

#[test]
fn a_file_is_under_the_head_that_was_asked_for() {
    let file = report(vec![record(b"a", &[])]);
    assert_eq!(asked(&[b"a"], &[], 9).answered_by(&file), Ok(()));
    for other in [8, 10] {
        assert!(asked(&[b"a"], &[], other).answered_by(&file).is_err());
    }
    let any = EvidenceRequest {
        under: None,
        ..asked(&[b"a"], &[], 0)
    };
    assert_eq!(any.answered_by(&file), Ok(()));
}

#[test]
fn a_file_shows_the_fields_that_were_asked_for_and_no_other() {
    let file = |fields: &[&str]| report(vec![record(b"a", fields)]);
    let ask = |fields: &[&str]| asked(&[b"a"], fields, 9);
    let one = ask(&["decision"]);
    assert_eq!(one.answered_by(&file(&["decision"])), Ok(()));
    assert_eq!(one.answered_by(&file(&[])), Ok(()), "sealed or erased");
    for other in [&["decided_at"][..], &["decision", "decided_at"]] {
        assert!(one.answered_by(&file(other)).is_err(), "{other:?}");
    }
    let two = ask(&["decision", "decided_at"]);
    assert!(
        two.answered_by(&file(&["decision"])).is_err(),
        "one is hidden"
    );
    // Other kinds of the same file may have fields that this one lacks.
    let more = ask(&["decision", "no_field_of_this_kind"]);
    assert_eq!(more.answered_by(&file(&["decision"])), Ok(()));
    let some_of_all = ask(&[]).answered_by(&file(&["decision"]));
    assert!(some_of_all.is_err(), "all were asked for");
    // An engagement may show fewer, and never others.
    let engaged = |fields: &[&str]| EvidenceRequest {
        engaged: true,
        ..ask(fields)
    };
    assert_eq!(engaged(&[]).answered_by(&file(&["decision"])), Ok(()));
    let two = engaged(&["decision", "decided_at"]);
    assert_eq!(two.answered_by(&file(&["decision"])), Ok(()));
    assert!(two.answered_by(&file(&["justification"])).is_err());
}
