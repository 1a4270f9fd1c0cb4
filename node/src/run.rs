//! `aimslogd run`: logging, runtimes, signals, and the order of start and stop.

use crate::assembly::{Node, StartError};
use crate::clock;
use crate::config::{Config, ConfigError, LogFormat};
use crate::limits_server::DRAIN_DEADLINE;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Threads for clients and operators, and for raft and peers: two pools, so that a flood of clients
/// cannot starve heartbeats.
const WORKERS: usize = 2;

/// Open files that a node needs at worst: all connections of its listeners and unfinished handshakes,
/// and as many again for the databases.
const OPEN_FILES_WANTED: u64 = 4_096;

/// Why the node does not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A thread pool or a signal handler.
    #[error("the system gives no threads or signals")]
    System(#[source] std::io::Error),
    /// The start was refused.
    #[error("the node does not start")]
    Start(#[source] Box<StartError>),
    /// A task that the node cannot go on without has ended.
    #[error("the node stops: {what}")]
    Stopped {
        /// Which, and why.
        what: String,
    },
}

impl RunError {
    /// Whether the person who started the program can mend it.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Start(refused) => refused.is_usage(),
            Self::System(_) | Self::Stopped { .. } => false,
        }
    }
}

/// Digest of the rule bundle compiled into this program.
pub fn rule_bundle_digest() -> [u8; 32] {
    crate::assembly::rule_bundle_digest()
}

/// A panic is a bug: it is logged with its place, and the release build aborts after it. A half-dead
/// node is worse than one that is started again.
pub fn install_panic_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic, a bug of this program");
        before(panic);
    }));
}

/// Runs the node of this configuration until it is told to stop or cannot go on.
pub fn run(path: &Path) -> Result<(), RunError> {
    let config = Config::load(path)?;
    start_logging(&config);
    raise_open_files();
    let peers = pool("aimslog-peer")?;
    let clients = pool("aimslog-client")?;
    let result = peers.block_on(async {
        let node = Node::start(config, clock::system(), clients.handle().clone())
            .await
            .map_err(|error| RunError::Start(Box::new(error)))?;
        wait(node).await
    });
    clients.shutdown_timeout(DRAIN_DEADLINE);
    peers.shutdown_timeout(DRAIN_DEADLINE);
    match &result {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!(%error, "stopped"),
    }
    result
}

/// Takes as many open files as the system grants. Connections and the files of the databases share
/// them, and a database that cannot open a file stops the node.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let granted = match raised {
        Ok(()) => limit.maximum,
        Err(_refused) => limit.current,
    };
    if granted.is_some_and(|granted| granted < OPEN_FILES_WANTED) {
        tracing::warn!(
            granted,
            wanted = OPEN_FILES_WANTED,
            "few open files are granted (ulimit -n); many connections could stop this node"
        );
    }
}

async fn wait(mut node: Node) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::System)?;
    let failure = tokio::select! {
        _ = terminate.recv() => { tracing::info!("SIGTERM, stopping"); None }
        _ = interrupt.recv() => { tracing::info!("SIGINT, stopping"); None }
        what = node.failed() => Some(what),
    };
    node.stop().await;
    match failure {
        None => Ok(()),
        Some(what) => Err(RunError::Stopped { what }),
    }
}

fn pool(name: &'static str) -> Result<Runtime, RunError> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(RunError::System)
}

fn start_logging(config: &Config) {
    let asked = std::env::var("RUST_LOG").ok();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(asked.as_deref(), &config.log_filter))
        .with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging runs already");
    }
}

/// What the environment asks for, else the configuration. openraft tells every step of its own at
/// info, thousands of lines in a minute of load, so it stays at warn unless it is named.
fn filter(environment: Option<&str>, configured: &str) -> EnvFilter {
    let asked = environment.filter(|asked| !asked.is_empty());
    asked
        .into_iter()
        .chain([configured, "info"])
        .find_map(|directives| EnvFilter::try_new(format!("openraft=warn,{directives}")).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openraft_is_quiet_unless_it_is_named() {
        let table = [
            ("configured", None, "info", "openraft=warn,info"),
            ("named", None, "info,openraft=debug", "openraft=debug,info"),
            ("environment", Some("debug"), "info", "openraft=warn,debug"),
            (
                "empty environment",
                Some(""),
                "error",
                "openraft=warn,error",
            ),
            ("no filter", Some("a=b=c"), "error", "openraft=warn,error"),
        ];
        for (name, environment, configured, expected) in table {
            let filter = filter(environment, configured);
            assert_eq!(filter.to_string(), expected, "{name}");
        }
    }
}
