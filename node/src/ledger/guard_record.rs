//! The content of a guard slot, its rules and its bytes. Pure.
//!
//! A slot is 153 bytes, integers big-endian:
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 8 | `aimsguar` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 8 | sequence; its lowest bit is the number of the slot |
//! | 20 | 32 | cluster id |
//! | 52 | 8 | node id |
//! | 60 | 8 | incarnation |
//! | 68 | 8 | vote: term |
//! | 76 | 8 | vote: node voted for, 0 for none |
//! | 84 | 8 | newest cut cosigned: raft term |
//! | 92 | 8 | newest cut cosigned: leader of that term |
//! | 100 | 8 | newest cut cosigned: raft index |
//! | 108 | 8 | largest head signed: size |
//! | 116 | 32 | largest head signed: root |
//! | 148 | 1 | 1 if a head was ever signed, 0 if not (then 84 to 148 are zero) |
//! | 149 | 4 | CRC32C of everything before |

use std::fmt;

use aimslog_proto::tlog::{Hash, RootHash, TreeHead, TreeSize};
use thiserror::Error;

use super::cut::covers;
use super::progress::CutNote;
use crate::raft::Position;

/// Length of an encoded slot.
pub const SLOT_LEN: usize = 153;

const MAGIC: [u8; 8] = *b"aimsguar";
const VERSION: u32 = 1;
const CRC_AT: usize = SLOT_LEN - 4;

/// Who a guard file, a raft log or a peer message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Entry id of the genesis statement.
    pub cluster: [u8; 32],
    /// Node id, above 0, never reused.
    pub node: u64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster ", self.node)?;
        self.cluster
            .iter()
            .take(8)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A raft vote as the guard keeps it. Ordered by term, then by node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GuardedVote {
    /// Raft term.
    pub term: u64,
    /// Whom the node voted for in that term, if anyone.
    pub voted_for: Option<u64>,
}

/// The newest cut that the node cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedCut {
    /// Where the cut stands in the raft log.
    pub position: Position,
    /// What was signed.
    pub head: TreeHead,
}

/// Everything a node must not forget, whatever happens to its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardRecord {
    /// Whose record this is.
    pub identity: Identity,
    /// Number of times the node has started, the first being 1.
    pub incarnation: u64,
    /// The newest vote.
    pub vote: GuardedVote,
    /// The newest cut cosigned, which carries the largest head signed.
    pub signed: Option<SignedCut>,
}

/// Why a head must not be signed by the holder of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignRefusal {
    /// Signing it would take back leaves.
    #[error("head of size {offered} is smaller than the signed head of size {signed}")]
    Smaller {
        /// Size of the largest head signed.
        signed: TreeSize,
        /// Size of the head that was to be signed.
        offered: TreeSize,
    },
    /// Signing it would fork the tree.
    #[error("head of size {size} has root {offered}, but root {signed} was signed at that size")]
    OtherRoot {
        /// Size of both heads.
        size: TreeSize,
        /// The root that was signed.
        signed: RootHash,
        /// The root that was to be signed.
        offered: RootHash,
    },
    /// The cut stands before the newest cut cosigned.
    #[error("cut at {offered} stands before the cosigned cut at {signed}")]
    OlderCut {
        /// The newest cut cosigned.
        signed: Position,
        /// The cut that was to be cosigned.
        offered: Position,
    },
}

/// A vote that is older than one already given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("vote {offered:?} is older than the vote {held:?} already given")]
pub struct VoteRefusal {
    /// The vote on record.
    pub held: GuardedVote,
    /// The vote that was to be recorded.
    pub offered: GuardedVote,
}

impl GuardRecord {
    /// The record of a node that has never started.
    pub fn fresh(identity: Identity) -> Self {
        Self {
            identity,
            incarnation: 0,
            vote: GuardedVote::default(),
            signed: None,
        }
    }

    /// Whether the node may have promised anything to anybody: every acknowledgement of a raft
    /// entry comes after a vote in the term of its leader.
    pub fn has_promised(&self) -> bool {
        self.vote != GuardedVote::default() || self.signed.is_some()
    }

    /// The record after the node has started once more.
    #[must_use]
    pub fn started(mut self) -> Self {
        self.incarnation = self.incarnation.saturating_add(1);
        self
    }

    /// The record after `vote`; refuses to go back.
    pub fn voted(mut self, vote: GuardedVote) -> Result<Self, VoteRefusal> {
        if vote < self.vote {
            return Err(VoteRefusal {
                held: self.vote,
                offered: vote,
            });
        }
        self.vote = vote;
        Ok(self)
    }

    /// The record that must be on disk before `cut` is cosigned.
    ///
    /// Signing the same head again is allowed (it renews the time), never a smaller one, another
    /// root at the same size, or an earlier cut.
    pub fn cosigning(mut self, cut: &CutNote) -> Result<Self, SignRefusal> {
        if let Some(signed) = self.signed {
            if cut.tree.size < signed.head.size {
                return Err(SignRefusal::Smaller {
                    signed: signed.head.size,
                    offered: cut.tree.size,
                });
            }
            if cut.tree.size == signed.head.size && cut.tree.root != signed.head.root {
                return Err(SignRefusal::OtherRoot {
                    size: cut.tree.size,
                    signed: signed.head.root,
                    offered: cut.tree.root,
                });
            }
            if !covers(cut.position, signed.position) {
                return Err(SignRefusal::OlderCut {
                    signed: signed.position,
                    offered: cut.position,
                });
            }
        }
        self.signed = Some(SignedCut {
            position: cut.position,
            head: cut.tree,
        });
        Ok(self)
    }

    /// Size of the largest head signed, 0 if none.
    pub fn signed_size(&self) -> u64 {
        self.signed.map_or(0, |signed| signed.head.size.0)
    }

    /// Where the newest cosigned cut stands, if there is one.
    pub fn signed_position(&self) -> Option<Position> {
        self.signed.map(|signed| signed.position)
    }
}

/// A record with the sequence number of its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Counts writes from 0; the slot with the higher one is the newer.
    pub sequence: u64,
    /// What was written.
    pub record: GuardRecord,
}

/// Why the bytes of a slot were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SlotError {
    /// Shorter or longer than a slot: a torn write, or no guard file at all.
    #[error("slot has {found} bytes, not {SLOT_LEN}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// Never written.
    #[error("slot was never written")]
    Blank,
    /// Something else than a guard slot.
    #[error("slot does not begin with the mark of a guard file")]
    Mark,
    /// Torn or rotten.
    #[error("slot has checksum {stored:#010x}, its bytes give {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// Written by another program version; this one must not guess.
    #[error("slot has format version {found}, this program knows {VERSION}")]
    Version {
        /// As stored.
        found: u32,
    },
    /// The checksum holds but the content is not one that this program writes.
    #[error("slot holds an impossible record")]
    Impossible,
}

impl Slot {
    /// The bytes to write.
    pub fn encode(&self) -> [u8; SLOT_LEN] {
        let record = &self.record;
        let mut out = Vec::with_capacity(SLOT_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&record.identity.cluster);
        out.extend_from_slice(&record.identity.node.to_be_bytes());
        out.extend_from_slice(&record.incarnation.to_be_bytes());
        out.extend_from_slice(&record.vote.term.to_be_bytes());
        out.extend_from_slice(&record.vote.voted_for.unwrap_or(0).to_be_bytes());
        match &record.signed {
            None => out.extend_from_slice(&[0; 65]),
            Some(signed) => {
                out.extend_from_slice(&signed.position.term.to_be_bytes());
                out.extend_from_slice(&signed.position.leader.to_be_bytes());
                out.extend_from_slice(&signed.position.index.to_be_bytes());
                out.extend_from_slice(&signed.head.size.0.to_be_bytes());
                out.extend_from_slice(signed.head.root.as_bytes());
                out.push(1);
            }
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        let mut slot = [0; SLOT_LEN];
        slot.copy_from_slice(&out);
        slot
    }

    /// Reads the bytes of a slot back. Accepts only what [`Slot::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, SlotError> {
        let bytes: &[u8; SLOT_LEN] = bytes
            .try_into()
            .map_err(|_short| SlotError::Length { found: bytes.len() })?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(SlotError::Blank);
        }
        let mut fields = Fields(bytes);
        if fields.take::<8>() != MAGIC {
            return Err(SlotError::Mark);
        }
        let version = u32::from_be_bytes(fields.take());
        let (covered, stored) = bytes.split_at(CRC_AT);
        let stored = Fields(stored).take::<4>();
        let (stored, computed) = (u32::from_be_bytes(stored), crc32c::crc32c(covered));
        if stored != computed {
            return Err(SlotError::Checksum { stored, computed });
        }
        if version != VERSION {
            return Err(SlotError::Version { found: version });
        }
        let slot = fields.slot();
        // One form per record: a slot that would be written otherwise was not written by us.
        if slot.encode() == *bytes {
            Ok(slot)
        } else {
            Err(SlotError::Impossible)
        }
    }
}

/// Takes fixed-length fields off the front; the caller has checked the total length.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk::<N>() else {
            return [0; N];
        };
        self.0 = rest;
        *field
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    fn slot(&mut self) -> Slot {
        let sequence = self.u64();
        let identity = Identity {
            cluster: self.take(),
            node: self.u64(),
        };
        let incarnation = self.u64();
        let term = self.u64();
        let voted_for = Some(self.u64()).filter(|node| *node != 0);
        let position = Position {
            term: self.u64(),
            leader: self.u64(),
            index: self.u64(),
        };
        let size = TreeSize(self.u64());
        let root = RootHash::from_hash(Hash::from_bytes(self.take()));
        let signed = (self.take::<1>() == [1]).then_some(SignedCut {
            position,
            head: TreeHead { size, root },
        });
        let vote = GuardedVote { term, voted_for };
        Slot {
            sequence,
            record: GuardRecord {
                identity,
                incarnation,
                vote,
                signed,
            },
        }
    }
}

#[cfg(test)]
mod tests;
