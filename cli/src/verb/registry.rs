//! `aimslog registry`: who may do what by the log, and the log repeated from its entries.

mod follow;
mod replay;
mod show;

pub(crate) use replay::whole_log;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::Connection;
use crate::exit::Exit;
use crate::output::Output;

/// Who may do what, by the log itself.
///
/// Every right is a statement in the log. `replay` takes the entries alone, repeats every decision of
/// the ledger, and compares the root of the tree with a head that the policy accepts; `show` does
/// the same first, and then shows who may do what.
#[derive(Debug, Args)]
pub(crate) struct RegistryCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::Show),
    Replay(replay::ReplayCommand),
    Watch(follow::Follow),
}

impl RegistryCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        match &self.action {
            Action::Show(show) => show.run(flags, output),
            Action::Replay(replay) => replay.run(flags, output),
            Action::Watch(follow) => follow.run(flags, output),
        }
    }
}
