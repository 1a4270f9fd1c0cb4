//! The key that is to follow the one in a seed file: it lies beside it until the log has no more use
//! for the one before, and then takes its place.
//!
//! Each file is looked into before it goes: a key that somebody has put there since is not the one
//! that the log spoke of, and there may be no copy of it.

use super::{Passphrase, SecretError, read_seed, rename_synced, sync_folder_of};
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the key lies that is to follow the one in this file: `receipt.next.seed` beside
/// `receipt.seed`.
pub fn next_file(path: &Path) -> PathBuf {
    path.with_extension("next.seed")
}

/// The key that is to follow the one in this file, if there is one yet.
pub fn read_next_seed(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Option<SigningKey>, SecretError> {
    match read_seed(&next_file(path), passphrase) {
        Ok(key) => Ok(Some(key)),
        Err(SecretError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What became of the file of a key that is not to follow any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DroppedFile {
    /// It is not there any more, and was not there before where somebody has moved it.
    Gone,
    /// It holds another key by now, and is left as it is.
    HoldsAnother,
}

/// Removes the file of the key that was to follow, if it is there and holds this key. One that holds
/// another key is left as it is: somebody has made a later one since.
///
/// # Errors
/// [`SecretError`], also where the file cannot be read; nothing is removed then.
pub fn drop_next_seed(
    path: &Path,
    expected: &VerifyingKey,
    passphrase: Option<&Passphrase>,
) -> Result<DroppedFile, SecretError> {
    match read_next_seed(path, passphrase)? {
        None => return Ok(DroppedFile::Gone),
        Some(held) if held.verifying_key() != *expected => return Ok(DroppedFile::HoldsAnother),
        Some(_) => {}
    }
    let path = next_file(path);
    std::fs::remove_file(&path)
        .and_then(|()| sync_folder_of(&path))
        .map_err(|source| SecretError::Io { path, source })?;
    Ok(DroppedFile::Gone)
}

/// Which key takes the place of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// In the file itself.
    pub before: VerifyingKey,
    /// In the file beside it.
    pub next: VerifyingKey,
}

/// Puts the key that is to follow into the place of the one before, in one step: a crash leaves both
/// or the new one alone. The file of the old key is gone then; what the disk or a backup still has
/// of it is not. Where the new key is in its place already, that is made durable.
///
/// # Errors
/// [`SecretError::OtherKey`] where one of the two files holds another key than is said here: it was
/// exchanged since it was read, and neither takes a place nor loses its own. Nothing is changed then.
pub fn promote_next_seed(
    path: &Path,
    keys: &Succession,
    passphrase: Option<&Passphrase>,
) -> Result<(), SecretError> {
    let io = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let next = next_file(path);
    let current = read_seed(path, passphrase)?.verifying_key();
    match read_next_seed(path, passphrase)?.map(|key| key.verifying_key()) {
        None if current == keys.next => return sync_folder_of(path).map_err(io),
        None => {
            let source = ErrorKind::NotFound.into();
            return Err(SecretError::Io { path: next, source });
        }
        Some(held) if held != keys.next => return Err(SecretError::OtherKey { path: next }),
        Some(_) => {}
    }
    if current != keys.before && current != keys.next {
        let path = path.to_owned();
        return Err(SecretError::OtherKey { path });
    }
    rename_synced(&next, path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::super::{store_seed, write_secret, write_seed};
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    /// The key of this seed in a file and, where there is one, the other beside it.
    fn beside(current: u8, next: Option<u8>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cosigner.seed");
        write_seed(&path, &SigningKey::from_bytes(&[current; 32])).unwrap();
        if let Some(next) = next {
            let next = SigningKey::from_bytes(&[next; 32]);
            store_seed(&next_file(&path), &next, None).unwrap();
        }
        (folder, path)
    }

    fn public(seed: u8) -> VerifyingKey {
        SigningKey::from_bytes(&[seed; 32]).verifying_key()
    }

    fn succession(before: u8, next: u8) -> Succession {
        Succession {
            before: public(before),
            next: public(next),
        }
    }

    /// The seeds in the file and beside it.
    fn seeds(path: &Path) -> (u8, Option<u8>) {
        let first = |key: &SigningKey| key.to_bytes()[0];
        let next = read_next_seed(path, None).unwrap();
        (
            first(&read_seed(path, None).unwrap()),
            next.as_ref().map(first),
        )
    }

    #[test]
    fn the_next_key_lies_beside_and_takes_the_place_in_one_step() {
        let (folder, path) = beside(7, None);
        assert!(read_next_seed(&path, None).unwrap().is_none());
        let none = promote_next_seed(&path, &succession(7, 8), None);
        assert!(matches!(none, Err(SecretError::Io { .. })), "{none:?}");
        let next = SigningKey::from_bytes(&[8; 32]);
        store_seed(&next_file(&path), &next, None).unwrap();
        assert_eq!(next_file(&path), folder.path().join("cosigner.next.seed"));
        assert_eq!(seeds(&path), (7, Some(8)));
        promote_next_seed(&path, &succession(7, 8), None).unwrap();
        assert_eq!(seeds(&path), (8, None));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        // Once more, because the disk did not say that it was done.
        promote_next_seed(&path, &succession(7, 8), None).unwrap();
        assert_eq!(seeds(&path), (8, None));
        store_seed(&next_file(&path), &SigningKey::from_bytes(&[7; 32]), None).unwrap();
        for _ in 0..2 {
            let dropped = drop_next_seed(&path, &public(7), None).unwrap();
            assert_eq!(dropped, DroppedFile::Gone);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_somebody_put_there_since_is_neither_removed_nor_taken_nor_replaced() {
        // The next key was retired, and somebody has made another one since.
        let (_folder, path) = beside(7, Some(9));
        let dropped = drop_next_seed(&path, &public(8), None).unwrap();
        assert_eq!(dropped, DroppedFile::HoldsAnother);
        assert_eq!(seeds(&path), (7, Some(9)));
        for (what, (current, next)) in [
            ("another next key", (7, Some(9))),
            ("another key in the place", (6, Some(8))),
            ("two other keys", (6, Some(9))),
        ] {
            let (_folder, path) = beside(current, next);
            let refused = promote_next_seed(&path, &succession(7, 8), None);
            assert!(
                matches!(refused, Err(SecretError::OtherKey { .. })),
                "{what}: {refused:?}"
            );
            assert_eq!(seeds(&path), (current, next), "{what}");
        }
        // What cannot be read may be anybody's.
        let (_folder, path) = beside(7, None);
        write_secret(&next_file(&path), b"no seed").unwrap();
        assert!(drop_next_seed(&path, &public(8), None).is_err());
        assert!(promote_next_seed(&path, &succession(7, 8), None).is_err());
        assert_eq!(std::fs::read(next_file(&path)).unwrap(), b"no seed");
    }
}
