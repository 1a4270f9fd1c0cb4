//! One node of the Aimslog evidence ledger.
//!
//! The modules form one chain, and arrows point only leftwards:
//! `store` <- `raft` <- `ledger` <- `service` <- the program `aimslogd`.
//!
//! Architecture invariant: no module names an openraft type outside `raft` and `store::raft_*`.

pub mod assembly;
pub mod check;
pub mod clock;
pub mod config;
pub mod identity;
pub mod init;
pub mod ledger;
pub mod limits_server;
pub mod raft;
pub mod rotate;
pub mod run;
pub mod service;
pub mod store;
