//! Goal: a field proof verifies for exactly the fields that were committed to, and for nothing
//! that a lenient verifier lets through. Method: all subsets of small records, the proofs that
//! `rs_merkle` was measured to accept by name, all index multisets beyond the count, mutations.

use std::collections::BTreeSet;

use super::*;

fn leaves(count: usize) -> Vec<LeafHash> {
    (0..count)
        .map(|index| LeafHash::of(format!("field {index}").as_bytes()))
        .collect()
}

fn pick(leaves: &[LeafHash], indices: &[u64]) -> Vec<LeafHash> {
    indices
        .iter()
        .map(|index| leaves[usize::try_from(*index).unwrap()])
        .collect()
}

/// What `rs_merkle` says on its own, without our guards.
fn rs_merkle_alone(commitment: &Commitment, proof: &FieldProof, leaves: &[LeafHash]) -> bool {
    commitment.second_opinion(proof, leaves).is_ok()
}

/// The tree hash as RFC 6962 2.1 writes it.
fn tree_hash(leaves: &[LeafHash]) -> Hash {
    match leaves {
        [leaf] => leaf.hash(),
        leaves => {
            let split = leaves.len().next_power_of_two() / 2;
            Hash::node(&tree_hash(&leaves[..split]), &tree_hash(&leaves[split..]))
        }
    }
}

#[test]
fn root_is_the_rfc_6962_tree_hash_for_every_count() {
    for count in 1..=RECORD_FIELDS_MAX {
        let leaves = leaves(count);
        let commitment = Commitment::build(&leaves).unwrap();
        assert_eq!(commitment.root().hash(), tree_hash(&leaves), "{count}");
        assert_eq!(commitment.count().number(), count);
        assert_eq!(Commitment::parse(&commitment.encode()), Ok(commitment));
    }
    for found in [0, RECORD_FIELDS_MAX + 1] {
        let error = Commitment::build(&leaves(found)).unwrap_err();
        assert_eq!(
            error,
            CommitmentError::Count {
                found: found as u64
            }
        );
    }
}

#[test]
fn bytes_are_golden_and_no_other_bytes_are_read() {
    use super::super::hex::{hex, unhex};

    let root = RootHash::from_hash(Hash::from_bytes([0xab; 32]));
    let bytes = |count| {
        let count = FieldCount::new(count).unwrap();
        hex(&Commitment { root, count }.encode())
    };
    let root = "ab".repeat(32);
    assert_eq!(bytes(12), format!("84012f5820{root}0c"));
    assert_eq!(bytes(24), format!("84012f5820{root}1818"));
    assert_eq!(bytes(256), format!("84012f5820{root}190100"));
    for (bad, reason) in [
        (format!("84012f5820{root}00"), Reason::CommitmentMismatch),
        (
            format!("84012f5820{root}190101"),
            Reason::CommitmentMismatch,
        ),
        (format!("84022f5820{root}0c"), Reason::CommitmentMismatch),
        (format!("8401385820{root}0c"), Reason::CborMalformed),
        (format!("84012e5820{root}0c"), Reason::CommitmentMismatch),
        (
            format!("84012f581f{}0c", "ab".repeat(31)),
            Reason::CommitmentMismatch,
        ),
        (format!("85012f5820{root}0c00"), Reason::CommitmentMismatch),
        (format!("83012f5820{root}"), Reason::CommitmentMismatch),
        (format!("84012f5820{root}180c"), Reason::CborNotCanonical),
        (format!("84012f5820{root}0c00"), Reason::CborMalformed),
        (format!("9f012f5820{root}0cff"), Reason::CborNotCanonical),
    ] {
        assert_eq!(
            Commitment::parse(&unhex(&bad)).unwrap_err().reason(),
            reason,
            "{bad}"
        );
    }
}

#[test]
fn every_subset_of_up_to_ten_fields_verifies_and_changed_ones_do_not() {
    for count in 1..=10_usize {
        let all = leaves(count);
        let commitment = Commitment::build(&all).unwrap();
        for subset in 1_u64..1 << count {
            let indices: Vec<u64> = (0..count as u64).filter(|i| subset >> i & 1 == 1).collect();
            let proof = FieldProof::build(&all, &indices).unwrap();
            let shown = pick(&all, &indices);
            assert_eq!(
                commitment.verify_fields(&proof, &shown),
                Ok(()),
                "{indices:?} of {count}"
            );

            let mut other = shown.clone();
            other[0] = LeafHash::of(b"other");
            assert!(commitment.verify_fields(&proof, &other).is_err());
            let mut longer = proof.clone();
            longer.hashes.push(Hash::from_bytes([0; 32]));
            assert!(commitment.verify_fields(&longer, &shown).is_err());
            if !proof.hashes.is_empty() {
                let mut shorter = proof.clone();
                shorter.hashes.pop();
                assert!(commitment.verify_fields(&shorter, &shown).is_err());
                let mut changed = proof.clone();
                changed.hashes[0] = Hash::from_bytes([0; 32]);
                assert!(commitment.verify_fields(&changed, &shown).is_err());
            }
        }
    }
}

#[test]
fn large_records_prove_single_fields_ends_and_all() {
    for count in [31_u64, 32, 33, 64, 100, 255, 256] {
        let all = leaves(usize::try_from(count).unwrap());
        let commitment = Commitment::build(&all).unwrap();
        let every: Vec<u64> = (0..count).collect();
        let sparse: Vec<u64> = (0..count).step_by(7).collect();
        let singles = (0..count).map(|index| vec![index]);
        for indices in singles.chain([every, sparse, vec![0, count - 1]]) {
            let proof = FieldProof::build(&all, &indices).unwrap();
            assert_eq!(
                commitment.verify_fields(&proof, &pick(&all, &indices)),
                Ok(())
            );
        }
    }
}

/// `rs_merkle` alone accepts it: the reason why our planner counts the hashes first.
#[test]
fn refuses_extra_hashes_behind_the_proof() {
    let all = leaves(5);
    let commitment = Commitment::build(&all).unwrap();
    let mut proof = FieldProof::build(&all, &[1]).unwrap();
    let expected = proof.hashes.len();
    proof.hashes.push(Hash::from_bytes([0; 32]));
    assert!(rs_merkle_alone(&commitment, &proof, &all[1..2]));
    let got = expected + 1;
    let error = MultiProofError::WrongLength { expected, got };
    assert_eq!(
        commitment.verify_fields(&proof, &all[1..2]),
        Err(error.into())
    );
}

/// `rs_merkle` alone accepts leaves 0 and 1 both at index 0 at these sizes, with the hashes that
/// it gives out itself for these indices.
#[test]
fn refuses_duplicate_indices_at_sizes_2_3_4_5_8_12() {
    for count in [2, 3, 4, 5, 8, 12] {
        let all = leaves(count);
        let commitment = Commitment::build(&all).unwrap();
        let theirs = MerkleTree::<Rfc6962>::from_leaves(&leaf_bytes(&all)).proof(&[0, 0]);
        let hashes = theirs
            .proof_hashes()
            .iter()
            .map(|hash| Hash::from_bytes(*hash))
            .collect();
        let proof = FieldProof {
            indices: vec![0, 0],
            hashes,
        };
        assert!(
            rs_merkle_alone(&commitment, &proof, &all[..2]),
            "{count}: review the guards"
        );
        let (previous, next) = (LeafIndex(0), LeafIndex(0));
        let error = MultiProofError::NotIncreasing { previous, next };
        assert_eq!(
            commitment.verify_fields(&proof, &all[..2]),
            Err(error.into()),
            "{count}"
        );
    }
}

/// `rs_merkle` alone accepts leaf 0 at an index beyond the count.
#[test]
fn refuses_leaf_0_at_index_4_8_12_of_3() {
    let all = leaves(3);
    let commitment = Commitment::build(&all).unwrap();
    let honest = FieldProof::build(&all, &[0]).unwrap();
    for index in [4, 8, 12] {
        let proof = FieldProof {
            indices: vec![index],
            hashes: honest.hashes.clone(),
        };
        assert!(
            rs_merkle_alone(&commitment, &proof, &all[..1]),
            "review the guards"
        );
        let (index, size) = (LeafIndex(index), TreeSize(3));
        let error = MultiProofError::IndexBeyondTree { index, size };
        assert_eq!(
            commitment.verify_fields(&proof, &all[..1]),
            Err(error.into())
        );
    }
}

/// Every index list up to length 3 below four times the count, against every honest proof of as
/// many leaves: only the honest list verifies.
#[test]
fn index_multisets_verify_only_where_they_are_the_honest_ones() {
    for count in 1..=12_u64 {
        let all = leaves(usize::try_from(count).unwrap());
        let commitment = Commitment::build(&all).unwrap();
        for honest in index_lists(count).filter(|list| list.is_sorted_by(|a, b| a < b)) {
            let shown = pick(&all, &honest);
            let proof = FieldProof::build(&all, &honest).unwrap();
            for indices in index_lists(4 * count).filter(|list| list.len() == honest.len()) {
                let claimed = FieldProof {
                    indices: indices.clone(),
                    hashes: proof.hashes.clone(),
                };
                let verified = commitment.verify_fields(&claimed, &shown).is_ok();
                assert_eq!(
                    verified,
                    indices == honest,
                    "{indices:?} for {honest:?} of {count}"
                );
            }
        }
    }
}

/// Non-decreasing lists of 1 to 3 indices below `end`.
fn index_lists(end: u64) -> impl Iterator<Item = Vec<u64>> {
    let lists: BTreeSet<Vec<u64>> = (0..end)
        .flat_map(|a| (a..end).flat_map(move |b| (b..end).map(move |c| [a, b, c])))
        .flat_map(|[a, b, c]| [vec![a], vec![a, b], vec![a, b, c]])
        .collect();
    lists.into_iter()
}

#[test]
fn refuses_no_index_unordered_indices_and_other_leaf_counts() {
    let all = leaves(6);
    let commitment = Commitment::build(&all).unwrap();
    let empty = FieldProof {
        indices: Vec::new(),
        hashes: vec![commitment.root().hash()],
    };
    assert_eq!(
        commitment.verify_fields(&empty, &[]),
        Err(MultiProofError::NoIndex.into())
    );
    assert_eq!(
        FieldProof::build(&all, &[]),
        Err(MultiProofError::NoIndex.into())
    );
    assert!(FieldProof::build(&all, &[3, 1]).is_err());
    assert!(FieldProof::build(&all, &[6]).is_err());
    assert!(FieldProof::build(&all, &[u64::MAX]).is_err());

    let proof = FieldProof::build(&all, &[1, 3]).unwrap();
    let backwards = FieldProof {
        indices: vec![3, 1],
        hashes: proof.hashes.clone(),
    };
    assert!(
        commitment
            .verify_fields(&backwards, &pick(&all, &[3, 1]))
            .is_err()
    );
    for shown in [&all[1..2], &all[1..4], &[]] {
        let error = commitment.verify_fields(&proof, shown).unwrap_err();
        let expected = MultiProofError::WrongLeafCount {
            expected: 2,
            got: shown.len(),
        };
        assert_eq!(error, expected.into());
    }
    assert!(
        commitment
            .verify_fields(&proof, &pick(&all, &[3, 1]))
            .is_err()
    );
}
