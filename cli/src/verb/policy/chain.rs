//! `aimslog policy show --chain`: every policy behind that of the context, proven step by step.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aimslog_client::LaterPolicy;
use anyhow::Result;
use serde::Serialize;

use super::{Shown, shown};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::prove;
use crate::verb::runtime;

#[derive(Serialize)]
struct Chain {
    /// The policy of the context, which the first step begins at.
    from: Shown,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<PathBuf>,
}

#[derive(Serialize)]
struct Step {
    /// The record that put it into force.
    since: u64,
    /// Keys that count or are known from here on.
    added: Vec<String>,
    /// Keys that do not any more.
    removed: Vec<String>,
    #[serde(flatten)]
    policy: Shown,
}

pub(super) fn run(context: &Context, out: Option<&Path>, output: Output) -> Result<Exit> {
    let runtime = runtime()?;
    // Connections are made within a runtime, also those that open later.
    let _entered = runtime.enter();
    let ledger = context.public_ledger()?;
    let later = runtime.block_on(ledger.later_policies())?;
    let from = shown(&context.policy()?);
    let mut steps: Vec<Step> = Vec::with_capacity(later.len());
    for next in &later {
        let before = steps.last().map_or(&from, |step| &step.policy);
        steps.push(step(before, next));
    }
    let newest = later.last().map(|last| last.policy.as_bytes().to_vec());
    let text = match newest {
        Some(newest) => newest,
        None => context.policy()?.as_bytes().to_vec(),
    };
    let written = out.map(|path| prove::write(path, &text)).transpose()?;
    let chain = Chain {
        from,
        steps,
        written,
    };
    let text = words(&chain)?;
    output.data(&chain, text)?;
    Ok(Exit::Ok)
}

fn step(before: &Shown, next: &LaterPolicy) -> Step {
    let policy = shown(&next.policy);
    let without = |these: &[String], those: &[String]| {
        let left = these.iter().filter(|key| !those.contains(key));
        left.cloned().collect()
    };
    Step {
        since: next.since.0,
        added: without(&policy.keys(), &before.keys()),
        removed: without(&before.keys(), &policy.keys()),
        policy,
    }
}

fn words(chain: &Chain) -> Result<String> {
    let mut text = format!(
        "policy of the context, fingerprint {}",
        chain.from.fingerprint
    );
    for step in &chain.steps {
        write!(
            text,
            "\nsince entry {}, fingerprint {}",
            step.since, step.policy.fingerprint
        )?;
        for (sign, keys) in [('+', &step.added), ('-', &step.removed)] {
            for key in keys {
                write!(text, "\n  {sign} {key}")?;
            }
        }
    }
    if chain.steps.is_empty() {
        text.push_str("\nit is the newest");
    }
    if let Some(path) = &chain.written {
        write!(text, "\nthe newest is in {}", path.display())?;
    }
    Ok(text)
}
