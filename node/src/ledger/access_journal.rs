//! Reads from outside the organisation, on disk before they are answered, until the log has them.
//!
//! The file `reads` lies in the data directory. It is written at its end and synced before the reader
//! gets an answer, emptied when the log has everything in it, and written anew when most of it is in the
//! log. A node that ends in between tells again what it may have told already: a read may stand in the
//! log twice, never not at all, as long as the disk is there.
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
/// Where the log took none of what waits for so long, no further read is answered.
pub const OVERDUE: Duration = Duration::from_mins(1);

/// With so many logged reads in the file it is written anew.
const LOGGED_IN_FILE_MAX: usize = 20_000;
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
    /// An earlier write failed, and what it left could not be taken back.
    #[error("the journal of reads {} has an end that cannot be read; start the node again", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
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
    /// Bytes of whole frames in the file.
    length: u64,
    /// Whether behind them is something else that could not be cut off.
    is_torn: bool,
    pending: VecDeque<AccessRead>,
    /// Reads of the file that are in the log.
    logged: usize,
    /// Since when the log has taken nothing although something waited.
    waiting_since: Instant,
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
            Ok((file, length, reads)) => Ok(Self {
                state: Mutex::new(State {
                    file,
                    length,
                    is_torn: false,
                    pending: reads.into(),
                    logged: 0,
                    waiting_since: Instant::now(),
                }),
                path,
                arrived: Notify::new(),
            }),
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
        if state.is_torn {
            let path = self.path.clone();
            return Err(JournalError::Torn { path });
        }
        let bytes = frames(reads);
        let written = state.file.write_all(&bytes);
        if let Err(source) = written.and_then(|()| state.file.sync_data()) {
            // Nothing may stand behind half a frame: the next start would not find it.
            let cut_off = state.file.set_len(state.length);
            state.is_torn = cut_off.and_then(|()| state.file.sync_data()).is_err();
            let path = self.path.clone();
            return Err(JournalError::Io { path, source });
        }
        state.length = state.length.saturating_add(bytes.len() as u64);
        if state.pending.is_empty() {
            state.waiting_since = Instant::now();
        }
        state.pending.extend(reads.iter().cloned());
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
        state
            .pending
            .iter()
            .take(ACCESS_READS_MAX)
            .cloned()
            .collect()
    }

    /// The oldest so many are in the log. Blocks on the disk when nothing is left.
    ///
    /// # Errors
    /// [`JournalError::Io`]: they may be told once more after the next start.
    pub fn logged(&self, count: usize) -> Result<(), JournalError> {
        let mut state = self.lock();
        let count = count.min(state.pending.len());
        state.pending.drain(..count);
        state.logged += count;
        state.waiting_since = Instant::now();
        let shrunk = if state.pending.is_empty() {
            state.empty()
        } else if state.logged >= LOGGED_IN_FILE_MAX {
            state.write_anew(&self.path)
        } else {
            Ok(())
        };
        shrunk.map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// For how long the log has taken nothing, if anything waits.
    pub fn waiting_for(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let waits = !state.pending.is_empty();
        waits.then(|| now.saturating_duration_since(state.waiting_since))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.length, self.logged) = (0, 0);
        self.file.sync_data()?;
        self.is_torn = false;
        Ok(())
    }

    /// Puts a file with what waits in the place of the old one; a crash leaves one of the two. Where it
    /// is not known which, nothing more is appended.
    fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        let staged = path.with_extension("new");
        let bytes = frames(self.pending.make_contiguous());
        // Of an earlier attempt.
        if let Err(error) = std::fs::remove_file(&staged)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = options().append(true).open(&staged)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        self.is_torn = true;
        std::fs::rename(&staged, path)?;
        (self.file, self.length, self.logged) = (file, bytes.len() as u64, 0);
        sync_folder(path)?;
        self.is_torn = false;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn frames(reads: &[AccessRead]) -> Vec<u8> {
    reads.chunks(ACCESS_READS_MAX).flat_map(frame).collect()
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

/// The file, its length and what is in it.
fn open(path: &Path) -> io::Result<(File, u64, Vec<AccessRead>)> {
    let mut file = options().append(true).open(path)?;
    sync_folder(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (reads, whole) = read_frames(&bytes);
    if whole < bytes.len() {
        let (found, kept) = (bytes.len(), whole);
        tracing::warn!(found, kept, "the journal of reads was cut off at its end");
        file.set_len(whole as u64)?;
        file.sync_data()?;
    }
    Ok((file, whole as u64, reads))
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
    async fn it_says_for_how_long_the_log_has_taken_nothing_of_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let journal = AccessJournal::open(folder.path()).unwrap();
        tokio::time::advance(OVERDUE).await;
        assert_eq!(journal.waiting_for(Instant::now()), None);
        journal.append(&reads(0..1)).unwrap();
        tokio::time::advance(OVERDUE).await;
        journal.append(&reads(1..3)).unwrap();
        assert_eq!(journal.waiting_for(Instant::now()), Some(OVERDUE));
        journal.logged(1).unwrap();
        assert_eq!(journal.waiting_for(Instant::now()), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn the_file_shrinks_although_something_always_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL_FILE);
        let journal = AccessJournal::open(folder.path()).unwrap();
        let batch = LOGGED_IN_FILE_MAX as u64 / 2;
        journal.append(&reads(0..1)).unwrap();
        for round in 0..6 {
            journal
                .append(&reads(round * batch + 1..(round + 1) * batch + 1))
                .unwrap();
            journal.logged(LOGGED_IN_FILE_MAX / 2).unwrap();
        }
        let length = std::fs::metadata(&path).unwrap().len();
        let most = frames(&reads(0..2 * batch)).len() as u64;
        assert!(length <= most, "{length} bytes, {most} at most");
        journal
            .append(&reads(6 * batch + 1..6 * batch + 3))
            .unwrap();
        drop(journal);
        let journal = AccessJournal::open(folder.path()).unwrap();
        let last: Vec<AccessRead> = journal
            .lock()
            .pending
            .iter()
            .rev()
            .take(3)
            .cloned()
            .collect();
        let mut expected = reads(6 * batch..6 * batch + 3);
        expected.reverse();
        assert_eq!(last, expected);
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
