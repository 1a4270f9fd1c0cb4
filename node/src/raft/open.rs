//! Starting a node's seat: database, snapshots, machine, network, and the tasks around them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use openraft::{
    Config, ConfigError, Raft, SnapshotPolicy, async_runtime::watch::WatchReceiver, errors::Fatal,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    adapter::StateMachine,
    compaction,
    consensus::{Consensus, Inner, Participation},
    guard::VoteGuard,
    log_store::LogStore,
    machine::Machine,
    network::PeerNetwork,
    peer::{PeerDialer, PeerGate},
    peer_service::{Door, PeerServer},
    snapshot::{SnapshotError, SnapshotStore},
    status,
    type_config::TypeConfig,
};
use crate::store::{
    fatal::{FatalError, FatalHook},
    raft_codec::Identity,
    raft_db::{RaftDb, RaftDbError},
};

/// A snapshot of any size may take long to install; only silence for this long ends its transfer.
const SNAPSHOT_IDLE: Duration = Duration::from_mins(1);

/// Where a node's seat is and how it behaves.
#[derive(Debug, Clone)]
pub struct RaftConfig {
    /// Holds the folders `raft` and `snapshots`; on one file system with the machine's state.
    pub data_dir: PathBuf,
    /// The entry id of the genesis statement.
    pub cluster_id: [u8; 32],
    pub node_id: u64,
    pub timing: Timing,
    pub retention: Retention,
    pub participation: Participation,
}

/// How soon a dead leader is replaced.
///
/// A follower campaigns when it has heard nothing for `election_max` (the lease that it grants) and
/// then a random time between `election_min` and `election_max`. With the defaults that is 1.4 to
/// 1.8 s of silence, so that writes resume within 3 s also when the first vote is split, while ten
/// heartbeats in a row must be lost or late before anybody disturbs a healthy leader. etcd's
/// default (100 ms and 1 s) is of the same size; `openraft`'s (50 ms and 150 to 300 ms) takes every
/// slow sync of a shared disk for a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
}

/// How much of the log stays. It holds payloads, so it is bounded by bytes and by age.
#[derive(Clone, Copy)]
pub struct Retention {
    /// What stays for peers that were away; a snapshot is made when twice as much has gathered.
    pub keep_bytes: u64,
    /// No entry stays longer than this, plus the time that a snapshot takes.
    pub age_max: Duration,
    /// Seconds since 1970, from the node's one clock.
    pub unix_now: fn() -> u64,
}

/// What the node brings.
#[derive(Clone)]
pub struct Hooks {
    pub machine: Arc<dyn Machine>,
    pub guard: Arc<dyn VoteGuard>,
    pub dialer: Arc<dyn PeerDialer>,
    pub gate: Arc<dyn PeerGate>,
    pub fatal: FatalHook,
}

/// Why a node's seat cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("the raft database cannot be used")]
    Store(#[from] RaftDbError),
    #[error("the raft database belongs to node {found} of another cluster or another node")]
    OtherIdentity { found: u64, cluster: [u8; 32] },
    #[error("the snapshots cannot be used")]
    Snapshots(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the timing of elections is not possible")]
    Timing(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("raft did not start")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpenError {
    /// Whether another process has the database open.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Store(RaftDbError::Held { .. }))
    }

    /// Whether what is on the disk is damaged or contradicts itself, so that trying again is of no
    /// use.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            // Raft's own reasons not to start are holes between log, snapshot and state.
            Self::Start(_) => true,
            Self::OtherIdentity { .. } | Self::Snapshots(_) | Self::Timing(_) => false,
        }
    }
}

/// Makes the empty Raft database of a new node. Fails if there is one already: a node that has lost
/// its memory must not get an empty one under its old id.
pub fn create_store(data_dir: &Path, cluster_id: [u8; 32], node_id: u64) -> Result<(), OpenError> {
    let identity = Identity {
        cluster_id,
        node_id,
        incarnation: 0,
    };
    let db = RaftDb::create(&raft_dir(data_dir), identity, FatalHook::abort())?;
    db.close();
    Ok(())
}

impl Consensus {
    /// Takes the seat. Blocks on disk while it checks the database, and applies what was committed
    /// before it returns.
    pub async fn open(config: RaftConfig, hooks: Hooks) -> Result<Self, OpenError> {
        let raft_config = Arc::new(raft_config(&config).map_err(|e| OpenError::Timing(e.into()))?);
        let (db, snapshots, current) = open_disk(&config, hooks.fatal.clone()).await?;
        let log = LogStore::new(db.clone(), Arc::clone(&hooks.guard), hooks.fatal.clone());
        let fatal = hooks.fatal.clone();
        let machine = Arc::clone(&hooks.machine);
        let machine = StateMachine::new(machine, snapshots.clone(), current, fatal);
        let idle = config.timing.election_max;
        let network = PeerNetwork::new(
            config.cluster_id,
            config.node_id,
            Arc::clone(&hooks.dialer),
            idle,
        );
        let raft = Raft::new(config.node_id, raft_config, network.clone(), log, machine)
            .await
            .map_err(|fatal| OpenError::Start(fatal.into()))?;
        let gate = Arc::clone(&hooks.gate);
        let door = Door::new(
            config.cluster_id,
            config.node_id,
            gate,
            config.participation,
        );
        let server = PeerServer {
            door: Arc::new(door),
            raft: raft.clone(),
            snapshots,
            receiving: Arc::new(tokio::sync::Semaphore::new(1)),
        };
        let stop = CancellationToken::new();
        let (status_tx, status) = watch::channel(status::status_of(
            &raft.metrics().borrow_watched(),
            *db.flushed().borrow(),
        ));
        let inner = Inner {
            id: config.node_id,
            raft,
            status,
            network,
            server,
            db: Mutex::new(Some(db.clone())),
            stop: stop.clone(),
            shorten: Arc::default(),
        };
        let this = Self {
            inner: Arc::new(inner),
        };
        this.spawn_tasks(&config, &hooks, db, status_tx);
        Ok(this)
    }

    /// All of them end with the core, or at `stop`.
    fn spawn_tasks(
        &self,
        config: &RaftConfig,
        hooks: &Hooks,
        db: RaftDb,
        status: watch::Sender<super::types::Status>,
    ) {
        let stop = &self.inner.stop;
        let metrics = self.inner.raft.metrics();
        let publish = status::publish(metrics, db.flushed(), status, stop.clone());
        tokio::spawn(publish);
        tokio::spawn(watch_core(
            self.inner.raft.clone(),
            hooks.fatal.clone(),
            stop.clone(),
        ));
        let compactor = compaction::Compactor {
            raft: self.inner.raft.clone(),
            status: self.status(),
            machine: Arc::clone(&hooks.machine),
            db,
            retention: config.retention,
            fatal: hooks.fatal.clone(),
            wanted: Arc::clone(&self.inner.shorten),
        };
        tokio::spawn(compactor.run(stop.clone()));
    }
}

/// Opens database and snapshots on a blocking thread.
async fn open_disk(
    config: &RaftConfig,
    fatal: FatalHook,
) -> Result<(RaftDb, SnapshotStore, Option<super::snapshot::SnapshotDir>), OpenError> {
    let (data_dir, expected) = (config.data_dir.clone(), (config.cluster_id, config.node_id));
    let opened = tokio::task::spawn_blocking(move || {
        let db = RaftDb::open(&raft_dir(&data_dir), fatal)?;
        let Identity {
            cluster_id: cluster,
            node_id: found,
            ..
        } = db.identity();
        if (cluster, found) != expected {
            db.close();
            return Err(OpenError::OtherIdentity { found, cluster });
        }
        let snapshots = |error: SnapshotError| OpenError::Snapshots(error.into());
        let (store, current) =
            SnapshotStore::open(&data_dir.join("snapshots")).map_err(snapshots)?;
        Ok((db, store, current))
    });
    opened
        .await
        .map_err(|cancelled| OpenError::Start(cancelled.into()))?
}

/// A dead core cannot be revived inside the process, so the process goes with it.
async fn watch_core(
    raft: Raft<TypeConfig, StateMachine>,
    fatal: FatalHook,
    stop: CancellationToken,
) {
    let mut metrics = raft.metrics();
    let dead = metrics.wait_until(|m| m.running_state.is_err());
    let state = tokio::select! {
        state = dead => state.map(|m| m.running_state),
        () = stop.cancelled() => return,
    };
    // A core that panics says nothing any more: its metrics just end.
    let error = match state {
        Ok(Ok(()) | Err(Fatal::Stopped)) => return,
        Ok(Err(error)) => error,
        Err(_ended) => Fatal::Panicked,
    };
    fatal.fire(&FatalError::new("running raft", error));
}

pub(super) fn raft_config(config: &RaftConfig) -> Result<Config, ConfigError> {
    let Timing {
        heartbeat,
        election_min,
        election_max,
    } = config.timing;
    let campaigns = config.participation == Participation::Full;
    let config = Config {
        cluster_name: "aimslog".to_owned(),
        heartbeat_interval: millis(heartbeat),
        election_timeout_min: millis(election_min),
        election_timeout_max: millis(election_max),
        install_snapshot_timeout: millis(SNAPSHOT_IDLE),
        // Entries are up to 1 MiB; the reader cuts at 2 MiB before this count does.
        max_payload_entries: 64,
        // Ours: by bytes and age, see `compaction`.
        snapshot_policy: SnapshotPolicy::Never,
        // Never purged by itself; a purge waits until the machine has synced.
        max_in_snapshot_log_to_keep: u64::MAX,
        // One range tombstone for many entries.
        purge_batch_size: 1024,
        // The sequencer batches; waiting here would only add to its latency.
        api_batch_linger_ms: 0,
        enable_elect: campaigns,
        enable_heartbeat: config.participation != Participation::Silent,
        enable_pre_vote: Some(true),
        // On, because both of its conditions hold: committed and applied are persisted. Off it
        // could leave a group without a leader (openraft issue 2091). A node that must not campaign
        // must not come back as leader either.
        enable_leader_restore: Some(campaigns),
        // Would let a node that has lost its log rejoin as if nothing had happened.
        allow_log_reversion: None,
        ..Config::default()
    };
    config.validate()
}

/// Whether a node has kept a raft log in this folder.
pub fn has_raft_log(data_dir: &Path) -> bool {
    raft_dir(data_dir).join("CURRENT").exists()
}

fn raft_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("raft")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(900),
        }
    }
}

impl Retention {
    /// 256 MiB and 24 hours.
    pub fn new(unix_now: fn() -> u64) -> Self {
        Self {
            keep_bytes: 256 << 20,
            age_max: Duration::from_hours(24),
            unix_now,
        }
    }
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention")
            .field("keep_bytes", &self.keep_bytes)
            .field("age_max", &self.age_max)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
