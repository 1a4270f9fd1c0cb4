//! `aimslog policy`: what the policy file says, and its fingerprint.

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

/// Show the policy that heads must satisfy, or its fingerprint.
#[derive(Debug, Args)]
pub(crate) struct PolicyCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The policy, as the file has it
    Show {
        /// The file [default: the policy of the context]
        file: Option<PathBuf>,
    },
    /// The SHA-256 of the policy: compare it by voice with the operator's
    Fingerprint {
        /// The file [default: the policy of the context]
        file: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Shown {
    fingerprint: String,
    logs: Vec<String>,
    cosigners: Vec<String>,
    text: String,
}

impl PolicyCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let (Action::Show { file } | Action::Fingerprint { file }) = &self.action;
        let policy = match file {
            Some(path) => read_policy(path)?,
            None => Context::resolve(flags)?.policy()?,
        };
        let shown = shown(&policy);
        let text = match self.action {
            Action::Show { .. } => format!("{}\nfingerprint {}", shown.text, shown.fingerprint),
            Action::Fingerprint { .. } => grouped(&shown.fingerprint),
        };
        output.data(&shown, text)?;
        Ok(Exit::Ok)
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
