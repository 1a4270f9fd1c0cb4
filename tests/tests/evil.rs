//! Goal: an evil leader can stop the service for a while, and cannot make an honest node sign a tree
//! that it does not have, nor publish under a key that is not in the policy. What it can do, while it
//! keeps the others apart and the policy asks for two of three, is found when they meet.
//!
//! Method: real processes; around the first node stands a middle that holds its keys and changes what
//! it says to each of the others (`aimslog_tests::evil`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use aimslog_client::trust::{HeadMemory, SignedHead};
use aimslog_client::{ClientError, FinishedStatement, Ledger, Outcome, Wait};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::tlog::{Note, Policy, TreeSize};
use aimslog_tests::cluster::Cluster;
use aimslog_tests::evil::{EVIL, Evil, Malice, Swap};
use aimslog_tests::forger::root_text;
use aimslog_tests::people::Hospital;
use ed25519_dalek::{Signature, SigningKey, Verifier as _};

/// The honest nodes, by position; node ids are one more.
const HONEST: [usize; 2] = [1, 2];
const LIMIT: Duration = Duration::from_secs(30);

/// A cluster under an evil leader that has not done anything yet, an organisation, and a published
/// head of `size` entries.
struct Scene {
    cluster: Cluster,
    evil: Evil,
    hospital: Hospital,
    size: u64,
}

impl Scene {
    /// With this much time between two heads for which nobody waits.
    async fn set(head_interval_ms: u64) -> Self {
        let mut cluster = Cluster::prepare(3);
        for node in &cluster.nodes {
            let config = node.folder.join("aimslogd.toml");
            let text = fs::read_to_string(&config).unwrap();
            let interval = "interval_ms = 1000";
            assert!(text.contains(interval), "{text}");
            let text = text.replace(interval, &format!("interval_ms = {head_interval_ms}"));
            fs::write(&config, text).unwrap();
        }
        let evil = Evil::around(&cluster).await;
        cluster.start_all();
        cluster.found().await;
        evil.lead(&cluster).await;
        let hospital = Hospital::register(&cluster, "hospital").await;
        let size = log_one(&cluster, &hospital.decision(100), Wait::Receipt).await;
        for position in 0..3 {
            cluster
                .wait_until(position, LIMIT, |status| status.published_size == size)
                .await;
        }
        Self {
            cluster,
            evil,
            hospital,
            size,
        }
    }

    /// Logs a record of which the last node gets another one in its place; returns the size with it.
    async fn log_in_two_versions(&self) -> u64 {
        let (first, second) = (self.hospital.decision(101), self.hospital.decision(102));
        self.evil.will(Malice {
            swaps: BTreeMap::from([(3, swaps(&first, &second))]),
            forked_at: self.size + 1,
            foreign: None,
        });
        log_one(&self.cluster, &first, Wait::Committed).await
    }

    async fn alarm(&self, position: usize, name: &str) -> String {
        let raised = |status: &StatusResponse| status.alarms.iter().any(|alarm| alarm.name == name);
        let status = self.cluster.wait_until(position, LIMIT, raised).await;
        let mut alarms = status.alarms.into_iter();
        alarms.find(|alarm| alarm.name == name).unwrap().detail
    }

    /// Waits until the leader has tried some more times to bring a head about, and asserts that no
    /// node publishes one.
    async fn nothing_more_is_published(&self) {
        let mut published = Vec::new();
        for position in 0..3 {
            published.push(self.cluster.status(position).await.unwrap().published_size);
        }
        let now = self.cluster.status(EVIL).await.unwrap().applied_index;
        // Every try is a cut, and a cut is an entry of the Raft log.
        let tried = |status: &StatusResponse| status.applied_index >= now + 4;
        self.cluster.wait_until(EVIL, LIMIT, tried).await;
        for (position, before) in published.into_iter().enumerate() {
            let status = self.cluster.status(position).await.unwrap();
            assert_eq!(status.published_size, before, "node {position} published");
        }
    }

    /// The head that a node serves, accepted by the policy that verifiers get.
    async fn head_of(&self, position: usize) -> SignedHead {
        self.cluster.ledger_of(position).checkpoint().await.unwrap()
    }

    /// The file with the contradiction of the two honest nodes, kept by one of them; checked without
    /// any code of the node.
    fn assert_proof_of_fork(&self, keeper: usize, size: u64) {
        let other = HONEST[0] + HONEST[1] - keeper;
        let [own, theirs] = [keeper, other].map(|position| self.cluster.nodes[position].id);
        let name = format!("guard/fork-size-{size}-node-{theirs}.txt");
        let text = fs::read_to_string(self.cluster.nodes[keeper].folder.join(name)).unwrap();
        let mut parts = text.split("\n\n");
        assert_eq!(parts.next(), Some("aimslog-fork/v1"));
        let roots = [own, theirs].map(|node| {
            let lines: Vec<&str> = parts.next().unwrap().lines().collect();
            let root = unhex(lines[4]);
            let signed = root_text(&self.evil.forger.cluster_id, node, size, &root);
            assert_eq!(signed.lines().collect::<Vec<_>>(), lines[..5]);
            let signature = Signature::from_slice(&unhex(lines[5])).unwrap();
            let key = self.evil.forger.cosigners[&node].verifying_key();
            key.verify(signed.as_bytes(), &signature).unwrap();
            root
        });
        assert_ne!(roots[0], roots[1]);
    }
}

async fn log_one(cluster: &Cluster, statement: &FinishedStatement, wait: Wait) -> u64 {
    let statements = std::slice::from_ref(statement);
    let answer = cluster.ledger_of(EVIL).submit(statements, wait).await;
    match answer.as_deref() {
        Ok([Outcome::Logged { entry, .. }]) => entry.index.0 + 1,
        other => panic!("{other:?}\n{}", cluster.logs()),
    }
}

/// Everything of one finished statement by that of another one.
fn swaps(old: &FinishedStatement, new: &FinishedStatement) -> Vec<Swap> {
    let swap = |(old, new): (&Vec<u8>, &Vec<u8>)| Swap {
        old: old.clone(),
        new: new.clone(),
    };
    let disclosures = old.disclosures.iter().zip(&new.disclosures);
    std::iter::once((&old.statement, &new.statement))
        .chain(disclosures)
        .map(swap)
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The two followers can talk: each hears from the other that its root is another one, and neither
/// signs. The heads are far enough apart that both have the entry before the cut comes. Where a
/// leader holds a follower back until the other one has signed, that one's head is published: it is
/// the only one then, and the follower that was held back does not sign.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_followers_with_different_entries_publish_nothing() {
    let scene = Scene::set(4_000).await;
    let size = scene.log_in_two_versions().await;
    for position in HONEST {
        let applied = |status: &StatusResponse| status.tree_size == size;
        scene.cluster.wait_until(position, LIMIT, applied).await;
    }
    for position in HONEST {
        let detail = scene.alarm(position, "FORK").await;
        assert!(detail.contains(&format!("at size {size}")), "{detail}");
        scene.assert_proof_of_fork(position, size);
    }
    scene.nothing_more_is_published().await;
    for position in 0..3 {
        let status = scene.cluster.status(position).await.unwrap();
        assert_eq!(status.published_size, scene.size, "node {position}");
    }
}

/// The evil leader also owns the network between the followers. With a policy of two of three it has
/// two quorums then, each of itself and one follower, and makes two heads of one size that both
/// verify: this is not prevented. It is promised that the two histories cannot be joined again
/// unseen: a client that saw one head refuses the other with both as proof, a policy that asks for all
/// nodes accepts neither, and when the followers meet, both raise the alarm with proof. The cut at
/// which they do may still be published: whoever was silent for long is asked, and not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_between_nodes_kept_apart_is_found_when_they_meet() {
    let scene = Scene::set(1_000).await;
    scene.evil.keep_apart();
    let size = scene.log_in_two_versions().await;
    for position in HONEST {
        let published = |status: &StatusResponse| status.published_size == size;
        scene.cluster.wait_until(position, LIMIT, published).await;
    }
    let [one, other] = [scene.head_of(1).await, scene.head_of(2).await];
    assert_eq!([one.head().size, other.head().size], [TreeSize(size); 2]);
    assert_ne!(one.head().root, other.head().root);
    let all = all_nodes_policy(&scene.cluster);
    for head in [&one, &other] {
        let note = Note::parse(head.note().as_bytes()).unwrap();
        let refused = all.check(&note).unwrap_err().to_string();
        assert!(refused.starts_with("cosigned by 2 of the 3"), "{refused}");
    }
    assert_client_proves_the_fork(&scene, &one).await;

    scene.evil.let_meet();
    let record = scene.hospital.decision(103);
    let size = log_one(&scene.cluster, &record, Wait::Committed).await;
    for position in HONEST {
        scene.alarm(position, "FORK").await;
        scene.assert_proof_of_fork(position, size);
    }
}

/// A client that remembers the head of the first node asks the second one.
async fn assert_client_proves_the_fork(scene: &Scene, remembered: &SignedHead) {
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("head");
    fs::write(&memory, remembered.note()).unwrap();
    let policy = scene.cluster.policy();
    let endpoints = scene
        .cluster
        .endpoints([scene.cluster.nodes[2].client].into_iter());
    let memory = HeadMemory::open(&memory, &policy).unwrap();
    let ledger = Ledger::new(&endpoints, policy.clone(), memory).unwrap();
    let Err(ClientError::Fork(fork)) = ledger.checkpoint().await else {
        panic!("the fork was not seen");
    };
    assert_eq!(fork.remembered, *remembered.head());
    assert_ne!(fork.shown, *remembered.head());
    let proof = fs::read_to_string(fork.kept.unwrap()).unwrap();
    assert!(proof.starts_with(remembered.note()), "{proof}");
    let shown = proof.get(remembered.note().len() + 1..).unwrap();
    let shown = SignedHead::check(shown, &policy).unwrap();
    assert_eq!(*shown.head(), fork.shown);
}

/// The policy of verifiers, asking for all three nodes.
fn all_nodes_policy(cluster: &Cluster) -> Policy {
    let policy = cluster.policy();
    let text = String::from_utf8(policy.to_canonical_bytes()).unwrap();
    let group = text
        .lines()
        .find(|line| line.starts_with("group "))
        .unwrap();
    let words: Vec<&str> = group.split(' ').collect();
    assert_eq!(words[2], "2", "{text}");
    let stricter = group.replacen(" 2 ", " all ", 1);
    Policy::parse(text.replace(group, &stricter).as_bytes()).unwrap()
}

/// With `cosign.verify = all`, the default, every node checks every entry before it signs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_statement_is_cosigned_by_no_honest_node() {
    let scene = Scene::set(1_000).await;
    let good = scene.hospital.decision(101);
    let mut forged = good.statement.clone();
    *forged.last_mut().unwrap() ^= 1;
    let swap = Swap {
        old: good.statement.clone(),
        new: forged,
    };
    scene.evil.will(Malice {
        swaps: BTreeMap::from([(2, vec![swap.clone()]), (3, vec![swap])]),
        forked_at: scene.size + 1,
        foreign: None,
    });
    let size = log_one(&scene.cluster, &good, Wait::Committed).await;
    for position in HONEST {
        let detail = scene.alarm(position, "CORRUPT").await;
        let index = format!("the entry at index {} does not verify", size - 1);
        assert!(detail.contains(&index), "{detail}");
        let status = scene.cluster.status(position).await.unwrap();
        assert_eq!(status.verified_size, size - 1);
        // A quorum needs two of three, so this node may not have signed the head before.
        assert!(status.cosigned_size <= scene.size, "node {position} signed");
    }
    scene.nothing_more_is_published().await;
    assert_eq!(scene.head_of(EVIL).await.head().size, TreeSize(scene.size));
}

/// The quorum is checked again where a head is applied, so the leader's word for it is not enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_under_a_foreign_cosignature_is_refused_at_apply() {
    let scene = Scene::set(1_000).await;
    let foreign = SigningKey::from_bytes(&rand::random());
    scene.evil.will(Malice {
        foreign: Some(foreign),
        ..Malice::default()
    });
    let size = log_one(
        &scene.cluster,
        &scene.hospital.decision(101),
        Wait::Committed,
    )
    .await;
    let published = |status: &StatusResponse| status.published_size == size;
    let leader = scene.cluster.wait_until(EVIL, LIMIT, published).await;
    for position in HONEST {
        let applied = |status: &StatusResponse| status.applied_index >= leader.applied_index;
        let status = scene.cluster.wait_until(position, LIMIT, applied).await;
        assert_eq!(status.published_size, scene.size, "node {position}");
        assert_eq!(
            scene.head_of(position).await.head().size,
            TreeSize(scene.size)
        );
        assert!(status.alarms.is_empty(), "{:?}", status.alarms);
    }
    // The next honest head is taken again.
    scene.evil.will(Malice::default());
    let size = log_one(&scene.cluster, &scene.hospital.decision(102), Wait::Receipt).await;
    for position in HONEST {
        let published = |status: &StatusResponse| status.published_size == size;
        scene.cluster.wait_until(position, LIMIT, published).await;
    }
}
