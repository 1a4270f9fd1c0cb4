//! `aimslog control`: the catalogues of controls, and what an id means in them.

mod add;
mod catalogue;
mod describe;
mod lint;
mod list;
mod lookup;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::Connection;
use crate::exit::Exit;
use crate::output::Output;

/// Look controls up, check which ids a file names, and declare controls of your own.
///
/// Ids are of a scheme: `iso42001-2023/A.9.2`; without one they are of iso42001-2023. The scheme `guide`
/// has the numbers of the implementation guide, which differ from the standard's and stand for its
/// controls. `org` is for controls of your own.
#[derive(Debug, Args)]
pub(crate) struct ControlCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(add::Add),
    Lookup(lookup::Lookup),
    List(list::List),
    Catalogue(catalogue::CatalogueCommand),
    Lint(lint::Lint),
}

impl ControlCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        match &self.action {
            Action::Add(add) => add.run(flags, output),
            Action::Lookup(lookup) => lookup.run(output),
            Action::List(list) => list.run(output),
            Action::Catalogue(catalogue) => catalogue.run(output),
            Action::Lint(lint) => lint.run(output),
        }
    }
}
