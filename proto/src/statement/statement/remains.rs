//! What can still be read of bytes that are no statement, so that everything that is wrong with them
//! is found at once.

use super::{Commitment, Header, Parts, UnverifiedStatement};
use crate::limits::FOREIGN_STATEMENT_BYTES_MAX;
use crate::statement::header::Family;
use crate::statement::key::Signature;

/// As much of a refused statement as could be read.
///
/// What could not be read is filled with values that claim nothing, and was named when the
/// statement was refused. Good for finding further faults and for nothing else: it is never logged,
/// and nobody gets the statement itself out of it.
#[derive(Debug)]
pub struct Remains {
    statement: UnverifiedStatement,
    is_signable: bool,
}

impl Remains {
    /// Reads what [`UnverifiedStatement::parse_submitted_accepting`] refused; `None` where not even
    /// the kind of the record can be told, or the bytes are more than anybody should look at.
    pub fn of_submitted(bytes: &[u8]) -> Option<Self> {
        let parts = Parts::read(bytes, FOREIGN_STATEMENT_BYTES_MAX).ok()?;
        let header = Header::salvage(parts.protected)?;
        let commitment = match header.content_type.family() {
            Family::Evidence => parts
                .payload
                .and_then(|bytes| Commitment::parse(bytes).ok()),
            Family::Ledger => None,
        };
        let is_signable = parts.payload.is_some() && parts.signature.is_some();
        let signature = parts.signature.unwrap_or(Signature([0; 64]));
        Some(Self {
            statement: parts.assemble(signature, header, commitment),
            is_signable,
        })
    }

    /// The statement as far as it goes.
    pub const fn statement(&self) -> &UnverifiedStatement {
        &self.statement
    }

    /// Whether what is signed and the signature are there, so that it can be checked.
    pub const fn is_signable(&self) -> bool {
        self.is_signable
    }
}
