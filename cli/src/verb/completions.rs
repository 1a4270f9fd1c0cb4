//! `aimslog completions`: what a shell needs to complete commands and flags.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog completions bash > /etc/bash_completion.d/aimslog
  aimslog completions fish > ~/.config/fish/completions/aimslog.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<Exit> {
        // Written to memory first: a closed pipe must not end in a panic of the generator.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "aimslog", &mut script);
        match io::stdout().lock().write_all(&script) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(Exit::Ok),
        }
    }
}
