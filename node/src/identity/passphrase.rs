//! Encrypted seed files: the format of age (`age-encryption.org/v1`) with a passphrase, as
//! `aimslog key encrypt` writes it. Nobody sits at a node, so the passphrase lies in a file.

use super::{SecretError, read_secret};
use crate::config::KeyFiles;
use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, scrypt};
use std::io::Read as _;
use std::iter;
use std::path::Path;
use zeroize::Zeroizing;

/// Work of making the key from the passphrase, as a power of two: 256 MiB of memory and about a
/// second for each file.
const WORK: u8 = 18;
/// The most that a file may ask for: 1 GiB.
const WORK_MAX: u8 = 20;
/// Bytes of an encrypted text at most.
const PLAIN_BYTES_MAX: usize = 4096;

const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const BINARY: &[u8] = b"age-encryption.org/v1";

/// What the key files of a node are encrypted with. Wiped when dropped, and never printed.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The one that the configuration names, if it names one.
    pub fn of(files: &KeyFiles) -> Result<Option<Self>, SecretError> {
        files.passphrase.as_deref().map(Self::read).transpose()
    }

    /// The one line of a file that only its owner can read.
    fn read(path: &Path) -> Result<Self, SecretError> {
        let bytes = read_secret(path)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let line = text.strip_suffix('\n').unwrap_or(text);
        if line.is_empty() || line.contains('\n') {
            let path = path.to_owned();
            return Err(SecretError::PassphraseFile { path });
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.0.as_str().to_owned())
    }

    /// The text, encrypted for the file at `path`.
    pub(super) fn seal(&self, path: &Path, plain: &[u8]) -> Result<String, SecretError> {
        let mut recipient = scrypt::Recipient::new(self.secret());
        recipient.set_work_factor(WORK);
        age::encrypt_and_armor(&recipient, plain).map_err(|source| SecretError::Encrypt {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// The text in the encrypted file at `path`.
    pub(super) fn open(
        &self,
        path: &Path,
        encrypted: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let failed = |source| SecretError::Decrypt {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(encrypted)).map_err(failed)?;
        let mut identity = scrypt::Identity::new(self.secret());
        identity.set_max_work_factor(WORK_MAX);
        let mut reader = decryptor
            .decrypt(iter::once(&identity as &dyn age::Identity))
            .map_err(failed)?;
        // Room for all of it at once: growing would leave copies of the secret behind.
        let mut plain = Zeroizing::new(vec![0; PLAIN_BYTES_MAX]);
        let mut length = 0;
        while let Some(rest) = plain.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match reader
                .read(rest)
                .map_err(|error| failed(DecryptError::Io(error)))?
            {
                0 => break,
                read => length += read,
            }
        }
        plain.truncate(length);
        Ok(plain)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Whether the bytes of a file say that it is encrypted.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(ARMOR) || bytes.starts_with(BINARY)
}

#[cfg(test)]
mod tests {
    use super::super::{LedgerKeys, NodeKeys, read_seed, store_seed, write_secret, write_seed};
    use super::*;
    use ed25519_dalek::SigningKey;
    use std::path::PathBuf;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn files(folder: &Path, passphrase: Option<&str>) -> KeyFiles {
        KeyFiles {
            cosigner: folder.join("cosigner.seed"),
            log: folder.join("log.seed"),
            receipt: folder.join("receipt.seed"),
            service: folder.join("service.seed"),
            passphrase: passphrase.map(|name| folder.join(name)),
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        write_secret(&path.join("right"), b"correct horse battery\n").unwrap();
        write_secret(&path.join("wrong"), b"correct horse batterz\n").unwrap();
        (folder, path)
    }

    #[test]
    fn an_encrypted_seed_opens_with_its_passphrase_alone() {
        let (_folder, path) = folder();
        let right = Passphrase::read(&path.join("right")).unwrap();
        let wrong = Passphrase::read(&path.join("wrong")).unwrap();
        let seed = path.join("a.seed");
        store_seed(&seed, &key(7), Some(&right)).unwrap();
        assert!(is_encrypted(&std::fs::read(&seed).unwrap()));
        assert_eq!(read_seed(&seed, Some(&right)).unwrap().to_bytes(), [7; 32]);
        // The same key again is no reason to write; another one never takes its place.
        store_seed(&seed, &key(7), Some(&right)).unwrap();
        assert!(matches!(
            store_seed(&seed, &key(8), Some(&right)),
            Err(SecretError::OtherKey { .. })
        ));
        assert!(matches!(
            read_seed(&seed, Some(&wrong)),
            Err(SecretError::Decrypt { .. })
        ));
        assert!(matches!(
            read_seed(&seed, None),
            Err(SecretError::NoPassphrase { .. })
        ));
    }

    #[test]
    fn a_node_reads_plain_and_encrypted_keys_and_stores_encrypted_ones() {
        let (_folder, path) = folder();
        let files = files(&path, Some("right"));
        write_seed(&files.cosigner, &key(1)).unwrap();
        let keys = LedgerKeys {
            log: key(2),
            receipt: key(3),
            next_receipt: Some(key(5)),
            next_log: Some(key(6)),
            service: key(4),
        };
        keys.store(&files).unwrap();
        let next = crate::identity::next_file(&files.receipt);
        let next_log = crate::identity::next_file(&files.log);
        for file in [&files.log, &next_log, &files.receipt, &files.service, &next] {
            assert!(
                is_encrypted(&std::fs::read(file).unwrap()),
                "{}",
                file.display()
            );
        }
        let read = NodeKeys::load(&files).unwrap();
        assert_eq!(read.cosigner.to_bytes(), [1; 32]);
        assert_eq!(read.ledger.unwrap().service.to_bytes(), [4; 32]);
    }

    #[test]
    fn a_passphrase_file_is_one_line_that_only_its_owner_reads() {
        let (_folder, path) = folder();
        for content in [&b""[..], b"\n", b"a\nb\n", b"\xff"] {
            let file = path.join("bad");
            write_secret(&file, content).unwrap();
            let result = Passphrase::read(&file);
            assert!(
                matches!(result, Err(SecretError::PassphraseFile { .. })),
                "{content:?}: {result:?}"
            );
            std::fs::remove_file(&file).unwrap();
        }
        super::super::write_public(&path.join("open"), b"secret").unwrap();
        let files = files(&path, Some("open"));
        assert!(matches!(
            NodeKeys::load(&files),
            Err(SecretError::Mode { .. })
        ));
    }
}
