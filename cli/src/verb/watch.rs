//! `aimslog watch`: follows the records of an organisation.

use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use clap::Args;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::Row;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::runtime;

/// Follow the records of your organisation as they are logged.
///
/// One line a record, with --json one JSON document a line. Goes on at another node when one goes
/// away, without repeating or leaving out a record. Ends with Ctrl-C, or after --count records.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog watch --from 0 --json | jq .kind")]
pub(crate) struct Watch {
    /// Index of the log to begin at [default: what comes from now on]
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Watch {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        runtime()?.block_on(self.follow(&context, output))
    }

    async fn follow(&self, context: &Context, output: Output) -> Result<Exit> {
        let ledger = context.ledger()?;
        let from = match self.from {
            Some(index) => LeafIndex(index),
            None => LeafIndex(ledger.checkpoint().await?.head().size.0),
        };
        let mut watch = ledger.watch(context.organization()?, from);
        if !output.is_json() {
            output.say(Row::titles());
        }
        let mut left = self.count;
        while left != Some(0) {
            let row = Row::of(&watch.next().await?)?;
            if !output.line(&row, row.to_string())? {
                break;
            }
            left = left.map(|left| left - 1);
        }
        Ok(Exit::Ok)
    }
}
