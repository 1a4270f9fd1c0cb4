//! `ClusterService` of a node that takes no part.

use super::{role, wire_alarms};
use crate::ledger::alarms::Alarms;
use crate::raft::Role;
use crate::service::backend::{Facts, barred};
use aimslog_proto::pb::admin::v1 as pb;
use aimslog_proto::pb::admin::v1::cluster_service_server::ClusterService;
use tonic::{Request, Response, Status};

/// `ClusterService` of a node in amnesia: its status says why, everything else is refused.
#[derive(Debug)]
pub struct AmnesiacApi {
    alarms: Alarms,
    facts: Facts,
}

impl AmnesiacApi {
    /// Answers with these alarms alone.
    pub fn new(alarms: Alarms, facts: Facts) -> Self {
        Self { alarms, facts }
    }

    fn refuse<T>(&self) -> Result<Response<T>, Status> {
        Err(barred(&self.alarms.standing()).into())
    }
}

#[tonic::async_trait]
impl ClusterService for AmnesiacApi {
    async fn init(
        &self,
        _request: Request<pb::InitRequest>,
    ) -> Result<Response<pb::InitResponse>, Status> {
        self.refuse()
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        Ok(Response::new(pb::StatusResponse {
            cluster_id: self.facts.cluster_id.to_vec(),
            service_id: self.facts.service_id.clone(),
            node_id: self.facts.node_id,
            role: role(Role::Stopped).to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            alarms: wire_alarms(&self.alarms),
            ..pb::StatusResponse::default()
        }))
    }

    async fn submit_system(
        &self,
        _request: Request<pb::SubmitSystemRequest>,
    ) -> Result<Response<pb::SubmitSystemResponse>, Status> {
        self.refuse()
    }

    async fn add_learner(
        &self,
        _request: Request<pb::AddLearnerRequest>,
    ) -> Result<Response<pb::AddLearnerResponse>, Status> {
        self.refuse()
    }

    async fn promote(
        &self,
        _request: Request<pb::PromoteRequest>,
    ) -> Result<Response<pb::PromoteResponse>, Status> {
        self.refuse()
    }

    async fn replace(
        &self,
        _request: Request<pb::ReplaceRequest>,
    ) -> Result<Response<pb::ReplaceResponse>, Status> {
        self.refuse()
    }

    async fn remove(
        &self,
        _request: Request<pb::RemoveRequest>,
    ) -> Result<Response<pb::RemoveResponse>, Status> {
        self.refuse()
    }

    async fn move_leader(
        &self,
        _request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        self.refuse()
    }

    async fn snapshot(
        &self,
        _request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        self.refuse()
    }
}
