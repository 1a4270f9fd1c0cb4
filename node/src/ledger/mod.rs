//! The ledger: what statements mean, and how heads of the log come to be.
//!
//! A statement passes the [`door`] (pure checks of the leader), is put in order by the
//! [`sequencer`], replicated as part of a [`command`], and decided by `apply`, a pure function of
//! state and command that the [`machine`] runs on every node. [`reader`] answers questions about a
//! snapshot of the state.
//!
//! Architecture invariant: nothing below `apply` reads a clock, a random number, JSON or protobuf.

pub mod command;
pub mod outcome;
pub mod payload;
pub mod progress;
pub mod row;
pub mod sequencer;
pub mod state;

#[cfg(test)]
mod testing;
