//! Reading typed rows, and a layer of changes over rows that are not written yet.
//!
//! Apply works on an [`Overlay`]: it reads through to a snapshot, keeps what it changes in memory,
//! and hands the changes over as one write. So it has no effect of its own, a refused statement
//! leaves nothing behind, and later statements of a command see the earlier ones.

use std::collections::BTreeMap;

use super::row::{Core, Value};
use crate::store::{
    codec::{self, Key, Single},
    state_db::{Range, Row, Rows, StateError, Writes},
};

/// Typed reads over any [`Rows`].
pub trait TypedRows: Rows {
    /// The value under `key`.
    fn value<V: Value>(&self, key: &Key) -> Result<Option<V>, StateError> {
        self.row(key)?
            .map(|bytes| V::decode(&bytes).map_err(StateError::row(V::WHAT)))
            .transpose()
    }

    /// The value under `key`, which other rows say is there.
    fn expect_value<V: Value>(&self, key: &Key) -> Result<V, StateError> {
        self.value(key)?
            .ok_or(StateError::Missing { what: V::WHAT })
    }

    /// What every command reads; `None` before genesis.
    fn core(&self) -> Result<Option<Core>, StateError> {
        self.value(&codec::single(Single::Core))
    }

    /// A stored entry index.
    fn index(&self, key: &Key) -> Result<Option<u64>, StateError> {
        self.row(key)?.map(|bytes| read_index(&bytes)).transpose()
    }
}

impl<R: Rows + ?Sized> TypedRows for R {}

/// The entry index in a row of the `index` family.
pub fn read_index(bytes: &[u8]) -> Result<u64, StateError> {
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(StateError::Contradiction {
            what: "an index row has eight bytes",
        }),
    }
}

/// Changes over `base`.
#[derive(Debug)]
pub struct Overlay<'a, R: ?Sized> {
    base: &'a R,
    writes: Writes,
}

impl<'a, R: Rows + ?Sized> Overlay<'a, R> {
    /// No changes yet.
    pub fn new(base: &'a R) -> Self {
        Self {
            base,
            writes: Writes::new(),
        }
    }

    /// Puts bytes.
    pub fn put(&mut self, key: Key, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Puts a value.
    pub fn put_value(&mut self, key: Key, value: &impl Value) {
        self.put(key, value.encode());
    }

    /// Puts an entry index.
    pub fn put_index(&mut self, key: Key, index: u64) {
        self.put(key, index.to_be_bytes().to_vec());
    }

    /// Removes a row.
    pub fn remove(&mut self, key: Key) {
        self.writes.insert(key, None);
    }

    /// Whether anything in this range is put or removed.
    pub fn changes(&self, range: &Range) -> bool {
        range.from < range.to && self.writes.range(keys_in(range)).next().is_some()
    }

    /// All changes.
    pub fn into_writes(self) -> Writes {
        self.writes
    }
}

impl<R: Rows + ?Sized> Rows for Overlay<'_, R> {
    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.row(key),
        }
    }

    fn scan(&self, range: &Range, limit: usize) -> Result<Vec<Row>, StateError> {
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let changes: Vec<_> = self.writes.range(keys_in(range)).collect();
        // Each change hides at most one row below, so this many are enough for `limit` that stay.
        let below = self.base.scan(range, limit.saturating_add(changes.len()))?;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = below.into_iter().collect();
        for (key, value) in changes {
            match value {
                Some(value) => rows.insert(key.bytes.clone(), value.clone()),
                None => rows.remove(&key.bytes),
            };
        }
        Ok(directed(rows, range, limit))
    }
}

/// The keys of a range, which is not empty.
fn keys_in(range: &Range) -> std::ops::Range<Key> {
    let bound = |bytes: &Vec<u8>| Key {
        family: range.family,
        bytes: bytes.clone(),
    };
    bound(&range.from)..bound(&range.to)
}

/// The first `limit` of `rows` in the direction of `range`.
fn directed(rows: BTreeMap<Vec<u8>, Vec<u8>>, range: &Range, limit: usize) -> Vec<Row> {
    if range.newest_first {
        rows.into_iter().rev().take(limit).collect()
    } else {
        rows.into_iter().take(limit).collect()
    }
}

/// Rows in memory: an engine without a disk, for dry runs and as the other engine of the tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRows {
    rows: BTreeMap<Key, Vec<u8>>,
}

impl MemoryRows {
    /// Puts and removes what `writes` says.
    pub fn write(&mut self, writes: Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// All rows, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Vec<u8>)> {
        self.rows.iter()
    }
}

impl Rows for MemoryRows {
    fn row(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, range: &Range, limit: usize) -> Result<Vec<Row>, StateError> {
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let rows = self.rows.range(keys_in(range));
        let pair = |(key, value): (&Key, &Vec<u8>)| (key.bytes.clone(), value.clone());
        Ok(if range.newest_first {
            rows.rev().take(limit).map(pair).collect()
        } else {
            rows.take(limit).map(pair).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_over_rows_reads_like_the_rows_it_becomes() {
        let table = Key {
            family: codec::Family::Entries,
            bytes: vec![1],
        };
        let mut base = MemoryRows::default();
        base.write(
            (0..8)
                .map(|i| (codec::entry(2 * i), Some(vec![0])))
                .collect(),
        );
        for removed in 0..8 {
            for added in 0..16 {
                let mut overlay = Overlay::new(&base);
                overlay.remove(codec::entry(2 * removed));
                overlay.put(codec::entry(added), vec![1]);
                let mut written = base.clone();
                for limit in [0, 1, 3, 20] {
                    let ranges = [
                        Range::of(&table),
                        Range::of(&table).newest_first(),
                        Range::of(&table).starting_at(&codec::entry(3)),
                        Range::of(&table)
                            .ending_before(&codec::entry(9))
                            .newest_first(),
                    ];
                    let before: Vec<_> = ranges
                        .iter()
                        .map(|range| overlay.scan(range, limit).unwrap())
                        .collect();
                    written.write(overlay.writes.clone());
                    for (range, before) in ranges.iter().zip(before) {
                        assert_eq!(before, written.scan(range, limit).unwrap());
                    }
                }
            }
        }
    }
}
