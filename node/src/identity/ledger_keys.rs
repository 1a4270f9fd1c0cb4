//! The keys that every voter holds: log, receipt and service key. They are made once, by `init`; a
//! node that joins gets them from a voter.

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::{LeafIndex, VerifierKey};
use ed25519_dalek::SigningKey;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::OnceLock;

use super::{Passphrase, SecretError, read_seed, store_seed};
use crate::config::KeyFiles;
use crate::init::statement_key;

/// Log, receipt and service key, one purpose each. Wiped from memory when dropped, never printed.
#[derive(Debug, Clone)]
pub struct LedgerKeys {
    /// Signs checkpoints.
    pub log: SigningKey,
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Signs what the service itself asserts.
    pub service: SigningKey,
}

impl LedgerKeys {
    /// Reads all three; `None` where one of the files is not there.
    pub fn load(files: &KeyFiles) -> Result<Option<Self>, SecretError> {
        let passphrase = Passphrase::of(files)?;
        let [log, receipt, service] = [&files.log, &files.receipt, &files.service]
            .map(|path| held(path, passphrase.as_ref()));
        Ok(match (log?, receipt?, service?) {
            (Some(log), Some(receipt), Some(service)) => Some(Self {
                log,
                receipt,
                service,
            }),
            _ => None,
        })
    }

    /// Writes those that are not there yet, synced, with mode 0600, encrypted where the configuration
    /// names a passphrase. Blocks on the disk.
    pub fn store(&self, files: &KeyFiles) -> Result<(), SecretError> {
        let passphrase = Passphrase::of(files)?;
        for (file, key) in [
            (&files.log, &self.log),
            (&files.receipt, &self.receipt),
            (&files.service, &self.service),
        ] {
            store_seed(file, key, passphrase.as_ref())?;
        }
        Ok(())
    }
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

    /// Which of these keys are others than the log names.
    pub fn foreign(&self, keys: &LedgerKeys) -> Vec<ForeignKey> {
        let log = VerifierKey::ed25519(self.log.name().clone(), &keys.log.verifying_key());
        let receipt = statement_key(&keys.receipt).public_key();
        let service = statement_key(&keys.service).public_key();
        [
            ("log", log == self.log),
            ("receipt", self.receipt.contains(&receipt)),
            ("service", service == self.service),
        ]
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(what, _)| ForeignKey { what })
        .collect()
    }
}

/// Where the keys of the ledger lie while the node runs: here from the start, or put in once.
#[derive(Debug, Default)]
pub struct KeyRing(OnceLock<LedgerKeys>);

impl KeyRing {
    /// The keys that were read at the start, if they were there.
    pub fn new(keys: Option<LedgerKeys>) -> Self {
        Self(keys.map_or_else(OnceLock::new, OnceLock::from))
    }

    /// The keys, if they are here.
    pub fn keys(&self) -> Option<&LedgerKeys> {
        self.0.get()
    }

    /// Puts in keys that were checked. The first stay.
    pub fn put(&self, keys: LedgerKeys) {
        self.0.get_or_init(|| keys);
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
            service: other,
        };
        let foreign = expected.foreign(&all);
        let named: Vec<&str> = foreign.iter().map(|key| key.what).collect();
        assert_eq!(named, ["log", "receipt", "service"]);
    }
}
