//! Signed Statements and what they commit to.
//!
//! A record becomes disclosures, their hashes a commitment, and the commitment the payload of a
//! signed statement, whose exact bytes are the log entry.

pub mod cbor;
pub mod id;
pub mod key;

pub use id::{EntryId, StatementId};
