//! CSV files (RFC 4180): separated by commas, semicolons or tabs, each row with the line at which it
//! begins.
//!
//! A quotation mark that is missing makes the rest of a file one cell, which is why the marks are
//! watched closely: one that is never closed, or behind which text stands, is refused with its line.

use std::borrow::Cow;

use super::{COLUMNS_MAX, Cell, Gathered, Layout, Limits, Sheet, SheetError, Spent, place};

/// What is known of a file before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CsvShape {
    /// The line of the row that names the columns; the first row in which something stands where it is
    /// not known.
    pub(crate) header: Option<u32>,
    /// What separates the cells; what the header has most of where it is not known.
    pub(crate) separator: Option<u8>,
}

/// Reads a CSV file. Rows from the header on have as many cells as it: spreadsheets write as many
/// separators in each, so one with fewer was cut. What stands above it is no part of the table.
pub(crate) fn read_csv(
    name: &str,
    text: &str,
    shape: CsvShape,
    limits: Limits,
) -> Result<Sheet, SheetError> {
    if text.trim_start().starts_with('<') {
        let found = "this is XML or HTML, which some programs save as .xls";
        return Err(SheetError::OtherFormat { found });
    }
    let separator = shape
        .separator
        .unwrap_or_else(|| separator(text, shape.header));
    let mut rows = Rows {
        text,
        at: 0,
        line: 1,
        separator,
    };
    let mut gathered = Gathered::new(limits, Spent::default());
    let mut expected = None;
    while let Some((line, cells)) = rows.next(name)? {
        let mut is_empty = true;
        for (column, text) in (0..).zip(&cells) {
            let Some(cell) = Cell::text(text) else {
                continue;
            };
            let cell = match cell {
                Cell::Text(text) if text.starts_with('=') => Cell::Formula(text),
                cell => cell,
            };
            is_empty = false;
            gathered.add((line, column), cell, || place(name, column, line))?;
        }
        let is_below = shape.header.is_none_or(|header| line >= header);
        if is_empty || !is_below {
            continue;
        }
        let expected = *expected.get_or_insert(cells.len());
        if cells.len() != expected {
            return Err(SheetError::Ragged {
                line,
                found: cells.len(),
                expected,
            });
        }
    }
    Ok(Sheet {
        name: name.to_owned(),
        rows: gathered.into_rows(),
        layout: Layout::default(),
    })
}

/// The rows of a text.
struct Rows<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    separator: u8,
}

/// What follows a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Cell,
    Row,
}

impl<'t> Rows<'t> {
    /// The next row, and the line at which it begins.
    #[expect(clippy::type_complexity, reason = "a line and the cells of a row")]
    fn next(&mut self, name: &str) -> Result<Option<(u32, Vec<Cow<'t, str>>)>, SheetError> {
        if self.at >= self.text.len() {
            return Ok(None);
        }
        let line = self.line;
        let mut cells = Vec::new();
        loop {
            if cells.len() >= COLUMNS_MAX as usize {
                return Err(SheetError::TooManyColumns {
                    place: format!("{name}!{line}"),
                    most: COLUMNS_MAX,
                });
            }
            cells.push(if self.byte() == Some(b'"') {
                Cow::Owned(self.quoted()?)
            } else {
                Cow::Borrowed(self.plain())
            });
            if self.behind() == Behind::Row {
                return Ok(Some((line, cells)));
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// A cell without quotation marks: one in the middle of it is a letter like others.
    fn plain(&mut self) -> &'t str {
        let start = self.at;
        let is_end = |byte| byte == self.separator || byte == b'\r' || byte == b'\n';
        while self.byte().is_some_and(|byte| !is_end(byte)) {
            self.at += 1;
        }
        self.since(start)
    }

    /// A cell in quotation marks: two of them are one of its text.
    fn quoted(&mut self) -> Result<String, SheetError> {
        let opened = self.line;
        let mut text = String::new();
        self.at += 1;
        let mut start = self.at;
        loop {
            match self.byte() {
                None => return Err(SheetError::OpenQuote { line: opened }),
                Some(b'"') => {
                    text.push_str(self.since(start));
                    self.at += 1;
                    if self.byte() != Some(b'"') {
                        break;
                    }
                    start = self.at;
                    self.at += 1;
                }
                Some(byte) => {
                    self.at += 1;
                    let is_whole = byte == b'\n' || byte == b'\r' && self.byte() != Some(b'\n');
                    self.line = self.line.saturating_add(u32::from(is_whole));
                }
            }
        }
        while self.byte() == Some(b' ') {
            self.at += 1;
        }
        match self.byte() {
            None | Some(b'\r' | b'\n') => Ok(text),
            Some(byte) if byte == self.separator => Ok(text),
            Some(_) => Err(SheetError::StrayQuote {
                line: self.line,
                opened,
            }),
        }
    }

    /// Passes over what stands behind a cell.
    fn behind(&mut self) -> Behind {
        let Some(byte) = self.byte() else {
            return Behind::Row;
        };
        self.at += 1;
        if byte == self.separator {
            return Behind::Cell;
        }
        if byte == b'\r' && self.byte() == Some(b'\n') {
            self.at += 1;
        }
        self.line = self.line.saturating_add(1);
        Behind::Row
    }
}

/// What the header has most of, outside of quotation marks: spreadsheets of some countries write
/// semicolons. A header of one column is read as separated by commas.
fn separator(text: &str, header: Option<u32>) -> u8 {
    let lines = (1_u32..).zip(text.split_inclusive('\n'));
    let start: usize = lines
        .take_while(|(number, line)| match header {
            Some(header) => *number < header,
            None => line.trim().is_empty(),
        })
        .map(|(_, line)| line.len())
        .sum();
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in text.bytes().skip(start) {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                let count = counts.iter_mut().find(|(separator, _)| *separator == byte);
                if let Some((_, count)) = count {
                    *count += 1;
                }
            }
        }
    }
    let mut best = (b',', 0);
    for (separator, count) in counts {
        if count > best.1 {
            best = (separator, count);
        }
    }
    best.0
}

#[cfg(test)]
#[path = "csv/tests.rs"]
mod tests;
