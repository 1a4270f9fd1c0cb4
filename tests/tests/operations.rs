//! Goal: what an operator types does what it says, or changes nothing and says why.
//!
//! Method: the built program against a cluster of real processes, with a node that is dead, one that
//! has lost its memory, and numbers that nobody has.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::process::Output;
use std::time::Duration;

use aimslog_client::Wait;
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::tlog::LeafIndex;
use aimslog_tests::cluster::{Cluster, program};
use aimslog_tests::operator::{Operator, talk};
use aimslog_tests::people::Hospital;
use serde_json::Value;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);

/// Exit codes of the program.
const ALARMED: i32 = 1;
const USAGE: i32 = 2;
const SILENT: i32 = 3;
const REFUSED: i32 = 4;

fn data(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that a replacement changes first.
fn of_members(status: &StatusResponse) -> (u64, Vec<(u64, bool)>) {
    let members = status.members.iter();
    let members = members.map(|member| (member.node_id, member.voter));
    (status.tree_size, members.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_of_the_wrong_node_changes_nothing() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let leader_id = cluster.nodes[leader].id;
    let meant = cluster.nodes[(leader + 1) % 3].id;
    let other = cluster.nodes[(leader + 2) % 3].id;
    let operator = Operator::new(&cluster);
    let new = cluster.add_node(meant);
    let new_id = cluster.nodes[new].id;
    let before = of_members(&cluster.status(leader).await.unwrap());

    let file = cluster.nodes[new].folder.join("node.toml");
    let made = fs::read_to_string(&file).unwrap();
    let place = format!("replaces = {meant}");
    assert!(made.contains(&place), "{made}");
    let refused = operator.replace(other, new_id, 1);
    assert_eq!(refused.status.code(), Some(USAGE), "{refused:?}");
    let said = talk(&refused);
    assert!(
        said.contains(&format!("in the place of node {meant}")),
        "{said}"
    );

    // With a file that does not say for whom it was made.
    fs::write(&file, made.replace(&place, "")).unwrap();
    for (old, words) in [
        (9, "must be a voter of the cluster"),
        (leader_id, "leads the cluster"),
    ] {
        let refused = operator.replace(old, new_id, 1);
        assert_eq!(refused.status.code(), Some(USAGE), "{refused:?}");
        let said = talk(&refused);
        assert!(said.contains(words), "{said}");
    }
    let after = of_members(&cluster.status(leader).await.unwrap());
    assert_eq!(after, before, "a refused replacement changed the cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lead_goes_where_it_is_told_or_stays_and_it_is_said_why() {
    let mut cluster = Cluster::start(3).await;
    let operator = Operator::new(&cluster);
    let first = cluster.leader().await;
    let [first_id, next_id, dead_id] = [0, 1, 2].map(|step| cluster.nodes[(first + step) % 3].id);
    let move_to = |id: u64, more: &[&str]| {
        let id = id.to_string();
        operator.run(&[&["cluster", "move-leader", &id], more].concat())
    };

    // Who leads already goes on: no election, no other term.
    let before = cluster.status(first).await.unwrap();
    let kept = move_to(first_id, &[]);
    assert!(kept.status.success(), "{kept:?}");
    assert!(text(&kept).contains("leads already"), "{kept:?}");
    cluster.admin_of(first).move_leader(first_id).await.unwrap();
    let after = cluster.status(first).await.unwrap();
    assert_eq!((after.role.as_str(), after.term), ("leader", before.term));

    let moved = move_to(next_id, &["--json"]);
    assert!(moved.status.success(), "{moved:?}");
    assert_eq!(data(&moved)["leader"], next_id);
    let next = (first + 1) % 3;
    assert_eq!(cluster.status(next).await.unwrap().role, "leader");

    let dead = (first + 2) % 3;
    cluster.kill(dead);
    let silent = |status: &StatusResponse| {
        let mut members = status.members.iter();
        let dead = members.find(|member| member.node_id == dead_id);
        let report = dead.and_then(|member| member.report.as_ref());
        report.is_none_or(|report| report.silent_ms > 6_000)
    };
    cluster.wait_until(next, PATIENCE, silent).await;
    for (id, words) in [(dead_id, "was not heard"), (9, "is not a member")] {
        let refused = move_to(id, &[]);
        assert_eq!(refused.status.code(), Some(REFUSED), "{refused:?}");
        let said = talk(&refused);
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(cluster.status(next).await.unwrap().role, "leader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_tells_a_program_that_a_node_is_dead_or_ill_or_was_not_asked() {
    let mut cluster = Cluster::start(3).await;
    let operator = Operator::new(&cluster);
    let well = operator.run(&["cluster", "status"]);
    assert!(well.status.success(), "{well:?}");
    assert!(!text(&well).contains("NOT ASKED"), "{}", text(&well));

    // A context that knows two of the three.
    let leader = cluster.leader().await;
    let (ill, dead) = ((leader + 1) % 3, (leader + 2) % 3);
    let known = [leader, ill].map(|at| format!("127.0.0.1:{}", cluster.nodes[at].admin));
    let some = operator.run(&["cluster", "status", "--admin-endpoint", &known.join(",")]);
    let line = format!("NOT ASKED: node {} (voter", cluster.nodes[dead].id);
    assert!(text(&some).contains(&line), "{}", text(&some));
    assert!(some.status.success(), "the others hear it: {some:?}");

    cluster.kill(ill);
    let folder = cluster.nodes[ill].folder.join("data");
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    cluster.start_node(ill);
    let forgot = |status: &StatusResponse| status.alarms.iter().any(|it| it.name == "AMNESIA");
    cluster.wait_until(ill, PATIENCE, forgot).await;
    let alarmed = operator.run(&["cluster", "status"]);
    assert_eq!(alarmed.status.code(), Some(ALARMED), "{alarmed:?}");
    assert!(text(&alarmed).contains("ALARM AMNESIA"), "{alarmed:?}");

    // Two that are gone cost no more time than one.
    cluster.kill(ill);
    cluster.kill(dead);
    let start = Instant::now();
    let dead = operator.run(&["cluster", "status", "--json"]);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "one after another"
    );
    assert_eq!(dead.status.code(), Some(SILENT), "{dead:?}");
    let nodes = data(&dead);
    let nodes = nodes.as_array().unwrap();
    let failed = nodes.iter().filter(|node| node["error"].is_string());
    // Two endpoints that do not answer, and the two members that nobody could ask.
    assert_eq!(failed.count(), 4, "{nodes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_replacement_it_is_said_who_changes_which_endpoint() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let old = (leader + 1) % 3;
    let old_id = cluster.nodes[old].id;
    cluster.kill(old);
    let operator = Operator::new(&cluster);
    let new = cluster.add_node(old_id);
    cluster.start_node(new);
    let replaced = operator.replace(old_id, cluster.nodes[new].id, 1);
    assert!(
        replaced.status.success(),
        "{}\n{}",
        talk(&replaced),
        cluster.logs()
    );
    let said = text(&replaced);
    let node = &cluster.nodes[new];
    for words in [
        format!("127.0.0.1:{}", node.client),
        format!("127.0.0.1:{}", node.admin),
        "enterprises and auditors".to_owned(),
        "aimslog init NAME --force".to_owned(),
    ] {
        assert!(said.contains(&words), "no `{words}` in: {said}");
    }
    // The operator's own context is as it was, and says so.
    let status = operator.run(&["cluster", "status"]);
    assert_eq!(status.status.code(), Some(SILENT), "{status:?}");
    let line = format!("NOT ASKED: node {} (voter", node.id);
    assert!(text(&status).contains(&line), "{}", text(&status));
}

/// Who watches would do so for an hour, and who says nothing would be waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_stop_waits_for_no_watcher_and_no_silent_caller() {
    let mut cluster = Cluster::start(1).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let ledger = cluster.ledger_as(hospital.read_key());
    ledger
        .submit(&[hospital.decision(1)], Wait::Committed)
        .await
        .unwrap();
    let mut watch = ledger.watch(hospital.id.clone(), LeafIndex(0));
    watch.next().await.unwrap();
    let silent = ("127.0.0.1", cluster.nodes[0].client);
    let _silent = std::net::TcpStream::connect(silent).unwrap();
    let began = Instant::now();
    let stopped = tokio::task::spawn_blocking(move || cluster.stop(0));
    let stopped = stopped.await.unwrap();
    assert!(stopped.success(), "{stopped:?}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "stopped after {took:?}");
}

/// A call may be cut off between the forming of the group and the first entry. Whoever asks then is
/// told that the cluster is founded only if it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founding_that_was_cut_off_is_finished_by_the_next_call() {
    for (first, second) in [(5, 40), (30, 0), (120, 20), (300, 150)] {
        let mut cluster = Cluster::prepare(3);
        cluster.start_all();
        cluster
            .wait_until(2, PATIENCE, |status| status.tree_size == 0)
            .await;
        for (position, millis) in [(0, first), (1, second)] {
            let admin = cluster.admin_of(position);
            let cut_off = tokio::time::timeout(Duration::from_millis(millis), admin.init());
            drop(cut_off.await);
        }
        let operator = Operator::new(&cluster);
        let deadline = Instant::now() + PATIENCE;
        let said = loop {
            let ran = operator.run(&["cluster", "init"]);
            let said = talk(&ran);
            if ran.status.success() || said.contains("ALREADY_INITIALIZED") {
                break said;
            }
            assert!(Instant::now() < deadline, "{said}");
        };
        for position in 0..3 {
            let founded = cluster
                .wait_until(position, PATIENCE, |status| status.tree_size == 2)
                .await;
            assert_eq!(founded.members.len(), 3, "after {first} ms: {said}");
        }
    }
}

/// What can be found wrong without a node is found at once, and says which setting it is.
#[test]
fn a_context_with_an_address_or_a_file_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), "no certificate\n").unwrap();
    let init = |arguments: &[&str]| {
        let ran = std::process::Command::new(program("aimslog"))
            .arg("init")
            .args(arguments)
            .current_dir(folder.path())
            .env("AIMSLOG_HOME", folder.path().join("home"))
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(USAGE), "{ran:?}");
        talk(&ran)
    };
    let said = init(&["--endpoint", "n1.example.com:7002,n2.example.com"]);
    assert!(
        said.contains("--endpoint: \"n2.example.com\" must be host:port"),
        "{said}"
    );
    let said = init(&["--admin-endpoint", "https://n1:7003"]);
    assert!(said.contains("--admin-endpoint: "), "{said}");
    let said = init(&["--ca", "ca.pem"]);
    assert!(
        said.contains("--ca: ") && said.contains("BEGIN CERTIFICATE"),
        "{said}"
    );
    assert!(!folder.path().join("home/config.toml").exists());
}

#[test]
fn an_origin_with_a_scheme_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ran = std::process::Command::new(program("aimslogd"))
        .args(["init", "--origin", "https://ledger.example.com/aims1"])
        .args(["--node", "n1=127.0.0.1:7001"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(USAGE), "{ran:?}");
    assert!(talk(&ran).contains("without scheme"), "{ran:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
