//! Goal: the sample management system is what it says, a year of a hospital that an auditor can check.
//!
//! Method: first in memory, where every record is judged as a node does at the door and at apply; then
//! through the public API into a cluster of three, and out of it again in one file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use aimslog_client::{
    ClientError, EvidenceRequest, FinishedStatement, Ledger, Outcome, Wait, clock,
};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::Control;
use aimslog_proto::aims::replay::{Content, Replay};
use aimslog_proto::reason::Violation;
use aimslog_proto::statement::evidence::EvidenceFile;
use aimslog_proto::statement::json::Json;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{
    Genesis, Keys, NodeEntry, NodeId, Operator, PolicyTexts, ReceiptKey, prove_receipt_key,
};
use aimslog_proto::tlog::{KeyName, Origin, VerifierKey};
use aimslog_tests::cluster::{Cluster, ORIGIN, program};
use aimslog_tests::sample::{Place, Sample, SampleRecord, key_of};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const CATALOGUE: &str = "iso42001-2023";
const ANNEX_A: usize = 38;
const PATIENCE: Duration = Duration::from_mins(1);
/// Who reads all of it: an auditor whom the others have engaged.
const READER: &str = "cb-011";
/// Who stores the files of the hospital.
const OFFICE: &str = "p-240";

#[test]
fn every_record_has_a_right_to_its_place() {
    let sample = Sample::read();
    let place = Place {
        origin: Origin::new(ORIGIN).unwrap(),
        now: 1_800_000_000,
    };
    let mut replay = begun(&place);
    let operator = key_of("operator");
    for statement in sample.registration(&place, &operator) {
        let pushed = replay.push(&statement, Content::NotShown);
        pushed.unwrap_or_else(|found| panic!("registration: {}", told(&found)));
    }
    let system = replay.counts().system;
    for (record, statement) in sample.records.iter().zip(sample.sign(&place)) {
        let pushed = replay.push(&statement.statement, Content::Shown(&statement.disclosures));
        pushed.unwrap_or_else(|found| panic!("{}: {}", record.name(), told(&found)));
    }
    let counts = replay.counts();
    let count = u64::try_from(sample.records.len()).unwrap();
    assert_eq!((counts.evidence, counts.content), (count, count));
    assert_eq!(counts.system, system);
    assert!(count >= 400, "{count}");
}

#[test]
fn every_kind_is_there_and_every_state_of_it_but_few() {
    let sample = Sample::read();
    let bundle = RuleBundle::v1();
    let mut reached: BTreeSet<(&str, &str)> = BTreeSet::new();
    for record in &sample.records {
        let kind = record.submission.record.kind();
        let state = record.submission.transition.as_deref();
        reached.insert((kind, state.unwrap_or_default()));
    }
    let kinds: BTreeSet<&str> = reached.iter().map(|(kind, _)| *kind).collect();
    let expected: BTreeSet<&str> = bundle
        .kinds()
        .map(aimslog_proto::aims::kind::Kind::name)
        .collect();
    assert_eq!(kinds, expected);

    let of_kind = |name| bundle.newest_kind(name).unwrap();
    let mut missing: Vec<(&str, &str)> = expected
        .iter()
        .filter(|name| of_kind(name).status_field().is_some())
        .flat_map(|name| {
            of_kind(name)
                .states()
                .iter()
                .map(|state| (*name, state.as_str()))
        })
        .filter(|state| !reached.contains(state))
        .collect();
    missing.sort_unstable();
    // What does not happen in a good first year, or happens in another organisation's register.
    let unused = [
        ("ai_policy", "superseded"),
        ("ai_system", "retired"),
        ("ai_system", "suspended"),
        ("cb_finding", "acknowledged"),
        ("cb_finding", "responded"),
        ("certificate", "expired"),
        ("certificate", "restored"),
        ("certificate", "suspended"),
        ("certificate", "withdrawn"),
        ("competence_requirement", "retired"),
        ("deployment", "rejected"),
        ("oversight_plan", "retired"),
        ("risk_acceptance", "revoked"),
        ("sample", "planned"),
        ("soa_entry", "superseded"),
    ];
    assert_eq!(missing, unused);
}

#[test]
fn every_control_of_annex_a_has_records_that_evidence_it() {
    let sample = Sample::read();
    let mut evidenced = Evidenced::default();
    for record in &sample.records {
        let controls = record.submission.controls.iter();
        for (scheme, id) in controls.filter(|(scheme, _)| scheme == CATALOGUE) {
            evidenced
                .add(record.submission.record.kind(), id)
                .unwrap_or_else(|| {
                    panic!(
                        "{}: {scheme}/{id} is evidenced by other kinds",
                        record.name()
                    )
                });
        }
    }
    evidenced.check();
}

#[test]
fn names_in_the_files_are_names_of_the_sample() {
    let sample = Sample::read();
    let names: Vec<String> = sample.attachments().into_keys().collect();
    let mut named: Vec<&str> = sample.records.iter().flat_map(attachment_names).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named, names, "each file is named, and each name is a file");
    for party in &sample.organizations {
        let signs = |id: &str| sample.records.iter().any(|record| record.signer == id);
        let idle = party
            .principals
            .iter()
            .skip(1)
            .find(|person| !signs(&person.id));
        assert!(idle.is_none(), "{idle:?} signs nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_goes_in_and_verifies_from_one_file() {
    let sample = Sample::read();
    let cluster = Cluster::start(3).await;
    let place = Place {
        origin: Origin::new(ORIGIN).unwrap(),
        now: clock::unix_seconds(),
    };
    let signed = sample.sign(&place);
    submit(&sample, &cluster, &place, &signed).await;

    let folder = tempfile::tempdir().unwrap();
    let auditor = cluster.ledger_as(key_of(READER));
    let file = folder.path().join("hospital.evidence.json");
    fs::write(&file, evidence(&auditor, &signed).await).unwrap();
    let policy = folder.path().join("policy.txt");
    fs::copy(cluster.folder().join("public/policy.txt"), &policy).unwrap();
    // Nothing answers any more: the two files are all that there is.
    drop(cluster);

    let ran = Command::new(program("aimslog"))
        .arg("verify")
        .arg(&file)
        .arg("--policy")
        .arg(&policy)
        .arg("--json")
        .env("AIMSLOG_HOME", folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(ran.status.success(), "{}", report["findings"]);
    let records = report["records"].as_array().unwrap();
    assert_eq!(records.len(), sample.records.len());
    assert_eq!(report["records_total"], records.len());
    check_report(&sample, records);

    let file = EvidenceFile::parse(&fs::read(&file).unwrap()).unwrap();
    let mut evidenced = Evidenced::default();
    for record in &file.records {
        let statement = UnverifiedStatement::parse(&record.statement).unwrap();
        let header = statement.header();
        for control in header
            .controls
            .iter()
            .filter(|control| control.scheme == CATALOGUE)
        {
            evidenced
                .add(header.content_type.kind(), &control.id)
                .unwrap();
        }
    }
    evidenced.check();
}

/// How many records evidence each control, of the kinds that the catalogue lists for it.
#[derive(Debug, Default)]
struct Evidenced(BTreeMap<String, usize>);

impl Evidenced {
    /// Counts a record that names a control; `None` where the catalogue lists other kinds for it. What
    /// the catalogue lists nowhere may name what it likes.
    fn add(&mut self, kind: &str, id: &str) -> Option<()> {
        let lists = |control: &Control| control.kinds.iter().any(|name| name == kind);
        let control = catalogue().iter().find(|control| control.id == id)?;
        if lists(control) {
            *self.0.entry(id.to_owned()).or_default() += 1;
            return Some(());
        }
        (!catalogue().iter().any(lists)).then_some(())
    }

    /// Prints the report, and ends the test where a control of Annex A or a clause has nothing.
    #[expect(clippy::print_stdout, reason = "the report of the test")]
    fn check(&self) {
        let count = |control: &Control| self.0.get(&control.id).copied().unwrap_or(0);
        let rows = catalogue().iter();
        let rows: Vec<String> = rows
            .map(|control| format!("{:8} {:4}  {}", control.id, count(control), control.title))
            .collect();
        println!("{}", rows.join("\n"));
        let bare = catalogue().iter().filter(|control| count(control) == 0);
        let bare: Vec<&str> = bare.map(|control| control.id.as_str()).collect();
        assert_eq!(bare, [""; 0], "controls without evidence");
        let annex = catalogue()
            .iter()
            .filter(|control| control.id.starts_with("A."));
        assert_eq!(annex.count(), ANNEX_A);
    }
}

fn catalogue() -> &'static [Control] {
    let catalogue = RuleBundle::v1().schemes().catalogue(CATALOGUE);
    catalogue.unwrap().controls()
}

/// A log of one node and one operator, before anybody is registered.
fn begun(place: &Place) -> Replay {
    let (operator, service, receipt) = (key_of("operator"), key_of("service"), key_of("receipt"));
    let note_key = |seed: u8| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
    let node = KeyName::new(format!("{}/node/1", place.origin)).unwrap();
    let cosigner = VerifierKey::cosignature_v1(node, &note_key(1));
    let log_key = VerifierKey::ed25519(place.origin.key_name().clone(), &note_key(2));
    let policy = format!("log {log_key}\nwitness n1 {cosigner}\nquorum n1\n");
    let genesis = Genesis {
        origin: place.origin.clone(),
        created: place.now,
        operators: vec![Operator {
            name: "operator-1".to_owned(),
            key: operator.public_key(),
        }],
        operators_required: 1,
        nodes: vec![NodeEntry {
            id: NodeId::new(1).unwrap(),
            label: "n1:7001".to_owned(),
            cosigner,
        }],
        policy: PolicyTexts {
            publish: policy.clone(),
            trust: policy,
        },
        log_key,
        receipt_key: receipt.public_key(),
        service_key: service.public_key(),
        level: 1,
        rule_bundle: RuleBundle::v1().digest().0,
        algorithms: vec![-8],
        approvals: Vec::new(),
    };
    let keys = Keys {
        receipt: vec![ReceiptKey {
            key: receipt.public_key(),
            possession: prove_receipt_key(&place.origin, &*receipt).unwrap(),
        }],
        log: Vec::new(),
        approvals: Vec::new(),
    };
    let mut replay = Replay::new();
    for statement in [place.sign(&genesis, &operator), place.sign(&keys, &service)] {
        let pushed = replay.push(&statement, Content::NotShown);
        pushed.unwrap_or_else(|found| panic!("genesis: {}", told(&found)));
    }
    replay
}

fn told(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn attachment_names(record: &SampleRecord) -> Vec<&str> {
    let record = &record.submission.record;
    let kind = RuleBundle::v1().newest_kind(record.kind()).unwrap();
    let mut fields = record.fields(kind);
    let list = fields.find(|(name, _)| *name == "attachments");
    let Some((_, Some(Json::Array(elements)))) = list else {
        return Vec::new();
    };
    let names = elements.iter().map(|element| element.field("name"));
    let names = names.map(|name| match name {
        Some(Json::Text(name)) => name.as_str(),
        _ => panic!("an attachment without a name"),
    });
    names.collect()
}

/// Registers everybody, stores the files, and submits all records in as few calls as the limits allow.
async fn submit(sample: &Sample, cluster: &Cluster, place: &Place, signed: &[FinishedStatement]) {
    let seed = cluster.folder().join("operator-1/operator.seed");
    let operator = SigningKey::parse_seed_file(&fs::read_to_string(seed).unwrap()).unwrap();
    let admin = cluster.admin_of(cluster.leader().await);
    for statement in sample.registration(place, &operator) {
        admin.submit_system(&statement).await.unwrap();
    }
    let office = cluster.ledger_as(key_of(OFFICE));
    let hospital = &sample.party_of(OFFICE).id;
    for (_, content) in sample.attachments() {
        office.put_blob(hospital, &content).await.unwrap();
    }
    let outcomes = office.submit(signed, Wait::Committed).await.unwrap();
    for (record, outcome) in sample.records.iter().zip(outcomes) {
        match outcome {
            Outcome::Logged { already: false, .. } => {}
            Outcome::Logged { .. } => panic!("{}: logged before", record.name()),
            Outcome::Refused { violations, .. } => {
                panic!("{}: {}", record.name(), told(&violations))
            }
        }
    }
}

/// One file over all records, once a head covers them and the engagements.
async fn evidence(auditor: &Ledger, signed: &[FinishedStatement]) -> Vec<u8> {
    let request = EvidenceRequest {
        entries: signed.iter().map(FinishedStatement::entry_id).collect(),
        engaged: true,
        ..EvidenceRequest::default()
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match auditor.evidence(&request).await {
            Ok(file) => return file,
            Err(error) => {
                assert!(matches!(error, ClientError::Refused(_)), "{error}");
                assert!(Instant::now() < deadline, "{error}");
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Each record shows all of its fields, and the signer that the manifest names for it.
fn check_report(sample: &Sample, records: &[Value]) {
    for (record, reported) in sample.records.iter().zip(records) {
        let kind = record.submission.record.kind();
        assert_eq!(reported["kind"], format!("{kind}.v1"), "{}", record.name());
        let shown = reported["fields"].as_array().unwrap().len();
        assert_eq!(reported["fields_total"], shown, "{}", record.name());
        let signer = &reported["signer"];
        assert_eq!(
            signer["organization"],
            *record.organization,
            "{}",
            record.name()
        );
        assert_eq!(signer["principal"], *record.signer, "{}", record.name());
    }
}
