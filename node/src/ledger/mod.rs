//! The ledger: what statements mean, and how heads of the log come to be.
//!
//! A statement passes the [`door`] (pure checks of the leader), is put in order by the
//! [`sequencer`], replicated as part of a [`command`], and decided by `apply`, a pure function of
//! state and command that the [`machine`] runs on every node. [`reader`] answers questions about a
//! snapshot of the state.
//!
//! Architecture invariant: nothing below `apply` reads a clock, a random number, JSON or protobuf.

pub mod access_journal;
pub mod access_record;
pub mod alarms;
pub mod apply;
pub mod blobs;
pub mod brake;
pub mod command;
pub mod cosigner;
pub mod cosigner_change;
pub mod cosigner_keys;
pub mod cosigner_state;
pub mod cut;
pub mod digest;
pub mod door;
pub mod door_memory;
pub mod evidence;
pub mod evidence_file;
pub mod exchange;
pub mod exchange_client;
pub mod exchange_hello;
pub mod exchange_memory;
pub mod exchange_root;
pub mod exchange_server;
pub mod guard;
pub mod guard_file;
pub mod guard_record;
pub mod head_keys;
pub mod head_sealer;
pub mod heads;
pub mod key_handover;
pub mod log_keys;
pub mod machine;
pub mod outcome;
pub mod own_ledger;
pub mod payload;
pub mod peer_file;
pub mod policy_steps;
pub mod progress;
pub mod publisher;
pub mod publisher_state;
pub mod reader;
pub mod registers;
pub mod registry;
pub mod roster;
pub mod row;
pub mod selection;
pub mod sequencer;
pub mod state;
pub mod tree;
pub mod verifier_task;
pub mod verify_rate;

pub(crate) mod entries;
mod exchange_wire;
mod founding;
mod indexes;

#[cfg(test)]
pub(crate) mod testing;
