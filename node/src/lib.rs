//! One node of the Aimslog evidence ledger.
//!
//! The modules form one chain, and arrows point only leftwards:
//! `store` <- `raft` <- `ledger` <- `service` <- the program `aimslogd`.
//!
//! Architecture invariant: no module names an openraft type outside `raft` and `store::raft_*`.

pub mod raft;
pub mod store;
