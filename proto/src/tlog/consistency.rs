//! Consistency proofs: the larger tree begins with the smaller one (RFC 9162 2.1.4).
//!
//! **Size 0.** Every tree begins with the empty tree, so a proof from size 0 is empty, verifies
//! against [`RootHash::EMPTY`] alone, and makes *no statement* about the new head:
//! [`ConsistencyProof::binds`] is false for it. Callers that want a statement ask for one.

use thiserror::Error;

use super::hash::{Hash, RootHash, TreeHead, TreeSize};
use super::tree::{Cover, NodeId, WrongNodeCount, split};
use crate::limits::PROOF_HASHES_MAX;

/// What to read for one consistency proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyPlan {
    old: TreeSize,
    new: TreeSize,
    cover: Cover,
}

impl ConsistencyPlan {
    /// Plans the proof that the tree of `new` leaves begins with that of `old`.
    ///
    /// Empty for equal sizes and for `old` 0.
    pub fn new(old: TreeSize, new: TreeSize) -> Result<Self, ConsistencyError> {
        if old > new {
            return Err(ConsistencyError::Shrinks { old, new });
        }
        let mut cover = Cover::default();
        for (start, end) in ranges(old, new).into_iter().rev() {
            cover.push(start, end);
        }
        Ok(Self { old, new, cover })
    }

    /// The nodes to read, in the order in which [`ConsistencyPlan::build`] takes their hashes.
    pub fn nodes(&self) -> &[NodeId] {
        self.cover.nodes()
    }

    /// The proof, from one hash for each node of the plan.
    pub fn build(&self, hashes: &[Hash]) -> Result<ConsistencyProof, WrongNodeCount> {
        let hashes = self.cover.fold(hashes)?;
        Ok(ConsistencyProof {
            old: self.old,
            new: self.new,
            hashes,
        })
    }
}

/// A proof between two sizes, of exactly the length that they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    old: TreeSize,
    new: TreeSize,
    hashes: Vec<Hash>,
}

impl ConsistencyProof {
    /// Takes a received proof: the sizes do not fall and the length is exact.
    pub fn new(old: TreeSize, new: TreeSize, hashes: Vec<Hash>) -> Result<Self, ConsistencyError> {
        if old > new {
            return Err(ConsistencyError::Shrinks { old, new });
        }
        let expected = ranges(old, new).len();
        if hashes.len() != expected {
            return Err(ConsistencyError::WrongLength {
                expected,
                got: hashes.len(),
            });
        }
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(ConsistencyError::TooLong { got: hashes.len() });
        }
        Ok(Self { old, new, hashes })
    }

    /// The size of the smaller tree.
    pub const fn old(&self) -> TreeSize {
        self.old
    }

    /// The size of the larger tree.
    pub const fn new_size(&self) -> TreeSize {
        self.new
    }

    /// The hashes, in the order of RFC 6962 2.1.2.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Whether a successful check says anything about the new head: not from size 0.
    pub const fn binds(&self) -> bool {
        self.old.0 > 0
    }

    /// Checks that the tree of `new` begins with the tree of `old`. Both roots are recomputed.
    pub fn verify(&self, old: &TreeHead, new: &TreeHead) -> Result<(), ConsistencyError> {
        if (old.size, new.size) != (self.old, self.new) {
            return Err(ConsistencyError::OtherSizes {
                proof: (self.old, self.new),
                heads: (old.size, new.size),
            });
        }
        let (old_root, new_root) = if self.old.0 == 0 {
            // No statement about the new head, unless it is the empty tree itself.
            (
                RootHash::EMPTY,
                if self.new.0 == 0 {
                    RootHash::EMPTY
                } else {
                    new.root
                },
            )
        } else if self.old == self.new {
            (new.root, new.root)
        } else {
            self.roots(old.root)?
        };
        if old_root != old.root {
            return Err(ConsistencyError::OldRootMismatch {
                expected: old.root,
                got: old_root,
            });
        }
        if new_root != new.root {
            return Err(ConsistencyError::NewRootMismatch {
                expected: new.root,
                got: new_root,
            });
        }
        Ok(())
    }

    /// Both roots for `0 < old < new`, by RFC 9162 2.1.4.2.
    ///
    /// `old_root` is used where the old size is a power of two: the proof then leaves it out.
    fn roots(&self, old_root: RootHash) -> Result<(RootHash, RootHash), ConsistencyError> {
        let short = || ConsistencyError::WrongLength {
            expected: self.hashes.len() + 1,
            got: self.hashes.len(),
        };
        let mut rest = self.hashes.iter();
        let seed = if self.old.0.is_power_of_two() {
            old_root.hash()
        } else {
            *rest.next().ok_or_else(short)?
        };
        // `first` and `second` are the last leaves of both trees, seen from the level of the seed.
        let level = (self.old.0 - 1).trailing_ones();
        let mut first = (self.old.0 - 1) >> level;
        let mut second = (self.new.0 - 1) >> level;
        let (mut from_old, mut from_new) = (seed, seed);
        for hash in rest {
            if second == 0 {
                return Err(ConsistencyError::WrongLength {
                    expected: self.hashes.len() - 1,
                    got: self.hashes.len(),
                });
            }
            if first & 1 == 1 || first == second {
                from_old = Hash::node(hash, &from_old);
                from_new = Hash::node(hash, &from_new);
                // Climb to the level where this path is a right child, or to the top.
                let climb = if first == 0 {
                    0
                } else {
                    first.trailing_zeros()
                };
                first >>= climb;
                second >>= climb;
            } else {
                from_new = Hash::node(&from_new, hash);
            }
            first >>= 1;
            second >>= 1;
        }
        if second != 0 {
            return Err(short());
        }
        Ok((RootHash::from_hash(from_old), RootHash::from_hash(from_new)))
    }
}

/// The ranges of RFC 6962 2.1.2 `SUBPROOF`, the last one of the proof first.
fn ranges(old: TreeSize, new: TreeSize) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    if old.0 == 0 || old.0 >= new.0 {
        return ranges;
    }
    let (mut start, mut end) = (0, new.0);
    while end != old.0 {
        let middle = start + split(end - start);
        if old.0 <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // The old tree as a whole is known to the verifier; a part of it is not.
    if start > 0 {
        ranges.push((start, end));
    }
    ranges
}

/// Why a consistency proof cannot be made, is malformed, or does not verify.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsistencyError {
    /// The old tree is larger than the new one.
    #[error("a tree of {new} leaves cannot begin with one of {old}")]
    Shrinks {
        /// The size of the tree that should be the smaller one.
        old: TreeSize,
        /// The size of the tree that should be the larger one.
        new: TreeSize,
    },
    /// The proof has too few or too many hashes.
    #[error("the consistency proof has {got} hashes, expected {expected}")]
    WrongLength {
        /// Hashes that the sizes ask for.
        expected: usize,
        /// Hashes found.
        got: usize,
    },
    /// More hashes than [`PROOF_HASHES_MAX`]: no tree that exists needs as many.
    #[error("a proof has at most {PROOF_HASHES_MAX} hashes, found {got}")]
    TooLong {
        /// Hashes found.
        got: usize,
    },
    /// The proof was made for other sizes than those of the heads.
    #[error("the consistency proof is for sizes {} and {}, the heads have {} and {}",
        .proof.0, .proof.1, .heads.0, .heads.1)]
    OtherSizes {
        /// Old and new size of the proof.
        proof: (TreeSize, TreeSize),
        /// Old and new size of the heads.
        heads: (TreeSize, TreeSize),
    },
    /// The proof leads to another old root.
    #[error("the consistency proof leads to old root {got}, the old head has {expected}")]
    OldRootMismatch {
        /// The root of the old head.
        expected: RootHash,
        /// The root that the proof leads to.
        got: RootHash,
    },
    /// The proof leads to another new root.
    #[error("the consistency proof leads to new root {got}, the new head has {expected}")]
    NewRootMismatch {
        /// The root of the new head.
        expected: RootHash,
        /// The root that the proof leads to.
        got: RootHash,
    },
}

#[cfg(test)]
mod tests;
