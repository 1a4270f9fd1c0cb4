//! Reads from outside the organisation, on disk before they are answered, until the log has them.
//!
//! The file `reads` lies in the data directory. It is written at its end and synced before the reader
//! gets an answer, emptied when the log has everything in it, and written anew when most of it is in the
//! log. A node that ends in between tells again what it may have told already: a read may stand in the
//! log twice, never not at all, as long as the disk is there.
//!
//! Each frame: length of the body (4 bytes), CRC32C of the body (4 bytes), both big-endian, and the
//! body, the payload of a `ledger.access` record with number 1. What is torn at the end was never
//! answered, and is cut off. Damage in front of a whole frame is something else: a disk that lost what it
//! was given, and reads that were answered. The whole frames behind it are kept, and the damaged bytes go
//! to the file `reads.damaged`, of which every start tells until somebody takes it away.

mod frames;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aimslog_proto::limits::ACCESS_READS_MAX;
use aimslog_proto::system::AccessRead;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::store::durable::sync_folder_of;
use frames::{frames, read_frames};

/// Name of the file in the data directory.
pub const JOURNAL_FILE: &str = "reads";
/// Name of the file with what of the journal could not be read.
pub const DAMAGED_FILE: &str = "reads.damaged";
/// Reads that wait for the log at most; about 100 bytes of memory and of the file each.
pub const PENDING_MAX: usize = 200_000;
/// Where the log took none of what waits for so long, no further read is answered.
pub const OVERDUE: Duration = Duration::from_mins(1);

/// With so many logged reads in the file it is written anew.
const LOGGED_IN_FILE_MAX: usize = 20_000;

/// Why a read cannot be kept, so that it is not answered.
#[derive(Debug, Clone, Error)]
pub enum JournalError {
    /// The disk.
    #[error("the journal of reads {} could not be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said, to everybody who was in the same write.
        #[source]
        source: Arc<io::Error>,
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
///
/// Two locks: `disk` is held while the system writes and syncs, and `queue` for moments only. Whoever
/// has both took `disk` first. What comes while a sync goes on waits in the queue, and the next one who
/// gets the disk writes all of it at once: many readers share one sync, and who only asks how much waits
/// never waits for a disk.
#[derive(Debug)]
pub struct AccessJournal {
    path: PathBuf,
    /// Places of the file at which this start found damage.
    damaged: usize,
    disk: Mutex<Disk>,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug)]
struct Disk {
    file: File,
    /// Bytes of whole frames in the file.
    length: u64,
    /// Whether behind them is something else that could not be cut off.
    is_torn: bool,
    /// Reads of the file that are in the log.
    logged: usize,
}

#[derive(Debug)]
struct Queue {
    /// On disk, and not in the log yet. Only who has the disk changes it.
    pending: VecDeque<Arc<AccessRead>>,
    /// Not on disk yet.
    arriving: Vec<Arc<Arriving>>,
    /// Since when the log has taken nothing although something waited.
    waiting_since: Instant,
}

/// The reads of one answer on their way to the disk.
#[derive(Debug)]
struct Arriving {
    reads: Vec<Arc<AccessRead>>,
    /// What became of them; set by whoever wrote them.
    written: OnceLock<Result<(), JournalError>>,
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
            Ok(Opened {
                disk,
                reads,
                damaged,
            }) => Ok(Self {
                damaged,
                disk: Mutex::new(disk),
                queue: Mutex::new(Queue {
                    pending: reads.into_iter().map(Arc::new).collect(),
                    arriving: Vec::new(),
                    waiting_since: Instant::now(),
                }),
                path,
                arrived: Notify::new(),
            }),
            Err(source) => Err(io_error(&path, source)),
        }
    }

    /// Keeps these reads; when it returns they are on disk and will be in the log. Blocks on the disk:
    /// for one sync that is under way, and for the next one, which it shares with all who came
    /// meanwhile.
    ///
    /// # Errors
    /// [`JournalError`]; nothing of them may be answered then.
    pub fn append(&self, reads: &[AccessRead]) -> Result<(), JournalError> {
        let own = self.queue(reads)?;
        let mut disk = self.disk();
        // Another one may have written them while this one waited for the disk.
        if own.written.get().is_none() {
            self.write_queued(&mut disk);
        }
        drop(disk);
        match own.written.get() {
            Some(written) => written.clone(),
            // Who panicked over them has told nobody that they are kept.
            None => Err(JournalError::Torn {
                path: self.path.clone(),
            }),
        }
    }

    /// At how many places the file was damaged when it was opened.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    fn queue(&self, reads: &[AccessRead]) -> Result<Arc<Arriving>, JournalError> {
        let own = Arc::new(Arriving {
            reads: reads.iter().cloned().map(Arc::new).collect(),
            written: OnceLock::new(),
        });
        let mut queue = self.lock();
        let arriving: usize = queue.arriving.iter().map(|it| it.reads.len()).sum();
        let waiting = queue.pending.len().saturating_add(arriving);
        if waiting.saturating_add(reads.len()) > PENDING_MAX {
            return Err(JournalError::Full { waiting });
        }
        queue.arriving.push(Arc::clone(&own));
        Ok(own)
    }

    /// Writes everything that has arrived, with one sync, and tells each what became of it.
    fn write_queued(&self, disk: &mut Disk) {
        let arrived = std::mem::take(&mut self.lock().arriving);
        let reads = arrived.iter().flat_map(|it| it.reads.iter().cloned());
        let reads: Vec<Arc<AccessRead>> = reads.collect();
        let written = disk.append(&self.path, &frames(&reads));
        if written.is_ok() {
            let mut queue = self.lock();
            if queue.pending.is_empty() {
                queue.waiting_since = Instant::now();
            }
            queue.pending.extend(reads);
            drop(queue);
            self.arrived.notify_one();
        }
        for it in arrived {
            it.written.get_or_init(|| written.clone());
        }
    }

    /// Returns when there may be reads to take to the log.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The oldest reads that wait, so many as fit into one record.
    pub fn oldest(&self) -> Vec<AccessRead> {
        let queue = self.lock();
        let oldest = queue.pending.iter().take(ACCESS_READS_MAX);
        let oldest: Vec<Arc<AccessRead>> = oldest.cloned().collect();
        drop(queue);
        oldest.iter().map(|read| AccessRead::clone(read)).collect()
    }

    /// The oldest so many are in the log. Blocks on the disk when nothing is left.
    ///
    /// # Errors
    /// [`JournalError::Io`]: they may be told once more after the next start.
    pub fn logged(&self, count: usize) -> Result<(), JournalError> {
        let mut disk = self.disk();
        let mut queue = self.lock();
        let count = count.min(queue.pending.len());
        queue.pending.drain(..count);
        queue.waiting_since = Instant::now();
        disk.logged += count;
        let is_empty = queue.pending.is_empty();
        let left = if !is_empty && disk.logged >= LOGGED_IN_FILE_MAX {
            queue.pending.iter().cloned().collect()
        } else {
            Vec::new()
        };
        // What takes long is done without it: whoever has the disk is the only one who changes it.
        drop(queue);
        let shrunk = if is_empty {
            disk.empty(&self.path)
        } else if left.is_empty() {
            Ok(())
        } else {
            disk.write_anew(&self.path, &frames(&left))
        };
        shrunk.map_err(|source| io_error(&self.path, source))
    }

    /// For how long the log has taken nothing, if anything waits.
    pub fn waiting_for(&self, now: Instant) -> Option<Duration> {
        let queue = self.lock();
        let waits = !queue.pending.is_empty();
        waits.then(|| now.saturating_duration_since(queue.waiting_since))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn io_error(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}

impl Disk {
    /// Puts these frames at the end, synced, or nothing of them.
    fn append(&mut self, path: &Path, frames: &[u8]) -> Result<(), JournalError> {
        if self.is_torn {
            let path = path.to_owned();
            return Err(JournalError::Torn { path });
        }
        let written = self.file.write_all(frames);
        if let Err(source) = written.and_then(|()| self.file.sync_data()) {
            // Nothing may stand behind half a frame: the next start would not find it.
            let cut_off = self.file.set_len(self.length);
            self.is_torn = cut_off.and_then(|()| self.file.sync_data()).is_err();
            return Err(io_error(path, source));
        }
        self.length = self.length.saturating_add(frames.len() as u64);
        Ok(())
    }

    fn empty(&mut self, path: &Path) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.length, self.logged) = (0, 0);
        self.file.sync_data()?;
        // It may have taken the place of another one just now, which must not come back.
        sync_folder_of(path)?;
        self.is_torn = false;
        Ok(())
    }

    /// Puts a file with what waits in the place of the old one; a crash leaves one of the two. Where it
    /// is not known which, nothing more is appended.
    fn write_anew(&mut self, path: &Path, frames: &[u8]) -> io::Result<()> {
        let staged = path.with_extension("new");
        // Of an earlier attempt.
        if let Err(error) = std::fs::remove_file(&staged)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = options().append(true).open(&staged)?;
        file.write_all(frames)?;
        file.sync_data()?;
        self.is_torn = true;
        std::fs::rename(&staged, path)?;
        (self.file, self.length, self.logged) = (file, frames.len() as u64, 0);
        sync_folder_of(path)?;
        self.is_torn = false;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// A journal as it was found.
struct Opened {
    disk: Disk,
    reads: Vec<AccessRead>,
    /// At how many places it was damaged.
    damaged: usize,
}

fn open(path: &Path) -> io::Result<Opened> {
    let mut file = options().append(true).open(path)?;
    sync_folder_of(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let found = read_frames(&bytes);
    let mut disk = Disk {
        file,
        length: bytes.len() as u64,
        is_torn: false,
        logged: 0,
    };
    if found.damaged.is_empty() {
        let whole = found.end;
        if whole < bytes.len() {
            let (found, kept) = (bytes.len(), whole);
            tracing::warn!(found, kept, "the journal of reads was cut off at its end");
            disk.file.set_len(whole as u64)?;
            disk.file.sync_data()?;
            disk.length = whole as u64;
        }
    } else {
        let damaged = found.damaged.iter().filter_map(|it| bytes.get(it.clone()));
        keep_damaged(path, &damaged.collect::<Vec<_>>().concat())?;
        let whole = found.whole.iter().filter_map(|it| bytes.get(it.clone()));
        disk.write_anew(path, &whole.collect::<Vec<_>>().concat())?;
    }
    let damaged = found.damaged.len();
    tell_of_damage(path, damaged);
    Ok(Opened {
        disk,
        reads: found.reads,
        damaged,
    })
}

/// Puts damaged bytes where somebody can look at them. A crash behind this puts them there twice.
fn keep_damaged(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let kept = path.with_file_name(DAMAGED_FILE);
    let mut file = options().append(true).open(&kept)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    sync_folder_of(&kept)
}

/// Says at every start that reads were lost, as long as what is left of them lies there.
fn tell_of_damage(path: &Path, places: usize) {
    let kept = path.with_file_name(DAMAGED_FILE);
    match std::fs::metadata(&kept) {
        Ok(damaged) => tracing::error!(
            places,
            bytes = damaged.len(),
            file = %kept.display(),
            "the journal of reads was damaged: reads from outside that were answered may be missing \
             in the log; look at the disk, keep the file and move it away"
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::error!(%error, file = %kept.display(), "a damaged journal cannot be looked at");
        }
    }
}

#[cfg(test)]
mod tests;
