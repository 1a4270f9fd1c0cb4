//! What this node is: its secret keys on disk, and the folder that belongs to it.
//!
//! A seed file is one line, `aimslog-ed25519-seed/v1 <base64 of 32 bytes>`, readable by its owner
//! alone, or the same encrypted with a passphrase. Seeds are wiped from memory after use and never printed.

mod ledger_keys;
mod next_seed;
mod passphrase;

pub use ledger_keys::{ForeignKey, KeyRing, LedgerKeys, PublicKeys, Sort};
pub use next_seed::{
    DroppedFile, Succession, drop_next_seed, next_file, promote_next_seed, read_next_seed,
};
pub use passphrase::Passphrase;

use crate::store::durable::sync_folder_of;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use passphrase::is_encrypted;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const SEED_PREFIX: &str = "aimslog-ed25519-seed/v1 ";
/// Bytes of a secret file at most; an encrypted seed has about 500.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Why a secret file is not used or not written.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner may read it.
    #[error("{} has mode {mode:04o}; only its owner may read it (chmod 600)", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("{} belongs to user {owner}, this program runs as user {user}", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// User id of the file.
        owner: u32,
        /// User id of this program.
        user: u32,
    },
    /// It holds another key than the one to be stored there.
    #[error("{} holds another key", path.display())]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// It is encrypted, and the configuration names no passphrase.
    #[error("{} is encrypted: keys.passphrase_file must name its passphrase", path.display())]
    NoPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// What should hold a passphrase holds something else.
    #[error("{} must hold one line, the passphrase, and nothing else", path.display())]
    PassphraseFile {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is another one, or the file is damaged.
    #[error("{} cannot be decrypted with the passphrase of keys.passphrase_file", path.display())]
    Decrypt {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<age::DecryptError>,
    },
    /// It cannot be encrypted.
    #[error("{} cannot be encrypted", path.display())]
    Encrypt {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<age::EncryptError>,
    },
    /// It is no seed file.
    #[error("{} is not a seed file (`aimslog-ed25519-seed/v1 <base64>`)", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
}

/// Refuses a secret that somebody else owns or may read.
pub fn check_secret_file(path: &Path) -> Result<(), SecretError> {
    let metadata = std::fs::metadata(path).map_err(|source| SecretError::Io {
        path: path.to_owned(),
        source,
    })?;
    check_metadata(path, &metadata)
}

fn check_metadata(path: &Path, metadata: &std::fs::Metadata) -> Result<(), SecretError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(SecretError::Owner {
            path: path.to_owned(),
            owner,
            user,
        });
    }
    Ok(())
}

/// The key in a seed file, after its mode and owner were checked. An encrypted one is opened with the
/// passphrase.
pub fn read_seed(path: &Path, passphrase: Option<&Passphrase>) -> Result<SigningKey, SecretError> {
    let bytes = read_secret(path)?;
    let plain = match passphrase {
        _ if !is_encrypted(&bytes) => bytes,
        Some(passphrase) => passphrase.open(path, &bytes)?,
        None => {
            let path = path.to_owned();
            return Err(SecretError::NoPassphrase { path });
        }
    };
    parse_seed(&plain).ok_or_else(|| SecretError::Format {
        path: path.to_owned(),
    })
}

/// The content of a secret file, after its mode and owner were checked; nothing of one that is too
/// long.
fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let io = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(io)?;
    check_metadata(path, &file.metadata().map_err(io)?)?;
    // Room for all of it at once: growing would leave copies of the secret behind. One byte more than
    // a file may have, so that a longer one is seen and not cut.
    let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES_MAX + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(io)? {
            0 => break,
            read => length += read,
        }
    }
    if length > SECRET_BYTES_MAX {
        return Err(io(ErrorKind::FileTooLarge.into()));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn parse_seed(text: &[u8]) -> Option<SigningKey> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let encoded = line.strip_prefix(SEED_PREFIX)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let seed = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
    Some(SigningKey::from_bytes(&seed))
}

/// Stores a seed file so that a crash leaves it whole or not at all: written under another name,
/// synced, and then named; encrypted where there is a passphrase. A file that holds the same key
/// already is left as it is.
pub fn store_seed(
    path: &Path,
    key: &SigningKey,
    passphrase: Option<&Passphrase>,
) -> Result<(), SecretError> {
    match read_seed(path, passphrase) {
        Ok(held) if held.verifying_key() == key.verifying_key() => return Ok(()),
        Ok(_other) => {
            let path = path.to_owned();
            return Err(SecretError::OtherKey { path });
        }
        Err(SecretError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let io = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let unnamed = path.with_extension("new");
    match std::fs::remove_file(&unnamed) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let text = seed_text(key);
    match passphrase {
        Some(passphrase) => {
            write_secret(&unnamed, passphrase.seal(path, text.as_bytes())?.as_bytes())?;
        }
        None => write_secret(&unnamed, text.as_bytes())?,
    }
    rename_synced(&unnamed, path).map_err(io)
}

fn rename_synced(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Writes a seed file with mode 0600 that must not exist yet.
pub fn write_seed(path: &Path, key: &SigningKey) -> Result<(), SecretError> {
    write_secret(path, seed_text(key).as_bytes())
}

fn seed_text(key: &SigningKey) -> Zeroizing<String> {
    let seed = Zeroizing::new(key.to_bytes());
    let encoded = Zeroizing::new(STANDARD.encode(*seed));
    Zeroizing::new(format!("{SEED_PREFIX}{}\n", *encoded))
}

/// Writes a file with mode 0600 that must not exist yet, synced.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    write_new(path, bytes, 0o600)
}

/// Writes a file with mode 0644 that must not exist yet, synced.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    write_new(path, bytes, 0o644)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), SecretError> {
    let io = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)
}

/// The keys of a node: its own, and those that every voter holds.
#[derive(Debug)]
pub struct NodeKeys {
    /// Cosigns heads; this node's own.
    pub cosigner: SigningKey,
    /// Is to cosign in its place, once the log names it.
    pub next_cosigner: Option<SigningKey>,
    /// `None` on a node that joined and to which no voter has handed them yet.
    pub ledger: Option<LedgerKeys>,
}

impl NodeKeys {
    /// Reads them; the first that is too open or malformed, and a missing key of its own, is the
    /// error.
    pub fn load(files: &crate::config::KeyFiles) -> Result<Self, SecretError> {
        let passphrase = Passphrase::of(files)?;
        Ok(Self {
            cosigner: read_seed(&files.cosigner, passphrase.as_ref())?,
            next_cosigner: read_next_seed(&files.cosigner, passphrase.as_ref())?,
            ledger: LedgerKeys::load(files)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    #[test]
    fn seed_file_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.seed");
        write_seed(&path, &key()).unwrap();
        assert_eq!(read_seed(&path, None).unwrap().to_bytes(), [7; 32]);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let golden = "aimslog-ed25519-seed/v1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
        assert!(matches!(
            write_seed(&path, &key()),
            Err(SecretError::Io { .. })
        ));
    }

    #[test]
    fn a_stored_seed_is_whole_and_another_key_never_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.seed");
        // What a crash left behind is no obstacle and never counts as the key.
        std::fs::write(folder.path().join("log.new"), "aimslog-ed25519").unwrap();
        store_seed(&path, &key(), None).unwrap();
        store_seed(&path, &key(), None).unwrap();
        assert_eq!(read_seed(&path, None).unwrap().to_bytes(), [7; 32]);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let other = SigningKey::from_bytes(&[8; 32]);
        assert!(matches!(
            store_seed(&path, &other, None),
            Err(SecretError::OtherKey { .. })
        ));
        assert_eq!(read_seed(&path, None).unwrap().to_bytes(), [7; 32]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_a_seed_that_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.seed");
        write_seed(&path, &key()).unwrap();
        for mode in [0o640, 0o604, 0o610, 0o622] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(read_seed(&path, None), Err(SecretError::Mode { .. })),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_seed_file() {
        let folder = tempfile::tempdir().unwrap();
        let good = "aimslog-ed25519-seed/v1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
        let bad = [
            String::new(),
            good.replace("v1", "v2"),
            good.replace("Bwc=", "Bw=="),
            good.replace('=', ""),
            format!("{good}{good}"),
            format!("{good}\n"),
            good.replace('\n', " \n"),
        ];
        for (position, text) in bad.iter().enumerate() {
            let path = folder.path().join(position.to_string());
            write_secret(&path, text.as_bytes()).unwrap();
            let result = read_seed(&path, None);
            assert!(
                matches!(result, Err(SecretError::Format { .. })),
                "{text:?}: {result:?}"
            );
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let text = format!("{:?}", key());
        assert!(!text.contains("7, 7"), "{text}");
    }
}
