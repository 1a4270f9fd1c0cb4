//! Answers the other nodes.

use std::sync::Arc;

use aimslog_proto::pb::raft::v1 as pb;
use aimslog_proto::pb::raft::v1::ledger_peer_service_server::{
    LedgerPeerService, LedgerPeerServiceServer,
};
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::{NoteSignature, RootHash, TreeSize};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout};
use tonic::{Code, Request, Response, Status};

use super::alarms::Alarms;
use super::cosigner::HeadCosigner;
use super::exchange::{FORWARD_BYTES_MAX, ForwardTarget, OwnTree};
use super::exchange_hello::OwnReport;
use super::exchange_memory::{Heard, PeerMemories};
use super::exchange_wire::{
    head_from_pb, keys_to_pb, malformed, memory_to_pb, not_permitted, refusal_status, refuse,
    report_from_pb, report_to_pb, sender,
};
use super::guard_record::Identity;
use super::key_handover::{KeyKeeper, KeysRefused};
use super::progress::LedgerProgress;
use super::publisher::Publisher;
use super::roster::{Roster, Seat};
use crate::raft::PeerGate;
use aimslog_proto::limits::PEER_MESSAGE_BYTES_MAX;

/// How long a question about a size that is not applied yet waits.
const ROOT_WAIT: Duration = Duration::from_millis(250);

/// What the service answers from.
pub struct ExchangeParts {
    /// Who this node is.
    pub own: Identity,
    /// Checks the sender against the connection.
    pub gate: Arc<dyn PeerGate>,
    /// How this node is.
    pub report: Arc<OwnReport>,
    /// What it knows of the others.
    pub memories: Arc<PeerMemories>,
    /// Its tree.
    pub tree: Arc<dyn OwnTree>,
    /// How far that is.
    pub progress: watch::Receiver<LedgerProgress>,
    /// Its key.
    pub cosigner: Arc<dyn HeadCosigner>,
    /// Where cosignatures go while it leads.
    pub publisher: Publisher,
    /// Where forwarded calls go while it leads.
    pub forward: Arc<dyn ForwardTarget>,
    /// Whether it may answer at all.
    pub alarms: Alarms,
    /// Who belongs to the cluster.
    pub roster: Arc<dyn Roster>,
    /// Where keys are handed out.
    pub keys: Arc<dyn KeyKeeper>,
}

impl std::fmt::Debug for ExchangeParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeParts")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// The service for the peer listener, with its message limits.
pub fn service(parts: ExchangeParts) -> LedgerPeerServiceServer<ExchangeServer> {
    LedgerPeerServiceServer::new(ExchangeServer { parts })
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
}

/// The peer service of the ledger.
#[derive(Debug)]
pub struct ExchangeServer {
    parts: ExchangeParts,
}

impl ExchangeServer {
    /// The sender, proven by its certificate.
    fn sender(
        &self,
        extensions: &tonic::Extensions,
        envelope: Option<pb::Envelope>,
    ) -> Result<u64, Status> {
        let claimed = sender(self.parts.own, envelope)?;
        match self.parts.gate.check(extensions, claimed) {
            Ok(()) => Ok(claimed),
            Err(error) => {
                tracing::warn!(claimed, %error, "peer refused");
                Err(not_permitted(
                    "the sender is not the node of the certificate",
                ))
            }
        }
    }

    /// The sender, if it was not removed and this node may answer it. A node in amnesia, or removed,
    /// answers nobody, and a corrupt one gives away nothing of its tree.
    fn partner(
        &self,
        extensions: &tonic::Extensions,
        envelope: Option<pb::Envelope>,
    ) -> Result<u64, Status> {
        let from = self.sender(extensions, envelope)?;
        if let Seat::Removed(_) = self.parts.roster.seat(from) {
            let words = "the operators removed the sender for ever";
            return Err(refuse(Code::PermissionDenied, Reason::NodeRemoved, words));
        }
        self.takes_part()?;
        Ok(from)
    }

    fn takes_part(&self) -> Result<(), Status> {
        let standing = self.parts.alarms.standing();
        if standing.removed.is_some() {
            return Err(refuse(
                Code::Unavailable,
                Reason::NodeRemoved,
                "the node was removed",
            ));
        }
        if standing.amnesia.is_some() {
            return Err(refuse(
                Code::Unavailable,
                Reason::Amnesia,
                "the node takes no part",
            ));
        }
        if standing.corrupt.is_some() {
            return Err(refuse(
                Code::Unavailable,
                Reason::Corrupt,
                "the node takes no part",
            ));
        }
        Ok(())
    }

    /// The record that removed a node; empty if none did, or if it cannot be read now.
    async fn removal(&self, node: u64) -> Bytes {
        if !matches!(self.parts.roster.seat(node), Seat::Removed(_)) {
            return Bytes::new();
        }
        let roster = Arc::clone(&self.parts.roster);
        match tokio::task::spawn_blocking(move || roster.removal(node)).await {
            Ok(Ok(statement)) => statement.unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::error!(%error, node, "the record of a removal cannot be read");
                Bytes::new()
            }
            Err(error) => {
                tracing::error!(%error, node, "the record of a removal cannot be read");
                Bytes::new()
            }
        }
    }

    async fn applied_up_to(&self, size: TreeSize) -> bool {
        let mut progress = self.parts.progress.clone();
        let reached = progress.wait_for(|progress| progress.tree.size >= size);
        matches!(timeout(ROOT_WAIT, reached).await, Ok(Ok(_)))
    }

    async fn own_root(&self, size: TreeSize) -> Result<RootHash, Status> {
        let tree = Arc::clone(&self.parts.tree);
        let read = tokio::task::spawn_blocking(move || tree.root_at(size)).await;
        let internal = || refuse(Code::Internal, Reason::Internal, "the tree cannot be read");
        match read {
            Ok(Ok(Some(root))) => Ok(root),
            Ok(Ok(None)) => Err(beyond()),
            Ok(Err(error)) => {
                tracing::error!(%error, size = size.0, "own root cannot be read");
                Err(internal())
            }
            Err(error) => {
                tracing::error!(%error, size = size.0, "own root cannot be read");
                Err(internal())
            }
        }
    }
}

fn beyond() -> Status {
    refuse(
        Code::OutOfRange,
        Reason::BeyondTree,
        "this node has not applied that far",
    )
}

#[tonic::async_trait]
impl LedgerPeerService for ExchangeServer {
    async fn hello(
        &self,
        request: Request<pb::HelloRequest>,
    ) -> Result<Response<pb::HelloResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let from = self.sender(&extensions, message.envelope)?;
        let own = self.parts.report.now();
        let remembered = match message.report {
            // The caller is only starting, and has nothing to tell yet.
            None => self.parts.memories.memory(from),
            told => {
                let report = report_from_pb(from, told)
                    .ok_or_else(|| malformed("report is of another node"))?;
                self.parts.memories.hear(Heard {
                    report,
                    at: Instant::now(),
                    clock_ms: own.clock_ms,
                    under_way: Duration::ZERO,
                })
            }
        };
        Ok(Response::new(pb::HelloResponse {
            report: Some(report_to_pb(&own)),
            remembered: remembered.as_ref().map(memory_to_pb),
            acknowledged_index: self.parts.report.acknowledged_by(from),
            removal: self.removal(from).await.into(),
        }))
    }

    async fn get_root(
        &self,
        request: Request<pb::GetRootRequest>,
    ) -> Result<Response<pb::GetRootResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        self.partner(&extensions, message.envelope)?;
        let size = TreeSize(message.size);
        if !self.applied_up_to(size).await {
            return Err(beyond());
        }
        let root = self.own_root(size).await?;
        let signed = self.parts.cosigner.sign_root(size, root);
        let signed = signed.map_err(|error| {
            tracing::warn!(%error, size = size.0, "a root was asked for and not signed");
            let code = Code::FailedPrecondition;
            refuse(code, Reason::FailedPrecondition, &error.to_string())
        })?;
        Ok(Response::new(pb::GetRootResponse {
            root: root.as_bytes().to_vec(),
            signature: signed.claim().signature.to_vec(),
        }))
    }

    async fn submit_cosignature(
        &self,
        request: Request<pb::SubmitCosignatureRequest>,
    ) -> Result<Response<pb::SubmitCosignatureResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let from = self.partner(&extensions, message.envelope)?;
        let head = head_from_pb(message.size, &message.root)?;
        let signature = NoteSignature::parse(&message.cosignature)
            .ok_or_else(|| malformed("cosignature is not a signature line"))?;
        match self
            .parts
            .publisher
            .cosignature(from, head, signature)
            .await
        {
            Ok(_) => Ok(Response::new(pb::SubmitCosignatureResponse {})),
            Err(refusal) => Err(refusal_status(&refusal)),
        }
    }

    async fn forward(
        &self,
        request: Request<pb::ForwardRequest>,
    ) -> Result<Response<pb::ForwardResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        self.partner(&extensions, message.envelope)?;
        if message.request.len() > FORWARD_BYTES_MAX {
            return Err(malformed("request is larger than the limit"));
        }
        let call = pb::ForwardedCall::try_from(message.call)
            .map_err(|_unknown| malformed("call is not known"))?;
        let response = self
            .parts
            .forward
            .answer(call, message.request.into(), metadata)
            .await?;
        Ok(Response::new(pb::ForwardResponse { response }))
    }

    async fn get_ledger_keys(
        &self,
        request: Request<pb::GetLedgerKeysRequest>,
    ) -> Result<Response<pb::GetLedgerKeysResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let from = self.partner(&extensions, message.envelope)?;
        match self.parts.keys.hand_out(from).await {
            Ok(keys) => Ok(Response::new(keys_to_pb(&keys))),
            Err(refusal) => {
                tracing::warn!(to = from, %refusal, "the keys of the ledger were not handed out");
                Err(keys_refused(&refusal))
            }
        }
    }
}

fn keys_refused(refusal: &KeysRefused) -> Status {
    let (code, reason) = match refusal {
        KeysRefused::NotAMember { .. } => (Code::PermissionDenied, Reason::NotPermitted),
        KeysRefused::MembersUnknown(_) => (Code::Unavailable, Reason::NoQuorum),
        KeysRefused::NoVoter | KeysRefused::NotHere => {
            (Code::FailedPrecondition, Reason::FailedPrecondition)
        }
    };
    refuse(code, reason, &refusal.to_string())
}
