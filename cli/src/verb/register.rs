//! `aimslog register`: all entities of one kind, at a place of the log and between two.

mod diff;
mod show;

use aimslog_client::{RegisterCount, RegisterVersion};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::describe::{counted, time};
use crate::exit::Exit;
use crate::output::Output;

/// The register of a kind: every entity with its newest version.
///
/// All entities (this risk, this nonconformity) of one kind of an organisation form a register, numbered
/// without a gap. Each entry is checked here: its bytes, what its header says, and its place in the log
/// under a head that the policy accepts. That a version is the newest one, and that this is all of them,
/// is the ledger's claim.
#[derive(Debug, Args)]
pub(crate) struct RegisterCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::Show),
    Diff(diff::Diff),
}

impl RegisterCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        match &self.action {
            Action::Show(show) => show.run(flags, output),
            Action::Diff(diff) => diff.run(flags, output),
        }
    }
}

/// What the ledger counts.
#[derive(Debug, Clone, Copy, Serialize)]
struct Counted {
    entities: u64,
    versions: u64,
}

impl Counted {
    fn of(count: RegisterCount) -> Self {
        Self {
            entities: count.entities,
            versions: count.versions,
        }
    }
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entities = match self.entities {
            1 => "1 entity".to_owned(),
            entities => format!("{entities} entities"),
        };
        let versions = usize::try_from(self.versions).unwrap_or(usize::MAX);
        write!(f, "{entities}, {}", counted(versions, "version"))
    }
}

/// What is nobody's but the ledger's word, where the reader sees the whole register.
const CLAIM: &str = "that this is all of them, and that each version is the newest one there, is the \
    ledger's claim: no statement in the log commits to its registers yet";

/// The same where the reader sees a part.
const PART: &str = "this is what your role or engagement shows: there may be more, and nobody says how \
    much";

/// `open`, or a word for an entity that has no state.
fn state(version: &RegisterVersion) -> String {
    match (version.is_retraction(), version.state.as_str()) {
        (true, _) => "retracted".to_owned(),
        (false, "") => "-".to_owned(),
        (false, state) => state.to_owned(),
    }
}

/// When the ledger says to have registered it.
fn registered(version: &RegisterVersion) -> String {
    time(version.entry.registered_at.0 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        let counted = |entities, versions| {
            let count = RegisterCount { entities, versions };
            Counted::of(count).to_string()
        };
        assert_eq!(counted(1, 1), "1 entity, 1 version");
        assert_eq!(counted(0, 0), "0 entities, 0 versions");
        assert_eq!(counted(2, 5), "2 entities, 5 versions");
    }
}
