//! Two more implementations of the tree, for tests alone: the definition of RFC 6962 2.1 written
//! down as recursion, and `rs_merkle` with our hasher.

use rs_merkle::{Hasher, MerkleTree};

use super::hash::{Hash, LeafHash, RootHash, TreeHead, TreeSize};
use super::tree::NodeId;

/// The leaves of a test tree: leaf `i` is the entry of the eight bytes of `i`.
pub(super) fn leaves(count: u64) -> Vec<LeafHash> {
    (0..count)
        .map(|index| LeafHash::of(&index.to_be_bytes()))
        .collect()
}

/// The eight leaves that Certificate Transparency's own tests use since 2013
/// (google/certificate-transparency `merkle_tree_test.cc`).
pub(super) fn published_leaves() -> Vec<LeafHash> {
    let last: Vec<u8> = (0x60..=0x6f).collect();
    let entries: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &last,
    ];
    entries.into_iter().map(LeafHash::of).collect()
}

/// MTH of RFC 6962 2.1, by its words.
pub(super) fn naive_root(leaves: &[LeafHash]) -> Hash {
    match leaves {
        [] => RootHash::EMPTY.hash(),
        [leaf] => leaf.hash(),
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            Hash::node(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

/// The head of the tree of these leaves.
pub(super) fn head(leaves: &[LeafHash]) -> TreeHead {
    TreeHead {
        size: TreeSize(leaves.len() as u64),
        root: RootHash::from_hash(naive_root(leaves)),
    }
}

/// PATH of RFC 6962 2.1.1, by its words.
pub(super) fn naive_path(index: usize, leaves: &[LeafHash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - k, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// PROOF of RFC 6962 2.1.2, by its words.
pub(super) fn naive_consistency(old: usize, leaves: &[LeafHash]) -> Vec<Hash> {
    if old == 0 {
        Vec::new()
    } else {
        subproof(old, leaves, true)
    }
}

fn subproof(old: usize, leaves: &[LeafHash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if old <= k {
        (subproof(old, left, whole), naive_root(right))
    } else {
        (subproof(old - k, right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

/// The hashes of perfect nodes, straight from the leaves below each.
pub(super) fn read(nodes: &[NodeId], leaves: &[LeafHash]) -> Vec<Hash> {
    let below = |node: &NodeId| {
        let first = usize::try_from(node.first_leaf()).unwrap();
        let last = usize::try_from(node.last_leaf()).unwrap();
        naive_root(&leaves[first..=last])
    };
    nodes.iter().map(below).collect()
}

/// RFC 6962 hashing for `rs_merkle`, which hands inner nodes over as two hashes.
#[derive(Clone)]
pub(super) struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        *LeafHash::of(data).as_bytes()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        match right {
            Some(right) => {
                *Hash::node(&Hash::from_bytes(*left), &Hash::from_bytes(*right)).as_bytes()
            }
            None => *left,
        }
    }
}

/// The tree of these leaves in `rs_merkle`.
pub(super) fn third(leaves: &[LeafHash]) -> MerkleTree<Rfc6962> {
    let leaves: Vec<[u8; 32]> = leaves.iter().map(|leaf| *leaf.as_bytes()).collect();
    MerkleTree::from_leaves(&leaves)
}
