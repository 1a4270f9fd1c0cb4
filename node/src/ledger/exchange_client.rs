//! Speaks to the other nodes: keeps one connection to each, and gives each call its deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aimslog_proto::pb::raft::v1 as pb;
use aimslog_proto::pb::raft::v1::ledger_peer_service_client::LedgerPeerServiceClient;
use aimslog_proto::tlog::{NoteSignature, TreeHead, TreeSize};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Duration, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status as GrpcStatus};

use super::exchange::{
    CosignatureSink, EXCHANGE_TIMEOUT, ExchangeError, HelloAnswer, NodeDirectory, RootSource,
};
use super::exchange_memory::Report;
use super::exchange_root::{RootClaim, SignedRoot};
use super::exchange_wire::{
    envelope, keys_from_pb, memory_from_pb, report_from_pb, report_to_pb, root_from_pb,
};
use super::guard_record::Identity;
use super::publisher::Publisher;
use crate::identity::LedgerKeys;
use crate::raft::{Member, PeerDialer, Status};
use aimslog_proto::limits::PEER_MESSAGE_BYTES_MAX;

/// How long a voter has to hand over the keys: it waits for word of a quorum first.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// The other nodes, by id.
pub struct PeerClients {
    own: Identity,
    dialer: Arc<dyn PeerDialer>,
    nodes: Arc<dyn NodeDirectory>,
    /// Who is a member, by the newest membership known to this node's raft.
    status: watch::Receiver<Status>,
    /// Who was a member by the configuration: used until raft knows better.
    configured: BTreeMap<u64, Member>,
    /// Connections, each with the address it was made for.
    channels: Mutex<BTreeMap<u64, (Member, Channel)>>,
}

impl std::fmt::Debug for PeerClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerClients")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl PeerClients {
    /// Clients for the members that raft knows, and until it knows any for `configured`.
    pub fn new(
        own: Identity,
        dialer: Arc<dyn PeerDialer>,
        nodes: Arc<dyn NodeDirectory>,
        status: watch::Receiver<Status>,
        configured: BTreeMap<u64, Member>,
    ) -> Self {
        Self {
            own,
            dialer,
            nodes,
            status,
            configured,
            channels: Mutex::default(),
        }
    }

    /// The other members now.
    pub fn peers(&self) -> BTreeMap<u64, Member> {
        let status = self.status.borrow();
        let members = if status.members.is_empty() {
            &self.configured
        } else {
            &status.members
        };
        let others = members.iter().filter(|(id, _)| **id != self.own.node);
        others.map(|(id, member)| (*id, member.clone())).collect()
    }

    /// Tells a peer how this node is and asks the same of it.
    pub async fn hello(
        &self,
        peer: u64,
        report: &Report,
        limit: Duration,
    ) -> Result<HelloAnswer, ExchangeError> {
        let request = pb::HelloRequest {
            envelope: Some(envelope(self.own, peer)),
            report: Some(report_to_pb(report)),
        };
        let mut client = self.client(peer)?;
        let answer = within(peer, limit, client.hello(request)).await?;
        hello_answer(peer, answer)
    }

    /// A peer's root at a size, signed by its node key.
    pub async fn signed_root(
        &self,
        peer: u64,
        size: TreeSize,
    ) -> Result<SignedRoot, ExchangeError> {
        let keys = self.nodes.cosigner_keys(peer, size);
        if keys.is_empty() {
            return Err(ExchangeError::UnknownPeer { peer });
        }
        let request = pb::GetRootRequest {
            envelope: Some(envelope(self.own, peer)),
            size: size.0,
        };
        let mut client = self.client(peer)?;
        let answer = within(peer, EXCHANGE_TIMEOUT, client.get_root(request)).await?;
        let root =
            root_from_pb(&answer.root).ok_or(ExchangeError::Malformed { peer, what: "root" })?;
        let signature =
            answer
                .signature
                .as_slice()
                .try_into()
                .map_err(|_length| ExchangeError::Malformed {
                    peer,
                    what: "signature",
                })?;
        let identity = Identity {
            cluster: self.own.cluster,
            node: peer,
        };
        Ok(RootClaim {
            identity,
            size,
            root,
            signature,
        }
        .verify(&keys)?)
    }

    /// Hands a cosignature to the leader.
    pub async fn send_cosignature(
        &self,
        leader: u64,
        head: TreeHead,
        signature: &NoteSignature,
    ) -> Result<(), ExchangeError> {
        let request = pb::SubmitCosignatureRequest {
            envelope: Some(envelope(self.own, leader)),
            size: head.size.0,
            root: head.root.as_bytes().to_vec(),
            cosignature: signature.to_string(),
        };
        let mut client = self.client(leader)?;
        within(leader, EXCHANGE_TIMEOUT, client.submit_cosignature(request))
            .await
            .map(drop)
    }

    /// Hands a client's call with its serialized request to the leader and returns the serialized
    /// response, or the status that the client is to see.
    ///
    /// A call that broke off may have been carried out: its code is `UNAVAILABLE`,
    /// `DEADLINE_EXCEEDED` or `CANCELLED` without an Aimslog reason, and means an unknown outcome.
    pub async fn forward(
        &self,
        leader: u64,
        (call, request): (pb::ForwardedCall, Vec<u8>),
        deadline: Duration,
    ) -> Result<Bytes, ExchangeError> {
        let message = pb::ForwardRequest {
            envelope: Some(envelope(self.own, leader)),
            call: call.into(),
            request,
        };
        let mut client = self.client(leader)?;
        let mut call = Request::new(message);
        call.set_timeout(deadline);
        let answer = within(leader, deadline, client.forward(call)).await?;
        Ok(answer.response.into())
    }

    /// Asks a voter for the keys of the ledger. They are not checked against anything yet.
    pub async fn ledger_keys(&self, peer: u64) -> Result<LedgerKeys, ExchangeError> {
        let request = pb::GetLedgerKeysRequest {
            envelope: Some(envelope(self.own, peer)),
        };
        let mut client = self.client(peer)?;
        let answer = within(peer, KEYS_TIMEOUT, client.get_ledger_keys(request)).await?;
        keys_from_pb(&answer).ok_or(ExchangeError::Malformed { peer, what: "key" })
    }

    fn client(&self, peer: u64) -> Result<LedgerPeerServiceClient<Channel>, ExchangeError> {
        let member = self
            .peers()
            .remove(&peer)
            .ok_or(ExchangeError::UnknownPeer { peer })?;
        let mut channels = self.lock();
        let channel = match channels.get(&peer) {
            Some((known, channel)) if *known == member => channel.clone(),
            _ => {
                let channel = self
                    .dialer
                    .dial(peer, &member)
                    .map_err(|source| ExchangeError::Dial { peer, source })?;
                channels.insert(peer, (member, channel.clone()));
                channel
            }
        };
        Ok(LedgerPeerServiceClient::new(channel)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Member, Channel)>> {
        // Nothing is half done between two statements under this lock.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a node how it is, for a node that is not running yet and has nothing to tell.
///
/// Opens a connection of its own to `member`.
pub async fn ask_at_start(
    own: Identity,
    dialer: &dyn PeerDialer,
    (peer, member): (u64, &Member),
    limit: Duration,
) -> Result<Report, ExchangeError> {
    let channel = dialer
        .dial(peer, member)
        .map_err(|source| ExchangeError::Dial { peer, source })?;
    let request = pb::HelloRequest {
        envelope: Some(envelope(own, peer)),
        report: None,
    };
    let mut client = LedgerPeerServiceClient::new(channel);
    let answer = within(peer, limit, client.hello(request)).await?;
    hello_answer(peer, answer).map(|answer| answer.report)
}

fn hello_answer(peer: u64, answer: pb::HelloResponse) -> Result<HelloAnswer, ExchangeError> {
    let report = report_from_pb(peer, answer.report).ok_or(ExchangeError::Malformed {
        peer,
        what: "report",
    })?;
    Ok(HelloAnswer {
        report,
        remembered: answer.remembered.as_ref().map(memory_from_pb),
        acknowledged: answer.acknowledged_index,
        removal: answer.removal.into(),
    })
}

async fn within<T>(
    peer: u64,
    deadline: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, GrpcStatus>>,
) -> Result<T, ExchangeError> {
    match timeout(deadline, call).await {
        Err(_) => Err(ExchangeError::Silent { peer }),
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if status.code() == Code::DeadlineExceeded => {
            Err(ExchangeError::Silent { peer })
        }
        Ok(Err(status)) if was_not_sent(&status) => Err(ExchangeError::Unreachable {
            peer,
            status: Box::new(status),
        }),
        Ok(Err(status)) => Err(ExchangeError::Refused {
            peer,
            status: Box::new(status),
        }),
    }
}

/// Whether there was no connection that the call could have gone over.
fn was_not_sent(status: &tonic::Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

impl RootSource for PeerClients {
    fn root(&self, peer: u64, size: TreeSize) -> BoxFuture<'_, Result<SignedRoot, ExchangeError>> {
        Box::pin(self.signed_root(peer, size))
    }
}

/// Brings cosignatures to the leader, be it another node or this one.
#[derive(Debug, Clone)]
pub struct LeaderSink {
    own: u64,
    clients: Arc<PeerClients>,
    publisher: Publisher,
}

impl LeaderSink {
    /// The way over `clients`, or straight to this node's own publisher.
    pub fn new(clients: Arc<PeerClients>, publisher: Publisher) -> Self {
        Self {
            own: clients.own.node,
            clients,
            publisher,
        }
    }
}

impl CosignatureSink for LeaderSink {
    fn submit(
        &self,
        leader: u64,
        head: TreeHead,
        signature: NoteSignature,
    ) -> BoxFuture<'_, Result<(), ExchangeError>> {
        Box::pin(async move {
            if leader != self.own {
                return self
                    .clients
                    .send_cosignature(leader, head, &signature)
                    .await;
            }
            match self.publisher.cosignature(self.own, head, signature).await {
                Ok(_) => Ok(()),
                Err(refusal) => Err(ExchangeError::Cosignature(refusal)),
            }
        })
    }
}
