//! Files as passages: lines of a text, cells of a table, each with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::limited::{name_of, read_input};
use crate::sheet::{
    Cell, CsvShape, FILE_BYTES_MAX, Limits, Sheet, SheetError, Workbook, is_workbook, letters,
    read_csv, text_of,
};

/// Most bytes of a cell or a line.
pub(super) const PASSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A sheet may be as large as it can be; how many of its cells hold something is bounded by the reader.
const LIMITS: Limits = Limits {
    rows: usize::MAX,
    columns: u32::MAX,
    cell_bytes: PASSAGE_BYTES_MAX,
};

/// Why a file cannot be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SourceError {
    #[error("{place}: more than {PASSAGE_BYTES_MAX} bytes")]
    PassageTooLarge { place: Place },
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error("no column is headed {heading:?}; headings are: {headings}")]
    NoColumn { heading: String, headings: String },
}

/// How tables are to be read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape<'a> {
    /// Headings of columns that hold ids; those that say so themselves where there are none.
    pub(super) columns: &'a [String],
    /// The row of the headings (of a CSV file, its line); the first in which something stands where it
    /// is not given.
    pub(super) header: Option<u32>,
}

/// Where a passage stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of a text, from 1.
    Line(usize),
    /// A cell of a CSV file: its line, and the heading or number of its column.
    Csv { line: u32, column: String },
    /// A cell of a sheet, as in `Sheet1!B3`.
    Cell {
        sheet: String,
        row: u32,
        column: u32,
    },
}

impl Place {
    /// The place of what begins at this character of the passage.
    pub(super) fn at(&self, column: usize) -> String {
        match self {
            Self::Line(line) => format!("{line}:{column}"),
            Self::Csv { .. } | Self::Cell { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Csv { line, column } => write!(f, "line {line}, {column}"),
            Self::Cell { sheet, row, column } => {
                write!(f, "{sheet}!{}{row}", letters(*column))
            }
        }
    }
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) place: Place,
    /// Numbers in it are ids.
    pub(super) holds_ids: bool,
    pub(super) content: Content,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    Formula(String),
}

impl From<Cell> for Content {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Formula(formula) => Self::Formula(formula),
            // 9.10 is 9.1 where a spreadsheet has taken it for a number: what it shows is what counts.
            cell => Self::Text(cell.words().to_owned()),
        }
    }
}

/// Reads a file, by what its name ends with; `-` is text on standard input.
pub(super) fn read(file: &Path, shape: Shape<'_>) -> Result<Vec<Passage>> {
    let bytes = read_input(file, FILE_BYTES_MAX, "a file to check")?;
    let extension = file.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_lowercase();
    let name = name_of(file);
    passages_of((&name, &extension), &bytes, shape).with_context(|| file.display().to_string())
}

fn passages_of(
    (name, extension): (&str, &str),
    bytes: &[u8],
    shape: Shape<'_>,
) -> Result<Vec<Passage>, SourceError> {
    if is_workbook(bytes)? || extension == "xlsx" {
        return workbook(bytes, shape);
    }
    let text = text_of(bytes)?;
    match extension {
        "csv" => csv((name, text), None, shape),
        "tsv" | "tab" => csv((name, text), Some(b'\t'), shape),
        _ => lines(text),
    }
}

fn lines(text: &str) -> Result<Vec<Passage>, SourceError> {
    let mut passages = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let place = Place::Line(number);
        if line.len() > PASSAGE_BYTES_MAX {
            return Err(SourceError::PassageTooLarge { place });
        }
        let content = Content::Text(line.to_owned());
        passages.push(Passage {
            place,
            holds_ids: false,
            content,
        });
    }
    Ok(passages)
}

fn csv(
    (name, text): (&str, &str),
    separator: Option<u8>,
    shape: Shape<'_>,
) -> Result<Vec<Passage>, SourceError> {
    let header = shape.header;
    let sheet = read_csv(name, text, CsvShape { header, separator }, LIMITS)?;
    let mut tables = Tables::new(shape);
    tables.add(sheet, |headings, row, column| {
        let number = || format!("column {}", u64::from(column) + 1);
        Place::Csv {
            line: row,
            column: headings.get(&column).cloned().unwrap_or_else(number),
        }
    });
    tables.passages()
}

/// All cells of all sheets that hold something.
fn workbook(bytes: &[u8], shape: Shape<'_>) -> Result<Vec<Passage>, SourceError> {
    let mut workbook = Workbook::open(bytes)?;
    let names: Vec<String> = workbook.names().map(ToOwned::to_owned).collect();
    let mut tables = Tables::new(shape);
    for name in names {
        let sheet = workbook.sheet(Some(&name), LIMITS)?;
        tables.add(sheet, |_, row, column| Place::Cell {
            sheet: name.clone(),
            row,
            column,
        });
    }
    tables.passages()
}

/// The tables of a file. Headings are no data: what stands in them says what the columns are.
struct Tables<'a> {
    shape: Shape<'a>,
    headings: Vec<String>,
    has_header: bool,
    passages: Vec<Passage>,
}

type Headings = BTreeMap<u32, String>;

impl<'a> Tables<'a> {
    fn new(shape: Shape<'a>) -> Self {
        Self {
            shape,
            headings: Vec::new(),
            has_header: false,
            passages: Vec::new(),
        }
    }

    fn add(&mut self, sheet: Sheet, place: impl Fn(&Headings, u32, u32) -> Place) {
        let is_header = |number: u32| self.shape.header.is_none_or(|header| number == header);
        let header = sheet.rows.iter().find(|row| is_header(row.number));
        let number = header.map(|row| row.number);
        let headings: Headings = header
            .map(|row| row.cells.iter())
            .into_iter()
            .flatten()
            .map(|(column, cell)| (*column, cell.words().to_owned()))
            .collect();
        self.has_header |= number.is_some();
        for row in sheet.rows {
            if number == Some(row.number) {
                continue;
            }
            let is_below = number.is_some_and(|header| header < row.number);
            for (column, cell) in row.cells {
                let heading = headings.get(&column).filter(|_| is_below);
                self.passages.push(Passage {
                    place: place(&headings, row.number, column),
                    holds_ids: heading
                        .is_some_and(|heading| holds_ids(heading, self.shape.columns)),
                    content: Content::from(cell),
                });
            }
        }
        self.headings.extend(headings.into_values());
    }

    /// Everything that was found, if there are the headings that were named.
    fn passages(self) -> Result<Vec<Passage>, SourceError> {
        if let Some(row) = self.shape.header.filter(|_| !self.has_header) {
            return Err(SheetError::NoHeader { row }.into());
        }
        let is_there = |wanted: &&String| {
            let mut headings = self.headings.iter();
            headings.any(|heading| heading.eq_ignore_ascii_case(wanted))
        };
        match self.shape.columns.iter().find(|wanted| !is_there(wanted)) {
            None => Ok(self.passages),
            Some(heading) => Err(SourceError::NoColumn {
                heading: heading.clone(),
                headings: self.headings.join(", "),
            }),
        }
    }
}

/// Whether a column holds ids: because it was named, or else because its heading says so.
fn holds_ids(heading: &str, named: &[String]) -> bool {
    const WORDS: [&str; 6] = [
        "control",
        "clause",
        "criteri",
        "requirement",
        "annex",
        "42001",
    ];
    if named.is_empty() {
        let lower = heading.to_lowercase();
        return WORDS.iter().any(|word| lower.contains(word));
    }
    named.iter().any(|one| one.eq_ignore_ascii_case(heading))
}
