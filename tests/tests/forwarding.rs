//! Any node takes what only the leader can do, and says so where it cannot.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::sync::Arc;
use std::time::Duration;

use aimslog_client::{ClientError, Outcome, RecordFilter, Wait};
use aimslog_proto::pb::raft::v1::{ForwardedBlob, ForwardedCall};
use aimslog_proto::pb::v1::{Submission, SubmitRequest};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::SigningKey;
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::peer;
use aimslog_tests::people::{Hospital, organization_statement};
use prost::Message as _;
use tokio::time::Instant;
use tonic_types::StatusExt as _;

fn refused_for<T: std::fmt::Debug>(result: Result<T, ClientError>, reason: Reason) -> String {
    match result {
        Err(ClientError::Refused(refusal)) if refusal.reason == Some(reason) => {
            format!("{refusal} {:?}", refusal.violations)
        }
        other => panic!("not refused for {reason}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_takes_system_records_and_files_for_the_leader() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let [first, second] = [(leader + 1) % 3, (leader + 2) % 3];
    let hospital = Hospital::register_at(&cluster, "hospital", first).await;

    // The same organisation again is refused by the leader, and the follower passes all of it on.
    let key = SigningKey::from_seed(&[5; 32]);
    let again = organization_statement(&cluster, "hospital", &key);
    let admin = cluster.admin_of(second);
    let words = refused_for(admin.submit_system(&again).await, Reason::IdConflict);
    assert!(words.contains("payload.organization"), "{words}");

    // A file of the largest size, through one follower, and back from the other.
    let content: Vec<u8> = (0..=250).cycle().take(4 << 20).collect();
    let at = |position: usize| {
        let ledger = cluster.ledger_of(position);
        ledger.reading_as(hospital.read_key(), ORIGIN)
    };
    wait_until_readable(&cluster, &hospital, first).await;
    let digest = at(first).put_blob(&hospital.id, &content).await.unwrap();
    wait_until_readable(&cluster, &hospital, second).await;
    assert_eq!(
        at(second).blob(&hospital.id, &digest).await.unwrap(),
        content
    );

    refused_for(
        at(first).put_blob("elsewhere", b"x").await,
        Reason::NotVisible,
    );
    let stranger = Arc::new(SigningKey::from_seed(&[6; 32]));
    let stranger = cluster.ledger_of(first).reading_as(stranger, ORIGIN);
    let words = stranger.put_blob(&hospital.id, b"x").await;
    refused_for(words, Reason::Unauthenticated);

    // The leader judges the token itself and takes no follower's word for whose file it is.
    let forged = ForwardedBlob {
        authorization: "Bearer e30.e30.e30".to_owned(),
        organization: hospital.id.clone(),
        digest: digest.to_vec(),
        content,
    };
    let call = (ForwardedCall::PutBlob, forged.encode_to_vec());
    let refused = peer::forward(&cluster, first, leader, call).await;
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");

    let statement = [hospital.decision(1)];
    let judged = at(first).validate(&statement).await.unwrap();
    assert!(judged.iter().all(Vec::is_empty), "{judged:?}");
    let logged = at(second)
        .submit(&statement, Wait::Committed)
        .await
        .unwrap();
    assert!(
        matches!(logged.as_slice(), [Outcome::Logged { .. }]),
        "{logged:?}"
    );

    cluster.kill(leader);
    cluster.kill(second);
    alone_it_judges_nothing(&cluster, first, &hospital).await;
}

/// Alone, a follower neither forwards nor judges by what it may have missed.
async fn alone_it_judges_nothing(cluster: &Cluster, position: usize, hospital: &Hospital) {
    let statement = [hospital.decision(1)];
    let mut endpoints = cluster.endpoints([cluster.nodes[position].client].into_iter());
    endpoints.deadline = Duration::from_secs(9);
    let alone = cluster.ledger_at(&endpoints);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match alone.validate(&statement).await {
            Err(error @ ClientError::Unreachable { .. }) => {
                let said = error.to_string();
                assert!(said.contains("has not heard from a leader"), "{said}");
                break;
            }
            // It may judge for 5 s by what a leader told it.
            Ok(_) => assert!(Instant::now() < deadline, "judged for 30 s"),
            other => panic!("{other:?}"),
        }
    }
    let sent = alone.submit(&[hospital.decision(2)], Wait::Committed).await;
    assert!(sent.is_err(), "{sent:?}");
}

/// A follower hands files out once it has applied the organisation, and the file.
async fn wait_until_readable(cluster: &Cluster, hospital: &Hospital, position: usize) {
    let leader = cluster.status(cluster.leader().await).await.unwrap();
    cluster
        .wait_until(position, Duration::from_secs(20), |status| {
            status.applied_index >= leader.committed_index
        })
        .await;
    let ledger = cluster.ledger_of(position);
    let ledger = ledger.reading_as(hospital.read_key(), ORIGIN);
    // Fresh once a read barrier has passed, which it does every second.
    let filter = RecordFilter {
        organization: hospital.id.clone(),
        ..RecordFilter::default()
    };
    let listed = ledger.list(&filter, None).await;
    assert!(listed.is_ok(), "{listed:?}");
}

/// The leader has as long as the follower has left, and answers for itself within it: who only sees
/// the time run out does not learn what that means.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_call_keeps_the_deadline_of_its_caller() {
    let mut cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let leader = cluster.leader().await;
    let [first, second] = [(leader + 1) % 3, (leader + 2) % 3];
    let statement = hospital.decision(1);
    let request = SubmitRequest {
        submissions: vec![Submission {
            statement: statement.statement,
            disclosures: statement.disclosures,
            ..Submission::default()
        }],
        ..SubmitRequest::default()
    };
    // Alone it can commit nothing.
    cluster.kill(first);
    cluster.kill(second);
    let began = Instant::now();
    let call = (ForwardedCall::Submit, request.encode_to_vec());
    let left = Duration::from_secs(3);
    let refused = peer::forward_within(&cluster, (first, leader), call, left).await;
    assert!(began.elapsed() < left, "after {:?}", began.elapsed());
    let details = refused.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    assert_eq!(reason, Some("OUTCOME_UNKNOWN"), "{refused:?}");
}
