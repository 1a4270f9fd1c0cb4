//! The compact frontier: the peaks of a tree, enough to append and to know the root.
//!
//! A tree of `n` leaves is a row of perfect subtrees, one for each bit set in `n`, the largest
//! first. The frontier keeps their hashes: at most 64, whatever the size.

use thiserror::Error;

use super::hash::{Hash, LeafHash, LeafIndex, RootHash, TreeHead, TreeSize};
use super::tree::{Cover, NodeId, WrongNodeCount, fold_right};

/// The size of a tree and the hashes of its peaks, from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: TreeSize,
    /// One hash for each bit set in `size`, the highest bit first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub const EMPTY: Self = Self {
        size: TreeSize(0),
        peaks: Vec::new(),
    };

    /// The nodes that [`Frontier::from_peaks`] wants for `size`, from left to right.
    pub fn plan(size: TreeSize) -> Vec<NodeId> {
        let mut cover = Cover::default();
        cover.push(0, size.0);
        cover.nodes().to_vec()
    }

    /// The frontier at `size`, from the hashes of the nodes of [`Frontier::plan`].
    pub fn from_peaks(size: TreeSize, peaks: Vec<Hash>) -> Result<Self, WrongNodeCount> {
        let expected = peak_count(size);
        if peaks.len() != expected {
            return Err(WrongNodeCount {
                expected,
                got: peaks.len(),
            });
        }
        Ok(Self { size, peaks })
    }

    /// The number of leaves.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The peaks, from left to right.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root of the tree, [`RootHash::EMPTY`] for no leaves. At most 63 hashes of work.
    pub fn root(&self) -> RootHash {
        fold_right(&self.peaks).map_or(RootHash::EMPTY, RootHash::from_hash)
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead {
            size: self.size,
            root: self.root(),
        }
    }

    /// Appends a leaf and returns its index.
    pub fn push(&mut self, leaf: LeafHash) -> Result<LeafIndex, FrontierFull> {
        self.push_with(leaf, |_, _| {})
    }

    /// Appends a leaf, hands every node that becomes complete to `complete` (the leaf first, then
    /// its ancestors upward), and returns the leaf's index.
    pub fn push_with(
        &mut self,
        leaf: LeafHash,
        mut complete: impl FnMut(NodeId, Hash),
    ) -> Result<LeafIndex, FrontierFull> {
        let index = self.size.0;
        let next = index.checked_add(1).ok_or(FrontierFull)?;
        let mut hash = leaf.hash();
        if let Some(node) = NodeId::new(0, index) {
            complete(node, hash);
        }
        // Each one at the low end of the old size is a peak that the new leaf completes.
        for level in 1..=index.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = Hash::node(&left, &hash);
            let node = u8::try_from(level)
                .ok()
                .and_then(|l| NodeId::new(l, index >> level));
            if let Some(node) = node {
                complete(node, hash);
            }
        }
        self.peaks.push(hash);
        self.size = TreeSize(next);
        Ok(LeafIndex(index))
    }

    /// Appends a perfect subtree of `2^level` leaves by its hash alone.
    ///
    /// The size must be a multiple of `2^level`; a size is then the same as if every leaf had
    /// been pushed.
    pub fn push_subtree(&mut self, level: u8, subtree: Hash) -> Result<(), SubtreeRefused> {
        let size = self.size.0;
        let refused = SubtreeRefused { level, size };
        let leaves = 1_u64
            .checked_shl(u32::from(level))
            .ok_or_else(|| refused.clone())?;
        if !size.is_multiple_of(leaves) {
            return Err(refused);
        }
        let next = size.checked_add(leaves).ok_or(refused)?;
        let mut hash = subtree;
        for _ in 0..(size >> level).trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = Hash::node(&left, &hash);
        }
        self.peaks.push(hash);
        self.size = TreeSize(next);
        Ok(())
    }

    /// The stored form: size (8 bytes, big endian), then the peaks from left to right.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + Hash::LEN * self.peaks.len());
        bytes.extend_from_slice(&self.size.0.to_be_bytes());
        for peak in &self.peaks {
            bytes.extend_from_slice(peak.as_bytes());
        }
        bytes
    }

    /// Reads [`Frontier::encode`]. The length is exactly what the size asks for.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrontierError> {
        let Some((size, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(FrontierError::WrongLength {
                expected: 8,
                got: bytes.len(),
            });
        };
        let size = TreeSize(u64::from_be_bytes(*size));
        let expected = 8 + Hash::LEN * peak_count(size);
        if bytes.len() != expected {
            return Err(FrontierError::WrongLength {
                expected,
                got: bytes.len(),
            });
        }
        let (peaks, _) = rest.as_chunks::<{ Hash::LEN }>();
        Ok(Self {
            size,
            peaks: peaks.iter().map(|peak| Hash::from_bytes(*peak)).collect(),
        })
    }
}

/// The number of perfect subtrees in a tree of this size: at most 64.
fn peak_count(size: TreeSize) -> usize {
    // A count of bits in 64 always fits; the fallback keeps a failed conversion a refusal.
    usize::try_from(size.0.count_ones()).unwrap_or(usize::MAX)
}

/// The tree has 2^64 - 1 leaves.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the tree has 2^64 - 1 leaves and takes no more")]
pub struct FrontierFull;

/// A subtree that does not stand at a multiple of its own size, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a subtree of 2^{level} leaves cannot follow {size} leaves")]
pub struct SubtreeRefused {
    /// The level of the subtree's root.
    pub level: u8,
    /// The size of the tree before.
    pub size: u64,
}

/// Why bytes are not a stored frontier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrontierError {
    /// Not 8 bytes of size and 32 for each bit set in it.
    #[error("the frontier has {got} bytes, expected {expected}")]
    WrongLength {
        /// Bytes that the size asks for.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
}

#[cfg(test)]
mod tests;
