//! `aimslog register diff`: what changed in a register between two places of the log.

use std::fmt::Write as _;

use aimslog_client::{RegisterChange, RegisterDiff};
use aimslog_proto::tlog::LeafIndex;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::{CLAIM, Counted, PART, registered, state};
use crate::args::Connection;
use crate::context::Context;
use crate::describe::{Head, short_subject};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::verb::list::kind_name;
use crate::verb::runtime;

/// Show what changed in a register between two places of the log.
///
/// Which entities were opened, got new versions (with their states at both places) or were retracted by
/// the entries from --from up to, and not including, --to; and how many stayed as they were. The work is
/// that of what changed, however large the register is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog register diff nonconformity --from 800
  aimslog register diff risk --from 800 --to 1200 --json")]
pub(crate) struct Diff {
    /// The kind, e.g. nonconformity
    #[arg(value_name = "KIND", value_parser = kind_name)]
    kind: String,
    /// Compare with what stood in front of this entry
    #[arg(long, value_name = "INDEX")]
    from: u64,
    /// What stood in front of this entry [default: after the newest one under a head]
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
}

#[derive(Serialize)]
struct Shown {
    organization: String,
    kind: String,
    /// In front of these entries.
    from: u64,
    to: u64,
    changes: Vec<Line>,
    opened: u64,
    changed: u64,
    retracted: u64,
    /// Entities without a new version; absent where the reader may not see everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged_claim: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_from_claim: Option<Counted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_to_claim: Option<Counted>,
    /// Which head proves the entries.
    head: Head,
    not_proven: &'static str,
}

/// What became of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    Opened,
    Changed,
    /// Also where it was opened since.
    Retracted,
}

impl Became {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Retracted => "retracted",
        }
    }
}

#[derive(Serialize)]
struct Line {
    became: Became,
    number: u64,
    entity: String,
    subject: String,
    /// Absent where it was opened since, or where the reader may not see that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Side>,
    /// It was there before, and the reader may not see how.
    #[serde(skip_serializing_if = "is_false")]
    before_withheld: bool,
    after: Side,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// An entity at one of the places.
#[derive(Serialize)]
struct Side {
    state: String,
    version: u32,
    index: u64,
    entry_id: String,
    registered_at_claim: String,
}

impl Side {
    fn of(version: &aimslog_client::RegisterVersion) -> Self {
        Self {
            state: state(version),
            version: version.version,
            index: version.entry.index.0,
            entry_id: version.entry.entry_id.to_string(),
            registered_at_claim: registered(version),
        }
    }
}

impl Line {
    fn of(change: &RegisterChange) -> Self {
        let became = if change.after.is_retraction() {
            Became::Retracted
        } else if change.is_opened() {
            Became::Opened
        } else {
            Became::Changed
        };
        Self {
            became,
            number: change.after.entry.register_number,
            entity: change.after.entity.to_string(),
            subject: change.after.header.subject.clone(),
            before: change.before.as_ref().map(Side::of),
            before_withheld: change.before_withheld,
            after: Side::of(&change.after),
        }
    }

    fn was_there(&self) -> bool {
        self.before.is_some() || self.before_withheld
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = &self.after;
        let (states, versions) = match (&self.before, self.before_withheld) {
            (Some(before), _) => (
                format!("{} -> {}", before.state, after.state),
                format!("{} -> {}", before.version, after.version),
            ),
            (None, true) => (
                format!("(not shown) -> {}", after.state),
                format!("? -> {}", after.version),
            ),
            (None, false) => (after.state.clone(), after.version.to_string()),
        };
        write!(
            f,
            "{:<9} {:>7} {:<40} {:<11} {:>8} {:<43} {}",
            self.became.as_str(),
            self.number,
            states,
            versions,
            after.index,
            self.entity,
            short_subject(&self.subject)
        )
    }
}

impl Diff {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        if let Some(to) = self.to.filter(|to| *to < self.from) {
            let from = self.from;
            return Err(UserError::usage(format!(
                "--from {from}: it lies behind --to {to}"
            )));
        }
        let context = Context::resolve(flags)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let organization = context.organization()?;
        let places = (LeafIndex(self.from), self.to.map(LeafIndex));
        let mut diff = ledger.register_diff(organization, &self.kind, places);
        let changes = runtime.block_on(read(&mut diff, output))?;
        let shown = self.shown(organization, &diff, changes)?;
        output.data(&shown, text(&shown)?)?;
        Ok(Exit::Ok)
    }

    fn shown(
        &self,
        organization: &str,
        diff: &RegisterDiff<'_>,
        changes: Vec<Line>,
    ) -> Result<Shown> {
        let how_many = |fits: &dyn Fn(&Line) -> bool| {
            u64::try_from(changes.iter().filter(|line| fits(line)).count()).unwrap_or(u64::MAX)
        };
        let counts = diff.counts();
        let continued = how_many(&Line::was_there);
        let unchanged = counts.map(|[from, _]| from.entities.saturating_sub(continued));
        Ok(Shown {
            organization: organization.to_owned(),
            kind: self.kind.clone(),
            from: self.from,
            to: diff.to().context("the register has no page")?.0,
            opened: how_many(&|line| line.became == Became::Opened),
            changed: how_many(&|line| line.became == Became::Changed),
            retracted: how_many(&|line| line.became == Became::Retracted),
            unchanged_claim: unchanged,
            count_from_claim: counts.map(|[from, _]| Counted::of(from)),
            count_to_claim: counts.map(|[_, to]| Counted::of(to)),
            head: Head::of(diff.head().context("the register has no page")?),
            not_proven: if counts.is_some() { CLAIM } else { PART },
            changes,
        })
    }
}

async fn read(diff: &mut RegisterDiff<'_>, output: Output) -> Result<Vec<Line>> {
    let bar = output.spinner("{spinner} comparing: {pos} changes");
    let mut changes = Vec::new();
    while let Some(page) = diff.page().await? {
        changes.extend(page.iter().map(Line::of));
        bar.set_position(u64::try_from(changes.len()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
    Ok(changes)
}

fn text(shown: &Shown) -> Result<String> {
    let mut text = format!(
        "{} of {}, in front of entry {} and in front of entry {}\n",
        shown.kind, shown.organization, shown.from, shown.to
    );
    if !shown.changes.is_empty() {
        writeln!(
            text,
            "{:<9} {:>7} {:<40} {:<11} {:>8} {:<43} ABOUT",
            "CHANGE", "NUMBER", "STATE", "VERSION", "INDEX", "ENTITY"
        )?;
    }
    for line in &shown.changes {
        writeln!(text, "{line}")?;
    }
    write!(
        text,
        "{} opened, {} changed, {} retracted",
        shown.opened, shown.changed, shown.retracted
    )?;
    match shown.unchanged_claim {
        Some(unchanged) => writeln!(text, ", {unchanged} unchanged")?,
        None => writeln!(text)?,
    }
    if let (Some(from), Some(to)) = (shown.count_from_claim, shown.count_to_claim) {
        writeln!(text, "before: {from}; after: {to}")?;
    }
    writeln!(
        text,
        "proven: each entry is in the log of {} entries, cosigned by {}",
        shown.head.size,
        shown.head.cosigned_by()
    )?;
    writeln!(text, "not proven: {}", shown.not_proven)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(state: &str, version: u32) -> Side {
        Side {
            state: state.to_owned(),
            version,
            index: 9,
            entry_id: "id".to_owned(),
            registered_at_claim: String::new(),
        }
    }

    #[test]
    fn a_line_says_from_where_to_where() {
        let line = |before: Option<Side>, before_withheld| Line {
            became: Became::Changed,
            number: 3,
            entity: "id".to_owned(),
            subject: "urn:aimslog:hospital:aims:audit".to_owned(),
            before,
            before_withheld,
            after: side("closed", 4),
        };
        let known = line(Some(side("open", 1)), false);
        assert!(known.was_there());
        let text = known.to_string();
        assert!(
            text.contains("open -> closed") && text.contains("1 -> 4"),
            "{text}"
        );
        let withheld = line(None, true);
        assert!(withheld.was_there());
        assert!(withheld.to_string().contains("(not shown) -> closed"));
        let opened = line(None, false);
        assert!(!opened.was_there());
        assert!(!opened.to_string().contains("->"), "{opened}");
    }
}
