//! What the services answer from: the parts of a running node, and what is common to all calls.

use crate::clock::Clock;
use crate::config::EntryVisibility;
use crate::identity::KeyRing;
use crate::ledger::access_journal::AccessJournal;
use crate::ledger::alarms::{Alarms, Standing};
use crate::ledger::apply::rules_at;
use crate::ledger::cosigner_keys::CosignerRing;
use crate::ledger::door_memory::DoorMemory;
use crate::ledger::exchange_client::PeerClients;
use crate::ledger::exchange_memory::PeerMemories;
use crate::ledger::guard_record::GuardRecord;
use crate::ledger::machine::Ledger;
use crate::ledger::publisher::Publisher;
use crate::ledger::sequencer::Sequencer;
use crate::raft::{Consensus, Role};
use crate::service::auth::{self, AuthError, Expected, KeyHolder, Reader};
use crate::service::quotas::{Charge, Quotas};
use crate::service::sight::Sight;
use crate::service::status::Failure;
use crate::service::tokens::VerifiedTokens;
use crate::service::turns::Turns;
use crate::store::state_db::{StateError, StateView};
use aimslog_proto::reason::Reason;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;

/// A node that did not hear from a leader with quorum for this long does not know who may read.
const REGISTRY_AGE_MAX: Duration = Duration::from_secs(5);

/// The parts of a running node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Backend {
    /// State and registry.
    pub ledger: Ledger,
    /// Raft.
    pub consensus: Consensus,
    /// What the door of this node has verified.
    pub door: Arc<DoorMemory>,
    /// The way into the log.
    pub sequencer: Sequencer,
    /// The way to the next head.
    pub publisher: Publisher,
    /// The other nodes.
    pub peers: Arc<PeerClients>,
    /// What is known of them.
    pub memories: Arc<PeerMemories>,
    /// What is wrong with this node.
    pub alarms: Alarms,
    /// Whether there is room on the disks for submissions.
    pub disk_room: watch::Receiver<DiskRoom>,
    /// Turns at the door: submissions are judged by so many threads.
    pub turns: Arc<Turns>,
    /// What each principal and organisation may take.
    pub quotas: Arc<Quotas>,
    /// What was read from outside.
    pub journal: Arc<AccessJournal>,
    /// The keys of the ledger that are here.
    pub ring: Arc<KeyRing>,
    /// The cosigner keys of this node.
    pub cosigners: Arc<CosignerRing>,
    /// Read tokens that were verified.
    pub tokens: Arc<VerifiedTokens>,
    /// When this node last heard of a leader with a quorum behind it.
    pub freshness: watch::Receiver<Option<Instant>>,
    /// Entries that this node verified itself.
    pub verified: watch::Receiver<TreeSize>,
    /// The newest record of the guard file.
    pub guard: watch::Receiver<GuardRecord>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where a call leaves what goes on after its answer; a panic there is told by the hook, and
    /// ends the program that is released.
    pub tasks: TaskTracker,
    /// Ends that.
    pub stop: CancellationToken,
    /// What never changes while the node runs.
    pub facts: Arc<Facts>,
}

/// Whether what is submitted to this node can be stored, if it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskRoom {
    /// It can.
    Enough,
    /// A majority has room, but not this node; it hands over to one that has.
    HandsOver {
        /// The one.
        to: u64,
    },
    /// This node has too little, and nobody has it in its place.
    Full {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be.
        reserve: u64,
    },
    /// Too many nodes have too little.
    FullElsewhere {
        /// Which.
        nodes: Vec<u64>,
    },
}

/// What never changes while the node runs.
#[derive(Debug)]
pub struct Facts {
    /// This node.
    pub node_id: u64,
    /// The service id: `aud` of statements and tokens.
    pub service_id: String,
    /// Entry id of genesis.
    pub cluster_id: [u8; 32],
    /// Entry 0.
    pub genesis: Vec<u8>,
    /// Entry 1.
    pub keys: Vec<u8>,
    /// Voters that `Init` starts with: id, name and peer address, this node included. None where
    /// genesis does not name this node.
    pub first_members: Vec<crate::config::Peer>,
    /// Who may read entry bytes.
    pub entries: EntryVisibility,
}

impl Backend {
    /// Refuses while this node may answer nobody.
    pub fn serving(&self) -> Result<(), Failure> {
        let standing = self.alarms.standing();
        if standing.may_serve() {
            return Ok(());
        }
        Err(barred(&standing))
    }

    /// Refuses while this node knows of no genesis.
    pub fn founded(&self) -> Result<(), Failure> {
        if self.ledger.progress().borrow().founded {
            return Ok(());
        }
        let words = "the cluster has no genesis yet, or this node has not heard of it";
        Err(Failure::new(Reason::NotInitialized, words))
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.consensus.status().borrow().role == Role::Leader
    }

    /// The leader, as this node knows it.
    pub fn leader(&self) -> Option<u64> {
        self.consensus.status().borrow().leader
    }

    /// Who calls, by the registry of this node, which must be fresh. The call is charged to the
    /// reader.
    pub fn reader(&self, metadata: &MetadataMap) -> Result<Reader, Failure> {
        let reader = self.reader_by(auth::authorization(metadata)?)?;
        let charge = Charge { calls: 1, bytes: 0 };
        self.quotas.charge(reader.charged(), charge)?;
        Ok(reader)
    }

    /// The same for an `authorization` that another node forwarded.
    pub fn reader_by(&self, authorization: &str) -> Result<Reader, Failure> {
        self.serving()?;
        self.founded()?;
        self.fresh()?;
        let registry = self.ledger.registry();
        let expected = Expected {
            verified: &self.tokens,
            audience: &self.facts.service_id,
            now: self.clock.unix_seconds(),
        };
        Ok(auth::reader(authorization, expected, |thumbprint| {
            let principal = registry.reader_at(thumbprint, next_index(&registry))?;
            Some(KeyHolder {
                organization: principal.organization.to_string(),
                principal: principal.principal.to_string(),
                key: registry.key(thumbprint)?.key,
            })
        })?)
    }

    /// What the reader may see now. Refuses whoever may not read any more: the key was taken back, or
    /// this node does not know.
    pub fn sight(&self, reader: &Reader) -> Result<Sight, Failure> {
        self.serving()?;
        self.fresh()?;
        let registry = self.ledger.registry();
        let next = next_index(&registry);
        let bundle = rules_at(&registry, next)
            .map_err(|error| Failure::internal("the active rules are not known", &error))?;
        let row = registry
            .reader_at(&reader.key, next)
            .ok_or(AuthError::UnknownKey)?;
        let now = UnixSeconds(self.clock.unix_seconds());
        Ok(Sight::of(Arc::clone(&registry), bundle, row, (next, now)))
    }

    /// Refuses unless a leader with a quorum was heard of lately and what it said is applied.
    pub fn fresh(&self) -> Result<(), Failure> {
        let heard = *self.freshness.borrow();
        if heard.is_some_and(|heard| heard.elapsed() <= REGISTRY_AGE_MAX) {
            return Ok(());
        }
        let words = "this node has not heard from a leader with a quorum within 5 s; ask another";
        Err(Failure::new(Reason::StaleRegistry, words))
    }

    /// Reads a snapshot of the state on a blocking thread.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StateView<'_>) -> Result<T, ReadFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.read_in((), read).await.map(|(value, ())| value)
    }

    /// The same in a place among those who read at once. It is held until the read has ended, also where
    /// the caller goes away meanwhile, and given back with what was read.
    pub(super) async fn read_in<T: Send + 'static, P: Send + 'static>(
        &self,
        place: P,
        read: impl FnOnce(&StateView<'_>) -> Result<T, ReadFailure> + Send + 'static,
    ) -> Result<(T, P), Failure> {
        let ledger = self.ledger.clone();
        work_in(place, move || ledger.view(read)).await
    }
}

/// Works on a blocking thread, which cannot be stopped: so the work itself holds its place.
async fn work_in<T: Send + 'static, P: Send + 'static>(
    place: P,
    work: impl FnOnce() -> Result<T, ReadFailure> + Send + 'static,
) -> Result<(T, P), Failure> {
    match tokio::task::spawn_blocking(move || work().map(|value| (value, place))).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ReadFailure::Refused(failure))) => Err(failure),
        Ok(Err(ReadFailure::State(error))) => {
            Err(Failure::internal("the state cannot be read", &error))
        }
        Err(error) => Err(Failure::internal("a read did not end", &error)),
    }
}

/// The refusal of a node that may answer nobody: its worst alarm, and that one's reason.
pub fn barred(standing: &Standing) -> Failure {
    let alarm = standing.alarms().into_iter().next();
    let words = alarm.map(|alarm| alarm.to_string()).unwrap_or_default();
    let reason = if standing.amnesia.is_some() {
        Reason::Amnesia
    } else if standing.removed.is_some() {
        Reason::NodeRemoved
    } else {
        Reason::Corrupt
    };
    Failure::new(reason, words)
}

/// The index that a statement would get that is logged after everything the registry knows.
fn next_index(registry: &Registry) -> LeafIndex {
    // What retires a key does so from its own index on, so the one after the last record sees it.
    LeafIndex(
        registry
            .last_index()
            .map_or(0, |last| last.0.saturating_add(1)),
    )
}

/// Why a read gave nothing.
#[derive(Debug)]
pub enum ReadFailure {
    /// The caller's fault, or not there.
    Refused(Failure),
    /// The state's.
    State(StateError),
}

impl From<StateError> for ReadFailure {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<Failure> for ReadFailure {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_caller_who_goes_away_gives_no_place_back_before_the_work_has_ended() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (go_on, waits) = std::sync::mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let mut working = Box::pin(work_in(place, move || {
            begun.send(()).unwrap();
            waits.recv().unwrap();
            Ok(())
        }));
        assert!((&mut working).now_or_never().is_none());
        has_begun.await.unwrap();
        drop(working);
        assert_eq!(places.available_permits(), 0, "the work goes on");
        go_on.send(()).unwrap();
        drop(places.acquire().await.unwrap());
        // Whoever waits for it gets the place with what was read.
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (read, place) = work_in(place, || Ok(7)).await.unwrap();
        assert_eq!((read, places.available_permits()), (7, 0));
        drop(place);
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let refused = Failure::new(Reason::NotVisible, "words");
        let failed = work_in(place, move || Err::<(), _>(refused.into())).await;
        assert_eq!(failed.unwrap_err().reason(), Reason::NotVisible);
        assert_eq!(places.available_permits(), 1);
    }
}
