//! The leader dies, or stands still: how long until writes go on, and how fresh heads stay.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::time::Duration;

use aimslog_proto::tlog::TreeSize;
use aimslog_tests::check::check_log;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::history::History;
use aimslog_tests::load::submit;
use aimslog_tests::people::Hospital;
use tokio::time::{Instant, sleep};

/// Five leaders in a row are killed. Each time the next record is in the log within three seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_resume_within_three_seconds_of_the_leaders_death() {
    let mut cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let ledger = cluster.ledger();
    for round in 0..5 {
        submit(&ledger, &hospital, &history, round * 2).await;
        let leader = cluster.leader().await;
        cluster.kill(leader);
        let gap = submit(&ledger, &hospital, &history, round * 2 + 1).await;
        println!(
            "leader {leader} killed, writes resumed after {} ms",
            gap.as_millis()
        );
        assert!(gap < Duration::from_secs(3), "writes resumed after {gap:?}");
        cluster.start_node(leader);
        let size = 3 + history.acknowledged() as u64;
        let caught_up =
            |status: &aimslog_proto::pb::admin::v1::StatusResponse| status.tree_size >= size;
        cluster
            .wait_until(leader, Duration::from_secs(20), caught_up)
            .await;
    }
    check_log(&cluster, &history, &hospital.read_key()).await;
}

/// With one node dead, a record is under a published head as soon as with three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_node_dead_heads_are_as_fresh_as_with_three() {
    let mut cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let all = slowest_head(&cluster, &hospital, &history, 0).await;
    let leader = cluster.leader().await;
    cluster.kill((leader + 1) % 3);
    let two = slowest_head(&cluster, &hospital, &history, 100).await;
    println!(
        "slowest head: {} ms with three, {} ms with two",
        all.as_millis(),
        two.as_millis()
    );
    assert!(two < Duration::from_secs(3), "a head came after {two:?}");
}

/// The longest that one of ten records waited for a published head over it.
async fn slowest_head(
    cluster: &Cluster,
    hospital: &Hospital,
    history: &History,
    first: u64,
) -> Duration {
    let leader = cluster.leader().await;
    let ledger = cluster.ledger_of(leader);
    let mut slowest = Duration::ZERO;
    for number in first..first + 10 {
        submit(&ledger, hospital, history, number).await;
        let size = history.told().acknowledged.keys().next_back().unwrap().0 + 1;
        let began = Instant::now();
        ledger.checkpoint_covering(TreeSize(size)).await.unwrap();
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// A leader that stands still for five seconds (SIGSTOP) is replaced; when it goes on, it has
/// published and acknowledged nothing of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_is_replaced_and_follows_when_it_thaws() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let ledger = cluster.ledger();
    submit(&ledger, &hospital, &history, 0).await;
    let leader = cluster.leader().await;
    cluster.freeze(leader);
    // Ask only those that can answer: a frozen node holds connections open.
    let others: Vec<_> = (0..3).filter(|position| *position != leader).collect();
    let awake = cluster.ledger_of(others[0]);
    let gap = submit(&awake, &hospital, &history, 1).await;
    assert!(gap < Duration::from_secs(5), "writes resumed after {gap:?}");
    sleep(Duration::from_secs(5)).await;
    cluster.thaw(leader);
    for number in 2..20 {
        submit(&ledger, &hospital, &history, number).await;
    }
    check_log(&cluster, &history, &hospital.read_key()).await;
}
