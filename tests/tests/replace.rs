//! `aimslogd add-node` and `aimslog cluster replace`, as operators run them: a node that has lost its
//! memory goes, a new one comes, gets the keys from a voter and cosigns under its own, and whoever
//! holds the first policy still verifies everything.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use aimslog_client::file::replace_private_file;
use aimslog_client::{ClientError, EntryKey, Ledger, Outcome, Wait, clock, verifier};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::evidence::Report;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, Note, Policy, TreeSize};
use aimslog_tests::check::{check_log, evidence_of};
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::forger::Forger;
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::operator::{Operator, Run, talk};
use aimslog_tests::people::{Hospital, decision_json};

const PATIENCE: Duration = Duration::from_secs(30);
const LEDGER_KEYS: [&str; 3] = ["log.seed", "receipt.seed", "service.seed"];

fn has_alarm(status: &StatusResponse, name: &str) -> bool {
    status.alarms.iter().any(|alarm| alarm.name == name)
}

fn votes(status: &StatusResponse, id: u64) -> Option<bool> {
    let member = status.members.iter().find(|member| member.node_id == id);
    member.map(|member| member.voter)
}

fn verified(file: &[u8], policy: &Policy) -> Report {
    verifier::verify(file, policy, UnixSeconds(clock::unix_seconds()))
}

/// Ends a node, throws its data away and starts it again: it knows that it has forgotten something.
async fn lose_memory(cluster: &mut Cluster, position: usize) {
    cluster.kill(position);
    let data = cluster.nodes[position].folder.join("data");
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    cluster.start_node(position);
    cluster
        .wait_until(position, PATIENCE, |status| has_alarm(status, "AMNESIA"))
        .await;
}

/// The seeds that every voter holds, in the folder of a node.
fn ledger_keys(cluster: &Cluster, position: usize) -> Vec<Option<String>> {
    let folder = cluster.nodes[position].folder.join("keys");
    let read = |name: &&str| fs::read_to_string(folder.join(name)).ok();
    LEDGER_KEYS.iter().map(read).collect()
}

fn some_acknowledged(history: &History) -> Vec<EntryId> {
    history
        .told()
        .acknowledged
        .values()
        .copied()
        .take(20)
        .collect()
}

fn cosigners(note: &str) -> Vec<String> {
    let note = Note::parse(note.as_bytes()).unwrap();
    let names = note.signatures().iter();
    names
        .map(|signature| signature.name.to_string())
        .filter(|name| name.contains("/node/"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amnesiac_node_is_replaced_while_records_go_in() {
    let mut cluster = Cluster::start(3).await;
    let first_policy = cluster.policy();
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let load = Load::start_unwatched(&cluster, &hospital, &history, 2, |_| true);
    Load::wait_for_progress(&history, 100, PATIENCE).await;
    let leader = cluster.leader().await;
    let old = (leader + 1) % 3;
    let old_id = cluster.nodes[old].id;
    let early = some_acknowledged(&history);
    let reading = cluster.ledger_as(hospital.read_key());
    reading
        .checkpoint_covering(covering(&history))
        .await
        .unwrap();
    let before = evidence_of(&reading, &early).await;

    lose_memory(&mut cluster, old).await;
    // What the new node needs is in no log any more: it must come by snapshot.
    cluster.admin_of(leader).snapshot().await.unwrap();
    let operator = Operator::new(&cluster);
    let new = cluster.add_node(old_id);
    let new_id = cluster.nodes[new].id;
    assert_eq!(ledger_keys(&cluster, new), [None, None, None]);
    cluster.start_node(new);
    let waiting = |status: &StatusResponse| has_alarm(status, "KEYS");
    cluster.wait_until(new, PATIENCE, waiting).await;
    // It waits to be taken in; a ledger of its own under the same name would be a second one.
    let Err(ClientError::Refused(refusal)) = cluster.admin_of(new).init().await else {
        panic!("a node that joins has founded a ledger");
    };
    assert_eq!(refusal.reason, Some(Reason::FailedPrecondition));
    assert!(
        refusal.message.contains("genesis does not name"),
        "{refusal}"
    );

    let told = history.acknowledged();
    let replaced = operator.replace(old_id, new_id, 1);
    assert!(
        replaced.status.success(),
        "{}\n{}",
        talk(&replaced),
        cluster.logs()
    );
    assert!(history.acknowledged() > told, "nothing went in meanwhile");
    Load::wait_for_progress(&history, 50, PATIENCE).await;
    load.stop().await;

    let handed_over = ledger_keys(&cluster, new);
    assert_eq!(handed_over, ledger_keys(&cluster, leader));
    no_secret_was_said(&cluster, new, &handed_over);
    let log = fs::read_to_string(cluster.nodes[new].folder.join("log.txt")).unwrap();
    assert!(log.contains("a snapshot was received"), "{log}");

    // The newer policy is what the operator got and what every node hands out.
    let text = fs::read_to_string(operator.file("policy-new.txt")).unwrap();
    let new_policy = Policy::parse(text.as_bytes()).unwrap();
    assert_ne!(new_policy.as_bytes(), first_policy.as_bytes());
    cluster.forget(old);
    cluster.hand_out_policy(&text);
    for position in 0..3 {
        let info = cluster.ledger_of(position).unverified_info().await.unwrap();
        assert_eq!(info.trust_policy, text, "node at {position}");
    }
    check_log(&cluster, &history, &hospital.read_key()).await;
    only_the_new_key_counts(&mut cluster, &hospital, &history, (&first_policy, &before)).await;
    retired_key_alone_is_refused(&cluster, &operator, old_id);
}

fn covering(history: &History) -> TreeSize {
    let told = history.told();
    let last = told.acknowledged.keys().next_back().unwrap();
    TreeSize(last.0 + 1)
}

/// The keys lie in files of their owner alone, and in no log.
fn no_secret_was_said(cluster: &Cluster, new: usize, seeds: &[Option<String>]) {
    for name in LEDGER_KEYS {
        let path = cluster.nodes[new].folder.join("keys").join(name);
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o7777,
            0o600,
            "{name}"
        );
    }
    let mut handed = 0;
    for node in &cluster.nodes {
        let log = fs::read_to_string(node.folder.join("log.txt")).unwrap();
        handed += log.matches("are handed to a member").count();
        for seed in seeds {
            let secret = seed.as_ref().unwrap().trim().rsplit(' ').next().unwrap();
            assert!(!log.contains(secret), "node {} logged a key", node.id);
        }
    }
    assert_eq!(handed, 1, "the hand-over is logged once");
}

/// With one of the first nodes down, no head satisfies the first policy by itself any more: evidence
/// verifies under it by the policy step alone.
async fn only_the_new_key_counts(
    cluster: &mut Cluster,
    hospital: &Hospital,
    history: &History,
    (first_policy, before): (&Policy, &[u8]),
) {
    let leader = cluster.leader().await;
    let other = (0..2).find(|position| *position != leader).unwrap();
    cluster.kill(other);
    let ledger = cluster.ledger_of(cluster.leader().await);
    let ledger = ledger.reading_as(hospital.read_key(), ORIGIN);
    let statements = hospital.decisions(1_000_000..1_000_010);
    for outcome in ledger.submit(&statements, Wait::Committed).await.unwrap() {
        match outcome {
            Outcome::Logged { entry, .. } => history.acknowledge(&entry),
            refused @ Outcome::Refused { .. } => {
                panic!("a valid record was answered with {refused:?}")
            }
        }
    }
    let head = ledger.checkpoint_covering(covering(history)).await.unwrap();
    let new_name = format!("{ORIGIN}/node/4");
    assert!(
        cosigners(head.note()).contains(&new_name),
        "{}",
        head.note()
    );
    let note = Note::parse(head.note().as_bytes()).unwrap();
    assert!(
        first_policy.check(&note).is_err(),
        "the first policy knows no node 4"
    );

    let told = history.told().acknowledged;
    let newest: Vec<EntryId> = told.values().rev().copied().take(5).collect();
    let after = evidence_of(&ledger, &newest).await;
    for (what, file) in [("before", before), ("after", &after)] {
        let report = verified(file, first_policy);
        assert!(report.verdict.is_verified(), "{what}: {report}");
    }
}

/// A head with the log's own signature and a cosignature of the retired key is no head, neither to
/// the policy nor to the command line.
fn retired_key_alone_is_refused(cluster: &Cluster, operator: &Operator, old: u64) {
    use aimslog_proto::tlog::{KeyName, Origin, TreeHead, cosignature};
    let seed = |path: &std::path::Path| {
        let text = fs::read_to_string(path).unwrap();
        aimslog_tests::people::dalek_key(&text)
    };
    let origin = Origin::new(ORIGIN).unwrap();
    let log = seed(&cluster.nodes[0].folder.join("keys/log.seed"));
    let retired = seed(&cluster.folder().join(format!("n{old}/keys/cosigner.seed")));
    let checkpoint = Checkpoint::new(origin, TreeHead::EMPTY);
    let mut note = checkpoint.sign(&log).unwrap();
    let name = KeyName::new(format!("{ORIGIN}/node/{old}")).unwrap();
    let now = UnixSeconds(clock::unix_seconds());
    let text = checkpoint.to_string();
    note.add(cosignature::sign(&text, now, &name, &retired).unwrap())
        .unwrap();
    // With one more cosignature the first policy would have taken it.
    let current = &cluster.nodes[0];
    let other = seed(&current.folder.join("keys/cosigner.seed"));
    let name = KeyName::new(format!("{ORIGIN}/node/{}", current.id)).unwrap();
    note.add(cosignature::sign(&text, now, &name, &other).unwrap())
        .unwrap();
    let policy = |name: &str| Policy::parse(&fs::read(operator.file(name)).unwrap()).unwrap();
    assert!(policy("first-policy.txt").check(&note).is_ok());
    assert!(policy("policy-new.txt").check(&note).is_err());

    fs::write(operator.file("forged.checkpoint"), note.to_string()).unwrap();
    let verify = operator.run(&["verify", "forged.checkpoint", "--policy", "policy-new.txt"]);
    assert_eq!(verify.status.code(), Some(1), "{verify:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_must_agree_and_a_replacement_that_is_cut_off_goes_on() {
    let mut cluster = Cluster::prepare_with_operators(3, 2);
    cluster.start_all();
    cluster.found().await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let leader = cluster.leader().await;
    let old = (leader + 1) % 3;
    let old_id = cluster.nodes[old].id;
    lose_memory(&mut cluster, old).await;
    let operator = Operator::new(&cluster);
    let new = cluster.add_node(old_id);
    let new_id = cluster.nodes[new].id;

    let before = cluster.status(leader).await.unwrap();
    let refused = operator.replace(old_id, new_id, 1);
    assert_eq!(refused.status.code(), Some(4), "{}", talk(&refused));
    let said = talk(&refused);
    assert!(said.contains("2 operators stand behind it"), "{said}");
    let after = cluster.status(leader).await.unwrap();
    assert_eq!(after.tree_size, before.tree_size, "something was logged");
    assert_eq!(votes(&after, old_id), Some(true));
    assert_eq!(votes(&after, new_id), None);

    // Cut off after the record and after the learner: the new node does not even run yet.
    for (lines, state) in [(1, None), (2, Some(false))] {
        let run = operator.replace_cut_off(old_id, new_id, lines);
        assert!(matches!(run, Run::CutOff { .. }), "{run:?}");
        let status = cluster.status(leader).await.unwrap();
        assert_eq!(votes(&status, old_id), Some(true), "{run:?}");
        // The next step may have begun between the word and the kill.
        let found = votes(&status, new_id);
        assert!(found == state || found == Some(false), "{run:?}: {found:?}");
    }
    cluster.start_node(new);
    for lines in [3, 4] {
        let run = operator.replace_cut_off(old_id, new_id, lines);
        // The last step is short: it may be over before the kill.
        assert!(
            !matches!(run, Run::Ended { code, .. } if code != Some(0)),
            "{run:?}"
        );
        let status = cluster.status(leader).await.unwrap();
        assert_eq!(votes(&status, old_id), None, "{run:?}");
        assert_eq!(votes(&status, new_id), Some(true), "{run:?}");
    }
    let finished = operator.replace(old_id, new_id, 2);
    assert!(
        finished.status.success(),
        "{}\n{}",
        talk(&finished),
        cluster.logs()
    );
    let again = operator.replace(old_id, new_id, 2);
    assert!(again.status.success(), "{}", talk(&again));

    let text = fs::read_to_string(operator.file("policy-new.txt")).unwrap();
    cluster.forget(old);
    cluster.hand_out_policy(&text);
    let history = History::default();
    let load = Load::start(&cluster, &hospital, &history, 1);
    Load::wait_for_progress(&history, 20, PATIENCE).await;
    load.stop().await;
    check_log(&cluster, &history, &hospital.read_key()).await;
    let size = covering(&history).0;
    let status = cluster
        .wait_until(2, PATIENCE, |status| status.cosigned_size >= size)
        .await;
    assert!(status.alarms.is_empty(), "{:?}", status.alarms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_that_still_runs_says_so_and_serves_nothing() {
    let mut cluster = Cluster::start(3).await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let load = Load::start(&cluster, &hospital, &history, 1);
    Load::wait_for_progress(&history, 10, PATIENCE).await;
    load.stop().await;
    let leader = cluster.leader().await;
    let old = (leader + 1) % 3;
    let old_id = cluster.nodes[old].id;
    let (index, _) = history.told().acknowledged.into_iter().next().unwrap();
    let own = reader(&cluster, old, &hospital);
    own.record(EntryKey::Index(index)).await.unwrap();

    // This one is healthy, and runs on after it was replaced.
    let operator = Operator::new(&cluster);
    let kept = keep_head(&cluster, &operator, old_id);
    let new = cluster.add_node(old_id);
    cluster.start_node(new);
    let replaced = operator.replace(old_id, cluster.nodes[new].id, 1);
    assert!(
        replaced.status.success(),
        "{}\n{}",
        talk(&replaced),
        cluster.logs()
    );
    assert!(cluster.is_started(old));
    let removed = cluster
        .wait_until(old, PATIENCE, |status| has_alarm(status, "REMOVED"))
        .await;
    let alarm = removed.alarms.iter().find(|alarm| alarm.name == "REMOVED");
    let detail = &alarm.unwrap().detail;
    assert!(detail.contains("the operators removed node"), "{detail}");

    a_head_of_the_policy_before_is_of_use(&cluster, &operator, &hospital, kept);
    match own.record(EntryKey::Index(index)).await {
        Err(error @ ClientError::Unreachable { .. }) => {
            let said = error.to_string();
            assert!(said.contains("REMOVED"), "{said}");
        }
        other => panic!("a removed node served a record: {other:?}"),
    }
    let other = (0..3).find(|at| *at != old && *at != leader).unwrap();
    cluster.kill(new);
    cluster.kill(leader);
    it_makes_no_majority(&cluster, other, &hospital).await;
    let stays = cluster.status(old).await.unwrap();
    assert_ne!(stays.role, "leader");
    assert_eq!(stays.term, removed.term, "a removed node voted");
    assert_eq!(stays.cosigned_size, removed.cosigned_size);

    // After a restart it finds out again.
    cluster.start_node(leader);
    cluster.start_node(new);
    cluster.stop(old);
    cluster.start_node(old);
    cluster
        .wait_until(old, PATIENCE, |status| has_alarm(status, "REMOVED"))
        .await;
    let refused = own.record(EntryKey::Index(index)).await;
    assert!(refused.is_err(), "a removed node serves after a restart");
}

/// Keeps the newest head as the node that goes and one more have cosigned it, and says what it is called.
fn keep_head(cluster: &Cluster, operator: &Operator, goes: u64) -> &'static str {
    let saved = operator.run(&["checkpoint", "--save", "whole.checkpoint"]);
    assert!(saved.status.success(), "{}", talk(&saved));
    let text = fs::read_to_string(operator.file("whole.checkpoint")).unwrap();
    let note = Note::parse(text.as_bytes()).unwrap();
    let head = *Checkpoint::parse(note.text()).unwrap().head();
    let mut ids = cluster.nodes.iter().map(|node| node.id);
    let stays = ids.find(|id| *id != goes).unwrap();
    let note = Forger::of(cluster).note(head, &[goes, stays]);
    fs::write(operator.file("kept.checkpoint"), note.to_string()).unwrap();
    "kept.checkpoint"
}

/// Whoever kept a head before a node was replaced relates it under the newer policy, and hands over a
/// file that others can check too.
fn a_head_of_the_policy_before_is_of_use(
    cluster: &Cluster,
    operator: &Operator,
    hospital: &Hospital,
    kept: &str,
) {
    let seed = operator.file("hospital.seed");
    replace_private_file(&seed, hospital.key.to_seed_file().as_bytes()).unwrap();
    let policy = ["--policy", "policy-new.txt"];
    let run = |words: &[&str]| {
        let ran = operator.run(&[words, &policy].concat());
        (
            ran.status.code(),
            format!("{}{}", talk(&ran), String::from_utf8_lossy(&ran.stdout)),
        )
    };
    let (code, said) = run(&["verify", kept]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the policy of its time"), "{said}");
    let (code, said) = run(&["prove", "consistency", "--since", kept]);
    assert_eq!(code, Some(0), "{said}\n{}", cluster.logs());

    let own = ["--key", "hospital.seed", "--org", "hospital"];
    fs::write(operator.file("late.json"), decision_json(2_000_000)).unwrap();
    let file = "since.evidence.json";
    for words in [
        &["submit", "late.json"][..],
        &["disclose", "--since", kept, "-o", file],
    ] {
        let (code, said) = run(&[words, &own].concat());
        assert_eq!(code, Some(0), "{words:?}: {said}");
    }
    for since in [&["--since", kept][..], &[]] {
        let (code, said) = run(&[&["verify", file], since].concat());
        assert_eq!(code, Some(0), "{said}");
    }
    let known = ["--since", kept, "--since-policy", "first-policy.txt"];
    let (code, said) = run(&[&["verify", file], &known[..]].concat());
    assert_eq!(code, Some(0), "{said}");
}

/// Who reads at one node alone, and gives up soon.
fn reader(cluster: &Cluster, position: usize, hospital: &Hospital) -> Ledger {
    let mut endpoints = cluster.endpoints([cluster.nodes[position].client].into_iter());
    endpoints.deadline = Duration::from_secs(5);
    let ledger = cluster.ledger_at(&endpoints);
    ledger.reading_as(hospital.read_key(), ORIGIN)
}

/// With one of the first three nodes and the removed one up, nothing is acknowledged.
async fn it_makes_no_majority(cluster: &Cluster, position: usize, hospital: &Hospital) {
    let alone = reader(cluster, position, hospital);
    let statement = [hospital.decision(1_000_000)];
    let sent = alone.submit(&statement, Wait::Committed).await;
    assert!(sent.is_err(), "acknowledged without a majority: {sent:?}");
    assert_ne!(cluster.status(position).await.unwrap().role, "leader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_cluster_alone_opens_neither_the_membership_nor_the_keys() {
    let mut cluster = Cluster::start(1).await;
    let new = cluster.add_node(9);
    let (id, peer) = (cluster.nodes[new].id, cluster.nodes[new].peer);
    cluster.start_node(new);
    cluster
        .wait_until(new, PATIENCE, |status| has_alarm(status, "KEYS"))
        .await;
    let refused = cluster
        .admin_of(0)
        .add_learner(id, &format!("127.0.0.1:{peer}"))
        .await;
    match refused {
        Err(ClientError::Refused(refusal)) => {
            assert_eq!(refusal.reason, Some(Reason::NotPermitted), "{refusal}");
        }
        other => panic!("a node without a record became a member: {other:?}"),
    }
    let status = aimslog_tests::peer::ask_for_keys(&cluster, new, 0).await;
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status:?}");
    assert!(
        status.message().contains("not an admitted member"),
        "{status:?}"
    );
    assert_eq!(ledger_keys(&cluster, new), [None, None, None]);
}
