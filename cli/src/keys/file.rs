//! Secret keys in files: mode 0600, owned by whoever runs the program, plain or encrypted with a
//! passphrase, never printed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aimslog_client::file::replace_private_file;
use aimslog_proto::statement::key::SigningKey;
use anyhow::{Context as _, Result};
use serde::Serialize;
use zeroize::Zeroizing;

use super::passphrase::{Passphrase, is_encrypted};
use super::secret::{SecretFiles, new_passphrase};
use crate::exit::UserError;

/// Bytes of a key file at most; an encrypted one has about 500.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// What somebody needs beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protection {
    /// Nothing: whoever has the file has the key.
    None,
    /// A passphrase.
    Passphrase,
    /// The key is in a token and cannot be taken out.
    Token,
}

/// Reads a key file; the passphrase of an encrypted one comes from `secrets`. Refuses a file that
/// others may read or that belongs to somebody else.
pub(super) fn load(path: &Path, secrets: &SecretFiles) -> Result<SigningKey> {
    let bytes = read(path)?;
    if !is_encrypted(&bytes) {
        return parse(path, &bytes);
    }
    open(path, &bytes, &secrets.passphrase(path)?)
}

/// Reads a key file that must not be encrypted.
pub(crate) fn load_plain(path: &Path) -> Result<SigningKey> {
    parse(path, &read(path)?)
}

/// Whether a key file is encrypted. What it holds is not looked at.
pub(super) fn protection(path: &Path) -> Result<Protection> {
    Ok(if is_encrypted(&read(path)?) {
        Protection::Passphrase
    } else {
        Protection::None
    })
}

/// Makes a new key and writes its file, encrypted where a passphrase is given. Never overwrites one.
pub(crate) fn generate(path: &Path, passphrase: Option<&Passphrase>) -> Result<SigningKey> {
    let seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let key = SigningKey::from_seed(&seed);
    let text = key.to_seed_file();
    let content = match passphrase {
        Some(passphrase) => Zeroizing::new(seal(path, text.as_bytes(), passphrase)?),
        None => text,
    };
    let about = || format!("cannot make the key {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(about)?;
    file.write_all(content.as_bytes()).with_context(about)?;
    file.sync_all().with_context(about)?;
    Ok(key)
}

/// Encrypts a plain key file in its place.
pub(crate) fn encrypt(path: &Path, new_from: Option<&Path>) -> Result<SigningKey> {
    let bytes = read(path)?;
    if is_encrypted(&bytes) {
        return Err(UserError::usage(format!(
            "the key {} is encrypted already; `aimslog key passphrase` changes its passphrase",
            path.display()
        )));
    }
    let key = parse(path, &bytes)?;
    let passphrase = ask_new(path, new_from)?;
    replace(path, seal(path, &bytes, &passphrase)?.as_bytes())?;
    Ok(key)
}

/// Writes an encrypted key file plain, in its place.
pub(crate) fn decrypt(path: &Path, secrets: &SecretFiles) -> Result<SigningKey> {
    let bytes = read_encrypted(path)?;
    let key = open(path, &bytes, &secrets.passphrase(path)?)?;
    replace(path, key.to_seed_file().as_bytes())?;
    Ok(key)
}

/// Encrypts an encrypted key file anew, with another passphrase.
pub(crate) fn change_passphrase(
    path: &Path,
    secrets: &SecretFiles,
    new_from: Option<&Path>,
) -> Result<SigningKey> {
    let bytes = read_encrypted(path)?;
    let key = open(path, &bytes, &secrets.passphrase(path)?)?;
    let passphrase = ask_new(path, new_from)?;
    let sealed = seal(path, key.to_seed_file().as_bytes(), &passphrase)?;
    replace(path, sealed.as_bytes())?;
    Ok(key)
}

/// A passphrase for the new key file at `path`.
pub(crate) fn ask_new(path: &Path, from: Option<&Path>) -> Result<Passphrase> {
    Passphrase::new(new_passphrase(from, path)?)
        .map_err(|error| UserError::usage(error.to_string()))
}

/// The content, after mode and owner were checked.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let about = || format!("cannot read the key {}", path.display());
    let mut file = File::open(path).with_context(about)?;
    check_access(path, &file.metadata().with_context(about)?)?;
    // Room for all of it at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(vec![0; FILE_BYTES_MAX + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).with_context(about)? {
            0 => break,
            read => length += read,
        }
    }
    if length > FILE_BYTES_MAX {
        return Err(UserError::usage(format!(
            "{} is longer than a key file can be",
            path.display()
        )));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn check_access(path: &Path, metadata: &fs::Metadata) -> Result<()> {
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
    Ok(())
}

fn read_encrypted(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = read(path)?;
    if is_encrypted(&bytes) {
        return Ok(bytes);
    }
    Err(UserError::usage(format!(
        "the key {} is not encrypted; `aimslog key encrypt` does that",
        path.display()
    )))
}

fn open(path: &Path, encrypted: &[u8], passphrase: &Passphrase) -> Result<SigningKey> {
    let plain = passphrase
        .decrypt(encrypted)
        .map_err(|error| about(path, error))?;
    parse(path, &plain)
}

fn seal(path: &Path, plain: &[u8], passphrase: &Passphrase) -> Result<String> {
    passphrase
        .encrypt(plain)
        .map_err(|error| about(path, error))
}

/// A passphrase or a file that is wrong is for the user to put right.
fn about(path: &Path, error: impl Into<anyhow::Error>) -> anyhow::Error {
    UserError::usage(format!("{}: {:#}", path.display(), error.into()))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<SigningKey> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    SigningKey::parse_seed_file(text).map_err(|error| about(path, error))
}

/// Replaces the file itself and not a link to it, so that what it held is nowhere else.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let about = || format!("cannot replace the key {}", path.display());
    let file = fs::canonicalize(path).with_context(about)?;
    replace_private_file(&file, content).with_context(about)
}

#[cfg(test)]
mod tests;
