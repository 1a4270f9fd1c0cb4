//! The commitment: the payload of evidence, four items of CBOR `[1, -16, root, count]`.
//!
//! Its root is the RFC 6962 tree hash over the leaf hashes of the disclosures, so that any of the
//! fields can be shown with a [`FieldProof`] and the others stay hidden. Two implementations work
//! on each tree: ours, which is the verification of record, and `rs_merkle`, the second opinion.
//! They must agree. `rs_merkle` accepts proofs with extra hashes, with doubled indices, and for
//! leaves beyond the tree, so it is asked only after our planner has found the form right.

use rs_merkle::{MerkleProof, MerkleTree};
use sha2::{Digest as _, Sha256};

use super::cbor::{self, CborError, Encoder};
use crate::limits::RECORD_FIELDS_MAX;
use crate::reason::Reason;
use crate::tlog::hash::{Hash, LeafHash, LeafIndex, RootHash, TreeHead, TreeSize};
use crate::tlog::multiproof::{MultiPlan, MultiProof, MultiProofError};
use crate::tlog::tree::{NodeId, RootPlan, WrongNodeCount};

/// Version of the commitment format, its first item.
const FORMAT: u64 = 1;
/// The COSE id of SHA-256 (RFC 9054 3.1), its second item.
const ALG_SHA_256: i64 = -16;

/// Commits to an ordered list of 1 to [`RECORD_FIELDS_MAX`] disclosures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    root: RootHash,
    count: FieldCount,
}

/// A number of fields from 1 to [`RECORD_FIELDS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldCount(u16);

impl FieldCount {
    /// The count, or `None` if it is 0 or too large.
    pub fn new(count: usize) -> Option<Self> {
        let valid = (1..=RECORD_FIELDS_MAX).contains(&count);
        u16::try_from(count).ok().filter(|_| valid).map(Self)
    }

    /// The number.
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    fn tree_size(self) -> TreeSize {
        TreeSize(u64::from(self.0))
    }
}

/// Shows some fields of a record: their indices, and the hashes that lead from them to the root.
///
/// It may come from anyone; [`Commitment::verify_fields`] decides. Hashes stand level by level
/// from the leaves upward, left to right within a level, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProof {
    /// Which fields, counted from 0; strictly increasing in a proof that verifies.
    pub indices: Vec<u64>,
    /// The hashes that the fields themselves do not give.
    pub hashes: Vec<Hash>,
}

/// Why there is no commitment, or a field does not belong to one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// Not deterministic CBOR, or not an array of four items of these types.
    #[error("commitment")]
    Cbor(
        #[source]
        #[from]
        CborError,
    ),
    /// The first item is not 1.
    #[error("commitment format {found}, expected {FORMAT}")]
    Format {
        /// The first item.
        found: u64,
    },
    /// The second item is not -16.
    #[error("commitment hash algorithm {found}, expected {ALG_SHA_256} (SHA-256)")]
    Algorithm {
        /// The second item.
        found: i64,
    },
    /// No field, or too many.
    #[error("a record has 1 to {RECORD_FIELDS_MAX} fields, found {found}")]
    Count {
        /// How many fields.
        found: u64,
    },
    /// The form of the proof is wrong, or the fields lead to another root.
    #[error("field proof")]
    Proof(
        #[source]
        #[from]
        MultiProofError,
    ),
    /// Our tree and `rs_merkle` disagree: an error in one of them, so nothing is accepted.
    #[error("the two implementations of the tree disagree")]
    SecondOpinion,
    /// Our own planner asked for another number of nodes than it read.
    #[error("own tree")]
    Nodes(
        #[source]
        #[from]
        WrongNodeCount,
    ),
}

impl CommitmentError {
    /// The stable reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Cbor(error) => match error.reason() {
                Reason::CborMalformed => Reason::CborMalformed,
                Reason::CborNotCanonical => Reason::CborNotCanonical,
                _ => Reason::CommitmentMismatch,
            },
            Self::Format { .. } | Self::Algorithm { .. } | Self::Count { .. } => {
                Reason::CommitmentMismatch
            }
            Self::Proof(_) => Reason::InvalidProof,
            Self::SecondOpinion | Self::Nodes(_) => Reason::Internal,
        }
    }
}

impl Commitment {
    /// Commits to the disclosures with these leaf hashes, in the order of the field list.
    pub fn build(leaves: &[LeafHash]) -> Result<Self, CommitmentError> {
        let count = field_count(leaves.len())?;
        let root = Nodes::of(leaves).root(count)?;
        let second = MerkleTree::<Rfc6962>::from_leaves(&leaf_bytes(leaves)).root();
        if second != Some(*root.as_bytes()) {
            return Err(CommitmentError::SecondOpinion);
        }
        Ok(Self { root, count })
    }

    /// Whether these are the leaf hashes of all fields, in the order of the field list. Our own fold
    /// decides alone here, as it does for the tree of the log; [`Commitment::build`] and
    /// [`Commitment::verify_fields`] ask for a second opinion.
    pub fn is_over(&self, leaves: &[LeafHash]) -> bool {
        leaves.len() == usize::from(self.count.0)
            && Nodes::of(leaves).root(self.count).ok() == Some(self.root)
    }

    /// The deterministic bytes `[1, -16, root, count]`: 38 to 40 of them.
    pub fn encode(&self) -> Vec<u8> {
        Encoder::new()
            .array(4)
            .uint(FORMAT)
            .int(ALG_SHA_256)
            .bytes(self.root.as_bytes())
            .uint(u64::from(self.count.0))
            .finish()
    }

    /// Reads exactly what [`Commitment::encode`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommitmentError> {
        let item = cbor::parse(bytes)?;
        let [format, algorithm, root, count] = item.tuple("commitment")?;
        let format = format.uint("commitment.format")?;
        if format != FORMAT {
            return Err(CommitmentError::Format { found: format });
        }
        let algorithm = algorithm.int("commitment.algorithm")?;
        if algorithm != ALG_SHA_256 {
            return Err(CommitmentError::Algorithm { found: algorithm });
        }
        let root = Hash::from_bytes(root.byte_array("commitment.root")?);
        let found = count.uint("commitment.count")?;
        let count = usize::try_from(found).ok().and_then(FieldCount::new);
        let count = count.ok_or(CommitmentError::Count { found })?;
        Ok(Self {
            root: RootHash::from_hash(root),
            count,
        })
    }

    /// The root over the disclosures.
    pub const fn root(&self) -> RootHash {
        self.root
    }

    /// The number of fields.
    pub const fn count(&self) -> FieldCount {
        self.count
    }

    /// Succeeds if `leaves` are the fields at the indices of `proof`, in that order.
    ///
    /// Before either implementation folds a hash: at least one index, strictly increasing, each
    /// below the count, one leaf per index, and exactly the hashes that our planner asks for.
    pub fn verify_fields(
        &self,
        proof: &FieldProof,
        leaves: &[LeafHash],
    ) -> Result<(), CommitmentError> {
        let size = self.count.tree_size();
        let indices = proof.indices.iter().copied().map(LeafIndex).collect();
        let checked = MultiProof::new(indices, size, proof.hashes.clone())?;
        if leaves.len() != proof.indices.len() {
            let (expected, got) = (proof.indices.len(), leaves.len());
            return Err(MultiProofError::WrongLeafCount { expected, got }.into());
        }
        checked.verify(
            leaves,
            &TreeHead {
                size,
                root: self.root,
            },
        )?;
        self.second_opinion(proof, leaves)
    }

    /// Asks `rs_merkle` about a proof that our own verification has accepted.
    fn second_opinion(
        &self,
        proof: &FieldProof,
        leaves: &[LeafHash],
    ) -> Result<(), CommitmentError> {
        let hashes = proof.hashes.iter().map(|hash| *hash.as_bytes()).collect();
        let indices: Vec<usize> = proof
            .indices
            .iter()
            .filter_map(|index| usize::try_from(*index).ok())
            .collect();
        let agrees = MerkleProof::<Rfc6962>::new(hashes).verify(
            *self.root.as_bytes(),
            &indices,
            &leaf_bytes(leaves),
            self.count.number(),
        );
        if agrees {
            Ok(())
        } else {
            Err(CommitmentError::SecondOpinion)
        }
    }
}

impl FieldProof {
    /// The proof for the fields at `indices` (strictly increasing, at least one) of the record
    /// with these leaf hashes.
    pub fn build(leaves: &[LeafHash], indices: &[u64]) -> Result<Self, CommitmentError> {
        let count = field_count(leaves.len())?;
        let wanted = indices.iter().copied().map(LeafIndex).collect();
        let plan = MultiPlan::new(wanted, count.tree_size())?;
        let proof = plan.build(&Nodes::of(leaves).read(plan.nodes())?)?;

        let second_indices: Vec<usize> = indices
            .iter()
            .filter_map(|index| usize::try_from(*index).ok())
            .collect();
        let second = MerkleTree::<Rfc6962>::from_leaves(&leaf_bytes(leaves)).proof(&second_indices);
        let ours = proof.hashes().iter().map(Hash::as_bytes);
        if !second.proof_hashes().iter().eq(ours) {
            return Err(CommitmentError::SecondOpinion);
        }
        Ok(Self {
            indices: indices.to_vec(),
            hashes: proof.hashes().to_vec(),
        })
    }
}

fn field_count(count: usize) -> Result<FieldCount, CommitmentError> {
    FieldCount::new(count).ok_or(CommitmentError::Count {
        found: count as u64,
    })
}

fn leaf_bytes(leaves: &[LeafHash]) -> Vec<[u8; 32]> {
    leaves.iter().map(|leaf| *leaf.as_bytes()).collect()
}

/// The perfect nodes of a small tree, level by level from the leaves.
struct Nodes {
    levels: Vec<Vec<Hash>>,
}

impl Nodes {
    fn of(leaves: &[LeafHash]) -> Self {
        let mut level: Vec<Hash> = leaves.iter().map(LeafHash::hash).collect();
        let mut levels = Vec::new();
        while !level.is_empty() {
            let (pairs, _) = level.as_chunks::<2>();
            let above = pairs
                .iter()
                .map(|[left, right]| Hash::node(left, right))
                .collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        Self { levels }
    }

    fn root(&self, count: FieldCount) -> Result<RootHash, WrongNodeCount> {
        let plan = RootPlan::new(count.tree_size());
        plan.build(&self.read(plan.nodes())?)
    }

    fn read(&self, nodes: &[NodeId]) -> Result<Vec<Hash>, WrongNodeCount> {
        let node = |id: &NodeId| {
            let level = self.levels.get(usize::from(id.level()))?;
            level.get(usize::try_from(id.index()).ok()?).copied()
        };
        let hashes: Vec<Hash> = nodes.iter().filter_map(node).collect();
        if hashes.len() == nodes.len() {
            Ok(hashes)
        } else {
            Err(WrongNodeCount {
                expected: nodes.len(),
                got: hashes.len(),
            })
        }
    }
}

/// RFC 6962 inner nodes for `rs_merkle`, which is given leaf hashes and moves a last node without
/// sibling up unchanged.
#[derive(Clone)]
struct Rfc6962;

impl rs_merkle::Hasher for Rfc6962 {
    type Hash = [u8; 32];

    /// The tree calls it with two concatenated nodes alone.
    fn hash(nodes: &[u8]) -> [u8; 32] {
        let mut sha = Sha256::new();
        sha.update([0x01]);
        sha.update(nodes);
        sha.finalize().into()
    }
}

#[cfg(test)]
mod tests;
