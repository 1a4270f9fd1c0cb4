//! `ClusterService`, for operators.

mod amnesiac;
mod fitness;

pub use amnesiac::AmnesiacApi;
use fitness::Duty;

use crate::identity::Sort;
use crate::ledger::alarms::Alarms;
use crate::ledger::command;
use crate::ledger::log_keys::log_keys_needed;
use crate::ledger::outcome::Outcome;
use crate::ledger::sequencer::Control;
use crate::raft::{ChangeError, Member, Role};
use crate::service::backend::Backend;
use crate::service::status::Failure;
use crate::service::submit;
use aimslog_proto::pb::admin::v1 as pb;
use aimslog_proto::pb::admin::v1::cluster_service_server::ClusterService;
use aimslog_proto::reason::Reason;
use aimslog_proto::system::NodeId;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// How long `Init` waits for the new cluster to elect its first leader.
const FIRST_ELECTION: Duration = Duration::from_secs(20);

/// How long a change of the members waits for word of a quorum.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(3);

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
        if self.backend.facts.first_members.is_empty() {
            let words = "genesis does not name this node: it joins by `cluster replace`";
            return Err(Failure::new(Reason::FailedPrecondition, words));
        }
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
            match self.backend.consensus.initialize(members).await {
                // Formed by an earlier call that was cut off before its genesis was logged.
                Ok(()) | Err(ChangeError::Initialized) => {}
                Err(error) => return Err(change(&error)),
            }
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
            Ok(Outcome::Refused(violations)) => Err(Failure::violations(&violations)),
            Ok(_) => Ok(()),
            Err(error) => Err(submit::failure(&error)),
        }
    }

    /// Refuses a node that the operators have not let in by a record, or have removed: a member gets
    /// a copy of everything, and the keys of the ledger.
    async fn admitted(&self, id: u64) -> Result<(), Failure> {
        if !self.backend.leads() {
            return Err(self.not_leader("this node does not lead; ask the leader"));
        }
        if let Err(error) = self.backend.consensus.read_barrier(BARRIER_TIMEOUT).await {
            return Err(Failure::new(Reason::NoQuorum, error.to_string()));
        }
        let registry = self.backend.ledger.registry();
        if NodeId::new(id).is_some_and(|id| registry.has_node(id)) {
            return Ok(());
        }
        let words =
            format!("node {id} is not admitted: the operators log a ledger.node record first");
        Err(Failure::new(Reason::NotPermitted, words))
    }

    /// Refuses unless this node leads and all of these are members.
    fn leading(&self, members: &[u64]) -> Result<(), Failure> {
        if !self.backend.leads() {
            return Err(self.not_leader("this node does not lead; ask the leader"));
        }
        let status = self.backend.consensus.status();
        let status = status.borrow();
        let stranger = members.iter().find(|id| !status.members.contains_key(id));
        match stranger {
            Some(id) => Err(change(&ChangeError::NotMember { id: *id })),
            None => Ok(()),
        }
    }

    /// Refuses here, on the leader, a member that could not do its duty or was not heard lately: the
    /// cluster must not come to depend on it.
    fn leading_with(&self, id: u64, duty: Duty) -> Result<(), Failure> {
        self.leading(&[id])?;
        if self.backend.facts.node_id == id {
            return Ok(());
        }
        let views = self.backend.memories.views();
        fitness::check(duty, id, views.get(&id), Instant::now())
            .map_err(|words| Failure::new(Reason::FailedPrecondition, words))
    }

    /// The thumbprints of the receipt keys that are here, the one that is to follow last.
    fn receipt_keys(&self) -> Vec<String> {
        let keys = self.backend.ring.keys();
        let publics = keys
            .map(|keys| keys.publics(Sort::Receipt))
            .unwrap_or_default();
        publics
            .iter()
            .map(|key| key.thumbprint().to_string())
            .collect()
    }

    /// The log keys that are here, those that the log has in force, and those that the next head needs.
    fn log_keys(&self) -> [Vec<String>; 3] {
        let registry = self.backend.ledger.registry();
        let Some(genesis) = registry.genesis() else {
            return Default::default();
        };
        let progress = self.backend.ledger.progress().borrow().clone();
        let published = TreeSize(progress.head.map_or(0, |head| head.tree.size.0));
        let (next, size) = (LeafIndex(progress.tree.size.0), progress.tree.size);
        let held = self.backend.ring.keys().map(|keys| keys.publics(Sort::Log));
        [
            held.unwrap_or_default(),
            registry.log_keys_at(next).map(|row| row.key).collect(),
            log_keys_needed(&registry, published, size),
        ]
        .map(|keys| {
            let keys = keys.iter().map(|key| key.to_log_key(&genesis.origin));
            keys.map(|key| key.to_string()).collect()
        })
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
        let registry = self.backend.ledger.registry();
        let [log_keys, log_keys_named, log_keys_signing] = self.log_keys();
        let members = status.members.iter().map(|(id, member)| pb::Member {
            node_id: *id,
            name: member.name.clone(),
            address: member.addr.clone(),
            voter: status.voters.contains(id),
            cosigner: cosigner(&registry, *id),
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
            alarms: wire_alarms(&self.backend.alarms),
            head_age_ms: progress
                .head
                .map_or(0, |head| now.saturating_sub(head.time.0)),
            raft_syncs: syncs.raft,
            guard_syncs: syncs.guard,
            cosigner_keys: self
                .backend
                .cosigners
                .keys()
                .iter()
                .map(ToString::to_string)
                .collect(),
            receipt_keys: self.receipt_keys(),
            log_keys,
            log_keys_named,
            log_keys_signing,
        }
    }
}

/// The cosigner key that the log names for a node; empty where it was never admitted.
fn cosigner(registry: &Registry, id: u64) -> String {
    let row = NodeId::new(id).and_then(|id| registry.node(id));
    row.map_or_else(String::new, |row| row.node.cosigner.to_string())
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
        let answer = submit::system(&self.backend, request.into_inner(), until).await?;
        Ok(Response::new(answer))
    }

    async fn add_learner(
        &self,
        request: Request<pb::AddLearnerRequest>,
    ) -> Result<Response<pb::AddLearnerResponse>, Status> {
        let request = request.into_inner();
        self.admitted(request.node_id).await?;
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
        self.leading_with(request.get_ref().node_id, Duty::Vote)?;
        self.backend
            .consensus
            .promote(request.get_ref().node_id)
            .await
            .map_err(|error| change(&error))?;
        Ok(Response::new(pb::PromoteResponse {}))
    }

    async fn replace(
        &self,
        request: Request<pb::ReplaceRequest>,
    ) -> Result<Response<pb::ReplaceResponse>, Status> {
        let pb::ReplaceRequest { old_id, new_id } = request.into_inner();
        self.leading(&[old_id])?;
        self.leading_with(new_id, Duty::Vote)?;
        self.backend
            .consensus
            .replace(old_id, new_id)
            .await
            .map_err(|error| change(&error))?;
        Ok(Response::new(pb::ReplaceResponse {}))
    }

    async fn remove(
        &self,
        request: Request<pb::RemoveRequest>,
    ) -> Result<Response<pb::RemoveResponse>, Status> {
        self.leading(&[request.get_ref().node_id])?;
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
        self.leading_with(request.get_ref().node_id, Duty::Lead)?;
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
            .shorten_log()
            .map_err(|error| change(&error))?;
        let applied = self.backend.consensus.status().borrow().applied;
        let applied_index = applied.map_or(0, |position| position.index);
        Ok(Response::new(pb::SnapshotResponse { applied_index }))
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
