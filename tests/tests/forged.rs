//! Goal: a client believes nobody who cannot prove it. Whoever holds some of the keys, or all of them
//! after the client has seen a head, is refused, each with its own reason.
//!
//! Method: a log service that lies (`aimslog_tests::fake`) under the certificate of a node, to the real
//! client; files that lie, to the built program. The keys are those that `aimslogd init` made.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aimslog_client::file::replace_private_file;
use aimslog_client::trust::{HeadMemory, SignedHead};
use aimslog_client::{ClientError, EntryKey, EvidenceRequest, Ledger, ProvenInclusion};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::SigningKey as StatementKey;
use aimslog_proto::tlog::{
    InclusionPlan, LeafHash, LeafIndex, NoteSignature, TreeSize, VerifierKey,
};
use aimslog_tests::cluster::{free_ports, program};
use aimslog_tests::fake::{FakeLedger, Sign, Story, head_of};
use aimslog_tests::forger::{cosign, node_name};
use aimslog_tests::world::{QUORUM, SYSTEM, World, receipt};
use ed25519_dalek::SigningKey;

fn unverified<T: std::fmt::Debug>(answer: Result<T, ClientError>, name: &str) -> String {
    match answer {
        Err(ClientError::Unverified { why, .. }) => why,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn a_head_without_a_quorum_of_the_policy_is_refused() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let foreign = SigningKey::from_bytes(&rand::random());
    let (forger, key) = (world.forger.clone(), foreign.clone());
    let foreign_cosigner: Sign = Arc::new(move |head| {
        let mut note = forger.note(head, &[1]);
        note.add(cosign(note.text(), 2, &key)).unwrap();
        note.to_string()
    });
    let forger = world.forger.clone();
    // Under the name and the key id of a node of the policy, with a signature that is not its own.
    let wrong_cosignature: Sign = Arc::new(move |head| {
        let mut note = forger.note(head, &[1]);
        let own = VerifierKey::cosignature_v1(node_name(2), &forger.cosigners[&2].verifying_key());
        let false_blob = cosign(note.text(), 2, &foreign).signature().to_vec();
        note.add(NoteSignature::new(node_name(2), own.id(), false_blob).unwrap())
            .unwrap();
        note.to_string()
    });
    let mut forger = world.forger.clone();
    forger.log = SigningKey::from_bytes(&rand::random());
    let without_log: Sign = Arc::new(move |head| forger.note(head, &QUORUM).to_string());
    let table: [(&str, Sign, &str); 5] = [
        (
            "the log key alone",
            world.signed_by(&[]),
            "cosigned by 0 of the 2",
        ),
        ("log key and a node", world.signed_by(&[3]), "/node/3"),
        ("a foreign cosigner", foreign_cosigner, "/node/1"),
        (
            "a cosignature by another key",
            wrong_cosignature,
            "a cosignature is wrong",
        ),
        (
            "nodes without the log",
            without_log,
            "the log has not signed",
        ),
    ];
    for (name, sign, expected) in table {
        fake.tell(Story::of(&world.entries, sign));
        let why = unverified(world.ledger(&fake).checkpoint().await, name);
        assert!(why.contains(expected), "{name}: {why}");
        assert!(!world.memory().exists(), "{name}: the client remembers it");
    }
    fake.tell(world.honest());
    world.ledger(&fake).checkpoint().await.unwrap();
}

/// A quorum that colludes is not prevented; whoever kept a head has the proof.
#[tokio::test]
async fn a_forked_tree_is_an_alarm_with_both_heads_as_proof() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let last = world.entries.len() - 1;
    let sign = world.signed_by(&[2, 3]);
    let same_size = Story::of(&world.with_other_entry(last), Arc::clone(&sign));
    let mut larger = world.with_other_entry(last - 1);
    larger.push(b"one more".to_vec());
    let larger = Story::of(&larger, Arc::clone(&sign));
    let smaller = Story {
        size: last as u64,
        ..Story::of(&world.with_other_entry(last - 1), sign)
    };
    for (name, story) in [
        ("same size", same_size),
        ("larger", larger),
        ("smaller", smaller),
    ] {
        let ledger = world.client(&fake).await;
        let remembered = fs::read_to_string(world.memory()).unwrap();
        let shown = story.head(story.size);
        fake.tell(story);
        let Err(ClientError::Fork(fork)) = ledger.checkpoint().await else {
            panic!("{name}: no alarm");
        };
        assert_eq!(
            (fork.remembered, fork.shown),
            (head_of(&world.entries), shown),
            "{name}"
        );
        let proof = fs::read_to_string(fork.kept.clone().unwrap()).unwrap();
        let second = proof.strip_prefix(&format!("{remembered}\n")).unwrap();
        let policy = world.cluster.policy();
        assert_eq!(
            *SignedHead::check(second, &policy).unwrap().head(),
            shown,
            "{name}"
        );
        let now = fs::read_to_string(world.memory()).unwrap();
        assert_eq!(now, remembered, "{name}: the memory was changed");
    }
}

/// Two runs of one context at the same time are one memory.
#[tokio::test]
async fn a_fork_is_seen_by_the_run_that_had_not_seen_the_other_head() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let (one, other) = (world.ledger(&fake), world.ledger(&fake));
    one.checkpoint().await.unwrap();
    let forked = world.with_other_entry(world.entries.len() - 1);
    fake.tell(Story::of(&forked, world.signed_by(&[2, 3])));
    let told = other.checkpoint().await;
    assert!(matches!(told, Err(ClientError::Fork(_))), "{told:?}");
}

/// A wrong proof tells of the node that gave it; only when nobody has a right one it is a fork.
#[tokio::test]
async fn a_wrong_consistency_proof_is_asked_of_the_next_node() {
    let world = World::new();
    let (known, all) = (world.entries.len() as u64 - 2, world.honest());
    let lying = Story {
        wrong_consistency: true,
        ..world.honest()
    };
    let liar = FakeLedger::start(&world.cluster, world.honest()).await;
    let other = FakeLedger::start(&world.cluster, world.honest()).await;
    for (others, limit) in [(Some(&all), 20), (Some(&lying), 20), (None, 1)] {
        drop(fs::remove_file(world.memory()));
        for fake in [&liar, &other] {
            fake.tell(Story {
                size: known,
                ..world.honest()
            });
        }
        let unreachable = free_ports(1)[0];
        let second = others.map_or(unreachable, |_| other.port);
        let mut endpoints = world.cluster.endpoints([liar.port, second].into_iter());
        endpoints.deadline = Duration::from_secs(limit);
        let memory = HeadMemory::open(&world.memory(), &world.cluster.policy()).unwrap();
        let ledger = Ledger::new(&endpoints, world.cluster.policy(), memory).unwrap();
        assert_eq!(ledger.checkpoint().await.unwrap().head().size.0, known);
        let remembered = fs::read_to_string(world.memory()).unwrap();

        liar.tell(lying.clone());
        other.tell(others.unwrap_or(&all).clone());
        match (ledger.checkpoint().await, others) {
            (Ok(head), Some(story)) if !story.wrong_consistency => {
                assert_eq!(*head.head(), head_of(&world.entries));
                continue;
            }
            (Err(ClientError::Fork(fork)), Some(story)) if story.wrong_consistency => {
                assert_eq!(fork.shown, head_of(&world.entries));
            }
            (Err(ClientError::Unverified { endpoint, why }), None) => {
                assert!(endpoint.ends_with(&liar.port.to_string()), "{endpoint}");
                assert!(why.contains("no other node gives one"), "{why}");
            }
            (other, _) => panic!("{other:?}"),
        }
        assert_eq!(fs::read_to_string(world.memory()).unwrap(), remembered);
    }
}

#[tokio::test]
async fn a_truncated_tree_never_takes_the_place_of_a_larger_head() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let ledger = world.client(&fake).await;
    let remembered = fs::read_to_string(world.memory()).unwrap();
    fake.tell(Story {
        size: world.entries.len() as u64 - 1,
        ..world.honest()
    });
    // A prefix of what is known: this node is behind, and nothing is forgotten.
    let head = ledger.checkpoint().await.unwrap();
    assert_eq!(*head.head(), head_of(&world.entries));
    assert_eq!(fs::read_to_string(world.memory()).unwrap(), remembered);
}

#[tokio::test]
async fn what_is_not_logged_is_not_proven() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let ledger = world.client(&fake).await;
    let head = head_of(&world.entries);
    let good = receipt(&world.forger.receipt, &head);
    let older = head_of(&world.entries[..4]);
    let foreign = SigningKey::from_bytes(&rand::random());
    let request = EvidenceRequest {
        entries: vec![world.unlogged.entry_id()],
        ..EvidenceRequest::default()
    };
    let table = [
        (
            "not logged",
            world.evidence(good.clone(), &world.unlogged),
            "do not lead to the root",
        ),
        (
            "receipt of another head",
            world.evidence(receipt(&world.forger.receipt, &older), &world.record),
            "signature",
        ),
        (
            "foreign receipt key",
            world.evidence(receipt(&foreign, &head), &world.record),
            "the chain does not name the receipt key",
        ),
    ];
    for (name, evidence, expected) in table {
        let story = Story {
            evidence,
            ..world.honest()
        };
        fake.tell(story);
        let why = unverified(ledger.evidence(&request).await, name);
        assert!(why.contains(expected), "{name}: {why}");
    }
    let evidence = world.evidence(good, &world.record);
    fake.tell(Story {
        evidence,
        ..world.honest()
    });
    let instead: Result<ProvenInclusion, _> = ledger
        .inclusion(EntryKey::Id(world.unlogged.entry_id()))
        .await;
    let why = unverified(instead, "another entry");
    assert!(why.contains("does not hash to the id"), "{why}");
}

/// A file in which everything holds is no answer to another question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_of_something_else_is_not_what_was_asked_for() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let ledger = world.client(&fake).await;
    let head = head_of(&world.entries);
    let evidence = world.evidence(receipt(&world.forger.receipt, &head), &world.record);
    fake.tell(Story {
        evidence,
        instead: LeafIndex(world.entries.len() as u64 - 1),
        ..world.honest()
    });
    // The file is over the records behind the system records, under the head of all.
    let logged: Vec<EntryId> = world.entries[SYSTEM..]
        .iter()
        .map(|e| EntryId::of(e))
        .collect();
    let right = EvidenceRequest {
        entries: logged.clone(),
        ..EvidenceRequest::default()
    };
    ledger.evidence(&right).await.unwrap();
    let mut more = logged.clone();
    more.push(world.unlogged.entry_id());
    let table = [
        (
            "another record",
            vec![world.unlogged.entry_id()],
            "",
            head.size.0,
        ),
        ("fewer records", logged[1..].to_vec(), "", head.size.0),
        ("more records", more, "", head.size.0),
        ("fewer fields", logged.clone(), "decision", head.size.0),
        ("another head", logged, "", head.size.0 - 1),
    ];
    for (name, entries, field, size) in table {
        let request = EvidenceRequest {
            entries,
            fields: Some(field.to_owned())
                .filter(|f| !f.is_empty())
                .into_iter()
                .collect(),
            under: Some(TreeSize(size)),
            ..EvidenceRequest::default()
        };
        let why = unverified(ledger.evidence(&request).await, name);
        assert!(why.contains("asked for"), "{name}: {why}");
    }

    // The program does not keep it either.
    let seed = world.folder.path().join("reader.seed");
    let key = StatementKey::from_seed(&rand::random());
    replace_private_file(&seed, key.to_seed_file().as_bytes()).unwrap();
    let public = world.cluster.folder().join("public");
    let answer = Command::new(program("aimslog"))
        .current_dir(world.folder.path())
        .env_clear()
        .env("AIMSLOG_HOME", world.folder.path().join("home"))
        .args(["disclose", &world.record.entry_id().to_string()])
        .args(["-o", "asked.evidence.json", "--endpoint"])
        .arg(format!("127.0.0.1:{}", fake.port))
        .arg("--key")
        .arg(seed)
        .arg("--ca")
        .arg(public.join("client-ca.pem"))
        .arg("--policy")
        .arg(public.join("policy.txt"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stderr);
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains("asked for"), "{said}");
    assert!(!world.folder.path().join("asked.evidence.json").exists());
}

/// Heads that are good, and not those that were asked for.
#[tokio::test]
async fn a_head_of_another_size_is_not_the_one_asked_for() {
    let world = World::new();
    let fake = FakeLedger::start(&world.cluster, world.honest()).await;
    let ledger = world.client(&fake).await;
    let size = world.entries.len() as u64;
    ledger.checkpoint_covering(TreeSize(size)).await.unwrap();
    let larger = ledger.checkpoint_covering(TreeSize(size + 1)).await;
    let why = unverified(larger, "a head that covers more");
    assert!(why.contains("asked for"), "{why}");

    let policy = world.cluster.policy();
    let note = world.forger.note(head_of(&world.entries[..4]), &QUORUM);
    let old = SignedHead::check(&note.to_string(), &policy).unwrap();
    let (head, _) = ledger
        .consistency_between(old.head(), TreeSize(5))
        .await
        .unwrap();
    assert_eq!(head.head().size, TreeSize(5));
    fake.tell(Story {
        consistency_head: Some(size),
        ..world.honest()
    });
    let other = ledger.consistency_between(old.head(), TreeSize(5)).await;
    let why = unverified(other, "the newest head instead");
    assert!(why.contains("asked for"), "{why}");
}

/// Writes what a forger could hand to an auditor, and some that is true, into the folder of `world`.
fn write_files(world: &World) {
    let head = head_of(&world.entries);
    let last = world.entries.len() - 1;
    let older = head_of(&world.entries[..last]);
    let assembled = |entries: &[Vec<u8>], index: u64| {
        let head = head_of(entries);
        let plan = InclusionPlan::new(LeafIndex(index), head.size).unwrap();
        let story = Story::of(entries, world.signed_by(&[]));
        let proof = plan.build(&story.read(plan.nodes())).unwrap();
        let leaf = LeafHash::of(&entries[usize::try_from(index).unwrap()]);
        proof.verify(leaf, &head).unwrap();
        receipt(&world.forger.receipt, &head).assemble(&proof)
    };
    let forked = world.with_other_entry(last);
    let note = |head, nodes: &[u64]| world.forger.note(head, nodes).to_string().into_bytes();
    let good = receipt(&world.forger.receipt, &head);
    let files = [
        ("logged.cose", world.record.statement.clone()),
        ("unlogged.cose", world.unlogged.statement.clone()),
        ("receipt", assembled(&world.entries, last as u64)),
        ("forged.receipt", assembled(&forked, last as u64)),
        ("head", note(head, &QUORUM)),
        ("older.head", note(older, &QUORUM)),
        ("log-key.head", note(head, &[])),
        ("one-node.head", note(head, &[2])),
        ("forked.head", note(head_of(&forked), &[2, 3])),
        (
            "good.evidence.json",
            world.evidence(good.clone(), &world.record),
        ),
        (
            "unlogged.evidence.json",
            world.evidence(good, &world.unlogged),
        ),
    ];
    for (name, bytes) in files {
        fs::write(world.folder.path().join(name), bytes).unwrap();
    }
}

/// On files, with the program that an auditor has.
#[test]
fn the_program_refuses_forged_files() {
    let world = World::new();
    let folder = world.folder.path();
    write_files(&world);
    let under = |receipt, entry, head| vec![receipt, "--entry", entry, "--checkpoint", head];
    let table = [
        (vec!["good.evidence.json"], 0, "VERIFIED"),
        (under("receipt", "logged.cose", "head"), 0, "VERIFIED"),
        (
            under("receipt", "unlogged.cose", "head"),
            1,
            "the receipt leads to",
        ),
        (
            under("receipt", "logged.cose", "older.head"),
            1,
            "the receipt leads to",
        ),
        (
            under("forged.receipt", "unlogged.cose", "head"),
            1,
            "the receipt leads to",
        ),
        (vec!["unlogged.evidence.json"], 1, "do not lead to the root"),
        (vec!["log-key.head"], 1, "cosigned by 0 of the 2"),
        (vec!["one-node.head"], 1, "/node/2"),
        (
            vec!["forked.head", "--since", "head"],
            1,
            "the log has shown two histories",
        ),
        (vec!["head", "--since", "head"], 0, "VERIFIED"),
        (vec!["good.evidence.json", "--since", "head"], 0, "VERIFIED"),
        // A fork is not hidden by leaving out the head that would show it.
        (
            vec!["good.evidence.json", "--since", "older.head"],
            1,
            "CANNOT TELL",
        ),
        (
            vec!["forked.head", "--since", "older.head"],
            1,
            "CANNOT TELL",
        ),
    ];
    for (words, code, expected) in table {
        let mut command = Command::new(program("aimslog"));
        command
            .current_dir(folder)
            .env_clear()
            .arg("verify")
            .args(&words);
        command
            .arg("--policy")
            .arg(world.cluster.folder().join("public/policy.txt"));
        let answer = command.output().unwrap();
        let said = String::from_utf8_lossy(&answer.stdout);
        assert_eq!(answer.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    }
}
