//! Files as passages: lines of a text, cells of a table, each with its place.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use super::workbook;

/// Most bytes of a file.
pub(super) const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most cells of a table that hold something.
pub(super) const CELLS_MAX: usize = 1_000_000;
/// Most bytes of a cell or a line.
pub(super) const PASSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Why a file cannot be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SourceError {
    #[error("cannot read it")]
    Io(#[from] io::Error),
    #[error("more than {FILE_BYTES_MAX} bytes (32 MiB)")]
    TooLarge,
    #[error("{place}: more than {PASSAGE_BYTES_MAX} bytes")]
    PassageTooLarge { place: Place },
    #[error("{place}: more than {CELLS_MAX} cells hold something")]
    TooManyCells { place: Place },
    #[error("line {line}: no text in UTF-8")]
    NotUtf8 { line: usize },
    #[error("line {line}: {found} cells, and the heading has {expected}: the file may be cut off")]
    Ragged {
        line: u64,
        found: u64,
        expected: u64,
    },
    #[error("a quotation mark is not closed: the file may be cut off")]
    OpenQuote,
    #[error("line {line}: {what}")]
    Csv { line: u64, what: String },
    #[error("{found}; save it as .xlsx or as CSV in UTF-8")]
    OtherFormat { found: &'static str },
    #[error("the workbook is damaged or cut off ({what})")]
    Damaged { what: String },
    #[error("the workbook unpacks to more than {most} bytes")]
    Inflated { most: u64 },
    #[error("{place}: {what}")]
    Cell { place: Place, what: String },
    #[error("no column is headed {heading:?}; headings are: {headings}")]
    NoColumn { heading: String, headings: String },
}

/// Where a passage stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of a text, from 1.
    Line(usize),
    /// A cell of a CSV file: its line, and the heading or number of its column.
    Csv { line: u64, column: String },
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
                let row = u64::from(*row) + 1;
                write!(f, "{sheet}!{}{row}", letters(*column))
            }
        }
    }
}

/// A column as spreadsheets name it: A to Z, AA ...
fn letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(column) + 1;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or_default();
        letters.push(char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
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

impl Content {
    /// A formula begins with `=`, in whatever file it was saved.
    fn of(text: &str) -> Self {
        if text.starts_with('=') && text.len() > 1 {
            Self::Formula(text.to_owned())
        } else {
            Self::Text(text.to_owned())
        }
    }
}

/// Reads a file, by what its name ends with.
pub(super) fn read(file: &Path, columns: &[String]) -> Result<Vec<Passage>, SourceError> {
    let bytes = bytes_of(file)?;
    let extension = file.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_lowercase();
    if workbook::is_workbook(&bytes)? || extension == "xlsx" {
        return workbook::read(&bytes, columns);
    }
    let text = text_of(&bytes)?;
    match extension.as_str() {
        "csv" => csv(text, separator(text), columns),
        "tsv" => csv(text, b'\t', columns),
        _ => lines(text),
    }
}

fn bytes_of(file: &Path) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(SourceError::TooLarge);
    }
    Ok(bytes)
}

fn text_of(bytes: &[u8]) -> Result<&str, SourceError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        SourceError::NotUtf8 { line }
    })?;
    match text.bytes().position(|byte| byte == 0) {
        None => Ok(text),
        Some(_) => Err(SourceError::OtherFormat {
            found: "this is no text",
        }),
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

/// What separates the headings: spreadsheets of some countries write semicolons.
fn separator(text: &str) -> u8 {
    let heading = text.lines().next().unwrap_or_default();
    let count = |separator: char| heading.matches(separator).count();
    if count(';') > count(',') { b';' } else { b',' }
}

fn csv(text: &str, separator: u8, columns: &[String]) -> Result<Vec<Passage>, SourceError> {
    // After a carriage return the reader counts lines one behind.
    let text = text.replace("\r\n", "\n");
    // The reader takes the end of the file for the end of a quoted cell.
    if !text.matches('"').count().is_multiple_of(2) {
        return Err(SourceError::OpenQuote);
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let headings = reader.headers().map_err(|error| csv_error(&error))?;
    let headings: Vec<String> = headings.iter().map(|text| text.trim().to_owned()).collect();
    check_named(&headings, columns)?;
    let ids = id_columns(&headings, columns);
    let mut passages = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        for (index, cell) in record.iter().enumerate() {
            let name = headings.get(index).filter(|name| !name.is_empty());
            let place = Place::Csv {
                line,
                column: name.map_or_else(|| format!("column {}", index + 1), String::clone),
            };
            let holds_ids = ids.get(index).copied().unwrap_or_default();
            push(&mut passages, (place, holds_ids), Content::of(cell.trim()))?;
        }
    }
    Ok(passages)
}

/// Adds a cell that holds something.
pub(super) fn push(
    passages: &mut Vec<Passage>,
    (place, holds_ids): (Place, bool),
    content: Content,
) -> Result<(), SourceError> {
    let (Content::Text(text) | Content::Formula(text)) = &content;
    if text.is_empty() {
        return Ok(());
    }
    if text.len() > PASSAGE_BYTES_MAX {
        return Err(SourceError::PassageTooLarge { place });
    }
    if passages.len() >= CELLS_MAX {
        return Err(SourceError::TooManyCells { place });
    }
    passages.push(Passage {
        place,
        holds_ids,
        content,
    });
    Ok(())
}

fn csv_error(error: &csv::Error) -> SourceError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => SourceError::Ragged {
            line,
            found: *len,
            expected: *expected_len,
        },
        _ => SourceError::Csv {
            line,
            what: error.to_string(),
        },
    }
}

/// Which columns hold ids: those that were named, or else those whose heading says so.
pub(super) fn id_columns(headings: &[String], named: &[String]) -> Vec<bool> {
    const WORDS: [&str; 6] = [
        "control",
        "clause",
        "criteri",
        "requirement",
        "annex",
        "42001",
    ];
    let is_one = |heading: &String| {
        let lower = heading.to_lowercase();
        if named.is_empty() {
            WORDS.iter().any(|word| lower.contains(word))
        } else {
            named.iter().any(|one| one.eq_ignore_ascii_case(heading))
        }
    };
    headings.iter().map(is_one).collect()
}

/// Refuses the name of a column that none of these headings is.
pub(super) fn check_named(headings: &[String], named: &[String]) -> Result<(), SourceError> {
    let is_there = |heading: &&String| headings.iter().any(|one| one.eq_ignore_ascii_case(heading));
    match named.iter().find(|heading| !is_there(heading)) {
        None => Ok(()),
        Some(heading) => Err(SourceError::NoColumn {
            heading: heading.clone(),
            headings: headings.join(", "),
        }),
    }
}
