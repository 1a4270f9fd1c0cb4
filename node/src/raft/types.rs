//! The words of the interface: position, vote, member, status.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use tokio::time::Instant;

/// Where an entry stands in the Raft log.
///
/// Ordered by term, leader, index, as Raft orders log ids. Two entries at one index differ in term
/// or leader, and then at most one of them was ever committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The term of the leader that proposed the entry.
    pub term: u64,
    /// The node id of that leader.
    pub leader: u64,
    /// Counted from 0.
    pub index: u64,
}

/// The newest vote of a node: the highest term it knows, for whom it voted in it, and whether that
/// candidate is known to have won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vote {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

/// How a member is reached and called. The id stands beside it and is never used twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// `host:port` of the peer listener.
    pub addr: String,
    /// The cosigner name, `<origin>/node/<id>`.
    pub name: String,
}

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

impl Status {
    /// True while this node leads and a quorum followed it within `age`.
    pub fn leads_within(&self, age: std::time::Duration, now: Instant) -> bool {
        self.role == Role::Leader
            && self
                .last_quorum_ack
                .is_some_and(|ack| now.saturating_duration_since(ack) <= age)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.term, self.leader, self.index)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.committed { "won" } else { "asked" };
        write!(f, "{}-{} {state}", self.term, self.node)
    }
}
