//! The Raft database: log, vote, and whose they are.
//!
//! One `RocksDB` with the families `log` (index -> entry) and `meta`. All writes go through one
//! thread (`writer`), in the order in which they were asked for, and are acknowledged after a sync
//! that covers them; one sync acknowledges everything written before it. Entries are readable at
//! once, from memory (`tail`), and from disk after they are evicted there.
//!
//! What a crash can leave: a prefix of the writes. The WAL is read with
//! `TolerateCorruptedTailRecords`: a torn last write is dropped (it was never acknowledged), any
//! other damage refuses to open. `RocksDB`'s default would silently drop everything after the first
//! bad record, acknowledged votes and entries included.

mod options;
mod tail;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc},
    thread::JoinHandle,
};

use bytes::Bytes;
use rocksdb::{DB, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use tokio::sync::{oneshot, watch};

use self::{
    tail::{Tail, next},
    writer::{Op, Writer},
};
use super::{
    fatal::FatalHook,
    raft_codec::{CodecError, Identity, Position, Record, Vote, log_index, log_key},
};

pub(super) const LOG: &str = "log";
pub(super) const META: &str = "meta";

/// The layout of families and keys. A database of another format is refused.
const FORMAT: u32 = 1;

const KEY_FORMAT: &[u8] = b"format";
const KEY_IDENTITY: &[u8] = b"identity";
const KEY_VOTE: &[u8] = b"vote";
const KEY_PURGED: &[u8] = b"purged";
const KEY_COMMITTED: &[u8] = b"committed";
const KEY_AGES: &[u8] = b"ages";

/// Called once when what it stands for is on disk, or never will be. Runs on the writer thread.
pub type Synced = Box<dyn FnOnce(Result<(), RaftDbError>) + Send>;

/// An open Raft database. Closing it (by [`RaftDb::close`] or by dropping the last handle) writes
/// and syncs everything that was asked for.
#[derive(Clone)]
pub struct RaftDb {
    shared: Arc<Shared>,
    /// Dropped before the thread is joined, which is what ends the thread.
    ops: mpsc::Sender<Op>,
    thread: Arc<WriterThread>,
}

/// Reads the log. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// What the database held when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The last entry removed from the front.
    pub purged: Option<Position>,
    /// The last entry; falls back to `purged` when the log is empty.
    pub last: Option<Position>,
}

/// Why the Raft database cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum RaftDbError {
    #[error("the folder {path} could not be prepared")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no raft database in {path}")]
    Missing { path: PathBuf },
    #[error("there is a raft database in {path} already")]
    Exists { path: PathBuf },
    #[error(
        "another process has the database in {path} open: most likely another aimslogd runs with this \
         folder; stop it, or give this node its own folder"
    )]
    Held { path: PathBuf },
    #[error("RocksDB failed")]
    Rocks(#[from] rocksdb::Error),
    #[error("the raft database has format {found}, this program knows {FORMAT}")]
    Format { found: u32 },
    #[error("the raft database has no {what}")]
    Absent { what: &'static str },
    #[error("the {what} in the raft database is damaged")]
    Damaged {
        what: &'static str,
        #[source]
        source: CodecError,
    },
    #[error("the raft log has {found:?} where index {expected} must stand")]
    Hole { expected: u64, found: Option<u64> },
    #[error("the writer of the raft database has stopped")]
    Stopped,
}

impl RaftDbError {
    /// Whether the bytes on the disk are wrong, so that trying again is of no use.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Rocks(error) => error.kind() == rocksdb::ErrorKind::Corruption,
            Self::Absent { .. } | Self::Damaged { .. } | Self::Hole { .. } => true,
            Self::Folder { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Format { .. }
            | Self::Held { .. }
            | Self::Stopped => false,
        }
    }
}

struct Shared {
    db: DB,
    /// Guards the picture of the log that readers and the writer share. Held for moments only,
    /// never during I/O.
    tail: RwLock<Tail>,
    flushed: watch::Sender<Option<Position>>,
    identity: Identity,
    fatal: FatalHook,
}

struct WriterThread(std::sync::Mutex<Option<JoinHandle<()>>>);

impl RaftDb {
    /// Makes a new, empty database in `path`, with the incarnation 1, and syncs it.
    pub fn create(path: &Path, identity: Identity, fatal: FatalHook) -> Result<Self, RaftDbError> {
        if path.join("CURRENT").exists() {
            return Err(RaftDbError::Exists {
                path: path.to_owned(),
            });
        }
        std::fs::create_dir_all(path).map_err(|source| RaftDbError::Folder {
            path: path.to_owned(),
            source,
        })?;
        let db = options::open(path, true)?;
        let mut batch = WriteBatch::default();
        let meta = family(&db, META)?;
        batch.put_cf(meta, KEY_FORMAT, FORMAT.to_be_bytes());
        let before_first_open = Identity {
            incarnation: 0,
            ..identity
        };
        batch.put_cf(meta, KEY_IDENTITY, before_first_open.encode());
        db.write_opt(batch, &synced())?;
        Self::start(db, fatal)
    }

    /// Opens the database in `path`, checks every entry in it, and counts the opening.
    pub fn open(path: &Path, fatal: FatalHook) -> Result<Self, RaftDbError> {
        if !path.join("CURRENT").exists() {
            return Err(RaftDbError::Missing {
                path: path.to_owned(),
            });
        }
        Self::start(options::open(path, false)?, fatal)
    }

    fn start(db: DB, fatal: FatalHook) -> Result<Self, RaftDbError> {
        check_format(&db)?;
        let mut identity: Identity = required(&db, KEY_IDENTITY, "identity", Identity::decode)?;
        identity.incarnation = identity.incarnation.saturating_add(1);
        // This sync also makes durable whatever recovery replayed from a WAL that the dead process
        // had written but not synced: from here on it counts as flushed.
        db.put_cf_opt(
            family(&db, META)?,
            KEY_IDENTITY,
            identity.encode(),
            &synced(),
        )?;
        let tail = load(&db)?;
        let (flushed, _) = watch::channel(tail.last());
        let shared = Arc::new(Shared {
            db,
            tail: RwLock::new(tail),
            flushed,
            identity,
            fatal,
        });
        let (ops, inbox) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), inbox);
        let thread = std::thread::Builder::new()
            .name("raft-writer".into())
            .spawn(move || writer.run())
            .map_err(|source| RaftDbError::Folder {
                path: shared.db.path().into(),
                source,
            })?;
        let thread = Arc::new(WriterThread(std::sync::Mutex::new(Some(thread))));
        Ok(Self {
            shared,
            ops,
            thread,
        })
    }

    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    pub fn ends(&self) -> Ends {
        let tail = self.shared.read_tail();
        Ends {
            purged: tail.purged(),
            last: tail.last(),
        }
    }

    pub fn vote(&self) -> Option<Vote> {
        self.shared.read_tail().vote
    }

    /// The newest committed position that was stored; may lag behind after a crash.
    pub fn committed(&self) -> Option<Position> {
        self.shared.read_tail().committed
    }

    /// The bytes of all entries in the log.
    pub fn log_bytes(&self) -> u64 {
        self.shared.read_tail().log_bytes()
    }

    /// The index up to which the log must be purged so that at most `keep` bytes remain, if
    /// anything must be.
    pub fn purge_point(&self, keep: u64) -> Option<u64> {
        self.shared.read_tail().purge_point(keep)
    }

    /// The last entry of this log that is on this disk.
    pub fn flushed(&self) -> watch::Receiver<Option<Position>> {
        self.shared.flushed.subscribe()
    }

    pub fn reader(&self) -> LogReader {
        LogReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Appends consecutive entries. They are readable when this returns; `synced` is called when
    /// they, and everything asked for before, are on disk.
    pub fn append(&self, records: Vec<Record>, synced: Synced) -> Result<(), RaftDbError> {
        let mut tail = self.shared.write_tail();
        for record in &records {
            tail.push(record.clone())?;
        }
        // Sent under the lock, so that the order in memory and the order on disk are one.
        self.send(Op::Append { records, synced })
    }

    /// Removes all entries above `last`. Durable with the next append, which is enough: until then
    /// nobody was told anything that depends on it.
    pub fn truncate_after(&self, last: Option<Position>) -> Result<(), RaftDbError> {
        let mut tail = self.shared.write_tail();
        tail.truncate_after(last);
        let last = tail.last();
        self.shared.flushed.send_if_modified(|flushed| {
            let lower = next(last) < next(*flushed);
            if lower {
                *flushed = last;
            }
            lower
        });
        self.send(Op::Truncate {
            from: next(last),
            last,
        })
    }

    /// Stores a vote; when this returns `Ok` it is on disk, and so is everything before it.
    pub async fn save_vote(&self, vote: Vote) -> Result<(), RaftDbError> {
        let (synced, done) = reply();
        self.send(Op::Vote { vote, synced })?;
        done.await.map_err(|_closed| RaftDbError::Stopped)??;
        self.shared.write_tail().vote = Some(vote);
        Ok(())
    }

    /// Notes what is committed. Goes to disk with the next entries, never by a sync of its own.
    pub fn save_committed(&self, committed: Option<Position>) -> Result<(), RaftDbError> {
        let mut tail = self.shared.write_tail();
        tail.committed = committed;
        self.send(Op::Committed { committed })
    }

    /// Removes the entries up to `upto` from the front. When this returns, what was removed is
    /// stored; the bytes go later.
    pub async fn purge(&self, upto: Position) -> Result<(), RaftDbError> {
        let (synced, done) = reply();
        {
            let mut tail = self.shared.write_tail();
            tail.purge(upto);
            self.send(Op::Purge {
                upto,
                last: tail.last(),
                synced,
            })?;
        }
        done.await.map_err(|_closed| RaftDbError::Stopped)?
    }

    /// A small note about the ages of entries, see `raft::compaction`; `None` if none was kept.
    pub fn ages(&self) -> Result<Option<Vec<u8>>, RaftDbError> {
        Ok(self
            .shared
            .db
            .get_cf(family(&self.shared.db, META)?, KEY_AGES)?)
    }

    /// Keeps the note; not synced.
    pub fn save_ages(&self, ages: Vec<u8>) -> Result<(), RaftDbError> {
        self.send(Op::Ages { ages })
    }

    /// Writes and syncs what is under way and waits until the thread has ended. Other handles see
    /// [`RaftDbError::Stopped`] from then on.
    pub fn close(self) {
        // An error means that the thread is gone already.
        let stopped = self.ops.send(Op::Stop);
        tracing::debug!(
            already_stopped = stopped.is_err(),
            "closing the raft database"
        );
        let thread = self
            .thread
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer of the raft database panicked");
        }
    }

    /// True while another handle or reader keeps the database open.
    pub fn is_shared(&self) -> bool {
        // This handle and the writer thread have one each.
        Arc::strong_count(&self.shared) > 2
    }

    fn send(&self, op: Op) -> Result<(), RaftDbError> {
        self.ops.send(op).map_err(|_stopped| RaftDbError::Stopped)
    }
}

impl LogReader {
    /// The entries from `start` up to but not including `end`, as far as the log holds them, in
    /// order and without holes. Stops after the entry with which `limit` bytes are reached, so the
    /// first entry comes always. Blocks on disk reads for entries that are no longer in memory.
    pub fn read(&self, start: u64, end: u64, limit: u64) -> Result<Vec<Record>, RaftDbError> {
        // Entries can be purged or truncated between the look at the picture and the read; then the
        // picture has changed and the second look decides. Only a hole that stays is damage.
        let first = self.read_once(start, end, limit);
        match first {
            Err(RaftDbError::Hole { .. }) => self.read_once(start, end, limit),
            other => other,
        }
    }

    /// The same, if no disk read is needed.
    pub fn read_memory(&self, start: u64, end: u64, limit: u64) -> Option<Vec<Record>> {
        let tail = self.shared.read_tail();
        let (start, end) = tail.clip(start, end);
        (start >= tail.start() || start >= end).then(|| tail.slice(start, end, limit).collect())
    }

    pub fn vote(&self) -> Option<Vote> {
        self.shared.read_tail().vote
    }

    fn read_once(&self, start: u64, end: u64, limit: u64) -> Result<Vec<Record>, RaftDbError> {
        let (start, disk_end, in_memory) = {
            let tail = self.shared.read_tail();
            let (start, end) = tail.clip(start, end);
            let disk_end = end.min(tail.start());
            let memory_start = start.max(tail.start());
            (
                start,
                disk_end,
                tail.slice(memory_start, end, limit).collect::<Vec<_>>(),
            )
        };
        let mut records = Vec::new();
        let mut weight = 0;
        if start < disk_end {
            read_disk(&self.shared.db, start..disk_end, |record| {
                weight += record.weight() as u64;
                records.push(record);
                weight < limit
            })?;
            let next = start.saturating_add(records.len() as u64);
            if weight < limit && next < disk_end {
                return Err(RaftDbError::Hole {
                    expected: next,
                    found: None,
                });
            }
        }
        for record in in_memory {
            if weight >= limit {
                break;
            }
            weight += record.weight() as u64;
            records.push(record);
        }
        Ok(records)
    }
}

impl Shared {
    /// A panic while the lock was held would have aborted the process in production; in tests the
    /// picture is still whole, because every change to it is a single call.
    fn read_tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tail(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds the picture of the log from disk. Reads and checks every entry: a hole or a damaged entry
/// must be found now, before this node votes, and not when a peer asks for it.
fn load(db: &DB) -> Result<Tail, RaftDbError> {
    let purged = optional(db, KEY_PURGED, "purged position", Position::decode)?;
    if let Some(purged) = purged {
        // A crash may have come between the note of a purge and the removal.
        remove(db, 0, purged.index.saturating_add(1))?;
    }
    let vote = optional(db, KEY_VOTE, "vote", Vote::decode)?;
    let committed = optional(db, KEY_COMMITTED, "committed position", Position::decode)?;
    let mut tail = Tail::new(purged, vote, committed);
    let first = purged.map_or(0, |p| p.index.saturating_add(1));
    let mut result = Ok(());
    read_disk(db, first..u64::MAX, |record| {
        result = tail.push(record);
        tail.written(tail.last());
        result.is_ok()
    })?;
    result.map(|()| tail)
}

/// Calls `each` with the entries in `range`, which must be consecutive from its start, until it
/// returns false.
fn read_disk(
    db: &DB,
    range: std::ops::Range<u64>,
    mut each: impl FnMut(Record) -> bool,
) -> Result<(), RaftDbError> {
    let mut options = ReadOptions::default();
    // The lower bound keeps the iterator off the tombstones of purged entries.
    options.set_iterate_lower_bound(log_key(range.start).to_vec());
    options.set_iterate_upper_bound(log_key(range.end).to_vec());
    let entries = db.iterator_cf_opt(family(db, LOG)?, options, IteratorMode::Start);
    for (expected, entry) in (range.start..).zip(entries) {
        let (key, value) = entry?;
        let damaged = |source| RaftDbError::Damaged {
            what: "entry",
            source,
        };
        let found = log_index(&key).map_err(damaged)?;
        let record = Record::decode(&Bytes::from(value)).map_err(damaged)?;
        if found != expected || record.position.index != expected {
            return Err(RaftDbError::Hole {
                expected,
                found: Some(found),
            });
        }
        if !each(record) {
            break;
        }
    }
    Ok(())
}

/// Removes the entries in `from..end` from disk, unsynced.
fn remove(db: &DB, from: u64, end: u64) -> Result<(), RaftDbError> {
    let mut batch = WriteBatch::default();
    batch.delete_range_cf(family(db, LOG)?, log_key(from), log_key(end));
    Ok(db.write(batch)?)
}

fn check_format(db: &DB) -> Result<(), RaftDbError> {
    let Some(value) = db.get_cf(family(db, META)?, KEY_FORMAT)? else {
        return Err(RaftDbError::Absent { what: "format" });
    };
    let found = <[u8; 4]>::try_from(value.as_slice()).map_or(0, u32::from_be_bytes);
    if found == FORMAT {
        Ok(())
    } else {
        Err(RaftDbError::Format { found })
    }
}

fn optional<T>(
    db: &DB,
    key: &[u8],
    what: &'static str,
    decode: impl FnOnce(&[u8]) -> Result<T, CodecError>,
) -> Result<Option<T>, RaftDbError> {
    let value = db.get_cf(family(db, META)?, key)?;
    value
        .map(|bytes| decode(&bytes).map_err(|source| RaftDbError::Damaged { what, source }))
        .transpose()
}

fn required<T>(
    db: &DB,
    key: &[u8],
    what: &'static str,
    decode: impl FnOnce(&[u8]) -> Result<T, CodecError>,
) -> Result<T, RaftDbError> {
    optional(db, key, what, decode)?.ok_or(RaftDbError::Absent { what })
}

fn family<'a>(db: &'a DB, name: &'static str) -> Result<&'a rocksdb::ColumnFamily, RaftDbError> {
    db.cf_handle(name).ok_or(RaftDbError::Absent { what: name })
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn reply() -> (Synced, oneshot::Receiver<Result<(), RaftDbError>>) {
    let (tx, rx) = oneshot::channel();
    let synced = Box::new(move |result| {
        // Nobody waits any more: the asker was cancelled, and the write stands.
        let unheard = tx.send(result).is_err();
        tracing::trace!(unheard, "synced");
    });
    (synced, rx)
}

impl std::fmt::Debug for RaftDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftDb")
            .field("ends", &self.ends())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
