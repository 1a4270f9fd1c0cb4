//! What the fuzzers run, for `fuzz/` and for the test over its corpus. Not part of the API.
//!
//! Each function takes arbitrary bytes. It may refuse them; it must not panic, and what it reads
//! it must print again as it was. A failed assertion here is a bug in the module it names.

pub use crate::aims::fuzz::{record, submission};
pub use crate::statement::fuzz::{cbor, commitment, disclosure, header, json, key, statement};
use crate::statement::key::SigningKey;
pub use crate::system::fuzz::{evidence, receipt, system, verdict, verify};
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::{Hash, LeafHash, LeafIndex, RootHash, TreeHead, TreeSize};
use crate::tlog::inclusion::{InclusionPlan, InclusionProof};
use crate::tlog::tile::{TilePath, Width, decode_entries, encode_entries};
use crate::tlog::{
    Checkpoint, ConsistencyPlan, ConsistencyProof, MultiProof, Note, Policy, TlogProof, VerifierKey,
};
use crate::token::UnverifiedToken;

/// The name of a target and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target: the name of its folder below `fuzz/corpus` and of its file in
/// `fuzz/fuzz_targets`, and its function.
pub const TARGETS: &[Target] = &[
    ("cbor", cbor),
    ("checkpoint", checkpoint),
    ("commitment", commitment),
    ("consistency", consistency),
    ("disclosure", disclosure),
    ("entries", entries),
    ("evidence", evidence),
    ("frontier", frontier),
    ("header", header),
    ("inclusion", inclusion),
    ("json", json),
    ("key", key),
    ("multiproof", multiproof),
    ("note", note),
    ("policy", policy),
    ("receipt", receipt),
    ("record", record),
    ("statement", statement),
    ("submission", submission),
    ("system", system),
    ("tile_path", tile_path),
    ("tlog_proof", tlog_proof),
    ("token", token),
    ("verify", verify),
    ("vkey", vkey),
];

/// A checkpoint text has one spelling.
pub fn checkpoint(data: &[u8]) {
    let Some(text) = str::from_utf8(data).ok() else {
        return;
    };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
}

/// A signed note has one spelling; unknown keys never verify it.
pub fn note(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        assert!(note.verify(&[]).is_err());
    }
}

/// A verifier key has one spelling.
pub fn vkey(data: &[u8]) {
    let Some(text) = str::from_utf8(data).ok() else {
        return;
    };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
        assert!(key.verify("text\n", data).is_err());
    }
}

/// A policy keeps its bytes, and its canonical form means the same.
pub fn policy(data: &[u8]) {
    let Ok(policy) = Policy::parse(data) else {
        return;
    };
    assert_eq!(policy.as_bytes(), data);
    let canonical = policy.to_canonical_bytes();
    let again = Policy::parse(&canonical);
    assert!(
        again.is_ok_and(|again| again.to_canonical_bytes() == canonical
            && again.logs() == policy.logs()
            && again.witnesses() == policy.witnesses()
            && again.groups() == policy.groups()
            && again.quorum() == policy.quorum())
    );
}

/// An offline proof has one spelling.
pub fn tlog_proof(data: &[u8]) {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data);
    }
}

/// A token that is read names the key to check it with, and no other key verifies it.
pub fn token(data: &[u8]) {
    let Some(text) = str::from_utf8(data).ok() else {
        return;
    };
    if let Ok(token) = UnverifiedToken::parse(text) {
        let stranger = SigningKey::from_seed(&[0xff; 32]).public_key();
        assert_ne!(token.key(), stranger.thumbprint());
        assert!(token.verify(&stranger, "ledger", 0).is_err());
    }
}

/// The path of a tile has one spelling.
pub fn tile_path(data: &[u8]) {
    let Some(text) = str::from_utf8(data).ok() else {
        return;
    };
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
}

/// The first byte is the width less one, the rest a bundle.
pub fn entries(data: &[u8]) {
    let Some((&first, bundle)) = data.split_first() else {
        return;
    };
    let Some(width) = Width::new(u16::from(first) + 1) else {
        return;
    };
    if let Ok(entries) = decode_entries(bundle, width) {
        assert_eq!(entries.len(), usize::from(width.count()));
        assert!(encode_entries(entries).is_ok_and(|bytes| bytes == bundle));
    }
}

/// A stored frontier reads back, and takes a leaf wherever there is room.
pub fn frontier(data: &[u8]) {
    let Ok(mut frontier) = Frontier::decode(data) else {
        return;
    };
    assert_eq!(frontier.encode(), data);
    let before = frontier.head();
    if frontier.push(LeafHash::of(data)).is_ok() {
        assert_eq!(frontier.size().0, before.size.0 + 1);
        assert_eq!(Frontier::decode(&frontier.encode()).ok(), Some(frontier));
    } else {
        assert_eq!(before.size, TreeSize(u64::MAX));
    }
}

/// Index, size, then hashes: the checker accepts the planner's length and its own root alone.
pub fn inclusion(data: &[u8]) {
    let Some((index, size, hashes)) = numbers_and_hashes(data) else {
        return;
    };
    let (index, size) = (LeafIndex(index), TreeSize(size));
    let plan = InclusionPlan::new(index, size);
    let Ok(proof) = InclusionProof::new(index, size, hashes) else {
        return;
    };
    let leaf = LeafHash::of(data);
    let filler = plan.map(|plan| plan.build(&vec![leaf.hash(); plan.nodes().len()]));
    let planned = filler
        .is_ok_and(|built| built.is_ok_and(|built| built.hashes().len() == proof.hashes().len()));
    assert!(planned);
    let head = TreeHead {
        size,
        root: proof.root_of(leaf),
    };
    assert_eq!(proof.verify(leaf, &head), Ok(()));
    assert!(
        proof
            .verify(
                leaf,
                &TreeHead {
                    size,
                    root: RootHash::EMPTY
                }
            )
            .is_err()
    );
}

/// Old size, new size, then hashes: made-up hashes prove nothing, and the walk ends at the root.
pub fn consistency(data: &[u8]) {
    let Some((old, new, hashes)) = numbers_and_hashes(data) else {
        return;
    };
    let (old, new) = (TreeSize(old), TreeSize(new));
    let count = hashes.len();
    let Ok(proof) = ConsistencyProof::new(old, new, hashes) else {
        return;
    };
    let filler = LeafHash::of(data).hash();
    let planned = ConsistencyPlan::new(old, new).is_ok_and(|plan| {
        plan.build(&vec![filler; plan.nodes().len()])
            .is_ok_and(|p| p.hashes().len() == count)
    });
    assert!(planned);
    let root = RootHash::from_hash(filler);
    let verdict = proof.verify(&TreeHead { size: old, root }, &TreeHead { size: new, root });
    assert_eq!(
        verdict.is_ok(),
        old == new && old.0 > 0 || old.0 == 0 && root == RootHash::EMPTY
    );
}

/// Size, number of indices, then that many indices (one byte each), then hashes.
pub fn multiproof(data: &[u8]) {
    let Some((size, count, rest)) = numbers(data) else {
        return;
    };
    let Some(count) = usize::try_from(count).ok() else {
        return;
    };
    let Some((indices, hashes)) = rest.split_at_checked(count) else {
        return;
    };
    let indices: Vec<LeafIndex> = indices.iter().map(|i| LeafIndex(u64::from(*i))).collect();
    let Some(hashes) = to_hashes(hashes) else {
        return;
    };
    let Ok(proof) = MultiProof::new(indices, TreeSize(size), hashes) else {
        return;
    };
    let leaves = vec![LeafHash::of(data); count];
    let verified = proof.root_of(&leaves).is_ok_and(|root| {
        proof
            .verify(
                &leaves,
                &TreeHead {
                    size: TreeSize(size),
                    root,
                },
            )
            .is_ok()
    });
    assert!(verified);
}

fn numbers(data: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (first, rest) = data.split_first_chunk::<8>()?;
    let (second, rest) = rest.split_first_chunk::<8>()?;
    Some((
        u64::from_be_bytes(*first),
        u64::from_be_bytes(*second),
        rest,
    ))
}

fn numbers_and_hashes(data: &[u8]) -> Option<(u64, u64, Vec<Hash>)> {
    let (first, second, rest) = numbers(data)?;
    Some((first, second, to_hashes(rest)?))
}

fn to_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, []) = bytes.as_chunks::<{ Hash::LEN }>() else {
        return None;
    };
    Some(hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect())
}
