//! The registry of a state: replayed from the system records among its entries.

use aimslog_proto::{statement::UnverifiedStatement, system::registry::Registry, tlog::LeafIndex};

use super::{apply::ApplyError, row::EntryRow, state::TypedRows};
use crate::store::{
    codec::{self, Key},
    state_db::{Range, Rows, StateError},
};

/// How many system records are read at a time.
const PAGE: usize = 256;

/// Who may do what, from all system records in `rows`. They are checked again on the way.
///
/// # Errors
/// When a record does not pass the check that it passed when it was logged: the state is damaged.
pub fn read(rows: &(impl Rows + ?Sized)) -> Result<Registry, ApplyError> {
    let mut registry = Registry::new();
    let mut from = codec::system(0);
    loop {
        let page = records(rows, &from)?;
        let Some(last) = page.last() else {
            return Ok(registry);
        };
        from = codec::system(last + 1);
        for index in page {
            let entry: EntryRow = rows.expect_value(&codec::entry(index))?;
            let statement = UnverifiedStatement::parse(&entry.statement)
                .map_err(|source| ApplyError::StoredStatement { index, source })?;
            registry
                .apply(LeafIndex(index), &statement)
                .map_err(|source| ApplyError::StoredRecord {
                    index,
                    source: Box::new(source),
                })?;
        }
    }
}

/// Indices of system records, from this key on.
fn records(rows: &(impl Rows + ?Sized), from: &Key) -> Result<Vec<u64>, StateError> {
    let table = Key {
        family: from.family,
        bytes: from.bytes.get(..1).unwrap_or_default().into(),
    };
    rows.scan(&Range::of(&table).starting_at(from), PAGE)?
        .iter()
        .map(|(key, _)| {
            codec::trailing_u64(key).ok_or(StateError::Contradiction {
                what: "a system key ends with its index",
            })
        })
        .collect()
}
