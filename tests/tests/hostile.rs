//! Garbage, silence, halves and too much, all at once and from hundreds of callers: the node stays up
//! and within its memory, and whoever means it is served in bounded time meanwhile, also who comes new.
#![expect(
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::net::IpAddr;
use std::time::Duration;

use aimslog_client::{Ledger, Outcome, Wait};
use aimslog_proto::pb::v1::{Submission, SubmitRequest};
use aimslog_tests::check::check_log;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::history::History;
use aimslog_tests::hostile::{self, Attack};
use aimslog_tests::people::Hospital;
use aimslog_tests::stall::Staller;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

/// How long the attacks go on.
const STORM: Duration = Duration::from_secs(15);
/// Within this a good caller has its answer, on two cores that the attackers share with three nodes.
const ANSWER_AT_MOST: Duration = Duration::from_secs(3);
/// More memory than this no attack makes a node use: half of what all batches together may take.
const MEMORY_MORE_AT_MOST: u64 = 256 << 20;

async fn log_one(
    (ledger, hospital): (&Ledger, &Hospital),
    number: u64,
    history: &History,
) -> Duration {
    let began = Instant::now();
    let statement = [hospital.decision(number)];
    match ledger.submit(&statement, Wait::Committed).await.as_deref() {
        Ok([Outcome::Logged { entry, .. }]) => history.acknowledge(entry),
        other => panic!("a good record was answered with {other:?}"),
    }
    began.elapsed()
}

/// Every attack has done what it does.
async fn wait_until_under_way(attacks: &[Attack]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let idle: Vec<&str> = attacks
            .iter()
            .filter(|attack| attack.done() == 0)
            .map(|attack| attack.name)
            .collect();
        if idle.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "nothing was done by {idle:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_means_it_is_served_while_hundreds_do_harm() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let target = cluster.leader().await;
    let known = cluster.ledger_of(target);
    log_one((&known, &hospital), 0, &history).await;
    let memory_before = cluster.memory(target);
    let term_before = cluster.status(target).await.unwrap().term;

    let attacks = hostile::all(&cluster, target);
    let end = Instant::now() + STORM;
    let (mut slowest_known, mut slowest_new) = (Duration::ZERO, Duration::ZERO);
    let mut memory_most = memory_before;
    let mut number = 1;
    while Instant::now() < end {
        let of_known = log_one((&known, &hospital), number, &history).await;
        // Who comes new has to get through the door first.
        let new = cluster.ledger_of(target);
        let of_new = log_one((&new, &hospital), number + 1, &history).await;
        slowest_known = slowest_known.max(of_known);
        slowest_new = slowest_new.max(of_new);
        memory_most = memory_most.max(cluster.memory(target));
        number += 2;
    }
    wait_until_under_way(&attacks).await;
    let counts: Vec<(&str, u64)> = attacks
        .iter()
        .map(|attack| (attack.name, attack.done()))
        .collect();
    println!(
        "{number} records, slowest {slowest_known:?} over a connection that was there and \
         {slowest_new:?} over a new one; memory {} MiB, at most {} MiB; attacks {counts:?}",
        memory_before >> 20,
        memory_most >> 20,
    );
    let status = cluster.status(target).await.unwrap();
    assert_eq!(status.role, "leader", "an attack took the lead away");
    assert_eq!(status.term, term_before, "an attack made an election");
    assert!(status.alarms.is_empty(), "{:?}", status.alarms);
    drop(attacks);
    assert!(slowest_known < ANSWER_AT_MOST, "{slowest_known:?}");
    assert!(slowest_new < ANSWER_AT_MOST, "{slowest_new:?}");
    let more = memory_most.saturating_sub(memory_before);
    assert!(more < MEMORY_MORE_AT_MOST, "{} MiB more", more >> 20);
    check_log(&cluster, &history, &hospital.read_key()).await;
}

/// A request that is whole is held until its call is done or given up, which takes up to two minutes.
/// One address gets a quarter of the room for that, and who comes from elsewhere notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_with_all_that_one_address_gets_takes_nothing_from_others() {
    let cluster = Cluster::start(1).await;
    let [greedy, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
    let greedy = Staller::connect(&cluster, 0, greedy).await;
    let submission = Submission {
        statement: vec![0; (4 << 20) - 64],
        ..Submission::default()
    };
    let request = SubmitRequest {
        submissions: vec![submission],
        ..SubmitRequest::default()
    };
    let message = request.encode_to_vec();
    let mut held = FuturesUnordered::new();
    let refused = loop {
        held.push(greedy.clone().stall(message.clone()));
        if let Ok(Some(refused)) = timeout(Duration::from_millis(400), held.next()).await {
            break refused;
        }
        assert!(held.len() <= 16, "more than a quarter of all is held");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("from this address"),
        "{refused:?}"
    );

    let other = Staller::connect(&cluster, 0, other).await;
    let answer = timeout(Duration::from_secs(2), other.stall(message)).await;
    assert!(answer.is_err(), "refused from elsewhere: {answer:?}");
    let again = greedy.stall(request.encode_to_vec());
    let again = timeout(Duration::from_secs(5), again).await;
    assert!(
        again.is_ok_and(|refused| refused.code() == Code::ResourceExhausted),
        "the share was not full all the while"
    );
}
