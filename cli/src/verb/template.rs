//! `aimslog template`: the form of a kind, to be filled in and submitted.

use std::collections::BTreeSet;
use std::path::PathBuf;

use aimslog_client::file::replace_file;
use aimslog_client::form::{form, outline};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::comments;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::aims::nearest::nearest_few;
use anyhow::{Context as _, Result};
use clap::Args;

use crate::exit::{Exit, UserError};
use crate::output::Output;

/// Print the form of a kind of record, in YAML, or list the kinds.
///
/// Each field stands with what it means, when it is required and what it may hold; the head says who
/// may sign it and what else the state asks for. Fill it in and submit it: what is left empty is no
/// value. With --json it is a JSON Schema of the same, for programs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog template
  aimslog template finding > finding.yaml
  aimslog template corrective_action --state verified -o verified.yaml
  aimslog template risk --json")]
pub(crate) struct Template {
    /// Kind of the record; without it, the kinds are listed
    kind: Option<String>,
    /// State that the record reaches [default: the first that it can begin in]
    #[arg(long, requires = "kind")]
    state: Option<String>,
    /// File to write the form into; one that is there stays as it is
    #[arg(short, long, value_name = "FILE", requires = "kind")]
    output: Option<PathBuf>,
}

impl Template {
    pub(crate) fn run(&self, output: Output) -> Result<Exit> {
        let bundle = RuleBundle::v1();
        let Some(kind) = &self.kind else {
            list(bundle, output)?;
            return Ok(Exit::Ok);
        };
        let kind = bundle
            .newest_kind(kind)
            .map_err(|_unknown| unknown_kind(bundle, kind))?;
        let refused =
            |violation: aimslog_proto::reason::Violation| UserError::usage(violation.to_string());
        let text = form(bundle, kind, self.state.as_deref()).map_err(refused)?;
        let Some(path) = &self.output else {
            output.data(&outline(bundle, kind), text)?;
            return Ok(Exit::Ok);
        };
        if path.exists() {
            return Err(UserError::usage(format!(
                "{} is there already, and may be filled in",
                path.display()
            )));
        }
        let content = if output.is_json() {
            serde_json::to_string_pretty(&outline(bundle, kind))? + "\n"
        } else {
            text
        };
        replace_file(path, content.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        let data = serde_json::json!({ "kind": kind.name(), "file": path });
        output.data(&data, format!("{} is to be filled in", path.display()))?;
        Ok(Exit::Ok)
    }
}

/// The kinds that may have been meant.
fn unknown_kind(bundle: &RuleBundle, name: &str) -> anyhow::Error {
    /// So many fit on a line and may be one's own.
    const NEAREST_MAX: usize = 3;
    let names: BTreeSet<&str> = bundle.kinds().map(Kind::name).collect();
    let near = nearest_few(name, names.iter().copied(), NEAREST_MAX);
    // Of a part of a name, such as `plan`, no name is near as a whole.
    let within = names.iter().copied().filter(|known| known.contains(name));
    let near = if near.is_empty() && name.len() > 2 {
        within.take(NEAREST_MAX).collect()
    } else {
        near
    };
    let near = if near.is_empty() {
        String::new()
    } else {
        format!("; nearest: {}", near.join(", "))
    };
    UserError::usage(format!(
        "there is no kind {name}{near}; `aimslog template` lists the kinds"
    ))
}

/// The kinds with the first sentence of what each is.
fn list(bundle: &RuleBundle, output: Output) -> Result<()> {
    let newest = |kind: &&Kind| {
        let newest = bundle.newest_kind(kind.name());
        newest.is_ok_and(|newest| newest.version() == kind.version())
    };
    let kinds: Vec<(&Kind, &str)> = bundle
        .kinds()
        .filter(newest)
        .map(|kind| (kind, first_sentence(kind)))
        .collect();
    let width = kinds.iter().map(|(kind, _)| kind.name().len()).max();
    let width = width.unwrap_or_default();
    let lines: Vec<String> = kinds
        .iter()
        .map(|(kind, said)| format!("{:<width$}  {said}", kind.name()))
        .collect();
    let data: Vec<serde_json::Value> = kinds
        .iter()
        .map(|(kind, said)| {
            let (name, version) = (kind.name(), kind.version());
            serde_json::json!({
                "kind": name, "version": version, "states": kind.states(), "about": said,
            })
        })
        .collect();
    output.data(&data, lines.join("\n"))
}

fn first_sentence(kind: &Kind) -> &'static str {
    let said = comments::of_message(&kind.schema().full_name).unwrap_or_default();
    said.split_once(". ").map_or(said, |(first, _)| first)
}
