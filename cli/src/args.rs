//! The command line: what every command shares, and the list of commands.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use crate::demo;
use crate::keys::{KeyRef, SecretFiles};
use crate::verb;

/// Evidence of an AI management system, in a log that nobody can change unseen.
///
/// Submit records (oversight decisions, audit findings, corrective actions ...) to an Aimslog ledger,
/// and check them offline: who logged what, when at the latest, before which other, and that nothing
/// was changed or removed since. It does not show that a record is true.
#[derive(Debug, Parser)]
#[command(name = "aimslog", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 verification failed, 2 usage, 3 unreachable or I/O, 4 refused by the ledger,
5 outcome unknown (repeating the same command is safe). `cluster status`: 3 a node does not answer,
1 a node has an alarm.

Try it: aimslog demo";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print data as one JSON document, and an error as one line of JSON on standard error
    #[arg(
        long,
        global = true,
        env = "AIMSLOG_JSON",
        hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Which ledger, as whom: overrides of the context.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection (each overrides the context)")]
pub(crate) struct Connection {
    /// Context to use; see `aimslog context`
    #[arg(long, global = true, env = "AIMSLOG_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Folder of configuration and state [default: ~/.config/aimslog]
    #[arg(long, global = true, env = "AIMSLOG_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Client listener of a node, host:port; several allowed
    #[arg(
        long,
        global = true,
        env = "AIMSLOG_ENDPOINT",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) endpoint: Vec<String>,
    /// PEM of the authority that signed the nodes' certificates
    #[arg(long, global = true, env = "AIMSLOG_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Policy file (C2SP tlog-policy) that heads must satisfy
    #[arg(long, global = true, env = "AIMSLOG_POLICY", value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Key that signs: a key file, or the PKCS#11 URI of a key in a token; see `aimslog key`
    #[arg(long, global = true, env = "AIMSLOG_KEY", value_name = "KEY")]
    pub(crate) key: Option<KeyRef>,
    /// File that holds the passphrase of encrypted key files [default: ask for it]
    #[arg(
        long,
        global = true,
        env = "AIMSLOG_PASSPHRASE_FILE",
        value_name = "FILE"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// File that holds the PIN of the token [default: ask for it]
    #[arg(long, global = true, env = "AIMSLOG_PIN_FILE", value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
    /// Organisation that the key belongs to
    #[arg(long, global = true, env = "AIMSLOG_ORG", value_name = "ID")]
    pub(crate) org: Option<String>,
    /// Seconds until a call is given up
    #[arg(
        long,
        global = true,
        env = "AIMSLOG_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30
    )]
    pub(crate) timeout: u64,
    /// Admin listener of a node, host:port; several allowed (operators)
    #[arg(
        long,
        global = true,
        env = "AIMSLOG_ADMIN_ENDPOINT",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) admin_endpoint: Vec<String>,
    /// PEM of the authority of the admin listeners (operators)
    #[arg(long, global = true, env = "AIMSLOG_ADMIN_CA", value_name = "FILE")]
    pub(crate) admin_ca: Option<PathBuf>,
    /// PEM of the operator's client certificate (operators)
    #[arg(long, global = true, env = "AIMSLOG_ADMIN_CERT", value_name = "FILE")]
    pub(crate) admin_cert: Option<PathBuf>,
    /// PEM of that certificate's key (operators)
    #[arg(
        long,
        global = true,
        env = "AIMSLOG_ADMIN_CERT_KEY",
        value_name = "FILE"
    )]
    pub(crate) admin_cert_key: Option<PathBuf>,
}

impl Connection {
    /// Where passphrases and PINs come from.
    pub(crate) fn secret_files(&self) -> SecretFiles {
        SecretFiles {
            passphrase: self.passphrase_file.clone(),
            pin: self.pin_file.clone(),
        }
    }
}

/// The commands, one file each in `verb/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Init(verb::init::Init),
    Context(verb::context::ContextCommand),
    Doctor(verb::doctor::Doctor),
    Key(verb::key::Key),
    Policy(verb::policy::PolicyCommand),
    Cluster(verb::cluster::Cluster),
    Operator(verb::operator::OperatorCommand),
    Org(verb::org::Org),
    Principal(verb::principal::PrincipalCommand),
    Role(verb::role::RoleCommand),
    Engagement(verb::engagement::EngagementCommand),
    Control(verb::control::ControlCommand),
    Access(verb::access::AccessCommand),
    Whoami(verb::whoami::Whoami),
    Aims(verb::aims::Aims),
    Template(verb::template::Template),
    Validate(verb::submit::Validate),
    Submit(verb::submit::Submit),
    Import(verb::import::Import),
    Amend(verb::amend::Amend),
    Retract(verb::amend::Retract),
    Get(verb::get::Get),
    List(verb::list::List),
    History(verb::history::History),
    Register(verb::register::RegisterCommand),
    Prove(verb::prove::Prove),
    Watch(verb::watch::Watch),
    Disclose(verb::disclose::Disclose),
    Verify(verb::verify::Verify),
    Checkpoint(verb::checkpoint::Checkpoint),
    Registry(verb::registry::RegistryCommand),
    Completions(verb::completions::Completions),
}
