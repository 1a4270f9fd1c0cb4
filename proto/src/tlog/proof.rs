//! The offline proof of one entry (C2SP tlog-proof, the text of December 2025), `.tlog-proof`.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                  optional, not authenticated
//! index 2
//! <one hash a line, from the sibling of the leaf upward>
//!
//! <the signed and cosigned checkpoint, verbatim>
//! ```

use std::fmt;

use thiserror::Error;

use super::base64;
use super::checkpoint::{Checkpoint, CheckpointError, decimal};
use super::hash::{Hash, HashError, LeafHash, LeafIndex};
use super::inclusion::{InclusionError, InclusionProof};
use super::note::{Note, NoteError};
use super::policy::{CosignedCheckpoint, Policy, PolicyError};
use crate::limits::{PROOF_BYTES_MAX, PROOF_EXTRA_BYTES_MAX};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof as it was read: index and path fit the size of the checkpoint, nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    inclusion: InclusionProof,
    note: Note,
}

impl TlogProof {
    /// A proof of these parts: the path is one for the size of the checkpoint in `note`.
    pub fn new(
        inclusion: InclusionProof,
        note: Note,
        extra: Option<Vec<u8>>,
    ) -> Result<Self, TlogProofError> {
        let checkpoint = Checkpoint::parse(note.text()).map_err(TlogProofError::Checkpoint)?;
        let (proof, head) = (inclusion.size(), checkpoint.head().size);
        if proof != head {
            return Err(TlogProofError::Inclusion(InclusionError::OtherSize {
                proof,
                head,
            }));
        }
        if extra
            .as_ref()
            .is_some_and(|extra| extra.len() > PROOF_EXTRA_BYTES_MAX)
        {
            return Err(TlogProofError::Extra);
        }
        Ok(Self {
            extra,
            inclusion,
            note,
        })
    }

    /// Reads a proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLong { got: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(TlogProofError::NotUtf8)?;
        let (proof, note) = text.split_once("\n\n").ok_or(TlogProofError::NoEmptyLine)?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(read_extra(line).ok_or(TlogProofError::Extra)?),
            None => None,
        };
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(decimal);
        let index = LeafIndex(index.ok_or(TlogProofError::Index)?);
        let hashes: Vec<Hash> = lines
            .map(Hash::from_base64)
            .collect::<Result<_, _>>()
            .map_err(TlogProofError::Hash)?;
        let note = Note::parse(note.as_bytes()).map_err(TlogProofError::Note)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(TlogProofError::Checkpoint)?;
        let inclusion = InclusionProof::new(index, checkpoint.head().size, hashes);
        Ok(Self {
            extra,
            inclusion: inclusion.map_err(TlogProofError::Inclusion)?,
            note,
        })
    }

    /// The index of the entry and its path.
    pub const fn inclusion(&self) -> &InclusionProof {
        &self.inclusion
    }

    /// The signed checkpoint.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Opaque data beside the proof. Nobody has signed it.
    pub fn unauthenticated_extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Checks that the entry with this leaf hash is in the log, by the policy alone.
    pub fn verify(
        &self,
        leaf: LeafHash,
        policy: &Policy,
    ) -> Result<VerifiedInclusion, TlogProofError> {
        let checkpoint = policy.check(&self.note).map_err(TlogProofError::Policy)?;
        self.inclusion
            .verify(leaf, checkpoint.head())
            .map_err(TlogProofError::Inclusion)?;
        Ok(VerifiedInclusion {
            leaf,
            index: self.inclusion.index(),
            checkpoint,
        })
    }
}

/// `extra` and one space, then canonical Base64 of at most [`PROOF_EXTRA_BYTES_MAX`] bytes.
fn read_extra(line: &str) -> Option<Vec<u8>> {
    let extra = base64::decode(line.strip_prefix("extra ")?.as_bytes())?;
    if extra.len() > PROOF_EXTRA_BYTES_MAX {
        None
    } else {
        Some(extra)
    }
}

impl fmt::Display for TlogProof {
    /// The whole proof, as it is stored and sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.inclusion.index())?;
        self.inclusion
            .hashes()
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}

/// A leaf that is at an index of a log, under a checkpoint that a policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInclusion {
    leaf: LeafHash,
    index: LeafIndex,
    checkpoint: CosignedCheckpoint,
}

impl VerifiedInclusion {
    /// The hash of the entry.
    pub const fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// Where the entry is.
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The checkpoint that it is under.
    pub const fn checkpoint(&self) -> &CosignedCheckpoint {
        &self.checkpoint
    }
}

/// Why bytes are not a proof, or a proof does not verify.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TlogProofError {
    /// Longer than [`PROOF_BYTES_MAX`].
    #[error("a proof has at most 262144 bytes, found {got}")]
    TooLong {
        /// Bytes found.
        got: usize,
    },
    /// Not UTF-8.
    #[error("the proof is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// No empty line before the checkpoint.
    #[error("no empty line before the checkpoint")]
    NoEmptyLine,
    /// The first line is not that of a proof.
    #[error("the first line is not c2sp.org/tlog-proof@v1")]
    Header,
    /// The extra data is not canonical Base64, or too long.
    #[error("the extra data is not base64 of at most 65536 bytes")]
    Extra,
    /// No index line, or not a number.
    #[error("no index line with a decimal number without leading zeros")]
    Index,
    /// A line of the path is not a hash.
    #[error("a line of the path is not a hash")]
    Hash(#[source] HashError),
    /// The signed checkpoint is malformed.
    #[error("the signed checkpoint is malformed")]
    Note(#[source] NoteError),
    /// The text of the note is not a checkpoint.
    #[error("the note is not a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The policy does not accept the checkpoint.
    #[error("the policy does not accept the checkpoint")]
    Policy(#[source] PolicyError),
    /// The path does not fit index and size, or leads to another root.
    #[error("the inclusion proof fails")]
    Inclusion(#[source] InclusionError),
}

#[cfg(test)]
mod tests;
