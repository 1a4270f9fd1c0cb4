//! The cells of one sheet of a workbook, taken one by one: a cell far away costs no more than one nearby.

use std::io::BufRead;

use quick_xml::events::BytesStart;

use super::styles::Epoch;
use super::xml::{Item, Xml, attribute, cut_off};
use super::{
    COLUMNS_MAX, Cell, Gathered, Limits, ROWS_MAX, Row, SheetError, damaged, place, strings,
};

/// What stands for a formula whose text is that of another cell, moved.
const ELSEWHERE: &str = "= as in another cell";

/// What cells refer to.
pub(super) struct Book {
    /// Texts that many cells share.
    pub(super) strings: Vec<String>,
    /// Whether a number in a format is a date.
    pub(super) dates: Vec<bool>,
    /// Where dates begin.
    pub(super) epoch: Epoch,
}

/// Reads a sheet. Each place has one cell, and stands in the row that it names.
pub(super) fn read<R: BufRead>(
    xml: Xml<R>,
    book: &Book,
    (name, limits): (&str, Limits),
) -> Result<Vec<Row>, SheetError> {
    let mut reader = SheetReader {
        xml,
        book,
        name,
        gathered: Gathered::new(limits),
    };
    // A sheet that is cut off in front of its cells is not an empty one.
    while let Found::Other = reader.find("sheetData")? {}
    reader.rows()?;
    Ok(reader.gathered.into_rows())
}

struct SheetReader<'a, R> {
    xml: Xml<R>,
    book: &'a Book,
    name: &'a str,
    gathered: Gathered,
}

/// What was found by looking for an element.
enum Found {
    It,
    Other,
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
    value: Option<String>,
    inline: Option<String>,
}

impl<R: BufRead> SheetReader<'_, R> {
    fn find(&mut self, name: &str) -> Result<Found, SheetError> {
        match self.xml.next()? {
            Item::Open(tag) if tag.local_name().as_ref() == name => Ok(Found::It),
            Item::End => Err(damaged(format!("{} has no cells: no {name}", self.name))),
            Item::Open(_) | Item::Close | Item::Text(_) => Ok(Found::Other),
        }
    }

    fn rows(&mut self) -> Result<(), SheetError> {
        let mut next = 0_u32;
        loop {
            let step = match self.xml.next()? {
                Item::Open(tag) if tag.local_name().as_ref() == "row" => {
                    Step::Take(row_number(&tag)?)
                }
                other => Step::over(&other)?,
            };
            match step {
                Step::Take(named) => {
                    let last = self.row(named, named.unwrap_or(next))?;
                    next = last.saturating_add(1);
                }
                Step::Skip => self.xml.skip()?,
                Step::Pass => {}
                Step::End => return Ok(()),
            }
        }
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
        let content = self.content()?;
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
            Formula,
            Value,
            Inline,
            Other,
        }
        let mut content = Content::default();
        loop {
            let part = match self.xml.next()? {
                Item::Open(tag) => match tag.local_name().as_ref() {
                    "f" => Part::Formula,
                    "v" => Part::Value,
                    "is" => Part::Inline,
                    _ => Part::Other,
                },
                Item::Text(_) => continue,
                Item::Close => return Ok(content),
                Item::End => return Err(cut_off()),
            };
            match part {
                Part::Formula => content.formula = Some(self.xml.text()?),
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
        let number: Option<f64> = word.parse().ok();
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return Cell::Text(word.to_owned());
        };
        let style: Option<usize> = head.style.as_deref().and_then(|style| style.parse().ok());
        let is_date = style.and_then(|style| self.dates.get(style));
        let time = is_date
            .filter(|is_date| **is_date)
            .and_then(|_| self.epoch.time(number));
        match time {
            Some(time) => Cell::Time(time),
            None => Cell::Number(number.to_string()),
        }
    }
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
