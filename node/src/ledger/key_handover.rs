//! How the keys of the ledger come to a voter that has not got them: it asks the others over the peer
//! listener. A node that joins needs log, receipt and service key; where the operators change the
//! receipt key every voter needs the new one.
//!
//! A certificate of the cluster is not enough. The voter first hears from a quorum who is a member
//! now, and hands the keys to a node that is one and that the operators admitted by a record. The
//! receiver holds them against the public keys that its own copy of the log names, stores them, and
//! only then may lead.

use std::path::PathBuf;
use std::sync::Arc;

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::KeyOwner;
use aimslog_proto::tlog::LeafIndex;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::alarms::{Alarm, Alarms};
use super::exchange_client::PeerClients;
use super::machine::Ledger;
use super::roster::{Roster, Seat};
use crate::config::KeyFiles;
use crate::identity::{
    KeyRing, LedgerKeys, Passphrase, PublicKeys, SecretError, next_file, read_next_seed,
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
            let named = PublicKeys::of(&self.ledger.registry()).ok_or(KeysRefused::NotHere)?;
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

/// What is to be done with the keys of the ledger on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// One that the log names is not here.
    Seek,
    /// The next receipt key is to take the place of the one before, which signs nothing any more.
    Promote,
    /// The next receipt key was retired before it took that place.
    Drop,
}

/// What the log says of receipt keys.
#[derive(Debug)]
struct Named<'a> {
    /// Those in force.
    now: &'a [PublicKey],
    /// Those that may still sign under a head to come.
    to_come: &'a [PublicKey],
    /// Those that never sign again.
    retired: &'a [PublicKey],
}

/// Compares the receipt keys that are here with those that the log names.
fn due(held: Option<&LedgerKeys>, log: &Named<'_>) -> Due {
    let Some(held) = held else {
        return Due::Seek;
    };
    let here = held.receipt_publics();
    let Named {
        now: named,
        to_come,
        retired,
    } = log;
    match here.as_slice() {
        [_, next] if retired.contains(next) => Due::Drop,
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
        "the next receipt key has no place: {} holds one that the log does not name; remove it",
        path.display()
    )]
    NoPlace { path: PathBuf },
    #[error("the keys of the ledger cannot be stored")]
    Secret(#[from] SecretError),
    #[error("storing the keys did not end")]
    Interrupted(#[from] JoinError),
}

impl Seeker {
    async fn step(&self, missing: &mut Option<Instant>) {
        let registry = self.ledger.registry();
        let Some(named) = PublicKeys::of(&registry) else {
            return;
        };
        let published = self.ledger.progress().borrow().head;
        let next = LeafIndex(published.map_or(0, |head| head.tree.size.0));
        let to_come: Vec<PublicKey> = registry.receipt_keys_at(next).map(|row| row.key).collect();
        let receipts = registry.keys().map(|(_, row)| row);
        let receipts = receipts.filter(|row| row.owner == KeyOwner::Receipt);
        let retired = receipts.filter(|row| row.retired_at.is_some());
        let log = Named {
            now: named.receipt(),
            to_come: &to_come,
            retired: &retired.map(|row| row.key).collect::<Vec<_>>(),
        };
        let held = self.ring.keys();
        let done = match due(held.as_deref(), &log) {
            Due::Nothing => Ok(()),
            Due::Promote => self.promote().await,
            Due::Drop => self.drop_next().await,
            Due::Seek => self.seek(&named).await,
        };
        if let Err(error) = done {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the keys of the ledger are not in step with the log");
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
        if self.look_beside(named).await? {
            return Ok(());
        }
        let status = self.consensus.status().borrow().clone();
        if !status.members.contains_key(&self.node) || self.ledger.seat(self.node) != Seat::Admitted
        {
            return Ok(());
        }
        for peer in in_turn(&status) {
            if self.ask(peer, named).await? {
                break;
            }
        }
        Ok(())
    }

    /// Takes up the next receipt key that was made on this machine.
    async fn look_beside(&self, named: &PublicKeys) -> Result<bool, NotTaken> {
        let Some(held) = self.ring.keys() else {
            return Ok(false);
        };
        let files = self.files.clone();
        let next = spawn_blocking(move || {
            let passphrase = Passphrase::of(&files)?;
            read_next_seed(&files.receipt, passphrase.as_ref())
        });
        let Some(next) = next.await?? else {
            return Ok(false);
        };
        let with_next = LedgerKeys {
            next_receipt: Some(next),
            ..held.as_ref().clone()
        };
        let publics = with_next.receipt_publics();
        let found = publics
            .last()
            .is_some_and(|key| named.receipt().contains(key));
        if found && publics != held.receipt_publics() {
            self.ring.put(with_next);
            tracing::info!("the operators have named the next receipt key, which is here");
        }
        Ok(found)
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
        if !named.foreign(&keys).is_empty() {
            return Err(NotTaken::Foreign);
        }
        let keys = keys.in_force(named).ok_or(NotTaken::Foreign)?;
        let held = self.ring.keys();
        let Some(together) = together(held.as_deref(), keys) else {
            let path = next_file(&self.files.receipt);
            return Err(NotTaken::NoPlace { path });
        };
        let before = held.map(|held| held.receipt_publics());
        if before.is_some_and(|before| before == together.receipt_publics()) {
            return Ok(false);
        }
        let (files, stored) = (self.files.clone(), together.clone());
        spawn_blocking(move || stored.store(&files)).await??;
        self.ring.put(together);
        tracing::info!(peer, "log, receipt and service key are here");
        Ok(true)
    }

    async fn promote(&self) -> Result<(), NotTaken> {
        let Some(held) = self.ring.keys() else {
            return Ok(());
        };
        let files = self.files.clone();
        let keys = held.as_ref().clone();
        let promoted = spawn_blocking(move || keys.promote_receipt(&files)).await??;
        self.ring.put(promoted);
        tracing::warn!("receipts are signed with the new key; the file of the old one is gone");
        Ok(())
    }

    async fn drop_next(&self) -> Result<(), NotTaken> {
        let Some(held) = self.ring.keys() else {
            return Ok(());
        };
        let files = self.files.clone();
        let keys = held.as_ref().clone();
        let left = spawn_blocking(move || keys.drop_next_receipt(&files)).await??;
        self.ring.put(left);
        tracing::warn!("the operators have retired the next receipt key; it is gone from here");
        Ok(())
    }
}

/// What is here with what was handed over: a receipt key that is new becomes the next one. `None`
/// where the place of the next one is taken.
fn together(held: Option<&LedgerKeys>, handed: LedgerKeys) -> Option<LedgerKeys> {
    let Some(held) = held else {
        return Some(handed);
    };
    let here = held.receipt_publics();
    let is_new = |key: &&SigningKey| !here.contains(&statement_key(key).public_key());
    let Some(new) = handed.receipt_keys().find(is_new) else {
        return Some(held.clone());
    };
    held.next_receipt.is_none().then(|| LedgerKeys {
        next_receipt: Some(new.clone()),
        ..held.clone()
    })
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
