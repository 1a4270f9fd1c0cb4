//! Sixty seconds of far more submissions than three nodes on one machine can take. Heads stay fresh,
//! refusals say when to come again, memory stays bounded, and afterwards everything is as before.
#![expect(
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::sync::atomic::Ordering;
use std::time::Duration;

use aimslog_client::{Outcome, Wait};
use aimslog_tests::check::check_large_log;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::crowd::{Crowd, Size};
use aimslog_tests::history::History;
use aimslog_tests::netns::say;
use aimslog_tests::people::Hospital;
use tokio::time::{Instant, interval};

const OVERLOAD: Duration = Duration::from_mins(1);
/// The promise: no acknowledged entry waits longer for a published head.
const HEAD_AGE_MAX: Duration = Duration::from_secs(3);
/// Queues of 64 MiB, write buffers and caches of two databases, connections.
const RESIDENT_BYTES_MAX: u64 = 600 << 20;
/// A quiet ledger cuts at once for who waits.
const RECEIPT_WITHIN: Duration = Duration::from_secs(1);
const CROWD: Size = Size {
    submitters: 600,
    batch: 16,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_of_overload_leaves_heads_fresh() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let crowd = Crowd::start(&cluster, &hospital, &history, CROWD).await;
    let memory = most_memory(&cluster, OVERLOAD).await;
    let told = crowd.stop().await;

    let (oldest, looks) = told.oldest_uncovered();
    let refused = told.refused.load(Ordering::Relaxed);
    let unknown = told.unknown.load(Ordering::Relaxed);
    say(&format!(
        "{} acknowledged, {refused} calls refused, {unknown} not told; head at most {} ms old \
         ({looks} looks); at most {} MiB",
        history.acknowledged(),
        oldest.as_millis(),
        memory >> 20
    ));
    assert!(
        oldest <= HEAD_AGE_MAX,
        "an acknowledged entry was under no head after {oldest:?}\n{}",
        cluster.logs()
    );
    // Each node is asked several times a second.
    assert!(looks > 3 * 2 * OVERLOAD.as_secs(), "{looks} looks");
    assert!(refused > 0, "it was no overload: nothing was refused");
    assert!(memory < RESIDENT_BYTES_MAX, "{memory} bytes");

    let began = Instant::now();
    receipt(&cluster, &hospital, &history).await;
    let took = began.elapsed();
    assert!(took < RECEIPT_WITHIN, "a receipt after {took:?}");
    check_large_log(&cluster, &history, &hospital).await;
}

/// The most memory that any node held meanwhile.
async fn most_memory(cluster: &Cluster, time: Duration) -> u64 {
    let until = Instant::now() + time;
    let mut ticks = interval(Duration::from_millis(500));
    let mut most = 0;
    while Instant::now() < until {
        ticks.tick().await;
        for position in 0..cluster.nodes.len() {
            most = most.max(cluster.resident_bytes(position));
        }
    }
    most
}

/// One record, submitted when nobody else does.
async fn receipt(cluster: &Cluster, hospital: &Hospital, history: &History) {
    let statement = [hospital.decision(u64::from(u32::MAX))];
    let answer = cluster.ledger().submit(&statement, Wait::Receipt).await;
    match answer.as_deref() {
        Ok(
            [
                Outcome::Logged {
                    entry,
                    evidence: Some(_),
                    ..
                },
            ],
        ) => history.acknowledge(entry),
        other => panic!("no receipt: {other:?}\n{}", cluster.logs()),
    }
}
