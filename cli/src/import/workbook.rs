//! The sheets of an XLSX workbook. A workbook is a ZIP file of XML: what it unpacks to is measured
//! before it is read, and cells are taken one by one, so that neither a small file nor a cell far
//! away costs more than the limits say.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read as _};

use calamine::{DataRef, Reader as _, Xlsx, XlsxError, XlsxFormulaMetadata};
use zip::ZipArchive;

use super::table::{
    CELL_BYTES_MAX, CELLS_MAX, COLUMNS_MAX, Cell, ROWS_MAX, Row, Table, TableError, place,
};

/// Most bytes that all parts of a workbook unpack to.
const INFLATED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Parts larger than this may not unpack to more than [`RATIO_MAX`] times their size.
const RATIO_FREE_BYTES: u64 = 4 * 1024 * 1024;
const RATIO_MAX: u64 = 200;
/// Most parts of a workbook.
const PARTS_MAX: usize = 10_000;

/// Whether the bytes are a workbook: nothing where they may be CSV, an error where they are one of
/// another format.
pub(crate) fn format_of(bytes: &[u8]) -> Option<Result<(), TableError>> {
    let other = |found| Some(Err(TableError::OtherFormat { found }));
    match bytes {
        [b'P', b'K', 3 | 5 | 7, ..] => Some(measure(bytes)),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => other(
            "this is a workbook of Excel 97 to 2003 (.xls), or one that is locked with a password",
        ),
        [b'%', b'P', b'D', b'F', ..] => other("this is a PDF file"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => other("this is text in UTF-16"),
        _ => {
            let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            match start {
                Some(b'<') => other("this is XML or HTML, which some programs save as .xls"),
                _ => None,
            }
        }
    }
}

/// Unpacks every part and throws it away: the sizes that a ZIP file names of itself may lie.
fn measure(bytes: &[u8]) -> Result<(), TableError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    // A part whose name is no text is none that a workbook needs; its size counts all the same.
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .collect();
    let has = |name: &str| names.iter().any(|found| found.eq_ignore_ascii_case(name));
    if has("xl/workbook.bin") {
        let found = "this is a binary workbook (.xlsb)";
        return Err(TableError::OtherFormat { found });
    }
    if has("content.xml") {
        let found = "this is an OpenDocument file (.ods)";
        return Err(TableError::OtherFormat { found });
    }
    if !has("xl/workbook.xml") {
        let found = "this is a ZIP file and no workbook";
        return Err(TableError::OtherFormat { found });
    }
    if archive.len() > PARTS_MAX {
        let what = format!("{} parts", archive.len());
        return Err(TableError::Damaged { what });
    }
    let mut room = INFLATED_BYTES_MAX;
    for index in 0..archive.len() {
        let part = archive.by_index(index).map_err(damaged)?;
        let name = part.name().map_or_else(|_| index.to_string(), Into::into);
        let packed = part.compressed_size().max(1);
        let most = RATIO_FREE_BYTES.max(packed.saturating_mul(RATIO_MAX));
        let mut part = part.take(room.min(most).saturating_add(1));
        let size = io::copy(&mut part, &mut io::sink()).map_err(damaged)?;
        if size > most {
            let ratio = RATIO_MAX;
            return Err(TableError::Bomb { part: name, ratio });
        }
        room = room.checked_sub(size).ok_or(TableError::Inflated {
            most: INFLATED_BYTES_MAX,
        })?;
    }
    Ok(())
}

fn damaged(error: impl std::fmt::Display) -> TableError {
    let what = error.to_string();
    TableError::Damaged { what }
}

/// Reads a sheet of a workbook that was measured; without a name, the only one.
pub(crate) fn read(
    bytes: &[u8],
    sheet: Option<&str>,
    header: Option<u32>,
) -> Result<Table, TableError> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let sheets = workbook.sheet_names();
    let all = sheets.join(", ");
    let sheet = match (sheet, sheets.as_slice()) {
        (Some(found), sheets) => {
            let known = sheets
                .iter()
                .find(|sheet| sheet.eq_ignore_ascii_case(found));
            let found = found.to_owned();
            known
                .cloned()
                .ok_or(TableError::NoSuchSheet { found, sheets: all })?
        }
        (None, [only]) => only.clone(),
        (None, []) => return Err(TableError::Empty),
        (None, _) => return Err(TableError::WhichSheet { sheets: all }),
    };
    let rows = rows(&mut workbook, &sheet)?;
    Table::new(sheet, rows, header)
}

fn rows(workbook: &mut Xlsx<Cursor<&[u8]>>, sheet: &str) -> Result<Vec<Row>, TableError> {
    let mut reader = workbook.worksheet_cells_reader(sheet).map_err(unreadable)?;
    let mut rows: BTreeMap<u32, BTreeMap<u32, Cell>> = BTreeMap::new();
    let mut count = 0;
    while let Some(cell) = reader
        .next_cell_with_formula_metadata()
        .map_err(unreadable)?
    {
        let (row, column) = cell.pos;
        let number = row.saturating_add(1);
        let Some(value) = value(cell.value, cell.formula) else {
            continue;
        };
        if column >= COLUMNS_MAX {
            let place = place(sheet, column, number);
            return Err(TableError::TooManyColumns { place });
        }
        if value.words().len() > CELL_BYTES_MAX {
            let place = place(sheet, column, number);
            return Err(TableError::CellTooLarge { place });
        }
        count += 1;
        if count > CELLS_MAX {
            return Err(TableError::TooManyCells);
        }
        rows.entry(number).or_default().insert(column, value);
        if rows.len() > ROWS_MAX {
            return Err(TableError::TooManyRows);
        }
    }
    let rows = rows.into_iter();
    Ok(rows.map(|(number, cells)| Row { number, cells }).collect())
}

fn value(value: DataRef<'_>, formula: Option<XlsxFormulaMetadata>) -> Option<Cell> {
    match formula {
        None => {}
        Some(
            XlsxFormulaMetadata::Normal { formula } | XlsxFormulaMetadata::Shared { formula, .. },
        ) => {
            return Some(Cell::Formula(format!("={formula}")));
        }
        Some(_) => return Some(Cell::Formula("= as in another cell".to_owned())),
    }
    match value {
        DataRef::Empty => None,
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            Cell::text(&text)
        }
        DataRef::SharedString(text) => Cell::text(text),
        DataRef::Int(number) => Some(Cell::Number(number.to_string())),
        DataRef::Float(number) => Some(Cell::Number(number.to_string())),
        DataRef::Bool(truth) => Some(Cell::Truth(truth)),
        DataRef::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            Some(Cell::Time(format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
            )))
        }
        DataRef::DateTime(time) => Some(Cell::Number(time.as_f64().to_string())),
        DataRef::Error(error) => Some(Cell::Fault(error.to_string())),
    }
}

/// What calamine says of a workbook that it cannot read.
fn unreadable(error: XlsxError) -> TableError {
    match error {
        XlsxError::Password => TableError::OtherFormat {
            found: "this workbook is locked with a password",
        },
        error => damaged(error),
    }
}

#[cfg(test)]
#[path = "workbook/tests.rs"]
mod tests;
