//! A table as a spreadsheet holds it: named columns, rows, and the place of every cell.

use std::collections::BTreeMap;
use std::path::Path;

/// Most rows of a table.
pub(crate) const ROWS_MAX: usize = 100_000;
/// Most columns.
pub(crate) const COLUMNS_MAX: u32 = 512;
/// Most cells that hold something.
pub(crate) const CELLS_MAX: usize = 1_000_000;
/// Most bytes of one cell: more than a text of a record may have.
pub(crate) const CELL_BYTES_MAX: usize = 64 * 1024;

/// Why a file is no table that records can be made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TableError {
    #[error("{size} bytes; a file to import has at most 33554432 (32 MiB)")]
    TooLarge { size: u64 },
    #[error("more than {ROWS_MAX} rows; cut the register into several files")]
    TooManyRows,
    #[error("{place}: more than {COLUMNS_MAX} columns")]
    TooManyColumns { place: String },
    #[error("more than {CELLS_MAX} cells that hold something; cut the register into several files")]
    TooManyCells,
    #[error("{place}: a cell holds more than {CELL_BYTES_MAX} bytes")]
    CellTooLarge { place: String },
    #[error("{found}; save it as .xlsx or as CSV in UTF-8")]
    OtherFormat { found: &'static str },
    #[error("the workbook is damaged or cut off ({what})")]
    Damaged { what: String },
    #[error("the workbook unpacks to more than {most} bytes")]
    Inflated { most: u64 },
    #[error("{part} unpacks to more than {ratio} times its size: no register is like that")]
    Bomb { part: String, ratio: u64 },
    #[error("there is no sheet {found:?}; sheets are: {sheets}")]
    NoSuchSheet { found: String, sheets: String },
    #[error("several sheets; --sheet says which: {sheets}")]
    WhichSheet { sheets: String },
    #[error("a CSV file has no sheets")]
    NoSheets,
    #[error("line {line}: no text in UTF-8; save it as CSV in UTF-8")]
    NotUtf8 { line: u64 },
    #[error("line {line}: {rule}")]
    Csv { line: u64, rule: String },
    #[error("a quotation mark is not closed: the file may be cut off")]
    OpenQuote,
    #[error(
        "{place}: {found} cells, and the header has {expected}: the file may be cut off, or a quotation mark is missing"
    )]
    Ragged {
        place: String,
        found: usize,
        expected: usize,
    },
    #[error("row {row} is to name the columns, and is empty")]
    NoHeader { row: u32 },
    #[error("no row holds anything")]
    Empty,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// How messages call it: the sheet, or the file.
    pub(crate) name: String,
    /// Columns that have a name, by their number from 0.
    pub(crate) columns: BTreeMap<u32, String>,
    /// Rows below the header in which something stands.
    pub(crate) rows: Vec<Row>,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Its number as spreadsheets show it, from 1.
    pub(crate) number: u32,
    /// What stands in it, by column.
    pub(crate) cells: BTreeMap<u32, Cell>,
}

/// What stands in a cell; an empty one is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// A text, without white space around it.
    Text(String),
    /// A number in decimal digits.
    Number(String),
    /// TRUE or FALSE.
    Truth(bool),
    /// A date and a time, which spreadsheets keep without a zone: `2026-11-02T08:15:00`.
    Time(String),
    /// A formula: what it would give depends on other cells.
    Formula(String),
    /// An error, such as `#REF!`.
    Fault(String),
}

impl Table {
    /// The table of raw rows, whose first non-empty one, or the one numbered `header`, names the
    /// columns.
    pub(crate) fn new(
        name: String,
        raw: Vec<Row>,
        header: Option<u32>,
    ) -> Result<Self, TableError> {
        let mut rows = raw.into_iter().filter(|row| !row.cells.is_empty());
        let head = match header {
            None => rows.next().ok_or(TableError::Empty)?,
            Some(number) => rows
                .find(|row| row.number == number)
                .ok_or(TableError::NoHeader { row: number })?,
        };
        let columns = head.cells.into_iter();
        let columns = columns.map(|(column, cell)| (column, one_line(cell.words())));
        Ok(Self {
            name,
            columns: columns.collect(),
            rows: rows.collect(),
        })
    }

    /// The place of a cell, as in `Sheet1!C7`.
    pub(crate) fn place(&self, column: u32, row: u32) -> String {
        place(&self.name, column, row)
    }

    /// The place of a whole row.
    pub(crate) fn row_place(&self, row: u32) -> String {
        format!("{}!{row}", self.name)
    }

    /// The number of the column with this name; case and white space do not matter.
    pub(crate) fn column(&self, name: &str) -> Option<u32> {
        let wanted = folded(name);
        let found = self
            .columns
            .iter()
            .find(|(_, found)| folded(found) == wanted);
        found.map(|(column, _)| *column)
    }
}

impl Cell {
    /// A text cell, or none where the text is empty.
    pub(crate) fn text(text: &str) -> Option<Self> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        (!text.is_empty()).then(|| Self::Text(text.to_owned()))
    }

    /// What it says, as text.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Text(text)
            | Self::Number(text)
            | Self::Time(text)
            | Self::Formula(text)
            | Self::Fault(text) => text,
            Self::Truth(true) => "true",
            Self::Truth(false) => "false",
        }
    }
}

/// `Sheet1!C7`.
pub(crate) fn place(name: &str, column: u32, row: u32) -> String {
    format!("{name}!{}{row}", letters(column))
}

/// `A` to `Z`, `AA` and on.
fn letters(column: u32) -> String {
    let mut rest = column + 1;
    let mut letters = Vec::new();
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or_default();
        letters.push(char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn folded(name: &str) -> String {
    one_line(name).to_lowercase()
}

/// Reads a CSV file: separated by commas, semicolons or tabs, whichever the header has most of.
pub(crate) fn read_csv(
    file: &Path,
    bytes: &[u8],
    header: Option<u32>,
) -> Result<Table, TableError> {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Err(error) = str::from_utf8(bytes) {
        let before = bytes.iter().take(error.valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count();
        let line = u64::try_from(line).unwrap_or(u64::MAX).saturating_add(1);
        return Err(TableError::NotUtf8 { line });
    }
    let is_open = bytes
        .iter()
        .filter(|byte| **byte == b'"')
        .fold(false, |open, _| !open);
    if is_open && !bytes.ends_with(b"\n") {
        return Err(TableError::OpenQuote);
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(bytes))
        .from_reader(bytes);
    let mut raw = Vec::new();
    let mut expected = None;
    let mut cells = 0;
    for (number, record) in (1..).zip(reader.records()) {
        let record = record.map_err(|error| TableError::Csv {
            line: error.position().map_or(0, csv::Position::line),
            rule: error.to_string(),
        })?;
        let row = csv_row(&name, number, &record)?;
        cells += row.cells.len();
        if cells > CELLS_MAX {
            return Err(TableError::TooManyCells);
        }
        if row.cells.is_empty() {
            continue;
        }
        // Spreadsheets write as many separators in each row: one with fewer was cut. What stands above
        // the header is no part of the table.
        if header.is_none_or(|header| number >= header) {
            let expected = *expected.get_or_insert(record.len());
            if record.len() != expected {
                return Err(TableError::Ragged {
                    place: format!("{name}!{number}"),
                    found: record.len(),
                    expected,
                });
            }
        }
        raw.push(row);
        if raw.len() > ROWS_MAX {
            return Err(TableError::TooManyRows);
        }
    }
    Table::new(name, raw, header)
}

fn csv_row(name: &str, number: u32, record: &csv::StringRecord) -> Result<Row, TableError> {
    let mut cells = BTreeMap::new();
    for (column, text) in (0..).zip(record) {
        if column >= COLUMNS_MAX {
            let place = format!("{name}!{number}");
            return Err(TableError::TooManyColumns { place });
        }
        if text.len() > CELL_BYTES_MAX {
            let place = place(name, column, number);
            return Err(TableError::CellTooLarge { place });
        }
        if let Some(cell) = Cell::text(text) {
            let cell = match cell {
                Cell::Text(text) if text.starts_with('=') => Cell::Formula(text),
                cell => cell,
            };
            cells.insert(column, cell);
        }
    }
    Ok(Row { number, cells })
}

fn delimiter(bytes: &[u8]) -> u8 {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let header = lines
        .find(|line| !line.iter().all(u8::is_ascii_whitespace))
        .unwrap_or_default();
    let count = |delimiter: u8| header.split(|byte| *byte == delimiter).count();
    // The first of the most, so that a header of one column is read as CSV.
    let mut best = b',';
    for delimiter in [b';', b'\t'] {
        if count(delimiter) > count(best) {
            best = delimiter;
        }
    }
    best
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
