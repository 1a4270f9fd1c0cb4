use proptest::prelude::*;

use super::super::oracle::{head, leaves, naive_path, read, third};
use super::*;

fn at(indices: &[usize]) -> Vec<LeafIndex> {
    indices
        .iter()
        .map(|index| LeafIndex(*index as u64))
        .collect()
}

fn pick(indices: &[usize], leaves: &[LeafHash]) -> Vec<LeafHash> {
    indices.iter().map(|index| leaves[*index]).collect()
}

fn proof(indices: &[usize], leaves: &[LeafHash]) -> MultiProof {
    let plan = MultiPlan::new(at(indices), TreeSize(leaves.len() as u64)).unwrap();
    plan.build(&read(plan.nodes(), leaves)).unwrap()
}

/// Proves `indices`, compares with `rs_merkle`, and returns the proof.
fn check(indices: &[usize], leaves: &[LeafHash]) -> MultiProof {
    let ours = proof(indices, leaves);
    assert_eq!(
        ours.verify(&pick(indices, leaves), &head(leaves)),
        Ok(()),
        "{indices:?}"
    );
    let theirs = third(leaves).proof(indices);
    let hashes: Vec<Hash> = theirs
        .proof_hashes()
        .iter()
        .map(|h| Hash::from_bytes(*h))
        .collect();
    assert_eq!(ours.hashes(), hashes, "{indices:?} of {}", leaves.len());
    ours
}

fn subsets(size: usize) -> impl Iterator<Item = Vec<usize>> {
    (1_usize..1 << size).map(move |set| (0..size).filter(|index| set >> index & 1 == 1).collect())
}

#[test]
fn proves_all_subsets_up_to_size_10_like_rs_merkle() {
    let all = leaves(10);
    for size in 1..=all.len() {
        for indices in subsets(size) {
            check(&indices, &all[..size]);
        }
    }
}

#[test]
fn proves_all_single_leaves_and_pairs_up_to_130_like_rs_merkle() {
    let all = leaves(130);
    for size in 1..=all.len() {
        let leaves = &all[..size];
        let tree = third(leaves);
        let head = head(leaves);
        for first in 0..size {
            let single = proof(&[first], leaves);
            assert_eq!(single.hashes(), naive_path(first, leaves));
            // All pairs of all sizes would be a million proofs: every distance up to 9, and one
            // partner at a distance that changes with index and size.
            for second in (first + 1..size.min(first + 10)).chain([first + 10 + size % 17]) {
                if second >= size {
                    continue;
                }
                let pair = proof(&[first, second], leaves);
                assert_eq!(pair.verify(&pick(&[first, second], leaves), &head), Ok(()));
                let theirs = tree.proof(&[first, second]);
                let ours: Vec<[u8; 32]> = pair.hashes().iter().map(|h| *h.as_bytes()).collect();
                assert_eq!(ours, theirs.proof_hashes());
            }
        }
        let everything: Vec<usize> = (0..size).collect();
        assert!(proof(&everything, leaves).hashes().is_empty());
    }
}

#[test]
fn has_the_order_that_the_module_documents() {
    let seven = leaves(7);
    let node = |level, index| NodeId::new(level, index).unwrap();
    let plan = MultiPlan::new(at(&[1, 4]), TreeSize(7)).unwrap();
    assert_eq!(
        plan.nodes(),
        [node(0, 0), node(0, 5), node(1, 1), node(0, 6)]
    );
    assert_eq!(plan.proof_length(), 4);
    check(&[1, 4], &seven);
}

#[test]
fn refuses_every_index_list_that_rs_merkle_is_too_kind_to() {
    let size = TreeSize(3);
    let refused = |indices: &[usize]| MultiProof::new(at(indices), size, Vec::new()).unwrap_err();
    assert_eq!(refused(&[]), MultiProofError::NoIndex);
    for twice in [&[0, 0], &[1, 1], &[2, 2]] {
        assert!(matches!(
            refused(twice),
            MultiProofError::NotIncreasing { .. }
        ));
    }
    assert!(matches!(
        refused(&[1, 0]),
        MultiProofError::NotIncreasing { .. }
    ));
    for beyond in [3, 4, 8, 12] {
        assert!(matches!(
            refused(&[beyond]),
            MultiProofError::IndexBeyondTree { .. }
        ));
    }
}

/// For all counts up to 12, all index lists of up to three items below four times the count:
/// exactly the strictly increasing ones inside the tree can be proven, by their own leaves alone.
#[test]
fn accepts_exactly_the_proper_index_lists_up_to_count_12() {
    let all = leaves(12);
    for count in 1..=all.len() {
        let leaves = &all[..count];
        let beyond = 4 * count;
        let mut lists: Vec<Vec<usize>> = (0..beyond).map(|a| vec![a]).collect();
        lists.extend((0..beyond).flat_map(|a| (0..beyond).map(move |b| vec![a, b])));
        lists.extend(
            (0..=count).flat_map(|a| {
                (0..beyond).flat_map(move |b| (0..=count).map(move |c| vec![a, b, c]))
            }),
        );
        for indices in lists {
            let proper = indices.is_sorted_by(|a, b| a < b) && indices.iter().all(|i| *i < count);
            let plan = MultiPlan::new(at(&indices), TreeSize(count as u64));
            assert_eq!(plan.is_ok(), proper, "{indices:?} of {count}");
            if proper {
                let verdict =
                    proof(&indices, leaves).verify(&pick(&indices, leaves), &head(leaves));
                assert_eq!(verdict, Ok(()), "{indices:?} of {count}");
            }
        }
    }
}

#[test]
fn refuses_each_changed_added_missing_hash_and_swapped_leaf() {
    let all = leaves(7);
    for size in 1..=all.len() {
        let leaves = &all[..size];
        let head = head(leaves);
        for indices in subsets(size) {
            let good = proof(&indices, leaves);
            let own = pick(&indices, leaves);
            let remade = |hashes| MultiProof::new(at(&indices), head.size, hashes);
            for at in 0..=good.hashes().len() {
                let mut longer = good.hashes().to_vec();
                longer.insert(at, head.root.hash());
                assert!(matches!(
                    remade(longer),
                    Err(MultiProofError::WrongLength { .. })
                ));
            }
            for at in 0..good.hashes().len() {
                let mut hashes = good.hashes().to_vec();
                hashes.remove(at);
                assert!(matches!(
                    remade(hashes.clone()),
                    Err(MultiProofError::WrongLength { .. })
                ));
                hashes.insert(at, head.root.hash());
                if hashes != good.hashes() {
                    assert!(remade(hashes).unwrap().verify(&own, &head).is_err());
                }
            }
            for at in 0..own.len() {
                let mut other = own.clone();
                other[at] = LeafHash::of(b"other");
                assert!(good.verify(&other, &head).is_err());
                other.remove(at);
                assert!(matches!(
                    good.verify(&other, &head),
                    Err(MultiProofError::WrongLeafCount { .. })
                ));
            }
            for at in 1..own.len() {
                let mut swapped = own.clone();
                swapped.swap(at - 1, at);
                assert!(good.verify(&swapped, &head).is_err());
            }
        }
    }
}

#[test]
fn refuses_a_head_of_another_size() {
    let all = leaves(9);
    let refused = proof(&[3], &all[..8]).verify(&all[3..4], &head(&all));
    assert!(matches!(refused, Err(MultiProofError::OtherSize { .. })));
}

proptest! {
    #[test]
    fn proves_random_sets_of_larger_trees_like_rs_merkle(
        size in 11_usize..400,
        set in proptest::collection::btree_set(0_usize..400, 1..40),
    ) {
        let indices: Vec<usize> = set.into_iter().filter(|index| *index < size).collect();
        prop_assume!(!indices.is_empty());
        check(&indices, &leaves(size as u64));
    }

    #[test]
    fn nothing_wraps_at_any_size(
        size in 1_u64..,
        set in proptest::collection::btree_set(any::<u64>(), 1..20),
    ) {
        let indices: std::collections::BTreeSet<_> =
            set.into_iter().map(|seed| LeafIndex(seed % size)).collect();
        let indices: Vec<LeafIndex> = indices.into_iter().collect();
        let plan = MultiPlan::new(indices.clone(), TreeSize(size)).unwrap();
        let filler = LeafHash::of(b"");
        let built = plan.build(&vec![filler.hash(); plan.nodes().len()]).unwrap();
        prop_assert_eq!(built.hashes().len(), plan.proof_length());
        prop_assert!(plan.nodes().iter().all(|node| node.last_leaf() < size));
        prop_assert!(built.root_of(&vec![filler; indices.len()]).is_ok());
    }
}
