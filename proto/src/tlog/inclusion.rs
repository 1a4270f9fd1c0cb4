//! Inclusion proofs: this leaf is at this index of the tree with this root (RFC 9162 2.1.3).
//!
//! The proof for index 2 of the seven leaves drawn in [`super::tree`] is
//! `[(0,3), (1,0), [4,7)]`: the sibling of the leaf first, the child of the root last.

use thiserror::Error;

use super::hash::{Hash, LeafHash, LeafIndex, RootHash, TreeHead, TreeSize};
use super::tree::{Cover, NodeId, WrongNodeCount, split};
use crate::limits::PROOF_HASHES_MAX;

/// What to read for one inclusion proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionPlan {
    index: LeafIndex,
    size: TreeSize,
    cover: Cover,
}

impl InclusionPlan {
    /// Plans the proof for `index` in the tree of `size` leaves. At most 127 nodes.
    pub fn new(index: LeafIndex, size: TreeSize) -> Result<Self, InclusionError> {
        if !size.contains(index) {
            return Err(InclusionError::IndexBeyondTree { index, size });
        }
        let (mut start, mut end) = (0, size.0);
        let mut siblings = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index.0 < middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((start, middle));
                start = middle;
            }
        }
        let mut cover = Cover::default();
        for (start, end) in siblings.into_iter().rev() {
            cover.push(start, end);
        }
        Ok(Self { index, size, cover })
    }

    /// The nodes to read, in the order in which [`InclusionPlan::build`] takes their hashes.
    pub fn nodes(&self) -> &[NodeId] {
        self.cover.nodes()
    }

    /// The proof, from one hash for each node of the plan.
    pub fn build(&self, hashes: &[Hash]) -> Result<InclusionProof, WrongNodeCount> {
        let hashes = self.cover.fold(hashes)?;
        Ok(InclusionProof {
            index: self.index,
            size: self.size,
            hashes,
        })
    }
}

/// The path from a leaf to the root, of exactly the length that index and size ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    index: LeafIndex,
    size: TreeSize,
    hashes: Vec<Hash>,
}

impl InclusionProof {
    /// Takes a received proof: the index lies in the tree and the length is exact.
    pub fn new(
        index: LeafIndex,
        size: TreeSize,
        hashes: Vec<Hash>,
    ) -> Result<Self, InclusionError> {
        if !size.contains(index) {
            return Err(InclusionError::IndexBeyondTree { index, size });
        }
        let expected = path_shape(index, size).length();
        if hashes.len() as u64 != u64::from(expected) {
            return Err(InclusionError::WrongLength {
                expected,
                got: hashes.len(),
            });
        }
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(InclusionError::TooLong { got: hashes.len() });
        }
        Ok(Self {
            index,
            size,
            hashes,
        })
    }

    /// The index of the leaf.
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The size of the tree.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The path, from the sibling of the leaf upward.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root of the tree that has `leaf` at the index, if the path is right.
    pub fn root_of(&self, leaf: LeafHash) -> RootHash {
        let shape = path_shape(self.index, self.size);
        let mut hash = leaf.hash();
        for (level, sibling) in (0_u32..).zip(&self.hashes) {
            // Below `inner` the sibling's side is the bit of the index; above it the path runs
            // along the right edge, where every sibling is on the left (RFC 9162 2.1.3.2).
            let on_left = level >= shape.inner || (self.index.0 >> level) & 1 == 1;
            hash = if on_left {
                Hash::node(sibling, &hash)
            } else {
                Hash::node(&hash, sibling)
            };
        }
        RootHash::from_hash(hash)
    }

    /// Checks that `leaf` is at the index in the tree of `head`.
    pub fn verify(&self, leaf: LeafHash, head: &TreeHead) -> Result<(), InclusionError> {
        if head.size != self.size {
            return Err(InclusionError::OtherSize {
                proof: self.size,
                head: head.size,
            });
        }
        let got = self.root_of(leaf);
        if got != head.root {
            return Err(InclusionError::RootMismatch {
                expected: head.root,
                got,
            });
        }
        Ok(())
    }
}

/// How a path is made up: `inner` levels within perfect subtrees, then `border` joins to the left.
struct PathShape {
    inner: u32,
    border: u32,
}

impl PathShape {
    const fn length(&self) -> u32 {
        self.inner + self.border
    }
}

/// The shape for `index < size`; then `size` is at least 1 and nothing wraps.
fn path_shape(index: LeafIndex, size: TreeSize) -> PathShape {
    let last = size.0.saturating_sub(1);
    let inner = u64::BITS - (index.0 ^ last).leading_zeros();
    let border = index.0.checked_shr(inner).unwrap_or(0).count_ones();
    PathShape { inner, border }
}

/// Why an inclusion proof cannot be made, is malformed, or does not verify.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InclusionError {
    /// The tree has no leaf at this index.
    #[error("no leaf {index} in a tree of {size}")]
    IndexBeyondTree {
        /// The index asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The proof has too few or too many hashes.
    #[error("the inclusion proof has {got} hashes, expected {expected}")]
    WrongLength {
        /// Hashes that index and size ask for.
        expected: u32,
        /// Hashes found.
        got: usize,
    },
    /// More hashes than [`PROOF_HASHES_MAX`]: no tree that exists needs as many.
    #[error("a proof has at most {PROOF_HASHES_MAX} hashes, found {got}")]
    TooLong {
        /// Hashes found.
        got: usize,
    },
    /// The proof was made for another tree size than the head's.
    #[error("the inclusion proof is for size {proof}, the head has size {head}")]
    OtherSize {
        /// The size of the proof.
        proof: TreeSize,
        /// The size of the head.
        head: TreeSize,
    },
    /// The path leads to another root.
    #[error("the inclusion proof leads to root {got}, the head has {expected}")]
    RootMismatch {
        /// The root of the head.
        expected: RootHash,
        /// The root that the path leads to.
        got: RootHash,
    },
}

#[cfg(test)]
mod tests;
