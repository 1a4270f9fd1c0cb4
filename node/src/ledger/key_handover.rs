//! How a node that joins gets log, receipt and service key: it asks a voter over the peer listener.
//!
//! A certificate of the cluster is not enough. The voter first hears from a quorum who is a member
//! now, and hands the keys to a node that is one and that the operators admitted by a record. The
//! receiver holds them against the public keys that its own copy of the log names, stores them, and
//! only then may lead.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use super::alarms::Alarms;
use super::exchange_client::PeerClients;
use super::machine::Ledger;
use super::roster::{Roster, Seat};
use crate::config::KeyFiles;
use crate::identity::{KeyRing, LedgerKeys, PublicKeys};
use crate::raft::{Consensus, ReadError, Status};

/// How long a voter waits for word of a quorum before it says that it does not know the members.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two rounds of asking.
const ASK_EVERY: Duration = Duration::from_secs(1);

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
            let keys = self.ring.keys().ok_or(KeysRefused::NotHere)?.clone();
            tracing::warn!(
                to,
                "log, receipt and service key are handed to a new member"
            );
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
    /// Says that they are here.
    pub alarms: Alarms,
}

/// Asks voter after voter, once this node is an admitted member by its own copy of the log, until
/// the keys are here.
pub async fn run(seeker: Seeker, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            got = seeker.ask_all() => if got { return },
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(ASK_EVERY) => {}
        }
    }
}

impl Seeker {
    async fn ask_all(&self) -> bool {
        let status = self.consensus.status().borrow().clone();
        if !status.members.contains_key(&self.node) || self.ledger.seat(self.node) != Seat::Admitted
        {
            return false;
        }
        for peer in in_turn(&status) {
            if self.ask(peer).await {
                return true;
            }
        }
        false
    }

    async fn ask(&self, peer: u64) -> bool {
        let keys = match self.peers.ledger_keys(peer).await {
            Ok(keys) => keys,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(peer, error, "the keys of the ledger were not handed over");
                return false;
            }
        };
        let Some(expected) = PublicKeys::of(&self.ledger.registry()) else {
            return false;
        };
        let foreign = expected.foreign(&keys);
        if !foreign.is_empty() {
            let which: Vec<&str> = foreign.iter().map(|key| key.what).collect();
            tracing::error!(
                peer,
                ?which,
                "a voter handed over other keys than the log names"
            );
            return false;
        }
        let (files, stored) = (self.files.clone(), keys.clone());
        match spawn_blocking(move || stored.store(&files)).await {
            Ok(Ok(())) => {
                self.ring.put(keys);
                self.alarms.keys_are_here();
                tracing::info!(peer, "log, receipt and service key are here");
                true
            }
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the keys of the ledger cannot be stored");
                false
            }
            Err(error) => {
                tracing::error!(%error, "storing the keys did not end");
                false
            }
        }
    }
}

/// The other voters, the leader first: it surely hears a quorum.
fn in_turn(status: &Status) -> Vec<u64> {
    let leader = status.leader.filter(|leader| *leader != status.id);
    let others = status.voters.iter().copied();
    let others = others.filter(|id| *id != status.id && Some(*id) != leader);
    leader.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Member, Role, Vote};
    use aimslog_proto::tlog::LeafIndex;

    fn status(voters: &[u64], learners: &[u64]) -> Status {
        let member = |id: &u64| {
            let member = Member {
                addr: "127.0.0.1:1".to_owned(),
                name: format!("n{id}"),
            };
            (*id, member)
        };
        Status {
            id: 1,
            role: Role::Follower,
            vote: Vote {
                term: 1,
                node: 3,
                committed: true,
            },
            leader: Some(3),
            last_log: None,
            flushed: None,
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            voters: voters.iter().copied().collect(),
            learners: learners.iter().copied().collect(),
            members: voters.iter().chain(learners).map(member).collect(),
            last_quorum_ack: None,
            matched: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn only_an_admitted_member_gets_the_keys() {
        let cluster = status(&[1, 2, 3], &[4]);
        let refused = Err(KeysRefused::NotAMember { node: 4 });
        let other = Err(KeysRefused::NotAMember { node: 5 });
        let rows = [
            ("learner", &cluster, 4, Seat::Admitted, Ok(())),
            ("voter", &cluster, 2, Seat::Admitted, Ok(())),
            (
                "member that no record admits",
                &cluster,
                4,
                Seat::None,
                refused.clone(),
            ),
            (
                "member that a record removed",
                &cluster,
                4,
                Seat::Removed(LeafIndex(9)),
                refused,
            ),
            ("certificate alone", &cluster, 5, Seat::None, other.clone()),
            (
                "admitted, no member yet",
                &cluster,
                5,
                Seat::Admitted,
                other,
            ),
            (
                "asked of a learner",
                &status(&[2, 3], &[1, 4]),
                4,
                Seat::Admitted,
                Err(KeysRefused::NoVoter),
            ),
        ];
        for (what, status, node, seat, expected) in rows {
            assert_eq!(may_have(node, status, seat), expected, "{what}");
        }
    }

    #[test]
    fn the_leader_is_asked_first_and_nobody_twice() {
        assert_eq!(in_turn(&status(&[1, 2, 3], &[4])), [3, 2]);
    }
}
