//! How peers are reached, and the hook that checks who calls.

use super::types::Member;

/// Opens connections to peers. The service layer brings addresses and TLS.
pub trait PeerDialer: Send + Sync + 'static {
    /// A channel that connects when it is first used, and only to the node `id`: a peer that
    /// cannot prove this id by its certificate must not be reached through it.
    ///
    /// Every call gives a connection of its own, so that a snapshot does not delay heartbeats. Use
    /// [`PeerDialer::endpoint`] for the settings that all peer connections share.
    fn dial(&self, id: u64, member: &Member) -> Result<tonic::transport::Channel, DialError>;
}

/// Checks the identity that the connection proved against the one that a message claims.
pub trait PeerGate: Send + Sync + 'static {
    /// Refuses when the connection behind `extensions` (of a gRPC request) does not belong to the
    /// node `claimed`, or when that node may not speak.
    fn check(&self, extensions: &tonic::Extensions, claimed: u64) -> Result<(), GateError>;
}

/// Why a connection cannot even be attempted.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("the address `{addr}` of node {id} is not a host and port")]
    Address { id: u64, addr: String },
    #[error("the transport to node {id} is misconfigured")]
    Transport {
        id: u64,
        #[source]
        source: tonic::transport::Error,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("the connection carries no peer certificate")]
    NoCertificate,
    #[error("the peer certificate belongs to node {proven:?}, the message claims {claimed}")]
    OtherNode { proven: Option<u64>, claimed: u64 },
    #[error("node {id} was removed for ever")]
    Removed { id: u64 },
}
