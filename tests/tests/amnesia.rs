//! A node that has forgotten what it promised neither votes, acknowledges nor signs, and says which
//! guard fired. The others go on.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aimslog_client::{Outcome, Wait};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_tests::cluster::Cluster;
use aimslog_tests::files::{copy, replace};
use aimslog_tests::people::Hospital;
use tokio::time::{Instant, sleep};

/// What a backup of everything on a node's machine would bring back.
struct OldCopies {
    folders: Vec<(PathBuf, PathBuf)>,
}

impl OldCopies {
    fn of(cluster: &Cluster, node: usize) -> Self {
        let home = &cluster.nodes[node].folder;
        let folders: Vec<_> = ["data", "guard"]
            .map(|name| (home.join(name), home.join(format!("old-{name}"))))
            .into();
        for (folder, kept) in &folders {
            copy(folder, kept);
        }
        Self { folders }
    }

    fn put_back(&self) {
        for (folder, kept) in &self.folders {
            replace(folder, kept);
        }
    }
}

/// Logs records until the node has cosigned the newest head.
async fn log_until_cosigned(cluster: &Cluster, hospital: &Hospital, node: usize) -> u64 {
    log_some(cluster, hospital, 10..40).await;
    let size = cluster.ledger().checkpoint().await.unwrap().head().size.0;
    cluster
        .wait_until(node, Duration::from_secs(20), |status| {
            status.cosigned_size >= size
        })
        .await;
    size
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

/// The state of `victim` after something was done to its folder: in AMNESIA by a guard that says
/// one of `words`, and silent, while the others go on.
async fn assert_amnesia(cluster: &mut Cluster, hospital: &Hospital, victim: usize, words: &[&str]) {
    cluster.start_node(victim);
    let status = cluster
        .wait_until(victim, Duration::from_secs(20), names_amnesia)
        .await;
    let alarm = status
        .alarms
        .iter()
        .find(|alarm| alarm.name == "AMNESIA")
        .unwrap();
    println!("{}", alarm.detail);
    assert!(
        words.iter().any(|word| alarm.detail.contains(word)),
        "another guard fired: {}",
        alarm.detail
    );
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
    log_until_cosigned(&cluster, &hospital, victim).await;
    cluster.kill(victim);
    replace(&data, &old);
    assert_amnesia(
        &mut cluster,
        &hospital,
        victim,
        &["raft log ends", "stored vote"],
    )
    .await;
}

/// Data and guard are as old as each other, so nothing on the machine itself gives it away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_copies_of_data_and_guard_are_behind_what_peers_remember() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let copies = OldCopies::of(&cluster, victim);
    cluster.start_node(victim);
    log_until_cosigned(&cluster, &hospital, victim).await;
    cluster.kill(victim);
    copies.put_back();
    assert_amnesia(
        &mut cluster,
        &hospital,
        victim,
        &["remembers", "acknowledged"],
    )
    .await;
}

/// The size of the head that `node` has on record as signed by `peer`: from the file beside its
/// guard, as docs/format.md says.
fn remembered_size(cluster: &Cluster, node: usize, peer: usize) -> u64 {
    let file = cluster.nodes[node].folder.join("guard/peers");
    let bytes = fs::read(file).unwrap_or_default();
    let id = cluster.nodes[peer].id.to_be_bytes();
    let peers = bytes.get(56..).unwrap_or_default().as_chunks::<48>().0;
    let known = peers.iter().find(|known| known[..8] == id);
    known.map_or(0, |known| {
        u64::from_be_bytes(known[16..24].try_into().unwrap())
    })
}

/// Waits until all others would know that `node` has signed a head of this size, also after a start.
async fn wait_until_others_keep(cluster: &Cluster, node: usize, size: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    for other in (0..cluster.nodes.len()).filter(|other| *other != node) {
        while remembered_size(cluster, other, node) < size {
            assert!(Instant::now() < deadline, "node {other} keeps no memory");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_remember_also_when_all_of_them_were_started_again() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let copies = OldCopies::of(&cluster, victim);
    cluster.start_node(victim);
    let size = log_until_cosigned(&cluster, &hospital, victim).await;
    wait_until_others_keep(&cluster, victim, size).await;
    for node in 0..cluster.nodes.len() {
        cluster.kill(node);
    }
    copies.put_back();
    for node in (0..cluster.nodes.len()).filter(|node| *node != victim) {
        cluster.start_node(node);
    }
    assert_amnesia(&mut cluster, &hospital, victim, &["remembers"]).await;
}

/// All at once, so that each of them waits for the word of others that wait as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_nodes_are_believed_however_often_all_of_them_are_killed() {
    let (mut cluster, hospital, _) = three_with_records().await;
    for round in 1..4 {
        for node in 0..cluster.nodes.len() {
            cluster.kill(node);
        }
        cluster.start_all();
        log_some(&cluster, &hospital, round * 100..round * 100 + 10).await;
        for node in 0..cluster.nodes.len() {
            let status = cluster.status(node).await.unwrap();
            assert!(!names_amnesia(&status), "node {node}: {:?}", status.alarms);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_guard_file_is_noticed() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let guard = cluster.nodes[victim].folder.join("guard");
    fs::remove_dir_all(&guard).unwrap();
    fs::create_dir(&guard).unwrap();
    assert_amnesia(&mut cluster, &hospital, victim, &["guard file is missing"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_data_with_a_guard_is_noticed() {
    let (mut cluster, hospital, victim) = three_with_records().await;
    cluster.stop(victim);
    let data = cluster.nodes[victim].folder.join("data");
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    assert_amnesia(&mut cluster, &hospital, victim, &["data is missing"]).await;
}
