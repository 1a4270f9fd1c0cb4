//! Tiles: the tree in immutable files of 256 hashes (C2SP tlog-tiles v0.1.0).
//!
//! Tile `n` of tile level `l` holds the 256 nodes of tree level `8 * l` from `256 * n` on. Seven
//! of eight tree levels are not stored: they are computed from the row below them. Tiles above
//! level 0 hold the roots of *full* lower tiles only; a partial tile is never hashed upward.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::hash::{Hash, LeafIndex, TreeSize};
use super::tree::NodeId;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Tree levels in a tile.
const TILE_HEIGHT: u8 = 8;

/// The number of hashes or entries in a tile or bundle: 1 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Width(u16);

impl Width {
    /// A full tile.
    pub const FULL: Self = Self(TILE_WIDTH);

    /// The width, or `None` outside 1 to 256: a tile of no hashes must not exist.
    pub const fn new(width: u16) -> Option<Self> {
        if width == 0 || width > TILE_WIDTH {
            None
        } else {
            Some(Self(width))
        }
    }

    /// The number of hashes, 1 to 256.
    pub const fn count(self) -> u16 {
        self.0
    }

    /// Whether nothing will be added any more.
    pub const fn is_full(self) -> bool {
        self.0 == TILE_WIDTH
    }
}

/// The coordinates of a tile: its level (0 to 63 in the path syntax) and its place on the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
}

impl TileId {
    /// The highest tile level that the path syntax knows.
    pub const LEVEL_MAX: u8 = 63;

    /// The tile, or `None` above [`TileId::LEVEL_MAX`].
    pub const fn new(level: u8, index: u64) -> Option<Self> {
        if level > Self::LEVEL_MAX {
            None
        } else {
            Some(Self { level, index })
        }
    }

    /// The tile level; tree level `8 * level` is its bottom row.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The place on the level, from 0.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The tile that holds a node, or the row below it.
    pub fn holding(node: NodeId) -> Self {
        Self {
            level: node.level() / TILE_HEIGHT,
            index: node.index() >> (TILE_HEIGHT - node.level() % TILE_HEIGHT),
        }
    }

    /// How wide this tile is in a tree of `size`; `None` where it does not exist yet.
    pub fn width_at(self, size: TreeSize) -> Option<Width> {
        let nodes = nodes_at(self.level, size);
        let before = self.index.checked_mul(u64::from(TILE_WIDTH))?;
        let here = nodes.checked_sub(before)?.min(u64::from(TILE_WIDTH));
        Width::new(u16::try_from(here).ok()?)
    }

    /// The full tiles that become complete with the leaf at `index`, lowest level first.
    pub fn completed_by(index: LeafIndex) -> Vec<Self> {
        // Each eight set bits at the low end of the index fill one more level.
        let levels = index.0.trailing_ones() / u32::from(TILE_HEIGHT);
        (0_u8..)
            .zip(0..levels)
            .map(|(level, _)| Self {
                level,
                index: index
                    .0
                    .checked_shr(u32::from(TILE_HEIGHT) * (u32::from(level) + 1))
                    .unwrap_or(0),
            })
            .collect()
    }

    /// The partial tiles at the right edge of a tree of `size`, lowest level first.
    pub fn partial_at(size: TreeSize) -> Vec<(Self, Width)> {
        let partial = |level| {
            let nodes = nodes_at(level, size);
            let width = Width::new(u16::try_from(nodes % u64::from(TILE_WIDTH)).ok()?)?;
            Some((
                Self {
                    level,
                    index: nodes / u64::from(TILE_WIDTH),
                },
                width,
            ))
        };
        (0..TILE_HEIGHT).filter_map(partial).collect()
    }
}

/// The number of complete nodes in the bottom row of a tile level.
fn nodes_at(level: u8, size: TreeSize) -> u64 {
    size.0
        .checked_shr(u32::from(TILE_HEIGHT) * u32::from(level))
        .unwrap_or(0)
}

/// The hashes of one tile, from left to right: one to 256 of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    id: TileId,
    hashes: Vec<Hash>,
}

impl Tile {
    /// A tile of these hashes: 1 to 256.
    pub fn new(id: TileId, hashes: Vec<Hash>) -> Result<Self, TileError> {
        match u16::try_from(hashes.len()).ok().and_then(Width::new) {
            Some(_) => Ok(Self { id, hashes }),
            None => Err(TileError::WrongWidth { got: hashes.len() }),
        }
    }

    /// Reads the bytes of a tile of exactly `width` hashes.
    pub fn decode(id: TileId, width: Width, bytes: &[u8]) -> Result<Self, TileError> {
        let expected = Hash::LEN * usize::from(width.count());
        let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
        if bytes.len() != expected || !rest.is_empty() {
            return Err(TileError::WrongLength {
                expected,
                got: bytes.len(),
            });
        }
        Ok(Self {
            id,
            hashes: hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect(),
        })
    }

    /// The bytes of the tile: 32 for each hash.
    pub fn encode(&self) -> Vec<u8> {
        self.hashes
            .iter()
            .flat_map(|hash| *hash.as_bytes())
            .collect()
    }

    /// Where the tile belongs.
    pub const fn id(&self) -> TileId {
        self.id
    }

    /// The hashes of the bottom row.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The hash of a node that this tile holds or that can be computed from its row.
    pub fn node(&self, node: NodeId) -> Result<Hash, TileError> {
        if TileId::holding(node) != self.id {
            return Err(TileError::OtherTile {
                node,
                tile: self.id,
            });
        }
        let height = node.level() % TILE_HEIGHT;
        let absent = TileError::BeyondWidth {
            node,
            width: self.hashes.len(),
        };
        let column = node.index() & ((1_u64 << (TILE_HEIGHT - height)) - 1);
        let Ok(first) = usize::try_from(column << height) else {
            return Err(absent);
        };
        let row = first
            .checked_add(1 << height)
            .and_then(|end| self.hashes.get(first..end));
        row.and_then(perfect_root).ok_or(absent)
    }

    /// The root of a full tile, which is one hash of the tile above; `None` for a partial tile.
    pub fn root(&self) -> Option<Hash> {
        if self.hashes.len() == usize::from(TILE_WIDTH) {
            perfect_root(&self.hashes)
        } else {
            None
        }
    }
}

/// The root of a perfect subtree; the caller gives a power of two of hashes.
fn perfect_root(row: &[Hash]) -> Option<Hash> {
    let mut row = row.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs
            .iter()
            .map(|[left, right]| Hash::node(left, right))
            .collect();
    }
    row.first().copied()
}

/// What a path below the log's prefix names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`.
    Hashes(TileId, Width),
    /// `tile/entries/<N>[.p/<W>]`: a bundle of entries.
    Entries(u64, Width),
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes(tile, width) => {
                write!(f, "tile/{}/", tile.level)?;
                (tile.index, width)
            }
            Self::Entries(index, width) => {
                f.write_str("tile/entries/")?;
                (*index, width)
            }
        };
        let mut groups = vec![index % 1000];
        let mut rest = index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        while let Some(group) = groups.pop() {
            let (prefix, end) = if groups.is_empty() {
                ("", "")
            } else {
                ("x", "/")
            };
            write!(f, "{prefix}{group:03}{end}")?;
        }
        if width.is_full() {
            Ok(())
        } else {
            write!(f, ".p/{}", width.count())
        }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    /// Reads the one spelling that [`TilePath`] prints.
    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let read = || -> Option<Self> {
            let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
            let (index, width) = match rest.split_once(".p/") {
                Some((index, width)) => (index, Width::new(decimal(width)?)?),
                None => (rest, Width::FULL),
            };
            let index = group_index(index)?;
            if level == "entries" {
                return Some(Self::Entries(index, width));
            }
            Some(Self::Hashes(TileId::new(decimal(level)?, index)?, width))
        };
        // One path for one tile, so that caches and servers cannot disagree about what it is.
        read()
            .filter(|read| read.to_string() == path)
            .ok_or(TilePathError)
    }
}

/// ASCII digits without sign; leading zeros are caught by printing again.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `x001/x234/067` is 1234067.
fn group_index(text: &str) -> Option<u64> {
    let mut index = 0_u64;
    for group in text.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(decimal(digits)?)?;
    }
    Some(index)
}

/// The path is not that of a tile or bundle, or not in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not the path of a tile or entry bundle")]
pub struct TilePathError;

/// The bytes of an entry bundle: for each entry its length (u16, big endian) and its bytes.
///
/// At most 256 entries of at most 65,535 bytes.
pub fn encode_entries<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    let mut count = 0_usize;
    for entry in entries {
        let Ok(length) = u16::try_from(entry.len()) else {
            return Err(TileError::EntryTooLong { got: entry.len() });
        };
        count += 1;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    if count == 0 || count > usize::from(TILE_WIDTH) {
        return Err(TileError::WrongWidth { got: count });
    }
    Ok(bytes)
}

/// The entries of a bundle of exactly `width` entries; nothing may follow them.
pub fn decode_entries(bytes: &[u8], width: Width) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(usize::from(width.count()));
    for _ in 0..width.count() {
        let cut = TileError::EntriesCutOff {
            whole: entries.len(),
        };
        let Some((length, after)) = rest.split_first_chunk::<2>() else {
            return Err(cut);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((entry, after)) = after.split_at_checked(length) else {
            return Err(cut);
        };
        entries.push(entry);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(TileError::BytesBehindEntries { got: rest.len() });
    }
    Ok(entries)
}

/// Why a tile or bundle is malformed or does not hold what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TileError {
    /// Not 1 to 256 hashes or entries.
    #[error("a tile holds 1 to 256, found {got}")]
    WrongWidth {
        /// Hashes or entries found.
        got: usize,
    },
    /// Not 32 bytes for each hash.
    #[error("the tile has {got} bytes, expected {expected}")]
    WrongLength {
        /// Bytes that the width asks for.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// The node lies in another tile.
    #[error("node {node:?} is not in tile {tile:?}")]
    OtherTile {
        /// The node asked for.
        node: NodeId,
        /// The tile at hand.
        tile: TileId,
    },
    /// The tile is partial and the node needs hashes that it does not have yet.
    #[error("node {node:?} lies beyond the {width} hashes of the tile")]
    BeyondWidth {
        /// The node asked for.
        node: NodeId,
        /// Hashes in the tile.
        width: usize,
    },
    /// An entry is longer than the length field can say.
    #[error("an entry has at most 65535 bytes, found {got}")]
    EntryTooLong {
        /// Bytes of the entry.
        got: usize,
    },
    /// The bundle ends within an entry.
    #[error("the bundle ends after {whole} whole entries")]
    EntriesCutOff {
        /// Whole entries before the end.
        whole: usize,
    },
    /// Bytes follow the last entry.
    #[error("{got} bytes follow the last entry")]
    BytesBehindEntries {
        /// Bytes too many.
        got: usize,
    },
}

#[cfg(test)]
mod tests;
