//! The tasks of a running node, and the services on its three listeners.

use super::disk::{self, DiskParts};
use super::open::Materials;
use super::{Doors, StartError, Supervisor, freshness, lifecycle, services};
use crate::config::{CosignVerify, Peer};
use crate::identity::KeyRing;
use crate::ledger::access_journal::AccessJournal;
use crate::ledger::alarms::{Alarm, Alarms, Probation};
use crate::ledger::brake::{self, BrakeParts};
use crate::ledger::cosigner::{self, CosignerInputs, CosignerParts, HeadCosigner};
use crate::ledger::cosigner_change::{self, ChangeParts};
use crate::ledger::cosigner_keys::{CosignerRing, OwnCosigner};
use crate::ledger::door_memory::DoorMemory;
use crate::ledger::exchange_client::{LeaderSink, PeerClients};
use crate::ledger::exchange_memory::PeerMemories;
use crate::ledger::guard::{DataState, Guard};
use crate::ledger::head_keys::NodeCosigner;
use crate::ledger::head_sealer::LogSealer;
use crate::ledger::key_handover::{self, Seeker};
use crate::ledger::machine::Ledger;
use crate::ledger::own_ledger::OwnLedger;
use crate::ledger::peer_file::{self, Memories, PeerFileParts};
use crate::ledger::publisher::{self, Mailbox, Publisher, PublisherInputs, PublisherParts};
use crate::ledger::roster::RosterGate;
use crate::ledger::sequencer::{Pace, Sequencer, SequencerConfig, SequencerParts};
use crate::ledger::verifier_task::{self, VerifierParts, VerifyMode};
use crate::raft::{Consensus, Hooks, Member, RaftConfig, Retention, Timing};
use crate::service::access_report;
use crate::service::backend::{Backend, DiskRoom, Facts};
use crate::service::live_tls::LiveTls;
use crate::service::peer_tls::{TlsDialer, TlsGate};
use crate::service::quotas::Quotas;
use crate::service::tokens::VerifiedTokens;
use crate::service::turns::Turns;
use crate::store::fatal::FatalHook;
use aimslog_proto::tlog::TreeSize;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What was opened on disk.
pub(super) struct Parts {
    pub(super) guard: Arc<Guard>,
    pub(super) ledger: Ledger,
    pub(super) data: DataState,
    /// What was read from outside.
    pub(super) journal: Arc<AccessJournal>,
    /// What was remembered of the peers when the node last ran.
    pub(super) remembered: Memories,
}

/// The listeners with their TLS, and the runtime of those who serve clients and operators.
pub(super) type Edge = ((Doors, LiveTls), Handle);

/// What the tasks watch and share.
pub(super) struct Shared {
    pub(super) alarms: Alarms,
    pub(super) verified: watch::Sender<TreeSize>,
    pub(super) memories: Arc<PeerMemories>,
    pub(super) own: Arc<OwnLedger>,
    pub(super) door: Arc<DoorMemory>,
    pub(super) cosigner: Arc<dyn HeadCosigner>,
    pub(super) cosigners: Arc<CosignerRing>,
    pub(super) dialer: Arc<TlsDialer>,
    pub(super) gate: Arc<TlsGate>,
    pub(super) ring: Arc<KeyRing>,
}

/// Starts raft and every task of a node that takes part.
pub(super) async fn run(
    supervisor: &Supervisor,
    materials: Materials,
    parts: Parts,
    ((doors, tls), clients): Edge,
) -> Result<Consensus, StartError> {
    let shared = share(&materials, &parts, &tls)?;
    let consensus = open_raft(&materials, &parts, &shared).await?;
    let (pace, paces) = watch::channel(Pace::FREE);
    let sequencer_parts = SequencerParts {
        propose: consensus.clone(),
        clock: Arc::clone(&materials.clock),
        progress: parts.ledger.progress(),
        pace: paces,
    };
    let (sequencer, sequencer_loop) = Sequencer::new(sequencer_parts, SequencerConfig::default());
    let stopped = supervisor.stop.clone();
    supervisor
        .tasks
        .spawn(async move { sequencer_loop.run(stopped.cancelled_owned()).await });
    let (publisher, mailbox) = Publisher::new();
    let configured = members(&materials);
    let peers = Arc::new(PeerClients::new(
        materials.identity(),
        Arc::clone(&shared.dialer) as _,
        Arc::clone(&shared.own) as _,
        consensus.status(),
        configured,
    ));
    let (room, rooms) = watch::channel(DiskRoom::Enough);
    let (fresh, freshness) = watch::channel(None);
    let backend = Backend {
        ledger: parts.ledger.clone(),
        consensus: consensus.clone(),
        door: Arc::clone(&shared.door),
        sequencer,
        publisher,
        peers,
        memories: Arc::clone(&shared.memories),
        alarms: shared.alarms.clone(),
        disk_room: rooms,
        turns: Turns::new(turns()),
        journal: Arc::clone(&parts.journal),
        tokens: Arc::new(VerifiedTokens::default()),
        ring: Arc::clone(&shared.ring),
        cosigners: Arc::clone(&shared.cosigners),
        quotas: Arc::new(Quotas::new(materials.config.allowances)),
        freshness,
        verified: shared.verified.subscribe(),
        guard: parts.guard.subscribe(),
        clock: Arc::clone(&materials.clock),
        tasks: supervisor.tasks.clone(),
        stop: supervisor.stop.clone(),
        facts: Arc::new(facts(&materials)),
    };
    let signals = Signals {
        room,
        fresh,
        pace,
        mailbox,
    };
    spawn_tasks(supervisor, (&materials, &parts, &shared), &backend, signals);
    services::spawn(
        supervisor,
        (&materials, &parts, &shared),
        &backend,
        ((doors, tls), clients),
    );
    Ok(consensus)
}

fn share(materials: &Materials, parts: &Parts, tls: &LiveTls) -> Result<Shared, StartError> {
    let record = parts.guard.record();
    let origin = materials.first.genesis.origin.clone();
    let cosigner = |key: &SigningKey| {
        NodeCosigner::new(origin.clone(), materials.identity(), key.clone())
            .map_err(|error| StartError::State(Box::new(error)))
    };
    let keys = &materials.keys;
    let next = keys.next_cosigner.as_ref().map(cosigner).transpose()?;
    let cosigners = Arc::new(CosignerRing::new(cosigner(&keys.cosigner)?, next));
    let alarms = Alarms::new(Probation::Waiting);
    if materials.keys.ledger.is_none() {
        alarms.raise(&Alarm::Keys);
    }
    // Everything below the largest head that this node signed was verified before it signed.
    let (verified, _) = watch::channel(TreeSize(record.signed_size()));
    let door = Arc::new(DoorMemory::default());
    let own = Arc::new(OwnLedger::new(
        Arc::new(parts.ledger.clone()),
        origin.clone(),
        Arc::clone(&door),
    ));
    let cosigner = OwnCosigner::new(
        materials.config.node_id,
        Arc::clone(&cosigners),
        Arc::clone(&own) as _,
    );
    Ok(Shared {
        alarms,
        verified,
        memories: Arc::new(PeerMemories::from_memories(parts.remembered.clone())),
        own,
        door,
        cosigner: Arc::new(cosigner),
        cosigners,
        dialer: Arc::new(materials.dialer(tls)),
        gate: Arc::new(TlsGate::new(materials.cluster)),
        ring: Arc::new(KeyRing::new(materials.keys.ledger.clone())),
    })
}

async fn open_raft(
    materials: &Materials,
    parts: &Parts,
    shared: &Shared,
) -> Result<Consensus, StartError> {
    let config = RaftConfig {
        data_dir: materials.config.data_dir.clone(),
        cluster_id: materials.identity().cluster,
        node_id: materials.config.node_id,
        timing: Timing::default(),
        retention: Retention::new(crate::clock::unix_seconds_now),
        participation: shared.alarms.standing().participation(),
    };
    let hooks = Hooks {
        machine: Arc::new(parts.ledger.clone()),
        guard: Arc::clone(&parts.guard) as _,
        dialer: Arc::clone(&shared.dialer) as _,
        gate: Arc::new(RosterGate::new(
            Arc::clone(&shared.gate) as _,
            Arc::new(parts.ledger.clone()),
        )),
        fatal: FatalHook::abort(),
    };
    Ok(Consensus::open(config, hooks).await?)
}

/// Submissions judged at once: one for each processor. More would only take it from those who
/// replicate, verify and cosign.
fn turns() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn members(materials: &Materials) -> BTreeMap<u64, Member> {
    first_members(materials)
        .into_iter()
        .map(|peer| {
            (
                peer.id,
                Member {
                    addr: peer.address.to_string(),
                    name: peer.name,
                },
            )
        })
        .collect()
}

fn first_members(materials: &Materials) -> Vec<Peer> {
    let config = &materials.config;
    let own = Peer {
        id: config.node_id,
        name: config.name.clone(),
        address: config.advertise.peer.clone(),
    };
    config.peers.iter().cloned().chain([own]).collect()
}

/// Those who may found the ledger: nobody, where genesis does not name this node. It joins a ledger
/// that exists, and a group of its own making would be another one under the same name.
fn founders(materials: &Materials) -> Vec<Peer> {
    let genesis = &materials.first.genesis;
    let own = materials.config.node_id;
    if genesis.nodes.iter().any(|node| node.id.number() == own) {
        first_members(materials)
    } else {
        Vec::new()
    }
}

pub(super) fn facts(materials: &Materials) -> Facts {
    Facts {
        node_id: materials.config.node_id,
        service_id: materials.first.genesis.origin.to_string(),
        cluster_id: materials.identity().cluster,
        genesis: materials.first.genesis_bytes.clone(),
        keys: materials.first.keys_bytes.clone(),
        first_members: founders(materials),
        entries: materials.config.entries,
    }
}

/// The sending ends that the tasks keep up to date.
struct Signals {
    room: watch::Sender<DiskRoom>,
    fresh: watch::Sender<Option<Instant>>,
    pace: watch::Sender<Pace>,
    mailbox: Mailbox,
}

pub(super) type Inside<'a> = (&'a Materials, &'a Parts, &'a Shared);

fn spawn_tasks(
    supervisor: &Supervisor,
    (materials, parts, shared): Inside<'_>,
    backend: &Backend,
    signals: Signals,
) {
    let stop = &supervisor.stop;
    let tasks = &supervisor.tasks;
    let status = backend.consensus.status();
    let progress = || parts.ledger.progress();
    let verifier = VerifierParts {
        verifier: Arc::clone(&shared.own) as _,
        mode: match materials.config.cosign_verify {
            CosignVerify::All => VerifyMode::All,
            CosignVerify::Leader => VerifyMode::Leader,
        },
        progress: progress(),
        alarms: shared.alarms.clone(),
        shutdown: stop.clone(),
    };
    supervisor.vital(
        "verifier",
        verifier_task::run(verifier, shared.verified.clone()),
    );
    let braking = BrakeParts {
        status: status.clone(),
        progress: progress(),
        verified: shared.verified.subscribe(),
        memories: Arc::clone(&shared.memories),
        sequencer: backend.sequencer.clone(),
        queue_bytes_max: SequencerConfig::default().queue_bytes_max,
        shutdown: stop.clone(),
    };
    tasks.spawn(brake::run(braking, signals.pace));
    let cosigning = CosignerParts {
        guard: Arc::clone(&parts.guard),
        cosigner: Arc::clone(&shared.cosigner),
        roots: Arc::clone(&backend.peers) as _,
        tree: Arc::clone(&shared.own) as _,
        sink: Arc::new(LeaderSink::new(
            Arc::clone(&backend.peers),
            backend.publisher.clone(),
        )),
        alarms: shared.alarms.clone(),
        clock: Arc::clone(&materials.clock),
        evidence_dir: materials.config.guard_dir.clone(),
    };
    let inputs = CosignerInputs {
        progress: progress(),
        status: status.clone(),
        verified: shared.verified.subscribe(),
        shutdown: stop.clone(),
    };
    supervisor.vital("cosigner", cosigner::run(cosigning, inputs));
    spawn_publisher(supervisor, (materials, shared), backend, signals.mailbox);
    tasks.spawn(obey(
        backend.consensus.clone(),
        shared.alarms.clone(),
        stop.clone(),
    ));
    let remembering = peer_memory((materials, parts, shared), stop);
    tasks.spawn(peer_file::run(remembering));
    spawn_reporter(supervisor, (materials, parts, shared), backend);
    let volume = volume((materials, shared), backend, stop);
    tasks.spawn(disk::watch(volume, signals.room));
    tasks.spawn(freshness::watch(
        backend.consensus.clone(),
        signals.fresh,
        stop.clone(),
    ));
    tasks.spawn(lifecycle::watch(status, progress(), stop.clone()));
    spawn_key_followers(supervisor, (materials, parts, shared), backend);
}

/// Watches the data volume.
fn volume(
    (materials, shared): (&Materials, &Shared),
    backend: &Backend,
    stop: &CancellationToken,
) -> DiskParts {
    DiskParts {
        config: Arc::clone(&materials.config),
        consensus: backend.consensus.clone(),
        memories: Arc::clone(&shared.memories),
        alarms: shared.alarms.clone(),
        shutdown: stop.clone(),
    }
}

/// Keeps what this node remembers of the others.
fn peer_memory((materials, parts, shared): Inside<'_>, stop: &CancellationToken) -> PeerFileParts {
    PeerFileParts {
        dir: materials.config.guard_dir.clone(),
        owner: materials.identity(),
        kept: parts.remembered.clone(),
        memories: Arc::clone(&shared.memories),
        shutdown: stop.clone(),
    }
}

fn spawn_publisher(
    supervisor: &Supervisor,
    (materials, shared): (&Materials, &Shared),
    backend: &Backend,
    mailbox: Mailbox,
) {
    let publishing = PublisherParts {
        sealer: Arc::new(LogSealer::new(
            materials.first.genesis.origin.clone(),
            Arc::clone(&shared.ring),
            Arc::clone(&shared.own) as _,
        )),
        policies: Arc::clone(&shared.own) as _,
        propose: Arc::new(backend.sequencer.clone()),
        interval: materials.config.checkpoint_interval,
    };
    let inputs = PublisherInputs {
        progress: backend.ledger.progress(),
        status: backend.consensus.status(),
        standing: shared.alarms.subscribe(),
        shutdown: supervisor.stop.clone(),
    };
    supervisor.vital("publisher", publisher::run(publishing, mailbox, inputs));
}

/// Takes reads from outside to the log.
fn spawn_reporter(supervisor: &Supervisor, (_, parts, shared): Inside<'_>, backend: &Backend) {
    supervisor.tasks.spawn(access_report::run(
        backend.clone(),
        Arc::clone(&parts.journal),
        Arc::clone(&shared.ring),
        supervisor.stop.clone(),
    ));
}

/// Keeps the keys of this node in step with what the log names.
fn spawn_key_followers(
    supervisor: &Supervisor,
    (materials, parts, shared): Inside<'_>,
    backend: &Backend,
) {
    let seeker = Seeker {
        node: materials.config.node_id,
        ring: Arc::clone(&shared.ring),
        files: materials.config.keys.clone(),
        peers: Arc::clone(&backend.peers),
        consensus: backend.consensus.clone(),
        ledger: parts.ledger.clone(),
        alarms: shared.alarms.clone(),
    };
    let stop = supervisor.stop.clone();
    supervisor.tasks.spawn(key_handover::run(seeker, stop));
    let change = ChangeParts {
        identity: materials.identity(),
        origin: materials.first.genesis.origin.clone(),
        ring: Arc::clone(&shared.cosigners),
        files: materials.config.keys.clone(),
        directory: Arc::clone(&shared.own) as _,
        progress: parts.ledger.progress(),
        alarms: shared.alarms.clone(),
    };
    let stop = supervisor.stop.clone();
    supervisor.tasks.spawn(cosigner_change::run(change, stop));
}

/// Keeps what this node does in raft in step with its alarms.
async fn obey(consensus: Consensus, alarms: Alarms, stop: CancellationToken) {
    let mut standing = alarms.subscribe();
    loop {
        let now = standing.borrow_and_update().participation();
        consensus.participate(now);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = standing.changed() => if changed.is_err() { return },
        }
    }
}

/// Where the log of this node ends as it starts. What is applied counts as well: a snapshot that was
/// installed is in the state before the log begins behind it.
pub(super) fn log_end(parts: &Parts) -> Option<u64> {
    let applied = parts.ledger.progress().borrow().applied;
    let ends = [parts.data.log_end, applied];
    ends.into_iter().flatten().map(|end| end.index).max()
}
