//! The words of the interface: position, vote, member, status.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::time::Instant;

pub use crate::store::raft_codec::{Member, Position, Vote};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Replicates, does not vote.
    Learner,
    Follower,
    Candidate,
    Leader,
    /// The core has stopped, by shutdown or by a fatal error.
    Stopped,
}

/// What a node knows about its Raft group right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub id: u64,
    pub role: Role,
    pub vote: Vote,
    /// The leader as this node knows it, itself included.
    pub leader: Option<u64>,
    /// The index of the last entry in the log, flushed or not.
    pub last_log: Option<u64>,
    /// The last entry that is synced to this node's own disk.
    pub flushed: Option<Position>,
    /// The newest entry known to be committed by a quorum.
    pub committed: Option<Position>,
    /// The last entry applied to this node's machine. May be ahead of `flushed`.
    pub applied: Option<Position>,
    /// The last entry contained in the newest snapshot.
    pub snapshot: Option<Position>,
    /// The last entry removed from the log.
    pub purged: Option<Position>,
    pub voters: BTreeSet<u64>,
    pub learners: BTreeSet<u64>,
    pub members: BTreeMap<u64, Member>,
    /// On a leader: the newest instant at which a quorum is known to have followed it.
    pub last_quorum_ack: Option<Instant>,
    /// On a leader: how far each member's log is known to agree with its own.
    pub matched: BTreeMap<u64, Option<Position>>,
}

/// A committed command with what the machine answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub position: Position,
    /// The outcome that the machine on this node gave; the same on every node.
    pub outcome: Bytes,
}
