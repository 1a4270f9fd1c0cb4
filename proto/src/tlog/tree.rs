//! Node names and the one planner behind all proofs: which perfect subtrees make up a range.
//!
//! The tree of RFC 6962 2.1 splits `n` leaves at the largest power of two below `n`. So the hash
//! of a range that starts at a multiple of its rounded-up size is a chain of perfect subtrees,
//! which never change once they are complete. For seven leaves:
//!
//! ```text
//!            root(7)
//!           /       \
//!        (2,0)      [4,7)        stored: perfect nodes (level, index)
//!        /   \      /    \       computed: [4,7) = node((1,2), (0,6))
//!     (1,0) (1,1) (1,2)  (0,6)
//! ```

use thiserror::Error;

use super::hash::{Hash, RootHash, TreeSize};

/// A perfect subtree: the node `index` (from 0, left to right) of `level` (0 is the leaves).
///
/// It covers the leaves `index * 2^level ..= index * 2^level + 2^level - 1`, all below 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    level: u8,
    index: u64,
}

impl NodeId {
    /// The highest level of a perfect subtree in a tree of fewer than 2^64 leaves.
    pub const LEVEL_MAX: u8 = 63;

    /// The node, or `None` where it would cover leaves beyond 2^64.
    pub const fn new(level: u8, index: u64) -> Option<Self> {
        if level > Self::LEVEL_MAX || index > u64::MAX >> level {
            return None;
        }
        Some(Self { level, index })
    }

    /// The level, 0 for leaves, at most 63.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The place among the nodes of its level, from 0.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The first leaf below the node.
    pub const fn first_leaf(self) -> u64 {
        self.index << self.level
    }

    /// The last leaf below the node. The node is complete in every larger tree.
    pub const fn last_leaf(self) -> u64 {
        self.first_leaf() + ((1 << self.level) - 1)
    }

    /// The two nodes that this one is made of; `None` for a leaf.
    pub const fn children(self) -> Option<(Self, Self)> {
        if self.level == 0 {
            return None;
        }
        let (level, left) = (self.level - 1, self.index << 1);
        Some((
            Self { level, index: left },
            Self {
                level,
                index: left | 1,
            },
        ))
    }
}

/// Ranges of leaves, and the perfect subtrees that make up each.
///
/// Nodes are listed range by range, each range from left to right: this is the order in which
/// the caller reads them and [`Cover::fold`] consumes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cover {
    nodes: Vec<NodeId>,
    /// Nodes per range; their sum is `nodes.len()`.
    counts: Vec<usize>,
}

impl Cover {
    /// The nodes to read, in order.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The number of ranges, and so of hashes that [`Cover::fold`] returns.
    pub fn ranges(&self) -> usize {
        self.counts.len()
    }

    /// Adds the range `start..end`.
    ///
    /// `start` is a multiple of `end - start` rounded up to a power of two, as it is for every
    /// subtree of the RFC 6962 split; an empty range adds nothing.
    pub(super) fn push(&mut self, start: u64, end: u64) {
        let before = self.nodes.len();
        let mut first = start;
        while first < end {
            // The largest perfect subtree that still fits: its level is below 64 because the
            // length is below 2^64, and `first` is aligned to it because lengths only shrink.
            let level = (end - first).ilog2();
            let Some(node) = u8::try_from(level)
                .ok()
                .and_then(|l| NodeId::new(l, first >> level))
            else {
                break;
            };
            self.nodes.push(node);
            match node.last_leaf().checked_add(1) {
                Some(next) => first = next,
                None => break,
            }
        }
        if self.nodes.len() > before {
            self.counts.push(self.nodes.len() - before);
        }
    }

    /// The hash of each range, from the hashes of [`Cover::nodes`] in their order.
    pub fn fold(&self, hashes: &[Hash]) -> Result<Vec<Hash>, WrongNodeCount> {
        let wrong = WrongNodeCount {
            expected: self.nodes.len(),
            got: hashes.len(),
        };
        if wrong.expected != wrong.got {
            return Err(wrong);
        }
        let mut rest = hashes;
        let mut folded = Vec::with_capacity(self.counts.len());
        for &count in &self.counts {
            let (range, after) = rest.split_at_checked(count).ok_or_else(|| wrong.clone())?;
            folded.push(fold_right(range).ok_or_else(|| wrong.clone())?);
            rest = after;
        }
        Ok(folded)
    }
}

/// The caller did not hand over one hash for each planned node. Its own mistake, not a peer's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the plan lists {expected} nodes, {got} hashes were given")]
pub struct WrongNodeCount {
    /// Nodes in the plan.
    pub expected: usize,
    /// Hashes given.
    pub got: usize,
}

/// What to read to compute the root of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPlan {
    cover: Cover,
}

impl RootPlan {
    /// Plans the root at `size`: at most 64 nodes, none for the empty tree.
    pub fn new(size: TreeSize) -> Self {
        let mut cover = Cover::default();
        cover.push(0, size.0);
        Self { cover }
    }

    /// The nodes to read: the peaks, from left to right.
    pub fn nodes(&self) -> &[NodeId] {
        self.cover.nodes()
    }

    /// The root, from the hashes of [`RootPlan::nodes`].
    pub fn build(&self, hashes: &[Hash]) -> Result<RootHash, WrongNodeCount> {
        let roots = self.cover.fold(hashes)?;
        Ok(roots
            .first()
            .map_or(RootHash::EMPTY, |root| RootHash::from_hash(*root)))
    }
}

/// The hash of adjacent subtrees of falling size: the right ones are joined first.
pub(super) fn fold_right(hashes: &[Hash]) -> Option<Hash> {
    hashes
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| Hash::node(&left, &right))
}

/// The largest power of two below `count`, where RFC 6962 splits `count >= 2` leaves.
pub(super) const fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests;
