//! The server side of the peer protocol.
//!
//! Every message is checked before Raft sees it: the cluster, the target, the sender against the
//! certificate (by the [`PeerGate`]), and whether this node takes part at all.

mod receive_snapshot;

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use aimslog_proto::pb::raft::v1::{self as pb, peer_service_server::PeerService};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use openraft::{
    Raft,
    async_runtime::watch::WatchReceiver,
    errors::{LinearizableReadError, RaftError},
    raft::AppendEntriesRequest,
};
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::{
    adapter::StateMachine,
    consensus::Participation,
    peer::PeerGate,
    snapshot::SnapshotStore,
    type_config::TypeConfig,
    wire::{self, WireError},
};

/// Answers the peers of one node.
#[derive(Clone)]
pub struct PeerServer {
    pub(super) door: Arc<Door>,
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) snapshots: SnapshotStore,
    /// One incoming snapshot at a time: each takes disk space for a whole state.
    pub(super) receiving: Arc<tokio::sync::Semaphore>,
}

/// What lets a message in.
pub(super) struct Door {
    pub(super) cluster_id: [u8; 32],
    pub(super) id: u64,
    pub(super) gate: Arc<dyn PeerGate>,
    participation: AtomicU8,
    /// Ends the streams that are open when the node falls silent or shuts down.
    closing: std::sync::Mutex<CancellationToken>,
}

impl Door {
    pub(super) fn new(
        cluster_id: [u8; 32],
        id: u64,
        gate: Arc<dyn PeerGate>,
        participation: Participation,
    ) -> Self {
        let door = Self {
            cluster_id,
            id,
            gate,
            participation: AtomicU8::new(0),
            closing: std::sync::Mutex::default(),
        };
        door.set(participation);
        door
    }

    /// Falling silent ends all open streams, and later ones at once.
    pub(super) fn set(&self, participation: Participation) {
        self.participation
            .store(participation as u8, Ordering::Release);
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if participation == Participation::Silent {
            closing.cancel();
        } else if closing.is_cancelled() {
            *closing = CancellationToken::new();
        }
    }

    fn closing(&self) -> CancellationToken {
        self.closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn participation(&self) -> Participation {
        match self.participation.load(Ordering::Acquire) {
            0 => Participation::Full,
            1 => Participation::NoCampaign,
            _ => Participation::Silent,
        }
    }

    /// Lets a message in, or says why not. Cheap; done for every message of a stream.
    fn check(&self, from: &Extensions, envelope: Option<&pb::Envelope>) -> Result<(), Status> {
        let envelope = envelope.ok_or_else(|| Status::invalid_argument("no envelope"))?;
        if envelope.cluster_id != self.cluster_id {
            return Err(Status::permission_denied(
                "the message is for another cluster",
            ));
        }
        if envelope.target_id != self.id {
            let (id, target) = (self.id, envelope.target_id);
            let text = format!("the message is for node {target}, this is node {id}");
            return Err(Status::permission_denied(text));
        }
        self.gate.check(from, envelope.sender_id).map_err(|error| {
            tracing::warn!(%error, sender = envelope.sender_id, "a peer message was refused");
            Status::permission_denied(error.to_string())
        })?;
        if self.participation() == Participation::Silent {
            return Err(Status::failed_precondition(
                "this node takes no part in raft",
            ));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl PeerService for PeerServer {
    type AppendEntriesStream = BoxStream<'static, Result<pb::AppendEntriesResponse, Status>>;

    async fn append_entries(
        &self,
        request: Request<Streaming<pb::AppendEntriesRequest>>,
    ) -> Result<Response<Self::AppendEntriesStream>, Status> {
        let (_metadata, extensions, messages) = request.into_parts();
        // A refused message ends the stream with its status, after the answers to those before it.
        let (refusal, refused) = tokio::sync::oneshot::channel();
        let closing = self.door.closing();
        // Both directions end: Raft's task would otherwise hold the stream of a peer that is quiet,
        // and with it the connection.
        let requests = self.requests(extensions, messages, refusal);
        let requests = requests.take_until(closing.clone().cancelled_owned());
        let answers = self.raft.stream_append(requests).map(|answer| {
            answer
                .map(|result| wire::append_result_to_pb(&result))
                .map_err(|error| stopped(&error))
        });
        let refused = stream::once(refused).filter_map(|status| async { status.ok().map(Err) });
        let answers = answers.chain(refused).take_until(closing.cancelled_owned());
        Ok(Response::new(answers.boxed()))
    }

    async fn vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteResponse>, Status> {
        let (_metadata, extensions, request) = request.into_parts();
        self.door.check(&extensions, request.envelope.as_ref())?;
        let request = wire::vote_request_from_pb(&request).map_err(|e| unreadable(&e))?;
        let answer = self
            .raft
            .vote(request)
            .await
            .map_err(|error| stopped(&error))?;
        Ok(Response::new(wire::vote_response_to_pb(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<pb::PreVoteRequest>,
    ) -> Result<Response<pb::PreVoteResponse>, Status> {
        let (_metadata, extensions, request) = request.into_parts();
        self.door.check(&extensions, request.envelope.as_ref())?;
        let request = wire::pre_vote_request_from_pb(&request).map_err(|e| unreadable(&e))?;
        let answer = self
            .raft
            .pre_vote(request)
            .await
            .map_err(|error| stopped(&error))?;
        Ok(Response::new(wire::pre_vote_response_to_pb(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let (_metadata, extensions, request) = request.into_parts();
        self.door.check(&extensions, request.envelope.as_ref())?;
        let request = wire::transfer_from_pb(&request).map_err(|e| unreadable(&e))?;
        // The others hear of it too: they need not wait for the old leader any longer.
        let to_this_node = *request.to_node_id() == self.door.id;
        if to_this_node && self.door.participation() != Participation::Full {
            return Err(Status::failed_precondition("this node does not campaign"));
        }
        let answer = self.raft.handle_transfer_leader(request).await;
        let answer = answer.map_err(|error| stopped(&error))?;
        Ok(Response::new(wire::transfer_result_to_pb(&answer)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::InstallSnapshotRequest>>,
    ) -> Result<Response<pb::InstallSnapshotResponse>, Status> {
        receive_snapshot::receive(self, request)
            .await
            .map(Response::new)
    }

    async fn read_index(
        &self,
        request: Request<pb::ReadIndexRequest>,
    ) -> Result<Response<pb::ReadIndexResponse>, Status> {
        let (_metadata, extensions, request) = request.into_parts();
        self.door.check(&extensions, request.envelope.as_ref())?;
        let sender = request.envelope.map_or(0, |envelope| envelope.sender_id);
        if !self.has_member(sender) {
            return Err(Status::permission_denied(format!(
                "node {sender} is no member, so nothing it serves would be current"
            )));
        }
        match self
            .raft
            .get_read_linearizer(openraft::ReadPolicy::ReadIndex)
            .await
        {
            Ok(linearizer) => {
                let index = linearizer.read_log_id().index();
                Ok(Response::new(pb::ReadIndexResponse { index }))
            }
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(Status::failed_precondition("the leader has no quorum"))
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                Err(Status::failed_precondition("this node does not lead"))
            }
        }
    }
}

impl std::fmt::Debug for PeerServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerServer")
            .field("id", &self.door.id)
            .finish_non_exhaustive()
    }
}

impl PeerServer {
    /// Whether a node is a member by the newest membership in this node's log. What a leader's log
    /// does not hold is no membership of the group.
    fn has_member(&self, id: u64) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .membership()
            .get_node(&id)
            .is_some()
    }

    /// The readable messages of the stream. Ends at the first that is refused.
    fn requests(
        &self,
        extensions: Extensions,
        messages: Streaming<pb::AppendEntriesRequest>,
        refusal: tokio::sync::oneshot::Sender<Status>,
    ) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
        let door = Arc::clone(&self.door);
        let state = Some((messages, refusal));
        stream::unfold(
            (door, extensions, state),
            |(door, extensions, state)| async move {
                let (mut messages, refusal) = state?;
                let status = match messages.message().await {
                    Ok(None) => return None,
                    Ok(Some(message)) => match admit(&door, &extensions, message) {
                        Ok(request) => {
                            return Some((request, (door, extensions, Some((messages, refusal)))));
                        }
                        Err(status) => status,
                    },
                    Err(status) => status,
                };
                let unheard = refusal.send(status).is_err();
                tracing::debug!(unheard, "an append stream was ended");
                None
            },
        )
    }
}

fn admit(
    door: &Door,
    extensions: &Extensions,
    message: pb::AppendEntriesRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    door.check(extensions, message.envelope.as_ref())?;
    wire::append_from_pb(message).map_err(|error| unreadable(&error))
}

fn unreadable(error: &WireError) -> Status {
    tracing::warn!(%error, "a peer message could not be read");
    Status::invalid_argument(error.to_string())
}

fn stopped<E: std::fmt::Display>(error: &E) -> Status {
    tracing::debug!(%error, "raft has stopped");
    Status::unavailable("raft has stopped on this node")
}
