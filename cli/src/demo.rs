//! `aimslog demo`: three nodes on this machine, a fictional hospital, a killed leader, an auditor.
//!
//! The story is told in [`story`] and [`auditor`]; [`nodes`] runs the processes, [`people`] registers and signs,
//! [`data`] holds the records, [`folder`] what stays behind.

mod auditor;
mod data;
mod folder;
mod nodes;
mod people;
mod story;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

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
        let folder = folder::DemoFolder::make(&self.dir, &program)?;
        runtime()?.block_on(self.act(&folder, &program, output))
    }

    /// Whatever ends it, the nodes end with it.
    async fn act(
        &self,
        folder: &folder::DemoFolder,
        program: &Path,
        output: Output,
    ) -> Result<Exit> {
        let nodes = tokio::select! {
            nodes = story::tell(folder, program, output) => nodes?,
            ended = told_to_end() => {
                ended?;
                bail!("interrupted; the nodes are stopped");
            }
        };
        if self.keep_running {
            output.tell(format!(
                "\nThe nodes run on until Ctrl-C. In another terminal:\n   \
                 export AIMSLOG_HOME={}\n   {} cluster status",
                folder.join("home").display(),
                folder.program()
            ));
            told_to_end().await?;
        }
        drop(nodes);
        Ok(Exit::Ok)
    }
}

/// Waits for Ctrl-C, the end of the terminal, or a polite kill.
async fn told_to_end() -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = hangup.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// How a shell calls this program: by its name where it finds it, else by its path.
fn name_of(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    let same =
        found.and_then(|found| Some(found.canonicalize().ok()? == program.canonicalize().ok()?));
    if same == Some(true) {
        name.to_string_lossy().into_owned()
    } else {
        program.display().to_string()
    }
}
