//! The two RocksDB databases of a node, and nothing that decides.

pub mod fatal;
pub mod codec;
pub mod state_db;
