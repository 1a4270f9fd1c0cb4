//! The two RocksDB databases of a node, and nothing that decides.

pub mod codec;
pub mod fatal;
pub mod state_db;
