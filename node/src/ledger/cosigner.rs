//! The task that cosigns cuts: feeds the decisions of `cosigner_state` and carries them out.
//!
//! It has the node's cosigner keys and is the only place that uses them for heads.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::cosignature::CosignError;
use aimslog_proto::tlog::{NoteSignature, RootHash, TreeHead, TreeSize, VerifierKey};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::alarms::{Alarm, Alarms, Corrupt, Fork};
use super::cosigner_state::{Action, CosignState, Event, Permission};
use super::exchange::{
    CosignatureSink, EXCHANGE_TIMEOUT, ExchangeError, OwnTree, OwnTreeError, RootSource,
};
use super::exchange_root::{SignedRoot, fork_text};
use super::guard::{Guard, GuardRefused};
use super::guard_file::{DiskSlots, SlotStore};
use super::progress::{CutNote, LedgerProgress};
use super::publisher::PolicyError;
use crate::clock::Clock;
use crate::raft::Status;

/// How often a cosignature is offered to the leader, and how long after one another.
const SUBMIT_ATTEMPTS: u32 = 4;

/// Makes this node's signatures over heads and roots. Holds the keys.
pub trait HeadCosigner: Send + Sync + 'static {
    /// The C2SP cosignatures (type 0x04) over the checkpoint of `head`: one for each key of this node
    /// that counts there, which are two while one takes over from another, and none where the
    /// policies name none of them.
    fn cosign(
        &self,
        head: &TreeHead,
        time: UnixSeconds,
    ) -> Result<Vec<NoteSignature>, HeadSignError>;

    /// This node's signed word that its tree has this root, by the key that its own log names for it.
    ///
    /// # Errors
    /// [`RootNotSigned`], where that key is not here: nobody would take the word of another one.
    fn sign_root(&self, size: TreeSize, root: RootHash) -> Result<SignedRoot, RootNotSigned>;
}

/// Why this node does not say which root its tree has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RootNotSigned {
    /// Another key than the one in its files.
    #[error(
        "the log names {named} for this node, which is not in keys/cosigner.seed nor keys/cosigner.next.seed"
    )]
    OtherKey {
        /// The key that the log names.
        named: Box<VerifierKey>,
    },
    /// It was never admitted.
    #[error("the log names no cosigner key for this node")]
    NoKey,
}

/// Why a head was not cosigned.
#[derive(Debug, Error)]
pub enum HeadSignError {
    /// Name and text do not make a cosignature.
    #[error(transparent)]
    Cosign(#[from] CosignError),
    /// Which keys count is not known.
    #[error("the policies in force cannot be read")]
    Policy(#[source] PolicyError),
}

/// What the task works with.
pub struct CosignerParts<S = DiskSlots> {
    /// This node's guard.
    pub guard: Arc<Guard<S>>,
    /// This node's cosigner key.
    pub cosigner: Arc<dyn HeadCosigner>,
    /// The other voters.
    pub roots: Arc<dyn RootSource>,
    /// This node's tree.
    pub tree: Arc<dyn OwnTree>,
    /// The way to the leader.
    pub sink: Arc<dyn CosignatureSink>,
    /// Where FORK and CORRUPT are raised.
    pub alarms: Alarms,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Directory for the proofs of forks; the guard's own, as it must outlive the data.
    pub evidence_dir: PathBuf,
}

impl<S> std::fmt::Debug for CosignerParts<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CosignerParts")
            .field("evidence_dir", &self.evidence_dir)
            .finish_non_exhaustive()
    }
}

/// What the task watches.
#[derive(Debug)]
pub struct CosignerInputs {
    /// Cuts, as noted at apply.
    pub progress: watch::Receiver<LedgerProgress>,
    /// Flushed log, voters and leader.
    pub status: watch::Receiver<Status>,
    /// How many entries this node has verified itself.
    pub verified: watch::Receiver<TreeSize>,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

/// Why the task ended; the process must stop.
#[derive(Debug, Error)]
pub enum CosignerError {
    /// The guard did not take a cut. What it holds is known only to the next start.
    #[error("the guard refused a cut that was ready to be cosigned")]
    Guard(#[source] GuardRefused),
    /// The own tree cannot be read.
    #[error("the own tree cannot be read")]
    Tree(#[source] OwnTreeError),
    /// A piece of blocking work panicked.
    #[error("a task of the cosigner panicked")]
    Panicked(#[source] JoinError),
}

/// Work that was begun and comes back.
enum Done {
    Root {
        peer: u64,
        size: TreeSize,
        answer: Result<SignedRoot, ExchangeError>,
    },
    OwnRoot {
        size: TreeSize,
        read: Result<Option<RootHash>, OwnTreeError>,
    },
    Guarded {
        cut: CutNote,
        written: Result<(), GuardRefused>,
    },
    Submitted,
}

/// Cosigns cuts until the shutdown, or until this node cannot go on.
pub async fn run<S: SlotStore>(
    parts: CosignerParts<S>,
    mut inputs: CosignerInputs,
) -> Result<(), CosignerError> {
    let state = CosignState::new(&parts.guard.record());
    let mut standing = parts.alarms.subscribe();
    let mut task = Task {
        parts,
        state,
        work: JoinSet::new(),
        leader: inputs.status.clone(),
        cut: None,
    };
    inputs.status.mark_changed();
    inputs.verified.mark_changed();
    standing.mark_changed();
    inputs.progress.mark_changed();
    loop {
        // Standing, peers, flushed log and verification are heard before a cut, so that the first
        // cut after a start is not declined for want of them.
        tokio::select! {
            biased;
            () = inputs.shutdown.cancelled() => return Ok(()),
            changed = standing.changed() => {
                if changed.is_err() { return Ok(()); }
                let may_sign = standing.borrow_and_update().may_sign();
                let permission = if may_sign { Permission::Given } else { Permission::Withheld };
                task.feed(Event::MaySign(permission));
            }
            changed = inputs.status.changed() => {
                if changed.is_err() { return Ok(()); }
                let status = inputs.status.borrow_and_update().clone();
                task.status(&status);
            }
            changed = inputs.verified.changed() => {
                if changed.is_err() { return Ok(()); }
                let verified = *inputs.verified.borrow_and_update();
                task.feed(Event::Verified(verified));
            }
            changed = inputs.progress.changed() => {
                if changed.is_err() { return Ok(()); }
                let progress = inputs.progress.borrow_and_update().clone();
                task.progress(&progress);
            }
            Some(done) = task.work.join_next() => {
                task.done(done.map_err(CosignerError::Panicked)?)?;
            }
        }
    }
}

struct Task<S> {
    parts: CosignerParts<S>,
    state: CosignState,
    work: JoinSet<Done>,
    leader: watch::Receiver<Status>,
    /// The newest cut fed in.
    cut: Option<CutNote>,
}

impl<S: SlotStore> Task<S> {
    fn status(&mut self, status: &Status) {
        let own = status.id;
        let peers: BTreeSet<u64> = status
            .voters
            .iter()
            .copied()
            .filter(|id| *id != own)
            .collect();
        self.feed(Event::Peers(peers));
        if let Some(flushed) = status.flushed {
            self.feed(Event::Flushed(flushed));
        }
    }

    fn progress(&mut self, progress: &LedgerProgress) {
        if let Some(corrupt) = &progress.corrupt {
            self.parts
                .alarms
                .raise(&Alarm::Corrupt(Corrupt::from(corrupt)));
        }
        if let Some(cut) = progress.cut.filter(|cut| Some(*cut) != self.cut) {
            self.cut = Some(cut);
            let now_ms = self.parts.clock.unix_millis();
            self.feed(Event::Cut { cut, now_ms });
        }
    }

    fn done(&mut self, done: Done) -> Result<(), CosignerError> {
        match done {
            Done::Root {
                peer,
                size,
                answer: Ok(signed),
            } => {
                let root = signed.claim().root;
                for action in self.state.step(Event::PeerRoot { peer, size, root }) {
                    match action {
                        Action::RaiseFork { own, .. } => self.raise_fork(own, &signed),
                        other => self.carry_out(other),
                    }
                }
            }
            Done::Root {
                peer,
                size,
                answer: Err(error),
            } => {
                tracing::debug!(peer, size = size.0, %error, "no root from peer");
                self.feed(Event::PeerSilent { peer, size });
            }
            Done::OwnRoot { size, read } => {
                let root = read.map_err(CosignerError::Tree)?;
                self.feed(Event::OwnRoot { size, root });
            }
            Done::Guarded {
                cut,
                written: Ok(()),
            } => self.feed(Event::Guarded(cut)),
            Done::Guarded {
                written: Err(error),
                ..
            } => {
                self.feed(Event::GuardFailed);
                return Err(CosignerError::Guard(error));
            }
            Done::Submitted => {}
        }
        Ok(())
    }

    fn feed(&mut self, event: Event) {
        for action in self.state.step(event) {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::AskRoots {
                size,
                awaited,
                background,
            } => {
                for peer in awaited.into_iter().chain(background) {
                    self.work
                        .spawn(ask(Arc::clone(&self.parts.roots), peer, size));
                }
            }
            Action::ReadOwnRoot { size } => {
                let tree = Arc::clone(&self.parts.tree);
                self.work.spawn_blocking(move || Done::OwnRoot {
                    size,
                    read: tree.root_at(size),
                });
            }
            Action::WriteGuard(cut) => {
                let guard = Arc::clone(&self.parts.guard);
                self.work.spawn_blocking(move || Done::Guarded {
                    cut,
                    written: guard.cosigning(&cut),
                });
            }
            Action::Release(cut) => self.release(cut),
            Action::RaiseCorrupt { size, own, signed } => {
                let found = Corrupt::SignedHead { size, own, signed };
                self.parts.alarms.raise(&Alarm::Corrupt(found));
            }
            Action::Decline { cut, reason } => {
                tracing::debug!(position = %cut.position, size = cut.tree.size.0, %reason, "cut not cosigned");
            }
            // The fork is raised where the peer's signed answer is at hand, and the guard's error
            // is what stops the task.
            Action::RaiseFork { .. } | Action::Stop => {}
        }
    }

    fn release(&mut self, cut: CutNote) {
        let time = UnixSeconds(self.parts.clock.unix_seconds());
        let signatures = match self.parts.cosigner.cosign(&cut.tree, time) {
            Ok(signatures) => signatures,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, size = cut.tree.size.0, "head could not be cosigned");
                return;
            }
        };
        for signature in signatures {
            let sink = Arc::clone(&self.parts.sink);
            let leader = self.leader.clone();
            self.work.spawn(submit(sink, leader, cut.tree, signature));
        }
    }

    fn raise_fork(&self, own: RootHash, theirs: &SignedRoot) {
        let claim = theirs.claim();
        let (peer, size) = (claim.identity.node, claim.size);
        let answer = self.parts.cosigner.sign_root(size, own);
        if let Err(error) = &answer {
            tracing::error!(%error, "the proof of the fork has the other node's answer alone");
        }
        let name = format!("fork-size-{}-node-{peer}.txt", size.0);
        let evidence = self.parts.evidence_dir.join(name);
        // The alarm stands whether or not the disk takes the proof.
        if let Err(error) = keep_evidence(&evidence, &fork_text(answer.as_ref().ok(), theirs)) {
            tracing::error!(path = %evidence.display(), %error, "proof of the fork could not be kept");
        }
        let fork = Fork {
            peer,
            size,
            own,
            theirs: claim.root,
            evidence,
        };
        self.parts.alarms.raise(&Alarm::Fork(fork));
    }
}

/// Asks a peer for its root; whatever keeps it from answering in time counts as silence.
async fn ask(roots: Arc<dyn RootSource>, peer: u64, size: TreeSize) -> Done {
    let answer: BoxFuture<'_, _> = roots.root(peer, size);
    let answer = match tokio::time::timeout(EXCHANGE_TIMEOUT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(ExchangeError::Silent { peer }),
    };
    Done::Root { peer, size, answer }
}

/// Offers the cosignature to whoever leads, again while it may not have arrived. The next cut comes
/// within a second, so there is no reason to insist.
async fn submit(
    sink: Arc<dyn CosignatureSink>,
    mut status: watch::Receiver<Status>,
    head: TreeHead,
    signature: NoteSignature,
) -> Done {
    for attempt in 1..=SUBMIT_ATTEMPTS {
        let leader = status.borrow_and_update().leader;
        if let Some(leader) = leader {
            match sink.submit(leader, head, signature.clone()).await {
                Ok(()) => return Done::Submitted,
                Err(error) => {
                    tracing::debug!(leader, attempt, %error, "leader did not take the cosignature");
                }
            }
        }
        tokio::time::sleep(EXCHANGE_TIMEOUT / 3 * attempt).await;
    }
    Done::Submitted
}

fn keep_evidence(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = match std::fs::File::create_new(path) {
        Ok(file) => file,
        // The first proof of this contradiction is kept.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
