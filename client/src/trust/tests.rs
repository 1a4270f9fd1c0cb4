//! Heads of a log of fixed seeds: what is remembered, and what is an alarm.

use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{
    Checkpoint, ConsistencyPlan, Frontier, Hash, KeyName, LeafHash, NodeId, Origin, RootHash,
    TreeSize, VerifierKey, cosignature,
};
use ed25519_dalek::SigningKey;

use super::*;

const ORIGIN: &str = "ledger.example.com/aims1";

fn origin() -> Origin {
    Origin::new(ORIGIN).unwrap()
}

fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn node_key() -> SigningKey {
    SigningKey::from_bytes(&[11; 32])
}

fn node_name() -> KeyName {
    KeyName::new(format!("{ORIGIN}/node/1")).unwrap()
}

/// One node of one.
fn policy() -> Policy {
    let log = VerifierKey::ed25519(origin().key_name().clone(), &log_key().verifying_key());
    let node = VerifierKey::cosignature_v1(node_name(), &node_key().verifying_key());
    Policy::threshold(&log, &[node], 1).unwrap()
}

/// The head of the first leaves of a log; `fork` is another log behind the second leaf.
fn tree_head(size: u64, fork: bool) -> TreeHead {
    let mut frontier = Frontier::EMPTY;
    for index in 0..size {
        frontier.push(leaf(index, fork)).unwrap();
    }
    frontier.head()
}

fn leaf(index: u64, fork: bool) -> LeafHash {
    LeafHash::of(&[index.to_be_bytes()[7], u8::from(fork && index >= 2)])
}

fn note(size: u64, fork: bool) -> String {
    let mut note = Checkpoint::new(origin(), tree_head(size, fork))
        .sign(&log_key())
        .unwrap();
    let time = UnixSeconds(1_800_000_000);
    let line = cosignature::sign(note.text(), time, &node_name(), &node_key()).unwrap();
    note.add(line).unwrap();
    note.to_string()
}

fn head(size: u64, fork: bool) -> SignedHead {
    SignedHead::check(&note(size, fork), &policy()).unwrap()
}

fn proof(old: u64, new: u64, fork: bool) -> ConsistencyProof {
    let plan = ConsistencyPlan::new(TreeSize(old), TreeSize(new)).unwrap();
    let below = |node: &NodeId| -> Hash {
        let mut frontier = Frontier::EMPTY;
        for index in node.first_leaf()..=node.last_leaf() {
            frontier.push(leaf(index, fork)).unwrap();
        }
        frontier.root().hash()
    };
    let hashes: Vec<Hash> = plan.nodes().iter().map(below).collect();
    plan.build(&hashes).unwrap()
}

#[test]
fn a_head_counts_only_under_the_policy() {
    let stranger = note(5, false).replace("/node/1", "/node/2");
    assert!(SignedHead::check(&stranger, &policy()).is_err());
    assert!(SignedHead::check("5", &policy()).is_err());
    assert_eq!(head(5, false).head(), &tree_head(5, false));
    assert_eq!(head(5, false).note(), note(5, false));
}

#[test]
fn heads_extend_are_stale_or_fork() {
    let (five, eight) = (tree_head(5, false), tree_head(8, false));
    let proof = proof(5, 8, false);
    assert_eq!(relate(&five, &five, &proof), Ok(Relation::Same));
    assert_eq!(relate(&five, &eight, &proof), Ok(Relation::Extends));
    assert_eq!(relate(&eight, &five, &proof), Ok(Relation::Stale));
    assert_eq!(
        relate(&five, &tree_head(5, true), &proof),
        Ok(Relation::Fork),
        "one size, two roots"
    );
}

#[test]
fn a_wrong_proof_says_nothing_about_the_heads() {
    let (five, eight) = (tree_head(5, false), tree_head(8, false));
    let forked = tree_head(8, true);
    for wrong in [proof(5, 8, true), proof(4, 8, false), proof(5, 7, false)] {
        for (remembered, new) in [(five, eight), (eight, five)] {
            assert!(relate(&remembered, &new, &wrong).is_err());
        }
    }
    // No proof leads from one history to the other.
    for proof in [proof(5, 8, false), proof(5, 8, true)] {
        assert!(relate(&five, &forked, &proof).is_err());
        assert!(relate(&forked, &five, &proof).is_err());
    }
}

#[test]
fn the_newest_head_survives_the_program_and_a_fork_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/head.txt");
    let mut memory = HeadMemory::open(&path, &policy()).unwrap();
    assert_eq!(memory.newest(), None);
    assert!(memory.remember_after(None, head(5, false)).unwrap());
    let five = head(5, false);
    assert!(memory.remember_after(Some(&five), head(8, false)).unwrap());
    let memory = HeadMemory::open(&path, &policy()).unwrap();
    assert_eq!(memory.newest(), Some(&head(8, false)));

    let kept = memory.keep_fork(&head(8, true)).unwrap().unwrap();
    let text = fs::read_to_string(kept).unwrap();
    assert_eq!(text, format!("{}\n{}", note(8, false), note(8, true)));

    // Under a policy of another node it is what it was: accepted when it was shown.
    let other_node = SigningKey::from_bytes(&[12; 32]);
    let node = VerifierKey::cosignature_v1(node_name(), &other_node.verifying_key());
    let log = VerifierKey::ed25519(origin().key_name().clone(), &log_key().verifying_key());
    let later = Policy::threshold(&log, &[node], 1).unwrap();
    assert!(SignedHead::check(&note(8, false), &later).is_err());
    let memory = HeadMemory::open(&path, &later).unwrap();
    assert_eq!(memory.newest(), Some(&head(8, false)));

    // What was tampered with is not taken for a memory.
    let root = RootHash::from_hash(tree_head(8, false).root.hash()).to_string();
    let spoiled = note(8, false).replace(&root, &tree_head(8, true).root.to_string());
    fs::write(&path, spoiled).unwrap();
    let refused = HeadMemory::open(&path, &policy());
    assert!(matches!(refused, Err(ClientError::Configuration { .. })));
    assert_eq!(
        HeadMemory::in_memory().keep_fork(&head(8, true)).unwrap(),
        None
    );
}

#[test]
fn what_another_process_has_remembered_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/head.txt");
    let open = || HeadMemory::open(&path, &policy()).unwrap();
    let (mut one, mut other, mut third) = (open(), open(), open());
    assert!(one.remember_after(None, head(8, false)).unwrap());
    // Neither back nor aside, whether it knew nothing or something older.
    assert!(!other.remember_after(None, head(5, false)).unwrap());
    assert_eq!(other.newest(), Some(&head(8, false)));
    let five = head(5, false);
    assert!(!third.remember_after(Some(&five), head(9, true)).unwrap());
    assert_eq!(open().newest(), Some(&head(8, false)));
    let eight = head(8, false);
    assert!(third.remember_after(Some(&eight), head(9, false)).unwrap());
    assert_eq!(open().newest(), Some(&head(9, false)));
}

#[test]
fn a_head_kept_under_an_earlier_log_key_is_taken_with_the_policy_of_that_time() {
    let next = SigningKey::from_bytes(&[13; 32]).verifying_key();
    let next = VerifierKey::ed25519(origin().key_name().clone(), &next);
    let node = policy().witnesses()[0].key.clone();
    let later = Policy::threshold(&next, &[node], 1).unwrap();
    let kept = KeptHead::check(&note(8, false), &later, &[policy()]).unwrap();
    assert_eq!(kept.head(), &tree_head(8, false));
    assert!(kept.cosigned().is_some());
    let refused = KeptHead::check(&note(8, false), &later, &[]).unwrap_err();
    assert!(refused.contains("has not signed"), "{refused}");
}
