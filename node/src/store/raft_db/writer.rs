//! The one thread that writes the Raft database.
//!
//! It takes everything that waits, writes it in order, syncs once, and then tells the askers, in
//! order. While one sync runs the next group gathers, so the group adapts to the disk by itself.

use std::sync::{Arc, mpsc};

use rocksdb::{DB, WriteBatch};

use super::{
    KEY_AGES, KEY_COMMITTED, KEY_PURGED, KEY_VOTE, LOG, META, RaftDbError, Shared, Synced, family,
    remove,
};
use crate::store::{
    fatal::FatalError,
    raft_codec::{Position, Record, Vote, log_key},
    syncs,
};

/// A group is closed at this many operations or bytes, so that no asker waits for ever.
const GROUP_OPS: usize = 256;
const GROUP_BYTES: usize = 8 << 20;

pub(super) enum Op {
    Append {
        records: Vec<Record>,
        synced: Synced,
    },
    Truncate {
        from: u64,
        last: Option<Position>,
    },
    Vote {
        vote: Vote,
        synced: Synced,
    },
    Committed {
        committed: Option<Position>,
    },
    Purge {
        upto: Position,
        last: Option<Position>,
        synced: Synced,
    },
    Ages {
        ages: Vec<u8>,
    },
    Stop,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Op>,
    /// Rides in the next batch of entries.
    committed: Option<End>,
}

/// An end of the log: a position, or none while nothing was ever in it.
struct End(Option<Position>);

/// One group of operations and whom to tell about them.
#[derive(Default)]
struct Group {
    batch: WriteBatch,
    ops: usize,
    /// Somebody waits for this group to be on disk.
    sync: bool,
    told: Vec<Synced>,
    last: Option<End>,
    purged: Option<Position>,
    cuts: usize,
    stop: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, inbox: mpsc::Receiver<Op>) -> Self {
        Self {
            shared,
            inbox,
            committed: None,
        }
    }

    /// Ends when it is told to, when all handles are gone, or after the first error.
    pub(super) fn run(mut self) {
        loop {
            let Ok(first) = self.inbox.recv() else {
                return self.finish();
            };
            let mut group = Group::default();
            if let Err(error) = self.gather(first, &mut group) {
                return self.fail(group.told, error);
            }
            let stop = group.stop;
            if let Err((told, error)) = self.commit(group) {
                return self.fail(told, error);
            }
            if stop {
                return self.finish();
            }
        }
    }

    fn gather(&mut self, first: Op, group: &mut Group) -> Result<(), RaftDbError> {
        let mut next = Some(first);
        while let Some(op) = next {
            self.add(op, group)?;
            let full = group.ops >= GROUP_OPS || group.batch.size_in_bytes() >= GROUP_BYTES;
            next = if full || group.stop {
                None
            } else {
                self.inbox.try_recv().ok()
            };
        }
        Ok(())
    }

    fn add(&mut self, op: Op, group: &mut Group) -> Result<(), RaftDbError> {
        let db = &self.shared.db;
        let meta = family(db, META)?;
        group.ops += 1;
        match op {
            Op::Append { records, synced } => {
                let log = family(db, LOG)?;
                for record in &records {
                    group
                        .batch
                        .put_cf(log, log_key(record.position.index), record.encode());
                }
                if let Some(record) = records.last() {
                    group.last = Some(End(Some(record.position)));
                }
                if let Some(End(committed)) = self.committed.take() {
                    put_committed(db, &mut group.batch, committed)?;
                }
                group.sync = true;
                group.told.push(synced);
            }
            Op::Truncate { from, last } => {
                let log = family(db, LOG)?;
                group
                    .batch
                    .delete_range_cf(log, log_key(from), log_key(u64::MAX));
                group.last = Some(End(last));
                group.cuts += 1;
            }
            Op::Vote { vote, synced } => {
                group.batch.put_cf(meta, KEY_VOTE, vote.encode());
                group.sync = true;
                group.told.push(synced);
            }
            Op::Committed { committed } => self.committed = Some(End(committed)),
            Op::Purge { upto, last, synced } => {
                group.batch.put_cf(meta, KEY_PURGED, upto.encode());
                group.purged = group.purged.max(Some(upto));
                group.last = Some(End(last));
                group.sync = true;
                group.told.push(synced);
            }
            Op::Ages { ages } => group.batch.put_cf(meta, KEY_AGES, ages),
            Op::Stop => group.stop = true,
        }
        Ok(())
    }

    /// Writes, syncs, removes what was purged, tells.
    fn commit(&self, group: Group) -> Result<(), (Vec<Synced>, RaftDbError)> {
        let Group {
            batch,
            sync,
            told,
            last,
            purged,
            cuts,
            ..
        } = group;
        if let Err(error) = self.write(batch, sync, purged) {
            return Err((told, error));
        }
        if let Some(End(last)) = last {
            let mut tail = self.shared.write_tail();
            tail.written(last);
            let flushed = tail.flushed(last, cuts);
            if sync {
                self.shared.flushed.send_replace(flushed);
            }
        }
        for synced in told {
            synced(Ok(()));
        }
        Ok(())
    }

    fn write(
        &self,
        batch: WriteBatch,
        sync: bool,
        purged: Option<Position>,
    ) -> Result<(), RaftDbError> {
        let db = &self.shared.db;
        if !batch.is_empty() {
            db.write(batch)?;
        }
        if sync {
            db.flush_wal(true)?;
            syncs::raft();
        }
        // Only after the note of the purge is synced: entries that are gone without a note would
        // be a hole.
        purged.map_or(Ok(()), |upto| remove(db, 0, upto.index.saturating_add(1)))
    }

    fn finish(mut self) {
        let mut batch = WriteBatch::default();
        let result = self
            .committed
            .take()
            .map_or(Ok(()), |End(committed)| {
                put_committed(&self.shared.db, &mut batch, committed)
            })
            .and_then(|()| self.write(batch, true, None));
        if let Err(error) = result {
            self.fail(Vec::new(), error);
        }
    }

    /// Reports first: in production that is the end, and no asker hears anything.
    fn fail(self, told: Vec<Synced>, error: RaftDbError) {
        self.shared
            .fatal
            .fire(&FatalError::new("writing the raft database", error));
        for synced in told {
            synced(Err(RaftDbError::Stopped));
        }
    }
}

fn put_committed(
    db: &DB,
    batch: &mut WriteBatch,
    committed: Option<Position>,
) -> Result<(), RaftDbError> {
    let meta = family(db, META)?;
    match committed {
        Some(position) => batch.put_cf(meta, KEY_COMMITTED, position.encode()),
        None => batch.delete_cf(meta, KEY_COMMITTED),
    }
    Ok(())
}
