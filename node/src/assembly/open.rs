//! Opens guard and databases in their order, and decides between a full node and one in amnesia.

use super::{Doors, StartError, Supervisor, services, tasks};
use crate::check::FirstEntries;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::NodeKeys;
use crate::ledger::access_journal::AccessJournal;
use crate::ledger::guard::{Amnesia, DataState, Guard, Opened};
use crate::ledger::guard_record::Identity;
use crate::ledger::machine::Ledger;
use crate::ledger::peer_file::{self, Memories};
use crate::raft::{Consensus, create_store, has_raft_log};
use crate::service::live_tls::LiveTls;
use crate::service::peer_tls::TlsDialer;
use crate::service::spiffe::ClusterTag;
use crate::store::fatal::FatalHook;
use crate::store::raft_db::RaftDb;
use crate::store::state_db::{StateDb, StateOptions};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// What a node is made of, checked.
pub(super) struct Materials {
    pub(super) config: Arc<Config>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) first: FirstEntries,
    pub(super) keys: NodeKeys,
    pub(super) cluster: ClusterTag,
}

impl Materials {
    /// Who this node is.
    pub(super) fn identity(&self) -> Identity {
        Identity {
            cluster: *self.first.cluster_id.as_bytes(),
            node: self.config.node_id,
        }
    }

    /// How this node reaches the others.
    pub(super) fn dialer(&self, tls: &LiveTls) -> TlsDialer {
        let peers = self.config.peers.iter();
        let addresses = peers.map(|peer| (peer.id, peer.address.to_string()));
        TlsDialer::new(self.cluster, tls.clone(), addresses.collect())
    }
}

/// Opens the node and spawns its tasks; gives raft where the node takes part.
pub(super) async fn open(
    supervisor: &Supervisor,
    materials: Materials,
    edge: (Doors, LiveTls),
    clients: Handle,
) -> Result<Option<Consensus>, StartError> {
    let (config, identity) = (Arc::clone(&materials.config), materials.identity());
    let (data, opened) = spawn_blocking(move || examine(&config, identity)).await??;
    match opened {
        Opened::Healthy(guard) => {
            let config = Arc::clone(&materials.config);
            let ledger = spawn_blocking(move || open_ledger(&config, identity, data)).await??;
            let config = Arc::clone(&materials.config);
            let remembered = spawn_blocking(move || remembered(&config, identity)).await?;
            let config = Arc::clone(&materials.config);
            let journal = spawn_blocking(move || AccessJournal::open(&config.data_dir)).await?;
            let journal = journal.map_err(|error| StartError::State(Box::new(error)))?;
            let node = tasks::Parts {
                journal: Arc::new(journal),
                guard: Arc::new(guard),
                ledger,
                data,
                remembered,
            };
            tasks::run(supervisor, materials, node, (edge, clients))
                .await
                .map(Some)
        }
        // What is in the folders is intact; it is the configuration that is wrong.
        Opened::Amnesia(
            other @ (Amnesia::DataOfAnother { .. } | Amnesia::GuardOfAnother { .. }),
        ) => Err(StartError::FolderOfAnother(other)),
        Opened::Amnesia(amnesia) => {
            tracing::error!(guard = amnesia.guard_name(), %amnesia, "this node takes no part");
            services::run_amnesiac(supervisor, &materials, amnesia, (edge, clients));
            Ok(None)
        }
    }
}

/// What data and guard directory hold.
fn examine(config: &Config, identity: Identity) -> Result<(DataState, Opened), StartError> {
    let data = data_state(&config.data_dir)?;
    let opened = Guard::open(&config.guard_dir, identity, &data)?;
    Ok((data, opened))
}

/// Reads the raft database of an earlier run, if there is one.
fn data_state(data_dir: &Path) -> Result<DataState, StartError> {
    let folder = data_dir.join("raft");
    if !has_raft_log(data_dir) {
        return Ok(DataState::default());
    }
    let db = RaftDb::open(&folder, FatalHook::abort()).map_err(crate::raft::OpenError::from)?;
    let found = db.identity();
    let state = DataState {
        identity: Some(Identity {
            cluster: found.cluster_id,
            node: found.node_id,
        }),
        log_end: db.ends().last,
        vote: db.vote(),
    };
    db.close();
    Ok(state)
}

/// What the node remembered of its peers. A file that cannot be used weakens the guard of others
/// and breaks no promise of this node's, so it stops nothing.
fn remembered(config: &Config, identity: Identity) -> Memories {
    peer_file::read(&config.guard_dir, identity).unwrap_or_else(|error| {
        let cause = &error as &dyn std::error::Error;
        tracing::warn!(cause, "what was known of the peers is lost");
        Memories::new()
    })
}

fn open_ledger(config: &Config, identity: Identity, data: DataState) -> Result<Ledger, StartError> {
    if data.identity.is_none() {
        create_store(&config.data_dir, identity.cluster, identity.node)?;
    }
    let db = StateDb::open(
        &config.data_dir,
        StateOptions::default(),
        FatalHook::abort(),
    )
    .map_err(|error| StartError::State(Box::new(error)))?;
    Ledger::open(Arc::new(db)).map_err(|error| StartError::State(Box::new(error)))
}
