//! Raft, behind our own words: propose, read barrier, membership, status.
//!
//! [`Consensus`] is the whole interface to the rest of the node. It replicates opaque commands to
//! a [`Machine`] on every member, tells a [`VoteGuard`] of every vote before a peer hears of it,
//! reaches its peers through a [`PeerDialer`] and lets a [`PeerGate`] check who calls.
//!
//! Architecture invariant: no openraft type appears in this interface, on disk, or on the wire, so
//! that a new openraft release is never a data migration.

mod adapter;
mod change;
mod compaction;
mod consensus;
mod guard;
mod log_store;
mod machine;
mod network;
mod open;
mod peer;
mod peer_service;
mod snapshot;
mod status;
mod type_config;
mod types;
mod wire;

#[cfg(test)]
mod pitfalls;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use change::ChangeError;
pub use consensus::{Consensus, Participation, Pending, ProposeError, ReadError};
pub use guard::{GuardError, VoteGuard};
pub use machine::{Applied, EntryKind, LogEntry, Machine, MachineError};
pub use open::{Hooks, OpenError, RaftConfig, Retention, Timing, create_store, has_raft_log};
pub use peer::{DialError, GateError, PeerDialer, PeerGate};
pub use peer_service::PeerServer;
pub use types::{Committed, Member, Position, Role, Status, Vote};
