//! Spreadsheets and CSV files as rows of cells, each with its place: one reader for all commands.
//!
//! A file is untrusted: what it claims of itself (sizes, references, dimensions) is checked or not
//! looked at, and everything that grows has a limit. What cannot be read for certain is refused, with
//! the cell or the line where it stands.

mod cells;
mod csv;
mod package;
mod strings;
mod styles;
pub(crate) mod table;
mod workbook;
mod xml;

use std::collections::BTreeMap;

pub(crate) use csv::{CsvShape, read_csv};
pub(crate) use package::is_workbook;
pub(crate) use workbook::Workbook;

/// Most bytes of a file: larger registers are cut, or exported as JSON lines.
pub(crate) const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most cells of a file that hold something, in all its sheets together.
pub(crate) const CELLS_MAX: usize = 1_000_000;
/// Most bytes that the texts of a file have together: many cells may stand for one shared text.
pub(crate) const TEXT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most rows and cells that are looked at for ranges, which may lie over each other.
const VISITS_MAX: usize = 10_000_000;
/// Columns of a sheet in every spreadsheet program.
const COLUMNS_MAX: u32 = 16_384;
/// Its rows.
const ROWS_MAX: u32 = 1_048_576;

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SheetError {
    #[error("more than {most} rows; cut the register into several files")]
    TooManyRows { most: usize },
    #[error("{place}: more than {most} columns")]
    TooManyColumns { place: String, most: u32 },
    #[error("more than {CELLS_MAX} cells that hold something; cut the register into several files")]
    TooManyCells,
    #[error("more than {TEXT_BYTES_MAX} bytes of text; cut the register into several files")]
    TooMuchText,
    #[error("{place}: more than {most} bytes in a cell")]
    CellTooLarge { place: String, most: usize },
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
    NotUtf8 { line: usize },
    #[error(
        "line {line}: a quotation mark is opened here and never closed: the file may be cut off"
    )]
    OpenQuote { line: u32 },
    #[error(
        "line {line}: text stands behind a closing quotation mark; the one that is opened at line {opened} \
         may not be closed where it should be"
    )]
    StrayQuote { line: u32, opened: u32 },
    #[error(
        "line {line}: {found} cells, and the header has {expected}: the file may be cut off, or a quotation \
         mark is missing"
    )]
    Ragged {
        line: u32,
        found: usize,
        expected: usize,
    },
    #[error("row {row} is to name the columns, and is empty")]
    NoHeader { row: u32 },
    #[error("no row holds anything")]
    Empty,
}

/// What a reader takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows in which something stands.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) columns: u32,
    /// Bytes of one cell.
    pub(crate) cell_bytes: usize,
}

/// A sheet of a workbook, or a CSV file: all rows in which something stands, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sheet {
    /// How messages call it: the sheet, or the file.
    pub(crate) name: String,
    /// Its rows.
    pub(crate) rows: Vec<Row>,
    /// What else it says of them; a CSV file says nothing.
    pub(crate) layout: Layout,
}

/// What a sheet says of its rows besides what stands in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Cells that are shown as one, whose value is that of the first.
    pub(crate) merged: Vec<Range>,
    /// Numbers of rows that are not shown, ascending.
    pub(crate) hidden_rows: Vec<u32>,
    /// First and last of columns that are not shown, from 0.
    pub(crate) hidden_columns: Vec<(u32, u32)>,
}

/// Cells that form a rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// First and last number of its rows, from 1.
    pub(crate) rows: (u32, u32),
    /// First and last of its columns, from 0.
    pub(crate) columns: (u32, u32),
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (left, right) = self.columns;
        let (top, bottom) = self.rows;
        write!(f, "{}{top}:{}{bottom}", letters(left), letters(right))
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Its number as spreadsheets show it, or the line of a CSV file at which it begins; from 1.
    pub(crate) number: u32,
    /// What stands in it, by column from 0.
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
    /// A day, and a time where there is one, which spreadsheets keep without a zone: `2026-11-02`,
    /// `2026-11-02T08:15:00`.
    Time(String),
    /// A formula: what it would give depends on other cells.
    Formula(String),
    /// An error, such as `#REF!`.
    Fault(String),
    /// What cannot be read for certain, and why.
    Unsure {
        /// What the file holds.
        found: String,
        /// What it would have to be.
        rule: &'static str,
    },
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
            | Self::Fault(text)
            | Self::Unsure { found: text, .. } => text,
            Self::Truth(true) => "true",
            Self::Truth(false) => "false",
        }
    }
}

/// What was read of a file so far: all sheets of a workbook have one budget.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    cells: usize,
    text_bytes: usize,
}

/// The cells of a sheet while it is read, within the limits.
struct Gathered {
    limits: Limits,
    spent: Spent,
    rows: BTreeMap<u32, BTreeMap<u32, Cell>>,
}

impl Gathered {
    fn new(limits: Limits, spent: Spent) -> Self {
        Self {
            limits,
            spent,
            rows: BTreeMap::new(),
        }
    }

    /// Adds what stands at a place, which `place` names; says whether nothing stood there.
    fn add(
        &mut self,
        (row, column): (u32, u32),
        cell: Cell,
        place: impl Fn() -> String,
    ) -> Result<bool, SheetError> {
        let Limits {
            rows,
            columns,
            cell_bytes,
        } = self.limits;
        if column >= columns {
            return Err(SheetError::TooManyColumns {
                place: place(),
                most: columns,
            });
        }
        let length = cell.words().len();
        if length > cell_bytes {
            return Err(SheetError::CellTooLarge {
                place: place(),
                most: cell_bytes,
            });
        }
        let spent = &mut self.spent;
        spent.cells += 1;
        spent.text_bytes = spent.text_bytes.saturating_add(length);
        if spent.cells > CELLS_MAX {
            return Err(SheetError::TooManyCells);
        }
        if spent.text_bytes > TEXT_BYTES_MAX {
            return Err(SheetError::TooMuchText);
        }
        let is_new = self.rows.entry(row).or_default().insert(column, cell);
        if self.rows.len() > rows {
            return Err(SheetError::TooManyRows { most: rows });
        }
        Ok(is_new.is_none())
    }

    fn into_rows(self) -> Vec<Row> {
        let rows = self.rows.into_iter();
        rows.map(|(number, cells)| Row { number, cells }).collect()
    }
}

/// The text of a file.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, SheetError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        SheetError::NotUtf8 { line }
    })?;
    if text.bytes().any(|byte| byte == 0) {
        let found = "this is no text";
        return Err(SheetError::OtherFormat { found });
    }
    Ok(text)
}

/// `Sheet1!C7`.
pub(crate) fn place(name: &str, column: u32, row: u32) -> String {
    format!("{name}!{}{row}", letters(column))
}

/// A column as spreadsheets name it: `A` to `Z`, `AA` and on.
pub(crate) fn letters(column: u32) -> String {
    let mut rest = u64::from(column) + 1;
    let mut letters = Vec::new();
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or_default();
        letters.push(char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

fn damaged(error: impl std::fmt::Display) -> SheetError {
    let what = error.to_string();
    SheetError::Damaged { what }
}

#[cfg(test)]
#[path = "sheet/tests.rs"]
mod tests;
