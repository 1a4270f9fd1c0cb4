//! Signed Statements and what they commit to.
//!
//! A record becomes disclosures, their hashes a commitment, and the commitment the payload of a
//! signed statement, whose exact bytes are the log entry.

pub mod cbor;
pub mod commitment;
pub mod disclosure;
pub mod evidence;
#[doc(hidden)]
pub mod fuzz;
pub mod header;
#[cfg(test)]
mod hex;
pub mod id;
pub mod json;
pub mod key;
pub mod receipt;
#[expect(
    clippy::module_inception,
    reason = "the statement itself among its parts"
)]
pub mod statement;

pub use commitment::{Commitment, FieldProof};
pub use disclosure::{Disclosure, DisclosureSet, Salt};
pub use header::Header;
pub use id::{EntryId, StatementId};
pub use json::Json;
pub use statement::{Remains, Statement, StatementError, UnverifiedStatement};
