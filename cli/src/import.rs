//! Registers from spreadsheets: a table, a mapping, and records with the cell of everything that is
//! wrong in them.

pub(crate) mod mapping;
pub(crate) mod memory;
mod path;
pub(crate) mod rows;
pub(crate) mod table;
mod value;
mod workbook;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::exit::UserError;
use table::{Table, TableError};

/// Most bytes of a file: larger registers are cut, or exported as JSON lines.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Reads the table of a CSV file or of a sheet of an XLSX workbook; `header` is the row of the names of
/// the columns, the first that is not empty where it is not given.
pub(crate) fn read_table(file: &Path, sheet: Option<&str>, header: Option<u32>) -> Result<Table> {
    let about = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(about)?.len();
    if size > FILE_BYTES_MAX {
        return Err(refused(file, &TableError::TooLarge { size }));
    }
    let bytes = std::fs::read(file).with_context(about)?;
    let table = match workbook::format_of(&bytes) {
        Some(format) => {
            format.map_err(|error| refused(file, &error))?;
            workbook::read(&bytes, sheet, header)
        }
        None if sheet.is_some() => Err(TableError::NoSheets),
        None => table::read_csv(file, &bytes, header),
    };
    table.map_err(|error| refused(file, &error))
}

fn refused(file: &Path, error: &TableError) -> anyhow::Error {
    UserError::usage(format!("{}: {error}", file.display()))
}
