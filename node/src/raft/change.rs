//! Changes of the group: members, leader, snapshots.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{
    ChangeMembers, Precondition,
    async_runtime::watch::WatchReceiver,
    errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError},
};

use super::{
    consensus::Consensus,
    type_config::{LogId, TypeConfig},
    types::{Member, Role, Status},
};

type Change = ChangeMembers<u64, Member>;

/// How many entries a learner may lack when it is promoted: fewer than what one second of load
/// adds, so that the group does not wait for it.
const LAG_MAX: u64 = 1_000;

/// Why a change of the group was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    #[error("this node does not lead; the leader is {leader:?}")]
    NotLeader { leader: Option<u64> },
    #[error("another change of the members is under way")]
    InProgress,
    #[error("the group has members already")]
    Initialized,
    #[error("node {id} is not a member")]
    NotMember { id: u64 },
    #[error("node {id} is a voter already")]
    AlreadyVoter { id: u64 },
    #[error("node id {id} is taken by another address")]
    IdTaken { id: u64 },
    #[error("learner {id} lacks {lag:?} entries, at most {LAG_MAX} may be missing")]
    NotCaughtUp { id: u64, lag: Option<u64> },
    #[error("node {id} leads; hand over before it is removed")]
    Leads { id: u64 },
    #[error("{left} voters would be left; a group has 1, 3 or more")]
    TooFewVoters { left: usize },
    #[error("the outcome is unknown: the leader changed meanwhile")]
    Unknown,
    #[error("raft has stopped on this node")]
    Stopped,
}

impl Consensus {
    /// Starts a new group with these voters. On one node, once in the life of a cluster.
    pub async fn initialize(&self, members: BTreeMap<u64, Member>) -> Result<(), ChangeError> {
        let id = self.inner.id;
        self.inner
            .raft
            .initialize(members)
            .await
            .map_err(|error| match error {
                RaftError::APIError(InitializeError::NotAllowed(_)) => ChangeError::Initialized,
                RaftError::APIError(InitializeError::NotInMembers(_)) => {
                    ChangeError::NotMember { id }
                }
                RaftError::Fatal(_) => ChangeError::Stopped,
            })
    }

    /// Lets a new node follow. Returns when the change is committed, not when the node has caught
    /// up; see [`Status::matched`]. The id must never have been used before.
    pub async fn add_learner(&self, id: u64, member: Member) -> Result<(), ChangeError> {
        match self.status().borrow().members.get(&id) {
            Some(held) if *held == member => return Ok(()),
            Some(_other) => return Err(ChangeError::IdTaken { id }),
            None => {}
        }
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, member)])))
            .await
    }

    /// Makes a learner that has caught up a voter.
    pub async fn promote(&self, id: u64) -> Result<(), ChangeError> {
        let status = self.status().borrow().clone();
        caught_up(&status, id)?;
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])))
            .await
    }

    /// Removes a voter or a learner. Refuses to remove the leader, and to leave two voters, which
    /// would tolerate no failure; use [`Consensus::replace`] for those.
    pub async fn remove(&self, id: u64) -> Result<(), ChangeError> {
        let status = self.status().borrow().clone();
        if !status.members.contains_key(&id) {
            return Err(ChangeError::NotMember { id });
        }
        if status.leader == Some(id) {
            return Err(ChangeError::Leads { id });
        }
        if !status.voters.contains(&id) {
            return self
                .change(ChangeMembers::RemoveNodes(BTreeSet::from([id])))
                .await;
        }
        let left = status.voters.len().saturating_sub(1);
        if matches!(left, 0 | 2) {
            return Err(ChangeError::TooFewVoters { left });
        }
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])))
            .await
    }

    /// Puts the learner `new`, which has caught up, in the place of the voter `old`, in one step.
    pub async fn replace(&self, old: u64, new: u64) -> Result<(), ChangeError> {
        let status = self.status().borrow().clone();
        if !status.voters.contains(&old) {
            return Err(ChangeError::NotMember { id: old });
        }
        if status.leader == Some(old) {
            return Err(ChangeError::Leads { id: old });
        }
        caught_up(&status, new)?;
        let add = ChangeMembers::AddVoterIds(BTreeSet::from([new]));
        let remove = ChangeMembers::RemoveVoters(BTreeSet::from([old]));
        self.change(ChangeMembers::Batch(vec![add, remove])).await
    }

    /// Asks the leader, this node, to hand over to `to`. Returns when the request was made; whether
    /// it succeeds shows in the status. To itself it hands nothing over: raft would stop leading for
    /// an election that anybody may win.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), ChangeError> {
        let status = self.status().borrow().clone();
        if status.role != Role::Leader {
            return Err(ChangeError::NotLeader {
                leader: status.leader,
            });
        }
        if !status.voters.contains(&to) {
            return Err(ChangeError::NotMember { id: to });
        }
        if to == status.id {
            return Ok(());
        }
        let asked = self.inner.raft.trigger().transfer_leader(to).await;
        asked.map_err(|_stopped| ChangeError::Stopped)
    }

    /// Starts making a snapshot, and removes from the log what it holds; both show in the status when
    /// they are done.
    pub fn shorten_log(&self) -> Result<(), ChangeError> {
        if self.status().borrow().role == Role::Stopped {
            return Err(ChangeError::Stopped);
        }
        self.inner.shorten.notify_one();
        Ok(())
    }

    /// Makes the change if nobody else has changed the members since this node last looked.
    async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let before = {
            let metrics = self.inner.raft.metrics();
            metrics
                .borrow_watched()
                .membership_config
                .log_id()
                .as_ref()
                .copied()
        };
        let unchanged = precondition(before);
        let done = self
            .inner
            .raft
            .change_membership_if(change, false, [unchanged])
            .await;
        done.map(|_response| ()).map_err(change_error)
    }
}

fn precondition(last_membership_log_id: Option<LogId>) -> Precondition<TypeConfig> {
    Precondition::LastMembershipLogId {
        last_membership_log_id,
    }
}

fn caught_up(status: &Status, id: u64) -> Result<(), ChangeError> {
    if status.role != Role::Leader {
        return Err(ChangeError::NotLeader {
            leader: status.leader,
        });
    }
    if status.voters.contains(&id) {
        return Err(ChangeError::AlreadyVoter { id });
    }
    if !status.learners.contains(&id) {
        return Err(ChangeError::NotMember { id });
    }
    let matched = status.matched.get(&id).copied().flatten();
    let lag = matched.map(|at| status.last_log.unwrap_or(0).saturating_sub(at.index));
    match lag {
        Some(lag) if lag <= LAG_MAX => Ok(()),
        _ => Err(ChangeError::NotCaughtUp { id, lag }),
    }
}

fn change_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ChangeError {
    let error = match error {
        RaftError::Fatal(_) => return ChangeError::Stopped,
        RaftError::APIError(error) => error,
    };
    match error {
        ClientWriteError::ForwardToLeader(to) => ChangeError::NotLeader {
            leader: to.leader_id,
        },
        ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
        ClientWriteError::PreconditionFailed(_) => ChangeError::InProgress,
        ClientWriteError::ChangeMembershipError(error) => match error {
            ChangeMembershipError::InProgress(_)
            | ChangeMembershipError::UncommittedLeaderLog(_)
            | ChangeMembershipError::UnsupportedMembershipTransition(_) => ChangeError::InProgress,
            ChangeMembershipError::EmptyMembership(_) => ChangeError::TooFewVoters { left: 0 },
            ChangeMembershipError::LearnerNotFound(missing) => ChangeError::NotMember {
                id: missing.node_id,
            },
            ChangeMembershipError::NodeMetadataChanged(changed) => ChangeError::IdTaken {
                id: changed.node_id,
            },
        },
    }
}
