//! Encryption with a passphrase, in the format of age (`age-encryption.org/v1`, scrypt), as text:
//! `age --decrypt` and other programs of that format read it as well.

use std::io::{self, Read as _};
use std::iter;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, scrypt};
use zeroize::Zeroizing;

/// Work of making the key from the passphrase, as a power of two: 256 MiB of memory and about a
/// second. Fixed, so that a busy machine does not make a weak file.
const WORK: u8 = 18;
/// The most that a file may ask for: 1 GiB.
const WORK_MAX: u8 = 20;
/// Characters of a new passphrase at least. It guards against an empty or slipped one, not against a
/// bad one.
const CHARACTERS_MIN: usize = 8;
/// Bytes of an encrypted text at most.
const PLAIN_BYTES_MAX: usize = 4096;

const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const BINARY: &[u8] = b"age-encryption.org/v1";

/// What a key file is encrypted with. Wiped when dropped, and never printed.
pub(crate) struct Passphrase(Zeroizing<String>);

/// Why nothing was encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassphraseError {
    /// A new passphrase that is none.
    #[error("a passphrase has at least {CHARACTERS_MIN} characters")]
    TooShort,
    /// The key of the file does not come from this passphrase.
    #[error("the passphrase is wrong")]
    Wrong,
    /// It is encrypted, but not with a passphrase.
    #[error("it is encrypted to keys and not with a passphrase")]
    NoPassphrase,
    /// It asks for more work than is given to a key file.
    #[error("it asks for 2^{required} steps of work, more than 2^{WORK_MAX}")]
    Work {
        /// The power of two.
        required: u8,
    },
    /// Something of the file was changed or is missing.
    #[error("the encrypted file is damaged")]
    Damaged(#[source] DecryptError),
    /// The text could not be encrypted.
    #[error("cannot encrypt")]
    Encrypt(#[source] age::EncryptError),
}

impl Passphrase {
    /// One that an existing file is to be opened with.
    pub(super) const fn of(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// One for a file that is to be made.
    pub(crate) fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.chars().count() < CHARACTERS_MIN {
            return Err(PassphraseError::TooShort);
        }
        Ok(Self(text))
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.0.as_str().to_owned())
    }

    /// The text, encrypted. Takes a second of work.
    pub(super) fn encrypt(&self, plain: &[u8]) -> Result<String, PassphraseError> {
        let mut recipient = scrypt::Recipient::new(self.secret());
        recipient.set_work_factor(WORK);
        age::encrypt_and_armor(&recipient, plain).map_err(PassphraseError::Encrypt)
    }

    /// The text in an encrypted file. Takes a second of work.
    pub(super) fn decrypt(&self, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(encrypted)).map_err(explain)?;
        let mut identity = scrypt::Identity::new(self.secret());
        identity.set_max_work_factor(WORK_MAX);
        let mut reader = decryptor
            .decrypt(iter::once(&identity as &dyn age::Identity))
            .map_err(explain)?;
        let damaged = |error: io::Error| PassphraseError::Damaged(DecryptError::Io(error));
        // Room for all of it at once: growing would leave copies of the secret behind.
        let mut plain = Zeroizing::new(vec![0; PLAIN_BYTES_MAX + 1]);
        let mut length = 0;
        while let Some(rest) = plain.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match reader.read(rest).map_err(damaged)? {
                0 => break,
                read => length += read,
            }
        }
        if length > PLAIN_BYTES_MAX {
            return Err(damaged(io::ErrorKind::FileTooLarge.into()));
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
    let start = bytes.trim_ascii_start();
    start.starts_with(ARMOR) || start.starts_with(BINARY)
}

fn explain(error: DecryptError) -> PassphraseError {
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            PassphraseError::Wrong
        }
        DecryptError::NoMatchingKeys => PassphraseError::NoPassphrase,
        DecryptError::ExcessiveWork { required, .. } => PassphraseError::Work { required },
        other => PassphraseError::Damaged(other),
    }
}
