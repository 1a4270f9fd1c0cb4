//! Rows that tell what was read of them.

use std::cell::{Cell, RefCell};

use crate::{
    ledger::state::MemoryRows,
    store::{
        codec::Key,
        state_db::{Range, Row, Rows, StateError},
    },
};

/// Rows in memory, with how many were read, and which by their keys.
pub(crate) struct CountingRows<'a> {
    rows: &'a MemoryRows,
    by_key: RefCell<Vec<Key>>,
    scanned: Cell<usize>,
}

impl<'a> CountingRows<'a> {
    pub(crate) fn of(rows: &'a MemoryRows) -> Self {
        Self {
            rows,
            by_key: RefCell::default(),
            scanned: Cell::new(0),
        }
    }

    pub(crate) fn reset(&self) {
        self.by_key.borrow_mut().clear();
        self.scanned.set(0);
    }

    /// How many were read.
    pub(crate) fn read(&self) -> usize {
        self.by_key.borrow().len() + self.scanned.get()
    }

    /// How often this one was read by its key.
    pub(crate) fn read_of(&self, key: &Key) -> usize {
        self.by_key.borrow().iter().filter(|it| *it == key).count()
    }
}

impl Rows for CountingRows<'_> {
    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError> {
        self.by_key.borrow_mut().push(key.clone());
        self.rows.row(key)
    }

    fn scan(&self, range: &Range, limit: usize) -> Result<Vec<Row>, StateError> {
        let found = self.rows.scan(range, limit)?;
        self.scanned.set(self.scanned.get() + found.len().max(1));
        Ok(found)
    }
}
