//! Goal: what is easy to get wrong with openraft, and what its storage suite does not look at, stays
//! right. Method: our implementations of its traits, called as it would call them.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use openraft::{
    RaftNetworkFactory as _, RaftNetworkV2 as _, errors::RPCError, network::RPCOption,
    raft::VoteRequest, storage::RaftStateMachine as _,
};
use tokio::net::TcpListener;

use super::{
    adapter::{StateMachine, snapshot_of},
    network::PeerNetwork,
    open::raft_config,
    snapshot::SnapshotStore,
    testing::{Collector, MemoryGuard, OpenGate, PlainDialer},
    type_config::{RaftVote, log_id_of},
    *,
};
use crate::store::fatal::FatalHook;

const CLUSTER: [u8; 32] = [5; 32];
const IDLE: Duration = Duration::from_millis(300);

/// Keeps what was fatal instead of ending the process.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<&'static str>>>);

impl Reports {
    fn hook(&self) -> FatalHook {
        let reports = Arc::clone(&self.0);
        FatalHook::new(move |error| reports.lock().unwrap().push(error.what))
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

fn config(data_dir: &Path) -> RaftConfig {
    RaftConfig {
        data_dir: data_dir.to_owned(),
        cluster_id: CLUSTER,
        node_id: 1,
        timing: Timing::default(),
        retention: Retention::new(|| 0),
        participation: Participation::Full,
    }
}

/// The default of the trait grants; and a peer that says nothing must not count as one that agrees.
#[tokio::test]
async fn who_cannot_be_reached_or_stays_silent_grants_no_vote() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [&closed, &silent].map(|listener| listener.local_addr().unwrap().to_string());
    drop(closed);
    for addr in addresses {
        let mut network = PeerNetwork::new(CLUSTER, 1, Arc::new(PlainDialer), IDLE);
        let name = "test/node/2".to_owned();
        let mut peer = network.new_client(2, &Member { addr, name }).await;
        let request = VoteRequest::new(RaftVote::new(3, 1), None);
        let option = || RPCOption::new(IDLE);
        let answers = [
            peer.pre_vote(request.clone(), option()).await,
            peer.vote(request.clone(), option()).await,
        ];
        for answer in answers {
            assert!(
                matches!(answer, Err(RPCError::Unreachable(_))),
                "{answer:?}"
            );
        }
    }
}

/// A follower that comes back without its log must be found out, not be filled up again; entries are
/// large, so few go into a message; and what is purged waits for what we have synced.
#[test]
fn the_settings_that_keep_a_log_from_being_lost_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = raft_config(&config(folder.path())).unwrap();
    assert_eq!(config.allow_log_reversion, None);
    assert_eq!(config.enable_pre_vote, Some(true));
    assert_eq!(config.max_in_snapshot_log_to_keep, u64::MAX);
    assert!(config.purge_batch_size >= 1024);
    assert!(config.max_payload_entries <= 64);
    assert!(config.election_timeout_min >= 3 * config.heartbeat_interval);
}

/// A snapshot whose description names another position would let Raft believe that entries are
/// applied which are not.
#[tokio::test]
async fn a_snapshot_that_is_not_what_it_is_said_to_be_stops_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let (store, current) = SnapshotStore::open(&folder.path().join("snapshots")).unwrap();
    let collector = Collector::open(folder.path());
    let position = |index| Position {
        term: 1,
        leader: 1,
        index,
    };
    let entry = |index| LogEntry {
        position: position(index),
        kind: EntryKind::Command(Bytes::from_static(b"command")),
    };
    collector.apply(&[entry(0), entry(1)]).unwrap();
    let snapshot = store.build(|dir| collector.checkpoint(dir)).unwrap();
    let reports = Reports::default();
    let machine = Arc::clone(&collector) as Arc<dyn Machine>;
    let mut machine = StateMachine::new(machine, store, current, reports.hook());

    let good = snapshot_of(snapshot).unwrap();
    collector.apply(&[entry(2)]).unwrap();
    let before = collector.state();
    for wrong in [None, Some(position(0)), Some(position(2))] {
        let mut meta = good.meta.clone();
        meta.last_log_id = wrong.map(log_id_of);
        let refused = machine.install_snapshot(&meta, good.snapshot.clone()).await;
        assert!(refused.is_err(), "{wrong:?}");
    }
    assert_eq!(reports.all(), ["installing a snapshot"; 3]);
    assert_eq!(collector.state(), before);
}

/// The core of openraft panics on what it holds for impossible; a process that lived on without it
/// would answer nobody and tell nobody why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_has_died_stops_the_process() {
    #[derive(Debug)]
    struct Panicking;
    impl PeerDialer for Panicking {
        fn dial(&self, _: u64, _: &Member) -> Result<tonic::transport::Channel, DialError> {
            panic!("an impossible input, as far as the core can tell");
        }
    }

    let folder = tempfile::tempdir().unwrap();
    create_store(folder.path(), CLUSTER, 1).unwrap();
    let reports = Reports::default();
    let hooks = Hooks {
        machine: Collector::open(folder.path()),
        guard: Arc::new(MemoryGuard::default()),
        dialer: Arc::new(Panicking),
        gate: Arc::new(OpenGate),
        fatal: reports.hook(),
    };
    let consensus = Consensus::open(config(folder.path()), hooks).await.unwrap();
    let members = (1..=3).map(|id| {
        let addr = "127.0.0.1:1".to_owned();
        let name = format!("test/node/{id}");
        (id, Member { addr, name })
    });
    // Campaigning makes it call its peers.
    drop(consensus.initialize(members.collect()).await);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while reports.all().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "nobody was told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(reports.all(), ["running raft"]);
    consensus.shutdown().await;
}
