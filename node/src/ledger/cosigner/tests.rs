//! The task over a real guard file: two honest peers, a peer with another tree, a silent one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Hash, Origin};
use ed25519_dalek::SigningKey;
use tokio::sync::mpsc;

use super::*;
use crate::clock::FixedClock;
use crate::ledger::alarms::Probation;
use crate::ledger::guard::{DataState, Opened};
use crate::ledger::guard_record::Identity;
use crate::ledger::head_keys::NodeCosigner;
use crate::ledger::progress::CutNote;
use crate::raft::{Position, Role, Vote};

const SIZE: TreeSize = TreeSize(5);

fn identity(node: u64) -> Identity {
    Identity {
        cluster: [7; 32],
        node,
    }
}

fn key(node: u64) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(node).unwrap(); 32])
}

fn root(byte: u8) -> RootHash {
    RootHash::from_hash(Hash::from_bytes([byte; 32]))
}

/// Peers by id, each with its root; a peer that is not there never answers.
#[derive(Debug)]
struct FakePeers(BTreeMap<u64, RootHash>);

impl RootSource for FakePeers {
    fn root(&self, peer: u64, size: TreeSize) -> BoxFuture<'_, Result<SignedRoot, ExchangeError>> {
        let answer = self.0.get(&peer).copied();
        Box::pin(async move {
            match answer {
                Some(root) => Ok(SignedRoot::sign(&key(peer), identity(peer), size, root)),
                None => std::future::pending().await,
            }
        })
    }
}

#[derive(Debug)]
struct OneRoot;

impl OwnTree for OneRoot {
    fn root_at(&self, _size: TreeSize) -> Result<Option<RootHash>, OwnTreeError> {
        Ok(Some(root(1)))
    }
}

/// Notes what the guard held when a cosignature left.
#[derive(Debug)]
struct Recorder {
    guard: Arc<Guard>,
    seen: mpsc::UnboundedSender<(u64, TreeHead, Option<TreeHead>)>,
    signatures: Mutex<Vec<NoteSignature>>,
}

impl CosignatureSink for Recorder {
    fn submit(
        &self,
        leader: u64,
        head: TreeHead,
        signature: NoteSignature,
    ) -> BoxFuture<'_, Result<(), ExchangeError>> {
        let held = self.guard.record().signed.map(|signed| signed.head);
        self.signatures.lock().unwrap().push(signature);
        self.seen.send((leader, head, held)).unwrap();
        Box::pin(std::future::ready(Ok(())))
    }
}

fn status() -> Status {
    Status {
        id: 1,
        role: Role::Follower,
        vote: Vote {
            term: 1,
            node: 2,
            committed: true,
        },
        leader: Some(2),
        last_log: Some(50),
        flushed: Some(Position {
            term: 1,
            leader: 2,
            index: 50,
        }),
        committed: None,
        applied: None,
        snapshot: None,
        purged: None,
        voters: BTreeSet::from([1, 2, 3]),
        learners: BTreeSet::new(),
        members: BTreeMap::new(),
        last_quorum_ack: None,
        matched: BTreeMap::new(),
    }
}

struct Outcome {
    left: Option<(u64, TreeHead, Option<TreeHead>)>,
    alarms: Alarms,
    dir: tempfile::TempDir,
}

/// Runs the task over one cut until a cosignature leaves, an alarm stands, or a second is over.
async fn cosign_once(peers: &[(u64, RootHash)]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let opened = Guard::open(dir.path(), identity(1), &DataState::default()).unwrap();
    let Opened::Healthy(guard) = opened else {
        panic!("a fresh guard is healthy")
    };
    let guard = Arc::new(guard);
    let (seen, mut left) = mpsc::unbounded_channel();
    let alarms = Alarms::new(Probation::Passed);
    let origin = Origin::new("ledger.example.com/aims1").unwrap();
    let parts = CosignerParts {
        guard: Arc::clone(&guard),
        cosigner: Arc::new(NodeCosigner::new(origin, identity(1), key(1)).unwrap()),
        roots: Arc::new(FakePeers(peers.iter().copied().collect())),
        tree: Arc::new(OneRoot),
        sink: Arc::new(Recorder {
            guard,
            seen,
            signatures: Mutex::default(),
        }),
        alarms: alarms.clone(),
        clock: Arc::new(FixedClock::at_millis(1_000_000)),
        evidence_dir: dir.path().to_owned(),
    };
    let mut progress = LedgerProgress::unfounded();
    let position = Position {
        term: 1,
        leader: 2,
        index: 40,
    };
    let tree = TreeHead {
        size: SIZE,
        root: root(1),
    };
    progress.cut = Some(CutNote {
        position,
        time: UnixMillis(1_000_000),
        tree,
    });
    let (_progress, progress) = watch::channel(progress);
    let (_status, status) = watch::channel(status());
    let (_verified, verified) = watch::channel(SIZE);
    let shutdown = CancellationToken::new();
    let inputs = CosignerInputs {
        progress,
        status,
        verified,
        shutdown: shutdown.clone(),
    };
    let task = tokio::spawn(run(parts, inputs));
    let left = tokio::time::timeout(EXCHANGE_TIMEOUT * 3, left.recv())
        .await
        .ok()
        .flatten();
    shutdown.cancel();
    task.await.unwrap().unwrap();
    Outcome { left, alarms, dir }
}

#[tokio::test]
async fn cosignature_leaves_after_the_guard_holds_it() {
    let outcome = cosign_once(&[(2, root(1)), (3, root(1))]).await;
    let head = TreeHead {
        size: SIZE,
        root: root(1),
    };
    assert_eq!(outcome.left, Some((2, head, Some(head))));
    assert_eq!(outcome.alarms.standing().alarms(), vec![]);
}

#[tokio::test]
async fn silent_peer_delays_and_does_not_prevent() {
    let outcome = cosign_once(&[(2, root(1))]).await;
    assert!(outcome.left.is_some());
}

#[tokio::test]
async fn other_tree_is_a_fork_with_both_answers_kept() {
    let outcome = cosign_once(&[(2, root(1)), (3, root(9))]).await;
    assert_eq!(outcome.left, None);
    let fork = outcome.alarms.standing().fork.expect("the alarm stands");
    assert_eq!((fork.peer, fork.own, fork.theirs), (3, root(1), root(9)));
    let text = std::fs::read_to_string(outcome.dir.path().join("fork-size-5-node-3.txt")).unwrap();
    let own = SignedRoot::sign(&key(1), identity(1), SIZE, root(1));
    let theirs = SignedRoot::sign(&key(3), identity(3), SIZE, root(9));
    assert_eq!(text, fork_text(Some(&own), &theirs));
}
