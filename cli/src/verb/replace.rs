//! `aimslog cluster replace`: a new node in the place of one that is gone.
//!
//! Each step looks whether it is done already, and each signed record is kept before it is sent, so
//! that the same command, repeated, goes on where it stopped.

mod records;

use std::path::PathBuf;
use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_client::{ClientError, clock};
use aimslog_proto::pb::admin::v1::StatusResponse;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keyfile;
use crate::output::Output;
use crate::verb::prove::write;
use records::{NewNode, Outcome, Records};

/// Between two looks at a learner that is catching up.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Put a new node in the place of one that is gone
///
/// Removes the old node, admits the new one by a record that the operators sign, lets it catch up,
/// makes it a voter, and logs the policy in which its key stands in the place of the old one. A node
/// id is never used twice. Repeat the command if it was cut off: it goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslogd add-node --from aimslog-cluster --like n1 --node n4=10.0.0.4:7000 --id 4 --replaces 2
         (copy the folder n4 to its machine, start it, then)
         aimslog cluster replace 2 n4/node.toml --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct Replace {
    /// Number of the node that is gone
    old: u64,
    /// What `aimslogd add-node` wrote about the new node
    #[arg(value_name = "NODE.toml")]
    new: PathBuf,
    /// Seed file of an operator; as many as genesis asks for
    #[arg(long, required = true, value_name = "FILE")]
    operator_key: Vec<PathBuf>,
    /// Where to write the new policy, which everybody who verifies needs
    #[arg(long, value_name = "FILE", default_value = "policy-new.txt")]
    policy_out: PathBuf,
    /// Seconds that the new node may take to catch up
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
}

#[derive(Serialize)]
struct Replaced {
    old: u64,
    new: u64,
    steps: Vec<String>,
    policy: PathBuf,
}

impl Replace {
    pub(crate) async fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let new = NewNode::read(&self.new)?;
        if new.id == self.old {
            return Err(UserError::usage(
                "a node id is never used twice: the new node needs its own",
            ));
        }
        let keys = self
            .operator_key
            .iter()
            .map(|path| keyfile::load(path))
            .collect::<Result<Vec<_>>>()?;
        let cluster = Cluster::new(&context.admin_endpoints()?)?;
        let folder = context.state_path(&format!("replace-{}-{}", self.old, new.id));
        let records = Records::new(context, &keys, folder);
        let mut steps = Steps::new(output);
        steps.done(self.remove_member(&cluster).await?);
        for (name, outcome) in [
            (
                format!("node {} admitted", new.id),
                records.admit(&cluster, &new, clock::unix_seconds()).await?,
            ),
            (
                format!("node {} removed for ever", self.old),
                records
                    .remove(&cluster, self.old, clock::unix_seconds())
                    .await?,
            ),
        ] {
            steps.done(format!("{name}: {outcome}"));
        }
        steps.done(self.learn(&cluster, &new).await?);
        steps.done(self.promote(&cluster, &new).await?);
        let (texts, outcome) = records.policy(&cluster, self.old, &new).await?;
        steps.done(format!(
            "policy names node {} instead of {}: {outcome}",
            new.id, self.old
        ));
        let policy = write(&self.policy_out, texts.trust.as_bytes())?;
        let text = format!(
            "node {} stands in the place of node {}\nthe new policy is in {}: give it to everybody \
             who verifies, and compare its fingerprint",
            new.id,
            self.old,
            policy.display()
        );
        let data = Replaced {
            old: self.old,
            new: new.id,
            steps: steps.said,
            policy,
        };
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }

    async fn remove_member(&self, cluster: &Cluster) -> Result<String> {
        let status = cluster.status().await?;
        if member(&status, self.old).is_none() {
            return Ok(format!("node {} is no member any more", self.old));
        }
        if status.leader_id == self.old {
            return Err(UserError::usage(format!(
                "node {} leads the cluster, so it is not gone; `aimslog cluster move-leader` first",
                self.old
            )));
        }
        settle(cluster.remove(self.old).await)?;
        self.wait_until(cluster, |status| member(status, self.old).is_none())
            .await?;
        Ok(format!("node {} left the cluster", self.old))
    }

    async fn learn(&self, cluster: &Cluster, new: &NewNode) -> Result<String> {
        if member(&cluster.status().await?, new.id).is_some() {
            return Ok(format!("node {} is a member already", new.id));
        }
        settle(cluster.add_learner(new.id, &new.peer).await)?;
        self.wait_until(cluster, |status| member(status, new.id).is_some())
            .await?;
        Ok(format!("node {} learns", new.id))
    }

    /// A learner that has not caught up is refused; so it is asked again until the time is up.
    async fn promote(&self, cluster: &Cluster, new: &NewNode) -> Result<String> {
        let until = Instant::now() + Duration::from_secs(self.wait);
        loop {
            if member(&cluster.status().await?, new.id) == Some(true) {
                return Ok(format!("node {} votes", new.id));
            }
            let refused = match settle(cluster.promote(new.id).await) {
                Ok(()) => None,
                Err(error @ ClientError::Refused(_)) => Some(error),
                Err(error) => return Err(error.into()),
            };
            if Instant::now() >= until {
                let late = || UserError::refused("the node did not become a voter in time");
                return Err(refused.map_or_else(late, Into::into));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn wait_until(
        &self,
        cluster: &Cluster,
        done: impl Fn(&StatusResponse) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(self.wait);
        while !done(&cluster.status().await?) {
            if Instant::now() >= until {
                return Err(UserError::refused(
                    "the membership did not change in time; repeat the command to go on",
                ));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Whether a node votes, if it is a member.
fn member(status: &StatusResponse, id: u64) -> Option<bool> {
    let member = status.members.iter().find(|member| member.node_id == id);
    member.map(|member| member.voter)
}

/// What is not known is found out by looking.
fn settle(result: Result<(), ClientError>) -> Result<(), ClientError> {
    match result {
        Err(ClientError::OutcomeUnknown { .. }) => Ok(()),
        other => other,
    }
}

struct Steps {
    output: Output,
    said: Vec<String>,
}

impl Steps {
    fn new(output: Output) -> Self {
        Self {
            output,
            said: Vec::new(),
        }
    }

    fn done(&mut self, step: String) {
        self.output.say(&step);
        self.said.push(step);
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Logged(index) => write!(f, "logged at index {index}"),
            Self::Before => f.write_str("done before"),
        }
    }
}
