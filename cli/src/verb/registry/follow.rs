//! `aimslog registry watch`: registry statements as they are logged.

use std::time::Duration;

use aimslog_client::{ClientError, Entries, EntryPage};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::runtime;

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(1);

/// Follow registry statements as they are logged.
///
/// One line a statement, with --json one JSON document a line: what changed of organisations,
/// principals, roles, nodes, policies and keys. It is the word of the node that answers; `registry
/// replay` checks all of it. Ends with Ctrl-C, or after --count statements.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog registry watch --from 0 --json | jq .subject")]
pub(crate) struct Follow {
    /// Index of the log to begin at [default: what comes from now on]
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// End after so many statements
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Row {
    index: u64,
    kind: String,
    subject: String,
    signed_by: String,
}

impl Follow {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        runtime()?.block_on(self.follow(&context, output))
    }

    async fn follow(&self, context: &Context, output: Output) -> Result<Exit> {
        let ledger = context.ledger()?;
        let mut next = match self.from {
            Some(index) => LeafIndex(index),
            None => LeafIndex(ledger.checkpoint().await?.head().size.0),
        };
        let mut left = self.count;
        loop {
            let page = match ledger.unverified_entries(next, Entries::System).await {
                Ok(page) => page,
                // Nothing new yet.
                Err(ClientError::Refused(refusal))
                    if refusal.reason == Some(Reason::BeyondTree) =>
                {
                    EntryPage {
                        entries: Vec::new(),
                        next: None,
                    }
                }
                Err(error) => return Err(error.into()),
            };
            for (index, entry) in page.entries {
                if left == Some(0) {
                    return Ok(Exit::Ok);
                }
                let row = row(index, &entry)?;
                let text = format!("{:>8}  {:<20} {}", row.index, row.kind, row.subject);
                if !output.line(&row, text)? {
                    return Ok(Exit::Ok);
                }
                next = LeafIndex(index.0.saturating_add(1));
                left = left.map(|left| left.saturating_sub(1));
            }
            if left == Some(0) {
                return Ok(Exit::Ok);
            }
            if page.next.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn row(index: LeafIndex, entry: &[u8]) -> Result<Row> {
    let statement = UnverifiedStatement::parse(entry)?;
    let header = statement.header();
    Ok(Row {
        index: index.0,
        kind: format!("ledger.{}", header.content_type.kind()),
        subject: header.subject.clone(),
        signed_by: header.key.to_string(),
    })
}
