//! Registers from spreadsheets: a table, a mapping, and records with the cell of everything that is
//! wrong in them.

mod control;
pub(crate) mod links;
pub(crate) mod mapping;
pub(crate) mod memory;
mod path;
pub(crate) mod rows;
pub(crate) mod shown;
mod value;

use std::path::Path;

use anyhow::Result;

use crate::exit::UserError;
use crate::limited::{self, read_limited};
use crate::sheet::table::Table;
use crate::sheet::{
    CsvShape, FILE_BYTES_MAX, Limits, SheetError, Workbook, is_workbook, read_csv, text_of,
};

/// What a register has at most: a cell holds more than a text of a record may have.
const LIMITS: Limits = Limits {
    rows: 100_000,
    columns: 512,
    cell_bytes: 64 * 1024,
};

/// Reads the table of a CSV file or of a sheet of an XLSX workbook; `header` is the row of the names of
/// the columns (of a CSV file, its line), the first that is not empty where it is not given.
pub(crate) fn read_table(file: &Path, sheet: Option<&str>, header: Option<u32>) -> Result<Table> {
    let bytes = read_limited(file, FILE_BYTES_MAX, "a file to import")?;
    let name = limited::name_of(file);
    let table = table_of(&name, &bytes, (sheet, header));
    table.map_err(|error| UserError::usage(format!("{}: {error}", file.display())))
}

fn table_of(
    name: &str,
    bytes: &[u8],
    (sheet, header): (Option<&str>, Option<u32>),
) -> Result<Table, SheetError> {
    let sheet = if is_workbook(bytes)? {
        Workbook::open(bytes)?.sheet(sheet, LIMITS)?
    } else if sheet.is_some() {
        return Err(SheetError::NoSheets);
    } else {
        let shape = CsvShape {
            header,
            separator: None,
        };
        read_csv(name, text_of(bytes)?, shape, LIMITS)?
    };
    Table::new(sheet, header)
}

#[cfg(test)]
pub(crate) fn table_of_csv(text: &str) -> Table {
    table_of("nc.csv", text.as_bytes(), (None, None)).unwrap()
}
