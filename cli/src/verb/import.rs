//! `aimslog import`: a register from a spreadsheet, shown before anything is sent.

mod preview;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use aimslog_proto::aims::submission::{Submission, Target};
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::header::Change;
use aimslog_proto::statement::id::EntryId;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::args::Connection;
use crate::broken::Broken;
use crate::context::Context;
use crate::describe::counted;
use crate::exit::{Exit, UserError};
use crate::import::mapping::{Known, Mapping};
use crate::import::memory::{Memory, Seen};
use crate::import::read_table;
use crate::import::rows::{Constant, Made, columns, make, unknown_constants};
use crate::output::Output;
use crate::records::FileRecord;
use crate::verb::runtime;
use crate::verb::submit::{ALREADY_LOGGED, LOGGED, SubmitOptions, send_all, table};
use preview::{Preview, preview};

/// Import a register from a spreadsheet (XLSX or CSV).
///
/// A mapping says which column feeds which field: a file, or one that is built in for the usual headers
/// (--like). The preview shows every row, and what is wrong with it by its cell. Nothing is sent unless
/// all rows are valid. A run that was cut off is continued by the same command; a later run sends rows
/// that are new, and says which have changed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  aimslog import nonconformities.xlsx --like nc --set source=AUDIT --set grade=MINOR --preview
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
    /// Show what would be sent, and send nothing; needs no ledger
    #[arg(long)]
    preview: bool,
    /// Send without asking
    #[arg(long, conflicts_with = "preview")]
    yes: bool,
    /// Send the valid rows where others are not
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

/// The rows of a run, sorted by what is to be done with them.
struct Plan {
    send: Vec<FileRecord>,
    /// As the rows gave them, for the memory.
    given: Vec<Submission>,
    /// Imported before, and the same.
    same: usize,
    /// Logged as new versions.
    amended: usize,
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
        let mapping = self.read_mapping()?;
        let sheet = self.sheet.as_deref().or(mapping.sheet.as_deref());
        let table = read_table(file, sheet, mapping.header_row)?;
        let columns = columns(&table, &mapping);
        if !columns.missing.is_empty() {
            let have: Vec<&str> = table.columns.values().map(String::as_str).collect();
            return Err(UserError::usage(format!(
                "{}: no column {}; columns are: {}",
                table.name,
                columns.missing.join(", "),
                have.join(", ")
            )));
        }
        let unknown = unknown_constants(&mapping, &self.set);
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
        let mut made = make(&table, &mapping, &self.set);
        if made.is_empty() {
            let message = format!("{}: no row gives a record", table.name);
            return Err(UserError::usage(message));
        }
        // The preview needs no context; where there is one, rows that it knows are told apart.
        let context = Context::resolve(flags);
        let memory = match &context {
            Ok(context) => Some(Memory::of(context)?),
            Err(_) => None,
        };
        if let Some(memory) = memory.as_ref().filter(|_| self.changed == Changed::Refuse) {
            refuse_changed(&mut made, memory);
        }
        let shown = preview(&table, columns, &made);
        if self.preview {
            output.data(&shown, shown.text())?;
            return Ok(if shown.is_valid() || self.skip_invalid {
                Exit::Ok
            } else {
                Exit::Usage
            });
        }
        self.refuse_invalid(&shown, output)?;
        let (context, memory) = (context?, memory);
        let memory = match memory {
            Some(memory) => memory,
            None => Memory::of(&context)?,
        };
        let plan = Self::plan(file, made, &memory);
        output.say(shown.text());
        if !self.yes && !plan.send.is_empty() && !is_agreed(plan.send.len(), output)? {
            output.data(&json!({ "sent": false }), "nothing was sent")?;
            return Ok(Exit::Ok);
        }
        runtime()?.block_on(self.send(&context, (plan, memory), &shown, output))
    }

    fn read_mapping(&self) -> Result<Mapping> {
        let mut mapping = match (&self.mapping, self.like) {
            (Some(file), _) => Mapping::read(file)?,
            (None, Some(known)) => Mapping::parse(known.text())?,
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
        let refused = counted(shown.refused(), "invalid record");
        Err(UserError::usage(format!(
            "{refused}; nothing was sent (--skip-invalid sends the others)"
        )))
    }

    fn plan(file: &std::path::Path, made: Vec<Made>, memory: &Memory) -> Plan {
        let mut plan = Plan {
            send: Vec::new(),
            given: Vec::new(),
            same: 0,
            amended: 0,
        };
        let mut known: BTreeMap<String, EntryId> = BTreeMap::new();
        for (number, one) in (1..).zip(made) {
            let Made {
                place,
                result: Ok(mut submission),
                ..
            } = one
            else {
                continue;
            };
            let given = submission.clone();
            match memory.seen(&submission) {
                Seen::New => {}
                Seen::Same(entry) => {
                    plan.same += 1;
                    known.extend(submission.key.map(|key| (key, entry)));
                    continue;
                }
                Seen::Changed(entry) => {
                    plan.amended += 1;
                    submission.amends = Some((Target::Entry(entry), Change::Amend));
                }
            }
            // What is not sent again is linked to by its entry.
            for link in &mut submission.links {
                if let Target::Key(key) = &link.target
                    && let Some(entry) = known.get(key)
                {
                    link.target = Target::Entry(*entry);
                }
            }
            plan.given.push(given);
            plan.send.push(FileRecord {
                file: file.to_owned(),
                number,
                place: Some(place),
                submission,
            });
        }
        plan
    }

    async fn send(
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
        } = plan;
        let sent = send_all(context, send, &self.options, output).await?;
        for (told, submission) in sent.told.iter().zip(&given) {
            if let (LOGGED | ALREADY_LOGGED, Some(entry)) = (told.status, &told.entry_id) {
                memory.learn(submission, entry);
            }
        }
        memory.keep()?;
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
            "amended": amended, "skipped": skipped,
        });
        let mut text = table(&sent.told);
        let rest = [
            (same, "not sent again: imported before, and the same"),
            (amended, "sent as a new version of what was imported before"),
            (skipped, "skipped: invalid"),
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

/// A row that has changed since it was imported is a new version of a record, not a new record.
fn refuse_changed(made: &mut [Made], memory: &Memory) {
    for one in made {
        let Ok(submission) = &one.result else {
            continue;
        };
        let Seen::Changed(entry) = memory.seen(submission) else {
            continue;
        };
        let rule = "a row that was imported is as it was then";
        let violation = Violation::new(Reason::AlreadyLogged, "record", rule);
        let violation = violation.found(format!("logged as {entry}"));
        let advice = "--changed amend logs it as a new version";
        one.result = Err(vec![
            Broken::advised(&violation, advice).written_at(one.place.clone()),
        ]);
    }
}

fn is_agreed(count: usize, output: Output) -> Result<bool> {
    if output.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(UserError::usage(format!(
            "{} would be sent: --yes sends without asking, --preview only looks",
            counted(count, "record")
        )));
    }
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
