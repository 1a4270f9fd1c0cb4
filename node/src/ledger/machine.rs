//! The state machine that Raft drives: committed commands become rows.
//!
//! One call of apply is one write: rows, applied position and membership together. What others
//! watch (progress, registry) is told only after that write.

use std::{path::Path, sync::Arc};

use aimslog_proto::system::registry::Registry;
use bytes::Bytes;
use tokio::sync::watch;

use super::{
    apply::{ApplyError, State, apply},
    command::Command,
    outcome::Outcome,
    progress::{LedgerProgress, newest_head, tree_head},
    registry,
    state::{Overlay, TypedRows},
    tree,
};
use crate::{
    raft::{Applied, EntryKind, LogEntry, Machine, MachineError, Position},
    store::{
        codec::{
            self, Single,
            bytes::{DecodeError, Reader, Writer},
        },
        state_db::{Rows, StateDb, StateError, StateView},
    },
};

/// The ledger of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    db: Arc<StateDb>,
    progress: Arc<watch::Sender<LedgerProgress>>,
    registry: Arc<watch::Sender<Arc<Registry>>>,
}

/// Why a state that another node sent was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The copy cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its system records do not follow the rules.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The copy is not of the position that was announced.
    #[error("the copy holds {found:?}, announced was {expected:?}")]
    OtherPosition {
        /// What was announced.
        expected: Option<Position>,
        /// What the copy holds.
        found: Option<Position>,
    },
    /// The copy is of another ledger.
    #[error("the copy is of another ledger")]
    OtherLedger,
    /// The copy is smaller than the newest head that this node has.
    #[error("the copy has {found} entries, a published head of this node covers {expected}")]
    Behind {
        /// Size of this node's newest head.
        expected: u64,
        /// Size of the copy.
        found: u64,
    },
    /// The tree of the copy does not have the root that its own, or this node's, head has.
    #[error("the tree of the copy at size {size} is not the published one")]
    OtherTree {
        /// The size of that head.
        size: u64,
    },
}

impl Ledger {
    /// The ledger on `db`, with what its rows say.
    ///
    /// # Errors
    /// When rows are damaged.
    pub fn open(db: Arc<StateDb>) -> Result<Self, ApplyError> {
        let (progress, registry) =
            db.view(|view| Ok::<_, ApplyError>((read_progress(view)?, registry::read(view)?)))?;
        Ok(Self {
            db,
            progress: Arc::new(watch::Sender::new(progress)),
            registry: Arc::new(watch::Sender::new(Arc::new(registry))),
        })
    }

    /// How far the ledger is; changes after every apply.
    pub fn progress(&self) -> watch::Receiver<LedgerProgress> {
        self.progress.subscribe()
    }

    /// Who may do what, as of the newest apply.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.borrow())
    }

    /// Gives `read` a snapshot of the state. Blocks on the disk; views must not be nested.
    ///
    /// # Errors
    /// When the state was closed after a failed write, and whatever `read` returns.
    pub fn view<R, E: From<StateError>>(
        &self,
        read: impl FnOnce(&StateView<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.db.view(read)
    }

    /// The database, for its size and its checkpoints.
    pub fn db(&self) -> &Arc<StateDb> {
        &self.db
    }

    fn run(&self, entries: &[LogEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let before = self.registry();
        let reached = self.progress.borrow().clone();
        let (writes, outcomes, after, progress) = self.db.view(|view| {
            let mut state = State {
                rows: Overlay::new(view),
                registry: Arc::clone(&before),
            };
            let mut outcomes = Vec::with_capacity(entries.len());
            for entry in entries {
                outcomes.push(run_entry(&mut state, entry)?);
            }
            let applied = entries.last().map(|entry| entry.position);
            let State { mut rows, registry } = state;
            if let Some(position) = applied {
                rows.put(codec::single(Single::Applied), encode_position(position));
            }
            let progress = reached.after(&rows, applied)?;
            Ok::<_, ApplyError>((rows.into_writes(), outcomes, registry, progress))
        })?;
        self.db.write(&writes)?;
        if !Arc::ptr_eq(&before, &after) {
            self.registry.send_replace(after);
        }
        if !entries.is_empty() {
            self.progress.send_replace(progress);
        }
        Ok(outcomes)
    }

    /// Whether the copy in `view` may replace this node's state.
    fn check_copy(
        &self,
        view: &StateView<'_>,
        expected: &Applied,
    ) -> Result<(LedgerProgress, Registry), InstallError> {
        let found = read_applied(view)?;
        if found != *expected {
            return Err(InstallError::OtherPosition {
                expected: expected.last,
                found: found.last,
            });
        }
        let own = self.progress.borrow().clone();
        if let (Some(own), Some(theirs)) = (self.db.view(|view| view.core())?, view.core()?)
            && own.cluster != theirs.cluster
        {
            return Err(InstallError::OtherLedger);
        }
        let copy = read_progress(view)?;
        let theirs = newest_head(view)?.map(|row| tree_head(row.size, row.root));
        for head in own.head.map(|head| head.tree).into_iter().chain(theirs) {
            if copy.tree.size < head.size {
                return Err(InstallError::Behind {
                    expected: head.size.0,
                    found: copy.tree.size.0,
                });
            }
            if tree::root_at(view, head.size)? != head.root {
                return Err(InstallError::OtherTree { size: head.size.0 });
            }
        }
        if tree::root_at(view, copy.tree.size)? != copy.tree.root {
            return Err(InstallError::OtherTree {
                size: copy.tree.size.0,
            });
        }
        Ok((copy, registry::read(view)?))
    }
}

impl Machine for Ledger {
    fn applied(&self) -> Result<Applied, MachineError> {
        Ok(self.db.view(|view| read_applied(view))?)
    }

    fn apply(&self, entries: &[LogEntry]) -> Result<Vec<Bytes>, MachineError> {
        Ok(self.run(entries)?)
    }

    fn sync(&self) -> Result<Applied, MachineError> {
        // What is read first is written, and so part of what is synced then.
        let applied = self.applied()?;
        self.db.sync()?;
        Ok(applied)
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied, MachineError> {
        Ok(self.db.checkpoint(dir, |view| read_applied(view))?)
    }

    fn install(&self, dir: &Path, expected: &Applied) -> Result<(), MachineError> {
        let (progress, registry) = self
            .db
            .replace(dir, |view| self.check_copy(view, expected))?;
        self.registry.send_replace(Arc::new(registry));
        self.progress.send_replace(progress);
        Ok(())
    }
}

fn run_entry<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    entry: &LogEntry,
) -> Result<Bytes, ApplyError> {
    match &entry.kind {
        EntryKind::Blank => Ok(Bytes::new()),
        EntryKind::Membership(membership) => {
            state
                .rows
                .put(codec::single(Single::Membership), membership.to_vec());
            Ok(Bytes::new())
        }
        EntryKind::Command(bytes) => {
            let command = Command::decode(bytes).map_err(|source| ApplyError::Command {
                position: entry.position,
                source,
            })?;
            apply(state, &command, entry.position).map(|outcome: Outcome| outcome.encode())
        }
    }
}

fn read_progress(rows: &impl Rows) -> Result<LedgerProgress, StateError> {
    LedgerProgress::read(rows, read_applied(rows)?.last)
}

fn read_applied(rows: &impl Rows) -> Result<Applied, StateError> {
    let last = rows
        .row(&codec::single(Single::Applied))?
        .map(|bytes| decode_position(&bytes).map_err(StateError::row("applied position")))
        .transpose()?;
    let membership = rows
        .row(&codec::single(Single::Membership))?
        .unwrap_or_default();
    Ok(Applied {
        last,
        membership: membership.into(),
    })
}

fn encode_position(position: Position) -> Vec<u8> {
    Writer::new()
        .u64(position.term)
        .u64(position.leader)
        .u64(position.index)
        .finish()
}

fn decode_position(bytes: &[u8]) -> Result<Position, DecodeError> {
    let mut reader = Reader::new(bytes);
    let position = Position {
        term: reader.u64("term")?,
        leader: reader.u64("leader")?,
        index: reader.u64("index")?,
    };
    reader.finish()?;
    Ok(position)
}

#[cfg(test)]
mod tests;
