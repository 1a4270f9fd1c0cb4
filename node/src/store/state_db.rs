//! The `state/` database: what committed commands have built, on `RocksDB`.
//!
//! One writer (the state machine) puts one [`Writes`] after the other; readers work on a
//! [`StateView`], a consistent snapshot. A write is not synced by itself: the synced Raft log is
//! its redo log, and the applied position travels in the same batch. After a failed write nobody
//! knows what the file holds, so the database is poisoned and the process stops.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode,
    Options, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions, checkpoint::Checkpoint,
};

use super::{
    codec::{self, Family, Key, STATE_FORMAT, Single, bytes::DecodeError},
    durable::sync_folder,
    fatal::{FatalError, FatalHook},
};

/// Sizes of the memory that `state/` may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateOptions {
    /// Block cache, shared by all families.
    pub cache_bytes: usize,
    /// Memtables of all families together.
    pub write_buffer_bytes: usize,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
        }
    }
}

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// `RocksDB` reported an error.
    #[error("the state database could not {what}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// Its cause.
        #[source]
        source: rocksdb::Error,
    },
    /// A file operation around the database failed.
    #[error("could not {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Its cause.
        #[source]
        source: io::Error,
    },
    /// A row that this program cannot read.
    #[error("the row of {what} is damaged")]
    Row {
        /// Which row.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// A row that must be there is not.
    #[error("the state holds no {what}")]
    Missing {
        /// Which row.
        what: &'static str,
    },
    /// Rows that contradict each other.
    #[error("the state contradicts itself: {what}")]
    Contradiction {
        /// What does not hold.
        what: &'static str,
    },
    /// The folder was written by another release.
    #[error("the state has format {found}, this program reads {STATE_FORMAT}")]
    Format {
        /// The version found.
        found: u32,
    },
    /// An earlier write failed.
    #[error("the state database was closed after a failed write")]
    Poisoned,
}

impl StateError {
    /// For `map_err` after decoding the row of `what`.
    pub fn row(what: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Row { what, source }
    }
}

fn database(what: &'static str) -> impl FnOnce(rocksdb::Error) -> StateError {
    move |source| StateError::Database { what, source }
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::File { what, path, source }
}

/// Keys and values of one family in key order: what a scan gives.
pub type Row = (Vec<u8>, Vec<u8>);

/// Consecutive rows of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The family.
    pub family: Family,
    /// The first key that belongs to it.
    pub from: Vec<u8>,
    /// The first key behind it.
    pub to: Vec<u8>,
    /// From the last row to the first.
    pub newest_first: bool,
}

impl Range {
    /// All rows whose key begins with `prefix`.
    pub fn of(prefix: &Key) -> Self {
        let mut to = prefix.bytes.clone();
        while let Some(last) = to.pop() {
            if let Some(next) = last.checked_add(1) {
                to.push(next);
                break;
            }
        }
        Self {
            family: prefix.family,
            from: prefix.bytes.clone(),
            to,
            newest_first: false,
        }
    }

    /// The same, without what lies before `key`.
    #[must_use]
    pub fn starting_at(self, key: &Key) -> Self {
        Self {
            from: key.bytes.clone().max(self.from),
            ..self
        }
    }

    /// The same, without `key` and what lies behind it.
    #[must_use]
    pub fn ending_before(self, key: &Key) -> Self {
        Self {
            to: key.bytes.clone().min(self.to),
            ..self
        }
    }

    /// The same, read from its end.
    #[must_use]
    pub fn newest_first(self) -> Self {
        Self {
            newest_first: true,
            ..self
        }
    }
}

/// Where rows can be read: a snapshot of the database, memory, or a layer over another.
pub trait Rows {
    /// The value under `key`.
    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError>;

    /// At most `limit` rows of `range`, in its direction.
    fn scan(&self, range: &Range, limit: usize) -> Result<Vec<Row>, StateError>;
}

/// Rows to put (`Some`) and to remove (`None`), written together or not at all.
pub type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// The open database.
pub struct StateDb {
    folder: PathBuf,
    options: StateOptions,
    /// Readers share it; only replacing the whole folder takes it exclusively.
    open: RwLock<Option<DB>>,
    /// Held by whoever changes rows, and while a checkpoint is made, so that a checkpoint contains
    /// whole batches and its applied position is known.
    writing: Mutex<()>,
    poisoned: AtomicBool,
    fatal: FatalHook,
}

/// A consistent snapshot of the state.
pub struct StateView<'a> {
    snapshot: SnapshotWithThreadMode<'a, DB>,
    families: [&'a ColumnFamily; 5],
}

impl StateDb {
    /// Opens `<data>/state`, which is made where it is missing.
    ///
    /// A replacement that a crash cut short is undone or finished first, so that either the old or
    /// the new state is there.
    ///
    /// # Errors
    /// When the files are unreadable, of another format, or held by another process.
    pub fn open(data: &Path, options: StateOptions, fatal: FatalHook) -> Result<Self, StateError> {
        let folder = data.join("state");
        finish_replacement(&folder)?;
        let db = open_folder(&folder, options)?;
        Ok(Self {
            folder,
            options,
            open: RwLock::new(Some(db)),
            writing: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            fatal,
        })
    }

    /// Gives `read` a snapshot. Views must not be nested: a replacement that waits for the outer
    /// one would never let the inner one begin.
    ///
    /// # Errors
    /// [`StateError::Poisoned`] after a failed write, and whatever `read` returns.
    pub fn view<R, E: From<StateError>>(
        &self,
        read: impl FnOnce(&StateView<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let guard = self.guard()?;
        let db = guard.as_ref().ok_or(StateError::Poisoned)?;
        let view = StateView {
            snapshot: db.snapshot(),
            families: families(db)?,
        };
        read(&view)
    }

    /// Puts all of `writes`, or stops the process.
    ///
    /// Survives a crash of the process at once, and a power cut after the next [`StateDb::sync`].
    ///
    /// # Errors
    /// Only under a test's hook: [`StateError::Poisoned`] or the database's own error.
    pub fn write(&self, writes: &Writes) -> Result<(), StateError> {
        let _writing = self.writing();
        let guard = self.guard()?;
        let db = guard.as_ref().ok_or(StateError::Poisoned)?;
        let families = families(db)?;
        let mut batch = WriteBatch::default();
        for (key, value) in writes {
            let family = families[key.family as usize];
            match value {
                Some(value) => batch.put_cf(family, &key.bytes, value),
                None => batch.delete_cf(family, &key.bytes),
            }
        }
        self.or_poison("write", db.write_opt(batch, &WriteOptions::default()))
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    /// As [`StateDb::write`].
    pub fn sync(&self) -> Result<(), StateError> {
        let guard = self.guard()?;
        let db = guard.as_ref().ok_or(StateError::Poisoned)?;
        self.or_poison("sync", db.flush_wal(true))
    }

    /// Writes a complete copy into `folder`, which must not exist, and returns what `read` finds in
    /// exactly this copy. Costs hard links and one flush of the memtables.
    ///
    /// # Errors
    /// When the copy cannot be made; the database itself is unharmed.
    pub fn checkpoint<R>(
        &self,
        folder: &Path,
        read: impl FnOnce(&StateView<'_>) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        let _writing = self.writing();
        let guard = self.guard()?;
        let db = guard.as_ref().ok_or(StateError::Poisoned)?;
        Checkpoint::new(db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(database("make a checkpoint"))?;
        read(&StateView {
            snapshot: db.snapshot(),
            families: families(db)?,
        })
    }

    /// Replaces the whole state by the copy in `folder` once `check` has accepted it.
    ///
    /// The copy must stand on the same file system. After a crash either the old or the new state
    /// is there. Waits for all views to end.
    ///
    /// # Errors
    /// When the copy cannot be opened or is refused, the old state stays. An error after that
    /// poisons the database.
    pub fn replace<R, E: From<StateError>>(
        &self,
        folder: &Path,
        check: impl FnOnce(&StateView<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let accepted = {
            let copy = open_folder(folder, self.options)?;
            let view = StateView {
                snapshot: copy.snapshot(),
                families: families(&copy)?,
            };
            check(&view)?
        };
        let _writing = self.writing();
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StateError::Poisoned.into());
        }
        // Closing waits for RocksDB's own threads, so that nothing writes into the moved folder.
        drop(guard.take());
        let replaced = swap_folders(&self.folder, folder)
            .and_then(|()| open_folder(&self.folder, self.options));
        match replaced {
            Ok(db) => {
                *guard = Some(db);
                Ok(accepted)
            }
            Err(error) => {
                self.poisoned.store(true, Ordering::Release);
                drop(guard);
                self.fatal
                    .fire(&FatalError::new("replacing the state", error));
                Err(StateError::Poisoned.into())
            }
        }
    }

    fn guard(&self) -> Result<RwLockReadGuard<'_, Option<DB>>, StateError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StateError::Poisoned);
        }
        // A reader that panicked has changed nothing.
        Ok(self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn or_poison(
        &self,
        what: &'static str,
        result: Result<(), rocksdb::Error>,
    ) -> Result<(), StateError> {
        result.map_err(|source| {
            self.poisoned.store(true, Ordering::Release);
            self.fatal
                .fire(&FatalError::new("writing the state", source.clone()));
            StateError::Database { what, source }
        })
    }
}

impl fmt::Debug for StateDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateDb")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Rows for StateView<'_> {
    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError> {
        self.snapshot
            .get_cf(self.families[key.family as usize], &key.bytes)
            .map_err(database("read"))
    }

    fn scan(&self, range: &Range, limit: usize) -> Result<Vec<Row>, StateError> {
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.from.clone());
        options.set_iterate_upper_bound(range.to.clone());
        let mode = if range.newest_first {
            IteratorMode::End
        } else {
            IteratorMode::From(&range.from, Direction::Forward)
        };
        self.snapshot
            .iterator_cf_opt(&self.families[range.family as usize], options, mode)
            .take(limit)
            .map(|row| {
                row.map(|(key, value)| (key.into_vec(), value.into_vec()))
                    .map_err(database("read a range"))
            })
            .collect()
    }
}

impl fmt::Debug for StateView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateView")
            .field("sequence", &self.snapshot.sequence_number())
            .finish_non_exhaustive()
    }
}

fn families(db: &DB) -> Result<[&ColumnFamily; 5], StateError> {
    let family = |family: Family| {
        db.cf_handle(family.name())
            .ok_or_else(|| StateError::Missing {
                what: family.name(),
            })
    };
    Ok([
        family(Family::Meta)?,
        family(Family::Entries)?,
        family(Family::Payloads)?,
        family(Family::Tiles)?,
        family(Family::Index)?,
    ])
}

fn open_folder(folder: &Path, sizes: StateOptions) -> Result<DB, StateError> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_db_write_buffer_size(sizes.write_buffer_bytes);
    options.set_max_total_wal_size(4 * sizes.write_buffer_bytes as u64);
    options.set_keep_log_file_num(4);
    let cache = Cache::new_lru_cache(sizes.cache_bytes);
    let descriptors = Family::ALL.map(|family| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        // Index and filter blocks count against the same budget.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        ColumnFamilyDescriptor::new(family.name(), options)
    });
    let db = DB::open_cf_descriptors(&options, folder, descriptors).map_err(database("open"))?;
    check_format(&db)?;
    Ok(db)
}

/// Compares the stored format version, or stores it in a database that is new.
fn check_format(db: &DB) -> Result<(), StateError> {
    let key = codec::single(Single::Format);
    let [meta, ..] = families(db)?;
    match db
        .get_cf(meta, &key.bytes)
        .map_err(database("read its format"))?
    {
        Some(bytes) => {
            let found = codec::bytes::Reader::new(&bytes)
                .u32("format")
                .map_err(StateError::row("state format"))?;
            if found == STATE_FORMAT {
                Ok(())
            } else {
                Err(StateError::Format { found })
            }
        }
        None => db
            .put_cf(meta, &key.bytes, STATE_FORMAT.to_be_bytes())
            .map_err(database("store its format")),
    }
}

fn old_folder(folder: &Path) -> PathBuf {
    folder.with_extension("old")
}

/// Puts `new` in the place of `current`, keeping the old one until the new one stands.
fn swap_folders(current: &Path, new: &Path) -> Result<(), StateError> {
    let old = old_folder(current);
    fs::rename(current, &old).map_err(file("move aside", current))?;
    fs::rename(new, current).map_err(file("move in", new))?;
    sync_parent(current)?;
    fs::remove_dir_all(&old).map_err(file("remove", &old))
}

/// After a crash inside [`swap_folders`]: the old state comes back where the new one did not make
/// it, and goes where it did.
fn finish_replacement(folder: &Path) -> Result<(), StateError> {
    let old = old_folder(folder);
    if !old.try_exists().map_err(file("look for", &old))? {
        return Ok(());
    }
    if folder.try_exists().map_err(file("look for", folder))? {
        fs::remove_dir_all(&old).map_err(file("remove", &old))
    } else {
        fs::rename(&old, folder).map_err(file("move back", &old))?;
        sync_parent(folder)
    }
}

fn sync_parent(folder: &Path) -> Result<(), StateError> {
    let parent = folder.parent().unwrap_or(folder);
    sync_folder(parent).map_err(file("sync", parent))
}

#[cfg(test)]
mod tests;
