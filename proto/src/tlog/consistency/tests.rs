use proptest::prelude::*;

use super::super::hash::LeafHash;
use super::super::oracle::{head, leaves, naive_consistency, published_leaves, read};
use super::*;

fn proof(old: usize, leaves: &[LeafHash]) -> ConsistencyProof {
    let plan = ConsistencyPlan::new(TreeSize(old as u64), TreeSize(leaves.len() as u64)).unwrap();
    plan.build(&read(plan.nodes(), leaves)).unwrap()
}

#[test]
fn agrees_with_the_definition_for_all_pairs_of_sizes_up_to_130() {
    let all = leaves(130);
    let heads: Vec<TreeHead> = (0..=all.len()).map(|size| head(&all[..size])).collect();
    for new in 0..=all.len() {
        for old in 0..=new {
            let proof = proof(old, &all[..new]);
            assert_eq!(
                proof.hashes(),
                naive_consistency(old, &all[..new]),
                "{old} to {new}"
            );
            assert_eq!(
                proof.verify(&heads[old], &heads[new]),
                Ok(()),
                "{old} to {new}"
            );
            let received =
                ConsistencyProof::new(proof.old(), proof.new_size(), proof.hashes().to_vec());
            assert_eq!(received, Ok(proof));
        }
    }
}

/// Proofs of google/certificate-transparency `merkle_tree_test.cc`.
#[test]
fn has_the_published_proofs_of_the_eight_leaf_tree() {
    let leaves = published_leaves();
    let node_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    let cases: [(usize, usize, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                node_2_3,
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                node_2_3,
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (old, new, expected) in cases {
        let ours: Vec<String> = proof(old, &leaves[..new])
            .hashes()
            .iter()
            .map(Hash::to_hex)
            .collect();
        assert_eq!(ours, expected, "{old} to {new}");
    }
}

#[test]
fn refuses_each_changed_root_and_hash() {
    let all = leaves(40);
    let flip = |hash: &Hash| {
        let mut bytes = *hash.as_bytes();
        bytes[7] ^= 0x80;
        Hash::from_bytes(bytes)
    };
    for new in 1..=all.len() {
        let new_head = head(&all[..new]);
        for old in 1..=new {
            let old_head = head(&all[..old]);
            let good = proof(old, &all[..new]);
            let other = |head: &TreeHead| TreeHead {
                root: RootHash::from_hash(flip(&head.root.hash())),
                ..*head
            };
            assert!(
                good.verify(&other(&old_head), &new_head).is_err(),
                "{old} to {new}"
            );
            assert!(
                good.verify(&old_head, &other(&new_head)).is_err(),
                "{old} to {new}"
            );
            for at in 0..good.hashes().len() {
                let mut hashes = good.hashes().to_vec();
                hashes[at] = flip(&hashes[at]);
                let changed = ConsistencyProof::new(good.old(), good.new_size(), hashes).unwrap();
                assert!(
                    changed.verify(&old_head, &new_head).is_err(),
                    "{old} to {new}, {at}"
                );
            }
        }
    }
}

#[test]
fn refuses_one_hash_too_few_or_too_many() {
    let all = leaves(20);
    for new in 0..=all.len() {
        for old in 0..=new {
            let good = proof(old, &all[..new]);
            for at in 0..=good.hashes().len() {
                let mut longer = good.hashes().to_vec();
                longer.insert(at, RootHash::EMPTY.hash());
                let refused = ConsistencyProof::new(good.old(), good.new_size(), longer);
                assert!(matches!(refused, Err(ConsistencyError::WrongLength { .. })));
            }
            for at in 0..good.hashes().len() {
                let mut shorter = good.hashes().to_vec();
                shorter.remove(at);
                let refused = ConsistencyProof::new(good.old(), good.new_size(), shorter);
                assert!(matches!(refused, Err(ConsistencyError::WrongLength { .. })));
            }
        }
    }
}

/// Both roots must come out of the proof: a proof made from another old tree has the right new
/// root, and would pass if only that were recomputed.
#[test]
fn refuses_a_proof_that_reaches_the_new_root_alone() {
    let all = leaves(8);
    let forged = TreeHead {
        size: TreeSize(6),
        root: head(&leaves(7)[1..]).root,
    };
    let refused = proof(6, &all).verify(&forged, &head(&all));
    assert!(matches!(
        refused,
        Err(ConsistencyError::OldRootMismatch { .. })
    ));
}

/// The ways in which the vectors of transparency-dev/merkle (`testdata/consistency`) spoil a proof,
/// for every pair of different sizes up to 33. Their vectors refuse every proof from size 0; ours
/// says that it binds nothing, see `from_size_zero_is_no_statement`.
#[test]
fn refuses_every_published_way_to_spoil_a_proof() {
    let all = leaves(33);
    let other = RootHash::from_hash(LeafHash::of(b"other").hash());
    for new in 2..=all.len() {
        for old in 1..new {
            let (first, second) = (head(&all[..old]), head(&all[..new]));
            let good = proof(old, &all[..new]).hashes().to_vec();
            let accepts = |sizes: (u64, u64), roots: (RootHash, RootHash), hashes: &[Hash]| {
                let head = |size, root| TreeHead {
                    size: TreeSize(size),
                    root,
                };
                let (old, new) = (head(sizes.0, roots.0), head(sizes.1, roots.1));
                sizes.0 > 0
                    && ConsistencyProof::new(old.size, new.size, hashes.to_vec())
                        .is_ok_and(|proof| proof.verify(&old, &new).is_ok())
            };
            let (sizes, roots) = ((first.size.0, second.size.0), (first.root, second.root));
            assert!(accepts(sizes, roots, &good));
            for spoiled in [
                (sizes.0 - 1, sizes.1),
                (sizes.0 + 1, sizes.1),
                (sizes.0 ^ 2, sizes.1),
                (sizes.0, sizes.1 * 2),
                (sizes.0, sizes.1 / 2),
            ] {
                assert!(!accepts(spoiled, roots, &good), "{sizes:?} as {spoiled:?}");
            }
            for spoiled in [(other, roots.1), (roots.0, other), (roots.1, roots.0)] {
                assert!(!accepts(sizes, spoiled, &good), "{sizes:?}");
            }
            let mut spoiled = vec![Vec::new(), good[..good.len() - 1].to_vec()];
            for hash in [roots.0.hash(), roots.1.hash(), good[0]] {
                spoiled.push([good.as_slice(), &[hash]].concat());
                spoiled.push([&[hash], good.as_slice()].concat());
            }
            for hashes in spoiled {
                assert!(!accepts(sizes, roots, &hashes), "{sizes:?}");
            }
        }
    }
}

#[test]
fn a_fork_does_not_verify() {
    let honest = leaves(12);
    let mut fork = honest.clone();
    fork[2] = LeafHash::of(b"another decision");
    for old in 3..=12 {
        let refused = proof(old, &fork).verify(&head(&honest[..old]), &head(&fork));
        assert!(refused.is_err(), "old size {old}");
    }
}

#[test]
fn from_size_zero_is_no_statement() {
    let all = leaves(5);
    let proof = proof(0, &all);
    assert!(proof.hashes().is_empty());
    assert!(!proof.binds());
    assert_eq!(proof.verify(&TreeHead::EMPTY, &head(&all)), Ok(()));
    let wrong = TreeHead {
        size: TreeSize(0),
        root: head(&all).root,
    };
    assert!(matches!(
        proof.verify(&wrong, &head(&all)),
        Err(ConsistencyError::OldRootMismatch { .. })
    ));
    let nothing = ConsistencyProof::new(TreeSize(0), TreeSize(0), Vec::new()).unwrap();
    assert_eq!(nothing.verify(&TreeHead::EMPTY, &TreeHead::EMPTY), Ok(()));
    assert!(nothing.verify(&TreeHead::EMPTY, &wrong).is_err());
}

#[test]
fn equal_sizes_need_equal_roots_and_no_hashes() {
    let all = leaves(6);
    let proof = ConsistencyProof::new(TreeSize(6), TreeSize(6), Vec::new()).unwrap();
    assert!(proof.binds());
    assert_eq!(proof.verify(&head(&all), &head(&all)), Ok(()));
    let other = TreeHead {
        root: RootHash::EMPTY,
        ..head(&all)
    };
    assert!(proof.verify(&head(&all), &other).is_err());
    assert!(proof.verify(&other, &head(&all)).is_err());
}

#[test]
fn refuses_shrinking_trees_and_heads_of_other_sizes() {
    let (old, new) = (TreeSize(4), TreeSize(3));
    let shrinks = ConsistencyError::Shrinks { old, new };
    assert_eq!(ConsistencyPlan::new(old, new), Err(shrinks.clone()));
    assert_eq!(ConsistencyProof::new(old, new, Vec::new()), Err(shrinks));
    let all = leaves(9);
    let other = proof(4, &all[..8]).verify(&head(&all[..4]), &head(&all));
    assert!(matches!(other, Err(ConsistencyError::OtherSizes { .. })));
}

#[test]
fn empty_proof_between_different_sizes_is_refused() {
    for (old, new) in [(1, 2), (3, 4), (1 << 63, (1 << 63) + 1), (1, u64::MAX)] {
        let refused = ConsistencyProof::new(TreeSize(old), TreeSize(new), Vec::new());
        assert!(matches!(
            refused,
            Err(ConsistencyError::WrongLength { got: 0, .. })
        ));
    }
}

proptest! {
    #[test]
    fn nothing_wraps_at_any_size(a: u64, b: u64) {
        let (old, new) = (TreeSize(a.min(b)), TreeSize(a.max(b)));
        let plan = ConsistencyPlan::new(old, new).unwrap();
        let filler = LeafHash::of(b"").hash();
        let built = plan.build(&vec![filler; plan.nodes().len()]).unwrap();
        let got = built.hashes().len();
        prop_assert!(got <= 65);
        prop_assert!(plan.nodes().iter().all(|node| node.last_leaf() < new.0));
        let received = ConsistencyProof::new(old, new, built.hashes().to_vec());
        if got > PROOF_HASHES_MAX {
            prop_assert_eq!(received, Err(ConsistencyError::TooLong { got }));
            return Ok(());
        }
        let received = received.unwrap();
        let root = RootHash::from_hash(filler);
        // Made-up hashes lead somewhere else, and the walk ends exactly at the root.
        let verdict = received.verify(&TreeHead { size: old, root }, &TreeHead { size: new, root });
        let wrong_length = matches!(verdict, Err(ConsistencyError::WrongLength { .. }));
        prop_assert!(!wrong_length);
        prop_assert_eq!(verdict.is_ok(), old == new || old.0 == 0);
    }

    #[test]
    fn proves_growth_of_larger_trees(new in 131_u64..2000, seed: u64) {
        let leaves = leaves(new);
        let old = usize::try_from(seed % new).unwrap() + 1;
        let verdict = proof(old, &leaves).verify(&head(&leaves[..old]), &head(&leaves));
        prop_assert_eq!(verdict, Ok(()));
    }
}
