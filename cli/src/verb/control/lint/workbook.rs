//! The cells of an XLSX workbook. It is a ZIP file of XML: what that unpacks to is measured before it is
//! read, and cells are taken one by one, so that one far away costs no more than one nearby.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read as _};

use calamine::{DataRef, Reader as _, SheetType, Xlsx, XlsxError};
use zip::ZipArchive;

use super::source::{Content, Passage, Place, SourceError, check_named, id_columns, push};

/// Most bytes that all parts of a workbook unpack to.
const INFLATED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Most parts of a workbook.
const PARTS_MAX: usize = 10_000;

/// Whether the bytes are a workbook that can be read; an error where they are one that cannot.
pub(super) fn is_workbook(bytes: &[u8]) -> Result<bool, SourceError> {
    let other = |found| Err(SourceError::OtherFormat { found });
    match bytes {
        [b'P', b'K', 3 | 5 | 7, ..] => measure(bytes).map(|()| true),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            other("a workbook of Excel 97 to 2003 (.xls), or one that is locked with a password")
        }
        [b'%', b'P', b'D', b'F', ..] => other("a PDF file"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => other("text in UTF-16"),
        _ => Ok(false),
    }
}

/// Unpacks every part and throws it away: the sizes that a ZIP file names of itself may lie.
fn measure(bytes: &[u8]) -> Result<(), SourceError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let names: Result<Vec<_>, _> = archive.file_names().collect();
    let names = names.map_err(damaged)?;
    let has = |name: &str| names.iter().any(|found| found.eq_ignore_ascii_case(name));
    let found = if has("xl/workbook.bin") {
        Some("a binary workbook (.xlsb)")
    } else if has("content.xml") {
        Some("an OpenDocument file (.ods)")
    } else if has("xl/workbook.xml") {
        None
    } else {
        Some("a ZIP file and no workbook")
    };
    if let Some(found) = found {
        return Err(SourceError::OtherFormat { found });
    }
    if archive.len() > PARTS_MAX {
        return Err(damaged(format!("{} parts", archive.len())));
    }
    let mut room = INFLATED_BYTES_MAX;
    for index in 0..archive.len() {
        let part = archive.by_index(index).map_err(damaged)?;
        let mut part = part.take(room.saturating_add(1));
        let size = io::copy(&mut part, &mut io::sink()).map_err(damaged)?;
        room = room.checked_sub(size).ok_or(SourceError::Inflated {
            most: INFLATED_BYTES_MAX,
        })?;
    }
    Ok(())
}

/// All cells of all sheets that hold something. The first row of a sheet is its heading.
pub(super) fn read(bytes: &[u8], columns: &[String]) -> Result<Vec<Passage>, SourceError> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let (mut passages, mut headings) = (Vec::new(), Vec::new());
    let sheets = workbook.sheets_metadata().iter();
    // A chart has no cells.
    let sheets = sheets.filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let names: Vec<String> = sheets.map(|sheet| sheet.name.clone()).collect();
    for sheet in names {
        let found = read_sheet(&mut workbook, (&sheet, columns), &mut passages)?;
        headings.extend(found);
    }
    check_named(&headings, columns)?;
    Ok(passages)
}

/// Adds the cells of a sheet, and gives its headings.
fn read_sheet(
    workbook: &mut Xlsx<Cursor<&[u8]>>,
    (sheet, columns): (&str, &[String]),
    passages: &mut Vec<Passage>,
) -> Result<Vec<String>, SourceError> {
    let mut reader = workbook.worksheet_cells_reader(sheet).map_err(unreadable)?;
    let mut heading: Option<(u32, BTreeMap<u32, String>)> = None;
    let mut ids: BTreeMap<u32, bool> = BTreeMap::new();
    let mut last = Place::Cell {
        sheet: sheet.to_owned(),
        row: 0,
        column: 0,
    };
    loop {
        let cell = reader.next_cell_with_formula().map_err(|error| {
            let what = format!("behind it the sheet cannot be read ({error})");
            let place = last.clone();
            SourceError::Cell { place, what }
        })?;
        let Some(cell) = cell else { break };
        let (row, column) = cell.pos;
        let content = match cell.formula {
            Some(formula) => Content::Formula(format!("={formula}")),
            None => Content::Text(words(&cell.value)),
        };
        let text = match &content {
            Content::Text(text) | Content::Formula(text) => text.clone(),
        };
        let place = Place::Cell {
            sheet: sheet.to_owned(),
            row,
            column,
        };
        last = place.clone();
        if text.is_empty() {
            continue;
        }
        let (first, headings) = heading.get_or_insert_with(|| (row, BTreeMap::new()));
        if row == *first {
            headings.insert(column, text);
        } else if ids.is_empty() {
            ids = marked(headings, columns);
        }
        let holds_ids = ids.get(&column).copied().unwrap_or_default();
        push(passages, (place, holds_ids), content)?;
    }
    let headings = heading.map(|(_, headings)| headings.into_values().collect());
    Ok(headings.unwrap_or_default())
}

/// The columns of a heading, each with whether it holds ids.
fn marked(headings: &BTreeMap<u32, String>, columns: &[String]) -> BTreeMap<u32, bool> {
    let names: Vec<String> = headings.values().cloned().collect();
    let marks = id_columns(&names, columns);
    headings.keys().copied().zip(marks).collect()
}

fn words(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.trim().to_owned()
        }
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::Int(number) => number.to_string(),
        // 9.10 is 9.1 where a spreadsheet has taken it for a number: what it shows is what counts.
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(truth) => truth.to_string(),
        DataRef::DateTime(time) => time.as_f64().to_string(),
        DataRef::Error(error) => error.to_string(),
    }
}

fn damaged(error: impl std::fmt::Display) -> SourceError {
    let what = error.to_string();
    SourceError::Damaged { what }
}

fn unreadable(error: XlsxError) -> SourceError {
    match error {
        XlsxError::Password => SourceError::OtherFormat {
            found: "a workbook that is locked with a password",
        },
        error => damaged(error),
    }
}
