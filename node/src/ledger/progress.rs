//! How far this node's ledger is: what cosigner, publisher and services watch.

use aimslog_proto::{
    time::UnixMillis,
    tlog::{Hash, RootHash, TreeHead, TreeSize},
};

use super::{
    heads::table,
    row::{Core, CorruptRow, CutRow, HeadRow, Value},
    state::{Overlay, TypedRows, read_index},
};
use crate::{
    raft::Position,
    store::{
        codec::{self, Key, Single},
        state_db::{Row, Rows, StateError},
    },
};

/// A snapshot of the ledger's progress on this node; a new one after every apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerProgress {
    /// The last applied Raft entry.
    pub applied: Option<Position>,
    /// Genesis is applied.
    pub founded: bool,
    /// The level of the state.
    pub level: u32,
    /// The newest registration time.
    pub time: UnixMillis,
    /// The term of the newest command that carried a registration time.
    pub time_term: Option<u64>,
    /// This node's own tree.
    pub tree: TreeHead,
    /// The newest cut, with what this node noted at it.
    pub cut: Option<CutNote>,
    /// The published head with the largest tree.
    pub head: Option<HeadNote>,
    /// The published head with the largest tree among those that satisfy the verifiers' policy.
    pub trusted_head: Option<HeadNote>,
    /// Set once this node's tree differs from a published one: it must serve, sign and lead nothing.
    pub corrupt: Option<CorruptRow>,
}

/// What this node noted at a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutNote {
    /// The cut's place in the Raft log.
    pub position: Position,
    /// Its registration time.
    pub time: UnixMillis,
    /// This node's tree there.
    pub tree: TreeHead,
}

/// A published head, without its note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadNote {
    /// Running number of the publication.
    pub number: u64,
    /// When it was published, in registration time.
    pub time: UnixMillis,
    /// Its size and root.
    pub tree: TreeHead,
}

impl From<&HeadRow> for HeadNote {
    fn from(row: &HeadRow) -> Self {
        Self {
            number: row.number,
            time: UnixMillis(row.time_ms),
            tree: tree_head(row.size, row.root),
        }
    }
}

/// Size and root as stored.
pub fn tree_head(size: u64, root: [u8; 32]) -> TreeHead {
    TreeHead {
        size: TreeSize(size),
        root: RootHash::from_hash(Hash::from_bytes(root)),
    }
}

impl LedgerProgress {
    /// The progress as the state holds it; `applied` is kept by the caller.
    ///
    /// # Errors
    /// When rows are damaged or missing.
    pub fn read(
        rows: &(impl Rows + ?Sized),
        applied: Option<Position>,
    ) -> Result<Self, StateError> {
        let Some(core) = rows.core()? else {
            return Ok(Self {
                applied,
                corrupt: corrupt(rows)?,
                ..Self::unfounded()
            });
        };
        let cut = newest_cut(rows)?;
        let heads = heads(rows, &core)?;
        Ok(Self::of(&core, applied, (cut, heads, corrupt(rows)?)))
    }

    /// The progress after these changes, given the one before them. What they do not touch is not
    /// looked for again.
    ///
    /// # Errors
    /// As [`LedgerProgress::read`].
    pub fn after<R: Rows + ?Sized>(
        &self,
        rows: &Overlay<'_, R>,
        applied: Option<Position>,
    ) -> Result<Self, StateError> {
        let Some(core) = rows.core()?.filter(|_| self.founded) else {
            return Self::read(rows, applied);
        };
        let touched = |key: &Key| rows.changes(&table(key));
        let cut = if touched(&codec::cut(0)) {
            newest_cut(rows)?
        } else {
            self.cut
        };
        let heads = if touched(&codec::head_by_size(0, 0)) {
            heads(rows, &core)?
        } else {
            (self.head, self.trusted_head)
        };
        Ok(Self::of(&core, applied, (cut, heads, corrupt(rows)?)))
    }

    fn of(core: &Core, applied: Option<Position>, (cut, heads, corrupt): Newest) -> Self {
        let (head, trusted_head) = heads;
        Self {
            applied,
            founded: true,
            level: core.level,
            time: UnixMillis(core.time_ms),
            time_term: Some(core.time_term.0),
            tree: core.frontier.head(),
            cut,
            head,
            trusted_head,
            corrupt,
        }
    }

    /// Before genesis.
    pub fn unfounded() -> Self {
        Self {
            applied: None,
            founded: false,
            level: 0,
            time: UnixMillis(0),
            time_term: None,
            tree: TreeHead::EMPTY,
            cut: None,
            head: None,
            trusted_head: None,
            corrupt: None,
        }
    }
}

type Newest = (Option<CutNote>, Heads, Option<CorruptRow>);

/// The newest published head, and the newest that satisfies the verifiers' policy.
type Heads = (Option<HeadNote>, Option<HeadNote>);

fn corrupt(rows: &(impl Rows + ?Sized)) -> Result<Option<CorruptRow>, StateError> {
    rows.value(&codec::single(Single::Corrupt))
}

fn heads(rows: &(impl Rows + ?Sized), core: &Core) -> Result<Heads, StateError> {
    let trusted = match core.trusted_head {
        Some(number) => Some(HeadNote::from(&rows.expect_value(&codec::head(number))?)),
        None => None,
    };
    Ok((newest_head(rows)?.as_ref().map(HeadNote::from), trusted))
}

/// The cut with the largest tree that is still noted.
pub fn newest_cut(rows: &(impl Rows + ?Sized)) -> Result<Option<CutNote>, StateError> {
    let Some((key, value)) = newest(rows, &codec::cut(0))? else {
        return Ok(None);
    };
    let size = codec::trailing_u64(&key).ok_or(StateError::Contradiction {
        what: "a cut's key ends with its size",
    })?;
    let row = CutRow::decode(&value).map_err(StateError::row(CutRow::WHAT))?;
    Ok(Some(CutNote {
        position: Position {
            term: row.term,
            leader: row.leader,
            index: row.raft_index,
        },
        time: UnixMillis(row.time_ms),
        tree: tree_head(size, row.root),
    }))
}

/// The published head with the largest tree; of several at one size, the newest.
pub fn newest_head(rows: &(impl Rows + ?Sized)) -> Result<Option<HeadRow>, StateError> {
    let Some((_, value)) = newest(rows, &codec::head_by_size(0, 0))? else {
        return Ok(None);
    };
    rows.expect_value(&codec::head(read_index(&value)?))
        .map(Some)
}

/// The last row of the table that `any` is a key of.
fn newest(rows: &(impl Rows + ?Sized), any: &Key) -> Result<Option<Row>, StateError> {
    let all = table(any).newest_first();
    Ok(rows.scan(&all, 1)?.pop())
}
