//! `aimslog`: the command line of the Aimslog evidence ledger.

mod args;
mod attach;
mod broken;
mod catalogues;
mod context;
mod demo;
mod describe;
mod exit;
mod import;
mod keys;
mod limited;
mod outbox;
mod output;
mod parameters;
mod reach;
mod records;
mod saved;
mod sealed;
mod sheet;
mod starter;
mod verb;
mod when;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use broken::Failed;
use describe::mark_id;
use exit::{Exit, exit_of};
use output::{Format, Output};

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os().map(mark_id)) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(if cli.global.json {
        Format::Json
    } else {
        Format::Text
    });
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if output.is_json() {
                output.say(Failed::of(&error).line());
            } else {
                output.say(format!("aimslog: {error:#}"));
            }
            exit_of(&error).into()
        }
    }
}

/// Help and version are no errors; what is one is said as JSON where that was asked for.
fn not_understood(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json")
        || std::env::var_os("AIMSLOG_JSON").is_some_and(|value| value == "1" || value == "true");
    if error.use_stderr() && is_json {
        let message = error.render().to_string();
        Output::new(Format::Json).say(Failed::usage(message.trim_end().to_owned()).line());
    } else {
        // Nobody to say it to is no reason to fail otherwise.
        drop(error.print());
    }
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Ok.into()
    }
}

fn run(cli: Cli, output: Output) -> anyhow::Result<Exit> {
    let flags = &cli.global.connection;
    match cli.command {
        Command::Demo(demo) => demo.run(output),
        Command::Init(init) => init.run(flags, output),
        Command::Context(context) => context.run(flags, output),
        Command::Doctor(doctor) => doctor.run(flags, output),
        Command::Key(key) => key.run(flags, output),
        Command::Policy(policy) => policy.run(flags, output),
        Command::Cluster(cluster) => cluster.run(flags, output),
        Command::Operator(operator) => operator.run(flags, output),
        Command::Org(org) => org.run(flags, output),
        Command::Principal(principal) => principal.run(flags, output),
        Command::Role(role) => role.run(flags, output),
        Command::Engagement(engagement) => engagement.run(flags, output),
        Command::Control(control) => control.run(flags, output),
        Command::Access(access) => access.run(flags, output),
        Command::Whoami(whoami) => whoami.run(flags, output),
        Command::Aims(aims) => aims.run(output),
        Command::Template(template) => template.run(output),
        Command::Validate(validate) => validate.run(flags, output),
        Command::Submit(submit) => submit.run(flags, output),
        Command::Import(import) => import.run(flags, output),
        Command::Amend(amend) => amend.run(flags, output),
        Command::Retract(retract) => retract.run(flags, output),
        Command::Get(get) => get.run(flags, output),
        Command::Prove(prove) => prove.run(flags, output),
        Command::List(list) => list.run(flags, output),
        Command::History(history) => history.run(flags, output),
        Command::Register(register) => register.run(flags, output),
        Command::Watch(watch) => watch.run(flags, output),
        Command::Disclose(disclose) => disclose.run(flags, output),
        Command::Verify(verify) => verify.run(flags, output),
        Command::Checkpoint(checkpoint) => checkpoint.run(flags, output),
        Command::Registry(registry) => registry.run(flags, output),
        Command::Completions(completions) => completions.run(),
    }
}
