//! Every refusal over real gRPC: which code, which reason, which field; all that is wrong with a
//! record at once; nothing of a refused record stored, and the rest of its batch logged.
//!
//! The tables stand in `tests/src/refusals`. The last test holds them, and the tests elsewhere that
//! cover what no table can, against the list of reasons in `proto/aimslog/v1/errors.proto`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::submit_result::Outcome;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::id::EntryId;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::people::Hospital;
use aimslog_tests::refusals::scene::{Scene, follow};
use aimslog_tests::refusals::{Faulty, calls, submissions};
use aimslog_tests::wire::{self, Told, reading, within};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(20);

async fn submit(
    scene: &Scene,
    position: usize,
    submissions: Vec<v1::Submission>,
) -> Vec<v1::SubmitResult> {
    let request = v1::SubmitRequest {
        submissions,
        wait: 0,
    };
    let mut service = wire::evidence(&scene.cluster, position);
    let answer = service.submit(within(request, PATIENCE)).await;
    match answer {
        Ok(answer) => answer.into_inner().results,
        Err(status) => panic!("{status:?}\n{}", scene.cluster.logs()),
    }
}

fn accepted(result: &v1::SubmitResult) -> &v1::EntryRef {
    match &result.outcome {
        Some(Outcome::Accepted(accepted)) => accepted.entry.as_ref().unwrap(),
        other => panic!("a good statement was not logged: {other:?}"),
    }
}

/// The violations as pairs of reason and field, sorted; each names its rule.
fn named(name: &str, refused: &v1::Refused) -> Vec<(String, String)> {
    let violations = refused.violations.iter();
    let mut pairs: Vec<_> = violations
        .map(|violation| {
            assert!(!violation.rule.is_empty(), "{name}: {violation:?}");
            (violation.reason.clone(), violation.field.clone())
        })
        .collect();
    pairs.sort();
    pairs
}

fn expected(row: &Faulty) -> Vec<(String, String)> {
    let pairs = row.expected.iter();
    let mut pairs: Vec<_> = pairs
        .map(|(reason, field)| (reason.to_string(), (*field).to_owned()))
        .collect();
    pairs.sort();
    pairs
}

/// What became of the indices and register numbers while the tables were played.
struct Sequence {
    next_index: u64,
    next_number: Option<u64>,
}

impl Sequence {
    /// Each good statement stands right behind the one before: nothing stands between them.
    fn check(&mut self, name: &str, entry: &v1::EntryRef) {
        assert_eq!(entry.index, self.next_index, "{name}: something was logged");
        let number = entry.register_number;
        let next = self.next_number.unwrap_or(number);
        assert_eq!(number, next, "{name}: a number was used up");
        self.next_index += 1;
        self.next_number = Some(number + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_submission_is_named_and_nothing_of_it_is_stored() {
    let scene = Scene::set().await;
    let mut sequence = Sequence {
        next_index: scene.retracted[1].index.0 + 1,
        next_number: None,
    };
    let mut wrong = Vec::new();
    let mut refused_ids = Vec::new();
    for (place, row) in submissions().enumerate() {
        let bad = (row.make)(&scene);
        let good = scene.draft().submission();
        let after = scene.draft().submission();
        refused_ids.push((row.name, id_of(&bad.statement)));
        // By turns at the leader and at a follower, which passes all of it on.
        let position = [scene.leader, scene.follower][place % 2];
        let results = submit(&scene, position, vec![good, bad, after]).await;
        assert_eq!(results.len(), 3, "{}", row.name);
        sequence.check(row.name, accepted(&results[0]));
        sequence.check(row.name, accepted(&results[2]));
        match &results[1].outcome {
            Some(Outcome::Refused(refused)) => {
                let found = named(row.name, refused);
                if found != expected(row) {
                    wrong.push(format!("{}: {found:?}", row.name));
                }
                let conflict = row
                    .expected
                    .iter()
                    .any(|(reason, _)| *reason == Reason::VersionConflict);
                let newest = scene.second.entry_id.as_bytes().to_vec();
                let told = if conflict { newest } else { Vec::new() };
                assert_eq!(refused.newest_version, told, "{}", row.name);
            }
            other => wrong.push(format!("{}: {other:?}", row.name)),
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    nothing_is_stored(&scene, &refused_ids).await;
    one_validates_as_one_submits(&scene).await;
}

/// The id that the statement would have as an entry.
fn id_of(statement: &[u8]) -> EntryId {
    match UnverifiedStatement::parse_submitted(statement) {
        Ok(statement) => statement.entry_id(),
        Err(_) => EntryId::of(statement),
    }
}

async fn nothing_is_stored(scene: &Scene, refused: &[(&str, EntryId)]) {
    for position in [scene.leader, scene.follower] {
        let mut evidence = wire::evidence(&scene.cluster, position);
        let mut log = wire::log(&scene.cluster, position);
        for (name, id) in refused {
            let key = Some(v1::get_record_request::Key::EntryId(id.as_bytes().to_vec()));
            let request = reading(v1::GetRecordRequest { key }, &scene.hospital.key);
            let told = Told::by(&evidence.get_record(request).await.unwrap_err());
            assert_eq!(told.reason, Some(Reason::NotVisible), "{name}");
            let key = v1::get_inclusion_proof_request::Key::EntryId(id.as_bytes().to_vec());
            let request = v1::GetInclusionProofRequest {
                key: Some(key),
                tree_size: 0,
            };
            let proof = log.get_inclusion_proof(within(request, PATIENCE)).await;
            let told = Told::by(&proof.unwrap_err());
            assert_eq!(told.reason, Some(Reason::NotFound), "{name}");
        }
    }
}

/// `Validate` says of every row what `Submit` said, from a follower's state, and stores nothing.
async fn one_validates_as_one_submits(scene: &Scene) {
    let before = scene.cluster.status(scene.leader).await.unwrap().tree_size;
    let limit = Duration::from_secs(10);
    let caught_up = scene
        .cluster
        .wait_until(scene.follower, limit, |status| status.tree_size >= before);
    caught_up.await;
    let good = scene.draft().submission();
    let again = v1::Submission {
        statement: scene.logged.statement.clone(),
        disclosures: scene.logged.disclosures.clone(),
        digest_only: Vec::new(),
    };
    let rows: Vec<&Faulty> = submissions().collect();
    let mut batch: Vec<_> = rows.iter().map(|row| (row.make)(scene)).collect();
    batch.extend([good, again]);
    let mut service = wire::evidence(&scene.cluster, scene.follower);
    let request = v1::ValidateRequest { submissions: batch };
    let answer = service.validate(within(request, PATIENCE)).await.unwrap();
    let results = answer.into_inner().results;
    assert_eq!(results.len(), rows.len() + 2);
    for (row, refused) in rows.iter().zip(&results) {
        assert_eq!(named(row.name, refused), expected(row), "{}", row.name);
    }
    for fine in &results[rows.len()..] {
        assert!(fine.violations.is_empty(), "{fine:?}");
    }
    let after = scene.cluster.status(scene.leader).await.unwrap().tree_size;
    assert_eq!(before, after, "validating logged something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_refusal_has_its_code_reason_and_fields() {
    let scene = Scene::set().await;
    let before = scene.cluster.status(scene.leader).await.unwrap();
    let mut wrong = Vec::new();
    for row in calls() {
        let status = (row.call)(&scene).await;
        let told = Told::by(&status);
        let fields: Vec<&str> = told
            .fields
            .iter()
            .map(|(field, _)| field.as_str())
            .collect();
        let same = told.code == row.code
            && told.reason == Some(row.reason)
            && fields == row.fields
            && told.has_rules
            && told.fields.iter().all(|(_, reason)| !reason.is_empty());
        if !same {
            wrong.push(format!("{}: {told:?} {}", row.name, status.message()));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let after = scene.cluster.status(scene.leader).await.unwrap();
    assert_eq!(
        before.tree_size, after.tree_size,
        "a refused call logged something"
    );
    assert_eq!(before.members.len(), after.members.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_again_give_the_first_result() {
    let scene = Scene::set().await;
    let good = scene.draft().submission();
    let results = submit(&scene, scene.leader, vec![good.clone()]).await;
    let first = accepted(&results[0]).clone();
    for position in 0..3 {
        // Twice in one call as well.
        let results = submit(&scene, position, vec![good.clone(), good.clone()]).await;
        for result in &results {
            assert_eq!(accepted(result), &first);
            let Some(Outcome::Accepted(accepted)) = &result.outcome else {
                panic!("{result:?}");
            };
            assert!(accepted.already_logged);
        }
    }
    // A batch may refer to itself: the second version of what it opens, and a link to it.
    let opens = scene.draft();
    let id = EntryId::of(&opens.statement());
    let mut follows = scene.draft();
    follow(&mut follows, [id, id], 0);
    let request = v1::ValidateRequest {
        submissions: vec![opens.submission(), follows.submission()],
    };
    let mut service = wire::evidence(&scene.cluster, scene.leader);
    let judged = service.validate(within(request, PATIENCE)).await.unwrap();
    let judged = judged.into_inner().results;
    assert!(
        judged.iter().all(|one| one.violations.is_empty()),
        "{judged:?}"
    );
    let batch = vec![opens.submission(), follows.submission()];
    let results = submit(&scene, scene.leader, batch).await;
    let numbers = [0, 1].map(|place| accepted(&results[place]).register_number);
    assert_eq!(numbers[0], numbers[1], "two versions of one entity");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_there_is_a_genesis_every_call_says_so() {
    let mut cluster = Cluster::prepare(1);
    cluster.start_all();
    let up = cluster.wait_until(0, PATIENCE, |status| status.alarms.is_empty());
    up.await;
    let (hospital, [organization, _]) = Hospital::unregistered(&cluster, "hospital");
    let finished = hospital.decision(1);
    let submissions = vec![v1::Submission {
        statement: finished.statement,
        disclosures: finished.disclosures,
        digest_only: Vec::new(),
    }];
    let mut evidence = wire::evidence(&cluster, 0);
    let request = v1::SubmitRequest {
        submissions: submissions.clone(),
        wait: 0,
    };
    let submitted = evidence.submit(within(request, PATIENCE)).await;
    let request = v1::ValidateRequest { submissions };
    let validated = evidence.validate(within(request, PATIENCE)).await;
    let key = Some(v1::get_record_request::Key::Index(0));
    let request = reading(v1::GetRecordRequest { key }, &hospital.key);
    let read = evidence.get_record(request).await;
    let request = aimslog_proto::pb::admin::v1::SubmitSystemRequest {
        statement: organization,
    };
    let mut admin = wire::admin(&cluster, 0);
    let system = admin.submit_system(within(request, PATIENCE)).await;
    let request = within(v1::GetCheckpointRequest::default(), PATIENCE);
    let head = wire::log(&cluster, 0).get_checkpoint(request).await;
    for (name, status, reason) in [
        ("Submit", submitted.unwrap_err(), Reason::NotInitialized),
        ("Validate", validated.unwrap_err(), Reason::NotInitialized),
        ("GetRecord", read.unwrap_err(), Reason::NotInitialized),
        ("SubmitSystem", system.unwrap_err(), Reason::NotInitialized),
        ("GetCheckpoint", head.unwrap_err(), Reason::NoHead),
    ] {
        let told = Told::by(&status);
        assert_eq!(told.reason, Some(reason), "{name}: {status:?}");
        assert_eq!(told.code, Code::Unavailable, "{name}: {status:?}");
    }
}

/// Bytes that are no message never reach a service, and are refused with a reason all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_message_are_refused_with_a_reason() {
    let cluster = Cluster::start(1).await;
    for path in [
        "/aimslog.v1.EvidenceService/Submit",
        "/aimslog.v1.EvidenceService/Validate",
        "/aimslog.v1.LogService/GetCheckpoint",
    ] {
        // Field 1 with a length beyond the end of the message.
        let status = wire::raw_call(&cluster, 0, path, vec![0x0a, 0xff, 0x01]).await;
        let told = Told::by(&status);
        assert_eq!(
            told.reason,
            Some(Reason::InvalidRequest),
            "{path}: {status:?}"
        );
        assert_eq!(told.code, Code::InvalidArgument, "{path}: {status:?}");
        assert_eq!(told.fields.len(), 1, "{path}: {status:?}");
    }
    let unknown = wire::raw_call(&cluster, 0, "/aimslog.v1.EvidenceService/Erase", Vec::new());
    let unknown: Status = unknown.await;
    assert_eq!(unknown.code(), Code::Unimplemented);
}

/// A reason that no row of the tables shows, and the test that does: file and function.
const ELSEWHERE: &[(Reason, &str, &str)] = &[
    (
        Reason::TooFewOperators,
        "proto/src/system/registry/tests/signers.rs",
        "each_statement_is_taken_of_whom_its_row_names_and_of_nobody_else",
    ),
    (
        Reason::InvalidProof,
        "proto/src/statement/commitment/tests.rs",
        "refuses_extra_hashes_behind_the_proof",
    ),
    (
        Reason::AlreadyLogged,
        "tests/tests/refusals.rs",
        "the_same_bytes_again_give_the_first_result",
    ),
    (
        Reason::NoHead,
        "tests/tests/refusals.rs",
        "before_there_is_a_genesis_every_call_says_so",
    ),
    (
        Reason::NotInitialized,
        "tests/tests/refusals.rs",
        "before_there_is_a_genesis_every_call_says_so",
    ),
    (
        Reason::NoQuorum,
        "tests/tests/outcomes.rs",
        "without_a_majority_nothing_is_promised_and_nothing_is_lost",
    ),
    (
        Reason::OutcomeUnknown,
        "tests/tests/outcomes.rs",
        "a_deadline_in_a_frozen_majority_leaves_the_outcome_unknown",
    ),
    (
        Reason::StaleRegistry,
        "tests/tests/outcomes.rs",
        "without_a_majority_nothing_is_promised_and_nothing_is_lost",
    ),
    (
        Reason::Overloaded,
        "node/src/service/budget.rs",
        "bytes_are_held_until_the_answer_and_come_back_all",
    ),
    (
        Reason::QuotaExceeded,
        "tests/tests/quotas.rs",
        "who_uses_up_an_allowance_is_told_when_to_come_again_and_others_notice_nothing",
    ),
    (
        Reason::DiskFull,
        "tests/tests/outcomes.rs",
        "a_full_disk_takes_nothing_and_says_so",
    ),
    (
        Reason::Amnesia,
        "tests/tests/outcomes.rs",
        "a_node_in_amnesia_answers_nobody",
    ),
    (
        Reason::NodeRemoved,
        "tests/tests/replace.rs",
        "a_removed_node_that_still_runs_says_so_and_serves_nothing",
    ),
    (
        Reason::Fork,
        "tests/tests/evil.rs",
        "a_fork_between_nodes_kept_apart_is_found_when_they_meet",
    ),
    (
        Reason::Corrupt,
        "tests/tests/evil.rs",
        "a_forged_statement_is_cosigned_by_no_honest_node",
    ),
    (
        Reason::ShuttingDown,
        "node/src/ledger/sequencer/tests.rs",
        "every_failure_of_raft_has_its_error",
    ),
    (
        Reason::Internal,
        "node/src/service/status.rs",
        "internal_errors_do_not_show_their_cause",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The headings of the table in the protocol file.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("proto/aimslog/v1/errors.proto")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("// "));
    let is_heading = |line: &&str| {
        let upper = |c: char| c.is_ascii_uppercase() || c == '_';
        !line.is_empty() && line.chars().all(upper)
    };
    lines.filter(is_heading).map(str::to_owned).collect()
}

#[test]
fn every_reason_has_a_test() {
    let documented = documented();
    let known: BTreeSet<String> = Reason::all().map(|reason| reason.to_string()).collect();
    assert_eq!(documented, known, "errors.proto and reason.rs differ");
    let rows = submissions().flat_map(|row| row.expected.iter().map(|(reason, _)| *reason));
    let shown: BTreeSet<Reason> = rows.chain(calls().map(|row| row.reason)).collect();
    for (reason, file, function) in ELSEWHERE {
        assert!(!shown.contains(reason), "{reason} has a row now");
        let source = fs::read_to_string(root().join(file)).unwrap();
        let (before, _) = source
            .split_once(&format!("fn {function}("))
            .unwrap_or_else(|| panic!("{reason}: {file} has no test {function}"));
        let attributes = before.rsplit("\n\n").next().unwrap();
        let is_test = ["#[test]", "#[tokio::test"].map(|test| attributes.contains(test));
        assert!(is_test.contains(&true), "{function} is no test");
    }
    let elsewhere: BTreeSet<Reason> = ELSEWHERE.iter().map(|(reason, _, _)| *reason).collect();
    let untested: Vec<Reason> = Reason::all()
        .filter(|reason| !shown.contains(reason) && !elsewhere.contains(reason))
        .collect();
    assert!(untested.is_empty(), "no test shows {untested:?}");
}
