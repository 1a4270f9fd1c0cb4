//! `aimslog cluster`: founds a cluster and shows how it is.

mod lead;
pub(crate) mod nodes;
mod status;

use aimslog_client::admin::Cluster as AdminCluster;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::replace::Replace;
use crate::verb::rotate::{RotateLogKey, RotateNode, RotateReceiptKey};
use crate::verb::runtime;

/// Found a cluster, see how it is, move its lead, replace a node, change its keys (operators).
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Found the cluster from the genesis that `aimslogd init` wrote; once, with all nodes running
    Init,
    /// How each node is: lead, log, heads, keys, alarms
    ///
    /// Asks every admin endpoint at once, and names the members of the cluster that answered at none.
    /// Exit code 0: all is well; 3: a node does not answer, or the others do not hear it; 1: all
    /// answer, and one has an alarm.
    Status,
    /// Hand the lead to another node, e.g. before maintenance
    ///
    /// Ends well when that node says that it leads; otherwise says why it does not, with exit code 4.
    MoveLeader {
        /// The node's number
        node: u64,
    },
    /// Build a snapshot on the node that answers, so that its raft log can be shortened
    Snapshot,
    Replace(Replace),
    RotateNode(RotateNode),
    RotateReceiptKey(RotateReceiptKey),
    RotateLogKey(RotateLogKey),
}

#[derive(Serialize)]
struct Founded {
    cluster_id: String,
}

impl Cluster {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        runtime()?.block_on(self.act(&context, output))
    }

    async fn act(&self, context: &Context, output: Output) -> Result<Exit> {
        // Each asks for its endpoints itself: some read what is to be signed before.
        match &self.action {
            Action::Init => {
                let cluster = AdminCluster::new(&context.admin_endpoints()?)?;
                let cluster_id = cluster.init().await?.to_string();
                let text = format!(
                    "the cluster is founded; its id is {cluster_id}\n\
                     next: aimslog org add, for each organisation that submits"
                );
                output.data(&Founded { cluster_id }, text)?;
                Ok(Exit::Ok)
            }
            Action::Status => status::run(&context.admin_endpoints()?, output).await,
            Action::Replace(replace) => Box::pin(replace.run(context, output)).await,
            Action::RotateNode(rotate) => Box::pin(rotate.run(context, output)).await,
            Action::RotateReceiptKey(rotate) => Box::pin(rotate.run(context, output)).await,
            Action::RotateLogKey(rotate) => Box::pin(rotate.run(context, output)).await,
            Action::MoveLeader { node } => {
                lead::run(&context.admin_endpoints()?, *node, output).await
            }
            Action::Snapshot => {
                let cluster = AdminCluster::new(&context.admin_endpoints()?)?;
                let applied = cluster.snapshot().await?;
                let data = serde_json::json!({ "applied_index": applied });
                output.data(&data, format!("snapshot up to raft log index {applied}"))?;
                Ok(Exit::Ok)
            }
        }
    }
}
