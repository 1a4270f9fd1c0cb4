//! What a start refuses: the program ends with a code and says in its last words what is wrong and
//! what to do about it. Nothing of the node is changed by it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aimslog_client::{Outcome, Wait};
use aimslog_tests::check::check_log;
use aimslog_tests::cluster::{Cluster, Refused, free_ports, program};
use aimslog_tests::files::{copy, replace};
use aimslog_tests::history::History;
use aimslog_tests::people::Hospital;

const YEAR_MS: i64 = 366 * 24 * 3600 * 1000;

/// Exit codes of the program.
const FAILED: i32 = 1;
const USAGE: i32 = 2;

fn assert_refused(refused: &Refused, code: i32, words: &[&str]) {
    assert_eq!(refused.code, Some(code), "{}", refused.said);
    let last = refused.said.lines().last().unwrap_or_default();
    assert!(last.starts_with("aimslogd: "), "{}", refused.said);
    for word in words {
        assert!(last.contains(word), "no `{word}` in: {last}");
    }
}

/// Changes one line of a node's configuration.
fn configure(cluster: &Cluster, node: usize, key: &str, value: &str) {
    let path = cluster.nodes[node].folder.join("aimslogd.toml");
    let text = fs::read_to_string(&path).unwrap();
    let start = format!("{key} = ");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
    fs::write(&path, text.replace(line, &format!("{start}{value}"))).unwrap();
}

/// What `aimslogd check` says of a node's configuration: exit code and standard output.
fn check(cluster: &Cluster, node: usize) -> (Option<i32>, String) {
    let checked = Command::new(program("aimslogd"))
        .args(["check", "--config"])
        .arg(cluster.nodes[node].folder.join("aimslogd.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    (checked.status.code(), said)
}

async fn assert_takes_part(cluster: &Cluster, node: usize) {
    cluster
        .wait_until(node, Duration::from_secs(20), |status| {
            status.leader_id != 0 && status.alarms.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken() {
    let mut cluster = Cluster::prepare(1);
    for (listener, port) in [
        ("clients", cluster.nodes[0].client),
        ("peers", cluster.nodes[0].peer),
        ("operators", cluster.nodes[0].admin),
    ] {
        let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let refused = cluster.refused(0, &[]).await;
        let address = format!("127.0.0.1:{port}");
        assert_refused(&refused, USAGE, &["cannot listen", listener, &address]);
        drop(held);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_those_of_the_others() {
    let mut cluster = Cluster::start(3).await;
    let node = (cluster.leader().await + 1) % 3;
    cluster.stop(node);
    for (shift, sign) in [("60000", ""), ("-60000", "-")] {
        let shift = [("AIMSLOGD_TEST_CLOCK_OFFSET_MS", shift)];
        let refused = cluster.refused(node, &shift).await;
        assert_refused(&refused, USAGE, &["clock", "median", "set the clock"]);
        // The offset is named, up to what the question took.
        let named = format!("clock is {sign}59");
        let exact = format!("clock is {sign}60");
        let said = &refused.said;
        assert!(said.contains(&named) || said.contains(&exact), "{said}");
    }
    cluster.start_node_with(node, &[("AIMSLOGD_TEST_CLOCK_OFFSET_MS", "500")]);
    assert_takes_part(&cluster, node).await;
}

/// Otherwise the first node of a cluster could never start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_nobody_can_be_asked_about_is_no_reason() {
    let mut cluster = Cluster::prepare(3);
    cluster.start_node_with(0, &[("AIMSLOGD_TEST_CLOCK_OFFSET_MS", "60000")]);
    let status = cluster
        .wait_until(0, Duration::from_secs(20), |status| status.node_id == 1)
        .await;
    assert!(status.alarms.is_empty(), "{:?}", status.alarms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_expired_or_is_not_valid_yet() {
    let mut cluster = Cluster::prepare(1);
    for years in [4, -1] {
        let shift = (years * YEAR_MS).to_string();
        let shift = [("AIMSLOGD_TEST_CLOCK_OFFSET_MS", shift.as_str())];
        let refused = cluster.refused(0, &shift).await;
        assert_refused(
            &refused,
            USAGE,
            &["certificate", "is valid from", "peer.pem"],
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_cluster_or_node() {
    let mut cluster = Cluster::prepare(3);
    let stranger = Cluster::prepare(1);
    let certificate_of = |folder: &Path| folder.join("tls");
    let own = certificate_of(&cluster.nodes[0].folder);
    for (other, words) in [
        (
            certificate_of(&stranger.nodes[0].folder),
            ["is not this node's", "cluster"],
        ),
        (
            certificate_of(&cluster.nodes[1].folder),
            ["belongs to node 2", "this is node 1"],
        ),
    ] {
        for file in ["peer.pem", "peer.key"] {
            fs::copy(other.join(file), own.join(file)).unwrap();
        }
        let refused = cluster.refused(0, &[]).await;
        assert_refused(&refused, USAGE, &words);
        assert_eq!(check(&cluster, 0).0, Some(USAGE));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_of_another_node() {
    let mut cluster = Cluster::start(3).await;
    let node = (cluster.leader().await + 1) % 3;
    let other = (node + 1) % 3;
    cluster.stop(node);
    cluster.stop(other);
    let (own, foreign) = (
        cluster.nodes[node].folder.clone(),
        cluster.nodes[other].folder.clone(),
    );
    let owner = format!("belongs to node {}", other + 1);
    let expected = format!("this is node {}", node + 1);
    for (name, what) in [("data", "the data"), ("guard", "the guard file")] {
        let kept = own.join(format!("kept-{name}"));
        fs::rename(own.join(name), &kept).unwrap();
        copy(&foreign.join(name), &own.join(name));
        let refused = cluster.refused(node, &[]).await;
        let words = [what, &owner, &expected, "its own folders"];
        assert_refused(&refused, USAGE, &words);
        replace(&own.join(name), &kept);
    }
    cluster.start_node(node);
    cluster.start_node(other);
    assert_takes_part(&cluster, node).await;
}

/// Two programs with one folder would each take it for their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_another_process_has_open() {
    let cluster = Cluster::start(1).await;
    let (code, said) = check(&cluster, 0);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\n# ok: "), "{said}");
    let node = &cluster.nodes[0];
    let mut text = fs::read_to_string(node.folder.join("aimslogd.toml")).unwrap();
    for (used, free) in [node.client, node.peer, node.admin]
        .iter()
        .zip(free_ports(3))
    {
        text = text.replace(&format!(":{used}\""), &format!(":{free}\""));
    }
    let second = node.folder.join("second.toml");
    fs::write(&second, text).unwrap();
    let ran = Command::new(program("aimslogd"))
        .args(["run", "--config"])
        .arg(second)
        .output()
        .unwrap();
    let refused = Refused {
        code: ran.status.code(),
        said: String::from_utf8(ran.stderr).unwrap(),
    };
    let words = ["data/raft", "another aimslogd runs with this folder"];
    assert_refused(&refused, USAGE, &words);
    assert_takes_part(&cluster, 0).await;
}

/// `/proc` is a file system on which no byte is free, on every machine and without any rights.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_without_room() {
    let mut cluster = Cluster::prepare(1);
    configure(&cluster, 0, "data_dir", "\"/proc\"");
    let refused = cluster.refused(0, &[]).await;
    let words = ["node.data_dir", "too little disk", "0 MiB free", "64 MiB"];
    assert_refused(&refused, USAGE, &words);
    let (code, said) = check(&cluster, 0);
    assert_eq!(code, Some(USAGE));
    assert!(said.contains("too little disk"), "{said}");
}

/// A cluster of one node with a few records, killed, so that its databases are as a crash leaves
/// them.
async fn one_that_crashed() -> (Cluster, Hospital, History) {
    let mut cluster = Cluster::start(1).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let statements = hospital.decisions(0..20);
    let logged = cluster.ledger().submit(&statements, Wait::Receipt).await;
    for outcome in logged.unwrap() {
        match outcome {
            Outcome::Logged { entry, .. } => history.acknowledge(&entry),
            refused @ Outcome::Refused { .. } => panic!("{refused:?}"),
        }
    }
    history.see(cluster.ledger().checkpoint().await.unwrap());
    cluster.kill(0);
    (cluster, hospital, history)
}

/// Everything behind the first bad record would be gone with it, votes included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_raft_log() {
    let (mut cluster, ..) = one_that_crashed().await;
    let raft = cluster.nodes[0].folder.join("data/raft");
    let files = fs::read_dir(&raft)
        .unwrap()
        .map(|file| file.unwrap().path());
    let wal = files
        .filter(|file| file.extension().is_some_and(|ending| ending == "log"))
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&wal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(&wal, &bytes).unwrap();
    let refused = cluster.refused(0, &[]).await;
    assert_refused(&refused, FAILED, &["raft", "damaged", "cluster replace"]);
    assert_eq!(
        fs::read(&wal).unwrap(),
        bytes,
        "the damaged log was changed"
    );
}

/// The state is what the log says, so a node without it reads its log again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_state_is_no_reason_while_the_log_is_there() {
    let (mut cluster, hospital, history) = one_that_crashed().await;
    fs::remove_dir_all(cluster.nodes[0].folder.join("data/state")).unwrap();
    cluster.start_node(0);
    check_log(&cluster, &history, &hospital.read_key()).await;
}
