//! Writes the folders of a new cluster: one per node, one per operator, one of the authorities.

use crate::identity::{SecretError, write_public, write_secret, write_seed};
use ed25519_dalek::SigningKey;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Why the folders cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Something is there already.
    #[error("{} is not empty; a cluster is never written over another one", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A folder cannot be made or read.
    #[error("cannot make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] SecretError),
}

/// A new folder (mode 0700) that files are written into. Nothing is ever overwritten.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made where it is missing; it must be empty.
    pub(super) fn empty(path: &Path) -> Result<Self, LayoutError> {
        let error = |source| LayoutError::Folder {
            path: path.to_owned(),
            source,
        };
        match std::fs::read_dir(path) {
            Ok(mut entries) => match entries.next() {
                None => Ok(Self(path.to_owned())),
                Some(_) => Err(LayoutError::NotEmpty {
                    path: path.to_owned(),
                }),
            },
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(path)
                    .map_err(error)?;
                Ok(Self(path.to_owned()))
            }
            Err(other) => Err(error(other)),
        }
    }

    /// A new folder within.
    pub(super) fn folder(&self, name: &str) -> Result<Self, LayoutError> {
        let path = self.0.join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|source| LayoutError::Folder {
                path: path.clone(),
                source,
            })?;
        Ok(Self(path))
    }

    /// A file that everybody may read (0644).
    pub(super) fn public(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), LayoutError> {
        Ok(write_public(&self.0.join(name), bytes.as_ref())?)
    }

    /// A file that the owner alone may read (0600).
    pub(super) fn secret(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), LayoutError> {
        Ok(write_secret(&self.0.join(name), bytes.as_ref())?)
    }

    /// A seed file (0600).
    pub(super) fn seed(&self, name: &str, key: &SigningKey) -> Result<(), LayoutError> {
        Ok(write_seed(&self.0.join(name), key)?)
    }
}
