//! The guard file: two slots, written in turn and synced, so that a torn write costs the write and
//! not the memory.
//!
//! Slot 0 starts at byte 0 and slot 1 at byte 4096, so that no sector holds bytes of both. The
//! slot with the higher sequence number counts. When one slot cannot be read the other one does;
//! that the unreadable one may have been the newer is why peers remember each other as well.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::guard_record::{GuardRecord, SLOT_LEN, Slot, SlotError};
use crate::store::{durable::sync_folder, syncs};

/// Name of the file in the guard directory.
pub const GUARD_FILE: &str = "guard";

const SLOT_STRIDE: u64 = 4096;
const FILE_LEN: u64 = 2 * SLOT_STRIDE;

/// Where slots are kept: the file, or a fake that tears writes in tests.
pub trait SlotStore: Send + 'static {
    /// The bytes of both slots as they are; fewer than [`SLOT_LEN`] when the file is short.
    fn read_slots(&self) -> io::Result<[Vec<u8>; 2]>;

    /// Writes one slot; when it returns `Ok` the bytes are on stable storage.
    fn write_slot(&mut self, slot: SlotNumber, bytes: &[u8; SLOT_LEN]) -> io::Result<()>;
}

/// Which of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotNumber {
    /// Even sequence numbers.
    First,
    /// Odd sequence numbers.
    Second,
}

impl SlotNumber {
    /// The slot in which the write with this sequence number belongs.
    pub fn of(sequence: u64) -> Self {
        if sequence.is_multiple_of(2) {
            Self::First
        } else {
            Self::Second
        }
    }

    fn offset(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Second => SLOT_STRIDE,
        }
    }
}

/// Why a guard file gives no record.
#[derive(Debug, Error)]
pub enum GuardFileError {
    /// The disk failed.
    #[error("guard file {path} could not be read or written")]
    Io {
        /// The file or its directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Neither slot can be trusted.
    #[error("neither slot of the guard file can be read ({first}; {second})")]
    Unreadable {
        /// What is wrong with the first slot.
        first: SlotError,
        /// What is wrong with the second slot.
        second: SlotError,
    },
    /// A newer program wrote it: going on could undo what that program promised.
    #[error("guard file was written by a newer version of the program")]
    Newer {
        /// The version found.
        #[source]
        source: SlotError,
    },
    /// An earlier write failed; what is on the disk is unknown until the file is opened again.
    #[error("guard file is closed after a failed write")]
    Poisoned,
}

/// The newest slot among the bytes of two, by the rules of the module.
///
/// A slot whose sequence number belongs into the other place counts as impossible.
pub fn newest_slot(slots: &[Vec<u8>; 2]) -> Result<Slot, GuardFileError> {
    let [first, second] = slots;
    let first = decode_in_place(first, SlotNumber::First);
    let second = decode_in_place(second, SlotNumber::Second);
    match (first, second) {
        (Err(source @ SlotError::Version { .. }), _)
        | (_, Err(source @ SlotError::Version { .. })) => Err(GuardFileError::Newer { source }),
        (Ok(first), Ok(second)) if second.sequence > first.sequence => Ok(second),
        (Ok(only), Ok(_) | Err(_)) | (Err(_), Ok(only)) => Ok(only),
        (Err(first), Err(second)) => Err(GuardFileError::Unreadable { first, second }),
    }
}

fn decode_in_place(bytes: &[u8], place: SlotNumber) -> Result<Slot, SlotError> {
    let slot = Slot::decode(bytes)?;
    if SlotNumber::of(slot.sequence) == place {
        Ok(slot)
    } else {
        Err(SlotError::Impossible)
    }
}

/// An open guard file: the newest record, and the only way to write the next.
#[derive(Debug)]
pub struct GuardFile<S> {
    store: S,
    newest: Slot,
    poisoned: bool,
}

impl<S: SlotStore> GuardFile<S> {
    /// Reads the newest record. Writes nothing.
    pub fn open(store: S) -> Result<Self, GuardFileError> {
        let slots = store.read_slots().map_err(|source| GuardFileError::Io {
            path: PathBuf::from(GUARD_FILE),
            source,
        })?;
        let newest = newest_slot(&slots)?;
        Ok(Self {
            store,
            newest,
            poisoned: false,
        })
    }

    /// The newest record on the disk.
    pub fn record(&self) -> &GuardRecord {
        &self.newest.record
    }

    /// Writes the record into the slot that does not hold the newest one, and syncs it.
    ///
    /// After an error the file takes no further writes: whether the record is on the disk is known
    /// only to the next start.
    pub fn write(&mut self, record: GuardRecord) -> Result<(), GuardFileError> {
        if self.poisoned {
            return Err(GuardFileError::Poisoned);
        }
        let Some(sequence) = self.newest.sequence.checked_add(1) else {
            return Err(GuardFileError::Poisoned);
        };
        let next = Slot { sequence, record };
        match self
            .store
            .write_slot(SlotNumber::of(sequence), &next.encode())
        {
            Ok(()) => {
                self.newest = next;
                Ok(())
            }
            Err(source) => {
                self.poisoned = true;
                Err(GuardFileError::Io {
                    path: PathBuf::from(GUARD_FILE),
                    source,
                })
            }
        }
    }
}

/// The slots in a file on disk.
#[derive(Debug)]
pub struct DiskSlots {
    file: File,
}

impl DiskSlots {
    /// Opens the guard file of a directory; `None` when there is none.
    pub fn open(dir: &Path) -> Result<Option<Self>, GuardFileError> {
        let path = dir.join(GUARD_FILE);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(GuardFileError::Io { path, source }),
        }
    }

    /// Makes the guard file of a directory, which must not have one, with `record` as its first.
    ///
    /// The file appears under its name only once it is complete and synced.
    pub fn create(dir: &Path, record: GuardRecord) -> Result<Self, GuardFileError> {
        let path = dir.join(GUARD_FILE);
        Self::create_at(dir, &path, record).map_err(|source| GuardFileError::Io { path, source })
    }

    fn create_at(dir: &Path, path: &Path, record: GuardRecord) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // The folder may be new: without its entry above, the guard would be gone after a loss
            // of power, and the node would take itself for one that has lost its memory.
            sync_folder(parent)?;
        }
        let staged = dir.join("guard.new");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&staged)?;
        file.set_len(FILE_LEN)?;
        file.write_all_at(
            &Slot {
                sequence: 0,
                record,
            }
            .encode(),
            0,
        )?;
        file.sync_all()?;
        // A hard link refuses to replace an existing file, a rename would.
        std::fs::hard_link(&staged, path)?;
        std::fs::remove_file(&staged)?;
        sync_folder(dir)?;
        Ok(Self { file })
    }
}

impl SlotStore for DiskSlots {
    fn read_slots(&self) -> io::Result<[Vec<u8>; 2]> {
        let read = |slot: SlotNumber| {
            let mut bytes = vec![0; SLOT_LEN];
            let mut filled = 0;
            while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                let at = slot.offset().saturating_add(filled as u64);
                match self.file.read_at(rest, at) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        };
        Ok([read(SlotNumber::First)?, read(SlotNumber::Second)?])
    }

    fn write_slot(&mut self, slot: SlotNumber, bytes: &[u8; SLOT_LEN]) -> io::Result<()> {
        self.file.write_all_at(bytes, slot.offset())?;
        self.file.sync_data()?;
        syncs::guard();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
