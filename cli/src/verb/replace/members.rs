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

/// Between two looks at a learner that is catching up.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long one node may take to say how it is.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Asks each node alone, and waits for changes.
pub(super) struct Members {
    nodes: Vec<Cluster>,
    patience: Duration,
}

impl Members {
    /// The cluster at these admin endpoints; each change may take so long.
    pub(super) fn new(endpoints: &Endpoints, patience: Duration) -> Result<Self> {
        let alone = |address: &String| {
            Cluster::new(&Endpoints {
                addresses: vec![address.clone()],
                deadline: endpoints.deadline.min(ANSWER_MAX),
                ..endpoints.clone()
            })
        };
        let nodes = endpoints.addresses.iter().map(alone);
        Ok(Self {
            nodes: nodes.collect::<Result<_, ClientError>>()?,
            patience,
        })
    }

    /// Refuses to replace the node that leads.
    pub(super) async fn check_old(&self, old: u64) -> Result<()> {
        if self.leader().await?.node_id == old {
            return Err(UserError::usage(format!(
                "node {old} leads the cluster, so it is not gone; `aimslog cluster move-leader` first"
            )));
        }
        Ok(())
    }

    /// Lets the new node follow.
    pub(super) async fn learn(&self, cluster: &Cluster, new: &NewNode) -> Result<String> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(member) = find(&self.leader().await?, new.id) {
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
            let leader = self.leader().await?;
            let votes = |id| find(&leader, id).map(|member| member.voter);
            let made = match (votes(old), votes(new)) {
                (None, Some(true)) => return Ok(format!("node {new} votes in the place of {old}")),
                (Some(true), Some(false)) => cluster.replace(old, new).await,
                (Some(_), Some(true)) => cluster.remove(old).await,
                (_, Some(false)) => cluster.promote(new).await,
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

    /// How the leader is; waits for one where there is none.
    async fn leader(&self) -> Result<StatusResponse> {
        let until = Instant::now() + self.patience;
        loop {
            let mut last = None;
            for node in &self.nodes {
                match node.status().await {
                    Ok(status) if status.role == "leader" => return Ok(status),
                    Ok(_) => {}
                    Err(error) => last = Some(error),
                }
            }
            if Instant::now() >= until {
                let none = || UserError::refused("no node of the admin endpoints leads");
                return Err(last.map_or_else(none, Into::into));
            }
            sleep(LOOK_EVERY).await;
        }
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
