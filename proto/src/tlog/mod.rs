//! The transparency log: one RFC 6962 Merkle tree, its proofs, and the C2SP text forms around it.
//!
//! | module | specification |
//! | --- | --- |
//! | [`hash`], [`tree`], [`frontier`] | RFC 6962 2.1, RFC 9162 2.1.1 |
//! | [`inclusion`], [`consistency`] | RFC 9162 2.1.3 and 2.1.4 |
//! | [`multiproof`] | ours: one proof for many leaves, bottom level first, left to right |
//! | [`tile`] | C2SP tlog-tiles v0.1.0 |
//! | [`note`] | C2SP signed-note v1.0.0 |
//! | [`checkpoint`] | C2SP tlog-checkpoint v1.0.0 |
//! | [`cosignature`] | C2SP tlog-cosignature v1.0.1, the Ed25519 form |
//! | [`policy`] | C2SP tlog-policy, the text of June 2026 |
//! | [`proof`] | C2SP tlog-proof, the text of December 2025 |
//!
//! Every proof is made in three steps: *plan* which nodes to read, *read* them once (the caller
//! does), *build*. Each maker stands beside its checker. Only checkers return verified types.

pub mod checkpoint;
pub mod consistency;
pub mod cosignature;
pub mod frontier;
pub mod hash;
pub mod inclusion;
pub mod multiproof;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod tree;

mod base64;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod oracle;

pub use checkpoint::{Checkpoint, Origin, VerifiedCheckpoint};
pub use consistency::{ConsistencyPlan, ConsistencyProof};
pub use frontier::Frontier;
pub use hash::{Hash, LeafHash, LeafIndex, RootHash, TreeHead, TreeSize};
pub use inclusion::{InclusionPlan, InclusionProof};
pub use multiproof::{MultiPlan, MultiProof};
pub use note::{KeyId, KeyName, Note, NoteSignature, VerifierKey};
pub use policy::{CosignedCheckpoint, Policy};
pub use proof::TlogProof;
pub use tile::{Tile, TileId};
pub use tree::NodeId;
