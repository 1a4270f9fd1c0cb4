//! The machine as openraft's state machine: apply, snapshot, install.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
    type_config::alias::{SnapshotMetaOf, SnapshotOf},
};

use super::{
    machine::{Applied, EntryKind, LogEntry, Machine},
    snapshot::{SnapshotDir, SnapshotStore},
    type_config::{
        Entry, LogId, StoredMembership, TypeConfig, log_id_of, members_of, position_of,
        stored_membership_of,
    },
    types::Position,
};
use crate::store::{
    fatal::{FatalError, FatalHook},
    raft_codec::StoredMembers,
};

/// One call of the machine gets at most this much, so that outcomes are answered in time.
const APPLY_BYTES: usize = 4 << 20;
const APPLY_ENTRIES: usize = 256;

type Snapshot = SnapshotOf<TypeConfig, SnapshotDir>;

/// Runs the machine on blocking threads. Any failure of it is fatal.
#[derive(Clone)]
pub(super) struct StateMachine {
    machine: Arc<dyn Machine>,
    snapshots: SnapshotStore,
    current: Arc<Mutex<Option<SnapshotDir>>>,
    /// One checkpoint at a time: each holds on to disk space.
    building: Arc<tokio::sync::Mutex<()>>,
    fatal: FatalHook,
}

impl StateMachine {
    pub(super) fn new(
        machine: Arc<dyn Machine>,
        snapshots: SnapshotStore,
        current: Option<SnapshotDir>,
        fatal: FatalHook,
    ) -> Self {
        let current = Arc::new(Mutex::new(current));
        Self {
            machine,
            snapshots,
            current,
            building: Arc::default(),
            fatal,
        }
    }

    /// Runs `work` on a blocking thread; an error stops the process.
    async fn run<T, E>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, io::Error>
    where
        T: Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&this).map_err(|error| {
                let error = FatalError::new(what, error);
                this.fatal.fire(&error);
                io::Error::other(error)
            })
        });
        done.await.map_err(io::Error::other)?
    }

    async fn apply_batch(&self, batch: Batch) -> Result<(), io::Error> {
        let Batch {
            entries,
            responders,
            ..
        } = batch;
        let count = entries.len();
        let outcomes = self
            .run("applying committed entries", move |this| {
                this.machine.apply(&entries)
            })
            .await?;
        if outcomes.len() != count {
            let error = WrongOutcomes {
                entries: count,
                outcomes: outcomes.len(),
            };
            let error = FatalError::new("applying committed entries", error);
            self.fatal.fire(&error);
            return Err(io::Error::other(error));
        }
        for (responder, outcome) in responders.into_iter().zip(outcomes) {
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }

    /// Makes `snapshot` the current one, unless the current one is newer.
    fn adopt(&self, snapshot: SnapshotDir) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let older = match &*current {
            Some(held) if held.same(&snapshot) => return,
            Some(held) if held.position() > snapshot.position() => Some(snapshot),
            Some(_) | None => {
                snapshot.keep();
                current.replace(snapshot)
            }
        };
        drop(current);
        if let Some(older) = older {
            older.retire();
        }
    }

    fn current(&self) -> Option<SnapshotDir> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Consecutive entries and whom to answer.
#[derive(Default)]
struct Batch {
    entries: Vec<LogEntry>,
    responders: Vec<Option<ApplyResponder<TypeConfig>>>,
    bytes: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the machine gave {outcomes} outcomes for {entries} entries")]
struct WrongOutcomes {
    entries: usize,
    outcomes: usize,
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotDir;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self
            .run("reading the applied state", |this| this.machine.applied())
            .await?;
        raft_state_of(&applied)
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            batch.push(entry, responder);
            if batch.is_full() {
                self.apply_batch(std::mem::take(&mut batch)).await?;
            }
        }
        if batch.entries.is_empty() {
            Ok(())
        } else {
            self.apply_batch(batch).await
        }
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotDir,
    ) -> Result<(), io::Error> {
        let stated = meta.last_log_id.as_ref().map(position_of);
        let found = snapshot.position();
        if stated != found {
            let error = WrongSnapshot { stated, found };
            let error = FatalError::new("installing a snapshot", error);
            self.fatal.fire(&error);
            return Err(io::Error::other(error));
        }
        self.run("installing a snapshot", move |this| {
            let copy = this.snapshots.copy_for_install(&snapshot)?;
            this.machine.install(&copy, &snapshot.manifest().applied)?;
            if copy.exists() {
                // Whatever the machine did not move away.
                std::fs::remove_dir_all(&copy)?;
            }
            this.adopt(snapshot);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.current().map(snapshot_of).transpose()
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotDir;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let building = Arc::clone(&self.building).lock_owned().await;
        let snapshot = self
            .run("making a snapshot", |this| {
                this.snapshots.build(|dir| this.machine.checkpoint(dir))
            })
            .await?;
        drop(building);
        self.adopt(snapshot.clone());
        snapshot_of(snapshot)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the snapshot is said to end at {stated:?} and ends at {found:?}")]
struct WrongSnapshot {
    stated: Option<Position>,
    found: Option<Position>,
}

impl Batch {
    fn push(&mut self, entry: Entry, responder: Option<ApplyResponder<TypeConfig>>) {
        let position = position_of(&entry.log_id);
        let kind = match entry.payload {
            EntryPayload::Blank => EntryKind::Blank,
            EntryPayload::Normal(command) => EntryKind::Command(command.0),
            EntryPayload::Membership(membership) => {
                let members = members_of(&membership);
                let stored = StoredMembers {
                    position: Some(position),
                    members,
                };
                EntryKind::Membership(Bytes::from(stored.encode()))
            }
        };
        self.bytes += match &kind {
            EntryKind::Command(bytes) | EntryKind::Membership(bytes) => bytes.len(),
            EntryKind::Blank => 0,
        };
        self.entries.push(LogEntry { position, kind });
        self.responders.push(responder);
    }

    fn is_full(&self) -> bool {
        self.bytes >= APPLY_BYTES || self.entries.len() >= APPLY_ENTRIES
    }
}

/// The position and the members of an applied state.
pub(super) fn raft_state_of(
    applied: &Applied,
) -> Result<(Option<LogId>, StoredMembership), io::Error> {
    let membership = if applied.membership.is_empty() {
        StoredMembership::default()
    } else {
        let stored = StoredMembers::decode(&applied.membership).map_err(io::Error::other)?;
        stored_membership_of(stored)?
    };
    Ok((applied.last.map(log_id_of), membership))
}

pub(super) fn snapshot_of(snapshot: SnapshotDir) -> Result<Snapshot, io::Error> {
    let (last_log_id, last_membership) = raft_state_of(&snapshot.manifest().applied)?;
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id,
        last_membership,
    };
    Ok(Snapshot { meta, snapshot })
}
