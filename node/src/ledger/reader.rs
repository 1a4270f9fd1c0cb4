//! Questions about a snapshot of the state: entries, registers, heads.
//!
//! Nothing here decides who may ask: that is the business of the services. Every list is bounded
//! by the caller's limit and goes on from where the last page ended.

use aimslog_proto::{
    statement::EntryId,
    tlog::{LeafIndex, TreeSize},
};

use super::{
    heads::table,
    payload::PayloadRow,
    progress::newest_head,
    row::{EntityRow, EntryRow, HeadRow, Value},
    state::{TypedRows, read_index},
};
use crate::store::{
    codec::{self, Control, Key, RegisterPlace},
    state_db::{Range, Rows, StateError},
};

/// The entry at `index`.
pub fn entry(
    rows: &(impl Rows + ?Sized),
    index: LeafIndex,
) -> Result<Option<EntryRow>, StateError> {
    rows.value(&codec::entry(index.0))
}

/// At most `limit` consecutive entries from `from` on, with their indices.
pub fn entries(
    rows: &(impl Rows + ?Sized),
    from: LeafIndex,
    limit: usize,
) -> Result<Vec<(LeafIndex, EntryRow)>, StateError> {
    let first = codec::entry(from.0);
    rows.scan(&table(&first).starting_at(&first), limit)?
        .into_iter()
        .map(|(key, value)| {
            let entry = EntryRow::decode(&value).map_err(StateError::row(EntryRow::WHAT))?;
            Ok((trailing(&key)?, entry))
        })
        .collect()
}

/// Indices of at most `limit` system records, from `from` on.
pub fn system_indices(
    rows: &(impl Rows + ?Sized),
    from: LeafIndex,
    limit: usize,
) -> Result<Vec<LeafIndex>, StateError> {
    let first = codec::system(from.0);
    let mut table = first.clone();
    table.bytes.truncate(table.bytes.len().saturating_sub(8));
    rows.scan(&Range::of(&table).starting_at(&first), limit)?
        .iter()
        .map(|(key, _)| trailing(key))
        .collect()
}

/// What the ledger holds of an entry's content; `None` for system records, which are public.
pub fn payload(
    rows: &(impl Rows + ?Sized),
    index: LeafIndex,
) -> Result<Option<PayloadRow>, StateError> {
    rows.row(&codec::payload(index.0))?
        .map(|bytes| PayloadRow::decode(&bytes).map_err(StateError::row("payload")))
        .transpose()
}

/// The entity whose first version has this id.
pub fn entity(rows: &(impl Rows + ?Sized), id: &EntryId) -> Result<Option<EntityRow>, StateError> {
    rows.value(&codec::entity(id.as_bytes()))
}

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterName<'a> {
    /// Whose.
    pub organization: &'a str,
    /// Of which kind.
    pub kind: &'a str,
}

/// Number and version at which a listing of a register goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegisterFrom {
    /// Number of the entity, from 1.
    pub number: u64,
    /// Version of it, from 1.
    pub version: u32,
}

/// At most `limit` entries of a register, by number and version, from `from` on.
pub fn register(
    rows: &(impl Rows + ?Sized),
    name: RegisterName<'_>,
    from: RegisterFrom,
    limit: usize,
) -> Result<Vec<LeafIndex>, StateError> {
    let place = |RegisterFrom { number, version }| {
        let RegisterName { organization, kind } = name;
        codec::by_number(RegisterPlace {
            organization,
            kind,
            number,
            version,
        })
    };
    let first = place(from);
    // The key without number and version is the prefix of the register.
    let prefix = prefix_of(&first, 8 + 4);
    rows.scan(&prefix.starting_at(&first), limit)?
        .iter()
        .map(|(_, index)| read_index(index).map(LeafIndex))
        .collect()
}

/// Number of entities in a register.
pub fn register_size(
    rows: &(impl Rows + ?Sized),
    name: RegisterName<'_>,
) -> Result<u64, StateError> {
    let register: Option<super::row::RegisterRow> =
        rows.value(&codec::register(name.organization, name.kind))?;
    Ok(register.map_or(0, |register| register.entities))
}

/// A list of entries in log order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing<'a> {
    /// About one subject.
    Subject {
        /// Whose.
        organization: &'a str,
        /// The subject as it stands in the header.
        subject: &'a str,
    },
    /// Of one kind: for evidence the versions of a register.
    Kind {
        /// Whose.
        organization: &'a str,
        /// Of which kind.
        kind: &'a str,
    },
    /// Evidence for one control.
    Control {
        /// Whose.
        organization: &'a str,
        /// Of which catalogue.
        scheme: &'a str,
        /// The control.
        id: &'a str,
    },
    /// Signed by one key.
    Signer {
        /// Whose.
        organization: &'a str,
        /// The key's thumbprint.
        thumbprint: &'a [u8; 32],
    },
    /// That link to an entry by some relation.
    Link {
        /// The entry linked to.
        target: LeafIndex,
        /// By which relation.
        relation: &'a str,
    },
}

impl Listing<'_> {
    fn key(self, index: u64) -> Key {
        match self {
            Self::Subject {
                organization,
                subject,
            } => codec::by_subject(organization, subject, index),
            Self::Kind { organization, kind } => codec::by_kind(organization, kind, index),
            Self::Control {
                organization,
                scheme,
                id,
            } => codec::by_control(organization, Control { scheme, id }, index),
            Self::Signer {
                organization,
                thumbprint,
            } => codec::by_signer(organization, thumbprint, index),
            Self::Link { target, relation } => codec::by_link(target.0, relation, index),
        }
    }
}

/// At most `limit` indices of a listing, in log order, from `from` on.
pub fn list(
    rows: &(impl Rows + ?Sized),
    listing: Listing<'_>,
    from: LeafIndex,
    limit: usize,
) -> Result<Vec<LeafIndex>, StateError> {
    let first = listing.key(from.0);
    rows.scan(&prefix_of(&first, 8).starting_at(&first), limit)?
        .iter()
        .map(|(key, _)| trailing(key))
        .collect()
}

/// The head of this running number, if it is kept.
pub fn head(rows: &(impl Rows + ?Sized), number: u64) -> Result<Option<HeadRow>, StateError> {
    rows.value(&codec::head(number))
}

/// The newest publication of the largest tree.
pub fn largest_head(rows: &(impl Rows + ?Sized)) -> Result<Option<HeadRow>, StateError> {
    newest_head(rows)
}

/// The largest kept head of at most `size` entries; of several at one size, the newest.
pub fn head_at_or_below(
    rows: &(impl Rows + ?Sized),
    size: TreeSize,
) -> Result<Option<HeadRow>, StateError> {
    let all = table(&codec::head_by_size(0, 0));
    let range = match size.0.checked_add(1) {
        Some(next) => all.ending_before(&codec::head_by_size(next, 0)),
        None => all,
    };
    read_heads(rows, &range.newest_first(), 1).map(|mut heads| heads.pop())
}

/// The smallest kept head of at least `size` entries; of several at one size, the oldest.
pub fn head_at_or_above(
    rows: &(impl Rows + ?Sized),
    size: TreeSize,
) -> Result<Option<HeadRow>, StateError> {
    heads_from(rows, size, 1).map(|mut heads| heads.pop())
}

/// At most `limit` kept heads of at least `size` entries, by size and then by age, oldest first.
pub fn heads_from(
    rows: &(impl Rows + ?Sized),
    size: TreeSize,
    limit: usize,
) -> Result<Vec<HeadRow>, StateError> {
    let range = table(&codec::head_by_size(0, 0)).starting_at(&codec::head_by_size(size.0, 0));
    read_heads(rows, &range, limit)
}

fn read_heads(
    rows: &(impl Rows + ?Sized),
    range: &Range,
    limit: usize,
) -> Result<Vec<HeadRow>, StateError> {
    rows.scan(range, limit)?
        .iter()
        .map(|(_, number)| rows.expect_value(&codec::head(read_index(number)?)))
        .collect()
}

/// All keys that agree with `key` up to its last `tail` bytes.
pub(super) fn prefix_of(key: &Key, tail: usize) -> Range {
    let kept = key.bytes.len().saturating_sub(tail);
    let bytes = key.bytes.get(..kept).unwrap_or_default().to_vec();
    Range::of(&Key {
        family: key.family,
        bytes,
    })
}

pub(super) fn trailing(key: &[u8]) -> Result<LeafIndex, StateError> {
    codec::trailing_u64(key)
        .map(LeafIndex)
        .ok_or(StateError::Contradiction {
            what: "a key ends with an index",
        })
}
