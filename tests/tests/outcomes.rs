//! What a caller is told when nobody can know, or nobody may say: a deadline in the middle, no
//! majority, a node cut off, a full disk, a node that has forgotten. And that a refused statement dies.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::time::Duration;

use aimslog_client::clock;
use aimslog_proto::pb::admin::v1::SubmitSystemRequest;
use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::submit_result::Outcome;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::EntryId;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::draft::{Draft, claim};
use aimslog_tests::people::{Hospital, organization_statement};
use aimslog_tests::wire::{self, Told, reading, within};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

/// Until a cluster that was disturbed answers again, with room for a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A caller that does not wait long.
const SHORT: Duration = Duration::from_secs(2);

/// What may be said of a submission that has no majority behind it, with the codes. Which one it is
/// depends on whether it was proposed before the node noticed that it leads nobody.
const NOT_DONE: [(Reason, Code); 3] = [
    (Reason::OutcomeUnknown, Code::DeadlineExceeded),
    (Reason::NoQuorum, Code::Unavailable),
    (Reason::NotLeader, Code::Unavailable),
];

async fn submit(
    cluster: &Cluster,
    position: usize,
    (submission, deadline): (&v1::Submission, Duration),
) -> Result<v1::SubmitResult, Status> {
    let request = v1::SubmitRequest {
        submissions: vec![submission.clone()],
        wait: 0,
    };
    let mut service = wire::evidence(cluster, position);
    let answer = service.submit(within(request, deadline)).await?;
    Ok(answer.into_inner().results.into_iter().next().unwrap())
}

/// Sends the same bytes until they are answered, as a client should.
async fn submit_until_told(
    cluster: &Cluster,
    position: usize,
    submission: &v1::Submission,
) -> v1::SubmitResult {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match submit(cluster, position, (submission, SHORT)).await {
            Ok(result) => return result,
            Err(status) => assert!(Instant::now() < deadline, "{status:?}\n{}", cluster.logs()),
        }
    }
}

fn logged(result: &v1::SubmitResult) -> (u64, bool) {
    match &result.outcome {
        Some(Outcome::Accepted(accepted)) => {
            let entry = accepted.entry.as_ref().unwrap();
            (entry.index, accepted.already_logged)
        }
        other => panic!("not logged: {other:?}"),
    }
}

fn refused(result: &v1::SubmitResult) -> Vec<(&str, &str)> {
    match &result.outcome {
        Some(Outcome::Refused(refused)) => refused
            .violations
            .iter()
            .map(|violation| (violation.reason.as_str(), violation.field.as_str()))
            .collect(),
        other => panic!("not refused: {other:?}"),
    }
}

fn submission(hospital: &Hospital, number: u64) -> v1::Submission {
    Draft::of(hospital.decision(number), &hospital.key).submission()
}

/// The positions of the two that do not lead.
fn others(leader: usize) -> [usize; 2] {
    [(leader + 1) % 3, (leader + 2) % 3]
}

/// How many records of the organisation the node has.
async fn records(cluster: &Cluster, position: usize, hospital: &Hospital) -> usize {
    let request = v1::ListRecordsRequest {
        organization: hospital.id.clone(),
        kind: "oversight_decision".to_owned(),
        ..v1::ListRecordsRequest::default()
    };
    let mut service = wire::evidence(cluster, position);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = reading(request.clone(), &hospital.key);
        match service.list_records(request).await {
            Ok(answer) => return answer.into_inner().records.len(),
            Err(status) => assert!(Instant::now() < deadline, "{status:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_in_a_frozen_majority_leaves_the_outcome_unknown() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let leader = cluster.leader().await;
    let sent = submission(&hospital, 1);
    for position in others(leader) {
        cluster.freeze(position);
    }
    // The leader still believes that it leads, proposes, and hears nothing more.
    let status = submit(&cluster, leader, (&sent, SHORT)).await.unwrap_err();
    let told = Told::by(&status);
    let said = (told.reason.unwrap(), told.code);
    assert_eq!(said, NOT_DONE[0], "{status:?}");
    let late = submission(&hospital, 2);
    let status = submit(&cluster, leader, (&late, SHORT)).await.unwrap_err();
    let told = Told::by(&status);
    let said = (told.reason.unwrap(), told.code);
    assert!(NOT_DONE.contains(&said), "{status:?}");
    for position in others(leader) {
        cluster.thaw(position);
    }
    // Whatever became of the first attempts, the same bytes are one entry.
    for (number, sent) in [&sent, &late].into_iter().enumerate() {
        let (index, _) = logged(&submit_until_told(&cluster, leader, sent).await);
        for position in 0..3 {
            let again = submit_until_told(&cluster, position, sent).await;
            assert_eq!(logged(&again), (index, true), "number {number}");
        }
    }
    assert_eq!(records(&cluster, leader, &hospital).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_promised_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let leader = cluster.leader().await;
    let before = submission(&hospital, 1);
    let (first, _) = logged(&submit_until_told(&cluster, leader, &before).await);
    let [alone, gone] = others(leader);
    cluster.kill(leader);
    cluster.kill(gone);
    let sent = submission(&hospital, 2);
    until_told_no_quorum(&cluster, alone, &sent).await;
    until_told_that_it_is_stale(&cluster, alone, &hospital).await;
    // What is published stays so, and nobody need be asked for it.
    let mut log = wire::log(&cluster, alone);
    let request = within(v1::GetCheckpointRequest::default(), SHORT);
    log.get_checkpoint(request).await.unwrap();

    cluster.start_all();
    let (index, _) = logged(&submit_until_told(&cluster, alone, &sent).await);
    assert!(index > first);
    let again = submit_until_told(&cluster, alone, &before).await;
    assert_eq!(logged(&again), (first, true));
    assert_eq!(records(&cluster, alone, &hospital).await, 2);
}

/// A node that hears of nobody says so, and nothing else on the way there than that it does not know.
async fn until_told_no_quorum(cluster: &Cluster, alone: usize, sent: &v1::Submission) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = submit(cluster, alone, (sent, SHORT)).await.unwrap_err();
        let told = Told::by(&status);
        let said = (told.reason.unwrap(), told.code);
        assert!(NOT_DONE.contains(&said), "{status:?}");
        if told.reason == Some(Reason::NoQuorum) {
            return;
        }
        assert!(Instant::now() < deadline, "{status:?}\n{}", cluster.logs());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Cut off, it neither reads for others nor judges by what it may have missed.
async fn until_told_that_it_is_stale(cluster: &Cluster, alone: usize, hospital: &Hospital) {
    let mut service = wire::evidence(cluster, alone);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = v1::ListRecordsRequest {
            organization: hospital.id.clone(),
            ..v1::ListRecordsRequest::default()
        };
        let listed = service.list_records(reading(request, &hospital.key)).await;
        let request = v1::ValidateRequest {
            submissions: vec![submission(hospital, 3)],
        };
        let judged = service.validate(within(request, SHORT)).await;
        if let (Err(listed), Err(judged)) = (listed, judged) {
            for status in [listed, judged] {
                let told = Told::by(&status);
                assert_eq!(told.reason, Some(Reason::StaleRegistry), "{status:?}");
                assert_eq!(told.code, Code::Unavailable);
            }
            return;
        }
        assert!(Instant::now() < deadline, "a node cut off reads for 30 s");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A statement that is refused today because something is missing must not surface years later, when
/// it is there; and what is logged keeps its result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_statement_dies_and_a_logged_one_keeps_its_result() {
    let cluster = Cluster::start(1).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let target = submission(&hospital, 1);
    let expires = clock::unix_seconds() + 3;
    let mut draft = Draft::of(hospital.decision(2), &hospital.key);
    draft.claims.set(claim::EXP, |value| {
        value.uint(expires);
    });
    let kept = draft.submission();
    let mut draft = Draft::of(hospital.decision(3), &hospital.key);
    draft.claims.set(claim::EXP, |value| {
        value.uint(expires);
    });
    draft.claims.set(claim::LINKS, |value| {
        let target = EntryId::of(&target.statement);
        value
            .array(1)
            .array(2)
            .text("follows")
            .bytes(target.as_bytes());
    });
    let dying = draft.submission();

    let (index, _) = logged(&submit_until_told(&cluster, 0, &kept).await);
    let missing = [("MISSING_LINK_TARGET", "header.links")];
    let result = submit_until_told(&cluster, 0, &dying).await;
    assert_eq!(refused(&result), missing);
    logged(&submit_until_told(&cluster, 0, &target).await);
    let deadline = Instant::now() + PATIENCE;
    while clock::unix_seconds() <= expires {
        assert!(Instant::now() < deadline, "the clock stands still");
        sleep(Duration::from_millis(50)).await;
    }
    let result = submit_until_told(&cluster, 0, &dying).await;
    assert_eq!(refused(&result), [("EXPIRED", "header.exp")]);
    let again = submit_until_told(&cluster, 0, &kept).await;
    assert_eq!(logged(&again), (index, true));
}

/// The reserve is set to more than any disk has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_nothing_and_says_so() {
    let mut cluster = Cluster::prepare(1);
    let config = cluster.nodes[0].folder.join("aimslogd.toml");
    let text = fs::read_to_string(&config).unwrap();
    let roomy = "reserve_mib = 1024";
    assert!(text.contains(roomy), "{text}");
    let full = text.replace(roomy, "reserve_mib = 1073741824");
    fs::write(&config, full).unwrap();
    cluster.start_all();
    cluster.found().await;
    let full = cluster.wait_until(0, PATIENCE, |status| {
        status.alarms.iter().any(|alarm| alarm.name == "NOSPACE")
    });
    full.await;
    let (hospital, statements) = Hospital::unregistered(&cluster, "hospital");
    let sent = submission(&hospital, 1);
    let submitted = submit(&cluster, 0, (&sent, SHORT)).await.unwrap_err();
    let mut admin = wire::admin(&cluster, 0);
    let request = SubmitSystemRequest {
        statement: statements[0].clone(),
    };
    let registered = admin.submit_system(within(request, SHORT)).await;
    for status in [submitted, registered.unwrap_err()] {
        let told = Told::by(&status);
        assert_eq!(told.reason, Some(Reason::DiskFull), "{status:?}");
        assert_eq!(told.code, Code::ResourceExhausted);
    }
    let size = cluster.status(0).await.unwrap().tree_size;
    assert_eq!(size, 2, "something was logged");

    // With room again it goes on.
    cluster.stop(0);
    fs::write(&config, text).unwrap();
    cluster.start_all();
    let up = cluster.wait_until(0, PATIENCE, |status| status.role == "leader");
    up.await;
    for statement in statements {
        cluster.admin_of(0).submit_system(&statement).await.unwrap();
    }
    logged(&submit_until_told(&cluster, 0, &sent).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_amnesia_answers_nobody() {
    let mut cluster = Cluster::start(1).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    cluster.stop(0);
    let guard = cluster.nodes[0].folder.join("guard");
    fs::remove_dir_all(&guard).unwrap();
    fs::create_dir(&guard).unwrap();
    cluster.start_node(0);
    let forgot = cluster.wait_until(0, PATIENCE, |status| {
        status.alarms.iter().any(|alarm| alarm.name == "AMNESIA")
    });
    forgot.await;
    let sent = submission(&hospital, 1);
    let submitted = submit(&cluster, 0, (&sent, SHORT)).await.unwrap_err();
    let request = within(v1::GetCheckpointRequest::default(), SHORT);
    let head = wire::log(&cluster, 0).get_checkpoint(request).await;
    let key = Some(v1::get_record_request::Key::Index(0));
    let request = reading(v1::GetRecordRequest { key }, &hospital.key);
    let record = wire::evidence(&cluster, 0).get_record(request).await;
    let statement = organization_statement(&cluster, "clinic", &hospital.key);
    let request = within(SubmitSystemRequest { statement }, SHORT);
    let system = wire::admin(&cluster, 0).submit_system(request).await;
    for status in [
        submitted,
        head.unwrap_err(),
        record.unwrap_err(),
        system.unwrap_err(),
    ] {
        let told = Told::by(&status);
        assert_eq!(told.reason, Some(Reason::Amnesia), "{status:?}");
        assert_eq!(told.code, Code::Unavailable);
    }
}
