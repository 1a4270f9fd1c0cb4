//! Raft, behind our own words: propose, read barrier, membership, status.
//!
//! `Consensus` is the whole interface to the rest of the node. It replicates opaque commands to
//! a [`Machine`] on every member, asks a [`VoteGuard`] before every vote, reaches its peers through
//! a [`PeerDialer`] and lets a [`PeerGate`] check who calls.
//!
//! Architecture invariant: no openraft type appears in this interface, on disk, or on the wire, so
//! that a new openraft release is never a data migration.

mod guard;
mod machine;
mod peer;
mod types;

pub use guard::{GuardError, VoteGuard};
pub use machine::{Applied, EntryKind, LogEntry, Machine, MachineError};
pub use peer::{DialError, GateError, PeerDialer, PeerGate};
pub use types::{Committed, Member, Position, Role, Status, Vote};
