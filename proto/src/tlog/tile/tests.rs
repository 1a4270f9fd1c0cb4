use proptest::prelude::*;

use super::super::frontier::Frontier;
use super::super::hash::LeafHash;
use super::super::oracle::{leaves, naive_root, read};
use super::super::tree::RootPlan;
use super::*;

fn id(level: u8, index: u64) -> TileId {
    TileId::new(level, index).unwrap()
}

fn width(count: u16) -> Width {
    Width::new(count).unwrap()
}

#[test]
fn prints_and_reads_paths() {
    let cases = [
        ("tile/0/000", TilePath::Hashes(id(0, 0), Width::FULL)),
        (
            "tile/0/x001/x234/067",
            TilePath::Hashes(id(0, 1_234_067), Width::FULL),
        ),
        ("tile/1/999.p/17", TilePath::Hashes(id(1, 999), width(17))),
        (
            "tile/63/x001/000.p/1",
            TilePath::Hashes(id(63, 1000), width(1)),
        ),
        (
            "tile/entries/x273/123.p/112",
            TilePath::Entries(273_123, width(112)),
        ),
        ("tile/entries/000", TilePath::Entries(0, Width::FULL)),
        (
            "tile/7/x018/x446/x744/x073/x709/x551/615",
            TilePath::Hashes(id(7, u64::MAX), Width::FULL),
        ),
    ];
    for (text, path) in cases {
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path), "{text}");
    }
}

#[test]
fn refuses_every_other_spelling_of_a_path() {
    let cases = [
        ("", "nothing"),
        ("/tile/0/000", "leading slash"),
        ("tile/0/000/", "trailing slash"),
        ("tile/00/000", "leading zero in the level"),
        ("tile/64/000", "level beyond 63"),
        ("tile/-1/000", "negative level"),
        ("tile/+1/000", "sign"),
        ("tile/entries", "no index"),
        ("tile/0/", "empty index"),
        ("tile/0/00", "two digits"),
        ("tile/0/0000", "four digits"),
        ("tile/0/x000/001", "leading zero group"),
        ("tile/0/001/234", "first group without x"),
        ("tile/0/x001/x234", "last group with x"),
        ("tile/0/000.p/0", "width 0"),
        ("tile/0/000.p/256", "full width written out"),
        ("tile/0/000.p/257", "width beyond a tile"),
        ("tile/0/000.p/01", "leading zero in the width"),
        ("tile/0/000.p/", "empty width"),
        ("tile/0/000.p/1/", "slash behind the width"),
        ("tile/0/000.p/1.p/1", "two widths"),
        (
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "index beyond 64 bits",
        ),
        (
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "index far beyond 64 bits",
        ),
        ("tile/0/\u{660}00", "digit of another script"),
    ];
    for (text, case) in cases {
        assert_eq!(text.parse::<TilePath>(), Err(TilePathError), "{case}");
    }
}

/// The worked examples of tlog-tiles.
#[test]
fn has_the_widths_of_the_specification() {
    let at_70000 = TileId::partial_at(TreeSize(70_000));
    assert_eq!(
        at_70000,
        [
            (id(0, 273), width(112)),
            (id(1, 1), width(17)),
            (id(2, 0), width(1))
        ]
    );
    assert_eq!(id(0, 272).width_at(TreeSize(70_000)), Some(Width::FULL));
    assert_eq!(id(0, 274).width_at(TreeSize(70_000)), None);
    // A tile that has just filled has no partial form any more; its root is above it.
    assert_eq!(TileId::partial_at(TreeSize(256)), [(id(1, 0), width(1))]);
    assert_eq!(id(0, 0).width_at(TreeSize(256)), Some(Width::FULL));
    assert_eq!(id(0, 1).width_at(TreeSize(256)), None);
    assert_eq!(TileId::partial_at(TreeSize(0)), []);
    assert_eq!(TileId::partial_at(TreeSize(u64::MAX)).len(), 8);
    assert_eq!(id(8, 0).width_at(TreeSize(u64::MAX)), None);
    assert_eq!(id(63, u64::MAX).width_at(TreeSize(u64::MAX)), None);
}

#[test]
fn widths_agree_with_counting() {
    for size in (0..2000).chain(65_000..66_200) {
        let partial = TileId::partial_at(TreeSize(size));
        for level in 0..3 {
            let nodes = size / 256_u64.pow(u32::from(level));
            for index in 0..nodes / 256 {
                assert_eq!(id(level, index).width_at(TreeSize(size)), Some(Width::FULL));
            }
            let last = id(level, nodes / 256);
            let expected = Width::new(u16::try_from(nodes % 256).unwrap());
            assert_eq!(
                last.width_at(TreeSize(size)),
                expected,
                "{last:?} at {size}"
            );
            assert_eq!(
                partial
                    .iter()
                    .find(|(tile, _)| *tile == last)
                    .map(|(_, w)| *w),
                expected
            );
        }
    }
}

#[test]
fn completes_each_tile_with_its_last_leaf() {
    for index in (0..1000).chain(65_000..66_000) {
        let done = TileId::completed_by(LeafIndex(index));
        let full = |tile: &TileId, size| tile.width_at(TreeSize(size)) == Some(Width::FULL);
        assert!(
            done.iter()
                .all(|tile| full(tile, index + 1) && !full(tile, index))
        );
        let expected = (0..3)
            .filter(|level| (index + 1).is_multiple_of(256_u64.pow(level + 1)))
            .count();
        assert_eq!(done.len(), expected, "leaf {index}");
    }
    assert_eq!(
        TileId::completed_by(LeafIndex(65_535)),
        [id(0, 255), id(1, 0)]
    );
    assert_eq!(TileId::completed_by(LeafIndex(u64::MAX)).len(), 8);
    assert_eq!(TileId::completed_by(LeafIndex(u64::MAX))[7], id(7, 0));
}

/// Fills tiles as a log does and computes every root and node from them alone.
#[test]
fn tiles_hold_every_node_of_the_tree() {
    let leaves = leaves(700);
    let mut rows: std::collections::BTreeMap<TileId, Vec<Hash>> = std::collections::BTreeMap::new();
    let mut frontier = Frontier::EMPTY;
    for leaf in &leaves {
        let store = |node: NodeId, hash| {
            if node.level().is_multiple_of(8) {
                rows.entry(TileId::holding(node)).or_default().push(hash);
            }
        };
        let index = frontier.push_with(*leaf, store).unwrap();
        let size = TreeSize(index.0 + 1);
        for tile in TileId::completed_by(index) {
            let full = Tile::new(tile, rows[&tile].clone()).unwrap();
            let above = NodeId::new(8 * (tile.level() + 1), tile.index()).unwrap();
            assert_eq!(
                full.root().map(|root| vec![root]),
                Some(read(&[above], &leaves))
            );
        }
        for (tile, row) in &rows {
            assert_eq!(
                tile.width_at(size).map(|w| usize::from(w.count())),
                Some(row.len())
            );
        }
        if size.0.is_multiple_of(37) {
            let plan = RootPlan::new(size);
            let node = |node: &NodeId| {
                let tile = TileId::holding(*node);
                Tile::new(tile, rows[&tile].clone())
                    .unwrap()
                    .node(*node)
                    .unwrap()
            };
            let hashes: Vec<Hash> = plan.nodes().iter().map(node).collect();
            let expected = naive_root(&leaves[..usize::try_from(size.0).unwrap()]);
            assert_eq!(plan.build(&hashes).unwrap().hash(), expected);
        }
    }
}

#[test]
fn refuses_nodes_of_other_tiles_and_beyond_the_width() {
    let row: Vec<Hash> = leaves(5).iter().map(LeafHash::hash).collect();
    let tile = Tile::new(id(0, 1), row.clone()).unwrap();
    let node = |level, index| NodeId::new(level, index).unwrap();
    assert_eq!(tile.node(node(0, 256)), Ok(row[0]));
    assert_eq!(tile.node(node(1, 128)), Ok(Hash::node(&row[0], &row[1])));
    assert!(matches!(
        tile.node(node(0, 0)),
        Err(TileError::OtherTile { .. })
    ));
    assert!(matches!(
        tile.node(node(8, 1)),
        Err(TileError::OtherTile { .. })
    ));
    assert!(matches!(
        tile.node(node(0, 261)),
        Err(TileError::BeyondWidth { .. })
    ));
    assert!(matches!(
        tile.node(node(1, 130)),
        Err(TileError::BeyondWidth { .. })
    ));
    assert_eq!(tile.root(), None);
}

#[test]
fn tile_bytes_are_the_hashes_and_nothing_else() {
    let row: Vec<Hash> = leaves(3).iter().map(LeafHash::hash).collect();
    let tile = Tile::new(id(2, 7), row).unwrap();
    let bytes = tile.encode();
    assert_eq!(bytes.len(), 96);
    assert_eq!(Tile::decode(id(2, 7), width(3), &bytes), Ok(tile));
    for (count, length) in [(2, 96), (4, 96), (3, 95), (3, 0)] {
        let refused = Tile::decode(id(2, 7), width(count), &bytes[..length]);
        assert!(matches!(refused, Err(TileError::WrongLength { .. })));
    }
    let hash = leaves(1)[0].hash();
    assert_eq!(
        Tile::new(id(0, 0), Vec::new()),
        Err(TileError::WrongWidth { got: 0 })
    );
    assert!(Tile::new(id(0, 0), vec![hash; 256]).is_ok());
    assert_eq!(
        Tile::new(id(0, 0), vec![hash; 257]),
        Err(TileError::WrongWidth { got: 257 })
    );
}

#[test]
fn entry_bundles_have_their_golden_bytes_and_end_with_the_last_entry() {
    let entries: [&[u8]; 3] = [b"abc", b"", &[0xff; 256]];
    let bytes = encode_entries(entries).unwrap();
    assert_eq!(bytes[..9], *b"\x00\x03abc\x00\x00\x01\x00");
    assert_eq!(decode_entries(&bytes, width(3)), Ok(entries.to_vec()));
    assert_eq!(
        decode_entries(&bytes, width(2)),
        Err(TileError::BytesBehindEntries { got: 258 })
    );
    assert_eq!(
        decode_entries(&bytes, width(4)),
        Err(TileError::EntriesCutOff { whole: 3 })
    );
    for length in 0..bytes.len() {
        assert!(decode_entries(&bytes[..length], width(3)).is_err());
    }
    assert_eq!(encode_entries([]), Err(TileError::WrongWidth { got: 0 }));
    assert_eq!(
        encode_entries([b"".as_slice(); 257]),
        Err(TileError::WrongWidth { got: 257 })
    );
    let long = vec![0; 65_536];
    assert_eq!(
        encode_entries([long.as_slice()]),
        Err(TileError::EntryTooLong { got: 65_536 })
    );
    assert!(encode_entries([&long[1..]]).is_ok());
}

proptest! {
    #[test]
    fn every_path_reads_back(level in 0_u8..64, index: u64, count in 1_u16..=256) {
        for path in [
            TilePath::Hashes(id(level, index), width(count)),
            TilePath::Entries(index, width(count)),
        ] {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }

    #[test]
    fn every_node_lies_in_the_tile_that_holds_its_leaves(level in 0_u8..64, seed: u64) {
        let node = NodeId::new(level, seed >> level).unwrap();
        let tile = TileId::holding(node);
        let leaves_log2 = u32::from(tile.level() + 1) * 8;
        prop_assert_eq!(node.first_leaf().checked_shr(leaves_log2).unwrap_or(0), tile.index());
        prop_assert_eq!(node.last_leaf().checked_shr(leaves_log2).unwrap_or(0), tile.index());
    }
}
