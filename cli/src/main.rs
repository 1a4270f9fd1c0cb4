//! `aimslog`: the command line of the Aimslog evidence ledger.

mod args;
mod context;
mod demo;
mod describe;
mod exit;
mod keyfile;
mod outbox;
mod output;
mod reach;
mod records;
mod sealed;
mod verb;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use describe::mark_id;
use exit::{Exit, exit_of};
use output::{Format, Output};

fn main() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().map(mark_id));
    let output = Output::new(if cli.global.json {
        Format::Json
    } else {
        Format::Text
    });
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.say(format!("aimslog: {error:#}"));
            exit_of(&error).into()
        }
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
        Command::Org(org) => org.run(flags, output),
        Command::Principal(principal) => principal.run(flags, output),
        Command::Validate(validate) => validate.run(flags, output),
        Command::Submit(submit) => submit.run(flags, output),
        Command::Amend(amend) => amend.run(flags, output),
        Command::Retract(retract) => retract.run(flags, output),
        Command::Get(get) => get.run(flags, output),
        Command::Prove(prove) => prove.run(flags, output),
        Command::List(list) => list.run(flags, output),
        Command::Watch(watch) => watch.run(flags, output),
        Command::Disclose(disclose) => disclose.run(flags, output),
        Command::Verify(verify) => verify.run(flags, output),
        Command::Checkpoint(checkpoint) => checkpoint.run(flags, output),
        Command::Completions(completions) => completions.run(),
    }
}
