//! A snapshot on its way in.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use sha2::{Digest, Sha256};

use super::{Manifest, SnapshotDir, SnapshotError, finish, io_error};

/// Receives the files of a manifest one after the other, in chunks, hashing as it writes.
///
/// Dropped before [`Stage::finish`], it removes what it has received.
pub(in crate::raft) struct Stage {
    root: PathBuf,
    path: PathBuf,
    manifest: Manifest,
    /// The number of complete files.
    done: usize,
    open: Option<OpenFile>,
    finished: bool,
}

struct OpenFile {
    file: File,
    len: u64,
    hasher: Sha256,
}

impl Stage {
    pub(super) fn new(
        root: PathBuf,
        path: PathBuf,
        manifest: Manifest,
    ) -> Result<Self, SnapshotError> {
        let mut stage = Self {
            root,
            path,
            manifest,
            done: 0,
            open: None,
            finished: false,
        };
        stage.manifest.check()?;
        stage.advance()?;
        Ok(stage)
    }

    /// Appends a chunk. Chunks must come in order, without gaps and without crossing files.
    pub(in crate::raft) fn write(
        &mut self,
        file: u32,
        offset: u64,
        data: &[u8],
    ) -> Result<(), SnapshotError> {
        let at_file = self.done as u64;
        let at_offset = self.open.as_ref().map_or(0, |open| open.len);
        let out_of_order = SnapshotError::OutOfOrder {
            file: u64::from(file),
            offset,
            at_file,
            at_offset,
        };
        if u64::from(file) != at_file || offset != at_offset {
            return Err(out_of_order);
        }
        let (Some(open), Some(entry)) = (&mut self.open, self.manifest.files.get(self.done)) else {
            return Err(out_of_order);
        };
        if open.len.saturating_add(data.len() as u64) > entry.len {
            return Err(SnapshotError::Digest {
                name: entry.name.clone(),
            });
        }
        open.file
            .write_all(data)
            .map_err(io_error("writing", &self.path))?;
        open.hasher.update(data);
        open.len += data.len() as u64;
        self.advance()
    }

    /// Makes it a complete snapshot. Refuses when a file is missing or not what the manifest says.
    pub(in crate::raft) fn finish(mut self) -> Result<SnapshotDir, SnapshotError> {
        if self.done < self.manifest.files.len() {
            return Err(SnapshotError::Incomplete { file: self.done });
        }
        let snapshot = finish(&self.root, &self.path, self.manifest.clone())?;
        self.finished = true;
        Ok(snapshot)
    }

    /// Closes the open file if it is complete, and opens the next one that has bytes to come.
    fn advance(&mut self) -> Result<(), SnapshotError> {
        while let Some(entry) = self.manifest.files.get(self.done) {
            let open = if let Some(open) = self.open.take() {
                open
            } else {
                let path = self.path.join(&entry.name);
                let file = File::create_new(&path).map_err(io_error("creating", &path))?;
                OpenFile {
                    file,
                    len: 0,
                    hasher: Sha256::new(),
                }
            };
            if open.len < entry.len {
                self.open = Some(open);
                return Ok(());
            }
            if <[u8; 32]>::from(open.hasher.finalize()) != entry.sha256 {
                return Err(SnapshotError::Digest {
                    name: entry.name.clone(),
                });
            }
            open.file
                .sync_all()
                .map_err(io_error("syncing", &self.path))?;
            self.done += 1;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, "an unfinished snapshot stays until the next start");
        }
    }
}
