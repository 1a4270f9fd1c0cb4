//! The task over a fake raft: a cut, two cosignatures, one published head.

use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Hash, KeyId, KeyName, RootHash};

use super::*;
use crate::ledger::alarms::{Alarms, Probation};
use crate::ledger::progress::HeadNote;
use crate::raft::{Position, Vote};

struct AnyTwo;

impl HeadRules for AnyTwo {
    fn check(&self, _: u64, _: &TreeHead, _: &NoteSignature) -> Result<(), CosignatureRefusal> {
        Ok(())
    }

    fn satisfied(&self, _: &TreeHead, cosignatures: &Cosignatures) -> bool {
        cosignatures.len() >= 2
    }
}

struct Policies;

impl PolicySource for Policies {
    fn rules_at(&self, _: &CutNote) -> Result<Arc<dyn HeadRules + Send + Sync>, PolicyError> {
        Ok(Arc::new(AnyTwo))
    }
}

struct Sealer;

impl HeadSealer for Sealer {
    fn seal(&self, cut: &CutNote, cosignatures: &Cosignatures) -> Result<Publish, SealError> {
        let note = format!("{} by {}", cut.tree.size, cosignatures.len())
            .into_bytes()
            .into();
        Ok(Publish {
            note,
            receipt_iat: 1,
            receipt_signature: [0; 64],
        })
    }
}

fn tree(size: u64) -> TreeHead {
    TreeHead {
        size: TreeSize(size),
        root: RootHash::from_hash(Hash::from_bytes([1; 32])),
    }
}

/// Applies cuts and heads at once, as a cluster of one would.
struct FakeRaft {
    progress: watch::Sender<LedgerProgress>,
    published: mpsc::UnboundedSender<Publish>,
}

impl ProposeHeads for FakeRaft {
    fn control(&self, control: Control) -> BoxFuture<'static, Result<Outcome, SubmitError>> {
        let outcome = match control {
            Control::Cut => {
                self.progress.send_modify(|progress| {
                    let index = progress.cut.map_or(10, |cut| cut.position.index + 1);
                    let position = Position {
                        term: 3,
                        leader: 1,
                        index,
                    };
                    let time = UnixMillis(0);
                    progress.cut = Some(CutNote {
                        position,
                        time,
                        tree: progress.tree,
                    });
                });
                Outcome::Cut {
                    size: 5,
                    root: [1; 32],
                }
            }
            Control::Publish(publish) => {
                self.progress.send_modify(|progress| {
                    let tree = progress.tree;
                    progress.head = Some(HeadNote {
                        number: 1,
                        time: UnixMillis(0),
                        tree,
                    });
                });
                self.published.send(publish).unwrap();
                Outcome::Published { number: 1 }
            }
            other => panic!("not a publisher's command: {other:?}"),
        };
        Box::pin(std::future::ready(Ok(outcome)))
    }
}

fn leader() -> Status {
    Status {
        id: 1,
        role: Role::Leader,
        vote: Vote {
            term: 3,
            node: 1,
            committed: true,
        },
        leader: Some(1),
        last_log: None,
        flushed: None,
        committed: None,
        applied: None,
        snapshot: None,
        purged: None,
        voters: [1, 2, 3].into(),
        learners: [].into(),
        members: [].into(),
        last_quorum_ack: None,
        matched: [].into(),
    }
}

fn signature(node: u64) -> NoteSignature {
    let name = KeyName::new(format!("example.com/node/{node}")).unwrap();
    NoteSignature::new(name, KeyId::from_bytes([0; 4]), vec![1]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn leader_publishes_what_two_cosigned_and_then_rests() {
    let mut start = LedgerProgress::unfounded();
    start.tree = tree(5);
    let (progress, watched) = watch::channel(start);
    let (published, mut heads) = mpsc::unbounded_channel();
    let (_status, status) = watch::channel(leader());
    let alarms = Alarms::new(Probation::Passed);
    let shutdown = CancellationToken::new();
    let parts = PublisherParts {
        sealer: Arc::new(Sealer),
        policies: Arc::new(Policies),
        propose: Arc::new(FakeRaft {
            progress,
            published,
        }),
        interval: Duration::from_secs(1),
    };
    let (publisher, mailbox) = Publisher::new();
    let inputs = PublisherInputs {
        progress: watched.clone(),
        status,
        standing: alarms.subscribe(),
        shutdown: shutdown.clone(),
    };
    let task = tokio::spawn(run(parts, mailbox, inputs));
    let mut seen = watched;
    seen.wait_for(|progress| progress.cut.is_some())
        .await
        .unwrap();
    assert!(
        publisher
            .cosignature(1, tree(5), signature(1))
            .await
            .is_ok()
    );
    assert!(
        publisher
            .cosignature(2, tree(5), signature(2))
            .await
            .is_ok()
    );
    let head = heads.recv().await.unwrap();
    assert_eq!(head.note, "5 by 2".as_bytes());
    let idle = tokio::time::timeout(Duration::from_mins(1), heads.recv()).await;
    assert!(idle.is_err(), "nothing new, nothing published");
    assert_eq!(
        seen.borrow().cut.map(|cut| cut.position.index),
        Some(10),
        "and nothing cut"
    );
    shutdown.cancel();
    task.await.unwrap().unwrap();
}
