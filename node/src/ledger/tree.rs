//! The log's Merkle tree on rows: appending a leaf, reading any node.
//!
//! Full tiles are stored as tiles. The right edge is read from what lies below it: leaf hashes from
//! the entries, and for the higher levels the roots of the full tiles below, which are stored one
//! by one. So every row is written once and never changes.

use std::collections::BTreeMap;

use aimslog_proto::tlog::{
    ConsistencyPlan, ConsistencyProof, Frontier, Hash, InclusionPlan, InclusionProof, LeafHash,
    LeafIndex, MultiPlan, MultiProof, NodeId, RootHash, TreeSize,
};

use super::{
    row::{EntryRow, Value},
    state::Overlay,
};
use crate::store::{
    codec::{self, Key},
    state_db::{Range, Rows, StateError},
};

/// Hashes in a full tile, and levels of the tree in one level of tiles.
const TILE_WIDTH: u64 = 256;
const TILE_ROWS: usize = 256;
const TILE_HEIGHT: u8 = 8;

/// Appends a leaf whose entry row is in `overlay` already; writes the tiles that become full.
///
/// # Errors
/// When rows below are missing or damaged.
pub fn append<R: Rows + ?Sized>(
    overlay: &mut Overlay<'_, R>,
    frontier: &mut Frontier,
    leaf: LeafHash,
) -> Result<LeafIndex, StateError> {
    let mut roots = Vec::new();
    let index = frontier
        .push_with(leaf, |node, hash| {
            if node.level() > 0 && node.level().is_multiple_of(TILE_HEIGHT) {
                roots.push((node.level() / TILE_HEIGHT, node.index(), hash));
            }
        })
        .map_err(|_full| StateError::Contradiction {
            what: "the tree has 2^64 - 1 leaves",
        })?;
    write_full_tile(overlay, 0, index.0)?;
    for (level, number, hash) in roots {
        overlay.put(codec::tile_root(level, number), hash.as_bytes().to_vec());
        write_full_tile(overlay, level, number)?;
    }
    Ok(index)
}

/// Writes the tile that hash `last` of `level` completes, if it does.
fn write_full_tile<R: Rows + ?Sized>(
    overlay: &mut Overlay<'_, R>,
    level: u8,
    last: u64,
) -> Result<(), StateError> {
    if last % TILE_WIDTH != TILE_WIDTH - 1 {
        return Ok(());
    }
    let number = last / TILE_WIDTH;
    let hashes = edge(overlay, level, number)?;
    if hashes.len() as u64 != TILE_WIDTH {
        return Err(StateError::Contradiction {
            what: "a full tile has 256 hashes",
        });
    }
    let bytes = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    overlay.put(codec::tile(level, number), bytes);
    Ok(())
}

/// The hashes of a tile, full or as far as the tree goes.
///
/// # Errors
/// When rows are damaged.
pub fn tile(rows: &(impl Rows + ?Sized), level: u8, number: u64) -> Result<Vec<Hash>, StateError> {
    match rows.row(&codec::tile(level, number))? {
        Some(bytes) => {
            let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
            if rest.is_empty() && hashes.len() as u64 == TILE_WIDTH {
                Ok(hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect())
            } else {
                Err(StateError::Contradiction {
                    what: "a stored tile has 256 hashes",
                })
            }
        }
        None => edge(rows, level, number),
    }
}

/// The hashes of a tile from the rows below it.
fn edge(rows: &(impl Rows + ?Sized), level: u8, number: u64) -> Result<Vec<Hash>, StateError> {
    let first = number * TILE_WIDTH;
    let (key, prefix) = if level == 0 {
        (codec::entry(first), 1)
    } else {
        (codec::tile_root(level, first), 2)
    };
    // Table, and for tiles the level: what all keys of this edge begin with.
    let table = Key {
        family: key.family,
        bytes: key.bytes.get(..prefix).unwrap_or_default().to_vec(),
    };
    let range = Range::of(&table).starting_at(&key);
    let mut hashes = Vec::new();
    for (key, value) in rows.scan(&range, TILE_ROWS)? {
        // The right edge has no holes, so a row that is out of step is damage.
        if codec::trailing_u64(&key) != Some(first + hashes.len() as u64) {
            return Err(StateError::Contradiction {
                what: "the right edge has a hole",
            });
        }
        hashes.push(match level {
            0 => {
                let entry = EntryRow::decode(&value).map_err(StateError::row(EntryRow::WHAT))?;
                Hash::from_bytes(entry.leaf_hash)
            }
            _ => Hash::try_from(value.as_slice()).map_err(|_wrong| StateError::Contradiction {
                what: "a hash has 32 bytes",
            })?,
        });
    }
    Ok(hashes)
}

/// The hashes of perfect nodes, in the order asked for. Reads each tile once.
///
/// # Errors
/// [`StateError::Missing`] for a node that this tree does not have yet.
pub fn hashes(rows: &(impl Rows + ?Sized), nodes: &[NodeId]) -> Result<Vec<Hash>, StateError> {
    let mut tiles: BTreeMap<(u8, u64), Vec<Hash>> = BTreeMap::new();
    let mut hashes = Vec::with_capacity(nodes.len());
    for node in nodes {
        let (level, height) = (node.level() / TILE_HEIGHT, node.level() % TILE_HEIGHT);
        let first = node.index() << height;
        let at = (level, first / TILE_WIDTH);
        let tile = match tiles.entry(at) {
            std::collections::btree_map::Entry::Occupied(tile) => tile.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(tile(rows, at.0, at.1)?)
            }
        };
        let start = (first % TILE_WIDTH) as usize;
        let below = tile
            .get(start..start + (1 << height))
            .ok_or(StateError::Missing {
                what: "node of the tree",
            })?;
        hashes.push(fold(below).ok_or(StateError::Missing {
            what: "node of the tree",
        })?);
    }
    Ok(hashes)
}

/// The root of a perfect tree over `leaves`, of which there is a power of two.
fn fold(leaves: &[Hash]) -> Option<Hash> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs
            .iter()
            .map(|[left, right]| Hash::node(left, right))
            .collect();
    }
    level.pop()
}

/// The frontier that the tree had at `size`.
///
/// # Errors
/// [`StateError::Missing`] beyond the tree.
pub fn frontier_at(rows: &(impl Rows + ?Sized), size: TreeSize) -> Result<Frontier, StateError> {
    let peaks = hashes(rows, &Frontier::plan(size))?;
    Frontier::from_peaks(size, peaks).map_err(|_wrong| StateError::Contradiction {
        what: "a plan and its hashes",
    })
}

/// The root that the tree had at `size`.
///
/// # Errors
/// [`StateError::Missing`] beyond the tree.
pub fn root_at(rows: &(impl Rows + ?Sized), size: TreeSize) -> Result<RootHash, StateError> {
    Ok(frontier_at(rows, size)?.root())
}

/// Proof that the leaf at `index` is in the tree of `size`; `None` where it is not.
///
/// # Errors
/// [`StateError::Missing`] for a size beyond the tree.
pub fn inclusion(
    rows: &(impl Rows + ?Sized),
    index: LeafIndex,
    size: TreeSize,
) -> Result<Option<InclusionProof>, StateError> {
    let Ok(plan) = InclusionPlan::new(index, size) else {
        return Ok(None);
    };
    plan.build(&hashes(rows, plan.nodes())?)
        .map(Some)
        .map_err(|_wrong| MISCOUNT)
}

/// Proof that the tree of `old` is the beginning of the tree of `new`; `None` unless `old` is the
/// smaller one and not empty.
///
/// # Errors
/// [`StateError::Missing`] for a size beyond the tree.
pub fn consistency(
    rows: &(impl Rows + ?Sized),
    [old, new]: [TreeSize; 2],
) -> Result<Option<ConsistencyProof>, StateError> {
    let Ok(plan) = ConsistencyPlan::new(old, new) else {
        return Ok(None);
    };
    plan.build(&hashes(rows, plan.nodes())?)
        .map(Some)
        .map_err(|_wrong| MISCOUNT)
}

/// One proof that all of these leaves, in strictly increasing order, are in the tree of `size`;
/// `None` where they are not.
///
/// # Errors
/// [`StateError::Missing`] for a size beyond the tree.
pub fn multi(
    rows: &(impl Rows + ?Sized),
    indices: Vec<LeafIndex>,
    size: TreeSize,
) -> Result<Option<MultiProof>, StateError> {
    let Ok(plan) = MultiPlan::new(indices, size) else {
        return Ok(None);
    };
    plan.build(&hashes(rows, plan.nodes())?)
        .map(Some)
        .map_err(|_wrong| MISCOUNT)
}

const MISCOUNT: StateError = StateError::Contradiction {
    what: "a plan and its hashes",
};
