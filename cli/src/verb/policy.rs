//! `aimslog policy`: what the policy says, how it came about, and its changes by the operators.

mod chain;
pub(crate) mod texts;
mod witness;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use aimslog_proto::tlog::Policy;

use crate::args::Connection;
use crate::context::{Context, read_policy};
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::key::hex;
use witness::{AddWitness, RemoveWitness};

/// Show the policy that heads must satisfy, or its fingerprint; change its witnesses (operators).
#[derive(Debug, Args)]
pub(crate) struct PolicyCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The policy, as the file has it, or every one that came behind it
    #[command(after_help = "\
Example: aimslog policy show policy.txt
         aimslog policy show --chain -o policy-new.txt")]
    Show {
        /// The file [default: the policy of the context]
        file: Option<PathBuf>,
        /// Ask the ledger for every policy that came behind that of the context, each proven by a head
        /// that satisfies it and the one before
        #[arg(long, conflicts_with = "file")]
        chain: bool,
        /// Write the newest of the chain to this file
        #[arg(short, long, value_name = "FILE", requires = "chain")]
        output: Option<PathBuf>,
    },
    /// The SHA-256 of the policy: compare it by voice with the operator's
    Fingerprint {
        /// The file [default: the policy of the context]
        file: Option<PathBuf>,
    },
    AddWitness(AddWitness),
    RemoveWitness(RemoveWitness),
}

#[derive(Serialize)]
struct Shown {
    fingerprint: String,
    logs: Vec<String>,
    cosigners: Vec<String>,
    text: String,
}

impl PolicyCommand {
    pub(crate) fn run(&self, flags: &Connection, out: Output) -> Result<Exit> {
        match &self.action {
            Action::Show {
                chain: true,
                output,
                ..
            } => chain::run(&Context::resolve(flags)?, output.as_deref(), out),
            Action::Show { file, .. } => {
                let shown = shown(&policy(file.as_ref(), flags)?);
                let text = format!("{}\nfingerprint {}", shown.text, shown.fingerprint);
                out.data(&shown, text)?;
                Ok(Exit::Ok)
            }
            Action::Fingerprint { file } => {
                let shown = shown(&policy(file.as_ref(), flags)?);
                let text = grouped(&shown.fingerprint);
                out.data(&shown, text)?;
                Ok(Exit::Ok)
            }
            Action::AddWitness(add) => add.run(&Context::resolve(flags)?, out),
            Action::RemoveWitness(remove) => remove.run(&Context::resolve(flags)?, out),
        }
    }
}

fn policy(file: Option<&PathBuf>, flags: &Connection) -> Result<Policy> {
    match file {
        Some(path) => read_policy(path),
        None => Context::resolve(flags)?.policy(),
    }
}

impl Shown {
    /// Of logs and cosigners.
    fn keys(&self) -> Vec<String> {
        [&self.logs[..], &self.cosigners].concat()
    }
}

fn shown(policy: &Policy) -> Shown {
    Shown {
        fingerprint: hex(&policy.fingerprint()),
        logs: policy
            .logs()
            .iter()
            .map(|log| log.key.to_string())
            .collect(),
        cosigners: policy
            .witnesses()
            .iter()
            .map(|witness| witness.key.to_string())
            .collect(),
        text: String::from_utf8_lossy(policy.as_bytes())
            .trim_end()
            .to_owned(),
    }
}

/// In groups of four, which people can read to each other.
fn grouped(hex: &str) -> String {
    let mut text = String::new();
    for (position, digit) in hex.chars().enumerate() {
        if position > 0 && position % 4 == 0 {
            text.push(if position % 32 == 0 { '\n' } else { ' ' });
        }
        text.push(digit);
    }
    text
}
