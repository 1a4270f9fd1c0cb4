//! A table as a spreadsheet holds it: named columns, rows, and the place of every cell.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Cell, Layout, Row, Sheet, SheetError, VISITS_MAX, damaged, letters, place};

/// What stands where cells are merged.
const MERGED: &str =
    "a cell of its own: merged cells hold one value, and only the first of them has it";

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// How messages call it: the sheet, or the file.
    pub(crate) name: String,
    /// Columns that have a name, by their number from 0.
    pub(crate) columns: BTreeMap<u32, String>,
    /// Rows below the header in which something stands.
    pub(crate) rows: Vec<Row>,
    /// What spreadsheet programs do not show of it.
    pub(crate) hidden: Hidden,
    /// The number of the row that names the columns.
    header: u32,
}

/// Columns and rows that hold something, and that spreadsheet programs do not show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Hidden {
    /// Names of columns.
    pub(crate) columns: Vec<String>,
    /// Numbers of rows.
    pub(crate) rows: Vec<u32>,
}

impl Table {
    /// The table of a sheet, whose first row that holds something, or the one numbered `header`, names
    /// the columns.
    pub(crate) fn new(sheet: Sheet, header: Option<u32>) -> Result<Self, SheetError> {
        let mut rows = sheet.rows.into_iter();
        let head = match header {
            None => rows.next().ok_or(SheetError::Empty)?,
            Some(number) => rows
                .find(|row| row.number == number)
                .ok_or(SheetError::NoHeader { row: number })?,
        };
        let columns = head.cells.into_iter();
        let columns = columns.map(|(column, cell)| (column, one_line(cell.words())));
        let mut table = Self {
            name: one_line(&sheet.name),
            columns: columns.collect(),
            rows: rows.collect(),
            hidden: Hidden::default(),
            header: head.number,
        };
        table.hidden = table.hidden_by(&sheet.layout);
        table.split_merged(&sheet.layout)?;
        Ok(table)
    }

    fn hidden_by(&self, layout: &Layout) -> Hidden {
        let is_hidden = |column: u32| {
            let mut hidden = layout.hidden_columns.iter();
            hidden.any(|(first, last)| (*first..=*last).contains(&column))
        };
        let columns = self
            .columns
            .iter()
            .filter(|(column, _)| is_hidden(**column));
        let rows = self.rows.iter().map(|row| row.number);
        Hidden {
            columns: columns.map(|(_, name)| name.clone()).collect(),
            rows: rows
                .filter(|row| layout.hidden_rows.binary_search(row).is_ok())
                .collect(),
        }
    }

    /// Of merged cells the first has a value: what the others would be is not guessed.
    fn split_merged(&mut self, layout: &Layout) -> Result<(), SheetError> {
        let mut visits = 0_usize;
        for range in &layout.merged {
            let first = self.rows.partition_point(|row| row.number < range.rows.0);
            let rows = self.rows.iter_mut().skip(first);
            for row in rows.take_while(|row| row.number <= range.rows.1) {
                visits += 1;
                for (column, _) in self.columns.range(range.columns.0..=range.columns.1) {
                    visits += 1;
                    if (row.number, *column) != (range.rows.0, range.columns.0) {
                        let found = format!("merged {range}");
                        row.cells.insert(
                            *column,
                            Cell::Unsure {
                                found,
                                rule: MERGED,
                            },
                        );
                    }
                }
                if visits > VISITS_MAX {
                    return Err(damaged("too many merged cells"));
                }
            }
        }
        Ok(())
    }

    /// The place of a cell, as in `Sheet1!C7`.
    pub(crate) fn place(&self, column: u32, row: u32) -> String {
        place(&self.name, column, row)
    }

    /// The place of a whole row.
    pub(crate) fn row_place(&self, row: u32) -> String {
        format!("{}!{row}", self.name)
    }

    /// The number of the column with this name; case and white space do not matter. Of several, the
    /// first.
    pub(crate) fn column(&self, name: &str) -> Option<u32> {
        self.columns_named(name).next()
    }

    /// Where the name of a column stands, if it stands there more than once.
    pub(crate) fn doubled(&self, name: &str) -> Option<Vec<String>> {
        let places: Vec<String> = self
            .columns_named(name)
            .map(|column| self.place(column, self.header))
            .collect();
        (places.len() > 1).then_some(places)
    }

    /// Columns that hold something and have no name, each with the first cell that does.
    pub(crate) fn unnamed(&self) -> Vec<String> {
        let mut first: BTreeMap<u32, u32> = BTreeMap::new();
        for row in &self.rows {
            for column in row.cells.keys() {
                if !self.columns.contains_key(column) {
                    first.entry(*column).or_insert(row.number);
                }
            }
        }
        let named = first
            .into_iter()
            .map(|(column, row)| format!("{} ({})", letters(column), self.place(column, row)));
        named.collect()
    }

    fn columns_named(&self, name: &str) -> impl Iterator<Item = u32> {
        let wanted = folded(name);
        let columns = self.columns.iter();
        columns
            .filter(move |(_, found)| folded(found) == wanted)
            .map(|(column, _)| *column)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn folded(name: &str) -> String {
    one_line(name).to_lowercase()
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
