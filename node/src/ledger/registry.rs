//! The registry of a state: replayed from the system records among its entries.

use aimslog_proto::{statement::UnverifiedStatement, system::registry::Registry, tlog::LeafIndex};

use super::{apply::ApplyError, reader, row::EntryRow, state::TypedRows};
use crate::store::{codec, state_db::Rows};

/// How many system records are read at a time.
const PAGE: usize = 256;

/// Who may do what, from all system records in `rows`. They are checked again on the way.
///
/// # Errors
/// When a record does not pass the check that it passed when it was logged: the state is damaged.
pub fn read(rows: &(impl Rows + ?Sized)) -> Result<Registry, ApplyError> {
    let mut registry = Registry::new();
    let mut from = LeafIndex(0);
    loop {
        let page = reader::system_indices(rows, from, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(registry);
        };
        from = LeafIndex(last.0 + 1);
        for LeafIndex(index) in page {
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
