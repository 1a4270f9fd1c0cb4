//! How the Raft database is opened.

use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Options};

use super::{LOG, META, RaftDbError};

/// Most entries live and die in memory: the log is purged before this much has gathered a few
/// times, so that few of its bytes are ever compacted.
const WRITE_BUFFER_BYTES: usize = 64 << 20;
const L0_TRIGGER: i32 = 8;

pub(super) fn open(path: &Path, create: bool) -> Result<DB, RaftDbError> {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(create);
    // Survives a torn last record, refuses any other damage. See the module's documentation.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    // With manual flushes unwritten records would sit in our memory and die with the process.
    options.set_manual_wal_flush(false);
    // All files stay open: tables with range tombstones are then never re-read in a hurry.
    options.set_max_open_files(-1);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    let families = [LOG, META]
        .map(|name| ColumnFamilyDescriptor::new(name, family_options()))
        .into_iter()
        .chain([ColumnFamilyDescriptor::new(
            rocksdb::DEFAULT_COLUMN_FAMILY_NAME,
            family_options(),
        )]);
    DB::open_cf_descriptors(&options, path, families).map_err(|error| {
        if is_held(&error) {
            let path = path.to_owned();
            RaftDbError::Held { path }
        } else {
            error.into()
        }
    })
}

/// Whether the lock of the folder is taken, by another process or by this one. `RocksDB` has no kind of
/// its own for it.
fn is_held(error: &rocksdb::Error) -> bool {
    let taken = ["While lock file: ", "lock hold by current process"];
    let message = error.as_ref();
    error.kind() == rocksdb::ErrorKind::IOError && taken.iter().any(|words| message.contains(words))
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_level_zero_file_num_compaction_trigger(L0_TRIGGER);
    options
}
