//! The direct exchange between nodes, beside Raft: how they are, their signed roots, cosignatures
//! and calls for the leader.
//!
//! This module has the words of it and the ports that the tasks need; `exchange_client` speaks,
//! `exchange_server` answers, `exchange_hello` keeps the second's rhythm.

use aimslog_proto::pb::raft::v1::ForwardedCall;
use aimslog_proto::tlog::{NoteSignature, RootHash, TreeHead, TreeSize};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::time::Duration;
use tonic::metadata::MetadataMap;

use super::exchange_memory::Report;
use super::exchange_root::{SignedRoot, WrongRootSignature};
use super::guard::Memory;
use super::publisher_state::CosignatureRefusal;

/// How long a peer has to answer.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_millis(300);

/// Largest forwarded call, bytes: a client batch or an attachment of 4 MiB, and its frame.
pub const FORWARD_BYTES_MAX: usize = (4 << 20) + (16 << 10);

/// Why a peer gave no usable answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The node is no member, or its key is not known.
    #[error("node {peer} is not known")]
    UnknownPeer {
        /// Who was to be asked.
        peer: u64,
    },
    /// There is no usable address.
    #[error("node {peer} cannot be dialled")]
    Dial {
        /// Who was to be asked.
        peer: u64,
        /// Why.
        #[source]
        source: crate::raft::DialError,
    },
    /// No connection to it: nothing was sent.
    #[error("node {peer} cannot be reached")]
    Unreachable {
        /// Who was to be asked.
        peer: u64,
        /// Why.
        #[source]
        status: Box<tonic::Status>,
    },
    /// No answer within the deadline.
    #[error("node {peer} did not answer within {} ms", EXCHANGE_TIMEOUT.as_millis())]
    Silent {
        /// Who was asked.
        peer: u64,
    },
    /// An answer that is an error.
    #[error("node {peer} refused")]
    Refused {
        /// Who was asked.
        peer: u64,
        /// Its answer.
        #[source]
        status: Box<tonic::Status>,
    },
    /// An answer that no honest node gives.
    #[error("node {peer} answered with a malformed {what}")]
    Malformed {
        /// Who was asked.
        peer: u64,
        /// The field.
        what: &'static str,
    },
    /// This node leads and did not take its own cosignature.
    #[error("the cosignature was not taken")]
    Cosignature(#[source] CosignatureRefusal),
    /// A root that the node's key did not sign.
    #[error(transparent)]
    WrongSignature(#[from] WrongRootSignature),
}

/// What a peer says of itself, and what it remembered of this node before the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloAnswer {
    /// How it is.
    pub report: Report,
    /// What it remembers; `None` if it never heard of this node.
    pub remembered: Option<Memory>,
    /// If it leads: the committed raft index up to which this node has acknowledged the log.
    pub acknowledged: Option<u64>,
    /// The record that removed this node, as the peer shows it; empty if there is none.
    pub removal: Bytes,
}

/// Asks a peer for its root.
pub trait RootSource: Send + Sync + 'static {
    /// The peer's root at a size, whose signature was checked.
    fn root(&self, peer: u64, size: TreeSize) -> BoxFuture<'_, Result<SignedRoot, ExchangeError>>;
}

/// Brings a cosignature to the leader.
pub trait CosignatureSink: Send + Sync + 'static {
    /// Hands it in; `leader` may be this node itself.
    fn submit(
        &self,
        leader: u64,
        head: TreeHead,
        signature: NoteSignature,
    ) -> BoxFuture<'_, Result<(), ExchangeError>>;
}

/// Reads this node's own tree.
pub trait OwnTree: Send + Sync + 'static {
    /// The root at a size, computed from what is on the disk; `None` beyond the applied tree.
    /// Called where blocking is allowed.
    fn root_at(&self, size: TreeSize) -> Result<Option<RootHash>, OwnTreeError>;
}

/// The own tree could not be read.
pub type OwnTreeError = Box<dyn std::error::Error + Send + Sync>;

/// Knows the cosigner keys of the nodes, from the log.
pub trait NodeDirectory: Send + Sync + 'static {
    /// The Ed25519 keys that may speak for a node about its tree of this size: its newest cosigner
    /// key, and those that were replaced by a record which is not in that tree. None for a node that
    /// was never admitted.
    fn cosigner_keys(&self, node: u64, size: TreeSize) -> Vec<VerifyingKey>;
}

/// Takes forwarded calls on the leader.
pub trait ForwardTarget: Send + Sync + 'static {
    /// Answers the serialized request of a call with its serialized response. `metadata` is what came
    /// with it; its `grpc-timeout` is what is left of the caller's deadline.
    fn answer(
        &self,
        call: ForwardedCall,
        request: Bytes,
        metadata: MetadataMap,
    ) -> BoxFuture<'_, Result<Vec<u8>, tonic::Status>>;
}
