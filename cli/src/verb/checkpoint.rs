//! `aimslog checkpoint`: the newest head, verified and remembered.

use std::fmt::Write as _;
use std::path::PathBuf;

use aimslog_client::file::replace_file;
use aimslog_client::trust::{HeadMemory, SignedHead};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::Head;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::runtime;

/// The newest head of the log: checked, related to the one remembered, and remembered.
///
/// A head says how many entries the log has and fixes all of them. Whoever keeps one can tell later
/// that nothing before it was changed or removed: keep it with --save, somewhere the operator of the
/// ledger does not reach, and give it to `verify --since`, `prove consistency --since` or
/// `disclose --since`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog checkpoint --save 2026-11.checkpoint
         ... a year later ...
         aimslog verify audit.evidence.json --since 2026-11.checkpoint")]
pub(crate) struct Checkpoint {
    /// Write the signed head to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Serialize)]
struct Shown {
    head: Head,
    relation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<PathBuf>,
    checkpoint: String,
}

impl Checkpoint {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let memory = HeadMemory::open(&context.state_path("head.txt"), &context.policy()?)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.public_ledger()?;
        let head = runtime.block_on(ledger.checkpoint())?;
        if let Some(file) = &self.save {
            replace_file(file, head.note().as_bytes())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let shown = Shown {
            relation: relation(memory.newest(), &head),
            remembered_size: memory.newest().map(|head| head.head().size.0),
            head: Head::of(&head),
            saved: self.save.clone(),
            checkpoint: head.note().to_owned(),
        };
        output.data(&shown, text(&shown))?;
        Ok(Exit::Ok)
    }
}

/// How the head relates to the one remembered before. A fork is an error of the call already.
fn relation(remembered: Option<&SignedHead>, head: &SignedHead) -> &'static str {
    match remembered {
        None => "first",
        Some(remembered) if remembered.head().size == head.head().size => "same",
        Some(_) => "extends",
    }
}

fn text(shown: &Shown) -> String {
    let size = shown.remembered_size.unwrap_or_default();
    let relation = match shown.relation {
        "first" => "the first head that is remembered here".to_owned(),
        "same" => format!("nothing newer than the remembered head of {size} entries"),
        _ => {
            format!("extends the remembered head of {size} entries: nothing before it has changed")
        }
    };
    let mut text = format!("{}{relation}", shown.head);
    if let Some(file) = &shown.saved {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\nsaved in {}", file.display());
    }
    text
}
