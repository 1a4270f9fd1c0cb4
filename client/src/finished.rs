//! A finished statement: what is sent, kept, and sent again, byte for byte.

use aimslog_proto::statement::id::EntryId;

/// A signed statement with the disclosures that open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedStatement {
    /// The Signed Statement.
    pub statement: Vec<u8>,
    /// All disclosures in the order of the field list, or none where it is sealed.
    pub disclosures: Vec<Vec<u8>>,
    /// SHA-256 of attachments that the record names and the submitter keeps: the ledger is not to ask
    /// for their bytes.
    pub digest_only: Vec<[u8; 32]>,
}

impl FinishedStatement {
    /// The id that the entry has, or will have.
    pub fn entry_id(&self) -> EntryId {
        EntryId::of(&self.statement)
    }

    /// The same statement without its disclosures, which stay with the submitter.
    #[must_use]
    pub fn sealed(self) -> Self {
        Self {
            disclosures: Vec::new(),
            ..self
        }
    }

    /// Bytes of statement and disclosures together.
    pub fn byte_count(&self) -> usize {
        self.statement.len() + self.disclosures.iter().map(Vec::len).sum::<usize>()
    }
}
