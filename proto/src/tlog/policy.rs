//! Trust policies (C2SP tlog-policy, the text of June 2026): which log, which cosigners, how many.
//!
//! ```text
//! log ledger.example.com/aims1+...
//! witness ledger.example.com/aims1/node/1 ledger.example.com/aims1/node/1+...
//! witness ledger.example.com/aims1/node/2 ledger.example.com/aims1/node/2+...
//! witness ledger.example.com/aims1/node/3 ledger.example.com/aims1/node/3+...
//! group nodes 2 ledger.example.com/aims1/node/1 ... ledger.example.com/aims1/node/3
//! quorum nodes
//! ```
//!
//! A policy is bytes with a meaning: the fingerprint covers the bytes, comments included.
//! Beyond the specification one key may not stand for a log and for a cosigner: whoever steals
//! the log's key must not be able to satisfy the quorum with it.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError, VerifiedCheckpoint};
use super::hash::TreeHead;
use super::note::{
    KeyId, KeyName, Note, NoteError, NoteSignature, SignatureType, VerifierKey, VerifierKeyError,
};
use crate::time::UnixSeconds;

mod meaning;
mod parse;

/// The name of a witness or group within one policy: opaque bytes, compared as bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(Vec<u8>);

impl PolicyName {
    /// The bytes: no space, tab or newline.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A `log` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLog {
    /// The key whose name is the log's origin.
    pub key: VerifierKey,
    /// Where the log is reached, if the line says so.
    pub url: Option<Vec<u8>>,
}

/// A `witness` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWitness {
    /// The name within the policy.
    pub name: PolicyName,
    /// The cosigner's key.
    pub key: VerifierKey,
    /// Where the witness is reached, if the line says so.
    pub url: Option<Vec<u8>>,
}

/// A `group` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyGroup {
    /// The name within the policy.
    pub name: PolicyName,
    /// How many members must have cosigned: 1 to the number of members.
    pub threshold: usize,
    /// Witnesses and earlier groups, each member of this group alone.
    pub members: Vec<PolicyName>,
}

/// A trust policy: its bytes and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    bytes: Vec<u8>,
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    /// `None` for `quorum none`.
    quorum: Option<PolicyName>,
}

impl Policy {
    /// Reads a policy.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyParseError> {
        parse::parse(bytes)
    }

    /// The policy of one log and `threshold` of `cosigners`, as `init` writes it.
    ///
    /// The name of a witness is the name of its key. No URLs, no comments.
    pub fn threshold(
        log: &VerifierKey,
        cosigners: &[VerifierKey],
        threshold: usize,
    ) -> Result<Self, PolicyParseError> {
        let line = |key: &VerifierKey| format!("witness {} {key}\n", key.name());
        let witnesses: String = cosigners.iter().map(line).collect();
        let names: Vec<&str> = cosigners.iter().map(|key| key.name().as_str()).collect();
        let group = format!(
            "group nodes {threshold} {}\nquorum nodes\n",
            names.join(" ")
        );
        let text = format!("log {log}\n{witnesses}{group}");
        Self::parse(text.as_bytes())
    }

    /// The bytes that were read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    /// The logs, in the order of their lines.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the order of their lines.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// The groups, in the order of their lines.
    pub fn groups(&self) -> &[PolicyGroup] {
        &self.groups
    }

    /// What must have cosigned; `None` where the policy asks for nobody.
    pub const fn quorum(&self) -> Option<&PolicyName> {
        self.quorum.as_ref()
    }

    /// The same policy without comments, empty lines and spare white space: one line each for
    /// logs, witnesses, groups and the quorum, in this order.
    pub fn to_canonical_bytes(&self) -> Vec<u8> {
        parse::print(self)
    }

    /// Checks a signed checkpoint: signed by a log of the policy, cosigned by the quorum.
    ///
    /// Unknown signature lines are ignored. A line under a name and id of the policy that does
    /// not verify refuses the whole note, also where the quorum would be met without it.
    pub fn check(&self, note: &Note) -> Result<CosignedCheckpoint, PolicyError> {
        let checkpoint = Checkpoint::parse(note.text()).map_err(PolicyError::Checkpoint)?;
        let origin = checkpoint.origin().key_name();
        let ours = |log: &&PolicyLog| log.key.name() == origin;
        let log_keys: Vec<VerifierKey> = self
            .logs
            .iter()
            .filter(ours)
            .map(|log| log.key.clone())
            .collect();
        if log_keys.is_empty() {
            return Err(PolicyError::UnknownLog {
                got: origin.clone(),
            });
        }
        let log = match note
            .verify(&log_keys)
            .map_err(PolicyError::Log)?
            .signed_by()
        {
            [first, ..] => first.key.clone(),
            [] => return Err(PolicyError::Log(NoteError::NoKnownKey)),
        };
        let cosigners = self.cosigners(note)?;
        if !self.is_met(&cosigners) {
            return Err(self.no_quorum(note, &log, cosigners));
        }
        let checkpoint =
            VerifiedCheckpoint::verify(note.clone(), &log).map_err(PolicyError::Checkpoint)?;
        Ok(CosignedCheckpoint {
            checkpoint,
            log,
            cosigners,
        })
    }

    /// Whether the cosignatures of a checkpoint are a quorum, whatever else has signed it.
    ///
    /// For the log itself, which signs only what the quorum has cosigned. Everybody else asks
    /// [`Policy::check`].
    pub fn quorum_met(&self, note: &Note) -> Result<bool, PolicyError> {
        let checkpoint = Checkpoint::parse(note.text()).map_err(PolicyError::Checkpoint)?;
        let origin = checkpoint.origin().key_name();
        if !self.logs.iter().any(|log| log.key.name() == origin) {
            return Err(PolicyError::UnknownLog {
                got: origin.clone(),
            });
        }
        Ok(self.is_met(&self.cosigners(note)?))
    }

    /// The witnesses of the policy that have cosigned, in the order of their lines.
    fn cosigners(&self, note: &Note) -> Result<Vec<Cosigner>, PolicyError> {
        let keys: Vec<VerifierKey> = self.witnesses.iter().map(|w| w.key.clone()).collect();
        let verified = match note.verify(&keys) {
            Ok(verified) => verified,
            Err(NoteError::NoKnownKey) => return Ok(Vec::new()),
            Err(error) => return Err(PolicyError::Cosignature(error)),
        };
        let cosigner = |witness: &PolicyWitness| {
            // Of several cosignatures of one key the earliest says the most.
            let lines = verified
                .signed_by()
                .iter()
                .filter(|line| line.key == witness.key);
            let time = lines.filter_map(|line| line.time).min()?;
            let (name, id) = (witness.key.name().clone(), witness.key.id());
            Some(Cosigner {
                name,
                id,
                time,
                witness: witness.name.clone(),
            })
        };
        Ok(self.witnesses.iter().filter_map(cosigner).collect())
    }

    /// Whether these cosigners are a quorum.
    pub(crate) fn is_met(&self, cosigners: &[Cosigner]) -> bool {
        let Some(quorum) = &self.quorum else {
            return true;
        };
        self.satisfied(cosigners).contains(&quorum)
    }

    /// The names of the witnesses that these cosigners are, and of the groups that they satisfy.
    fn satisfied<'a>(&'a self, cosigners: &'a [Cosigner]) -> Vec<&'a PolicyName> {
        let mut cosigned: Vec<&PolicyName> = cosigners.iter().map(|c| &c.witness).collect();
        // A group names earlier groups only, so one pass in their order decides all of them.
        for group in &self.groups {
            let members = group
                .members
                .iter()
                .filter(|member| cosigned.contains(member))
                .count();
            if members >= group.threshold {
                cosigned.push(&group.name);
            }
        }
        cosigned
    }

    fn no_quorum(&self, note: &Note, log: &VerifierKey, cosigners: Vec<Cosigner>) -> PolicyError {
        let is_quorum = |group: &&PolicyGroup| self.quorum.as_ref() == Some(&group.name);
        let group = self.groups.iter().find(is_quorum);
        let members = group.map_or(self.quorum.as_slice(), |group| &group.members);
        let satisfied = self.satisfied(&cosigners);
        let count = members.iter().filter(|name| satisfied.contains(name));
        let known = |line: &NoteSignature| {
            line.name == *log.name() || cosigners.iter().any(|c| c.name == line.name)
        };
        let strangers: BTreeSet<&KeyName> = note
            .signatures()
            .iter()
            .filter(|line| !known(line))
            .map(|line| &line.name)
            .collect();
        PolicyError::NoQuorum {
            count: count.count(),
            needed: group.map_or(1, |group| group.threshold),
            strangers: strangers.into_iter().cloned().collect(),
            got: cosigners.into_iter().map(|c| c.name).collect(),
        }
    }
}

/// A checkpoint that a policy accepts: signed by its log, cosigned by its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignedCheckpoint {
    checkpoint: VerifiedCheckpoint,
    log: VerifierKey,
    cosigners: Vec<Cosigner>,
}

impl CosignedCheckpoint {
    /// The checkpoint with the log's signature.
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// Size and root.
    pub const fn head(&self) -> &TreeHead {
        self.checkpoint.head()
    }

    /// The key of the log that signed.
    pub const fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// Every cosigner of the policy that cosigned, also beyond the quorum, in policy order.
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }
}

/// A cosigner whose signature verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// The name of the key.
    pub name: KeyName,
    /// The id of the key.
    pub id: KeyId,
    /// When it says that it saw the checkpoint; the earliest, if it says so several times.
    pub time: UnixSeconds,
    /// The name of the witness in the policy.
    pub witness: PolicyName,
}

/// Why a policy does not accept a note.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The text of the note is not a checkpoint.
    #[error("the note is not a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The policy lists no log of this origin.
    #[error("the policy knows no log {got}")]
    UnknownLog {
        /// The origin of the checkpoint.
        got: KeyName,
    },
    /// The log's signature is missing or wrong.
    #[error("the log has not signed the checkpoint")]
    Log(#[source] NoteError),
    /// A signature under the name and id of a cosigner is not its signature.
    #[error("a cosignature is wrong")]
    Cosignature(#[source] NoteError),
    /// Too few cosigners, or not the right ones.
    #[error(
        "cosigned by {count} of the {needed} that this policy asks for{}",
        cosigned_by(got, strangers)
    )]
    NoQuorum {
        /// How many members of the policy's quorum have cosigned.
        count: usize,
        /// How many it asks for.
        needed: usize,
        /// The cosigners whose signatures verified.
        got: Vec<KeyName>,
        /// Who else has signed, says the note; the policy names none of their keys.
        strangers: Vec<KeyName>,
    },
}

fn cosigned_by(got: &[KeyName], strangers: &[KeyName]) -> String {
    let list = |names: &[KeyName]| {
        let names: Vec<&str> = names.iter().map(KeyName::as_str).collect();
        names.join(", ")
    };
    let by = if got.is_empty() {
        String::new()
    } else {
        format!(" ({})", list(got))
    };
    if strangers.is_empty() {
        return by;
    }
    format!(
        "{by}; signed also with keys that this policy does not name ({}): perhaps it is of another policy \
         of the same log",
        list(strangers)
    )
}

/// Why bytes are not a policy. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyParseError {
    /// Longer than [`crate::limits::POLICY_BYTES_MAX`].
    #[error("a policy has at most 65536 bytes, found {got}")]
    TooLong {
        /// Bytes found.
        got: usize,
    },
    /// The last line has no newline.
    #[error("the policy does not end with a newline")]
    NoNewlineAtEnd,
    /// A control character other than tab and newline.
    #[error("line {line} has the control character {found:#04x}")]
    ControlCharacter {
        /// The line.
        line: usize,
        /// The first such byte.
        found: u8,
    },
    /// Not a `log`, `witness`, `group` or `quorum` line with the right number of words.
    #[error("line {line} is not a log, witness, group or quorum line")]
    UnknownLine {
        /// The line.
        line: usize,
    },
    /// The key on a line is malformed.
    #[error("line {line} has no valid verifier key")]
    Key {
        /// The line.
        line: usize,
        /// What is wrong with the key.
        #[source]
        source: VerifierKeyError,
    },
    /// A cosigner's key on a log line, or a log's key on a witness line.
    #[error("line {line}: keys of type {kind:?} do not belong here")]
    KeyType {
        /// The line.
        line: usize,
        /// The type of the key.
        kind: SignatureType,
    },
    /// The same public key stands on two lines.
    #[error("line {line} repeats a public key")]
    DuplicateKey {
        /// The second line.
        line: usize,
    },
    /// The name is taken, or is `none`.
    #[error("line {line}: the name {name} is taken")]
    NameTaken {
        /// The line.
        line: usize,
        /// The name.
        name: PolicyName,
    },
    /// No earlier line defines the name.
    #[error("line {line}: no earlier line defines {name}")]
    UnknownName {
        /// The line.
        line: usize,
        /// The name.
        name: PolicyName,
    },
    /// A name is a member twice.
    #[error("line {line}: {name} is a member already")]
    MemberTwice {
        /// The line.
        line: usize,
        /// The name.
        name: PolicyName,
    },
    /// The threshold is not `all`, `any` or a number from 1 to the number of members.
    #[error("line {line}: the threshold is not any, all or 1 to {members}")]
    Threshold {
        /// The line.
        line: usize,
        /// Members of the group.
        members: usize,
    },
    /// More logs, witnesses or groups than [`crate::limits::POLICY_ITEMS_MAX`].
    #[error("line {line}: at most 64 logs, witnesses and groups each")]
    TooMany {
        /// The line.
        line: usize,
    },
    /// A second `quorum` line.
    #[error("line {line}: a second quorum line")]
    SecondQuorum {
        /// The line.
        line: usize,
    },
    /// No `quorum` line.
    #[error("the policy has no quorum line")]
    NoQuorumLine,
}

#[cfg(test)]
mod tests;
