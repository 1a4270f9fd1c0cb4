//! The keys that every voter holds: log, receipt and service key. They are made by `init`, a later log
//! or receipt key by `rotate`; a node that joins gets them from a voter.

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use ed25519_dalek::SigningKey;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::{
    DroppedFile, Passphrase, SecretError, Succession, drop_next_seed, next_file, promote_next_seed,
    read_next_seed, read_seed, store_seed,
};
use crate::config::KeyFiles;
use crate::init::statement_key;
use crate::ledger::log_keys::log_keys_needed;

/// Log, receipt and service key, one purpose each. Wiped from memory when dropped, never printed.
#[derive(Debug, Clone)]
pub struct LedgerKeys {
    /// Signs checkpoints.
    pub log: SigningKey,
    /// Is to sign checkpoints in its place, once a policy names it.
    pub next_log: Option<SigningKey>,
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Is to sign receipts in its place, once the log names it alone.
    pub next_receipt: Option<SigningKey>,
    /// Signs what the service itself asserts.
    pub service: SigningKey,
}

/// A key of the ledger that another one can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Signs checkpoints.
    Log,
    /// Signs receipts.
    Receipt,
}

impl Sort {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Log, Self::Receipt];

    /// Where the key in use lies.
    pub const fn file(self, files: &KeyFiles) -> &PathBuf {
        match self {
            Self::Log => &files.log,
            Self::Receipt => &files.receipt,
        }
    }
}

impl std::fmt::Display for Sort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Receipt => "receipt",
        })
    }
}

impl LedgerKeys {
    /// Reads all three, and the next log and receipt key where there are any; `None` where one of the
    /// three files is not there.
    pub fn load(files: &KeyFiles) -> Result<Option<Self>, SecretError> {
        let passphrase = Passphrase::of(files)?;
        let [log, receipt, service] = [&files.log, &files.receipt, &files.service]
            .map(|path| held(path, passphrase.as_ref()));
        Ok(match (log?, receipt?, service?) {
            (Some(log), Some(receipt), Some(service)) => Some(Self {
                log,
                next_log: read_next_seed(&files.log, passphrase.as_ref())?,
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
        let following = Sort::ALL.into_iter().filter_map(|sort| {
            let key = self.next(sort)?;
            Some((next_file(sort.file(files)), key))
        });
        let three = [
            (files.log.clone(), &self.log),
            (files.receipt.clone(), &self.receipt),
            (files.service.clone(), &self.service),
        ];
        for (file, key) in three.into_iter().chain(following) {
            store_seed(&file, key, passphrase.as_ref())?;
        }
        Ok(())
    }

    /// The key of this sort that is in use.
    pub const fn current(&self, sort: Sort) -> &SigningKey {
        match sort {
            Sort::Log => &self.log,
            Sort::Receipt => &self.receipt,
        }
    }

    /// The key of this sort that is to follow.
    pub const fn next(&self, sort: Sort) -> Option<&SigningKey> {
        match sort {
            Sort::Log => self.next_log.as_ref(),
            Sort::Receipt => self.next_receipt.as_ref(),
        }
    }

    /// The keys of this sort that are here, the next one last.
    pub fn all(&self, sort: Sort) -> impl Iterator<Item = &SigningKey> {
        [self.current(sort)].into_iter().chain(self.next(sort))
    }

    /// The public halves of the keys of this sort that are here, the next one last.
    pub fn publics(&self, sort: Sort) -> Vec<PublicKey> {
        self.all(sort).map(public).collect()
    }

    /// The same with another key of this sort, or none, to follow.
    #[must_use]
    pub fn with_next(self, sort: Sort, next: Option<SigningKey>) -> Self {
        match sort {
            Sort::Log => Self {
                next_log: next,
                ..self
            },
            Sort::Receipt => Self {
                next_receipt: next,
                ..self
            },
        }
    }

    /// The same without log and receipt keys that the log does not name; `None` where it names none
    /// of one sort, or another service key.
    #[must_use]
    pub fn in_force(&self, named: &PublicKeys) -> Option<Self> {
        let named_of = |sort| {
            let mut all = self.all(sort).filter(move |key| named.has(sort, key));
            Some((all.next()?.clone(), all.next().cloned()))
        };
        let (log, next_log) = named_of(Sort::Log)?;
        let (receipt, next_receipt) = named_of(Sort::Receipt)?;
        (public(&self.service) == named.service).then(|| Self {
            log,
            next_log,
            receipt,
            next_receipt,
            service: self.service.clone(),
        })
    }

    /// Puts the next key of this sort into the place of the one before, on the disk. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`SecretError`], also where a file holds another key than this; nothing is changed then.
    pub fn promote(self, sort: Sort, files: &KeyFiles) -> Result<Self, SecretError> {
        let Some(next) = self.next(sort).cloned() else {
            return Ok(self);
        };
        let keys = Succession {
            before: self.current(sort).verifying_key(),
            next: next.verifying_key(),
        };
        let passphrase = Passphrase::of(files)?;
        promote_next_seed(sort.file(files), &keys, passphrase.as_ref())?;
        let left = self.with_next(sort, None);
        Ok(match sort {
            Sort::Log => Self { log: next, ..left },
            Sort::Receipt => Self {
                receipt: next,
                ..left
            },
        })
    }

    /// Forgets the next key of this sort, and removes its file. Where the file holds a later one by
    /// now, that one stays. Returns what is left, and what became of the file. Blocks on the disk.
    ///
    /// # Errors
    /// [`SecretError`]; nothing is changed then.
    pub fn drop_next(
        self,
        sort: Sort,
        files: &KeyFiles,
    ) -> Result<(Self, DroppedFile), SecretError> {
        let Some(next) = self.next(sort) else {
            return Ok((self, DroppedFile::Gone));
        };
        let passphrase = Passphrase::of(files)?;
        let path = sort.file(files);
        let dropped = drop_next_seed(path, &next.verifying_key(), passphrase.as_ref())?;
        Ok((self.with_next(sort, None), dropped))
    }
}

/// The public half of a key that signs statements, receipts or checkpoints.
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
    /// Those in force, and those that the next head needs.
    log: Vec<PublicKey>,
    /// Those without which the next head cannot be signed.
    needed: Vec<PublicKey>,
    /// Those in force; more than one while one takes over from another.
    receipt: Vec<PublicKey>,
    service: PublicKey,
}

impl PublicKeys {
    /// What the registry says now, where the newest published head has `published` entries; `None`
    /// before genesis.
    pub fn of(registry: &Registry, published: TreeSize) -> Option<Self> {
        let genesis = registry.genesis()?;
        let next = LeafIndex(registry.last_index()?.0.saturating_add(1));
        let receipt = registry.receipt_keys_at(next);
        let needed = log_keys_needed(registry, published, TreeSize(next.0));
        let in_force = registry.log_keys_at(next).map(|row| row.key);
        let mut log: Vec<PublicKey> = in_force.collect();
        let others = needed.iter().filter(|key| !log.contains(key));
        log.extend(others.copied().collect::<Vec<_>>());
        Some(Self {
            log,
            needed,
            receipt: receipt.map(|row| row.key).collect(),
            service: genesis.service_key,
        })
    }

    /// The keys of this sort that a node may hold.
    pub fn named(&self, sort: Sort) -> &[PublicKey] {
        match sort {
            Sort::Log => &self.log,
            Sort::Receipt => &self.receipt,
        }
    }

    /// The log keys without which the next head cannot be signed.
    pub fn needed(&self) -> &[PublicKey] {
        &self.needed
    }

    fn has(&self, sort: Sort, key: &SigningKey) -> bool {
        self.named(sort).contains(&public(key))
    }

    /// Which of these keys are others than the log names, so that a head could not be signed with
    /// them. A next key that it does not name yet is none of them.
    pub fn foreign(&self, keys: &LedgerKeys) -> Vec<ForeignKey> {
        let logs = keys.publics(Sort::Log);
        [
            ("log", self.needed.iter().all(|key| logs.contains(key))),
            (
                "receipt",
                keys.all(Sort::Receipt)
                    .any(|key| self.has(Sort::Receipt, key)),
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
        let expected = PublicKeys::of(&first.registry, TreeSize(0)).unwrap();
        assert_eq!(expected.foreign(&keys), []);
        let other = SigningKey::from_bytes(&[9; 32]);
        let all = LedgerKeys {
            log: other.clone(),
            next_log: None,
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
        assert_eq!(again.publics(Sort::Receipt), keys.publics(Sort::Receipt));
        let promoted = again.promote(Sort::Receipt, &files).unwrap();
        assert_eq!(promoted.receipt.to_bytes(), next.to_bytes());
        let last = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(last.publics(Sort::Receipt), [public(&next)]);
        // There is nothing more to put in its place.
        last.promote(Sort::Receipt, &files).unwrap();
        let last = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(last.publics(Sort::Receipt), [public(&next)]);
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
        let (left, file) = keys.clone().drop_next(Sort::Receipt, &files).unwrap();
        assert_eq!(file, DroppedFile::Gone);
        assert_eq!(left.publics(Sort::Receipt), before.publics(Sort::Receipt));
        let read = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(read.publics(Sort::Receipt), before.publics(Sort::Receipt));
        // The node had the retired one in memory still when the next but one was made.
        store_seed(&next_file(&files.receipt), &later, None).unwrap();
        let (left, file) = keys.clone().drop_next(Sort::Receipt, &files).unwrap();
        assert_eq!(file, DroppedFile::HoldsAnother);
        assert_eq!(left.publics(Sort::Receipt), before.publics(Sort::Receipt));
        let read = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(read.next_receipt.unwrap().to_bytes(), later.to_bytes());
        // Nor does it take the place that another one was named for.
        let refused = keys.promote(Sort::Receipt, &files);
        assert!(matches!(refused, Err(SecretError::OtherKey { .. })));
        let read = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(read.receipt.to_bytes(), before.receipt.to_bytes());
    }

    #[test]
    fn the_next_log_key_is_stored_beside_and_takes_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let files = config(folder.path()).keys;
        let next = SigningKey::from_bytes(&[9; 32]);
        let before = LedgerKeys::load(&files).unwrap().unwrap();
        let keys = before.clone().with_next(Sort::Log, Some(next.clone()));
        keys.store(&files).unwrap();
        let again = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(again.publics(Sort::Log), keys.publics(Sort::Log));
        assert_eq!(again.publics(Sort::Receipt), before.publics(Sort::Receipt));
        again.promote(Sort::Log, &files).unwrap();
        let last = LedgerKeys::load(&files).unwrap().unwrap();
        assert_eq!(last.publics(Sort::Log), [public(&next)]);
        assert_eq!(last.publics(Sort::Receipt), before.publics(Sort::Receipt));
    }

    #[test]
    fn a_log_key_is_needed_from_the_policy_that_names_it_until_the_head_that_leads_on() {
        use crate::ledger::testing::{LOG_SEED, World};
        use aimslog_proto::statement::UnverifiedStatement;

        let world = World::new();
        let genesis = world.genesis();
        let before = world.policy([0, 1, 2]);
        let named = world.log_keys(&[LOG_SEED, 50], 60);
        let switch = world.policy_change(&before, world.policy_with_log_key(50));
        let alone = world.log_keys(&[50], 61);
        let records = [&genesis.genesis, &genesis.keys, &named, &switch, &alone];
        let of = |seeds: &[u8]| {
            let keys = seeds
                .iter()
                .map(|seed| SigningKey::from_bytes(&[*seed; 32]));
            keys.map(|key| public(&key)).collect::<Vec<_>>()
        };
        let sorted = |mut keys: Vec<PublicKey>| {
            keys.sort_unstable_by_key(|key| *key.as_bytes());
            keys
        };
        let (old, new) = (&[LOG_SEED][..], &[50][..]);
        let both = &[LOG_SEED, 50][..];
        for (what, logged, published, named, needed) in [
            ("founded", 2, 0, old, old),
            ("named beside", 3, 2, both, old),
            ("the policy changes", 4, 3, both, both),
            ("the head that leads over is published", 4, 4, both, new),
            ("retired before that head", 5, 3, both, both),
            ("retired", 5, 4, new, new),
        ] {
            let mut registry = Registry::new();
            for (index, bytes) in (0..).zip(records.into_iter().take(logged)) {
                let statement = UnverifiedStatement::parse(bytes).unwrap();
                registry.apply(LeafIndex(index), &statement).unwrap();
            }
            let found = PublicKeys::of(&registry, TreeSize(published)).unwrap();
            let all = sorted(found.named(Sort::Log).to_vec());
            assert_eq!(all, sorted(of(named)), "{what}");
            assert_eq!(
                sorted(found.needed().to_vec()),
                sorted(of(needed)),
                "{what}"
            );
        }
    }
}
