//! The three listeners: which services each has.

use super::Supervisor;
use super::open::Materials;
use super::tasks::{Edge, Inside, facts, log_end};
use crate::ledger::alarms::Alarms;
use crate::ledger::exchange_hello::{self, HelloParts, OwnReport, ReportSources};
use crate::ledger::exchange_server::{self, ExchangeParts};
use crate::ledger::guard::Amnesia;
use crate::ledger::key_handover::Keeper;
use crate::limits_server::CLIENT_MESSAGE_BYTES_MAX;
use crate::service::admin::{AmnesiacApi, ClusterApi};
use crate::service::backend::Backend;
use crate::service::evidence::EvidenceApi;
use crate::service::forward::Forwarded;
use crate::service::listener::CurrentTls;
use crate::service::live_tls::LiveTls;
use crate::service::log::LogApi;
use crate::service::refusing::Refusing;
use crate::service::serve::Callers;
use crate::service::tls::NodeTls;
use aimslog_proto::pb;
use aimslog_proto::pb::v1::evidence_service_server::EvidenceServiceServer;
use aimslog_proto::pb::v1::log_service_server::LogServiceServer;
use rustls::ServerConfig;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Serves the other nodes, clients and operators.
pub(super) fn spawn(
    supervisor: &Supervisor,
    inside: Inside<'_>,
    backend: &Backend,
    ((doors, tls), clients): Edge,
) {
    let peers = peer_routes(supervisor, inside, backend);
    let accepted = (doors.peer, accepting(&tls, |tls| &tls.peer));
    supervisor.serve(Callers::Peers, accepted, peers);
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
    supervisor.serve(
        Callers::Clients,
        (doors.client, accepting(&tls, |tls| &tls.client)),
        routes,
    );
    let admin = Routes::new(health).add_service(
        pb::admin::v1::cluster_service_server::ClusterServiceServer::new(ClusterApi::new(
            backend.clone(),
        ))
        .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX),
    );
    supervisor.serve(
        Callers::Operators,
        (doors.admin, accepting(&tls, |tls| &tls.admin)),
        admin,
    );
}

/// What the other nodes may call; also greets them.
fn peer_routes(
    supervisor: &Supervisor,
    (materials, parts, shared): Inside<'_>,
    backend: &Backend,
) -> Routes {
    let report = Arc::new(OwnReport::new(
        materials.config.node_id,
        ReportSources {
            log_end_at_start: log_end(parts),
            guard: parts.guard.subscribe(),
            status: backend.consensus.status(),
            progress: parts.ledger.progress(),
            verified: shared.verified.subscribe(),
            alarms: shared.alarms.clone(),
            ring: Arc::clone(&shared.ring),
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
    Routes::new(backend.consensus.peer_service()).add_service(exchange)
}

/// What a listener accepts connections with: one part of what the files say now.
fn accepting(tls: &LiveTls, part: fn(&NodeTls) -> &Arc<ServerConfig>) -> CurrentTls {
    let tls = tls.clone();
    Arc::new(move || Arc::clone(part(&tls.now())))
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
    supervisor.serve(
        Callers::Clients,
        (doors.client, accepting(&tls, |tls| &tls.client)),
        client,
    );
    supervisor.serve(
        Callers::Operators,
        (doors.admin, accepting(&tls, |tls| &tls.admin)),
        admin,
    );
}
