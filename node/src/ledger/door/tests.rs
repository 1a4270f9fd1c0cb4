//! The door: whole records through it, and everything that is wrong found at once.

use aimslog_proto::{
    aims::bundle::RuleBundle,
    statement::{Commitment, Disclosure, Json, Salt, header::Link},
};

use super::*;
use crate::ledger::command::{BlobChunk, Command};
use crate::ledger::outcome::Outcome;
use crate::ledger::state::MemoryRows;
use crate::ledger::testing::{Engine, START_MS, World, signed, signed_over};

mod states;

const KIND: &str = "oversight_decision";

fn text(value: &str) -> Json {
    Json::Text(value.to_owned())
}

/// Disclosures of a decision with these values, all other fields null.
fn disclosures(values: &[(&str, Json)]) -> Vec<Vec<u8>> {
    let kind = RuleBundle::v1().kind(KIND, 1).unwrap();
    (0_u8..)
        .zip(kind.field_names())
        .map(|(place, name)| {
            let value = values.iter().find(|(field, _)| *field == name);
            let value = value.map_or(Json::Null, |(_, value)| value.clone());
            let salt = Salt::new(&[place; 16]).unwrap();
            Disclosure::new(&salt, name, &value)
                .unwrap()
                .bytes()
                .to_vec()
        })
        .collect()
}

fn decision() -> Vec<(&'static str, Json)> {
    vec![
        ("occurred_at", text("2027-01-15T08:00:00Z")),
        (
            "actor",
            Json::Object(vec![
                ("id".to_owned(), text("p-113")),
                ("role".to_owned(), text("triage nurse")),
            ]),
        ),
        ("personal_data", Json::Bool(false)),
        ("system_version", text("3.2.0")),
        ("request_reference", text("req-1")),
        ("output_digest", text(&"01".repeat(32))),
        ("context_digest", text(&"02".repeat(32))),
        ("risk_class", text("HIGH")),
        ("reviewer_role", text("triage nurse")),
        ("confidentiality", text("INTERNAL")),
        ("system", text("triage")),
        ("decision", text("OVERRIDE")),
        ("justification", text("The score ignores the wound.")),
        ("reviewer", text("p-113")),
        ("presented_at", text("2027-01-15T07:59:00Z")),
        ("decided_at", text("2027-01-15T08:00:00Z")),
    ]
}

fn commitment(disclosures: &[Vec<u8>]) -> Commitment {
    let leaves: Vec<_> = disclosures
        .iter()
        .map(|bytes| aimslog_proto::tlog::LeafHash::of(bytes))
        .collect();
    Commitment::build(&leaves).unwrap()
}

struct Case {
    world: World,
    engine: Engine,
}

impl Case {
    fn new() -> Self {
        let world = World::new();
        let engine = Engine::with_acme(&world);
        Self { world, engine }
    }

    fn view<'a>(&'a self, companions: &'a Companions<'a>) -> DoorView<'a, MemoryRows> {
        DoorView {
            rows: &self.engine.rows,
            registry: &self.engine.registry,
            next: LeafIndex(self.engine.core().frontier.size().0),
            now: UnixMillis(START_MS),
            companions,
        }
    }

    fn admit(&self, statement: &[u8], disclosures: &[Vec<u8>]) -> Result<Admitted, Vec<Violation>> {
        let companions = Companions::default();
        let view = self.view(&companions);
        let submission = Submission {
            statement,
            disclosures,
            digest_only: &[],
        };
        admit(&view, &submission).unwrap()
    }
}

fn reasons(result: Result<Admitted, Vec<Violation>>) -> Vec<Reason> {
    result
        .unwrap_err()
        .iter()
        .map(|violation| violation.reason)
        .collect()
}

#[test]
fn admits_a_whole_record_and_its_item_passes_apply() {
    let mut case = Case::new();
    let fields = disclosures(&decision());
    let header = case.world.header(11, 1);
    let statement = signed_over(&header, 11, &commitment(&fields));
    let admitted = case.admit(&statement, &fields).unwrap();
    assert_eq!(
        payload::decode(admitted.item().payload.as_ref().unwrap()).unwrap(),
        fields
    );
    let outcome = case.engine.batch(vec![admitted.into_item()]).remove(0);
    assert!(
        matches!(outcome, crate::ledger::outcome::ItemOutcome::Logged(_)),
        "{outcome:?}"
    );
}

#[test]
fn finds_several_violations_at_once() {
    let case = Case::new();
    let mut values = decision();
    values.retain(|(name, _)| !["reviewer", "risk_class"].contains(name));
    values.push(("risk_class", text("ENORMOUS")));
    let fields = disclosures(&values);
    let mut header = case.world.header(11, 1);
    header.rules = Some([0; 32]);
    header.issued.0 += 9_000;
    let found = reasons(case.admit(&signed(&header, 11), &fields));
    for expected in [
        Reason::RulesOutdated,
        Reason::IssuedInFuture,
        Reason::CommitmentMismatch,
        Reason::InvalidField,
        Reason::MissingField,
    ] {
        assert!(found.contains(&expected), "{expected} in {found:?}");
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let case = Case::new();
    let fields = disclosures(&decision());
    let statement = signed_over(&case.world.header(11, 1), 11, &commitment(&fields));
    let mut forged = statement.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert!(reasons(case.admit(&forged, &fields)).contains(&Reason::WrongSignature));
    let unknown = signed_over(&case.world.header(77, 1), 77, &commitment(&fields));
    assert_eq!(reasons(case.admit(&unknown, &fields)), [Reason::UnknownKey]);
}

#[test]
fn sealed_only_where_the_rules_allow_it() {
    let case = Case::new();
    let header = case.world.header(11, 1);
    let sealed = case.admit(&signed(&header, 11), &[]).unwrap();
    assert_eq!(sealed.item().payload, None);
    let mut header = case.world.header(11, 2);
    header.content_type =
        aimslog_proto::statement::header::ContentType::new(Family::Evidence, "ai_system", 1)
            .unwrap();
    assert!(reasons(case.admit(&signed(&header, 11), &[])).contains(&Reason::MissingField));
}

#[test]
fn attachments_are_stored_first_or_stay_declared() {
    let case = Case::new();
    let digest = "ab".repeat(32);
    let attachment = Json::Object(vec![
        ("name".to_owned(), text("scan.pdf")),
        ("digest".to_owned(), text(&digest)),
        ("media_type".to_owned(), text("application/pdf")),
        ("size".to_owned(), Json::Integer(9)),
    ]);
    let mut values = decision();
    values.push(("attachments", Json::Array(vec![attachment])));
    let fields = disclosures(&values);
    let statement = signed_over(&case.world.header(11, 1), 11, &commitment(&fields));
    assert_eq!(
        reasons(case.admit(&statement, &fields)),
        [Reason::MissingLinkTarget]
    );
    let view = DoorView {
        rows: &case.engine.rows,
        registry: &case.engine.registry,
        next: LeafIndex(4),
        now: UnixMillis(START_MS),
        companions: &Companions::default(),
    };
    let submission = Submission {
        statement: &statement,
        disclosures: &fields,
        digest_only: &[[0xab; 32]],
    };
    let admitted = admit(&view, &submission).unwrap().unwrap();
    assert!(admitted.item().attachments.is_empty());
}

/// Every node must be able to read what the leader proposes, whatever a record repeats.
#[test]
fn the_same_attachment_many_times_counts_once_and_too_many_are_refused() {
    let mut case = Case::new();
    let bytes = b"scan";
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(bytes).into();
    let stored = case.engine.run(&Command::Blob(BlobChunk {
        time_ms: START_MS,
        organization: "acme".to_owned(),
        digest,
        offset: 0,
        total: 4,
        bytes: Bytes::from_static(bytes),
    }));
    assert!(matches!(stored, Outcome::Blob { complete: true, .. }));
    let attachment = Json::Object(vec![
        ("name".to_owned(), text("scan.pdf")),
        ("digest".to_owned(), text(&hex(&digest))),
        ("media_type".to_owned(), text("application/pdf")),
        ("size".to_owned(), Json::Integer(4)),
    ]);
    let admitted = |count: usize| {
        let mut values = decision();
        values.push(("attachments", Json::Array(vec![attachment.clone(); count])));
        let fields = disclosures(&values);
        let statement = signed_over(&case.world.header(11, 1), 11, &commitment(&fields));
        case.admit(&statement, &fields)
    };
    assert_eq!(admitted(32).unwrap().item().attachments, [digest]);
    assert_eq!(reasons(admitted(33)), [Reason::InvalidField]);
}

#[test]
fn foresees_what_apply_would_say() {
    let case = Case::new();
    let mut header = case.world.header(11, 1);
    header.links = vec![Link {
        relation: "follows".to_owned(),
        target: EntryId::from_bytes([8; 32]),
        origin: None,
    }];
    // Apply alone knows the entries, so the door lets it through.
    let admitted = case.admit(&signed(&header, 11), &[]).unwrap();
    let view = DoorView {
        rows: &case.engine.rows,
        registry: &case.engine.registry,
        next: LeafIndex(4),
        now: UnixMillis(START_MS),
        companions: &Companions::default(),
    };
    let found = foresee(&view, &admitted).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reason, Reason::MissingLinkTarget);
}

#[test]
fn system_records_pass_without_disclosures_alone() {
    let case = Case::new();
    let record = case.world.organization("beta", 20);
    assert!(case.admit(&record, &[]).is_ok());
    let found = reasons(case.admit(&record, &[b"[]".to_vec()]));
    assert_eq!(found, [Reason::UnknownField]);
}

#[test]
fn faults_of_header_content_and_references_are_named_together() {
    let case = Case::new();
    let mut values = decision();
    values.retain(|(name, _)| *name != "risk_class");
    values.push(("risk_class", text("ENORMOUS")));
    let mut fields = disclosures(&values);
    fields[1] = b"[".to_vec();
    let mut header = case.world.header(11, 1);
    header.audience = "another".to_owned();
    header.subject = "urn:aimslog:beta:system:triage".to_owned();
    header.links = vec![Link {
        relation: "nonsense".to_owned(),
        target: EntryId::from_bytes([8; 32]),
        origin: None,
    }];
    let found = case.admit(&signed_over(&header, 11, &commitment(&fields)), &fields);
    let mut found: Vec<(Reason, String)> = found
        .unwrap_err()
        .into_iter()
        .map(|violation| (violation.reason, violation.field))
        .collect();
    found.sort();
    let mut expected = [
        (Reason::WrongAudience, "header.aud"),
        (Reason::WrongIssuer, "header.sub"),
        (Reason::JsonMalformed, "record.period"),
        (Reason::InvalidField, "record.risk_class"),
        (Reason::InvalidHeader, "header.links"),
        (Reason::MissingLinkTarget, "header.links"),
    ]
    .map(|(reason, field)| (reason, field.to_owned()));
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn only_who_signs_learns_what_is_logged() {
    let case = Case::new();
    let mut header = case.world.header(11, 1);
    header.links = vec![Link {
        relation: "follows".to_owned(),
        target: EntryId::from_bytes([8; 32]),
        origin: None,
    }];
    let mut forged = signed(&header, 11).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(reasons(case.admit(&forged, &[])), [Reason::WrongSignature]);
}

#[test]
fn what_came_in_the_same_call_is_no_missing_target() {
    let case = Case::new();
    let first = signed(&case.world.header(11, 1), 11);
    let mut header = case.world.header(11, 2);
    header.audience = "another".to_owned();
    header.links = vec![Link {
        relation: "follows".to_owned(),
        target: EntryId::of(&first),
        origin: None,
    }];
    let second = signed(&header, 11);
    let judged = |companions: &Companions<'_>| {
        let view = DoorView {
            rows: &case.engine.rows,
            registry: &case.engine.registry,
            next: LeafIndex(case.engine.core().frontier.size().0),
            now: UnixMillis(START_MS),
            companions,
        };
        let submission = Submission {
            statement: &second,
            disclosures: &[],
            digest_only: &[],
        };
        reasons(admit(&view, &submission).unwrap())
    };
    let alone = [Reason::WrongAudience, Reason::MissingLinkTarget];
    assert_eq!(judged(&Companions::default()), alone);
    let together = Companions::of([first.as_ref(), second.as_ref()].into_iter());
    assert_eq!(judged(&together), [Reason::WrongAudience]);
}

/// Who resends the bytes of an entry gets its first result also when they could not be logged any
/// more; who resends them with other content gets none.
#[test]
fn what_is_logged_is_admitted_again_whatever_the_time() {
    let mut case = Case::new();
    let fields = disclosures(&decision());
    let header = case.world.header(11, 1);
    let statement = signed_over(&header, 11, &commitment(&fields));
    let admitted = case.admit(&statement, &fields).unwrap();
    case.engine.batch(vec![admitted.into_item()]);
    let years_later = UnixMillis(START_MS + 100_000_000_000);
    let again = |disclosures: &[Vec<u8>]| {
        let view = DoorView {
            rows: &case.engine.rows,
            registry: &case.engine.registry,
            next: LeafIndex(case.engine.core().frontier.size().0),
            now: years_later,
            companions: &Companions::default(),
        };
        let submission = Submission {
            statement: &statement,
            disclosures,
            digest_only: &[],
        };
        let admitted = admit(&view, &submission).unwrap()?;
        Ok((foresee(&view, &admitted).unwrap(), admitted))
    };
    let (foreseen, admitted) = again(&fields).unwrap();
    assert_eq!(foreseen, []);
    assert!(admitted.seen().is_none());
    let mut other = fields.clone();
    other[0] = other[1].clone();
    let refused = again(&other).map(|(_, admitted)| admitted);
    assert_eq!(reasons(refused), [Reason::CommitmentMismatch]);
}
