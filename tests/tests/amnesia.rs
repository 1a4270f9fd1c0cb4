//! A node that has forgotten what it promised neither votes, acknowledges nor signs, and says which
//! guard fired. The others go on.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use aimslog_client::{Outcome, Wait};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::people::Hospital;
use tokio::time::Instant;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn replace(folder: &Path, with: &Path) {
    fs::remove_dir_all(folder).unwrap();
    copy(with, folder);
}

/// Logs some records; where an answer is lost the same bytes are sent again, as a client should.
async fn log_some(cluster: &Cluster, hospital: &Hospital, numbers: std::ops::Range<u64>) {
    let statements = hospital.decisions(numbers);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match cluster.ledger().submit(&statements, Wait::Receipt).await {
            Ok(outcomes) => {
                let logged = |outcome: &Outcome| matches!(outcome, Outcome::Logged { .. });
                assert!(outcomes.iter().all(logged), "{outcomes:?}");
                return;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}\n{}", cluster.logs()),
        }
    }
}

fn names_amnesia(status: &StatusResponse) -> bool {
    status.alarms.iter().any(|alarm| alarm.name == "AMNESIA")
}

/// The state of `victim` after something was done to its folder: in AMNESIA, and silent, while the
/// others go on.
async fn assert_amnesia(cluster: &mut Cluster, hospital: &Hospital, victim: usize, guard: &str) {
    cluster.start_node(victim);
    let status = cluster
        .wait_until(victim, Duration::from_secs(20), names_amnesia)
        .await;
    let alarm = status
        .alarms
        .iter()
        .find(|alarm| alarm.name == "AMNESIA")
        .unwrap();
    println!("{guard}: {}", alarm.detail);
    assert_ne!(status.role, "leader");
    log_some(cluster, hospital, 1000..1010).await;
    let size = cluster.ledger().checkpoint().await.unwrap().head().size.0;
    let later = cluster.status(victim).await.unwrap();
    assert!(names_amnesia(&later), "the alarm went away by itself");
    assert!(later.cosigned_size < size, "an amnesiac node cosigned");
    let cosigned_by_victim = cluster
        .ledger()
        .checkpoint()
        .await
        .unwrap()
        .cosigned()
        .cosigners()
        .iter()
        .any(|cosigner| {
            cosigner
                .name
                .as_str()
                .ends_with(&format!("/node/{}", victim + 1))
        });
    assert!(
        !cosigned_by_victim,
        "a head carries the cosignature of an amnesiac node"
    );
}

async fn three_with_records() -> (Cluster, Hospital, usize) {
    let cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    log_some(&cluster, &hospital, 0..10).await;
    let victim = (cluster.leader().await + 1) % 3;
    (cluster, hospital, victim)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_the_data_is_behind_its_guard() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let data = cluster.nodes[victim].folder.join("data");
    let old = cluster.nodes[victim].folder.join("old-data");
    copy(&data, &old);
    cluster.start_node(victim);
    log_some(&cluster, &hospital, 10..40).await;
    let size = cluster.ledger().checkpoint().await.unwrap().head().size.0;
    cluster
        .wait_until(victim, Duration::from_secs(20), |status| {
            status.cosigned_size >= size
        })
        .await;
    cluster.kill(victim);
    replace(&data, &old);
    assert_amnesia(&mut cluster, &hospital, victim, "old data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_guard_file_is_noticed() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let guard = cluster.nodes[victim].folder.join("guard");
    fs::remove_dir_all(&guard).unwrap();
    fs::create_dir(&guard).unwrap();
    assert_amnesia(&mut cluster, &hospital, victim, "missing guard").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_data_with_a_guard_is_noticed() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let data = cluster.nodes[victim].folder.join("data");
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    assert_amnesia(&mut cluster, &hospital, victim, "missing data").await;
}
