//! The members of the cluster, as its leader sees them, and the two changes of a replacement.
//!
//! A node that was removed, or that has lost its memory, answers too, and knows nothing: so only the
//! word of the node that leads counts here.

use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_client::{ClientError, Endpoints};
use aimslog_proto::pb::admin::v1::{Member, StatusResponse};
use aimslog_proto::reason::Reason;
use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::records::NewNode;
use crate::exit::UserError;
use crate::verb::cluster::nodes::Nodes;

/// Between two looks at a learner that is catching up.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Asks each node alone, and waits for changes.
pub(super) struct Members {
    nodes: Nodes,
    patience: Duration,
}

impl Members {
    /// The cluster at these admin endpoints; each change may take so long.
    pub(super) fn new(endpoints: &Endpoints, patience: Duration) -> Result<Self> {
        Ok(Self {
            nodes: Nodes::new(endpoints)?,
            patience,
        })
    }

    /// Refuses what is not to be replaced: the node that leads, and a number that votes in this
    /// cluster no more or never did, unless the new node votes already and `begun` says that an
    /// earlier run of the same pair brought it there. Gives the old node's place where it has one.
    pub(super) async fn check_old(
        &self,
        old: u64,
        new: u64,
        begun: bool,
    ) -> Result<Option<Member>> {
        check_pair(&self.nodes.leader(self.patience).await?, (old, new), begun)
    }

    /// Lets the new node follow.
    pub(super) async fn learn(&self, cluster: &Cluster, new: &NewNode) -> Result<String> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(member) = find(&self.nodes.leader(self.patience).await?, new.id) {
                same_address(&member, new)?;
                return Ok(format!("node {} is a member", new.id));
            }
            let made = cluster.add_learner(new.id, &new.peer).await;
            self.pause(made, until).await?;
        }
    }

    /// Makes the learner a voter in the place of the old node. While it has not caught up, or lacks
    /// the keys of the ledger, that is refused; so it is asked again until the time is up.
    pub(super) async fn swap(&self, cluster: &Cluster, old: u64, new: u64) -> Result<String> {
        let until = Instant::now() + self.patience;
        loop {
            let now = self.nodes.leader(self.patience).await?;
            let votes = |id| find(&now, id).map(|member| member.voter);
            let made = match (votes(old), votes(new)) {
                (None, Some(true)) => return Ok(format!("node {new} votes in the place of {old}")),
                (Some(true), Some(false)) => cluster.replace(old, new).await,
                (Some(_), Some(true)) => cluster.remove(old).await,
                (None | Some(false), Some(false)) => {
                    return Err(UserError::refused(format!(
                        "node {old} votes no more, so node {new} has no place to take; did somebody \
                         else remove it? See `aimslog cluster status`"
                    )));
                }
                (_, None) => {
                    return Err(UserError::refused(format!(
                        "node {new} is no member any more; did somebody else remove it?"
                    )));
                }
            };
            self.pause(made, until).await?;
        }
    }

    /// What is not known is found out by looking, and what is not possible yet is asked again.
    async fn pause(&self, made: Result<(), ClientError>, until: Instant) -> Result<()> {
        let not_yet = match made {
            Ok(()) | Err(ClientError::OutcomeUnknown { .. }) => None,
            Err(ClientError::Refused(refusal)) if is_passing(refusal.reason) => {
                Some(ClientError::Refused(refusal))
            }
            Err(error) => return Err(error.into()),
        };
        if Instant::now() >= until {
            let late = || {
                let words = "the members did not change in time; repeat the command to go on";
                UserError::refused(words)
            };
            return Err(not_yet.map_or_else(late, Into::into));
        }
        sleep(LOOK_EVERY).await;
        Ok(())
    }
}

/// Whether a refusal says that the time has not come.
fn is_passing(reason: Option<Reason>) -> bool {
    matches!(reason, Some(Reason::FailedPrecondition | Reason::NotFound))
}

fn find(status: &StatusResponse, id: u64) -> Option<Member> {
    let mut members = status.members.iter();
    members.find(|member| member.node_id == id).cloned()
}

fn check_pair(
    leader: &StatusResponse,
    (old, new): (u64, u64),
    begun: bool,
) -> Result<Option<Member>> {
    if leader.node_id == old {
        return Err(UserError::usage(format!(
            "node {old} leads the cluster, so it is not gone; `aimslog cluster move-leader` first"
        )));
    }
    let member = find(leader, old);
    let votes = |id| find(leader, id).is_some_and(|member| member.voter);
    if votes(old) || (member.is_none() && votes(new) && begun) {
        return Ok(member);
    }
    let voters = leader.members.iter().filter(|member| member.voter);
    let voters: Vec<String> = voters.map(|member| member.node_id.to_string()).collect();
    Err(UserError::usage(format!(
        "OLD: node {old} must be a voter of the cluster, and is none; the voters are {}; nothing was \
         changed",
        voters.join(", ")
    )))
}

/// A member of this number at another address is another node.
fn same_address(member: &Member, new: &NewNode) -> Result<()> {
    if member.address == new.peer {
        return Ok(());
    }
    Err(UserError::usage(format!(
        "node {} is a member at {}, not at {}: a node id is never used twice",
        new.id, member.address, new.peer
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led_by_one(voters: &[u64], learners: &[u64]) -> StatusResponse {
        let member = |node_id: &u64, voter| Member {
            node_id: *node_id,
            voter,
            ..Member::default()
        };
        let voters = voters.iter().map(|id| member(id, true));
        let learners = learners.iter().map(|id| member(id, false));
        StatusResponse {
            node_id: 1,
            members: voters.chain(learners).collect(),
            ..StatusResponse::default()
        }
    }

    #[test]
    fn only_a_voter_is_replaced_or_one_that_a_cut_off_run_took_out() {
        let (fresh, half, after) = (
            led_by_one(&[1, 2, 3], &[]),
            led_by_one(&[1, 2, 3], &[4]),
            led_by_one(&[1, 3, 4], &[]),
        );
        for (what, status, old, begun, good) in [
            ("a voter", &fresh, 2, false, true),
            ("a voter, cut off before the swap", &half, 2, true, true),
            ("cut off after the swap", &after, 2, true, true),
            (
                "gone, and no run of this pair began",
                &after,
                2,
                false,
                false,
            ),
            ("never a member", &fresh, 9, false, false),
            ("never a member, whatever is kept", &fresh, 9, true, false),
            ("a learner", &half, 4, true, false),
            ("the leader", &fresh, 1, true, false),
        ] {
            let checked = check_pair(status, (old, 4), begun);
            assert_eq!(checked.is_ok(), good, "{what}: {checked:?}");
        }
        let refused = check_pair(&fresh, (9, 4), true).unwrap_err().to_string();
        assert!(refused.contains("the voters are 1, 2, 3"), "{refused}");
    }
}
