//! Checkpoints (C2SP tlog-checkpoint v1.0.0): the text that says which tree a log has.
//!
//! ```text
//! ledger.example.com/aims1
//! 0
//! 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
//! ```
//!
//! Three types, each stronger than the one before: [`Checkpoint`] is what a text says,
//! [`VerifiedCheckpoint`] what the log's key has signed, and
//! [`CosignedCheckpoint`](super::policy::CosignedCheckpoint) what a policy's quorum vouches for.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::SigningKey;
use thiserror::Error;

use super::hash::{Hash, HashError, RootHash, TreeHead, TreeSize};
use super::note::{KeyName, KeyNameError, Note, NoteError, VerifierKey, sign};

/// The identity of a log: a schema-less URL of 1 to 255 bytes, without white space and `+`.
///
/// It is also the name of the log's key and the service id that statements are addressed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(KeyName);

impl Origin {
    /// The origin, checked.
    pub fn new(origin: impl Into<String>) -> Result<Self, KeyNameError> {
        KeyName::new(origin).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name of the log's key.
    pub const fn key_name(&self) -> &KeyName {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Origin {
    type Err = KeyNameError;

    fn from_str(origin: &str) -> Result<Self, KeyNameError> {
        Self::new(origin)
    }
}

/// What a checkpoint text says. Unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a log at a head. We never write extension lines.
    pub const fn new(origin: Origin, head: TreeHead) -> Self {
        Self {
            origin,
            head,
            extensions: Vec::new(),
        }
    }

    /// Reads the text of a checkpoint, with its last newline and without signatures.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::NoNewlineAtEnd)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::TooFewLines);
        };
        let origin = Origin::new(origin).map_err(CheckpointError::Origin)?;
        let size = TreeSize(decimal(size).ok_or(CheckpointError::Size)?);
        let root = RootHash::from_hash(Hash::from_base64(root).map_err(CheckpointError::Root)?);
        if size.0 == 0 && root != RootHash::EMPTY {
            return Err(CheckpointError::RootOfNothing { got: root });
        }
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions
            .iter()
            .any(|line| line.is_empty() || line.bytes().any(|byte| byte < 0x20))
        {
            return Err(CheckpointError::Extension);
        }
        Ok(Self {
            origin,
            head: TreeHead { size, root },
            extensions,
        })
    }

    /// Which log it is.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Size and root.
    pub const fn head(&self) -> &TreeHead {
        &self.head
    }

    /// Opaque lines behind the root, if the log writes any.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The note with the log's plain signature (type 0x01) under the origin as key name.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        let text = self.to_string();
        let signature = sign(&text, self.origin.key_name(), key);
        let mut note = Note::new(text)?;
        note.add(signature)?;
        Ok(note)
    }
}

impl fmt::Display for Checkpoint {
    /// The text, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n{}\n{}\n",
            self.origin, self.head.size, self.head.root
        )?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint that the log's key has signed. It may still be one side of a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl VerifiedCheckpoint {
    /// Checks the log's signature, and that the checkpoint is of the log whose key it is.
    pub fn verify(note: Note, log: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin.key_name() != log.name() {
            return Err(CheckpointError::OtherLog {
                expected: log.name().clone(),
                got: checkpoint.origin,
            });
        }
        note.verify(std::slice::from_ref(log))
            .map_err(CheckpointError::Note)?;
        Ok(Self { checkpoint, note })
    }

    /// What the log has signed.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Size and root.
    pub const fn head(&self) -> &TreeHead {
        &self.checkpoint.head
    }

    /// The signed note, with all its signatures.
    pub const fn note(&self) -> &Note {
        &self.note
    }
}

/// A decimal number of ASCII digits, without leading zero unless it is 0.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Why a text is not a checkpoint, or not the log's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The text does not end with a newline.
    #[error("the checkpoint does not end with a newline")]
    NoNewlineAtEnd,
    /// Fewer than three lines.
    #[error("a checkpoint has at least three lines")]
    TooFewLines,
    /// The first line is not an origin.
    #[error("the origin is not valid")]
    Origin(#[source] KeyNameError),
    /// The second line is not a size.
    #[error("the size is not a decimal number without leading zeros below 2^64")]
    Size,
    /// The third line is not a hash.
    #[error("the root is not a hash")]
    Root(#[source] HashError),
    /// A tree of no leaves with another root than that of no leaves.
    #[error("size 0 with root {got}")]
    RootOfNothing {
        /// The root found.
        got: RootHash,
    },
    /// An extension line is empty or has a control character.
    #[error("an extension line is empty or has a control character")]
    Extension,
    /// The checkpoint is of another log than the key.
    #[error("the checkpoint is of {got}, expected {expected}")]
    OtherLog {
        /// The name of the key.
        expected: KeyName,
        /// The origin of the checkpoint.
        got: Origin,
    },
    /// The note is not signed by the log.
    #[error("the log has not signed the checkpoint")]
    Note(#[source] NoteError),
}

#[cfg(test)]
mod tests;
