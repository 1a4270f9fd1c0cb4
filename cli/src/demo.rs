//! `aimslog demo`: three nodes on this machine, a fictional hospital, a killed leader, an auditor.
//!
//! The story is told in [`story`]; [`nodes`] runs the processes, [`people`] registers and signs,
//! [`data`] holds the records, [`folder`] what stays behind.

mod data;
mod folder;
mod nodes;
mod people;
mod story;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::exit::Exit;
use crate::output::Output;
use crate::verb::runtime;

/// See it work: three nodes on this machine, a fictional hospital, a killed leader, an auditor.
///
/// Starts three nodes as processes on loopback, submits the records of a fictional hospital with its
/// AI triage system, kills the leading node in the middle, and then checks everything as an auditor
/// would: with two files and no network. Takes less than a minute. The folder stays.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog demo --dir /tmp/aimslog-demo --keep-running")]
pub(crate) struct Demo {
    /// Folder to make; one of an earlier demo is replaced
    #[arg(long, value_name = "DIR", default_value = "aimslog-demo")]
    dir: PathBuf,
    /// Let the nodes run on until Ctrl-C, to try the commands shown at the end
    #[arg(long)]
    keep_running: bool,
    /// The node's program [default: aimslogd beside this program, or on the PATH]
    #[arg(long, value_name = "FILE", env = "AIMSLOGD")]
    aimslogd: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(&self, output: Output) -> Result<Exit> {
        let program = nodes::find_program(self.aimslogd.as_deref())?;
        let folder = folder::DemoFolder::make(&self.dir)?;
        runtime()?.block_on(story::tell(&folder, &program, self.keep_running, output))
    }
}
