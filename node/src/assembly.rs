//! Puts a node together: guard before raft, raft before services, and all of it down again.
//!
//! Raft, exchange and peer listener live on the runtime that calls [`Node::start`]; clients and
//! operators on another one, so that a flood of calls cannot starve heartbeats.

mod disk;
mod freshness;
mod lifecycle;
mod open;
mod services;
mod start_clock;
mod tasks;
#[cfg(test)]
mod tests;

use crate::check::{FoundingError, first_entries};
use crate::clock::Clock;
use crate::config::{Config, Problem};
use crate::identity::{NodeKeys, SecretError};
use crate::ledger::alarms::ClockOff;
use crate::ledger::guard::Amnesia;
use crate::ledger::guard_file::GuardFileError;
use crate::raft::{Consensus, OpenError};
use crate::service::listener::{BindError, Bound, CurrentTls};
use crate::service::live_tls::{self, Followed, LiveTls};
use crate::service::serve::{Callers, serve};
use crate::service::spiffe::ClusterTag;
use crate::service::tls::{NodeTls, TlsError, TlsIdentity};
use aimslog_proto::aims::bundle::RuleBundle;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

/// Digest of the rule bundle compiled into this program.
pub fn rule_bundle_digest() -> [u8; 32] {
    RuleBundle::v1().digest().0
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Files or folders, all problems at once.
    #[error("{}", list(.0))]
    Check(Vec<Problem>),
    /// The first two entries.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// A key file.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The clock.
    #[error("{0}, as far as they answer: set the clock of this machine right and start again")]
    Clock(ClockOff),
    /// Data or guard of another node. The wrong folder, most likely; nothing in it is touched.
    #[error("{0}: give this node its own folders")]
    FolderOfAnother(Amnesia),
    /// The guard directory.
    #[error("the guard file cannot be used")]
    Guard(#[from] GuardFileError),
    /// Raft.
    #[error(transparent)]
    Raft(OpenError),
    /// Raft's files are damaged. Not repaired: what was lost may have been a promise.
    #[error(
        "the raft log or snapshot of this node is damaged; keep the folder for an examination, and \
         replace this node by a new one (aimslog cluster replace)"
    )]
    Damaged(#[source] OpenError),
    /// The state.
    #[error(
        "the state cannot be used; if it is damaged, move the folder state away: the node builds it \
         again from its log and snapshot"
    )]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A task ended before it began.
    #[error("starting was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        if error.is_damage() {
            Self::Damaged(error)
        } else {
            Self::Raft(error)
        }
    }
}

impl StartError {
    /// Whether the one who started the node can mend it: by its configuration, its files, or what
    /// else runs on the machine.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Check(_)
            | Self::Founding(_)
            | Self::Secret(_)
            | Self::Tls(_)
            | Self::Bind(_)
            | Self::Clock(_)
            | Self::FolderOfAnother(_) => true,
            Self::Raft(error) => error.is_held(),
            Self::Guard(_) | Self::Damaged(_) | Self::State(_) | Self::Interrupted(_) => false,
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}

/// Addresses that a node listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For clients.
    pub client: SocketAddr,
    /// For the other nodes.
    pub peer: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    addresses: Addresses,
    consensus: Option<Consensus>,
    stop: CancellationToken,
    tasks: TaskTracker,
    failures: mpsc::Receiver<String>,
}

/// The three listeners, bound before anything is written.
struct Doors {
    client: Bound,
    peer: Bound,
    admin: Bound,
}

impl Doors {
    async fn bind(config: &Config) -> Result<Self, BindError> {
        Ok(Self {
            client: Bound::bind("clients", config.listen.client).await?,
            peer: Bound::bind("peers", config.listen.peer).await?,
            admin: Bound::bind("operators", config.listen.admin).await?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            client: self.client.address(),
            peer: self.peer.address(),
            admin: self.admin.address(),
        }
    }
}

/// What runs beside each other, and how it is told to end.
#[derive(Debug, Clone)]
struct Supervisor {
    stop: CancellationToken,
    tasks: TaskTracker,
    failures: mpsc::Sender<String>,
}

impl Supervisor {
    /// Runs a task that the node cannot go on without.
    fn vital<E: std::error::Error>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let result = task.await;
            if let Err(error) = result {
                let chain = crate::service::status::Chain(&error).to_string();
                tracing::error!(task = name, error = chain, "task failed");
                // The first failure stops the node; later ones change nothing.
                drop(this.failures.try_send(format!("{name}: {chain}")));
            } else if !this.stop.is_cancelled() {
                drop(this.failures.try_send(format!("{name} ended")));
            }
        });
    }

    fn serve(&self, callers: Callers, (bound, tls): (Bound, CurrentTls), routes: Routes) {
        let connections = bound.accept(
            tls,
            callers.connections_max(),
            (&self.tasks, self.stop.clone()),
        );
        let stop = self.stop.clone();
        self.vital(callers.name(), serve(callers, connections, routes, stop));
    }
}

impl Node {
    /// Starts a node: checks, compares clocks, binds, examines the guard, opens the databases,
    /// serves.
    ///
    /// A node in amnesia starts too: it takes no part and serves nothing but its status.
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        clients: Handle,
    ) -> Result<Self, StartError> {
        let problems = crate::check::problems(&config, clock.as_ref());
        if !problems.is_empty() {
            return Err(StartError::Check(problems));
        }
        let first = first_entries(&config)?;
        let keys = NodeKeys::load(&config.keys)?;
        let cluster = ClusterTag::of(first.cluster_id.as_bytes());
        let identity = TlsIdentity {
            cluster,
            node_id: config.node_id,
            now: clock.unix_seconds(),
        };
        let tls = NodeTls::load(&config.tls, identity)?;
        let (failures, failed) = mpsc::channel(1);
        let supervisor = Supervisor {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failures,
        };
        let materials = open::Materials {
            config: Arc::new(config),
            clock,
            first,
            keys,
            cluster,
        };
        // Before the ports are bound: of nodes that start together none then waits for another one
        // that listens and does not answer yet.
        let (renewed, tls) = LiveTls::new(tls);
        start_clock::check(&materials, &materials.dialer(&tls)).await?;
        let doors = Doors::bind(&materials.config).await?;
        let addresses = doors.addresses();
        let followed = Followed {
            files: materials.config.tls.clone(),
            cluster,
            node_id: materials.config.node_id,
            clock: Arc::clone(&materials.clock),
        };
        let following = live_tls::follow(followed, renewed, supervisor.stop.clone());
        supervisor.tasks.spawn(following);
        // Boxed: it holds everything a node is made of while it is put together.
        let opening = open::open(&supervisor, materials, (doors, tls), clients);
        let consensus = Box::pin(opening).await?;
        tracing::info!(client = %addresses.client, peer = %addresses.peer, admin = %addresses.admin, "started");
        Ok(Self {
            addresses,
            consensus,
            stop: supervisor.stop.clone(),
            tasks: supervisor.tasks,
            failures: failed,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Returns when a task has ended that the node cannot go on without, with what is known.
    pub async fn failed(&mut self) -> String {
        match self.failures.recv().await {
            Some(what) => what,
            None => std::future::pending().await,
        }
    }

    /// Stops taking calls, lets open ones finish within the drain deadline, and closes raft.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        let drained = tokio::time::timeout(crate::limits_server::DRAIN_DEADLINE, self.tasks.wait());
        if drained.await.is_err() {
            tracing::warn!("open calls did not finish in time");
        }
        if let Some(consensus) = self.consensus {
            consensus.shutdown().await;
        }
    }
}
