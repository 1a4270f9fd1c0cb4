//! `aimslog aims`: the records that a management system begins with.

mod check;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aimslog_client::clock;
use aimslog_client::file::replace_file;
use aimslog_proto::system::PrincipalId;
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use crate::describe::counted;
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::starter::{PARAMETERS, PARAMETERS_TEXT, PLACEHOLDER, Profile, Setting, Starter, make};
use check::AimsCheck;

/// Begin an AI management system: starter records as forms.
#[derive(Debug, Args)]
pub(crate) struct Aims {
    #[command(subcommand)]
    command: AimsCommand,
}

#[derive(Debug, Subcommand)]
enum AimsCommand {
    Init(AimsInit),
    Check(AimsCheck),
}

/// Write the starter records and parameters of an organisation.
///
/// A folder of YAML forms: scope, policy, objectives, roles, risk method, inventory, risks, all controls
/// of Annex A, oversight, competence, audits, review and plan, and a README with the order. What the
/// organisation must say itself is marked TBD, and the ledger takes no record with it. Nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog aims init --profile small --dir aims
  aimslog aims init --profile standard --dir aims --owner p-101 --management p-201 --auditor p-301")]
struct AimsInit {
    /// Size of the organisation
    #[arg(long, value_enum)]
    profile: Profile,
    /// Folder to write into; one that holds something is refused
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Principal who owns the management system [default: TBD]
    #[arg(long, value_name = "ID", value_parser = principal)]
    owner: Option<String>,
    /// Principal of the top management [default: TBD]
    #[arg(long, value_name = "ID", value_parser = principal)]
    management: Option<String>,
    /// Principal who audits [default: TBD]
    #[arg(long, value_name = "ID", value_parser = principal)]
    auditor: Option<String>,
    /// First day, YYYY-MM-DD [default: today]
    #[arg(long, value_name = "DATE", value_parser = day)]
    start: Option<OffsetDateTime>,
}

/// An id that every form would be refused for is refused before anything is written.
fn principal(text: &str) -> Result<String, String> {
    match PrincipalId::new(text) {
        Ok(id) => Ok(id.to_string()),
        Err(_) => Err(
            "people are named by opaque ids: lower-case letters, digits and -, at most 63"
                .to_owned(),
        ),
    }
}

fn day(text: &str) -> Result<OffsetDateTime, String> {
    let form = time::macros::format_description!("[year]-[month]-[day]");
    let date =
        Date::parse(text, &form).map_err(|error| format!("a date is YYYY-MM-DD: {error}"))?;
    Ok(date.midnight().assume_utc())
}

fn today() -> OffsetDateTime {
    let seconds = i64::try_from(clock::unix_seconds()).unwrap_or_default();
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    now.date().midnight().assume_utc()
}

impl Aims {
    pub(crate) fn run(&self, output: Output) -> Result<Exit> {
        match &self.command {
            AimsCommand::Init(init) => init.run(output),
            AimsCommand::Check(check) => check.run(output),
        }
    }
}

impl AimsInit {
    fn run(&self, output: Output) -> Result<Exit> {
        refuse_full(&self.dir)?;
        let setting = Setting {
            start: self.start.unwrap_or_else(today),
            owner: self.owner.clone(),
            management: self.management.clone(),
            auditor: self.auditor.clone(),
        };
        let starters = self.profile.files().into_iter();
        let starters = starters
            .map(|file| make(file, &setting))
            .collect::<Result<Vec<_>>>()?;
        for starter in &starters {
            let text = format!("{}\n{}", commented(&starter.note), starter.text);
            write(&self.dir, starter.name, &text)?;
        }
        write(&self.dir, PARAMETERS, PARAMETERS_TEXT)?;
        write(&self.dir, "README.md", &readme(&starters, &setting))?;

        let count: usize = starters.iter().map(|starter| starter.count).sum();
        let open: usize = starters
            .iter()
            .map(|starter| starter.text.matches(PLACEHOLDER).count())
            .sum();
        let files: Vec<serde_json::Value> = starters
            .iter()
            .map(|starter| {
                let kinds: Vec<&str> = starter.kinds.iter().map(|kind| kind.name.as_str()).collect();
                serde_json::json!({ "file": starter.name, "records": starter.count, "kinds": kinds })
            })
            .collect();
        let data = serde_json::json!({
            "dir": self.dir, "files": files, "records": count, "placeholders": open,
        });
        let text = format!(
            "{} in {} of {}, {} to replace; README.md says in which order",
            counted(count, "record"),
            counted(starters.len(), "file"),
            self.dir.display(),
            counted(open, PLACEHOLDER)
        );
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }
}

/// Forms may be filled in: nothing is ever written over.
fn refuse_full(dir: &Path) -> Result<()> {
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Ok(true) => Err(UserError::usage(format!(
            "{} holds something already",
            dir.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", dir.display())),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    replace_file(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn commented(note: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("#");
    for word in note.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text + &line + "\n#"
}

fn readme(starters: &[Starter], setting: &Setting) -> String {
    let start = setting.start.format(&Rfc3339).unwrap_or_default();
    let mut text = format!(
        "# An AI management system, to begin with\n\n\
         Forms to fill in, dated {start}. `{PLACEHOLDER}` is what you must say yourself: no record is \
         taken with it, and `aimslog aims check` names each by its line. Change what does not fit, leave \
         out what you do not need, and copy what you have more of. People are named by opaque ids.\n\n\
         Submit the files in this order, each by somebody who holds a role that may sign it. Files that \
         name a record of another one by `key:` go in one run with it: the inventory with its risks and \
         oversight plans.\n\n\
         ```sh\n\
         aimslog aims check .\n\
         aimslog submit 01-scope.yaml\n\
         aimslog submit 04-policy.yaml --attach policy.pdf\n\
         aimslog submit 07-risk-method.yaml --attach {PARAMETERS}\n\
         aimslog submit 09-inventory.yaml 10-risks.yaml 12-oversight.yaml\n\
         ```\n\n\
         | file | records | kind | signed in the role of |\n|---|---|---|---|\n"
    );
    for starter in starters {
        for kind in &starter.kinds {
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                text,
                "| {} | {} | {} | {} |",
                starter.name, kind.count, kind.name, kind.signers
            );
        }
    }
    text.push_str("\n## What each is for\n\n");
    for starter in starters {
        let _infallible = writeln!(text, "- **{}**: {}", starter.name, starter.note);
    }
    let _infallible = writeln!(
        text,
        "\n`{PARAMETERS}` holds the numbers by which your management system judges itself, with the usual \
         defaults; `aimslog aims check` refuses what is out of bounds.\n\nWhat is approved, held, done or verified is a later version of its record: \
         `aimslog template KIND --state STATE` makes the form, `aimslog amend` logs it."
    );
    text
}
