//! The cells of one sheet of a workbook, taken one by one: a cell far away costs no more than one nearby.

use std::collections::BTreeSet;
use std::io::BufRead;

use quick_xml::events::BytesStart;

use super::styles::{Epoch, Format, percent};
use super::xml::{Item, Xml, attribute, cut_off};
use super::{
    COLUMNS_MAX, Cell, Gathered, Layout, Limits, ROWS_MAX, Range, Row, SheetError, Spent,
    VISITS_MAX, damaged, place, strings,
};

/// What stands for a formula whose text is that of another cell, moved.
const ELSEWHERE: &str = "= as in another cell";
/// The largest number that a spreadsheet tells from its neighbours: 2^53 - 1.
const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;
/// Most ranges of a kind that a sheet has.
const RANGES_MAX: usize = 100_000;

const NO_NUMBER: &str = "a number, which this is not";
const NO_DAY: &str = "a day of the calendar; a time of day alone is none";
const ROUNDED: &str = "a number up to 9007199254740991: a spreadsheet rounds what is larger";
const SHOWN_OTHERWISE: &str = "a number as its format shows it, which puts something in front";

/// What cells refer to.
pub(super) struct Book {
    /// Texts that many cells share.
    pub(super) strings: Vec<String>,
    /// How formats show numbers.
    pub(super) formats: Vec<Format>,
    /// Where dates begin.
    pub(super) epoch: Epoch,
}

/// Reads a sheet. Each place has one cell, and stands in the row that it names. `spent` is what the
/// sheets before it have cost.
pub(super) fn read<R: BufRead>(
    xml: Xml<R>,
    book: &Book,
    (name, limits, spent): (&str, Limits, Spent),
) -> Result<(Vec<Row>, Layout, Spent), SheetError> {
    let mut reader = SheetReader {
        xml,
        book,
        name,
        gathered: Gathered::new(limits, spent),
        layout: Layout::default(),
        arrays: Vec::new(),
    };
    reader.columns()?;
    reader.rows()?;
    reader.rest()?;
    reader.fill_arrays()?;
    let spent = reader.gathered.spent;
    Ok((reader.gathered.into_rows(), reader.layout, spent))
}

struct SheetReader<'a, R> {
    xml: Xml<R>,
    book: &'a Book,
    name: &'a str,
    gathered: Gathered,
    layout: Layout,
    /// Cells that one formula fills.
    arrays: Vec<Range>,
}

/// What is to be done with what comes next.
enum Step<T> {
    /// It is read.
    Take(T),
    /// An element that says nothing of cells is passed over.
    Skip,
    /// Text between elements.
    Pass,
    /// The element around it ends.
    End,
}

impl<T> Step<T> {
    /// What is to be done with anything that is not looked for.
    fn over(item: &Item<'_>) -> Result<Self, SheetError> {
        match item {
            Item::Open(_) => Ok(Self::Skip),
            Item::Text(_) => Ok(Self::Pass),
            Item::Close => Ok(Self::End),
            Item::End => Err(cut_off()),
        }
    }
}

/// What a cell says of itself.
struct Head {
    /// Row and column, both from 0.
    place: Option<(u32, u32)>,
    style: Option<String>,
    kind: Option<String>,
}

/// What stands in a cell.
#[derive(Default)]
struct Content {
    formula: Option<String>,
    /// The cells that the formula fills, where these are several.
    array: Option<Range>,
    value: Option<String>,
    inline: Option<String>,
}

impl<R: BufRead> SheetReader<'_, R> {
    /// Passes over what stands in front of the cells. A sheet that is cut off there is not an empty one.
    fn columns(&mut self) -> Result<(), SheetError> {
        loop {
            match self.xml.next()? {
                Item::Open(tag) => match tag.local_name().as_ref() {
                    "sheetData" => return Ok(()),
                    "col" if is_hidden(&tag)? => {
                        let number = |name| {
                            let number = attribute(&tag, name)?;
                            let number = number.and_then(|number| number.parse::<u32>().ok());
                            let number = number.and_then(|number| number.checked_sub(1));
                            number.ok_or_else(|| damaged(format!("a column has no {name}")))
                        };
                        self.layout
                            .hidden_columns
                            .push((number("min")?, number("max")?));
                    }
                    _ => {}
                },
                Item::End => return Err(damaged(format!("{} has no cells", self.name))),
                Item::Close | Item::Text(_) => {}
            }
            limited(self.layout.hidden_columns.len())?;
        }
    }

    fn rows(&mut self) -> Result<(), SheetError> {
        let mut next = 0_u32;
        let mut seen = BTreeSet::new();
        loop {
            let step = match self.xml.next()? {
                Item::Open(tag) if tag.local_name().as_ref() == "row" => {
                    Step::Take((row_number(&tag)?, is_hidden(&tag)?))
                }
                other => Step::over(&other)?,
            };
            match step {
                Step::Take((named, is_hidden)) => {
                    let last = self.row(named, named.unwrap_or(next))?;
                    next = last.saturating_add(1);
                    if !seen.insert(last) {
                        let name = self.name;
                        return Err(damaged(format!("{name}: the row {next} is there twice")));
                    }
                    if is_hidden {
                        self.layout.hidden_rows.push(next);
                    }
                }
                Step::Skip => self.xml.skip()?,
                Step::Pass => {}
                Step::End => {
                    self.layout.hidden_rows.sort_unstable();
                    return Ok(());
                }
            }
        }
    }

    /// What stands behind the cells: which of them are shown as one.
    fn rest(&mut self) -> Result<(), SheetError> {
        loop {
            match self.xml.next()? {
                Item::Open(tag) => match tag.local_name().as_ref() {
                    "sheetData" => {
                        return Err(damaged(format!("{} has cells twice", self.name)));
                    }
                    "mergeCell" => {
                        let range = attribute(&tag, "ref")?.unwrap_or_default();
                        self.layout.merged.push(range_of(&range)?);
                    }
                    _ => {}
                },
                Item::Close | Item::Text(_) => {}
                Item::End => return Ok(()),
            }
            limited(self.layout.merged.len())?;
        }
    }

    /// What one formula fills is a formula in each of its cells.
    fn fill_arrays(&mut self) -> Result<(), SheetError> {
        let mut visits = 0_usize;
        for Range { rows, columns } in &self.arrays {
            let rows = self.gathered.rows.range_mut(rows.0..=rows.1);
            for (_, cells) in rows {
                visits += 1;
                for (_, cell) in cells.range_mut(columns.0..=columns.1) {
                    visits += 1;
                    if !matches!(cell, Cell::Formula(_)) {
                        *cell = Cell::Formula(ELSEWHERE.to_owned());
                    }
                }
                if visits > VISITS_MAX {
                    return Err(damaged("formulas fill too many cells"));
                }
            }
        }
        Ok(())
    }

    /// Reads a row, and says which it was.
    fn row(&mut self, named: Option<u32>, expected: u32) -> Result<u32, SheetError> {
        let mut row = expected;
        let mut column = 0_u32;
        loop {
            let step = match self.xml.next()? {
                Item::Open(tag) if tag.local_name().as_ref() == "c" => Step::Take(Head::of(&tag)?),
                other => Step::over(&other)?,
            };
            let head = match step {
                Step::Take(head) => head,
                Step::Skip => {
                    self.xml.skip()?;
                    continue;
                }
                Step::Pass => continue,
                Step::End => return Ok(row),
            };
            if let Some((own, at)) = head.place {
                if named.is_some_and(|named| named != own) {
                    let place = place(self.name, at, own + 1);
                    return Err(damaged(format!("{place} stands in another row")));
                }
                (row, column) = (own, at);
            }
            if row >= ROWS_MAX || column >= COLUMNS_MAX {
                let name = self.name;
                return Err(damaged(format!("{name} is larger than a sheet can be")));
            }
            self.cell(&head, (row, column))?;
            column += 1;
        }
    }

    fn cell(&mut self, head: &Head, (row, column): (u32, u32)) -> Result<(), SheetError> {
        let mut content = self.content()?;
        self.arrays.extend(content.array.take());
        limited(self.arrays.len())?;
        let number = row + 1;
        let place = || place(self.name, column, number);
        let cell = self
            .book
            .cell(head, content)
            .map_err(|what| damaged(format!("{}: {what}", place())))?;
        let Some(cell) = cell else { return Ok(()) };
        if self.gathered.add((number, column), cell, place)? {
            return Ok(());
        }
        Err(damaged(format!("{} is there twice", place())))
    }

    fn content(&mut self) -> Result<Content, SheetError> {
        enum Part {
            Formula(Option<Range>),
            Value,
            Inline,
            Other,
        }
        let mut content = Content::default();
        loop {
            let part = match self.xml.next()? {
                Item::Open(tag) => match tag.local_name().as_ref() {
                    "f" => Part::Formula(array_of(&tag)?),
                    "v" => Part::Value,
                    "is" => Part::Inline,
                    _ => Part::Other,
                },
                Item::Text(_) => continue,
                Item::Close => return Ok(content),
                Item::End => return Err(cut_off()),
            };
            match part {
                Part::Formula(array) => {
                    content.array = array;
                    content.formula = Some(self.xml.text()?);
                }
                Part::Value => content.value = Some(self.xml.text()?),
                Part::Inline => content.inline = Some(strings::text(&mut self.xml)?),
                Part::Other => self.xml.skip()?,
            }
        }
    }
}

impl Head {
    fn of(tag: &BytesStart<'_>) -> Result<Self, SheetError> {
        let place = match attribute(tag, "r")? {
            None => None,
            Some(text) => {
                let place = cell_place(&text);
                Some(place.ok_or_else(|| damaged(format!("{text:?} is no cell")))?)
            }
        };
        Ok(Self {
            place,
            style: attribute(tag, "s")?,
            kind: attribute(tag, "t")?,
        })
    }
}

impl Book {
    /// The cell, or what is wrong with it.
    fn cell(&self, head: &Head, content: Content) -> Result<Option<Cell>, String> {
        if let Some(formula) = content.formula {
            let text = formula.trim();
            return Ok(Some(Cell::Formula(if text.is_empty() {
                ELSEWHERE.to_owned()
            } else {
                format!("={text}")
            })));
        }
        let value = content.value.unwrap_or_default();
        let word = value.trim_matches([' ', '\t', '\r', '\n']);
        let kind = head.kind.as_deref().unwrap_or("n");
        if let Some(inline) = content.inline {
            return Ok(Cell::text(&inline));
        }
        // The value beside a text of its own would say it once more.
        if word.is_empty() || kind == "inlineStr" {
            return Ok(None);
        }
        match kind {
            "n" => Ok(Some(self.number(head, word))),
            "s" => {
                let index: Option<usize> = word.parse().ok();
                let text = index.and_then(|index| self.strings.get(index));
                let text = text.ok_or_else(|| format!("there is no shared text {word}"))?;
                Ok(Cell::text(text))
            }
            "b" => match word {
                "1" | "true" => Ok(Some(Cell::Truth(true))),
                "0" | "false" => Ok(Some(Cell::Truth(false))),
                _ => Err(format!("{word:?} is neither true nor false")),
            },
            "e" => Ok(Some(Cell::Fault(word.to_owned()))),
            "str" => Ok(Cell::text(&strings::unescaped(&value))),
            "d" => Ok(Cell::text(word)),
            _ => Err(format!("cells have no type {kind:?}")),
        }
    }

    fn number(&self, head: &Head, word: &str) -> Cell {
        let unsure = |rule| Cell::Unsure {
            found: word.to_owned(),
            rule,
        };
        let number: Option<f64> = word.parse().ok();
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return unsure(NO_NUMBER);
        };
        // There is one zero.
        let number = number + 0.0;
        let style: Option<usize> = head.style.as_deref().and_then(|style| style.parse().ok());
        let format = style.and_then(|style| self.formats.get(style));
        let format = format.copied().unwrap_or(Format::Plain);
        let plain = number.to_string();
        match format {
            Format::Day | Format::Moment => match self.epoch.time(number, format) {
                Some(time) => Cell::Time(time),
                None => unsure(NO_DAY),
            },
            _ if number.abs() > WHOLE_MAX => unsure(ROUNDED),
            Format::Plain => Cell::Number(plain),
            Format::Percent => Cell::Text(percent(&plain)),
            Format::Padded(digits) if number >= 0.0 && !plain.contains('.') => {
                Cell::Text(format!("{plain:0>digits$}"))
            }
            Format::Padded(_) | Format::Other => unsure(SHOWN_OTHERWISE),
        }
    }
}

/// Whether a row or a column is not shown.
fn is_hidden(tag: &BytesStart<'_>) -> Result<bool, SheetError> {
    let said = attribute(tag, "hidden")?;
    Ok(matches!(said.as_deref(), Some("1" | "true" | "on")))
}

/// The cells that a formula fills besides its own.
fn array_of(tag: &BytesStart<'_>) -> Result<Option<Range>, SheetError> {
    let kind = attribute(tag, "t")?;
    if !matches!(kind.as_deref(), Some("array" | "dataTable")) {
        return Ok(None);
    }
    let range = attribute(tag, "ref")?.map(|range| range_of(&range));
    // One cell is filled by its own formula anyway.
    let is_large = |range: &Range| range.rows.0 < range.rows.1 || range.columns.0 < range.columns.1;
    Ok(range.transpose()?.filter(is_large))
}

/// `A1:C7`, or a single cell; whichever corners are named.
fn range_of(text: &str) -> Result<Range, SheetError> {
    let (one, other) = text.split_once(':').unwrap_or((text, text));
    let corners = cell_place(one).zip(cell_place(other));
    let (one, other) = corners.ok_or_else(|| damaged(format!("{text:?} is no range of cells")))?;
    Ok(Range {
        rows: (one.0.min(other.0) + 1, one.0.max(other.0) + 1),
        columns: (one.1.min(other.1), one.1.max(other.1)),
    })
}

fn limited(ranges: usize) -> Result<(), SheetError> {
    if ranges > RANGES_MAX {
        return Err(damaged(format!("more than {RANGES_MAX} ranges")));
    }
    Ok(())
}

/// The number of a row from 0, where it names one.
fn row_number(tag: &BytesStart<'_>) -> Result<Option<u32>, SheetError> {
    let Some(text) = attribute(tag, "r")? else {
        return Ok(None);
    };
    let number = row_of(&text);
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(damaged(format!("{text:?} is no row"))),
    }
}

/// `7`: the row 6, from 0.
fn row_of(text: &str) -> Option<u32> {
    let is_plain = text.len() <= 7 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = text.parse().ok().filter(|_| is_plain)?;
    number.checked_sub(1).filter(|row| *row < ROWS_MAX)
}

/// `C7`: the row 6 and the column 2, both from 0.
fn cell_place(text: &str) -> Option<(u32, u32)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = text.split_at_checked(letters)?;
    if !(1..=3).contains(&letters.len()) {
        return None;
    }
    let column = letters.bytes().fold(0_u32, |column, letter| {
        column * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1
    });
    let column = column.checked_sub(1).filter(|it| *it < COLUMNS_MAX)?;
    Some((row_of(digits)?, column))
}
