//! The rows of the `index` family: how entries are found by what their headers say.
//!
//! They follow from header, organisation, place and registration time of an entry alone, and hold
//! nothing of a payload: what is erased leaves no trace here, and is listed as before.

use aimslog_proto::statement::UnverifiedStatement;

use super::{
    row::EntryRow,
    state::{Overlay, TypedRows},
};
use crate::store::{
    codec::{self, Control, RegisterPlace},
    state_db::{Rows, StateError},
};

/// An entry that is about to be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed<'a> {
    /// Its row.
    pub(super) entry: &'a EntryRow,
    /// Its statement.
    pub(super) statement: &'a UnverifiedStatement,
    /// Its index.
    pub(super) index: u64,
    /// How many versions its register had before it; `None` for system records.
    pub(super) position: Option<u64>,
}

/// Writes every key of the `index` family for this entry.
pub(super) fn put<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    indexed: Indexed<'_>,
) -> Result<(), StateError> {
    let Indexed {
        entry,
        statement,
        index,
        position,
    } = indexed;
    let header = statement.header();
    let organization = entry.organization.as_str();
    rows.put_index(codec::by_id(statement.entry_id().as_bytes()), index);
    rows.put_index(codec::by_cti(organization, header.id.as_bytes()), index);
    let key = header.key.as_bytes();
    for key in [
        codec::by_subject(organization, &header.subject, index),
        codec::by_signer(organization, key, index),
        codec::by_time(organization, entry.time_ms, index),
    ] {
        rows.put(key, Vec::new());
    }
    let by_kind = codec::by_kind(organization, &entry.kind, index);
    match position {
        Some(position) => rows.put_index(by_kind, position),
        None => rows.put(by_kind, Vec::new()),
    }
    for control in &header.controls {
        let control = Control {
            scheme: &control.scheme,
            id: &control.id,
        };
        rows.put(codec::by_control(organization, control, index), Vec::new());
    }
    for link in header.links.iter().filter(|link| link.origin.is_none()) {
        if let Some(target) = rows.index(&codec::by_id(link.target.as_bytes()))? {
            rows.put(codec::by_link(target, &link.relation, index), Vec::new());
        }
    }
    if entry.number > 0 {
        let place = RegisterPlace {
            organization,
            kind: &entry.kind,
            number: entry.number,
            version: entry.version,
        };
        rows.put_index(codec::by_number(place), index);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
