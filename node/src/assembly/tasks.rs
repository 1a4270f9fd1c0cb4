//! The tasks of a running node, and the services on its three listeners.

use super::disk::{self, DiskParts};
use super::open::Materials;
use super::{Doors, StartError, Supervisor, freshness, lifecycle};
use crate::config::{CosignVerify, Peer};
use crate::identity::KeyRing;
use crate::ledger::alarms::{Alarm, Alarms, Probation};
use crate::ledger::brake::{self, BrakeParts};
use crate::ledger::cosigner::{self, CosignerInputs, CosignerParts, HeadCosigner};
use crate::ledger::door_memory::DoorMemory;
use crate::ledger::exchange_client::{LeaderSink, PeerClients};
use crate::ledger::exchange_hello::{self, HelloParts, OwnReport, ReportSources};
use crate::ledger::exchange_memory::PeerMemories;
use crate::ledger::exchange_server::{self, ExchangeParts};
use crate::ledger::guard::{Amnesia, DataState, Guard};
use crate::ledger::head_keys::NodeCosigner;
use crate::ledger::head_sealer::LogSealer;
use crate::ledger::key_handover::{self, Keeper, Seeker};
use crate::ledger::machine::Ledger;
use crate::ledger::own_ledger::OwnLedger;
use crate::ledger::peer_file::{self, Memories, PeerFileParts};
use crate::ledger::publisher::{self, Mailbox, Publisher, PublisherInputs, PublisherParts};
use crate::ledger::roster::RosterGate;
use crate::ledger::sequencer::{Pace, Sequencer, SequencerConfig, SequencerParts};
use crate::ledger::verifier_task::{self, VerifierParts, VerifyMode};
use crate::limits_server::CLIENT_MESSAGE_BYTES_MAX;
use crate::raft::{Consensus, Hooks, Member, RaftConfig, Retention, Timing};
use crate::service::admin::{AmnesiacApi, ClusterApi};
use crate::service::backend::{Backend, DiskRoom, Facts};
use crate::service::evidence::EvidenceApi;
use crate::service::forward::Forwarded;
use crate::service::log::LogApi;
use crate::service::peer_tls::{TlsDialer, TlsGate};
use crate::service::refusing::Refusing;
use crate::service::serve::Callers;
use crate::service::tls::NodeTls;
use crate::store::fatal::FatalHook;
use aimslog_proto::pb;
use aimslog_proto::pb::v1::evidence_service_server::EvidenceServiceServer;
use aimslog_proto::pb::v1::log_service_server::LogServiceServer;
use aimslog_proto::tlog::TreeSize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// What was opened on disk.
pub(super) struct Parts {
    pub(super) guard: Arc<Guard>,
    pub(super) ledger: Ledger,
    pub(super) data: DataState,
    /// What was remembered of the peers when the node last ran.
    pub(super) remembered: Memories,
}

type Edge = ((Doors, NodeTls), Handle);

/// What the tasks watch and share.
struct Shared {
    alarms: Alarms,
    verified: watch::Sender<TreeSize>,
    memories: Arc<PeerMemories>,
    own: Arc<OwnLedger>,
    door: Arc<DoorMemory>,
    cosigner: Arc<dyn HeadCosigner>,
    dialer: Arc<TlsDialer>,
    gate: Arc<TlsGate>,
    ring: Arc<KeyRing>,
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
        turns: Arc::new(Semaphore::new(turns())),
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
    spawn_services(
        supervisor,
        (&materials, &parts, &shared),
        &backend,
        ((doors, tls), clients),
    );
    Ok(consensus)
}

fn share(materials: &Materials, parts: &Parts, tls: &NodeTls) -> Result<Shared, StartError> {
    let record = parts.guard.record();
    let origin = materials.first.genesis.origin.clone();
    let own_origin = origin.clone();
    let cosigner = NodeCosigner::new(
        origin,
        materials.identity(),
        materials.keys.cosigner.clone(),
    )
    .map_err(|error| StartError::State(Box::new(error)))?;
    let alarms = Alarms::new(Probation::Waiting);
    if materials.keys.ledger.is_none() {
        alarms.raise(&Alarm::Keys);
    }
    // Everything below the largest head that this node signed was verified before it signed.
    let (verified, _) = watch::channel(TreeSize(record.signed_size()));
    let door = Arc::new(DoorMemory::default());
    Ok(Shared {
        alarms,
        verified,
        memories: Arc::new(PeerMemories::from_memories(parts.remembered.clone())),
        own: Arc::new(OwnLedger::new(
            Arc::new(parts.ledger.clone()),
            own_origin,
            Arc::clone(&door),
        )),
        door,
        cosigner: Arc::new(cosigner),
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

fn facts(materials: &Materials) -> Facts {
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

type Inside<'a> = (&'a Materials, &'a Parts, &'a Shared);

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
    let volume = volume((materials, shared), backend, stop);
    tasks.spawn(disk::watch(volume, signals.room));
    tasks.spawn(freshness::watch(
        backend.consensus.clone(),
        signals.fresh,
        stop.clone(),
    ));
    tasks.spawn(lifecycle::watch(status, progress(), stop.clone()));
    if shared.ring.keys().is_none() {
        spawn_seeker(supervisor, (materials, parts, shared), backend);
    }
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

/// Asks the voters for the keys of the ledger until they are here.
fn spawn_seeker(
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
fn log_end(parts: &Parts) -> Option<u64> {
    let applied = parts.ledger.progress().borrow().applied;
    let ends = [parts.data.log_end, applied];
    ends.into_iter().flatten().map(|end| end.index).max()
}

fn spawn_services(
    supervisor: &Supervisor,
    (materials, parts, shared): Inside<'_>,
    backend: &Backend,
    ((doors, tls), clients): Edge,
) {
    let report = Arc::new(OwnReport::new(
        materials.config.node_id,
        ReportSources {
            log_end_at_start: log_end(parts),
            guard: parts.guard.subscribe(),
            status: backend.consensus.status(),
            progress: parts.ledger.progress(),
            verified: shared.verified.subscribe(),
            alarms: shared.alarms.clone(),
            clock: Arc::clone(&materials.clock),
        },
    ));
    let hello = HelloParts {
        report: Arc::clone(&report),
        clients: Arc::clone(&backend.peers),
        memories: Arc::clone(&shared.memories),
        roster: Arc::new(parts.ledger.clone()),
        alarms: shared.alarms.clone(),
        shutdown: supervisor.stop.clone(),
    };
    supervisor.tasks.spawn(exchange_hello::run(hello));
    let exchange = exchange_server::service(ExchangeParts {
        own: materials.identity(),
        gate: Arc::clone(&shared.gate) as _,
        report,
        memories: Arc::clone(&shared.memories),
        tree: Arc::clone(&shared.own) as _,
        progress: parts.ledger.progress(),
        cosigner: Arc::clone(&shared.cosigner),
        publisher: backend.publisher.clone(),
        forward: Forwarded::new(backend.clone()),
        alarms: shared.alarms.clone(),
        roster: Arc::new(parts.ledger.clone()),
        keys: Arc::new(Keeper {
            ring: Arc::clone(&shared.ring),
            consensus: backend.consensus.clone(),
            ledger: parts.ledger.clone(),
        }),
    });
    let peers = Routes::new(backend.consensus.peer_service()).add_service(exchange);
    supervisor.serve(Callers::Peers, (doors.peer, tls.peer), peers);
    let (reporter, health) = tonic_health::server::health_reporter();
    supervisor.tasks.spawn(report_health(
        reporter,
        backend.clone(),
        supervisor.stop.clone(),
    ));
    let _clients = clients.enter();
    let mut routes = Routes::new(health.clone())
        .add_service(
            EvidenceServiceServer::new(EvidenceApi::new(backend.clone()))
                .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX),
        )
        .add_service(
            LogServiceServer::new(LogApi::new(backend.clone()))
                .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX),
        );
    if let Some(reflection) = reflection() {
        routes = routes.add_service(reflection);
    }
    supervisor.serve(Callers::Clients, (doors.client, tls.client), routes);
    let admin = Routes::new(health).add_service(
        pb::admin::v1::cluster_service_server::ClusterServiceServer::new(ClusterApi::new(
            backend.clone(),
        ))
        .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX),
    );
    supervisor.serve(Callers::Operators, (doors.admin, tls.admin), admin);
}

/// Describes the services to tools. A program without it works just the same.
fn reflection() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| tracing::error!(%error, "the services are not described"))
        .ok()
}

/// Serving while the node may answer and knows what the cluster knows.
async fn report_health(reporter: HealthReporter, backend: Backend, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        let healthy = backend.serving().and_then(|()| backend.fresh()).is_ok();
        let status = if healthy {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status("", status).await;
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
    }
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
}

/// A node that has forgotten something: health says no, and its status says why.
pub(super) fn run_amnesiac(
    supervisor: &Supervisor,
    materials: &Materials,
    amnesia: Amnesia,
    ((doors, tls), clients): Edge,
) {
    let alarms = Alarms::amnesiac(amnesia);
    let (reporter, health) = tonic_health::server::health_reporter();
    let _clients = clients.enter();
    supervisor.tasks.spawn(async move {
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
    });
    let refusing = Refusing::new(alarms.clone());
    let client = Routes::new(health.clone())
        .add_service(refusing.service::<EvidenceServiceServer<EvidenceApi>>())
        .add_service(refusing.service::<LogServiceServer<LogApi>>());
    let admin = AmnesiacApi::new(alarms, facts(materials));
    let admin = Routes::new(health)
        .add_service(pb::admin::v1::cluster_service_server::ClusterServiceServer::new(admin));
    supervisor.serve(Callers::Clients, (doors.client, tls.client), client);
    supervisor.serve(Callers::Operators, (doors.admin, tls.admin), admin);
}
