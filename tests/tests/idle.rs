//! A cluster that nobody talks to: it logs nothing, and takes the next record as if nothing had been.

use std::time::Duration;

use aimslog_proto::tlog::TreeSize;
use aimslog_tests::check::check_log;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::history::History;
use aimslog_tests::load::submit;
use aimslog_tests::people::Hospital;
use tokio::time::sleep;

/// A cluster that nobody talked to for two minutes takes the next record at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_left_alone_for_two_minutes_takes_the_next_record() {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    submit(&cluster.ledger(), &hospital, &history, 0).await;
    let size = history.told().acknowledged.keys().next_back().unwrap().0 + 1;
    let before = cluster
        .ledger()
        .checkpoint_covering(TreeSize(size))
        .await
        .unwrap();
    sleep(Duration::from_mins(2)).await;
    let after = cluster.ledger().checkpoint().await.unwrap();
    assert_eq!(before.head(), after.head(), "an idle log grew");
    let took = submit(&cluster.ledger(), &hospital, &history, 1).await;
    assert!(
        took < Duration::from_secs(1),
        "the next record took {took:?}"
    );
    check_log(&cluster, &history, &hospital.read_key()).await;
}
