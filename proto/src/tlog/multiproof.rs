//! Multi-proofs: these leaves are at these indices of one tree, with every hash sent once.
//!
//! The hashes stand level by level from the leaves upward, from left to right within a level:
//! exactly the siblings that the known nodes lack. A node without a sibling at the right edge
//! moves up unchanged, which is the RFC 6962 tree seen from below. For indices 1 and 4 of seven
//! leaves the proof is `[(0,0), (0,5), (1,1), (0,6)]`.
//!
//! The same code verifies the fields of a record under its commitment.

use thiserror::Error;

use super::hash::{Hash, LeafHash, LeafIndex, RootHash, TreeHead, TreeSize};
use super::tree::{Cover, NodeId, WrongNodeCount};

/// What to read for one multi-proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiPlan {
    indices: Vec<LeafIndex>,
    size: TreeSize,
    cover: Cover,
}

impl MultiPlan {
    /// Plans the proof for strictly increasing `indices`, at least one, in a tree of `size`.
    pub fn new(indices: Vec<LeafIndex>, size: TreeSize) -> Result<Self, MultiProofError> {
        check_indices(&indices, size)?;
        let mut cover = Cover::default();
        let mut known: Vec<u64> = indices.iter().map(|index| index.0).collect();
        for level in 0..levels(size) {
            let last = last_node(level, size);
            for step in steps(&known, last) {
                if let Step::Sibling { sibling, .. } = step {
                    let (start, end) = range(level, sibling, size);
                    cover.push(start, end);
                }
            }
            known = parents(&known);
        }
        Ok(Self {
            indices,
            size,
            cover,
        })
    }

    /// The nodes to read, in the order in which [`MultiPlan::build`] takes their hashes.
    pub fn nodes(&self) -> &[NodeId] {
        self.cover.nodes()
    }

    /// The number of hashes in the proof.
    pub fn proof_length(&self) -> usize {
        self.cover.ranges()
    }

    /// The proof, from one hash for each node of the plan.
    pub fn build(&self, hashes: &[Hash]) -> Result<MultiProof, WrongNodeCount> {
        let hashes = self.cover.fold(hashes)?;
        Ok(MultiProof {
            indices: self.indices.clone(),
            size: self.size,
            hashes,
        })
    }
}

/// One proof for several leaves, of exactly the length that indices and size ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiProof {
    indices: Vec<LeafIndex>,
    size: TreeSize,
    hashes: Vec<Hash>,
}

impl MultiProof {
    /// Takes a received proof: at least one index, strictly increasing, all in the tree, and
    /// exactly the hashes that the planner asks for.
    pub fn new(
        indices: Vec<LeafIndex>,
        size: TreeSize,
        hashes: Vec<Hash>,
    ) -> Result<Self, MultiProofError> {
        let plan = MultiPlan::new(indices, size)?;
        let expected = plan.proof_length();
        if hashes.len() != expected {
            return Err(MultiProofError::WrongLength {
                expected,
                got: hashes.len(),
            });
        }
        Ok(Self {
            indices: plan.indices,
            size,
            hashes,
        })
    }

    /// The indices, strictly increasing.
    pub fn indices(&self) -> &[LeafIndex] {
        &self.indices
    }

    /// The size of the tree.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The hashes: bottom level first, left to right.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root of the tree that has `leaves` at the indices, if the hashes are right.
    pub fn root_of(&self, leaves: &[LeafHash]) -> Result<RootHash, MultiProofError> {
        if leaves.len() != self.indices.len() {
            return Err(MultiProofError::WrongLeafCount {
                expected: self.indices.len(),
                got: leaves.len(),
            });
        }
        let wrong_length = || MultiProofError::WrongLength {
            expected: MultiPlan::new(self.indices.clone(), self.size)
                .map_or(0, |plan| plan.proof_length()),
            got: self.hashes.len(),
        };
        let mut known: Vec<u64> = self.indices.iter().map(|index| index.0).collect();
        let mut hashes: Vec<Hash> = leaves.iter().map(LeafHash::hash).collect();
        let mut proof = self.hashes.iter();
        for level in 0..levels(self.size) {
            let mut nodes = hashes.iter();
            let mut above = Vec::with_capacity(hashes.len());
            for step in steps(&known, last_node(level, self.size)) {
                let node = nodes.next().ok_or_else(wrong_length)?;
                above.push(match step {
                    Step::Promoted => *node,
                    Step::Pair => Hash::node(node, nodes.next().ok_or_else(wrong_length)?),
                    Step::Sibling { sibling, .. } => {
                        let other = proof.next().ok_or_else(wrong_length)?;
                        if sibling & 1 == 0 {
                            Hash::node(other, node)
                        } else {
                            Hash::node(node, other)
                        }
                    }
                });
            }
            known = parents(&known);
            hashes = above;
        }
        match (hashes.as_slice(), proof.next()) {
            ([root], None) => Ok(RootHash::from_hash(*root)),
            _ => Err(wrong_length()),
        }
    }

    /// Checks that `leaves` are at the indices in the tree of `head`, in this order.
    pub fn verify(&self, leaves: &[LeafHash], head: &TreeHead) -> Result<(), MultiProofError> {
        if head.size != self.size {
            return Err(MultiProofError::OtherSize {
                proof: self.size,
                head: head.size,
            });
        }
        let got = self.root_of(leaves)?;
        if got != head.root {
            return Err(MultiProofError::RootMismatch {
                expected: head.root,
                got,
            });
        }
        Ok(())
    }
}

/// How one or two known nodes of a level give a node of the level above.
enum Step {
    /// Both children are known.
    Pair,
    /// The sibling comes from the proof.
    Sibling {
        /// Its index on the level.
        sibling: u64,
    },
    /// The last node of a level with an odd number of nodes has no sibling.
    Promoted,
}

/// The steps of one level for strictly increasing `known` nodes, none above `last`.
fn steps(known: &[u64], last: u64) -> Vec<Step> {
    let mut steps = Vec::with_capacity(known.len());
    let mut nodes = known.iter().peekable();
    while let Some(&node) = nodes.next() {
        let sibling = node ^ 1;
        steps.push(if nodes.next_if(|&&next| next == sibling).is_some() {
            Step::Pair
        } else if sibling > last {
            Step::Promoted
        } else {
            Step::Sibling { sibling }
        });
    }
    steps
}

/// The nodes of the level above, each once.
fn parents(known: &[u64]) -> Vec<u64> {
    let mut parents: Vec<u64> = known.iter().map(|node| node >> 1).collect();
    parents.dedup();
    parents
}

/// The number of levels below the root: 0 for one leaf, at most 64. `size` is at least 1.
fn levels(size: TreeSize) -> u32 {
    u64::BITS - size.0.saturating_sub(1).leading_zeros()
}

/// The index of the last node of a level, complete or not. `size` is at least 1.
fn last_node(level: u32, size: TreeSize) -> u64 {
    size.0.saturating_sub(1).checked_shr(level).unwrap_or(0)
}

/// The leaves below a node, the last one cut at the size.
fn range(level: u32, node: u64, size: TreeSize) -> (u64, u64) {
    let start = node.checked_shl(level).unwrap_or(0);
    let end = 1_u64
        .checked_shl(level)
        .and_then(|leaves| start.checked_add(leaves));
    (start, end.map_or(size.0, |end| end.min(size.0)))
}

fn check_indices(indices: &[LeafIndex], size: TreeSize) -> Result<(), MultiProofError> {
    let Some(&last) = indices.last() else {
        return Err(MultiProofError::NoIndex);
    };
    for pair in indices.windows(2) {
        if let [previous, next] = *pair
            && previous >= next
        {
            return Err(MultiProofError::NotIncreasing { previous, next });
        }
    }
    if !size.contains(last) {
        return Err(MultiProofError::IndexBeyondTree { index: last, size });
    }
    Ok(())
}

/// Why a multi-proof cannot be made, is malformed, or does not verify.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MultiProofError {
    /// A proof of nothing.
    #[error("no index is given")]
    NoIndex,
    /// Indices must be strictly increasing.
    #[error("index {next} follows index {previous}")]
    NotIncreasing {
        /// The index before.
        previous: LeafIndex,
        /// The index that should be larger.
        next: LeafIndex,
    },
    /// The tree has no leaf at this index.
    #[error("no leaf {index} in a tree of {size}")]
    IndexBeyondTree {
        /// The index asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The proof has too few or too many hashes.
    #[error("the multi-proof has {got} hashes, expected {expected}")]
    WrongLength {
        /// Hashes that indices and size ask for.
        expected: usize,
        /// Hashes found.
        got: usize,
    },
    /// Not one leaf for each index.
    #[error("the multi-proof is for {expected} leaves, {got} were given")]
    WrongLeafCount {
        /// Indices in the proof.
        expected: usize,
        /// Leaves given.
        got: usize,
    },
    /// The proof was made for another tree size than the head's.
    #[error("the multi-proof is for size {proof}, the head has size {head}")]
    OtherSize {
        /// The size of the proof.
        proof: TreeSize,
        /// The size of the head.
        head: TreeSize,
    },
    /// The hashes lead to another root.
    #[error("the multi-proof leads to root {got}, the head has {expected}")]
    RootMismatch {
        /// The root of the head.
        expected: RootHash,
        /// The root that the hashes lead to.
        got: RootHash,
    },
}

#[cfg(test)]
mod tests;
