//! `ClusterService`, for operators.

use crate::ledger::alarms::Alarms;
use crate::ledger::command;
use crate::ledger::outcome::{ItemOutcome, Outcome};
use crate::ledger::sequencer::Control;
use crate::raft::{ChangeError, Member, Role};
use crate::service::backend::{Backend, Disk, Facts};
use crate::service::status::Failure;
use crate::service::submit;
use aimslog_proto::pb::admin::v1 as pb;
use aimslog_proto::pb::admin::v1::cluster_service_server::ClusterService;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::EntryId;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long `Init` waits for the new cluster to elect its first leader.
const FIRST_ELECTION: Duration = Duration::from_secs(20);

/// Runs the cluster.
#[derive(Debug, Clone)]
pub struct ClusterApi {
    backend: Backend,
}

impl ClusterApi {
    /// Answers from this node.
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }

    /// Forms the voters and logs entries 0 and 1. May be repeated until it succeeds.
    async fn found(&self) -> Result<(), Failure> {
        self.backend.serving()?;
        if self.backend.ledger.progress().borrow().founded {
            return Err(Failure::new(
                Reason::AlreadyInitialized,
                "the cluster has its genesis",
            ));
        }
        if self.backend.consensus.status().borrow().voters.is_empty() {
            let members: BTreeMap<u64, Member> = self
                .backend
                .facts
                .first_members
                .iter()
                .map(|peer| {
                    let member = Member {
                        addr: peer.address.to_string(),
                        name: peer.name.clone(),
                    };
                    (peer.id, member)
                })
                .collect();
            self.backend
                .consensus
                .initialize(members)
                .await
                .map_err(|error| change(&error))?;
        }
        let mut status = self.backend.consensus.status();
        let leads = status.wait_for(|status| status.role == Role::Leader);
        if tokio::time::timeout(FIRST_ELECTION, leads).await.is_err() {
            let words = "another node leads, or no majority is up; repeat Init at the leader";
            return Err(self.not_leader(words));
        }
        let genesis = command::Genesis {
            time_ms: 0,
            genesis: self.backend.facts.genesis.clone().into(),
            keys: self.backend.facts.keys.clone().into(),
        };
        match self
            .backend
            .sequencer
            .control(Control::Genesis(genesis))
            .await
        {
            Ok(Outcome::Refused(violations)) => Err(Failure::violations(violations)),
            Ok(_) => Ok(()),
            Err(error) => Err(submit::failure(&error)),
        }
    }

    fn not_leader(&self, words: &str) -> Failure {
        let leader = self
            .backend
            .leader()
            .map(|id| id.to_string())
            .unwrap_or_default();
        Failure::new(Reason::NotLeader, words).with("leader", leader)
    }

    fn status(&self) -> pb::StatusResponse {
        let status = self.backend.consensus.status().borrow().clone();
        let progress = self.backend.ledger.progress().borrow().clone();
        let views = self.backend.memories.views();
        let now = self.backend.clock.unix_millis();
        let syncs = crate::store::syncs::counted();
        let members = status.members.iter().map(|(id, member)| pb::Member {
            node_id: *id,
            name: member.name.clone(),
            address: member.addr.clone(),
            voter: status.voters.contains(id),
            report: views.get(id).map(|view| pb::MemberReport {
                verified_size: view.report.verified_size,
                cosigned_size: view.report.memory.signed_size,
                last_log_index: view.report.log_end_index.unwrap_or(0),
                clock_offset_ms: view.clock_offset_ms,
                silent_ms: millis(view.heard.elapsed()),
            }),
        });
        pb::StatusResponse {
            cluster_id: self.backend.facts.cluster_id.to_vec(),
            service_id: self.backend.facts.service_id.clone(),
            node_id: self.backend.facts.node_id,
            leader_id: status.leader.unwrap_or(0),
            term: status.vote.term,
            role: role(status.role).to_owned(),
            last_log_index: status.last_log.unwrap_or(0),
            committed_index: status.committed.map_or(0, |position| position.index),
            applied_index: status.applied.map_or(0, |position| position.index),
            tree_size: progress.tree.size.0,
            published_size: progress.head.map_or(0, |head| head.tree.size.0),
            cosigned_size: self.backend.guard.borrow().signed_size(),
            verified_size: self.backend.verified.borrow().0,
            level: progress.level,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            members: members.collect(),
            alarms: self.alarms(),
            head_age_ms: progress
                .head
                .map_or(0, |head| now.saturating_sub(head.time.0)),
            raft_syncs: syncs.raft,
            guard_syncs: syncs.guard,
        }
    }

    fn alarms(&self) -> Vec<pb::Alarm> {
        let mut alarms = wire_alarms(&self.backend.alarms);
        if let Disk::Full { free, reserve } = *self.backend.disk.borrow() {
            let detail = format!(
                "{} MiB free, {} MiB must be: no submissions are taken; make room",
                free >> 20,
                reserve >> 20
            );
            alarms.push(pb::Alarm {
                name: "NOSPACE".to_owned(),
                detail,
            });
        }
        alarms
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Stopped => "stopped",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn change(error: &ChangeError) -> Failure {
    let words = crate::service::status::Chain(error).to_string();
    let reason = match error {
        ChangeError::NotLeader { .. } => Reason::NotLeader,
        ChangeError::Initialized => Reason::AlreadyInitialized,
        ChangeError::NotMember { .. } => Reason::NotFound,
        ChangeError::TooFewVoters { .. } | ChangeError::Leads { .. } => Reason::WouldLoseQuorum,
        ChangeError::Unknown => Reason::OutcomeUnknown,
        ChangeError::Stopped => Reason::ShuttingDown,
        ChangeError::InProgress
        | ChangeError::AlreadyVoter { .. }
        | ChangeError::IdTaken { .. }
        | ChangeError::NotCaughtUp { .. } => Reason::FailedPrecondition,
    };
    Failure::new(reason, words)
}

#[tonic::async_trait]
impl ClusterService for ClusterApi {
    async fn init(
        &self,
        _request: Request<pb::InitRequest>,
    ) -> Result<Response<pb::InitResponse>, Status> {
        self.found().await?;
        let cluster_id = self.backend.facts.cluster_id.to_vec();
        Ok(Response::new(pb::InitResponse { cluster_id }))
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        Ok(Response::new(self.status()))
    }

    async fn submit_system(
        &self,
        request: Request<pb::SubmitSystemRequest>,
    ) -> Result<Response<pb::SubmitSystemResponse>, Status> {
        let until = crate::service::deadline::of(request.metadata());
        let statement = request.into_inner().statement;
        let entry_id = EntryId::of(&statement).as_bytes().to_vec();
        let outcome = submit::system(&self.backend, statement, until).await?;
        match outcome {
            ItemOutcome::Logged(logged) | ItemOutcome::AlreadyLogged(logged) => {
                Ok(Response::new(pb::SubmitSystemResponse {
                    index: logged.index,
                    entry_id,
                }))
            }
            ItemOutcome::Refused(violations) => Err(Failure::violations(violations).into()),
        }
    }

    async fn add_learner(
        &self,
        request: Request<pb::AddLearnerRequest>,
    ) -> Result<Response<pb::AddLearnerResponse>, Status> {
        let request = request.into_inner();
        let member = Member {
            addr: request.address,
            name: format!("{}/node/{}", self.backend.facts.service_id, request.node_id),
        };
        self.backend
            .consensus
            .add_learner(request.node_id, member)
            .await
            .map_err(|error| change(&error))?;
        Ok(Response::new(pb::AddLearnerResponse {}))
    }

    async fn promote(
        &self,
        request: Request<pb::PromoteRequest>,
    ) -> Result<Response<pb::PromoteResponse>, Status> {
        self.backend
            .consensus
            .promote(request.get_ref().node_id)
            .await
            .map_err(|error| change(&error))?;
        Ok(Response::new(pb::PromoteResponse {}))
    }

    async fn remove(
        &self,
        request: Request<pb::RemoveRequest>,
    ) -> Result<Response<pb::RemoveResponse>, Status> {
        self.backend
            .consensus
            .remove(request.get_ref().node_id)
            .await
            .map_err(|error| change(&error))?;
        Ok(Response::new(pb::RemoveResponse {}))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        self.backend
            .consensus
            .transfer_leader(request.get_ref().node_id)
            .await
            .map_err(|error| change(&error))?;
        Ok(Response::new(pb::MoveLeaderResponse {}))
    }

    async fn snapshot(
        &self,
        _request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        self.backend
            .consensus
            .trigger_snapshot()
            .await
            .map_err(|error| change(&error))?;
        let applied = self.backend.consensus.status().borrow().applied;
        let applied_index = applied.map_or(0, |position| position.index);
        Ok(Response::new(pb::SnapshotResponse { applied_index }))
    }
}

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
        let alarm = self.alarms.standing().alarms().into_iter().next();
        let words = alarm.map(|alarm| alarm.to_string()).unwrap_or_default();
        Err(Failure::new(Reason::Amnesia, words).into())
    }
}

fn wire_alarms(alarms: &Alarms) -> Vec<pb::Alarm> {
    let standing = alarms.standing();
    let wire = |alarm: &crate::ledger::alarms::Alarm| pb::Alarm {
        name: alarm.name().to_owned(),
        detail: alarm.to_string(),
    };
    standing.alarms().iter().map(wire).collect()
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
