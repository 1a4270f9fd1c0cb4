//! Goal: nodes, their keys and witnesses change while records go in, and whoever holds the first policy
//! file alone still verifies the oldest and the newest evidence; keys that were retired sign nothing.
//!
//! Method: the built programs against a cluster of real processes, as operators run them, and a forger
//! who has every retired key.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use aimslog_client::{Ledger, Outcome, Wait, clock, verifier};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::statement::evidence::{EvidenceFile, Report};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::SigningKey as StatementKey;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{
    Checkpoint, KeyName, Note, Origin, Policy, TreeHead, TreeSize, VerifierKey,
};
use aimslog_tests::check::{check_log, evidence_of};
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::forger::Forger;
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::operator::{Operator, talk};
use aimslog_tests::people::Hospital;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn verified(file: &[u8], policy: &Policy) -> Report {
    verifier::verify(file, policy, UnixSeconds(clock::unix_seconds()))
}

fn must(ran: &Output, cluster: &Cluster) {
    assert!(ran.status.success(), "{}\n{}", talk(ran), cluster.logs());
}

fn refused(ran: &Output, code: i32, words: &str) {
    let said = talk(ran);
    assert_eq!(ran.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

fn policy_in(path: &Path) -> Policy {
    Policy::parse(&fs::read(path).unwrap()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn keys_of(cluster: &Cluster, position: usize) -> PathBuf {
    cluster.nodes[position].folder.join("keys")
}

fn some_acknowledged(history: &History, count: usize) -> Vec<EntryId> {
    let told = history.told().acknowledged;
    told.values().copied().take(count).collect()
}

fn covering(history: &History) -> TreeSize {
    let told = history.told();
    TreeSize(told.acknowledged.keys().next_back().unwrap().0 + 1)
}

fn position_of(cluster: &Cluster, id: u64) -> usize {
    let mut nodes = cluster.nodes.iter();
    nodes.position(|node| node.id == id).unwrap()
}

/// One more record, and evidence of it under a head that covers it.
async fn newest_evidence(ledger: &Ledger, hospital: &Hospital, number: u64) -> Vec<u8> {
    let statements = [hospital.decision(number)];
    let outcomes = ledger.submit(&statements, Wait::Committed).await.unwrap();
    let Outcome::Logged { entry, .. } = &outcomes[0] else {
        panic!("a valid record was answered with {:?}", outcomes[0]);
    };
    let size = TreeSize(entry.index.0 + 1);
    ledger.checkpoint_covering(size).await.unwrap();
    evidence_of(ledger, &[entry.entry_id]).await
}

fn head_of(file: &[u8]) -> (EvidenceFile, TreeHead) {
    let file = EvidenceFile::parse(file).unwrap();
    let note = Note::parse(file.head.checkpoint.as_bytes()).unwrap();
    let head = *Checkpoint::parse(note.text()).unwrap().head();
    (file, head)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_changes_the_first_policy_file_verifies_all_and_retired_keys_nothing() {
    let mut cluster = Cluster::prepare_with_operators(3, 2);
    cluster.start_all();
    cluster.found().await;
    let first = cluster.policy();
    let first_file = Operator::new(&cluster);
    // Whoever had all keys of the first day.
    let forger = Forger::of(&cluster);
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let load = Load::start_unwatched(&cluster, &hospital, &history, 2, |_| true);
    Load::wait_for_progress(&history, 50, PATIENCE).await;
    let early = some_acknowledged(&history, 10);
    let reading = cluster.ledger_as(hospital.read_key());
    reading
        .checkpoint_covering(covering(&history))
        .await
        .unwrap();
    let oldest = evidence_of(&reading, &early).await;

    let leader = cluster.leader().await;
    let old_id = cluster.nodes[(leader + 1) % 3].id;
    replace(&mut cluster, old_id);
    let rotated_id = cluster.nodes[0].id;
    rotate(&mut cluster, rotated_id, &history).await;
    let operator = Operator::new(&cluster);
    let witness = add_witness(&cluster, &operator);
    Load::wait_for_progress(&history, 20, PATIENCE).await;
    load.stop().await;
    check_log(&cluster, &history, &hospital.read_key()).await;

    let ledger = cluster.ledger_as(hospital.read_key());
    let newest = newest_evidence(&ledger, &hospital, 1_000_000).await;
    let again = evidence_of(&ledger, &early).await;
    let last = policy_in(&operator.file("policy-new.txt"));
    assert!(last.witnesses().iter().any(|known| known.key == witness));
    let (file, head) = head_of(&newest);
    let note = Note::parse(file.head.checkpoint.as_bytes()).unwrap();
    assert!(first.check(&note).is_err(), "one of its keys is left");
    assert_eq!(file.policy_steps.len(), 3);
    for (what, evidence) in [
        ("oldest", &oldest),
        ("its newest", &again),
        ("newest", &newest),
    ] {
        for (which, policy) in [("first", &first), ("last", &last)] {
            // Under the last policy alone nothing leads back to a head of the first.
            if (what, which) != ("oldest", "last") {
                let report = verified(evidence, policy);
                assert!(report.verdict.is_verified(), "{what}, {which}: {report}");
            }
        }
    }
    let retired = [old_id, rotated_id];
    retired_keys_sign_nothing(&operator, (&forger, retired), (&first, &last), (file, head));
    the_chain_is_shown(&first_file, &operator, (old_id, rotated_id));
}

fn replace(cluster: &mut Cluster, old_id: u64) {
    let operator = Operator::new(cluster);
    let new = cluster.add_node(old_id);
    cluster.start_node(new);
    let replaced = operator.replace(old_id, cluster.nodes[new].id, 2);
    must(&replaced, cluster);
    cluster.forget(position_of(cluster, old_id));
    let text = fs::read_to_string(operator.file("policy-new.txt")).unwrap();
    cluster.hand_out_policy(&text);
}

/// A new cosigner key of a node that runs, while records go in.
async fn rotate(cluster: &mut Cluster, id: u64, history: &History) {
    let position = position_of(cluster, id);
    let operator = Operator::new(cluster);
    let keys = keys_of(cluster, position);
    let before = fs::read_to_string(keys.join("cosigner.seed")).unwrap();
    let proof = cluster.rotate(position, "cosigner");
    let next = fs::read_to_string(keys.join("cosigner.next.seed")).unwrap();
    let number = id.to_string();
    let words = [
        "cluster",
        "rotate-node",
        &number,
        "--possession",
        text(&proof),
    ];
    let size = cluster.status(position).await.unwrap().tree_size;
    refused(&operator.agree(&words, 1), 4, "2 operators stand behind it");
    let other = cluster
        .nodes
        .iter()
        .find(|node| node.id != id)
        .unwrap()
        .id
        .to_string();
    let elsewhere = [
        "cluster",
        "rotate-node",
        &other,
        "--possession",
        text(&proof),
    ];
    refused(&operator.agree(&elsewhere, 2), 2, "for node");
    assert_eq!(
        fs::read_to_string(keys.join("cosigner.seed")).unwrap(),
        before
    );
    let registry_since = cluster.status(position).await.unwrap().tree_size;
    assert!(registry_since >= size);

    let told = history.acknowledged();
    must(&operator.agree(&words, 2), cluster);
    assert!(history.acknowledged() > told, "nothing went in meanwhile");
    assert_eq!(
        fs::read_to_string(keys.join("cosigner.seed")).unwrap(),
        next
    );
    assert!(!keys.join("cosigner.next.seed").exists());
    let text = fs::read_to_string(operator.file("policy-new.txt")).unwrap();
    cluster.hand_out_policy(&text);
    // Repeated, it finds everything done.
    let again = operator.agree(&words, 2);
    must(&again, cluster);
    assert!(talk(&again).contains("done before"), "{}", talk(&again));
    // It starts with the key that the log names, and no alarm.
    let signed = cluster.status(position).await.unwrap().cosigned_size;
    cluster.stop(position);
    cluster.start_node(position);
    let status = cluster
        .wait_until(position, PATIENCE, |status| status.cosigned_size > signed)
        .await;
    assert!(status.alarms.is_empty(), "{:?}", status.alarms);
}

/// A witness that is known, and not asked for.
fn add_witness(cluster: &Cluster, operator: &Operator) -> VerifierKey {
    let name = KeyName::new("witness.example.org/w1").unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&rand::random());
    let vkey = VerifierKey::cosignature_v1(name, &key.verifying_key());
    let words = vkey.to_string();
    refused(
        &operator.agree(&["policy", "add-witness", &words], 1),
        4,
        "2 operators stand behind it",
    );
    must(
        &operator.agree(&["policy", "add-witness", &words], 2),
        cluster,
    );
    vkey
}

fn retired_keys_sign_nothing(
    operator: &Operator,
    (forger, retired): (&Forger, [u64; 2]),
    (first, last): (&Policy, &Policy),
    (mut file, head): (EvidenceFile, TreeHead),
) {
    let forged = forger.note(head, &retired);
    assert!(first.check(&forged).is_ok(), "two of its three keys");
    assert!(last.check(&forged).is_err());
    fs::write(operator.file("forged.checkpoint"), forged.to_string()).unwrap();
    let words = ["verify", "forged.checkpoint", "--policy", "policy-new.txt"];
    let verify = operator.run(&words);
    assert_eq!(verify.status.code(), Some(1), "{verify:?}");
    // In an evidence file, which brings the changes of policy along, they are seen through under the
    // first policy as well.
    file.head.checkpoint = forged.to_string();
    let evidence = file.print().unwrap();
    for (which, policy) in [("first", first), ("last", last)] {
        let report = verified(evidence.as_bytes(), policy);
        assert!(!report.verdict.is_verified(), "{which}: {report}");
    }
    let said = verified(evidence.as_bytes(), first).to_string();
    assert!(said.contains("the policy in force since entry"), "{said}");
}

/// Whoever holds the first policy is led to the newest by the command line, too.
fn the_chain_is_shown(first: &Operator, last: &Operator, (old_id, rotated_id): (u64, u64)) {
    let shown = first.run(&["policy", "show", "--chain", "-o", "walked.txt", "--json"]);
    assert!(shown.status.success(), "{}", talk(&shown));
    let newest = fs::read(last.file("policy-new.txt")).unwrap();
    assert_eq!(fs::read(first.file("walked.txt")).unwrap(), newest);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let steps = shown["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3, "{shown}");
    let names = |step: &Value, which: &str| {
        let keys = step[which].as_array().unwrap().clone();
        let keys = keys.iter().map(|key| key.as_str().unwrap().to_owned());
        keys.map(|key| key.split('+').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let node = |id: u64| format!("{ORIGIN}/node/{id}");
    assert_eq!(names(&steps[0], "removed"), [node(old_id)]);
    assert_eq!(names(&steps[0], "added"), [node(4)]);
    assert_eq!(names(&steps[1], "removed"), [node(rotated_id)]);
    assert_eq!(names(&steps[1], "added"), [node(rotated_id)]);
    assert_eq!(names(&steps[2], "removed"), [""; 0]);
    assert_eq!(names(&steps[2], "added"), ["witness.example.org/w1"]);
}

/// A cluster of one has no quorum beside the key that is changed: no head may be lost, and a next key
/// that is mislaid is missed aloud.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_changes_its_key_and_says_so_where_it_is_missing() {
    let mut cluster = Cluster::start(1).await;
    let first = cluster.policy();
    let hospital = Hospital::register(&cluster, "hospital").await;
    let operator = Operator::new(&cluster);
    let ledger = cluster.ledger_as(hospital.read_key());
    let oldest = newest_evidence(&ledger, &hospital, 1).await;
    let keys = keys_of(&cluster, 0);
    let proof = cluster.rotate(0, "cosigner");
    let words = [
        "cluster",
        "rotate-node",
        "1",
        "--wait",
        "3",
        "--possession",
        text(&proof),
    ];
    let next = keys.join("cosigner.next.seed");
    let aside = keys.join("mislaid");

    fs::rename(&next, &aside).unwrap();
    refused(&operator.agree(&words, 1), 4, "does not have the new key");
    let alarmed =
        |status: &StatusResponse| status.alarms.iter().any(|alarm| alarm.name == "COSIGNER");
    cluster.wait_until(0, PATIENCE, alarmed).await;
    fs::rename(&aside, &next).unwrap();
    cluster
        .wait_until(0, PATIENCE, |status| status.alarms.is_empty())
        .await;
    must(&operator.agree(&words, 1), &cluster);
    let policy = fs::read_to_string(operator.file("policy-new.txt")).unwrap();
    cluster.hand_out_policy(&policy);

    let ledger = cluster.ledger_as(hospital.read_key());
    let newest = newest_evidence(&ledger, &hospital, 2).await;
    for (what, evidence) in [("oldest", &oldest), ("newest", &newest)] {
        let report = verified(evidence, &first);
        assert!(report.verdict.is_verified(), "{what}: {report}");
    }
    // Killed, it goes on with the new key; a key of its own making starts nothing.
    cluster.kill(0);
    cluster.start_node(0);
    newest_evidence(&ledger, &hospital, 3).await;
    let witness = operator.agree(&["policy", "remove-witness", "nobody"], 1);
    refused(&witness, 2, "has no witness nobody");
    let node = format!("{ORIGIN}/node/1");
    let node = operator.agree(&["policy", "remove-witness", &node], 1);
    refused(&node, 2, "the quorum counts on");
}

fn receipt_seeds(cluster: &Cluster) -> Vec<String> {
    let all = 0..cluster.nodes.len();
    all.map(|position| fs::read_to_string(keys_of(cluster, position).join("receipt.seed")).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receipt_key_changes_on_every_voter_while_records_go_in() {
    let mut cluster = Cluster::start(3).await;
    let policy = cluster.policy();
    let operator = Operator::new(&cluster);
    let forger = Forger::of(&cluster);
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let load = Load::start_unwatched(&cluster, &hospital, &history, 1, |_| true);
    Load::wait_for_progress(&history, 20, PATIENCE).await;
    let ledger = cluster.ledger_as(hospital.read_key());
    let oldest = newest_evidence(&ledger, &hospital, 1_000_000).await;
    let first = receipt_seeds(&cluster);
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let away = (leader + 2) % 3;

    let proof = cluster.rotate(follower, "receipt");
    a_voter_that_is_down_holds_it_up(&mut cluster, &operator, (&proof, away)).await;
    let told = history.acknowledged();
    let words = [
        "cluster",
        "rotate-receipt-key",
        "--possession",
        text(&proof),
    ];
    must(&operator.agree(&words, 1), &cluster);
    Load::wait_for_progress(&history, 10, PATIENCE).await;
    assert!(history.acknowledged() > told);
    every_voter_has_another(&cluster, &first);
    once_more_on_the_leader(&cluster, &operator, &words).await;
    load.stop().await;
    for position in 0..3 {
        cluster.stop(position);
    }
    cluster.start_all();
    check_log(&cluster, &history, &hospital.read_key()).await;
    let newest = newest_evidence(&ledger, &hospital, 2_000_000).await;
    for (what, evidence) in [("oldest", &oldest), ("newest", &newest)] {
        let report = verified(evidence, &policy);
        assert!(report.verdict.is_verified(), "{what}: {report}");
    }
    the_old_receipt_key_signs_nothing(&forger, &policy, &newest);
}

/// It would come back without the key: the old one stays in force until it is there.
async fn a_voter_that_is_down_holds_it_up(
    cluster: &mut Cluster,
    operator: &Operator,
    (proof, away): (&Path, usize),
) {
    let before = receipt_seeds(cluster);
    let words = ["cluster", "rotate-receipt-key", "--wait", "3"];
    let words = [&words[..], &["--possession", text(proof)]].concat();
    cluster.kill(away);
    let missing = format!("node {} answered at none", cluster.nodes[away].id);
    refused(&operator.agree(&words, 1), 4, &missing);
    assert_eq!(receipt_seeds(cluster), before);
    cluster.start_node(away);
    cluster
        .wait_until(away, PATIENCE, |status| status.alarms.is_empty())
        .await;
}

/// The same new key lies on all of them, alone, and was told to nobody else.
fn every_voter_has_another(cluster: &Cluster, first: &[String]) {
    let second = receipt_seeds(cluster);
    let is_new = |seed: &String| *seed == second[0] && *seed != first[0];
    assert!(second.iter().all(is_new));
    let secret = second[0].trim().rsplit(' ').next().unwrap();
    for position in 0..cluster.nodes.len() {
        let next = keys_of(cluster, position).join("receipt.next.seed");
        assert!(!next.exists());
        assert!(
            !cluster.log_of(position).contains(secret),
            "a key was logged"
        );
    }
}

/// The same proof again changes nothing; a second change follows the first.
async fn once_more_on_the_leader(cluster: &Cluster, operator: &Operator, words: &[&str]) {
    let stale = operator.agree(words, 1);
    must(&stale, cluster);
    assert!(talk(&stale).contains("done before"), "{}", talk(&stale));
    let leader = cluster.leader().await;
    let proof = cluster.rotate(leader, "receipt");
    let words = [
        "cluster",
        "rotate-receipt-key",
        "--possession",
        text(&proof),
    ];
    must(&operator.agree(&words, 1), cluster);
}

fn the_old_receipt_key_signs_nothing(forger: &Forger, policy: &Policy, newest: &[u8]) {
    let (mut file, head) = head_of(newest);
    let old = StatementKey::from_seed(&forger.receipt.to_bytes());
    let now = UnixSeconds(clock::unix_seconds());
    let origin = Origin::new(ORIGIN).unwrap();
    file.head.receipt = HeadReceipt::sign(&old, &origin, &head.root, now).unwrap();
    let evidence = file.print().unwrap();
    let report = verified(evidence.as_bytes(), policy);
    assert!(!report.verdict.is_verified(), "{report}");
}
