//! Records that several conditions hold for: one index is walked, the rest is checked against the
//! headers.
//!
//! Every index gives its entries in the order of the log, so whichever is walked gives the same
//! records in the same order, and a place in the log is all that a next page needs. The one that is
//! walked is the one that is expected to meet the fewest entries from there on.

use std::{cmp::Reverse, ops::Range};

use aimslog_proto::{
    statement::Header,
    tlog::{LeafIndex, TreeSize},
};

use super::{
    reader::{self, Listing, prefix_of, trailing},
    row::EntryRow,
    state::TypedRows,
};
use crate::store::{
    codec,
    state_db::{Rows, StateError},
};

/// Rows of each index that are looked at before one is chosen.
const PROBE: usize = 64;

/// What is asked for: entries of one organisation to which every condition applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Whose.
    pub organization: String,
    /// Of this kind.
    pub kind: Option<String>,
    /// About this, as it stands in the header.
    pub subject: Option<String>,
    /// Evidence for this control: scheme and id.
    pub control: Option<(String, String)>,
    /// Signed with one of these keys of a principal, in the order in which they were registered; none
    /// was valid together with another.
    pub signers: Option<Vec<[u8; 32]>>,
    /// Registered from this time on, in milliseconds.
    pub from_ms: Option<u64>,
    /// Registered before this time, in milliseconds.
    pub to_ms: Option<u64>,
    /// From this index on.
    pub start: u64,
    /// In front of this index.
    pub end: Option<u64>,
}

/// A part of a walk.
#[derive(Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Entries in the order of the log that one condition, and the bounds, hold for; the others are still to
    /// be checked.
    pub indices: Vec<LeafIndex>,
    /// No entry behind them is asked for.
    pub is_last: bool,
}

impl Selection {
    /// Whether the entry is one of those asked for, but for what its header says. Times and indices are
    /// bounds of the walk.
    pub fn admits_row(&self, entry: &EntryRow) -> bool {
        entry.organization == self.organization
            && self.kind.as_ref().is_none_or(|kind| *kind == entry.kind)
    }

    /// Whether the header decides as well.
    pub const fn asks_headers(&self) -> bool {
        self.subject.is_some() || self.control.is_some() || self.signers.is_some()
    }

    /// Whether the header is one of those asked for.
    pub fn admits_header(&self, header: &Header) -> bool {
        let subject = self.subject.as_ref();
        let control = self.control.as_ref();
        let signers = self.signers.as_ref();
        subject.is_none_or(|subject| *subject == header.subject)
            && control.is_none_or(|(scheme, id)| {
                let mut controls = header.controls.iter();
                controls.any(|control| control.scheme == *scheme && control.id == *id)
            })
            && signers.is_none_or(|keys| keys.contains(header.key.as_bytes()))
    }

    /// Every index that leads to the entries asked for; at least one.
    fn drivers(&self) -> Vec<Driver<'_>> {
        let organization = self.organization.as_str();
        let mut drivers = Vec::new();
        if let Some(subject) = &self.subject {
            drivers.push(Driver::Listing(Listing::Subject {
                organization,
                subject,
            }));
        }
        if let Some((scheme, id)) = &self.control {
            drivers.push(Driver::Listing(Listing::Control {
                organization,
                scheme,
                id,
            }));
        }
        if let Some(keys) = &self.signers {
            drivers.push(Driver::Signers { organization, keys });
        }
        if let Some(kind) = &self.kind {
            drivers.push(Driver::Listing(Listing::Kind { organization, kind }));
        }
        if drivers.is_empty() {
            drivers.push(Driver::All { organization });
        }
        drivers
    }

    /// The indices that times and indices bound.
    fn bounds(&self, rows: &(impl Rows + ?Sized)) -> Result<Range<u64>, StateError> {
        let registered_from = |time_ms: u64| {
            let first = codec::by_time(&self.organization, time_ms, 0);
            let range = prefix_of(&first, 8 + 8).starting_at(&first);
            let found = rows.scan(&range, 1)?;
            let found = found.first().map(|(key, _)| trailing(key)).transpose()?;
            Ok::<_, StateError>(found.map_or(u64::MAX, |index| index.0))
        };
        let from = self.from_ms.map(registered_from).transpose()?;
        let to = self.to_ms.map(registered_from).transpose()?;
        let start = self.start.max(from.unwrap_or(0));
        let end = self.end.unwrap_or(u64::MAX).min(to.unwrap_or(u64::MAX));
        Ok(start..end)
    }
}

/// An index that can be walked.
#[derive(Debug, Clone, Copy)]
enum Driver<'a> {
    Listing(Listing<'a>),
    /// The keys of a principal one after the other.
    Signers {
        organization: &'a str,
        keys: &'a [[u8; 32]],
    },
    /// All entries of the organisation.
    All {
        organization: &'a str,
    },
}

impl Driver<'_> {
    fn scan(
        self,
        rows: &(impl Rows + ?Sized),
        from: LeafIndex,
        limit: usize,
    ) -> Result<Vec<LeafIndex>, StateError> {
        match self {
            Self::Listing(listing) => reader::list(rows, listing, from, limit),
            Self::Signers { organization, keys } => {
                let mut found = Vec::new();
                for thumbprint in keys {
                    let listing = Listing::Signer {
                        organization,
                        thumbprint,
                    };
                    let left = limit.saturating_sub(found.len());
                    if left == 0 {
                        break;
                    }
                    found.extend(reader::list(rows, listing, from, left)?);
                }
                Ok(found)
            }
            Self::All { organization } => {
                // Registration times never go back, so what stands at or behind `from` has its time or a
                // later one.
                let Some(entry) = rows.value::<EntryRow>(&codec::entry(from.0))? else {
                    return Ok(Vec::new());
                };
                let first = codec::by_time(organization, entry.time_ms, from.0);
                let found = rows.scan(&prefix_of(&first, 8 + 8).starting_at(&first), limit)?;
                found.iter().map(|(key, _)| trailing(key)).collect()
            }
        }
    }
}

/// The index that meets the fewest entries from `from` on, as far as its first rows tell: one that ends
/// among them, the shortest of those, or the one whose rows lie furthest apart.
fn choose<'a>(
    rows: &(impl Rows + ?Sized),
    selection: &'a Selection,
    (from, probe): (LeafIndex, usize),
) -> Result<Driver<'a>, StateError> {
    let drivers = selection.drivers();
    if let [only] = drivers.as_slice() {
        return Ok(*only);
    }
    let mut best = None;
    for driver in drivers {
        let first = driver.scan(rows, from, probe)?;
        let reach = match first.last() {
            Some(last) if first.len() == probe => last.0,
            _ => u64::MAX,
        };
        let rank = (reach, Reverse(first.len()));
        if best.as_ref().is_none_or(|(other, _)| *other < rank) {
            best = Some((rank, driver));
        }
    }
    let (_, driver) = best.ok_or(StateError::Contradiction {
        what: "every selection has an index",
    })?;
    Ok(driver)
}

/// At most `limit` entries from `from` on that may be asked for.
pub fn walk(
    rows: &(impl Rows + ?Sized),
    selection: &Selection,
    from: LeafIndex,
    limit: usize,
) -> Result<Stretch, StateError> {
    walk_probing(rows, selection, from, (limit, PROBE))
}

fn walk_probing(
    rows: &(impl Rows + ?Sized),
    selection: &Selection,
    from: LeafIndex,
    (limit, probe): (usize, usize),
) -> Result<Stretch, StateError> {
    let bounds = selection.bounds(rows)?;
    let from = LeafIndex(from.0.max(bounds.start));
    if !TreeSize(bounds.end).contains(from) {
        return Ok(Stretch {
            indices: Vec::new(),
            is_last: true,
        });
    }
    let found = choose(rows, selection, (from, probe))?.scan(rows, from, limit)?;
    let all = found.len();
    let indices: Vec<LeafIndex> = found
        .into_iter()
        .filter(|index| bounds.contains(&index.0))
        .collect();
    Ok(Stretch {
        is_last: all < limit || indices.len() < all,
        indices,
    })
}

#[cfg(test)]
mod tests;
