//! Goal: an evidence file is verified if and only if everything in it holds.
//!
//! Method: one small log of fixed seeds. What is honest verifies; each part is then changed alone,
//! and must give the code of that part.

mod chain;
mod inputs;
mod policy;
mod saved;
mod tamper;
mod walk;

use super::testing::{Lists, START, World, key, origin, publish, seed, trust};
use super::*;
use crate::time::UnixSeconds;
use crate::tlog::{LeafIndex, Policy};

const GOLDEN: &str = include_str!("../../../tests/golden/evidence-v1.json");

fn options() -> Options<'static> {
    Options {
        now: UnixSeconds(START + 1000),
        saved_heads: &[],
        field_lists: &Lists,
        statement: None,
        checkpoint: None,
        receipt_key: None,
    }
}

fn check(file: &EvidenceFile, policy: &Policy) -> Report {
    verify(file.print().unwrap().as_bytes(), policy, &options())
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn golden_file_is_what_we_write_and_verifies() {
    let printed = World::standard().file().print().unwrap();
    assert_eq!(printed, GOLDEN, "the format of evidence files is frozen");
    let report = verify(GOLDEN.as_bytes(), &trust(), &options());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    assert_eq!(
        EvidenceFile::parse(GOLDEN.as_bytes())
            .unwrap()
            .print()
            .unwrap(),
        GOLDEN
    );
}

#[test]
fn report_says_what_is_shown() {
    let report = check(&World::standard().file(), &trust());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    let [all, some, _] = report.records.as_slice() else {
        panic!("{report}")
    };
    assert_eq!(
        (all.index, all.size, all.fields.len(), all.fields_total),
        (5, 9, 3, 3)
    );
    assert_eq!(all.fields[0].value, "finding 0");
    assert_eq!(all.fields[2].value, serde_json::Value::Null);
    assert_eq!(
        some.fields
            .iter()
            .map(|field| field.index)
            .collect::<Vec<_>>(),
        [0, 2]
    );
    assert!(
        some.does_not_show[0].contains("hidden fields: grade"),
        "{:?}",
        some.does_not_show
    );
    assert_eq!(all.signer.principal, "p-reviewer");
    assert_eq!(all.signer.roles, ["reviewer"]);
    assert_eq!(
        all.signer.key,
        key(seed::REVIEWER).public_key().thumbprint().to_string()
    );
    assert_eq!(
        report.operators,
        Some(OperatorsReport { required: 2, of: 2 })
    );
    let text = report.to_string();
    assert!(text.starts_with("VERIFIED\n"), "{text}");
    assert!(text.contains("fields shown   2 of 3"), "{text}");
    assert!(
        serde_json::to_string(&report)
            .unwrap()
            .contains("\"verdict\":\"VERIFIED\"")
    );
}

#[test]
fn heads_bracket_the_time() {
    let report = check(&World::standard().file(), &trust());
    // All three of nodes 1 and 2 and the witness are needed, one second apart: the bounds are the
    // first and the last of them.
    let brackets: Vec<_> = report
        .records
        .iter()
        .map(|r| (r.time.after, r.time.not_later_than))
        .collect();
    let at = |seconds| Some(START + seconds);
    assert_eq!(
        brackets,
        [(at(10), at(62)), (at(10), at(62)), (at(60), at(102))]
    );
    let held = HeldOutside::Witness {
        name: "witness.example/w".to_owned(),
        since: START + 62,
    };
    assert_eq!(report.records[0].held_outside, held);
}

#[test]
fn nobody_outside_is_a_limit_until_a_head_was_saved() {
    let world = World::standard();
    let file = world.file();
    let cosigners = [seed::NODE + 1, seed::NODE + 2];
    let mut inside = file.clone();
    inside.heads.clear();
    inside.head.checkpoint = world.checkpoint(9, START + 100, &cosigners).to_string();
    let report = check(&inside, &publish());
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits);
    assert_eq!(codes(&report), [Code::HeldByNobodyOutside]);

    let saved = [SavedHead {
        head: world.head(9),
        saved_at: UnixSeconds(START + 500),
        quorum: true,
    }];
    let bytes = inside.print().unwrap();
    let with = Options {
        saved_heads: &saved,
        ..options()
    };
    let report = verify(bytes.as_bytes(), &publish(), &with);
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    let held = HeldOutside::SavedHead {
        since: START + 500,
        size: 9,
    };
    assert_eq!(report.records[0].held_outside, held);

    let mut other = world.head(9);
    other.root = world.head(8).root;
    let fork = [SavedHead {
        head: other,
        saved_at: UnixSeconds(START + 500),
        quorum: true,
    }];
    let with = Options {
        saved_heads: &fork,
        ..options()
    };
    let report = verify(bytes.as_bytes(), &publish(), &with);
    assert_eq!(report.verdict, Verdict::NotVerified);
    assert!(codes(&report).contains(&Code::Fork), "{report}");
}

#[test]
fn a_policy_without_a_quorum_and_a_head_that_nobody_holds_are_limits() {
    let world = World::standard();
    let text = trust().to_canonical_bytes();
    let text = String::from_utf8(text).unwrap();
    let (witnesses, _quorum) = text.rsplit_once("quorum ").unwrap();
    let nobody = Policy::parse(format!("{witnesses}quorum none\n").as_bytes()).unwrap();
    let file = world.file();
    assert_eq!(codes(&check(&file, &nobody)), [Code::NoQuorumAsked]);

    let cosigners = [seed::NODE + 1, seed::NODE + 2];
    let inside = world.checkpoint(9, START + 100, &cosigners).to_string();
    let report = verify(inside.as_bytes(), &publish(), &options());
    assert_eq!(codes(&report), [Code::HeldByNobodyOutside], "{report}");
    let bare = verify(inside.as_bytes(), &nobody, &options());
    assert_eq!(
        codes(&bare),
        [Code::NoQuorumAsked, Code::HeldByNobodyOutside]
    );
    let outside = world.full_checkpoint(9, START + 100);
    let report = verify(outside.as_bytes(), &trust(), &options());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
}

#[test]
fn times_are_the_same_in_words_and_in_json() {
    let report = check(&World::standard().file(), &trust());
    let json = serde_json::to_value(&report).unwrap();
    let words = report.to_string();
    for pointer in [
        "/head/cosigners/0/time",
        "/records/0/time/after",
        "/records/0/time/not_later_than",
        "/records/0/signed_at_claim",
        "/records/0/registered_at_claim",
        "/records/0/held_outside/since",
    ] {
        let time = json.pointer(pointer).and_then(serde_json::Value::as_str);
        let time = time.unwrap_or_else(|| panic!("no time at {pointer}: {json}"));
        assert!(words.contains(time), "{pointer} {time}: {words}");
    }
}

#[test]
fn what_a_reader_finds_beside_the_input_changes_the_verdict() {
    let mut report = check(&World::standard().file(), &trust());
    assert_eq!(report.verdict, Verdict::Verified);
    report.add(Code::AttachmentNotNamed, "report.pdf");
    assert_eq!(report.verdict, Verdict::NotVerified);
    assert_eq!(codes(&report), [Code::AttachmentNotNamed]);
}

#[test]
fn one_operator_is_a_trial() {
    let mut world = World::new(&[seed::OPERATOR_A], 1);
    world.finding(0, seed::REVIEWER);
    let file = world.file_with(vec![world.record(5, Shown::All)], &[0, 1, 2, 3]);
    let report = check(&file, &trust());
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits);
    assert_eq!(codes(&report), [Code::TrialOperators]);
    assert!(report.to_string().contains("operators 1 of 1"), "{report}");
}

#[test]
fn no_field_and_a_clock_behind_are_limits() {
    let world = World::standard();
    let mut record = world.record(5, Shown::All);
    record.fields.clear();
    let file = world.file_with(vec![record], &[0, 1, 2, 3]);
    let now = Options {
        now: UnixSeconds(START - 1000),
        ..options()
    };
    let report = verify(file.print().unwrap().as_bytes(), &trust(), &now);
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits);
    assert_eq!(codes(&report), [Code::DatedAhead, Code::NoFieldsShown]);
}

#[test]
fn many_records_and_the_agent_verify_with_the_chain_of_the_registry() {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    for number in 0..100 {
        world.finding(
            number,
            if number % 2 == 0 {
                seed::REVIEWER
            } else {
                seed::AGENT
            },
        );
    }
    let kids = [seed::REVIEWER, seed::AGENT, seed::RECEIPT]
        .map(|seed| key(seed).public_key().thumbprint());
    let chain: Vec<u64> = world
        .registry
        .chain_of(kids)
        .into_iter()
        .map(|index| index.0)
        .collect();
    assert_eq!(chain, [0, 1, 2, 3, 4]);
    let records = (5..105)
        .map(|index| world.record(index, Shown::All))
        .collect();
    let report = check(&world.file_with(records, &chain), &trust());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    assert_eq!(report.records.len(), 100);
    assert_eq!(
        report.records[1].signer.agent_for.as_deref(),
        Some("p-reviewer")
    );
    assert_eq!(report.records[0].signer.agent_for, None);
}

#[test]
fn chain_of_the_registry_is_no_longer_than_needed() {
    let world = World::standard();
    let reviewer = key(seed::REVIEWER).public_key().thumbprint();
    let chain: Vec<_> = world.registry.chain_of([reviewer]).into_iter().collect();
    assert_eq!(chain, [0, 1, 2, 3].map(LeafIndex));
    assert_eq!(world.registry.genesis().unwrap().origin, origin());
}
