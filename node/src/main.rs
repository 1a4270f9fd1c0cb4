//! `aimslogd`, one node of the Aimslog evidence ledger.

use aimslog_node::clock::{self, SystemClock};
use aimslog_node::init::{NodeSpec, Plan};
use aimslog_node::rotate::{Rotated, rotate};
use aimslog_node::{check, init, run};
use aimslog_proto::tlog::Origin;
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Submissions are many small values that one thread makes and another drops; glibc's allocator took
/// a sixth of the time on their path.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One node of an Aimslog evidence ledger.
#[derive(Debug, Parser)]
#[command(name = "aimslogd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the node until SIGTERM or SIGINT.
    ///
    /// Ends with code 2 and the reason where it does not start and you can mend it: configuration,
    /// keys and certificates, a port that is taken, a clock that is 2 s off those of the nodes that
    /// answer, a folder of another node, too little disk. Code 1: something failed or is damaged.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "AIMSLOGD_CONFIG")]
        config: PathBuf,
    },
    /// Says what is wrong with a configuration and everything it names, or prints it as in effect.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "AIMSLOGD_CONFIG")]
        config: PathBuf,
    },
    /// Makes a new cluster: one folder per node and operator, with keys and certificates.
    Init(InitArguments),
    /// Makes the folder of a node that is to join a running cluster, for `aimslog cluster replace`.
    AddNode(AddArguments),
    /// Makes the folder of an operator who comes later, for `aimslog operator add`: a key, and a
    /// certificate for the admin listeners.
    AddOperator(AddOperatorArguments),
    /// Makes new certificates with new keys for a node that runs and takes them over by itself.
    Renew(RenewArguments),
    /// Makes the key that is to follow the node's cosigner key, the receipt key or the log key.
    ///
    /// It lies beside the old one, and is not used before the operators have named it (`aimslog cluster
    /// rotate-node`, `rotate-receipt-key`, `rotate-log-key`), to whom the file goes that this writes:
    /// the public half and its proof. The node may run. Repeated, it writes the proof of the same key
    /// again.
    Rotate(RotateArguments),
    /// Prints the version.
    Version,
}

#[derive(Debug, clap::Args)]
struct InitArguments {
    /// The log's name, a URL without scheme such as ledger.example.com/aims1. Never changes.
    #[arg(long, value_parser = init::parse_origin)]
    origin: Origin,
    /// A node, LABEL=HOST:PORT (its peer port; clients use PORT+1, operators PORT+2) or
    /// LABEL=HOST:PEER:CLIENT:ADMIN. Once per node; ids are given in this order from 1 on. Three
    /// nodes bear the loss of one; one or two bear none.
    #[arg(long = "node", value_name = "NODE", required = true)]
    nodes: Vec<NodeSpec>,
    /// How many operators. Two of them must agree on what genesis reserves to operators; 1 makes a
    /// trial in which one person decides alone.
    #[arg(long, default_value_t = 2)]
    operators: usize,
    /// The folder to write; must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "aimslog-cluster")]
    dir: PathBuf,
    /// The address that every node binds. Without it: a loopback host as it is, else 0.0.0.0.
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
}

#[derive(Debug, clap::Args)]
struct AddArguments {
    /// What is left of the folder that `init` wrote: authority/ and public/. The new node's folder is
    /// made in it; the keys that every node holds it gets from a running node, once it is let in.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The new node, as for `init`.
    #[arg(long)]
    node: NodeSpec,
    /// Its number, which no node of the cluster has ever had.
    #[arg(long)]
    id: u64,
    /// The number of the node in whose place it comes.
    #[arg(long, value_name = "ID")]
    replaces: Option<u64>,
    /// The address that it binds, as for `init`.
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
}

#[derive(Debug, clap::Args)]
struct AddOperatorArguments {
    /// What is left of the folder that `init` wrote: authority/ and public/.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Its number, for the certificate and the name of the folder.
    #[arg(long)]
    number: NonZeroUsize,
    /// The folder to write; must be empty or missing. Without it: operator-NUMBER in --from.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make no key: the operator has one, and its certificate ends.
    #[arg(long, requires = "out")]
    certificate_only: bool,
}

#[derive(Debug, clap::Args)]
struct RenewArguments {
    /// What is left of the folder that `init` wrote: authority/ and public/.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The node with the hosts that its certificates are to name, as for `init`.
    #[arg(long)]
    node: NodeSpec,
    /// Its number.
    #[arg(long)]
    id: u64,
    /// The folder to write; must be empty or missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct RotateArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "AIMSLOGD_CONFIG")]
    config: PathBuf,
    /// Which key is to be followed by another one.
    #[arg(long, value_enum, default_value_t = Rotated::Cosigner)]
    key: Rotated,
    /// Where to write the proof of possession: a folder, or a file that does not exist or holds an
    /// earlier proof. Without it: beside the key, as cosigner.next.toml, receipt.next.toml or
    /// log.next.toml.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

/// Exit codes: 0 ok, 1 the node failed, 2 usage or configuration.
const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    run::install_panic_hook();
    match Arguments::parse().command {
        Command::Run { config } => match run::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(
                &error,
                if error.is_usage() {
                    EXIT_USAGE
                } else {
                    EXIT_FAILED
                },
            ),
        },
        Command::Check { config } => match check::check(&config, clock::system().as_ref()) {
            Ok(report) => {
                say(&report.text);
                if report.good {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(EXIT_USAGE)
                }
            }
            Err(error) => fail(&error, EXIT_USAGE),
        },
        Command::Init(arguments) => init_cluster(arguments),
        Command::AddNode(arguments) => add_node(arguments),
        Command::AddOperator(arguments) => add_operator(arguments),
        Command::Renew(arguments) => renew(arguments),
        Command::Rotate(arguments) => made(rotate(
            &arguments.config,
            arguments.key,
            arguments.out.as_deref(),
        )),
        Command::Version => {
            say(&format!("aimslogd {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
    }
}

fn init_cluster(arguments: InitArguments) -> ExitCode {
    let plan = Plan {
        origin: arguments.origin,
        nodes: arguments.nodes,
        operators: arguments.operators,
        folder: arguments.dir,
        bind: arguments.bind,
    };
    made(init::init(&plan, &SystemClock, run::rule_bundle_digest()))
}

fn add_node(arguments: AddArguments) -> ExitCode {
    let addition = init::Addition {
        from: arguments.from,
        node: arguments.node,
        id: arguments.id,
        replaces: arguments.replaces,
        bind: arguments.bind,
    };
    made(init::add_node(&addition, &SystemClock))
}

fn add_operator(arguments: AddOperatorArguments) -> ExitCode {
    let addition = init::OperatorAddition {
        from: arguments.from,
        number: arguments.number,
        out: arguments.out,
        certificate_only: arguments.certificate_only,
    };
    made(init::add_operator(&addition, &SystemClock))
}

fn renew(arguments: RenewArguments) -> ExitCode {
    let renewal = init::Renewal {
        from: arguments.from,
        node: arguments.node,
        id: arguments.id,
        out: arguments.out,
    };
    made(init::renew(&renewal, &SystemClock))
}

/// Says what was made, or why nothing was.
fn made<E: std::error::Error>(result: Result<String, E>) -> ExitCode {
    match result {
        Ok(words) => {
            say(&words);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, EXIT_USAGE),
    }
}

/// Data to standard output. A reader that went away is no reason to fail.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    let chain = aimslog_node::service::status::Chain(error);
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "aimslogd: {chain}"));
    ExitCode::from(code)
}
