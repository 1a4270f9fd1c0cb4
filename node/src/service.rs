//! The edge of the node: listeners, TLS, gRPC services, and the one mapping of errors to status.
//!
//! Architecture invariant: a method here converts, calls one function of the ledger, converts back
//! and maps the error; it decides nothing. No `RocksDB`, openraft or signing type is named here.

pub mod access_report;
pub mod admin;
pub mod answers;
pub mod auth;
pub mod backend;
pub mod budget;
pub mod deadline;
pub mod evidence;
pub mod forward;
pub mod heads;
pub mod listener;
pub mod live_tls;
pub mod log;
mod outside;
pub mod peer_tls;
pub mod penalty;
pub mod quotas;
pub mod reasons;
pub mod refusing;
pub mod serve;
pub mod sight;
pub mod spiffe;
pub mod status;
pub mod submit;
pub mod tls;
pub mod tokens;
pub mod turns;

mod blobs;
mod convert;
mod entries;
mod file_turns;
mod files;
mod filter;
mod history;
mod log_key_switch;
mod network;
mod paging;
mod records;
mod registers;
mod slots;
mod watch;
