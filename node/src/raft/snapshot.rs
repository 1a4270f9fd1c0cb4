//! Snapshots on disk: a folder of files and a manifest that names each with its digest.
//!
//! A snapshot is made, or received, in a staging folder; its files are synced, then the manifest is
//! written and synced, and only then the folder gets its final name. So a folder under a final name
//! is complete, and everything else is removed at start.

mod manifest;
mod stage;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use sha2::{Digest, Sha256};

pub(super) use self::{
    manifest::{FileEntry, Manifest},
    stage::Stage,
};
use super::{
    machine::{Applied, MachineError},
    types::Position,
};
use crate::store::raft_codec::CodecError;

/// What one message of a snapshot stream holds at most, and the unit of reading and hashing.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

const MANIFEST: &str = "snapshot.manifest";
const STAGING: &str = "staging-";

/// The snapshots of one node: at most one current one, and those still being sent.
#[derive(Clone)]
pub(super) struct SnapshotStore {
    root: PathBuf,
    stages: Arc<AtomicU64>,
}

/// A complete snapshot. Its files stay until the last handle is gone, also when a newer snapshot
/// has replaced it.
#[derive(Clone)]
pub(super) struct SnapshotDir(Arc<Inner>);

struct Inner {
    path: PathBuf,
    manifest: Manifest,
    obsolete: AtomicBool,
}

/// Why a snapshot could not be made, stored or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("{what} {path} failed")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the manifest of {path} is damaged")]
    Manifest {
        path: PathBuf,
        #[source]
        source: CodecError,
    },
    #[error("the manifest names the file `{name}`, which is not allowed")]
    Name { name: String },
    #[error("a snapshot of {files} files and {bytes} bytes is beyond the limits")]
    TooLarge { files: usize, bytes: u64 },
    #[error("the chunk for file {file} at {offset} does not follow file {at_file} at {at_offset}")]
    OutOfOrder {
        file: u64,
        offset: u64,
        at_file: u64,
        at_offset: u64,
    },
    #[error("the file `{name}` does not have the length or digest that the manifest states")]
    Digest { name: String },
    #[error("the snapshot ends before its file number {file}")]
    Incomplete { file: usize },
    #[error("the machine failed")]
    Machine(#[source] MachineError),
}

impl SnapshotStore {
    /// Opens the folder, removes what is unfinished or older than the newest complete snapshot, and
    /// returns that one.
    pub(super) fn open(root: &Path) -> Result<(Self, Option<SnapshotDir>), SnapshotError> {
        fs::create_dir_all(root).map_err(io_error("creating", root))?;
        let mut newest: Option<SnapshotDir> = None;
        let mut rest = Vec::new();
        for entry in fs::read_dir(root).map_err(io_error("reading", root))? {
            let path = entry.map_err(io_error("reading", root))?.path();
            let staging = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(STAGING));
            match if staging {
                None
            } else {
                SnapshotDir::load(&path).ok()
            } {
                Some(dir)
                    if newest
                        .as_ref()
                        .is_none_or(|n| n.position() < dir.position()) =>
                {
                    rest.extend(newest.replace(dir).map(|older| older.path().to_owned()));
                }
                Some(_) | None => rest.push(path),
            }
        }
        for path in rest {
            tracing::info!(path = %path.display(), "removing an unfinished or old snapshot");
            fs::remove_dir_all(&path).map_err(io_error("removing", &path))?;
        }
        Ok((
            Self {
                root: root.to_owned(),
                stages: Arc::default(),
            },
            newest,
        ))
    }

    /// An empty place to receive a snapshot in.
    pub(super) fn stage(&self, manifest: Manifest) -> Result<Stage, SnapshotError> {
        let path = self.staging_path();
        fs::create_dir(&path).map_err(io_error("creating", &path))?;
        Stage::new(self.root.clone(), path, manifest)
    }

    /// Makes a snapshot out of what `checkpoint` writes into the folder that it is given. Blocks.
    pub(super) fn build(
        &self,
        checkpoint: impl FnOnce(&Path) -> Result<Applied, MachineError>,
    ) -> Result<SnapshotDir, SnapshotError> {
        let path = self.staging_path();
        let result = self.build_in(&path, checkpoint);
        if result.is_err()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::debug!(%error, "an unfinished snapshot stays until the next start");
        }
        result
    }

    /// A folder with the files of `snapshot`, for the machine to consume. Tables are linked, since
    /// they never change; everything else is copied, since a database appends to it.
    pub(super) fn copy_for_install(
        &self,
        snapshot: &SnapshotDir,
    ) -> Result<PathBuf, SnapshotError> {
        let path = self.staging_path();
        fs::create_dir(&path).map_err(io_error("creating", &path))?;
        for file in &snapshot.manifest().files {
            let (from, to) = (snapshot.path().join(&file.name), path.join(&file.name));
            if Path::new(&file.name)
                .extension()
                .is_some_and(|e| e == "sst")
            {
                fs::hard_link(&from, &to).map_err(io_error("linking", &from))?;
            } else {
                fs::copy(&from, &to).map_err(io_error("copying", &from))?;
                sync(&to)?;
            }
        }
        sync(&path)?;
        Ok(path)
    }

    fn build_in(
        &self,
        path: &Path,
        checkpoint: impl FnOnce(&Path) -> Result<Applied, MachineError>,
    ) -> Result<SnapshotDir, SnapshotError> {
        let applied = checkpoint(path).map_err(SnapshotError::Machine)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(io_error("reading", path))? {
            let name = entry.map_err(io_error("reading", path))?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.sort();
        let mut files = Vec::new();
        for name in names {
            let file = path.join(&name);
            let (len, sha256) = digest(&file)?;
            sync(&file)?;
            files.push(FileEntry { name, len, sha256 });
        }
        let manifest = Manifest { applied, files };
        manifest.check()?;
        finish(&self.root, path, manifest)
    }

    fn staging_path(&self) -> PathBuf {
        let number = self.stages.fetch_add(1, Ordering::Relaxed);
        self.root
            .join(format!("{STAGING}{}-{number}", std::process::id()))
    }
}

impl SnapshotDir {
    fn load(path: &Path) -> Result<Self, SnapshotError> {
        let file = path.join(MANIFEST);
        let bytes = fs::read(&file).map_err(io_error("reading", &file))?;
        let manifest = Manifest::decode(&bytes)
            .map_err(|source| SnapshotError::Manifest { path: file, source })?;
        manifest.check()?;
        let loaded = Self::new(path.to_owned(), manifest);
        loaded.keep();
        Ok(loaded)
    }

    /// Gone with its last handle unless it is kept.
    fn new(path: PathBuf, manifest: Manifest) -> Self {
        Self(Arc::new(Inner {
            path,
            manifest,
            obsolete: AtomicBool::new(true),
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.0.manifest.applied.last
    }

    /// Lets the files stay when the last handle is gone.
    pub(super) fn keep(&self) {
        self.0.obsolete.store(false, Ordering::Release);
    }

    /// Lets the files go with the last handle.
    pub(super) fn retire(self) {
        self.0.obsolete.store(true, Ordering::Release);
    }

    /// True if both handles are of one folder.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.obsolete.get_mut()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // Not lost: the next start removes it.
            tracing::warn!(%error, path = %self.path.display(), "an old snapshot was not removed");
        }
    }
}

/// Writes the manifest, syncs it and gives the folder its final name.
fn finish(root: &Path, path: &Path, manifest: Manifest) -> Result<SnapshotDir, SnapshotError> {
    let file = path.join(MANIFEST);
    let mut out = File::create_new(&file).map_err(io_error("creating", &file))?;
    io::Write::write_all(&mut out, &manifest.encode()).map_err(io_error("writing", &file))?;
    out.sync_all().map_err(io_error("syncing", &file))?;
    sync(path)?;
    let name = manifest
        .applied
        .last
        .map_or_else(|| "empty".to_owned(), |p| p.to_string());
    let mut target = root.join(&name);
    if target.exists() {
        // The same position again: an older copy, perhaps still being sent.
        target = root.join(format!(
            "{name}-{}",
            path.file_name().unwrap_or_default().display()
        ));
    }
    rename(path, &target)?;
    sync(root)?;
    Ok(SnapshotDir::new(target, manifest))
}

/// The content is synced before, and the parent after.
fn rename(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    fs::rename(from, to).map_err(io_error("renaming", from))
}

/// Syncs a file or a folder.
fn sync(path: &Path) -> Result<(), SnapshotError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_error("syncing", path))
}

/// Length and SHA-256 of a file.
fn digest(path: &Path) -> Result<(u64, [u8; 32]), SnapshotError> {
    let mut file = File::open(path).map_err(io_error("opening", path))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut len, mut hasher) = (0, Sha256::new());
    loop {
        let count = io::Read::read(&mut file, &mut buffer).map_err(io_error("reading", path))?;
        let Some(read @ [_, ..]) = buffer.get(..count) else {
            return Ok((len, hasher.finalize().into()));
        };
        hasher.update(read);
        len += count as u64;
    }
}

fn io_error<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> SnapshotError + use<'a> {
    move |source| SnapshotError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

impl std::fmt::Debug for SnapshotDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotDir")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
