//! Signed Statements and what they commit to.
//!
//! A record becomes [`disclosure`]s, their hashes a [`commitment`], and the commitment the payload
//! of a signed [`statement`], whose exact bytes are the log entry.

pub mod cbor;
