//! The heads that a client remembers: what turns "the log says" into "the log always said".
//!
//! A new head either *extends* the remembered one (and is remembered instead), is *stale* (smaller
//! and consistent: ask another node), or is a *fork*: the two cannot both be of one history, which
//! is an alarm and never a matter of trying again.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aimslog_proto::tlog::consistency::ConsistencyError;
use aimslog_proto::tlog::{ConsistencyProof, CosignedCheckpoint, Note, Policy, TreeHead};

use crate::error::ClientError;

/// A head that a policy accepted, with the note that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    note: String,
    cosigned: CosignedCheckpoint,
}

impl SignedHead {
    /// Checks a note against a policy.
    pub fn check(note: &str, policy: &Policy) -> Result<Self, String> {
        let parsed = Note::parse(note.as_bytes()).map_err(|error| chain(&error))?;
        let cosigned = policy.check(&parsed).map_err(|error| chain(&error))?;
        Ok(Self {
            note: note.to_owned(),
            cosigned,
        })
    }

    /// Size and root.
    pub fn head(&self) -> &TreeHead {
        self.cosigned.head()
    }

    /// The checkpoint with its signatures, verified.
    pub fn cosigned(&self) -> &CosignedCheckpoint {
        &self.cosigned
    }

    /// The signed note, verbatim.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// How a head relates to the remembered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Nothing was remembered.
    First,
    /// The same size and root.
    Same,
    /// Larger, and the remembered one is its prefix.
    Extends,
    /// Smaller, and a prefix of the remembered one.
    Stale,
    /// Not of one history with the remembered one.
    Fork,
}

/// Relates two heads of one log, given the consistency proof between them (from the smaller to the
/// larger; needless where the sizes are equal). A proof that is missing or malformed is an error; one
/// that is well-formed and leads elsewhere is a [`Relation::Fork`].
pub fn relate(
    remembered: &TreeHead,
    new: &TreeHead,
    proof: Option<&ConsistencyProof>,
) -> Result<Relation, ConsistencyNeeded> {
    if remembered.size == new.size {
        let same = remembered.root == new.root;
        return Ok(if same { Relation::Same } else { Relation::Fork });
    }
    let (old, newer, relation) = if remembered.size < new.size {
        (remembered, new, Relation::Extends)
    } else {
        (new, remembered, Relation::Stale)
    };
    let proof = proof.ok_or(ConsistencyNeeded {
        old: *old,
        new: *newer,
    })?;
    match proof.verify(old, newer) {
        Ok(()) => Ok(relation),
        Err(ConsistencyError::OtherSizes { .. }) => Err(ConsistencyNeeded {
            old: *old,
            new: *newer,
        }),
        Err(_) => Ok(Relation::Fork),
    }
}

/// The proof between these two heads is needed for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the consistency proof between the heads of size {} and {} is needed", old.size, new.size)]
pub struct ConsistencyNeeded {
    /// The smaller head.
    pub old: TreeHead,
    /// The larger head.
    pub new: TreeHead,
}

/// Remembers the newest head of one log in a file, so that the memory outlives the program.
#[derive(Debug)]
pub struct HeadMemory {
    path: Option<PathBuf>,
    newest: Option<SignedHead>,
}

impl HeadMemory {
    /// A memory that lasts as long as the program.
    pub fn in_memory() -> Self {
        Self {
            path: None,
            newest: None,
        }
    }

    /// Reads the file, if there is one; what it holds is checked against the policy like any head.
    pub fn open(path: &Path, policy: &Policy) -> Result<Self, ClientError> {
        let newest = match fs::read_to_string(path) {
            Ok(note) => Some(SignedHead::check(&note, policy).map_err(|why| {
                ClientError::Configuration {
                    what: "remembered head",
                    why: format!("{}: {why}", path.display()),
                }
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(ClientError::File {
                    path: path.display().to_string(),
                    source,
                });
            }
        };
        Ok(Self {
            path: Some(path.to_owned()),
            newest,
        })
    }

    /// The newest head that was remembered.
    pub fn newest(&self) -> Option<&SignedHead> {
        self.newest.as_ref()
    }

    /// Remembers a head that was found to extend the newest one. Written beside the old file and
    /// renamed over it: a crash leaves one of the two.
    pub fn remember(&mut self, head: SignedHead) -> Result<(), ClientError> {
        if let Some(path) = &self.path {
            replace_file(path, head.note().as_bytes()).map_err(|source| ClientError::File {
                path: path.display().to_string(),
                source,
            })?;
        }
        self.newest = Some(head);
        Ok(())
    }

    /// Keeps both heads of a fork in a file beside the memory, as the proof to show around, and
    /// returns where.
    pub fn keep_fork(&self, other: &SignedHead) -> Result<Option<PathBuf>, ClientError> {
        let (Some(path), Some(newest)) = (&self.path, &self.newest) else {
            return Ok(None);
        };
        let path = path.with_extension("fork");
        let text = format!("{}\n{}", newest.note(), other.note());
        replace_file(&path, text.as_bytes()).map_err(|source| ClientError::File {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Some(path))
    }
}

/// Writes a file so that a crash leaves the old or the new content, never a mix.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests;
