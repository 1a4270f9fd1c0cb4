//! `aimslog context`: lists, shows, chooses and removes contexts.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::context::{Config, Context, Settings, home};
use crate::exit::{Exit, UserError};
use crate::output::Output;

/// List, show, choose or remove contexts.
#[derive(Debug, Args)]
pub(crate) struct ContextCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All contexts; the current one is marked
    List,
    /// The context in force, with flags and AIMSLOG_* variables applied
    Show,
    /// Make a context the current one
    Use {
        /// Its name
        name: String,
    },
    /// Forget a context (its files and keys stay)
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Serialize)]
struct Listed<'a> {
    current: Option<&'a str>,
    contexts: Vec<&'a str>,
}

#[derive(Serialize)]
struct Shown<'a> {
    context: &'a str,
    settings: &'a Settings,
}

impl ContextCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let home = home(flags)?;
        let mut config = Config::load(&home)?;
        match &self.action {
            Action::List => list(&config, output)?,
            Action::Show => show(&Context::resolve(flags)?, output)?,
            Action::Use { name } => {
                known(&config, name)?;
                config.current = Some(name.clone());
                config.save(&home)?;
                list(&config, output)?;
            }
            Action::Remove { name } => {
                known(&config, name)?;
                config.context.remove(name);
                if config.current.as_ref() == Some(name) {
                    config.current = None;
                }
                config.save(&home)?;
                list(&config, output)?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn known(config: &Config, name: &str) -> Result<()> {
    if config.context.contains_key(name) {
        return Ok(());
    }
    Err(UserError::usage(format!(
        "no context {name:?}; see `aimslog context list`"
    )))
}

fn list(config: &Config, output: Output) -> Result<()> {
    let contexts: Vec<&str> = config.context.keys().map(String::as_str).collect();
    let mut text = String::new();
    for name in &contexts {
        let mark = if config.current.as_deref() == Some(name) {
            '*'
        } else {
            ' '
        };
        writeln!(text, "{mark} {name}")?;
    }
    if contexts.is_empty() {
        text.push_str("no contexts; make one with `aimslog init`");
    }
    output.data(
        &Listed {
            current: config.current.as_deref(),
            contexts,
        },
        text,
    )
}

fn show(context: &Context, output: Output) -> Result<()> {
    let shown = Shown {
        context: &context.name,
        settings: &context.settings,
    };
    let text = format!(
        "context {}\n{}",
        context.name,
        toml::to_string(&context.settings)?
    );
    output.data(&shown, text)
}
