use proptest::prelude::*;

use super::super::oracle::{head, leaves, naive_root, read};
use super::*;

fn grown(leaves: &[LeafHash]) -> Frontier {
    let mut frontier = Frontier::EMPTY;
    for leaf in leaves {
        frontier.push(*leaf).unwrap();
    }
    frontier
}

#[test]
fn has_the_naive_root_after_every_push_up_to_130() {
    let leaves = leaves(130);
    let mut frontier = Frontier::EMPTY;
    assert_eq!(frontier.head(), TreeHead::EMPTY);
    for (index, leaf) in leaves.iter().enumerate() {
        assert_eq!(frontier.push(*leaf), Ok(LeafIndex(index as u64)));
        assert_eq!(frontier.head(), head(&leaves[..=index]));
        let planned = read(&Frontier::plan(frontier.size()), &leaves);
        assert_eq!(frontier.peaks(), planned);
        assert_eq!(
            Frontier::from_peaks(frontier.size(), planned),
            Ok(frontier.clone())
        );
        assert_eq!(Frontier::decode(&frontier.encode()), Ok(frontier.clone()));
    }
}

#[test]
fn hands_over_every_completed_node_once() {
    let leaves = leaves(130);
    let mut frontier = Frontier::EMPTY;
    let mut nodes = std::collections::BTreeMap::new();
    for leaf in &leaves {
        let add = |node: NodeId, hash| assert_eq!(nodes.insert(node, hash), None, "{node:?} twice");
        frontier.push_with(*leaf, add).unwrap();
    }
    // 130 leaves, 65 pairs, 32 fours, 16, 8, 4, 2, and one node each of 64 * 2.
    assert_eq!(nodes.len(), 130 + 65 + 32 + 16 + 8 + 4 + 2 + 1);
    for (node, hash) in nodes {
        assert_eq!(read(&[node], &leaves), [hash], "{node:?}");
    }
}

#[test]
fn takes_perfect_subtrees_at_multiples_of_their_size_alone() {
    let leaves = leaves(64);
    for before in 0..40_usize {
        for level in 0..4_u8 {
            let mut frontier = grown(&leaves[..before]);
            let added = 1_usize << level;
            let result = frontier.push_subtree(level, naive_root(&leaves[before..before + added]));
            if before.is_multiple_of(added) {
                assert_eq!(result, Ok(()));
                assert_eq!(frontier.head(), head(&leaves[..before + added]));
            } else {
                assert_eq!(
                    result,
                    Err(SubtreeRefused {
                        level,
                        size: before as u64
                    })
                );
                assert_eq!(frontier.head(), head(&leaves[..before]));
            }
        }
    }
}

#[test]
fn refuses_to_grow_beyond_64_bits() {
    let leaf = LeafHash::of(b"");
    let mut full = Frontier::from_peaks(TreeSize(u64::MAX), vec![leaf.hash(); 64]).unwrap();
    let before = full.clone();
    assert_eq!(full.push(leaf), Err(FrontierFull));
    for level in [0, 1, 62, 63, 64, 255] {
        assert!(
            full.push_subtree(level, leaf.hash()).is_err(),
            "level {level}"
        );
    }
    assert_eq!(full, before);
    let mut half = Frontier::EMPTY;
    assert_eq!(half.push_subtree(63, leaf.hash()), Ok(()));
    assert_eq!(half.size(), TreeSize(1 << 63));
    assert!(half.push_subtree(63, leaf.hash()).is_err());
}

#[test]
fn has_its_golden_bytes() {
    assert_eq!(Frontier::EMPTY.encode(), [0; 8]);
    assert_eq!(
        grown(&leaves(3)).encode(),
        include_bytes!("golden_3_leaves.bin")
    );
}

#[test]
fn refuses_any_other_length() {
    let frontier = grown(&leaves(3));
    let bytes = frontier.encode();
    for length in 0..bytes.len() {
        assert!(
            Frontier::decode(&bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        Frontier::decode(&longer),
        Err(FrontierError::WrongLength {
            expected: 72,
            got: 73
        })
    );
    assert!(Frontier::from_peaks(TreeSize(3), Vec::new()).is_err());
}

proptest! {
    #[test]
    fn subtrees_and_leaves_give_one_tree(cuts in proptest::collection::vec(0_u8..6, 1..40)) {
        let leaves = leaves(40 * 32);
        let (mut by_leaf, mut by_subtree) = (Frontier::EMPTY, Frontier::EMPTY);
        for cut in cuts {
            let start = by_leaf.size().0;
            let level = u8::try_from(u32::from(cut).min(start.trailing_zeros())).unwrap();
            let first = usize::try_from(start).unwrap();
            let part = &leaves[first..first + (1 << level)];
            for leaf in part {
                by_leaf.push(*leaf).unwrap();
            }
            by_subtree.push_subtree(level, naive_root(part)).unwrap();
            prop_assert_eq!(&by_leaf, &by_subtree);
        }
    }
}
