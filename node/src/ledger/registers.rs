//! Registers as they stood in front of an entry.
//!
//! Nothing is counted for that: numbers are given in the order of the log and versions follow each
//! other in it, so the newest version in front of an entry is found by halving. The entity and the state
//! that it reached stand in the row of each version, so that nobody goes back through those before it.

use aimslog_proto::{statement::EntryId, tlog::LeafIndex};

use super::{
    reader::{RegisterName, prefix_of, register_size},
    row::EntryRow,
    state::{TypedRows, read_index},
};
use crate::store::{
    codec::{self, RegisterPlace},
    state_db::{Rows, StateError},
};

/// How much a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Entities.
    pub entities: u64,
    /// Versions of all of them.
    pub versions: u64,
}

/// One version of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where it stands.
    pub index: LeafIndex,
    /// The entity.
    pub entity: EntryId,
    /// The entry, with the state that the entity has behind it.
    pub entry: EntryRow,
}

impl Version {
    /// The version that this entry is, which stands at `index`.
    ///
    /// # Errors
    /// When the entry is no version of anything.
    pub fn of(index: LeafIndex, entry: EntryRow) -> Result<Self, StateError> {
        let entity = entry.entity.ok_or(StateError::Contradiction {
            what: "what stands in a register is a version of an entity",
        })?;
        Ok(Self {
            index,
            entity,
            entry,
        })
    }
}

/// Where this version of this entity stands, if that is in front of `at`.
pub fn place_before(
    rows: &(impl Rows + ?Sized),
    name: RegisterName<'_>,
    (number, version): (u64, u32),
    at: LeafIndex,
) -> Result<Option<LeafIndex>, StateError> {
    let place = RegisterPlace {
        organization: name.organization,
        kind: name.kind,
        number,
        version,
    };
    let index = rows.index(&codec::by_number(place))?;
    Ok(index.filter(|index| *index < at.0).map(LeafIndex))
}

/// How much the register held in front of `at`.
pub fn count_before(
    rows: &(impl Rows + ?Sized),
    name: RegisterName<'_>,
    at: LeafIndex,
) -> Result<Count, StateError> {
    let is_there = |number| Ok(place_before(rows, name, (number, 1), at)?.is_some());
    let behind = register_size(rows, name)?.saturating_add(1);
    let entities = last_that_holds(0, behind, is_there)?;
    let end = codec::by_kind(name.organization, name.kind, at.0);
    let range = prefix_of(&end, 8).ending_before(&end).newest_first();
    let newest = rows.scan(&range, 1)?;
    let newest = newest.first().map(|(_, position)| read_index(position));
    let versions = newest.transpose()?.map_or(0, |position| position + 1);
    Ok(Count { entities, versions })
}

/// Version and index of the entity's newest version in front of `at`; `None` where it has none there.
pub fn newest_before(
    rows: &(impl Rows + ?Sized),
    name: RegisterName<'_>,
    number: u64,
    at: LeafIndex,
) -> Result<Option<(u32, LeafIndex)>, StateError> {
    let place = |version: u64| match u32::try_from(version) {
        Ok(version) => place_before(rows, name, (number, version), at),
        Err(_more_than_there_can_be) => Ok(None),
    };
    if place(1)?.is_none() {
        return Ok(None);
    }
    // Most entities have few versions, and nobody knows how many had been there.
    let mut behind = 2;
    while place(behind)?.is_some() {
        behind *= 2;
    }
    let newest = last_that_holds(behind / 2, behind, |version| Ok(place(version)?.is_some()))?;
    let missing = StateError::Contradiction {
        what: "the versions of an entity have no gap",
    };
    match (u32::try_from(newest), place(newest)?) {
        (Ok(version), Some(index)) => Ok(Some((version, index))),
        _ => Err(missing),
    }
}

/// The last number from `first` on, which holds, to `behind`, which does not; what holds is without a
/// gap.
fn last_that_holds(
    first: u64,
    behind: u64,
    holds: impl Fn(u64) -> Result<bool, StateError>,
) -> Result<u64, StateError> {
    let (mut first, mut behind) = (first, behind);
    while behind.saturating_sub(first) > 1 {
        let middle = first + (behind - first) / 2;
        if holds(middle)? {
            first = middle;
        } else {
            behind = middle;
        }
    }
    Ok(first)
}

/// The version that stands at `index`. One read, however many versions there are.
///
/// # Errors
/// When the row is damaged or missing, or the entry is no version of anything.
pub fn version(rows: &(impl Rows + ?Sized), index: LeafIndex) -> Result<Version, StateError> {
    Version::of(index, rows.expect_value(&codec::entry(index.0))?)
}

#[cfg(test)]
mod tests;
