//! How the keys of the ledger come to a voter that has not got them: it asks the others over the peer
//! listener. A node that joins needs log, receipt and service key; where the operators change the
//! log key or the receipt key every voter needs the new one.
//!
//! A certificate of the cluster is not enough. The voter first hears from a quorum who is a member
//! now, and hands the keys to a node that is one and that the operators admitted by a record. The
//! receiver holds them against the public keys that its own copy of the log names, stores them, and
//! only then may lead.

use std::path::PathBuf;
use std::sync::Arc;

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::{KeyOwner, Registry};
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::alarms::{Alarm, Alarms};
use super::exchange_client::PeerClients;
use super::log_keys::log_keys_needed;
use super::machine::Ledger;
use super::roster::{Roster, Seat};
use crate::config::KeyFiles;
use crate::identity::{
    DroppedFile, KeyRing, LedgerKeys, Passphrase, PublicKeys, SecretError, Sort, next_file,
    read_next_seed,
};
use crate::init::statement_key;
use crate::raft::{Consensus, ReadError, Status};

/// How long a voter waits for word of a quorum before it says that it does not know the members.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two rounds of asking.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long a key may be on its way before it is missed.
const MISSED_AFTER: Duration = Duration::from_secs(5);

/// Why a voter hands out no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysRefused {
    /// Who asks is no member, or was never admitted.
    #[error("node {node} is not an admitted member of the cluster")]
    NotAMember {
        /// Who asked.
        node: u64,
    },
    /// No quorum was heard, so nobody knows who is a member now.
    #[error("who is a member is not known now")]
    MembersUnknown(#[source] ReadError),
    /// This node does not vote.
    #[error("this node is no voter")]
    NoVoter,
    /// This node has none.
    #[error("this node has no keys itself")]
    NotHere,
}

/// Hands out the keys of the ledger.
pub trait KeyKeeper: Send + Sync + 'static {
    /// The keys, for a node whose certificate was checked.
    fn hand_out(&self, to: u64) -> BoxFuture<'_, Result<LedgerKeys, KeysRefused>>;
}

/// The keeper of a node.
#[derive(Debug)]
pub struct Keeper {
    /// Where the keys lie.
    pub ring: Arc<KeyRing>,
    /// Who is a member.
    pub consensus: Consensus,
    /// Who was admitted.
    pub ledger: Ledger,
}

impl KeyKeeper for Keeper {
    fn hand_out(&self, to: u64) -> BoxFuture<'_, Result<LedgerKeys, KeysRefused>> {
        Box::pin(async move {
            // Everything committed before this call is applied here after it: a removal too.
            let current = self.consensus.read_barrier(BARRIER_TIMEOUT).await;
            current.map_err(KeysRefused::MembersUnknown)?;
            let status = self.consensus.status().borrow().clone();
            may_have(to, &status, self.ledger.seat(to))?;
            let keys = self.ring.keys().ok_or(KeysRefused::NotHere)?;
            // What the log does not name, not yet or not any more, is nobody's business.
            let named = PublicKeys::of(&self.ledger.registry(), published(&self.ledger));
            let named = named.ok_or(KeysRefused::NotHere)?;
            let keys = keys.in_force(&named).ok_or(KeysRefused::NotHere)?;
            tracing::warn!(to, "log, receipt and service key are handed to a member");
            Ok(keys)
        })
    }
}

/// Whether a node that votes itself may give the keys to `node`.
fn may_have(node: u64, status: &Status, seat: Seat) -> Result<(), KeysRefused> {
    if !status.voters.contains(&status.id) {
        return Err(KeysRefused::NoVoter);
    }
    if !status.members.contains_key(&node) || seat != Seat::Admitted {
        return Err(KeysRefused::NotAMember { node });
    }
    Ok(())
}

/// What a node needs to get the keys.
#[derive(Debug)]
pub struct Seeker {
    /// This node.
    pub node: u64,
    /// Where they go in memory.
    pub ring: Arc<KeyRing>,
    /// Where they go on the disk.
    pub files: KeyFiles,
    /// The others.
    pub peers: Arc<PeerClients>,
    /// Whether this node is a member.
    pub consensus: Consensus,
    /// What the keys must be.
    pub ledger: Ledger,
    /// Says whether they are here.
    pub alarms: Alarms,
}

/// What is to be done with the keys of one sort on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// One that the log names is not here.
    Seek,
    /// The next key is to take the place of the one before, which signs nothing any more.
    Promote,
    /// The next key was retired before it took that place.
    Drop,
}

/// What the log says of keys of one sort.
#[derive(Debug)]
struct Named<'a> {
    /// Those that a node may hold.
    now: &'a [PublicKey],
    /// Those that may still sign a head to come.
    to_come: &'a [PublicKey],
    /// Those that never sign again.
    retired: &'a [PublicKey],
}

/// Compares the keys of one sort that are here with those that the log names.
fn due(here: Option<&[PublicKey]>, log: &Named<'_>) -> Due {
    let Some(here) = here else {
        return Due::Seek;
    };
    let Named {
        now: named,
        to_come,
        retired,
    } = log;
    match here {
        [_, next] if retired.contains(next) && !to_come.contains(next) => Due::Drop,
        [current, next] if named.contains(next) && !to_come.contains(current) => Due::Promote,
        here if named.iter().all(|key| here.contains(key)) => Due::Nothing,
        _ => Due::Seek,
    }
}

/// Keeps the keys of this node in step with the log until the shutdown: asks voter after voter for
/// what is not here, once this node is an admitted member by its own copy of the log.
pub async fn run(seeker: Seeker, shutdown: CancellationToken) {
    let mut missing = None;
    let following = async {
        loop {
            seeker.step(&mut missing).await;
            sleep(ASK_EVERY).await;
        }
    };
    shutdown.run_until_cancelled(following).await;
}

/// Why keys that a voter handed over were not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("a voter handed over other keys than the log names")]
    Foreign,
    #[error(
        "the next {sort} key has no place: {} holds one that the log does not name; remove it",
        path.display()
    )]
    NoPlace { sort: Sort, path: PathBuf },
    #[error("the keys of the ledger cannot be stored")]
    Secret(#[from] SecretError),
    #[error("storing the keys did not end")]
    Interrupted(#[from] JoinError),
}

impl Seeker {
    async fn step(&self, missing: &mut Option<Instant>) {
        let registry = self.ledger.registry();
        let published = published(&self.ledger);
        let Some(named) = PublicKeys::of(&registry, published) else {
            return;
        };
        let mut is_missing = false;
        for sort in Sort::ALL {
            let of_sort = registry.keys().map(|(_, row)| row);
            let of_sort = of_sort.filter(|row| row.owner == owner(sort));
            let retired = of_sort.filter(|row| row.retired_at.is_some());
            let log = Named {
                now: named.named(sort),
                to_come: &to_come(sort, &registry, published),
                retired: &retired.map(|row| row.key).collect::<Vec<_>>(),
            };
            let here = self.ring.keys().map(|keys| keys.publics(sort));
            match due(here.as_deref(), &log) {
                Due::Nothing => {}
                Due::Promote => tell_error(self.promote(sort).await),
                Due::Drop => tell_error(self.drop_next(sort).await),
                Due::Seek => is_missing = true,
            }
        }
        if is_missing {
            tell_error(self.seek(&named).await);
        }
        self.tell(&named, missing);
    }

    /// Raises or ends the alarm. A node that starts applies its raft log once more, and the log may
    /// name an older key for a moment, so one is missed only after a while.
    fn tell(&self, named: &PublicKeys, missing: &mut Option<Instant>) {
        let keys = self.ring.keys();
        let foreign = keys.map(|keys| named.foreign(&keys));
        if foreign.is_some_and(|foreign| foreign.is_empty()) {
            *missing = None;
            self.alarms.keys_are_here();
        } else if missing.get_or_insert_with(Instant::now).elapsed() >= MISSED_AFTER {
            self.alarms.raise(&Alarm::Keys);
        }
    }

    async fn seek(&self, named: &PublicKeys) -> Result<(), NotTaken> {
        let mut is_complete = self.ring.keys().is_some();
        for sort in Sort::ALL {
            self.look_beside(sort, named).await?;
            let held = self.ring.keys().map(|keys| keys.publics(sort));
            let held = held.unwrap_or_default();
            is_complete &= named.named(sort).iter().all(|key| held.contains(key));
        }
        if is_complete {
            return Ok(());
        }
        let status = self.consensus.status().borrow().clone();
        if !status.members.contains_key(&self.node) || self.ledger.seat(self.node) != Seat::Admitted
        {
            return Ok(());
        }
        // One voter that is behind must not keep the others from being asked.
        let mut last = Ok(());
        for peer in in_turn(&status) {
            match self.ask(peer, named).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => last = Err(error),
            }
        }
        last
    }

    /// Takes up the next key of this sort that was made on this machine, once the log names it.
    async fn look_beside(&self, sort: Sort, named: &PublicKeys) -> Result<(), NotTaken> {
        let Some(held) = self.ring.keys() else {
            return Ok(());
        };
        let files = self.files.clone();
        let next = spawn_blocking(move || {
            let passphrase = Passphrase::of(&files)?;
            read_next_seed(sort.file(&files), passphrase.as_ref())
        });
        let Some(next) = next.await?? else {
            // Somebody took away the file of a key that nothing names: it goes from memory too, or it would
            // be written down again with what another voter hands over.
            let without = held.as_ref().clone().with_next(sort, None);
            let kept = without.publics(sort);
            let publics = held.publics(sort);
            let mut gone = publics.iter().filter(|key| !kept.contains(key));
            if gone.any(|key| !named.named(sort).contains(key)) {
                self.ring.put(without);
                tracing::info!("the next {sort} key was taken away before the operators named it");
            }
            return Ok(());
        };
        let is_named = named
            .named(sort)
            .contains(&statement_key(&next).public_key());
        let with_next = held.as_ref().clone().with_next(sort, Some(next));
        if is_named && with_next.publics(sort) != held.publics(sort) {
            self.ring.put(with_next);
            tracing::info!("the operators have named the next {sort} key, which is here");
        }
        Ok(())
    }

    /// Whether the voter had something new.
    async fn ask(&self, peer: u64, named: &PublicKeys) -> Result<bool, NotTaken> {
        let keys = match self.peers.ledger_keys(peer).await {
            Ok(keys) => keys,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(peer, error, "the keys of the ledger were not handed over");
                return Ok(false);
            }
        };
        let keys = keys.in_force(named).ok_or(NotTaken::Foreign)?;
        let held = self.ring.keys();
        let (together, no_place) = together(held.as_deref(), keys);
        let (together, no_place) = self.stored(together, no_place).await?;
        let no_place = no_place.map(|sort| NotTaken::NoPlace {
            sort,
            path: next_file(sort.file(&self.files)),
        });
        let is_same = |held: &LedgerKeys| {
            let mut sorts = Sort::ALL.into_iter();
            sorts.all(|sort| held.publics(sort) == together.publics(sort))
        };
        if held.is_some_and(|held| is_same(&held)) {
            return no_place.map_or(Ok(false), Err);
        }
        self.ring.put(together);
        tracing::info!(peer, "log, receipt and service key are here");
        no_place.map_or(Ok(true), Err)
    }

    /// Stores the keys. A next key in whose place another one lies, which was made here and which the log
    /// does not name, is left out, and its sort is given back.
    async fn stored(
        &self,
        mut keys: LedgerKeys,
        mut no_place: Option<Sort>,
    ) -> Result<(LedgerKeys, Option<Sort>), NotTaken> {
        for _ in Sort::ALL {
            let (files, stored) = (self.files.clone(), keys.clone());
            let result = spawn_blocking(move || stored.store(&files)).await?;
            let Err(SecretError::OtherKey { path }) = &result else {
                result?;
                return Ok((keys, no_place));
            };
            let mut sorts = Sort::ALL.into_iter();
            let taken = sorts.find(|sort| next_file(sort.file(&self.files)) == *path);
            let Some(sort) = taken else {
                result?;
                break;
            };
            keys = keys.with_next(sort, None);
            no_place = Some(sort);
        }
        let (files, stored) = (self.files.clone(), keys.clone());
        spawn_blocking(move || stored.store(&files)).await??;
        Ok((keys, no_place))
    }

    async fn promote(&self, sort: Sort) -> Result<(), NotTaken> {
        let Some(held) = self.ring.keys() else {
            return Ok(());
        };
        let files = self.files.clone();
        let keys = held.as_ref().clone();
        let promoted = spawn_blocking(move || keys.promote(sort, &files)).await??;
        self.ring.put(promoted);
        tracing::warn!("the new {sort} key has its place; the file of the old one is gone");
        Ok(())
    }

    async fn drop_next(&self, sort: Sort) -> Result<(), NotTaken> {
        let Some(held) = self.ring.keys() else {
            return Ok(());
        };
        let files = self.files.clone();
        let keys = held.as_ref().clone();
        let (left, dropped) = spawn_blocking(move || keys.drop_next(sort, &files)).await??;
        self.ring.put(left);
        let words = dropped_words(dropped);
        tracing::warn!("the operators have retired the next {sort} key; {words}");
        Ok(())
    }
}

/// What the registry calls keys of this sort.
const fn owner(sort: Sort) -> KeyOwner {
    match sort {
        Sort::Log => KeyOwner::Log,
        Sort::Receipt => KeyOwner::Receipt,
    }
}

/// Size of the newest published head here.
fn published(ledger: &Ledger) -> TreeSize {
    let head = ledger.progress().borrow().head;
    TreeSize(head.map_or(0, |head| head.tree.size.0))
}

/// The keys of this sort that may still sign a head to come: those that the next one needs, or that
/// are in force behind the newest one.
fn to_come(sort: Sort, registry: &Registry, published: TreeSize) -> Vec<PublicKey> {
    match sort {
        Sort::Receipt => {
            let keys = registry.receipt_keys_at(LeafIndex(published.0));
            keys.map(|row| row.key).collect()
        }
        Sort::Log => {
            let next = registry.last_index().map_or(0, |last| last.0 + 1);
            let mut keys = log_keys_needed(registry, published, TreeSize(next));
            let in_force = registry.log_keys_at(LeafIndex(next)).map(|row| row.key);
            keys.extend(in_force);
            keys
        }
    }
}

const fn dropped_words(dropped: DroppedFile) -> &'static str {
    match dropped {
        DroppedFile::Gone => "it is gone from here",
        DroppedFile::HoldsAnother => "its file holds a later one by now, which stays",
    }
}

fn tell_error(done: Result<(), NotTaken>) {
    if let Err(error) = done {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "the keys of the ledger are not in step with the log");
    }
}

/// What is here with what was handed over: a log or receipt key that is new becomes the next one. And
/// a sort of which the place of the next one is taken, if there is one.
fn together(held: Option<&LedgerKeys>, handed: LedgerKeys) -> (LedgerKeys, Option<Sort>) {
    let Some(held) = held else {
        return (handed, None);
    };
    let mut together = held.clone();
    let mut no_place = None;
    for sort in Sort::ALL {
        let here = held.publics(sort);
        let is_new = |key: &&SigningKey| !here.contains(&statement_key(key).public_key());
        let Some(new) = handed.all(sort).find(is_new) else {
            continue;
        };
        if held.next(sort).is_some() {
            no_place = Some(sort);
        } else {
            together = together.with_next(sort, Some(new.clone()));
        }
    }
    (together, no_place)
}

/// The other voters, the leader first: it surely hears a quorum.
fn in_turn(status: &Status) -> Vec<u64> {
    let leader = status.leader.filter(|leader| *leader != status.id);
    let others = status.voters.iter().copied();
    let others = others.filter(|id| *id != status.id && Some(*id) != leader);
    leader.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests;
