//! Raft's calls to peers, over gRPC, each with a deadline.
//!
//! A failed call is always reported as unreachable, which makes openraft wait a little longer each
//! time before it tries that peer again; other peers have their own connections and do not notice.

mod append;
mod send_snapshot;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aimslog_proto::limits::PEER_MESSAGE_BYTES_MAX;
use aimslog_proto::pb::raft::v1::{self as pb, peer_service_client::PeerServiceClient};
use futures::{Stream, future::BoxFuture, stream::BoxStream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};
use tokio::time::timeout;
use tonic::{Status, transport::Channel};

use super::{
    peer::{DialError, PeerDialer},
    snapshot::SnapshotDir,
    type_config::{RaftVote, TypeConfig},
    types::Member,
    wire::{self, Route, WireError},
};

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

/// Makes the connections of one node to its peers.
#[derive(Clone)]
pub(super) struct PeerNetwork {
    cluster_id: [u8; 32],
    sender: u64,
    dialer: Arc<dyn PeerDialer>,
    /// How long a peer may stay silent while an append is under way. openraft's own limit, one
    /// heartbeat, would take every slow sync for a dead peer.
    append_idle: Duration,
    /// Connections for the calls of our own. Locked for moments, never across an await.
    calls: Arc<Mutex<BTreeMap<u64, (Member, Channel)>>>,
}

/// One connection to one peer.
pub(super) struct Peer {
    route: Route,
    append_idle: Duration,
    channel: Result<Channel, Arc<DialError>>,
}

/// Why a peer gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("no connection")]
    Dial(#[source] Arc<DialError>),
    #[error("node {target} is not a member")]
    Unknown { target: u64 },
    #[error("the peer did not answer {call} within {limit:?}")]
    Timeout { call: &'static str, limit: Duration },
    #[error("the call {call} failed: {}", status.code())]
    Call {
        call: &'static str,
        #[source]
        status: Box<Status>,
    },
    #[error("the answer to {call} cannot be read")]
    Answer {
        call: &'static str,
        #[source]
        source: WireError,
    },
    #[error("the peer ended the stream while {open} requests were open")]
    Ended { open: usize },
    #[error("the snapshot cannot be read")]
    Snapshot(#[source] std::io::Error),
}

impl PeerNetwork {
    pub(super) fn new(
        cluster_id: [u8; 32],
        sender: u64,
        dialer: Arc<dyn PeerDialer>,
        append_idle: Duration,
    ) -> Self {
        Self {
            cluster_id,
            sender,
            dialer,
            append_idle,
            calls: Arc::default(),
        }
    }

    /// Asks `leader` for the index that a linearizable read must have applied.
    pub(super) async fn read_index(
        &self,
        leader: u64,
        members: &BTreeMap<u64, Member>,
        limit: Duration,
    ) -> Result<u64, PeerError> {
        let member = members
            .get(&leader)
            .ok_or(PeerError::Unknown { target: leader })?;
        let peer = self.peer(leader, self.cached(leader, member));
        let request = pb::ReadIndexRequest {
            envelope: Some(peer.route.envelope()),
        };
        let mut client = peer.client()?;
        let answer = call("read index", limit, client.read_index(request)).await?;
        Ok(answer.index)
    }

    fn cached(&self, id: u64, member: &Member) -> Result<Channel, Arc<DialError>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, channel)) = calls.get(&id)
            && held == member
        {
            return Ok(channel.clone());
        }
        let channel = self.dialer.dial(id, member)?;
        calls.insert(id, (member.clone(), channel.clone()));
        Ok(channel)
    }

    fn peer(&self, target: u64, channel: Result<Channel, Arc<DialError>>) -> Peer {
        let route = Route {
            cluster_id: self.cluster_id,
            target,
            sender: self.sender,
        };
        Peer {
            route,
            append_idle: self.append_idle,
            channel,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetwork {
    type Network = Peer;

    /// Dials anew each time: replication, heartbeats and snapshots ask separately, so that none of
    /// them waits behind another in one connection.
    async fn new_client(&mut self, target: u64, member: &Member) -> Peer {
        self.peer(target, self.dialer.dial(target, member).map_err(Arc::new))
    }
}

impl Peer {
    fn client(&self) -> Result<PeerServiceClient<Channel>, PeerError> {
        let channel = self.channel.clone().map_err(PeerError::Dial)?;
        Ok(PeerServiceClient::new(channel)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotDir;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<TypeConfig>> {
        append::single(self, request)
            .await
            .map(AppendEntriesResponse::from)
            .map_err(rpc_error)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let answers = append::open(self, input).await.map_err(rpc_error)?;
            let answers = futures::StreamExt::map(answers, |answer| answer.map_err(rpc_error));
            Ok(Box::pin(answers) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        let request = wire::vote_request_to_pb(&self.route, &request);
        let mut client = self.client().map_err(rpc_error)?;
        let answer = call("vote", option.soft_ttl(), client.vote(request)).await;
        read("vote", answer, wire::vote_response_from_pb)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        let request = wire::pre_vote_request_to_pb(&self.route, &request);
        let mut client = self.client().map_err(rpc_error)?;
        let answer = call("pre-vote", option.soft_ttl(), client.pre_vote(request)).await;
        read("pre-vote", answer, wire::pre_vote_response_from_pb)
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: SnapshotOf<TypeConfig, SnapshotDir>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sending = send_snapshot::send(self, vote, snapshot.snapshot, option.soft_ttl());
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending => {
                sent.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        let message = wire::transfer_to_pb(&self.route, &request);
        let mut client = self.client().map_err(rpc_error)?;
        let answer = call(
            "transfer",
            option.soft_ttl(),
            client.transfer_leader(message),
        )
        .await;
        read("transfer", answer, |answer| {
            wire::transfer_result_from_pb(answer, &request)
        })
    }
}

/// Waits for a unary call, at most for `limit`.
async fn call<T>(
    call: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, PeerError> {
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(PeerError::Call {
            call,
            status: Box::new(status),
        }),
        Err(_elapsed) => Err(PeerError::Timeout { call, limit }),
    }
}

fn read<A, T>(
    call: &'static str,
    answer: Result<A, PeerError>,
    convert: impl FnOnce(A) -> Result<T, WireError>,
) -> RpcResult<T> {
    answer
        .and_then(|answer| convert(answer).map_err(|source| PeerError::Answer { call, source }))
        .map_err(rpc_error)
}

/// With the chain of causes in it, since openraft logs only the top of an error.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn rpc_error(error: PeerError) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(&error))
}
