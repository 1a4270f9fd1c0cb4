//! `aimslog checkpoint`: the newest head, verified and remembered.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use aimslog_client::trust::{HeadMemory, SignedHead};
use aimslog_client::{ClientError, Ledger};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::Head;
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::saved::read_saved;
use crate::verb::prove::write;
use crate::verb::runtime;

/// The newest head of the log: checked, related to the one remembered, and remembered.
///
/// A head says how many entries the log has and fixes all of them. Whoever keeps one can tell later
/// that nothing before it was changed or removed: keep it with --save, somewhere the operator of the
/// ledger does not reach, and give it to `verify --since`, `prove consistency --since` or
/// `disclose --since`. A head that was saved before is replaced only by one that is proven to extend
/// it, and stays beside it as FILE.SIZE: it says since when you held what it covers.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog checkpoint --save 2026-11.checkpoint
         ... a year later ...
         aimslog verify audit.evidence.json --since 2026-11.checkpoint")]
pub(crate) struct Checkpoint {
    /// Write the signed head to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write it whatever FILE holds, and lose that
    #[arg(long, requires = "save")]
    force: bool,
}

#[derive(Serialize)]
struct Shown {
    head: Head,
    relation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<PathBuf>,
    /// Where the head that was saved there before is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_before: Option<PathBuf>,
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
        let saved_before = match &self.save {
            Some(file) if self.force || !file.exists() => {
                write(file, head.note().as_bytes())?;
                None
            }
            Some(file) => runtime.block_on(save_after(file, &head, &ledger))?,
            None => None,
        };
        let shown = Shown {
            relation: relation(memory.newest(), &head),
            remembered_size: memory.newest().map(|head| head.head().size.0),
            head: Head::of(&head),
            saved: self.save.clone(),
            saved_before,
            checkpoint: head.note().to_owned(),
        };
        output.data(&shown, text(&shown))?;
        Ok(Exit::Ok)
    }
}

/// Saves a head where one was saved before, and returns where that one is now. Whoever keeps heads must
/// not lose one: neither to another log, nor to a head that does not continue it, nor to a newer one that
/// was not held as long.
async fn save_after(file: &Path, head: &SignedHead, ledger: &Ledger) -> Result<Option<PathBuf>> {
    let refused = |why: String| {
        let file = file.display();
        UserError::usage(format!(
            "{file} is left as it is: {why}; name another file, or --force"
        ))
    };
    let before = read_saved(file, ledger.policy(), &[]).map_err(|error| {
        refused(format!(
            "it holds no head of this log that you saved ({error:#})"
        ))
    })?;
    let (old, new) = (*before.head(), *head.head());
    if old == new {
        return Ok(None);
    }
    if old.size > new.size {
        return Err(refused(format!(
            "it holds a newer head, of {} entries",
            old.size
        )));
    }
    if let Err(error) = ledger.consistency_between(&old, new.size).await {
        if matches!(error, ClientError::Fork(_)) {
            let other = with_ending(file, "fork");
            write(&other, head.note().as_bytes())?;
            let kept = format!("the head shown now is kept in {}", other.display());
            return Err(anyhow::Error::new(error).context(kept));
        }
        return Err(error.into());
    }
    let aside = with_ending(file, &old.size.to_string());
    if aside.exists() {
        return Err(refused(format!("{} is there already", aside.display())));
    }
    fs::rename(file, &aside).with_context(|| format!("cannot write {}", aside.display()))?;
    write(file, head.note().as_bytes())?;
    Ok(Some(aside))
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
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
    if let Some(file) = &shown.saved_before {
        let _infallible = write!(
            text,
            "\nthe head saved there before, which it extends, is now {}",
            file.display()
        );
    }
    text
}
