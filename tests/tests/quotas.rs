//! What one principal and one organisation may take of a node, and that whoever takes much leaves the
//! others their turn.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::sync::Arc;
use std::time::Duration;

use aimslog_client::FinishedStatement;
use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::submit_result::Outcome;
use aimslog_proto::reason::Reason;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::people::Hospital;
use aimslog_tests::wire::{self, Told, reading, within};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(20);

fn submissions(finished: Vec<FinishedStatement>) -> Vec<v1::Submission> {
    let submission = |finished: FinishedStatement| v1::Submission {
        statement: finished.statement,
        disclosures: finished.disclosures,
        digest_only: Vec::new(),
    };
    finished.into_iter().map(submission).collect()
}

async fn submit(
    cluster: &Cluster,
    submissions: Vec<v1::Submission>,
) -> Result<v1::SubmitResponse, Status> {
    submit_and_wait(cluster, (submissions, v1::Wait::Unspecified)).await
}

async fn submit_and_wait(
    cluster: &Cluster,
    (submissions, wait): (Vec<v1::Submission>, v1::Wait),
) -> Result<v1::SubmitResponse, Status> {
    let request = v1::SubmitRequest {
        submissions,
        wait: wait.into(),
    };
    let mut service = wire::evidence(cluster, 0);
    let answer = service.submit(within(request, PATIENCE)).await?;
    let answer = answer.into_inner();
    let is_logged =
        |result: &v1::SubmitResult| matches!(result.outcome, Some(Outcome::Accepted(_)));
    assert!(answer.results.iter().all(is_logged), "{answer:?}");
    Ok(answer)
}

/// A refusal for want of allowance: which one, and how long to wait.
fn told(status: &Status) -> (String, Duration) {
    assert_eq!(Told::by(status).reason, Some(Reason::QuotaExceeded));
    let details = status.get_error_details();
    let limit = details.error_info().unwrap().metadata["limit"].clone();
    (limit, details.retry_info().unwrap().retry_delay.unwrap())
}

/// A node whose disk stands still for seconds says so, and is asked again.
fn is_stale(status: &Status) -> bool {
    Told::by(status).reason == Some(Reason::StaleRegistry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_uses_up_an_allowance_is_told_when_to_come_again_and_others_notice_nothing() {
    let mut cluster = Cluster::prepare(1);
    let slow = "principal_requests_per_second = 1\n";
    cluster.configure(0, ("principal_requests_per_second = 5000\n", slow));
    cluster.start_all();
    cluster.found().await;
    let (greedy, other) = (
        Hospital::register(&cluster, "greedy").await,
        Hospital::register(&cluster, "other").await,
    );
    // Ten seconds' worth at once.
    submit(&cluster, submissions(greedy.decisions(0..10)))
        .await
        .unwrap();
    let before = cluster.status(0).await.unwrap().tree_size;
    let more = submissions(greedy.decisions(10..12));
    let (limit, wait) = told(&submit(&cluster, more.clone()).await.unwrap_err());
    assert_eq!(limit, "principal_requests_per_second");
    assert!(wait <= Duration::from_secs(3), "{wait:?}");
    assert_eq!(cluster.status(0).await.unwrap().tree_size, before);
    // Reads of the same key are refused as well, those of others are not.
    let list = |organization: &str| v1::ListRecordsRequest {
        organization: organization.to_owned(),
        ..v1::ListRecordsRequest::default()
    };
    let read = |hospital: &Hospital| {
        let request = reading(list(&hospital.id), &hospital.key);
        let mut service = wire::evidence(&cluster, 0);
        async move { service.list_records(request).await.map(drop) }
    };
    loop {
        // What came back meanwhile is good for one read at most.
        match read(&greedy).await {
            Err(refused) if !is_stale(&refused) => {
                told(&refused);
                break;
            }
            Err(_) | Ok(()) => {}
        }
    }
    read(&other).await.unwrap();
    let few = submissions(other.decisions(0..3));
    submit(&cluster, few.clone()).await.unwrap();
    // What is in the log already is nobody's new record: who repeats it is not charged for it.
    for _ in 0..3 {
        assert!(submit(&cluster, few.clone()).await.is_ok());
    }
    // Evidence files of it have an end, which takes nothing from what its signer reads and logs with.
    let again = || submit_and_wait(&cluster, (few.clone(), v1::Wait::Receipt));
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        match again().await {
            Err(refused) if !is_stale(&refused) => break refused,
            Err(_) | Ok(_) => assert!(Instant::now() < deadline, "never refused"),
        }
    };
    assert_eq!(told(&refused).0, "principal_requests_per_second");
    read(&other).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while let Err(refused) = submit(&cluster, more.clone()).await {
        let (_, wait) = told(&refused);
        assert!(Instant::now() < deadline, "still refused: {refused}");
        sleep(wait).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_that_keeps_the_door_busy_delays_others_by_turns_and_not_by_its_queue() {
    /// Calls that wait at the door at any time.
    const CALLERS: usize = 32;
    let mut cluster = Cluster::prepare(1);
    // The door is what they are to meet.
    let many =
        "principal_requests_per_second = 1000000\norganization_requests_per_second = 1000000\n";
    let few = "principal_requests_per_second = 5000\norganization_requests_per_second = 10000\n";
    cluster.configure(0, (few, many));
    cluster.start_all();
    cluster.found().await;
    let loud = Hospital::register(&cluster, "loud").await;
    let quiet = Hospital::register(&cluster, "quiet").await;
    // Judging costs the node as much as taking them in, and they can be judged again and again.
    let batch = submissions(loud.decisions(0..100));
    let end = Instant::now() + Duration::from_secs(8);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (key, batch) = (Arc::clone(&loud.key), batch.clone());
        let mut service = wire::evidence(&cluster, 0);
        callers.spawn(async move {
            let mut waits = Vec::new();
            while Instant::now() < end {
                let request = v1::ValidateRequest {
                    submissions: batch.clone(),
                };
                let began = Instant::now();
                match service.validate(reading(request, &key)).await {
                    Ok(_) => waits.push(began.elapsed()),
                    Err(refused) => assert!(is_stale(&refused), "{refused}"),
                }
            }
            waits
        });
    }
    sleep(Duration::from_secs(1)).await;
    let mut waits = Vec::new();
    let mut number = 0;
    while Instant::now() + Duration::from_secs(1) < end {
        let one = submissions(quiet.decisions(number..number + 1));
        let began = Instant::now();
        submit(&cluster, one).await.unwrap();
        waits.push(began.elapsed());
        number += 1;
    }
    let loud_waits = callers.join_all().await.concat();
    let (quiet, loud) = (median(waits), median(loud_waits));
    println!("one call took {quiet:?} between {CALLERS} callers whose calls took {loud:?}");
    assert!(quiet * 4 < loud, "{quiet:?} beside {loud:?}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let Some(median) = times.get(times.len() / 2) else {
        panic!("nothing was measured");
    };
    *median
}
