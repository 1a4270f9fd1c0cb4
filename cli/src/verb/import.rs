//! `aimslog import`: a register from a spreadsheet, shown before anything is sent.

mod plan;
mod preview;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aimslog_client::ClientError;
use aimslog_proto::tlog::TreeSize;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::args::Connection;
use crate::context::Context;
use crate::describe::counted;
use crate::exit::{Exit, UserError};
use crate::import::links::{Outside, refuse_dangling};
use crate::import::mapping::{Known, Mapping};
use crate::import::memory::Memory;
use crate::import::read_table;
use crate::import::rows::{Columns, Constant, Made, columns, make, unknown_constants};
use crate::output::Output;
use crate::sheet::table::Table;
use crate::verb::runtime;
use crate::verb::submit::{
    ALREADY_LOGGED, LOGGED, REFUSED, Sent, SubmitOptions, Told, look_ahead, send_all, table,
};
use plan::{Plan, refuse_changed};
use preview::{Preview, preview};

/// How long a head over what was logged is waited for.
const HEAD_PATIENCE: Duration = Duration::from_mins(1);
const HEAD_PAUSE: Duration = Duration::from_millis(500);

/// Import a register from a spreadsheet (XLSX or CSV).
///
/// A mapping says which column feeds which field: a file, or one that is built in for the usual headers
/// (--like). The preview shows every row, what is wrong with it by its cell, and the first record whole.
/// Before anything is sent, the ledger is asked what it would say of every row; unless all are valid,
/// nothing is sent. Links may lead to rows of earlier imports, and to keys of --known. Attachments that a
/// column names are looked for as with `submit`. A run that was cut off is continued by the same command;
/// a later run sends rows that are new, and says which have changed. The run ends once what it logged
/// stands under a published head: histories and registers show it then.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog import nonconformities.xlsx --like nc --set source=AUDIT --set grade=MINOR --preview
  aimslog import actions.csv --mapping actions.toml --preview=3
  aimslog import risks.csv --mapping risks.toml --person 'Jane Doe=p-113' --yes
  aimslog import --like inventory --print-mapping > inventory.toml")]
pub(crate) struct Import {
    /// The spreadsheet
    #[arg(required_unless_present = "print_mapping")]
    file: Option<PathBuf>,
    /// Mapping file (TOML); docs/import.md says how it is written
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "like",
        conflicts_with = "like"
    )]
    mapping: Option<PathBuf>,
    /// Mapping that is built in
    #[arg(long, value_enum, value_name = "REGISTER")]
    like: Option<Known>,
    /// Print the mapping that is built in, to be changed and given with --mapping
    #[arg(long, requires = "like", conflicts_with_all = ["file", "mapping"])]
    print_mapping: bool,
    /// Sheet of the workbook [default: the only one]
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// A value for every row: the path of a field, or meta.subject and the like; several allowed
    #[arg(long, value_name = "FIELD=VALUE", value_parser = constant)]
    set: Vec<Constant>,
    /// The opaque id of a person who is named in the register; several allowed
    #[arg(long, value_name = "NAME=ID", value_parser = pair)]
    person: Vec<(String, String)>,
    /// Show what would be sent, with the first N records whole, and send nothing; needs no ledger
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1"
    )]
    preview: Option<usize>,
    /// Send without asking
    #[arg(long, conflicts_with = "preview")]
    yes: bool,
    /// Send the rows that are valid here and for the ledger where others are not
    #[arg(long)]
    skip_invalid: bool,
    /// What to do with rows that have changed since they were imported
    #[arg(long, value_enum, default_value = "refuse")]
    changed: Changed,
    #[command(flatten)]
    options: SubmitOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Changed {
    /// Say which they are, and send nothing
    Refuse,
    /// Log a new version of the record
    Amend,
}

fn constant(text: &str) -> Result<Constant, String> {
    let (path, value) = pair(text)?;
    Ok(Constant { path, value })
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("this is NAME=VALUE".to_owned()),
    }
}

impl Import {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        if let (true, Some(known)) = (self.print_mapping, self.like) {
            output.data(&json!({ "mapping": known.text() }), known.text())?;
            return Ok(Exit::Ok);
        }
        let Some(file) = &self.file else {
            return Err(UserError::usage("the spreadsheet to import is missing"));
        };
        if self.options.signing.again {
            return Err(UserError::usage(
                "--again: an import knows its rows by their keys; a row that has changed is a new version: \
                 --changed amend",
            ));
        }
        let mapping = self.read_mapping()?;
        let sheet = self.sheet.as_deref().or(mapping.sheet.as_deref());
        let table = read_table(file, sheet, mapping.header_row)?;
        let columns = columns(&table, &mapping);
        refuse_columns(&table, &columns)?;
        // The preview needs no context; where there is one, rows that it knows are told apart.
        let context = Context::resolve(flags);
        let memory = match (&context, self.preview) {
            (Ok(context), Some(_)) => Memory::of(context)?,
            (Ok(context), None) => Memory::locked(context)?,
            (Err(_), _) => None,
        };
        let made = self.make(file, (&table, &mapping), memory.as_ref())?;
        let unfinished = memory.as_ref().is_some_and(Memory::is_unfinished);
        let whole = self.preview.unwrap_or(1);
        let shown = preview(&table, columns, (&made, unfinished), whole);
        if self.preview.is_some() {
            output.data(&shown, shown.text())?;
            return Ok(if shown.is_valid() || self.skip_invalid {
                Exit::Ok
            } else {
                Exit::Usage
            });
        }
        self.refuse_invalid(&shown, output)?;
        let context = context?;
        // A context that does not say where to send is told what it lacks.
        context.policy()?;
        context.organization()?;
        let Some(memory) = memory else {
            return Err(UserError::usage("the memory of imports cannot be found"));
        };
        let plan = Plan::new(file, made, &memory);
        output.say(shown.text());
        if !self.yes && !plan.send.is_empty() {
            refuse_unasked(plan.send.len(), output)?;
        }
        runtime()?.block_on(self.send(&context, (plan, memory), &shown, output))
    }

    /// The records of the rows, each with what is wrong with it.
    fn make(
        &self,
        file: &Path,
        (table, mapping): (&Table, &Mapping),
        memory: Option<&Memory>,
    ) -> Result<Vec<Made>> {
        let unknown = unknown_constants(mapping, &self.set);
        if !unknown.is_empty() {
            let kinds: Vec<&str> = mapping
                .record
                .iter()
                .map(|record| record.kind.as_str())
                .collect();
            return Err(UserError::usage(format!(
                "--set {}: no record of this mapping ({}) has it",
                unknown.join(", "),
                kinds.join(", ")
            )));
        }
        let mut shelf = self.options.attachments.shelf(file)?;
        let mut made = make(table, mapping, (&self.set, &mut shelf))?;
        if made.is_empty() {
            let message = format!("{}: no row gives a record", table.name);
            return Err(UserError::usage(message));
        }
        let unnamed: Vec<&str> = shelf.unnamed().collect();
        if !unnamed.is_empty() {
            return Err(UserError::usage(format!(
                "--attach {}: no row names it; a column feeds \"attachments[0].name\" of its record",
                unnamed.join(", ")
            )));
        }
        let outside = Outside {
            keys: self.options.signing.known_keys()?,
            memory,
        };
        refuse_dangling(&mut made, &outside);
        if let Some(memory) = memory.filter(|_| self.changed == Changed::Refuse) {
            refuse_changed(&mut made, memory);
        }
        Ok(made)
    }

    fn read_mapping(&self) -> Result<Mapping> {
        let mut mapping = match (&self.mapping, self.like) {
            (Some(file), _) => Mapping::read(file)?,
            (None, Some(known)) => Mapping::parse(known.text()).map_err(UserError::usage)?,
            (None, None) => {
                return Err(UserError::usage(
                    "--mapping or --like says what the columns are",
                ));
            }
        };
        mapping.people.extend(self.person.iter().cloned());
        Ok(mapping)
    }

    /// Nothing is half-imported, unless that is asked for.
    fn refuse_invalid(&self, shown: &Preview, output: Output) -> Result<()> {
        if shown.is_valid() || self.skip_invalid {
            return Ok(());
        }
        if output.is_json() {
            output.data(shown, "")?;
        } else {
            output.say(shown.text());
        }
        let invalid = counted(shown.refused(), "invalid record");
        Err(UserError::usage(nothing_sent(&invalid)))
    }

    async fn send(
        &self,
        context: &Context,
        (mut plan, memory): (Plan, Memory),
        shown: &Preview,
        output: Output,
    ) -> Result<Exit> {
        self.ask_ledger(context, &mut plan, output).await?;
        if !self.yes && !plan.send.is_empty() && !is_agreed(plan.send.len())? {
            output.data(&json!({ "sent": false }), "nothing was sent")?;
            return Ok(Exit::Ok);
        }
        self.send_agreed(context, (plan, memory), shown, output)
            .await
    }

    /// Asks the ledger what it would say of every record, before the first is sent: what it would refuse
    /// ends the run, or is left out.
    async fn ask_ledger(&self, context: &Context, plan: &mut Plan, output: Output) -> Result<()> {
        if plan.send.is_empty() {
            return Ok(());
        }
        let SubmitOptions {
            signing,
            attachments,
            ..
        } = &self.options;
        let records = plan.send.clone();
        let told = look_ahead(context, records, (signing, attachments), output).await?;
        let is_refused = |told: &&Told| told.status == REFUSED;
        let refused = told.iter().filter(is_refused).count();
        if refused == 0 {
            return Ok(());
        }
        if self.skip_invalid {
            let refused: Vec<String> = told.iter().filter(is_refused).map(Told::text).collect();
            output.say(refused.join("\n"));
            plan.leave_out(&told);
            return Ok(());
        }
        output.data(&json!({ "records": told, "sent": false }), table(&told))?;
        let refused = counted(refused, "record");
        let refused = format!("the ledger would refuse {refused}");
        Err(UserError::refused(nothing_sent(&refused)))
    }

    async fn send_agreed(
        &self,
        context: &Context,
        (plan, mut memory): (Plan, Memory),
        shown: &Preview,
        output: Output,
    ) -> Result<Exit> {
        let Plan {
            send,
            given,
            same,
            amended,
            left_out,
        } = plan;
        if !send.is_empty() {
            memory.begin()?;
        }
        let mut rest = given.as_slice();
        let mut learn = |part: &[Told]| {
            let (now, later) = rest.split_at_checked(part.len()).unwrap_or((rest, &[]));
            rest = later;
            let logged = part.iter().zip(now).filter_map(|(told, given)| {
                let is_logged = matches!(told.status, LOGGED | ALREADY_LOGGED);
                let entry = told.entry_id.as_deref().filter(|_| is_logged)?;
                Some((given, entry))
            });
            memory.learn(logged)
        };
        let sent = send_all(context, send, &self.options, (&mut learn, output)).await?;
        memory.keep()?;
        let published = wait_for_head(context, &sent, output).await?;
        let count = |status: &str| {
            sent.told
                .iter()
                .filter(|told| told.status == status)
                .count()
        };
        let skipped = shown.refused();
        let data = json!({
            "file": self.file, "sheet": shown.name(), "records": sent.told,
            "logged": count(LOGGED), "already_logged": count(ALREADY_LOGGED) + same,
            "amended": amended, "skipped": skipped, "left_out": left_out,
            "published_size": published.map(|size| size.0),
        });
        let mut text = table(&sent.told);
        let rest = [
            (same, "not sent again: imported before, and the same"),
            (amended, "sent as a new version of what was imported before"),
            (skipped, "skipped: invalid"),
            (
                left_out,
                "left out: the ledger would refuse it, or what it links to",
            ),
        ];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            for part in ["\n", &counted(count, "record"), " ", what] {
                text.push_str(part);
            }
        }
        output.data(&data, text)?;
        sent.end(output)
    }
}

/// A column that is missing, or that nobody can tell from another, would be imported wrongly.
fn refuse_columns(table: &Table, columns: &Columns) -> Result<()> {
    let mut wrong = Vec::new();
    if !columns.missing.is_empty() {
        let have: Vec<&str> = table.columns.values().map(String::as_str).collect();
        wrong.push(format!(
            "no column {}; columns are: {}",
            columns.missing.join(", "),
            have.join(", ")
        ));
    }
    if !columns.doubled.is_empty() {
        wrong.push(format!(
            "more than one column {}: name them apart",
            columns.doubled.join(", ")
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong = wrong.join("\n");
    Err(UserError::usage(format!("{}: {wrong}", table.name)))
}

/// Waits for a published head over what was logged, so that the next command finds it in histories and
/// registers: its size. None where nothing was logged, or where no head came in time: what was logged is
/// logged nevertheless, and that is said.
async fn wait_for_head(context: &Context, sent: &Sent, output: Output) -> Result<Option<TreeSize>> {
    let newest = sent.told.iter().filter_map(|told| told.index).max();
    let Some(newest) = newest.filter(|_| sent.cut_off.is_none()) else {
        return Ok(None);
    };
    let waiting = output.spinner("{spinner} waiting for a published head");
    let size = TreeSize(newest.saturating_add(1));
    let ledger = context.ledger()?;
    let until = Instant::now() + HEAD_PATIENCE;
    loop {
        let error = match ledger.checkpoint_covering(size).await {
            Ok(head) => {
                waiting.finish_and_clear();
                return Ok(Some(head.head().size));
            }
            Err(error @ ClientError::Fork(_)) => return Err(error.into()),
            Err(error) => error,
        };
        if Instant::now() >= until {
            waiting.finish_and_clear();
            output.say(format!(
                "logged, and not yet under a published head ({error}): histories and registers show it later"
            ));
            return Ok(None);
        }
        sleep(HEAD_PAUSE).await;
    }
}

fn nothing_sent(why: &str) -> String {
    format!("{why}; nothing was sent (--skip-invalid sends the others)")
}

/// Nobody is there who could be asked.
fn refuse_unasked(count: usize, output: Output) -> Result<()> {
    if !output.is_json() && io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(UserError::usage(format!(
        "{} would be sent: --yes sends without asking, --preview only looks",
        counted(count, "record")
    )))
}

fn is_agreed(count: usize) -> Result<bool> {
    // Nobody to ask is no reason to fail here: no answer is none.
    drop(write!(
        io::stderr(),
        "send {}? [y/N] ",
        counted(count, "record")
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
