//! The two `RocksDB` databases of a node, and nothing that decides.

pub mod codec;
pub(crate) mod durable;
pub mod fatal;
pub mod raft_codec;
pub mod raft_db;
pub mod state_db;
pub mod syncs;
