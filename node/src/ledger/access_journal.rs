//! Reads from outside the organisation, on disk before they are answered, until the log has them.
//!
//! The file `reads` lies in the data directory. It is written at its end and synced before the reader
//! gets an answer, and emptied when the log has everything in it. A node that ends in between tells
//! again what it may have told already: a read may stand in the log twice, never not at all, as long as
//! the disk is there.
//!
//! Each frame: length of the body (4 bytes), CRC32C of the body (4 bytes), both big-endian, and the
//! body, the payload of a `ledger.access` record with number 1. What is torn at the end was never
//! answered, and is cut off.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aimslog_proto::limits::ACCESS_READS_MAX;
use aimslog_proto::system::{Access, AccessRead, Payload as _};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Name of the file in the data directory.
pub const JOURNAL_FILE: &str = "reads";
/// Reads that wait for the log at most; about 100 bytes of memory and of the file each.
pub const PENDING_MAX: usize = 200_000;
/// What has waited for the log so long stops further reads.
pub const OVERDUE: Duration = Duration::from_mins(1);

const FRAME_HEADER_BYTES: usize = 8;
/// A body is the payload of a statement, which is smaller.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Why a read cannot be kept, so that it is not answered.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk.
    #[error("the journal of reads {} could not be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Too much waits for the log.
    #[error("{waiting} reads wait for the log, at most {PENDING_MAX} may")]
    Full {
        /// How many.
        waiting: usize,
    },
}

/// The journal of one node.
#[derive(Debug)]
pub struct AccessJournal {
    path: PathBuf,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    file: File,
    pending: VecDeque<Kept>,
    /// All that were ever taken to the log since the start.
    logged: u64,
}

/// A read that waits for the log.
#[derive(Debug)]
struct Kept {
    read: AccessRead,
    since: Instant,
}

impl AccessJournal {
    /// Opens the journal of this data directory, with what an earlier run has left in it. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let path = data_dir.join(JOURNAL_FILE);
        match open(&path) {
            Ok((file, reads)) => {
                let since = Instant::now();
                let pending = reads.into_iter().map(|read| Kept { read, since });
                Ok(Self {
                    state: Mutex::new(State {
                        file,
                        pending: pending.collect(),
                        logged: 0,
                    }),
                    path,
                    arrived: Notify::new(),
                })
            }
            Err(source) => Err(JournalError::Io { path, source }),
        }
    }

    /// Keeps these reads; when it returns they are on disk and will be in the log. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError`]; nothing of them may be answered then.
    pub fn append(&self, reads: &[AccessRead]) -> Result<(), JournalError> {
        let mut state = self.lock();
        let waiting = state.pending.len();
        if waiting.saturating_add(reads.len()) > PENDING_MAX {
            return Err(JournalError::Full { waiting });
        }
        let mut bytes = Vec::new();
        for part in reads.chunks(ACCESS_READS_MAX) {
            bytes.extend(frame(part));
        }
        let written = state.file.write_all(&bytes);
        let written = written.and_then(|()| state.file.sync_data());
        written.map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })?;
        let since = Instant::now();
        let kept = reads.iter().cloned().map(|read| Kept { read, since });
        state.pending.extend(kept);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Returns when there may be reads to take to the log.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The oldest reads that wait, so many as fit into one record.
    pub fn oldest(&self) -> Vec<AccessRead> {
        let state = self.lock();
        let kept = state.pending.iter().take(ACCESS_READS_MAX);
        kept.map(|kept| kept.read.clone()).collect()
    }

    /// The oldest so many are in the log. Blocks on the disk when nothing is left.
    ///
    /// # Errors
    /// [`JournalError::Io`]: they may be told once more after the next start.
    pub fn logged(&self, count: usize) -> Result<(), JournalError> {
        let mut state = self.lock();
        let count = count.min(state.pending.len());
        state.pending.drain(..count);
        state.logged = state.logged.saturating_add(count as u64);
        if !state.pending.is_empty() {
            return Ok(());
        }
        let emptied = state.file.set_len(0);
        let emptied = emptied.and_then(|()| state.file.sync_data());
        emptied.map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// For how long the oldest read has waited for the log, if any waits.
    pub fn waiting_for(&self, now: Instant) -> Option<Duration> {
        let oldest = self.lock().pending.front()?.since;
        Some(now.saturating_duration_since(oldest))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn frame(reads: &[AccessRead]) -> Vec<u8> {
    let access = Access {
        number: 1,
        reads: reads.to_vec(),
    };
    let body = access.encode();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&body).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn open(path: &Path) -> io::Result<(File, Vec<AccessRead>)> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (reads, whole) = read_frames(&bytes);
    if whole < bytes.len() {
        let (found, kept) = (bytes.len(), whole);
        tracing::warn!(found, kept, "the journal of reads was cut off at its end");
        file.set_len(whole as u64)?;
        file.sync_data()?;
    }
    Ok((file, reads))
}

/// The reads of all whole frames, and the length of those.
fn read_frames(bytes: &[u8]) -> (Vec<AccessRead>, usize) {
    let mut reads = Vec::new();
    let mut rest = bytes;
    while let Some((access, behind)) = read_frame(rest) {
        reads.extend(access.reads);
        rest = behind;
    }
    (reads, bytes.len() - rest.len())
}

fn read_frame(bytes: &[u8]) -> Option<(Access, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let [length, crc] =
        [header.first_chunk()?, header.last_chunk()?].map(|it| u32::from_be_bytes(*it));
    let length = usize::try_from(length).ok()?;
    if length > BODY_BYTES_MAX {
        return None;
    }
    let (body, behind) = rest.split_at_checked(length)?;
    if crc32c::crc32c(body) != crc {
        return None;
    }
    Some((Access::decode(body).ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::system::{EngagementId, OrganizationId, PrincipalId};
    use aimslog_proto::time::UnixSeconds;
    use aimslog_proto::tlog::LeafIndex;

    fn reads(range: std::ops::Range<u64>) -> Vec<AccessRead> {
        let read = |index| AccessRead {
            organization: OrganizationId::new("hospital").unwrap(),
            engagement: EngagementId::new("audit-2026").unwrap(),
            principal: PrincipalId::new("auditor-1").unwrap(),
            entry: LeafIndex(index),
            time: UnixSeconds(1_800_000_000 + index),
        };
        range.map(read).collect()
    }

    #[tokio::test]
    async fn what_was_kept_is_there_after_a_start_until_the_log_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert!(journal.oldest().is_empty());
        let many = ACCESS_READS_MAX as u64 + 3;
        journal.append(&reads(0..many)).unwrap();
        journal.append(&reads(many..many + 2)).unwrap();
        journal.arrived().await;
        drop(journal);
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert_eq!(journal.oldest(), reads(0..ACCESS_READS_MAX as u64));
        journal.logged(ACCESS_READS_MAX).unwrap();
        assert_eq!(journal.oldest(), reads(ACCESS_READS_MAX as u64..many + 2));
        journal.logged(5).unwrap();
        assert_eq!(journal.waiting_for(Instant::now()), None);
        drop(journal);
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert!(journal.oldest().is_empty());
    }

    #[tokio::test]
    async fn a_torn_or_rotten_end_is_cut_off_and_nothing_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL_FILE);
        let whole = [frame(&reads(0..3)), frame(&reads(3..4))].concat();
        let first = frame(&reads(0..3)).len();
        for length in first..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let journal = AccessJournal::open(folder.path()).unwrap();
            assert_eq!(journal.oldest(), reads(0..3), "{length}");
            journal.append(&reads(9..10)).unwrap();
            drop(journal);
            let journal = AccessJournal::open(folder.path()).unwrap();
            assert_eq!(journal.oldest().len(), 4, "{length}");
        }
        for place in first..whole.len() {
            let mut rotten = whole.clone();
            rotten[place] ^= 0x20;
            let (found, _) = read_frames(&rotten);
            assert_eq!(found, reads(0..3), "{place}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_read_says_how_long_the_log_has_not_taken_any() {
        let folder = tempfile::tempdir().unwrap();
        let journal = AccessJournal::open(folder.path()).unwrap();
        journal.append(&reads(0..1)).unwrap();
        tokio::time::advance(OVERDUE).await;
        journal.append(&reads(1..2)).unwrap();
        assert_eq!(journal.waiting_for(Instant::now()), Some(OVERDUE));
        journal.logged(1).unwrap();
        assert_eq!(journal.waiting_for(Instant::now()), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let journal = AccessJournal::open(folder.path()).unwrap();
        journal.append(&reads(0..PENDING_MAX as u64)).unwrap();
        let refused = journal.append(&reads(0..1)).unwrap_err();
        assert!(matches!(refused, JournalError::Full { .. }), "{refused:?}");
    }
}
