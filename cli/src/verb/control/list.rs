//! `aimslog control list`: the controls of a scheme.

use anyhow::Result;
use clap::Args;

use super::describe::Shown;
use crate::catalogues::{CatalogueFiles, DEFAULT, catalogue_of};
use crate::exit::Exit;
use crate::output::Output;

/// List the controls of a scheme, each with the kinds of records that evidence it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog control list
  aimslog control list --scheme guide
  aimslog control list --scheme iso27001-2022 --catalogue iso27001-2022.toml")]
pub(super) struct List {
    /// The scheme
    #[arg(long, value_name = "SCHEME", default_value = DEFAULT)]
    scheme: String,
    #[command(flatten)]
    files: CatalogueFiles,
}

impl List {
    pub(super) fn run(&self, output: Output) -> Result<Exit> {
        let schemes = self.files.schemes()?;
        let catalogue = catalogue_of(&schemes, &self.scheme)?;
        let controls = catalogue.controls().iter();
        let shown: Vec<Shown> = controls
            .map(|control| Shown::alone(catalogue, control))
            .collect();
        let lines: Vec<String> = shown.iter().map(Shown::line).collect();
        output.data(&shown, lines.join("\n"))?;
        Ok(Exit::Ok)
    }
}
