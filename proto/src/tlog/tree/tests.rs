use super::super::hash::LeafHash;
use super::super::oracle::{leaves, naive_root, published_leaves, read, third};
use super::*;

#[test]
fn names_only_nodes_below_two_to_the_64() {
    assert!(NodeId::new(0, u64::MAX).is_some());
    assert_eq!(
        NodeId::new(0, u64::MAX).map(NodeId::last_leaf),
        Some(u64::MAX)
    );
    assert_eq!(NodeId::new(63, 1).map(NodeId::last_leaf), Some(u64::MAX));
    assert_eq!(NodeId::new(63, 2), None);
    assert_eq!(NodeId::new(64, 0), None);
    assert_eq!(NodeId::new(255, 0), None);
    let node = NodeId::new(3, 5).unwrap();
    assert_eq!((node.first_leaf(), node.last_leaf()), (40, 47));
    assert_eq!(node.children(), NodeId::new(2, 10).zip(NodeId::new(2, 11)));
    assert_eq!(NodeId::new(0, 5).unwrap().children(), None);
}

#[test]
fn roots_agree_with_both_oracles_up_to_130() {
    let leaves = leaves(130);
    for size in 0..=leaves.len() {
        let plan = RootPlan::new(TreeSize(size as u64));
        let root = plan.build(&read(plan.nodes(), &leaves)).unwrap();
        assert_eq!(root.hash(), naive_root(&leaves[..size]), "size {size}");
        if size > 0 {
            assert_eq!(
                third(&leaves[..size]).root(),
                Some(*root.as_bytes()),
                "size {size}"
            );
        }
    }
}

#[test]
fn plans_the_largest_tree_without_wrapping() {
    let plan = RootPlan::new(TreeSize(u64::MAX));
    assert_eq!(plan.nodes().len(), 64);
    assert_eq!(plan.nodes()[0], NodeId::new(63, 0).unwrap());
    assert_eq!(plan.nodes()[63], NodeId::new(0, u64::MAX - 1).unwrap());
    for pair in plan.nodes().windows(2) {
        assert_eq!(pair[0].last_leaf() + 1, pair[1].first_leaf());
    }
    assert_eq!(
        RootPlan::new(TreeSize(1 << 63)).nodes(),
        [NodeId::new(63, 0).unwrap()]
    );
}

#[test]
fn refuses_one_hash_too_few_or_too_many() {
    let plan = RootPlan::new(TreeSize(7));
    let hash = LeafHash::of(b"").hash();
    for got in [0, 2, 4] {
        let refused = plan.build(&vec![hash; got]);
        assert_eq!(refused, Err(WrongNodeCount { expected: 3, got }));
    }
}

/// Roots of google/certificate-transparency `merkle_tree_test.cc`, at every size.
#[test]
fn has_the_published_roots_of_the_eight_leaf_tree() {
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves = published_leaves();
    for (size, expected) in (1..).zip(roots) {
        let plan = RootPlan::new(TreeSize(size));
        let root = plan.build(&read(plan.nodes(), &leaves)).unwrap();
        assert_eq!(root.hash().to_hex(), expected, "size {size}");
    }
}
