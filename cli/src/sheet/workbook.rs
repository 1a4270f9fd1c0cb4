//! An XLSX workbook: its sheets, and what their cells refer to.

use std::collections::BTreeSet;

use super::cells::{self, Book};
use super::package::Package;
use super::styles::{self, Epoch};
use super::xml::{Item, attribute, attribute_where};
use super::{Limits, Sheet, SheetError, Spent, damaged, strings};

/// Most sheets of a workbook.
const SHEETS_MAX: usize = 1000;

/// A workbook whose list of sheets, shared texts and formats were read.
pub(crate) struct Workbook<'b> {
    package: Package<'b>,
    book: Book,
    /// Names of sheets, and their parts. What has no cells, such as a chart, is none.
    sheets: Vec<(String, String)>,
    spent: Spent,
}

impl<'b> Workbook<'b> {
    /// Opens a workbook. Nothing that the file claims of its size is believed.
    pub(crate) fn open(bytes: &'b [u8]) -> Result<Self, SheetError> {
        let mut package = Package::open(bytes)?;
        let top = package.relations("")?;
        let main = top.into_values().find(|it| it.what == "officeDocument");
        let main = main.ok_or_else(|| damaged("it does not say which part the workbook is"))?;
        let relations = package.relations(&main.part)?;
        let listed = list(&mut package, &main.part)?;
        let mut sheets = Vec::new();
        for (name, id) in listed.sheets {
            let relation = relations.get(&id);
            let relation = relation.ok_or_else(|| damaged(format!("sheet {name} has no part")))?;
            if relation.what == "worksheet" {
                sheets.push((name, relation.part.clone()));
            }
        }
        let of = |what: &str| {
            let found = relations.values().find(|relation| relation.what == what);
            found.map(|relation| relation.part.as_str())
        };
        let strings = match of("sharedStrings") {
            Some(part) => strings::shared(package.needed(part)?)?,
            None => Vec::new(),
        };
        let formats = match of("styles") {
            Some(part) => styles::formats(package.needed(part)?)?,
            None => Vec::new(),
        };
        let book = Book {
            strings,
            formats,
            epoch: listed.epoch,
        };
        let mut names = BTreeSet::new();
        if let Some((name, _)) = sheets
            .iter()
            .find(|(name, _)| !names.insert(name.to_lowercase()))
        {
            return Err(damaged(format!("two sheets are named {name:?}")));
        }
        Ok(Self {
            package,
            book,
            sheets,
            spent: Spent::default(),
        })
    }

    /// The names of its sheets, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sheets.iter().map(|(name, _)| name.as_str())
    }

    /// The sheet with this name, without regard to case; without one, the only sheet.
    pub(crate) fn sheet(
        &mut self,
        name: Option<&str>,
        limits: Limits,
    ) -> Result<Sheet, SheetError> {
        let all = || self.names().collect::<Vec<_>>().join(", ");
        let (name, part) = match (name, self.sheets.as_slice()) {
            (Some(wanted), sheets) => {
                let exact = sheets.iter().find(|(name, _)| name == wanted);
                let mut alike = sheets.iter();
                let alike = || alike.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                exact
                    .or_else(alike)
                    .ok_or_else(|| SheetError::NoSuchSheet {
                        found: wanted.to_owned(),
                        sheets: all(),
                    })?
            }
            (None, [only]) => only,
            (None, []) => return Err(SheetError::Empty),
            (None, _) => return Err(SheetError::WhichSheet { sheets: all() }),
        };
        let part = self.package.needed(part)?;
        let read = cells::read(part, &self.book, (name, limits, self.spent))?;
        let (rows, layout);
        (rows, layout, self.spent) = read;
        let name = name.clone();
        Ok(Sheet { name, rows, layout })
    }
}

/// What the main part says.
struct Listed {
    /// Names of sheets, and the ids of their relations.
    sheets: Vec<(String, String)>,
    epoch: Epoch,
}

fn list(package: &mut Package<'_>, main: &str) -> Result<Listed, SheetError> {
    let mut xml = package.needed(main)?;
    let mut listed = Listed {
        sheets: Vec::new(),
        epoch: Epoch::Of1900,
    };
    loop {
        match xml.next()? {
            Item::Open(tag) => match tag.local_name().as_ref() {
                "sheet" => {
                    let name = attribute(&tag, "name")?.unwrap_or_default();
                    // In the name space of relations, whatever its prefix is.
                    let id = attribute_where(&tag, |name| name.ends_with(":id"))?;
                    listed.sheets.push((name, id.unwrap_or_default()));
                }
                "workbookPr" => {
                    let is_later = attribute(&tag, "date1904")?;
                    if matches!(is_later.as_deref(), Some("1" | "true" | "on")) {
                        listed.epoch = Epoch::Of1904;
                    }
                }
                _ => {}
            },
            Item::Close | Item::Text(_) => {}
            Item::End => return Ok(listed),
        }
        if listed.sheets.len() > SHEETS_MAX {
            return Err(damaged(format!("more than {SHEETS_MAX} sheets")));
        }
    }
}

#[cfg(test)]
#[path = "workbook/tests.rs"]
mod tests;
