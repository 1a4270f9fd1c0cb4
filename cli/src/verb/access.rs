//! `aimslog access`: who from outside read your records.

use std::fmt::Write as _;

use aimslog_proto::aims::replay::Replay;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::system::{Access, AccessRead, OrganizationId, Payload as _};
use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::{counted, time};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::verb::registry::whole_log;
use crate::verb::runtime;

/// Show who from outside read your organisation's records.
#[derive(Debug, Args)]
pub(crate) struct AccessCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
}

/// List the reads of your organisation's records under engagements, in the order of the log
///
/// A node keeps each read before it answers, and the service logs them within seconds, in numbered
/// batches. The command takes every entry of the log and repeats every decision: that a batch is missing
/// would show. What a node does not tell cannot be seen here: that it tells everything is the operator's
/// word.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog access list --engagement stage-1")]
struct List {
    /// Only reads under this engagement
    #[arg(long, value_name = "ID")]
    engagement: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    organization: String,
    /// Only reads under this one are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    engagement: Option<String>,
    /// By all entries in front of this one.
    at: u64,
    reads: Vec<Read>,
}

#[derive(Serialize)]
struct Read {
    /// The entry that was read.
    entry: u64,
    engagement: String,
    /// The organisation that read.
    body: String,
    principal: String,
    /// By the clock of the node that answered.
    time: String,
    /// The entry of the log that tells it.
    logged_at: u64,
}

impl AccessCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        match &self.action {
            Action::List(list) => list.run(flags, output),
        }
    }
}

impl List {
    fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let organization = context.organization()?.to_owned();
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let mut replay = Replay::new();
        let mut found: Vec<(LeafIndex, AccessRead)> = Vec::new();
        let gather = |_: &Replay, index: LeafIndex, entry: &[u8]| {
            let statement = UnverifiedStatement::parse(entry)
                .map_err(|error| UserError::not_verified(error.to_string()))?;
            let header = statement.header();
            if header.content_type == Access::KIND.content_type() {
                let access = Access::decode(statement.payload())
                    .map_err(|error| UserError::not_verified(error.to_string()))?;
                let reads = access
                    .reads
                    .into_iter()
                    .filter(|read| self.wants(&organization, read));
                found.extend(reads.map(|read| (index, read)));
            }
            Ok(())
        };
        let at = runtime.block_on(whole_log(&ledger, output, &mut replay, gather))?;
        let registry = replay.registry();
        if let Some(wanted) = &self.engagement {
            let id = OrganizationId::new(&organization);
            let known = id.iter().flat_map(|id| registry.engagements_of(id));
            if !known
                .into_iter()
                .any(|row| row.engagement.as_str() == wanted)
            {
                return Err(UserError::usage(format!(
                    "--engagement {wanted}: {organization} has granted none of this id"
                )));
            }
        }
        let reads = found.into_iter().map(|(index, read)| {
            let engagement = registry.engagement(&read.organization, &read.engagement);
            Read {
                entry: read.entry.0,
                body: engagement.map_or_else(String::new, |row| row.grant.body.to_string()),
                engagement: read.engagement.to_string(),
                principal: read.principal.to_string(),
                time: time(read.time.0),
                logged_at: index.0,
            }
        });
        let listed = Listed {
            reads: reads.collect(),
            engagement: self.engagement.clone(),
            organization,
            at,
        };
        output.data(&listed, text(&listed))?;
        Ok(Exit::Ok)
    }

    fn wants(&self, organization: &str, read: &AccessRead) -> bool {
        let engagement = self.engagement.as_deref();
        read.organization.as_str() == organization
            && engagement.is_none_or(|wanted| wanted == read.engagement.as_str())
    }
}

fn text(listed: &Listed) -> String {
    let Listed {
        organization,
        engagement,
        at,
        reads,
    } = listed;
    if reads.is_empty() {
        let under = engagement.as_ref();
        let under = under.map_or_else(String::new, |id| format!(" under the engagement {id}"));
        return format!(
            "nobody from outside read records of {organization}{under} in {at} entries"
        );
    }
    let mut text = format!(
        "{:<8} {:<16} {:<16} {:<16} time",
        "entry", "engagement", "body", "principal"
    );
    for read in reads {
        // Writing to a string cannot fail.
        let _infallible = write!(
            text,
            "\n{:<8} {:<16} {:<16} {:<16} {}",
            read.entry, read.engagement, read.body, read.principal, read.time
        );
    }
    let _infallible = write!(text, "\n{} of {organization}", counted(reads.len(), "read"));
    text
}
