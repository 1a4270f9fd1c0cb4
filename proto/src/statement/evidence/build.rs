//! Making the parts of an evidence file.

use thiserror::Error;

use super::file::{FileField, FileRecord};
use crate::statement::commitment::CommitmentError;
use crate::statement::disclosure::DisclosureError;
use crate::statement::{Disclosure, FieldProof};
use crate::time::UnixMillis;
use crate::tlog::{LeafHash, LeafIndex};

/// Which fields of a record a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// All of them.
    All,
    /// Those at these positions of the field list, strictly increasing; none hides all.
    Only(&'a [u64]),
}

/// Why a record cannot be shown in this way.
#[derive(Debug, Error)]
pub enum ShowError {
    /// A disclosure that is none.
    #[error("disclosure {index}")]
    Disclosure {
        /// Its position.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: DisclosureError,
    },
    /// Positions that are not increasing or not in the list.
    #[error("field proof")]
    Proof(#[from] CommitmentError),
}

/// A record of a log, as the service or its owner holds it.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a, B> {
    /// Its position in the log.
    pub index: LeafIndex,
    /// The log entry.
    pub statement: &'a [u8],
    /// All its disclosures in the order of the field list, or none where they are not there.
    pub disclosures: &'a [B],
    /// The service's claim about when it took the entry in.
    pub registered_at: Option<UnixMillis>,
    /// The service's claim about the record's number in its register.
    pub register_number: Option<u64>,
}

impl FileRecord {
    /// The record with these of its fields, and the proof that they are under its commitment.
    pub fn show<B: AsRef<[u8]>>(held: &Held<'_, B>, shown: Shown<'_>) -> Result<Self, ShowError> {
        let mut record = Self {
            index: held.index,
            statement: held.statement.to_vec(),
            fields: Vec::new(),
            field_proof: Vec::new(),
            registered_at: held.registered_at,
            register_number: held.register_number,
        };
        let all: Vec<u64> = (0..held.disclosures.len() as u64).collect();
        let wanted = match shown {
            Shown::All => &all,
            Shown::Only(indices) => indices,
        };
        if wanted.is_empty() {
            return Ok(record);
        }
        let mut leaves: Vec<LeafHash> = Vec::with_capacity(held.disclosures.len());
        for (index, bytes) in held.disclosures.iter().enumerate() {
            let disclosure = Disclosure::parse(bytes.as_ref())
                .map_err(|source| ShowError::Disclosure { index, source })?;
            leaves.push(disclosure.leaf_hash());
            if let Ok(index) = u32::try_from(index)
                && wanted.contains(&u64::from(index))
            {
                // A disclosure that parses is UTF-8, so nothing is replaced.
                let disclosure = String::from_utf8_lossy(disclosure.bytes()).into_owned();
                record.fields.push(FileField { index, disclosure });
            }
        }
        record.field_proof = FieldProof::build(&leaves, wanted)?.hashes;
        Ok(record)
    }
}
