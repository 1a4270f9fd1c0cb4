use proptest::prelude::*;

use super::super::oracle::{head, leaves, naive_path, published_leaves, read, third};
use super::*;

fn proof(index: u64, leaves: &[LeafHash]) -> InclusionProof {
    let plan = InclusionPlan::new(LeafIndex(index), TreeSize(leaves.len() as u64)).unwrap();
    plan.build(&read(plan.nodes(), leaves)).unwrap()
}

#[test]
fn agrees_with_the_definition_for_all_indices_and_sizes_up_to_130() {
    let all = leaves(130);
    for size in 1..=all.len() {
        let leaves = &all[..size];
        let head = head(leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = proof(index as u64, leaves);
            assert_eq!(
                proof.hashes(),
                naive_path(index, leaves),
                "leaf {index} of {size}"
            );
            assert_eq!(proof.verify(*leaf, &head), Ok(()), "leaf {index} of {size}");
            let received =
                InclusionProof::new(proof.index(), proof.size(), proof.hashes().to_vec());
            assert_eq!(received, Ok(proof));
        }
    }
}

#[test]
fn agrees_with_the_third_implementation() {
    let all = leaves(130);
    for size in [1, 2, 3, 7, 8, 9, 64, 65, 100, 127, 128, 129, 130] {
        let tree = third(&all[..size]);
        for index in 0..size {
            let theirs: Vec<Hash> = tree
                .proof(&[index])
                .proof_hashes()
                .iter()
                .map(|h| Hash::from_bytes(*h))
                .collect();
            assert_eq!(
                proof(index as u64, &all[..size]).hashes(),
                theirs,
                "{index} of {size}"
            );
        }
    }
}

#[test]
fn refuses_every_other_index_leaf_and_root() {
    let all = leaves(33);
    for size in 1..=all.len() {
        let leaves = &all[..size];
        let head = head(leaves);
        for index in 0..size {
            let proof = proof(index as u64, leaves);
            for (other, leaf) in leaves.iter().enumerate() {
                assert_eq!(proof.verify(*leaf, &head).is_ok(), other == index);
                let moved = InclusionProof::new(
                    LeafIndex(other as u64),
                    proof.size(),
                    proof.hashes().to_vec(),
                );
                let accepted = moved.is_ok_and(|p| p.verify(leaves[index], &head).is_ok());
                assert_eq!(
                    accepted,
                    other == index,
                    "leaf {index} of {size} at {other}"
                );
            }
            let empty = TreeHead {
                root: RootHash::EMPTY,
                ..head
            };
            assert!(proof.verify(leaves[index], &empty).is_err());
        }
    }
}

#[test]
fn refuses_each_changed_added_and_missing_hash() {
    let all = leaves(23);
    for size in 1..=all.len() {
        let leaves = &all[..size];
        let head = head(leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let good = proof(index as u64, leaves);
            let remade = |hashes| InclusionProof::new(LeafIndex(index as u64), head.size, hashes);
            for at in 0..=good.hashes().len() {
                let mut longer = good.hashes().to_vec();
                longer.insert(at, head.root.hash());
                assert!(matches!(
                    remade(longer),
                    Err(InclusionError::WrongLength { .. })
                ));
            }
            for at in 0..good.hashes().len() {
                let mut shorter = good.hashes().to_vec();
                shorter.remove(at);
                assert!(matches!(
                    remade(shorter),
                    Err(InclusionError::WrongLength { .. })
                ));
                for byte in [0, 31] {
                    let mut bytes = *good.hashes()[at].as_bytes();
                    bytes[byte] ^= 1;
                    let mut changed = good.hashes().to_vec();
                    changed[at] = Hash::from_bytes(bytes);
                    assert!(matches!(
                        remade(changed).unwrap().verify(*leaf, &head),
                        Err(InclusionError::RootMismatch { .. })
                    ));
                }
            }
        }
    }
}

/// Paths of google/certificate-transparency `merkle_tree_test.cc`.
#[test]
fn has_the_published_paths_of_the_eight_leaf_tree() {
    let leaves = published_leaves();
    let node_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    let leaf_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    let cases: [(u64, usize, &[&str]); 4] = [
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                node_2_3,
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                leaf_4,
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        ),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                node_2_3,
                leaf_4,
            ],
        ),
    ];
    for (index, size, path) in cases {
        let ours: Vec<String> = proof(index, &leaves[..size])
            .hashes()
            .iter()
            .map(Hash::to_hex)
            .collect();
        assert_eq!(ours, path, "leaf {index} of {size}");
    }
}

#[test]
fn refuses_indices_beyond_the_tree() {
    for (index, size) in [
        (0, 0),
        (1, 1),
        (7, 7),
        (u64::MAX, u64::MAX),
        (u64::MAX, 0),
        (u64::MAX, 1 << 63),
    ] {
        let (index, size) = (LeafIndex(index), TreeSize(size));
        let refused = InclusionError::IndexBeyondTree { index, size };
        assert_eq!(InclusionPlan::new(index, size), Err(refused.clone()));
        assert_eq!(InclusionProof::new(index, size, Vec::new()), Err(refused));
    }
}

#[test]
fn single_leaf_tree_has_the_leaf_as_root_and_no_path() {
    let leaf = LeafHash::of(b"");
    let head = TreeHead {
        size: TreeSize(1),
        root: RootHash::from_hash(leaf.hash()),
    };
    let proof = InclusionProof::new(LeafIndex(0), TreeSize(1), Vec::new()).unwrap();
    assert_eq!(proof.verify(leaf, &head), Ok(()));
    assert!(proof.verify(LeafHash::of(b"0"), &head).is_err());
    let one = InclusionProof::new(LeafIndex(0), TreeSize(1), vec![leaf.hash()]);
    assert_eq!(
        one,
        Err(InclusionError::WrongLength {
            expected: 0,
            got: 1
        })
    );
}

/// The ways in which the vectors of transparency-dev/merkle (`testdata/inclusion`) spoil a proof,
/// for every leaf of every tree up to 33.
#[test]
fn refuses_every_published_way_to_spoil_a_proof() {
    let all = leaves(33);
    let other = RootHash::from_hash(LeafHash::of(b"other").hash());
    for count in 1..=all.len() {
        let head = head(&all[..count]);
        let (size, root) = (head.size.0, head.root);
        for (at, leaf) in (0..size).zip(&all) {
            let good = proof(at, &all[..count]).hashes().to_vec();
            let accepts = |index, size, root, hashes: &[Hash]| {
                let size = TreeSize(size);
                InclusionProof::new(LeafIndex(index), size, hashes.to_vec())
                    .is_ok_and(|proof| proof.verify(*leaf, &TreeHead { size, root }).is_ok())
            };
            assert!(accepts(at, size, root, &good));
            for (index, size) in [
                (at.wrapping_sub(1), size),
                (at + 1, size),
                (at ^ 2, size),
                (at, size * 2),
                (at, size / 2),
            ] {
                assert!(
                    !accepts(index, size, root, &good),
                    "{at}: {index} of {size}"
                );
            }
            for root in [RootHash::EMPTY, other] {
                assert!(!accepts(at, size, root, &good));
            }
            let mut spoiled = vec![
                [good.as_slice(), &[root.hash()]].concat(),
                [&[root.hash()], good.as_slice()].concat(),
            ];
            if let [first, rest @ ..] = good.as_slice() {
                spoiled.push(rest.to_vec());
                spoiled.push([&[*first, other.hash()], rest].concat());
            }
            for hashes in spoiled {
                assert!(!accepts(at, size, root, &hashes), "leaf {at} of {size}");
            }
        }
    }
}

#[test]
fn refuses_a_head_of_another_size() {
    let all = leaves(9);
    let proof = proof(3, &all[..8]);
    assert_eq!(
        proof.verify(all[3], &head(&all)),
        Err(InclusionError::OtherSize {
            proof: TreeSize(8),
            head: TreeSize(9)
        })
    );
}

#[test]
fn path_lengths_are_exact_near_the_end_of_64_bits() {
    let cases = [
        (0, 1 << 63, 63),
        ((1 << 63) - 1, 1 << 63, 63),
        (0, (1 << 63) + 1, 64),
        (1 << 63, (1 << 63) + 1, 1),
        (0, u64::MAX, 64),
        (u64::MAX - 1, u64::MAX, 63),
        (1 << 63, u64::MAX, 64),
        ((1 << 63) - 1, u64::MAX, 64),
    ];
    // The planner can be asked for any size; what is received has at most 63 hashes.
    let filler = LeafHash::of(b"").hash();
    for (index, size, length) in cases {
        let (index, size) = (LeafIndex(index), TreeSize(size));
        let plan = InclusionPlan::new(index, size).unwrap();
        let planned = plan.build(&vec![filler; plan.nodes().len()]).unwrap();
        assert_eq!(planned.hashes().len(), length, "leaf {index} of {size}");
        let received = InclusionProof::new(index, size, vec![filler; length]);
        if length > PROOF_HASHES_MAX {
            assert_eq!(received, Err(InclusionError::TooLong { got: length }));
        } else {
            assert_eq!(received, Ok(planned));
        }
        for wrong in [length - 1, length + 1] {
            assert!(InclusionProof::new(index, size, vec![filler; wrong]).is_err());
        }
    }
}

proptest! {
    #[test]
    fn planner_and_length_agree_everywhere(size in 1_u64..=1 << 63, seed: u64) {
        let index = LeafIndex(seed % size);
        let plan = InclusionPlan::new(index, TreeSize(size)).unwrap();
        let filler = LeafHash::of(b"").hash();
        let built = plan.build(&vec![filler; plan.nodes().len()]).unwrap();
        let received = InclusionProof::new(index, TreeSize(size), built.hashes().to_vec());
        prop_assert_eq!(received, Ok(built));
        for node in plan.nodes() {
            prop_assert!(node.last_leaf() < size);
            prop_assert!(!(node.first_leaf()..=node.last_leaf()).contains(&index.0));
        }
    }

    #[test]
    fn proves_leaves_of_larger_trees(size in 131_u64..3000, seed: u64) {
        let leaves = leaves(size);
        let index = seed % size;
        let leaf = leaves[usize::try_from(index).unwrap()];
        prop_assert_eq!(proof(index, &leaves).verify(leaf, &head(&leaves)), Ok(()));
    }
}
