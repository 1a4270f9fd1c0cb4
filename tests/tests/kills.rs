//! Nodes die under load, again and again, and nothing that was acknowledged is lost.
//!
//! Method: callers submit through any node while each node in turn is killed with SIGKILL in the
//! middle of submissions and started again. Then every promise that a client was given is checked
//! on every node, and every record's evidence offline.

use std::time::Duration;

use aimslog_tests::check::check_log;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::people::Hospital;

/// How often a node is killed.
const KILLS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_kills_under_load_lose_nothing() {
    let mut cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let load = Load::start(&cluster, &hospital, &history, 4);
    for kill in 0..KILLS {
        // Something is under way at each kill: callers never pause, and the last one recovered.
        Load::wait_for_progress(&history, 25, Duration::from_secs(30)).await;
        let position = kill % cluster.nodes.len();
        cluster.kill(position);
        Load::wait_for_progress(&history, 5, Duration::from_secs(30)).await;
        cluster.start_node(position);
    }
    Load::wait_for_progress(&history, 25, Duration::from_secs(30)).await;
    load.stop().await;
    println!(
        "{KILLS} kills, {} entries acknowledged",
        history.acknowledged()
    );
    assert!(history.acknowledged() >= KILLS * 30);
    check_log(&cluster, &history, &hospital.read_key()).await;
}
