//! The keys that every voter holds: log, receipt and service key. They are made once, by `init`; a
//! node that joins gets them from a voter.

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::{LeafIndex, VerifierKey};
use ed25519_dalek::SigningKey;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::{
    Passphrase, SecretError, Succession, drop_next_seed, next_file, promote_next_seed,
    read_next_seed, read_seed, store_seed,
};
use crate::config::KeyFiles;
use crate::init::statement_key;

/// Log, receipt and service key, one purpose each. Wiped from memory when dropped, never printed.
#[derive(Debug, Clone)]
pub struct LedgerKeys {
    /// Signs checkpoints.
    pub log: SigningKey,
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Is to sign receipts in its place, once the log names it alone.
    pub next_receipt: Option<SigningKey>,
    /// Signs what the service itself asserts.
    pub service: SigningKey,
}

impl LedgerKeys {
    /// Reads all three, and the next receipt key if there is one; `None` where one of the three files
    /// is not there.
    pub fn load(files: &KeyFiles) -> Result<Option<Self>, SecretError> {
        let passphrase = Passphrase::of(files)?;
        let [log, receipt, service] = [&files.log, &files.receipt, &files.service]
            .map(|path| held(path, passphrase.as_ref()));
        Ok(match (log?, receipt?, service?) {
            (Some(log), Some(receipt), Some(service)) => Some(Self {
                log,
                receipt,
                next_receipt: read_next_seed(&files.receipt, passphrase.as_ref())?,
                service,
            }),
            _ => None,
        })
    }

    /// Writes those that are not there yet, synced, with mode 0600, encrypted where the configuration
    /// names a passphrase. Blocks on the disk.
    pub fn store(&self, files: &KeyFiles) -> Result<(), SecretError> {
        let passphrase = Passphrase::of(files)?;
        let next = next_file(&files.receipt);
        let following = self.next_receipt.as_ref().map(|key| (&next, key));
        let three = [
            (&files.log, &self.log),
            (&files.receipt, &self.receipt),
            (&files.service, &self.service),
        ];
        for (file, key) in three.into_iter().chain(following) {
            store_seed(file, key, passphrase.as_ref())?;
        }
        Ok(())
    }

    /// The receipt keys that are here, the next one last.
    pub fn receipt_keys(&self) -> impl Iterator<Item = &SigningKey> {
        [&self.receipt].into_iter().chain(&self.next_receipt)
    }

    /// The public halves of the receipt keys that are here.
    pub fn receipt_publics(&self) -> Vec<PublicKey> {
        self.receipt_keys().map(public).collect()
    }

    /// The same without receipt keys that the log does not name; `None` where it names none of them.
    #[must_use]
    pub fn in_force(&self, named: &PublicKeys) -> Option<Self> {
        let mut receipts = self.receipt_keys().filter(|key| named.has_receipt(key));
        Some(Self {
            log: self.log.clone(),
            receipt: receipts.next()?.clone(),
            next_receipt: receipts.next().cloned(),
            service: self.service.clone(),
        })
    }

    /// Puts the next receipt key into the place of the one before, on the disk. Blocks on the disk.
    ///
    /// # Errors
    /// [`SecretError`], also where a file holds another key than this; nothing is changed then.
    pub fn promote_receipt(self, files: &KeyFiles) -> Result<Self, SecretError> {
        let Some(next) = self.next_receipt else {
            return Ok(self);
        };
        let keys = Succession {
            before: self.receipt.verifying_key(),
            next: next.verifying_key(),
        };
        let passphrase = Passphrase::of(files)?;
        promote_next_seed(&files.receipt, &keys, passphrase.as_ref())?;
        Ok(Self {
            receipt: next,
            next_receipt: None,
            ..self
        })
    }

    /// Forgets the next receipt key, and removes its file. Where the file holds a later one by now,
    /// that one stays. Blocks on the disk.
    ///
    /// # Errors
    /// [`SecretError`]; nothing is changed then.
    pub fn drop_next_receipt(self, files: &KeyFiles) -> Result<Self, SecretError> {
        if let Some(next) = &self.next_receipt {
            let passphrase = Passphrase::of(files)?;
            drop_next_seed(&files.receipt, &next.verifying_key(), passphrase.as_ref())?;
        }
        Ok(Self {
            next_receipt: None,
            ..self
        })
    }
}

/// The public half of a key that signs statements or receipts.
fn public(key: &SigningKey) -> PublicKey {
    statement_key(key).public_key()
}

fn held(path: &Path, passphrase: Option<&Passphrase>) -> Result<Option<SigningKey>, SecretError> {
    match read_seed(path, passphrase) {
        Ok(key) => Ok(Some(key)),
        Err(SecretError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A key that is not the one that the log names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the {what} key that the log names")]
pub struct ForeignKey {
    /// `log`, `receipt` or `service`.
    pub what: &'static str,
}

/// The public halves, as the log names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    log: VerifierKey,
    /// Those in force; more than one while one takes over from another.
    receipt: Vec<PublicKey>,
    service: PublicKey,
}

impl PublicKeys {
    /// What the registry says now; `None` before genesis.
    pub fn of(registry: &Registry) -> Option<Self> {
        let genesis = registry.genesis()?;
        let next = LeafIndex(registry.last_index()?.0.saturating_add(1));
        let receipt = registry.receipt_keys_at(next);
        Some(Self {
            log: genesis.log_key.clone(),
            receipt: receipt.map(|row| row.key).collect(),
            service: genesis.service_key,
        })
    }

    /// The receipt keys in force.
    pub fn receipt(&self) -> &[PublicKey] {
        &self.receipt
    }

    fn has_receipt(&self, key: &SigningKey) -> bool {
        self.receipt.contains(&public(key))
    }

    /// Which of these keys are others than the log names. A next receipt key that it does not name
    /// yet is none of them.
    pub fn foreign(&self, keys: &LedgerKeys) -> Vec<ForeignKey> {
        let log = VerifierKey::ed25519(self.log.name().clone(), &keys.log.verifying_key());
        [
            ("log", log == self.log),
            (
                "receipt",
                keys.receipt_keys().any(|key| self.has_receipt(key)),
            ),
            ("service", public(&keys.service) == self.service),
        ]
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(what, _)| ForeignKey { what })
        .collect()
    }
}

/// Where the keys of the ledger lie while the node runs.
#[derive(Debug, Default)]
pub struct KeyRing(RwLock<Option<Arc<LedgerKeys>>>);

impl KeyRing {
    /// The keys that were read at the start, if they were there.
    pub fn new(keys: Option<LedgerKeys>) -> Self {
        Self(RwLock::new(keys.map(Arc::new)))
    }

    /// The keys, if they are here.
    pub fn keys(&self) -> Option<Arc<LedgerKeys>> {
        // One value is put in whole, so a panic elsewhere leaves nothing half done.
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().map(Arc::clone)
    }

    /// Puts in keys that were checked, in the place of those before.
    pub fn put(&self, keys: LedgerKeys) {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(keys));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;
    use crate::config::Config;
    use crate::init::{Plan, init};
    use aimslog_proto::tlog::Origin;

    fn config(folder: &Path) -> Config {
        let plan = Plan {
            origin: Origin::new("ledger.example.com/aims1").unwrap(),
            nodes: vec!["n1=127.0.0.1:7400".parse().unwrap()],
            operators: 1,
            folder: folder.join("cluster"),
            bind: None,
        };
        init(&plan, &FixedClock::at_millis(1_800_000_000_000), [7; 32]).unwrap();
        Config::load(&plan.folder.join("n1/aimslogd.toml")).unwrap()
    }

    #[test]
    fn keys_are_all_here_or_awaited_and_come_back_as_they_were_stored() {
        let folder = tempfile::tempdir().unwrap();
        let files = config(folder.path()).keys;
        let keys = LedgerKeys::load(&files).unwrap().unwrap();
        for path in [&files.log, &files.receipt, &files.service] {
            std::fs::remove_file(path).unwrap();
            assert!(LedgerKeys::load(&files).unwrap().is_none());
        }
        keys.store(&files).unwrap();
        let again = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(again.service.to_bytes(), keys.service.to_bytes());
        let swapped = LedgerKeys {
            log: keys.receipt.clone(),
            ..keys
        };
        assert!(matches!(
            swapped.store(&files),
            Err(SecretError::OtherKey { .. })
        ));
    }

    #[test]
    fn each_key_is_held_against_the_one_that_the_log_names() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let keys = LedgerKeys::load(&config.keys).unwrap().unwrap();
        let first = crate::check::first_entries(&config).unwrap();
        let expected = PublicKeys::of(&first.registry).unwrap();
        assert_eq!(expected.foreign(&keys), []);
        let other = SigningKey::from_bytes(&[9; 32]);
        let all = LedgerKeys {
            log: other.clone(),
            receipt: other.clone(),
            next_receipt: None,
            service: other.clone(),
        };
        let foreign = expected.foreign(&all);
        let named: Vec<&str> = foreign.iter().map(|key| key.what).collect();
        assert_eq!(named, ["log", "receipt", "service"]);
        assert!(all.in_force(&expected).is_none());
        // One that is to follow, and that the log does not name, changes nothing and is kept back.
        let next = LedgerKeys {
            next_receipt: Some(other.clone()),
            ..keys.clone()
        };
        assert_eq!(expected.foreign(&next), []);
        assert!(next.in_force(&expected).unwrap().next_receipt.is_none());
        // The one before is left out once the other is named alone.
        let old = LedgerKeys {
            receipt: other,
            next_receipt: Some(keys.receipt.clone()),
            ..keys.clone()
        };
        assert_eq!(expected.foreign(&old), []);
        let left = old.in_force(&expected).unwrap();
        assert_eq!(left.receipt.to_bytes(), keys.receipt.to_bytes());
        assert!(left.next_receipt.is_none());
    }

    #[test]
    fn the_next_receipt_key_is_stored_beside_and_takes_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let files = config(folder.path()).keys;
        let next = SigningKey::from_bytes(&[9; 32]);
        let keys = LedgerKeys {
            next_receipt: Some(next.clone()),
            ..LedgerKeys::load(&files).unwrap().unwrap()
        };
        keys.store(&files).unwrap();
        let again = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(again.receipt_publics(), keys.receipt_publics());
        let promoted = again.promote_receipt(&files).unwrap();
        assert_eq!(promoted.receipt.to_bytes(), next.to_bytes());
        let last = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(last.receipt_publics(), [public(&next)]);
        // There is nothing more to put in its place.
        last.promote_receipt(&files).unwrap();
        let last = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(last.receipt_publics(), [public(&next)]);
    }

    #[test]
    fn a_retired_next_receipt_key_goes_and_a_later_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = config(folder.path()).keys;
        let [retired, later] = [9, 10].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let before = LedgerKeys::load(&files).unwrap().unwrap();
        let keys = LedgerKeys {
            next_receipt: Some(retired),
            ..before.clone()
        };
        keys.store(&files).unwrap();
        let left = keys.clone().drop_next_receipt(&files).unwrap();
        assert_eq!(left.receipt_publics(), before.receipt_publics());
        let read = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(read.receipt_publics(), before.receipt_publics());
        // The node had the retired one in memory still when the next but one was made.
        store_seed(&next_file(&files.receipt), &later, None).unwrap();
        let left = keys.clone().drop_next_receipt(&files).unwrap();
        assert_eq!(left.receipt_publics(), before.receipt_publics());
        let read = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(read.next_receipt.unwrap().to_bytes(), later.to_bytes());
        // Nor does it take the place that another one was named for.
        let refused = keys.promote_receipt(&files);
        assert!(matches!(refused, Err(SecretError::OtherKey { .. })));
        let read = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(read.receipt.to_bytes(), before.receipt.to_bytes());
    }
}
