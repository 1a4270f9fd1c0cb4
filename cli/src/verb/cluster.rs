//! `aimslog cluster`: founds a cluster and shows how it is.

use std::fmt::Write as _;

use aimslog_client::admin::Cluster as AdminCluster;
use aimslog_client::{ClientError, Endpoints};
use aimslog_proto::pb::admin::v1::StatusResponse;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::replace::Replace;
use crate::verb::runtime;

/// Found a cluster, see how it is, move its lead, replace a node (operators).
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Found the cluster from the genesis that `aimslogd init` wrote; once, with all nodes running
    Init,
    /// How each node is: lead, log, heads, alarms
    Status,
    /// Hand the lead to another node, e.g. before maintenance
    MoveLeader {
        /// The node's number
        node: u64,
    },
    /// Build a snapshot on the node that answers, so that its raft log can be shortened
    Snapshot,
    Replace(Replace),
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
        let endpoints = context.admin_endpoints()?;
        match &self.action {
            Action::Init => {
                let cluster_id = AdminCluster::new(&endpoints)?.init().await?.to_string();
                let text = format!(
                    "the cluster is founded; its id is {cluster_id}\n\
                     next: aimslog org add, for each organisation that submits"
                );
                output.data(&Founded { cluster_id }, text)?;
                Ok(Exit::Ok)
            }
            Action::Status => status(&endpoints, output).await,
            Action::Replace(replace) => Box::pin(replace.run(context, output)).await,
            Action::MoveLeader { node } => {
                AdminCluster::new(&endpoints)?.move_leader(*node).await?;
                output.data(
                    &serde_json::json!({ "asked": node }),
                    format!("node {node} takes the lead"),
                )?;
                Ok(Exit::Ok)
            }
            Action::Snapshot => {
                let applied = AdminCluster::new(&endpoints)?.snapshot().await?;
                let data = serde_json::json!({ "applied_index": applied });
                output.data(&data, format!("snapshot up to raft log index {applied}"))?;
                Ok(Exit::Ok)
            }
        }
    }
}

/// Asks each node for itself, so that one that is cut off shows as what it is.
async fn status(endpoints: &Endpoints, output: Output) -> Result<Exit> {
    let mut nodes = Vec::new();
    for address in &endpoints.addresses {
        let deadline = endpoints.deadline.min(std::time::Duration::from_secs(5));
        let alone = Endpoints {
            addresses: vec![address.clone()],
            deadline,
            ..endpoints.clone()
        };
        nodes.push((address.clone(), AdminCluster::new(&alone)?.status().await));
    }
    let json: Vec<serde_json::Value> = nodes
        .iter()
        .map(|(address, answer)| json(address, answer))
        .collect();
    let reachable = nodes.iter().filter(|(_, answer)| answer.is_ok()).count();
    output.data(&json, table(&nodes)?)?;
    Ok(if reachable == 0 {
        Exit::Unreachable
    } else {
        Exit::Ok
    })
}

fn json(address: &str, answer: &Result<StatusResponse, ClientError>) -> serde_json::Value {
    match answer {
        Err(error) => serde_json::json!({ "admin_endpoint": address, "error": error.to_string() }),
        Ok(status) => serde_json::json!({
            "admin_endpoint": address,
            "node": status.node_id,
            "role": status.role,
            "leader": status.leader_id,
            "term": status.term,
            "raft_log": status.last_log_index,
            "applied": status.applied_index,
            "tree_size": status.tree_size,
            "published_size": status.published_size,
            "cosigned_size": status.cosigned_size,
            "verified_size": status.verified_size,
            "head_age_ms": status.head_age_ms,
            "version": status.version,
            "level": status.level,
            "alarms": status.alarms.iter()
                .map(|alarm| serde_json::json!({ "name": alarm.name, "detail": alarm.detail }))
                .collect::<Vec<_>>(),
        }),
    }
}

fn table(nodes: &[(String, Result<StatusResponse, ClientError>)]) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{:<24} {:>4} {:<10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "ADMIN ENDPOINT",
        "NODE",
        "ROLE",
        "TERM",
        "APPLIED",
        "TREE",
        "PUBLISHED",
        "COSIGNED",
        "HEAD AGE"
    )?;
    for (address, answer) in nodes {
        match answer {
            Err(error) => writeln!(text, "{address:<24} {error}")?,
            Ok(status) => {
                writeln!(
                    text,
                    "{:<24} {:>4} {:<10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>6}ms",
                    address,
                    status.node_id,
                    status.role,
                    status.term,
                    status.applied_index,
                    status.tree_size,
                    status.published_size,
                    status.cosigned_size,
                    status.head_age_ms
                )?;
                for alarm in &status.alarms {
                    writeln!(text, "    ALARM {}: {}", alarm.name, alarm.detail)?;
                }
            }
        }
    }
    Ok(text)
}
