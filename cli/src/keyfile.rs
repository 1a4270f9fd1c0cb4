//! Secret keys in files: mode 0600, owned by whoever runs the program, never printed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aimslog_proto::statement::key::SigningKey;
use anyhow::{Context as _, Result};

use crate::exit::UserError;

/// Reads a seed file. Refuses one that others may read or that belongs to somebody else.
pub(crate) fn load(path: &Path) -> Result<SigningKey> {
    let about = || format!("cannot read the key {}", path.display());
    let metadata = fs::metadata(path).with_context(about)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(UserError::usage(format!(
            "the key {} can be read by others (mode {:o}): chmod 600 it",
            path.display(),
            metadata.mode() & 0o777
        )));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(UserError::usage(format!(
            "the key {} belongs to another user (uid {})",
            path.display(),
            metadata.uid()
        )));
    }
    let text = fs::read_to_string(path).with_context(about)?;
    SigningKey::parse_seed_file(&text)
        .map_err(|error| UserError::usage(format!("{}: {error}", path.display())))
}

/// Makes a new key and writes its seed file. Never overwrites one.
pub(crate) fn generate(path: &Path) -> Result<SigningKey> {
    let key = SigningKey::from_seed(&rand::random());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make the key {}", path.display()))?;
    file.write_all(key.to_seed_file().as_bytes())?;
    file.sync_all()?;
    Ok(key)
}
