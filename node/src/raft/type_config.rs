//! What openraft's type parameters are here, and the way between its types and ours.

use std::{collections::BTreeMap, fmt, io};

use bytes::Bytes;
use openraft::{
    EntryPayload,
    type_config::alias::{LeaderIdOf, LogIdOf, StoredMembershipOf, VoteOf},
    vote::RaftLeaderId,
};

use super::types::{Member, Position, Vote};
use crate::store::raft_codec::{Members, Record, RecordKind, StoredMembers};

openraft::declare_raft_types!(
    /// Commands and outcomes are opaque bytes; leader ids are (term, node id).
    pub(crate) TypeConfig:
        D = CommandBytes,
        R = Bytes,
        NodeId = u64,
        Node = Member,
);

pub(crate) type LogId = LogIdOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type RaftVote = VoteOf<TypeConfig>;
pub(crate) type StoredMembership = StoredMembershipOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, Member>;

/// The bytes of one command. Printed as its length, so that no log line holds a body.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CommandBytes(pub(crate) Bytes);

pub(crate) fn position_of(id: &LogId) -> Position {
    Position {
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn log_id_of(position: Position) -> LogId {
    let leader = LeaderIdOf::<TypeConfig>::new(position.term, position.leader);
    LogId::new(leader.to_committed(), position.index)
}

pub(crate) fn vote_of(vote: &RaftVote) -> Vote {
    Vote {
        term: vote.leader_id.term,
        node: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(crate) fn raft_vote_of(vote: Vote) -> RaftVote {
    if vote.committed {
        RaftVote::new_committed(vote.term, vote.node)
    } else {
        RaftVote::new(vote.term, vote.node)
    }
}

pub(crate) fn record_of(entry: Entry) -> Record {
    let kind = match entry.payload {
        EntryPayload::Blank => RecordKind::Blank,
        EntryPayload::Normal(command) => RecordKind::Command(command.0),
        EntryPayload::Membership(membership) => RecordKind::Members(members_of(&membership)),
    };
    Record {
        position: position_of(&entry.log_id),
        kind,
    }
}

/// Fails for members that no Raft group can have, for example voters without an address.
pub(crate) fn entry_of(record: Record) -> Result<Entry, io::Error> {
    let payload = match record.kind {
        RecordKind::Blank => EntryPayload::Blank,
        RecordKind::Command(bytes) => EntryPayload::Normal(CommandBytes(bytes)),
        RecordKind::Members(members) => EntryPayload::Membership(membership_of(members)?),
    };
    Ok(Entry {
        log_id: log_id_of(record.position),
        payload,
    })
}

pub(crate) fn members_of(membership: &Membership) -> Members {
    Members {
        voters: membership.get_joint_config().clone(),
        members: membership
            .nodes()
            .map(|(id, member)| (*id, member.clone()))
            .collect(),
    }
}

fn membership_of(members: Members) -> Result<Membership, io::Error> {
    let nodes: BTreeMap<u64, Member> = members.members;
    if members.voters.is_empty() && nodes.is_empty() {
        // What a group has before it is initialized; openraft's constructor refuses it.
        return Ok(Membership::default());
    }
    Membership::new(members.voters, nodes).map_err(io::Error::other)
}

pub(crate) fn stored_membership_of(stored: StoredMembers) -> Result<StoredMembership, io::Error> {
    let membership = membership_of(stored.members)?;
    Ok(StoredMembership::new(
        stored.position.map(log_id_of),
        membership,
    ))
}

impl fmt::Debug for CommandBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

impl fmt::Display for CommandBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
