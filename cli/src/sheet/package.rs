//! The ZIP file that a workbook is: what it unpacks to is measured before anything of it is read, so
//! that a small file costs no more than the limits say.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, Read as _};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::xml::{Item, Xml, attribute};
use super::{SheetError, damaged};

/// Most bytes that all parts of a workbook unpack to.
const INFLATED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Parts larger than this may not unpack to more than [`RATIO_MAX`] times their size.
const RATIO_FREE_BYTES: u64 = 4 * 1024 * 1024;
const RATIO_MAX: u64 = 200;
/// Most parts of a workbook, and most relations between them.
const PARTS_MAX: usize = 10_000;

/// A part that is unpacked while it is read.
pub(super) type Part<'p, 'b> = Xml<BufReader<ZipFile<'p, Cursor<&'b [u8]>>>>;

/// Whether the bytes are a workbook: no where they may be text, an error where they are of another
/// format.
pub(crate) fn is_workbook(bytes: &[u8]) -> Result<bool, SheetError> {
    let other = |found| Err(SheetError::OtherFormat { found });
    match bytes {
        [b'P', b'K', 3 | 5 | 7, ..] => Ok(true),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => other(
            "this is a workbook of Excel 97 to 2003 (.xls), or one that is locked with a password",
        ),
        [b'%', b'P', b'D', b'F', ..] => other("this is a PDF file"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => other("this is text in UTF-16"),
        _ => Ok(false),
    }
}

/// A workbook that was measured.
pub(super) struct Package<'b> {
    archive: ZipArchive<Cursor<&'b [u8]>>,
    /// Places in the archive by names in lower case, as spreadsheet programs look for them.
    parts: BTreeMap<String, usize>,
}

/// What another part is to a part.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The last word of its type: `worksheet`, `styles`.
    pub(super) what: String,
    /// The name of the part.
    pub(super) part: String,
}

impl<'b> Package<'b> {
    /// Unpacks every part and throws it away: the sizes that a ZIP file names of itself may lie.
    pub(super) fn open(bytes: &'b [u8]) -> Result<Self, SheetError> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        // Programs differ in which of two parts they show.
        if archive.has_duplicate_names() {
            return Err(damaged("a part is there twice"));
        }
        if archive.len() > PARTS_MAX {
            return Err(damaged(format!("{} parts", archive.len())));
        }
        let mut parts = BTreeMap::new();
        for index in 0..archive.len() {
            // A part whose name is no text is none that a workbook needs.
            let part = archive.by_index_raw(index).map_err(damaged)?;
            let Ok(name) = part.name() else { continue };
            if parts.insert(lookup_name(&name), index).is_some() {
                return Err(damaged(format!("the part {name} is there twice")));
            }
        }
        refuse_other_formats(&parts)?;
        measure(&mut archive)?;
        Ok(Self { archive, parts })
    }

    /// A part, if it is there.
    pub(super) fn part(&mut self, name: &str) -> Result<Option<Part<'_, 'b>>, SheetError> {
        let Some(index) = self.parts.get(&lookup_name(name)) else {
            return Ok(None);
        };
        let part = self.archive.by_index(*index).map_err(damaged)?;
        Ok(Some(Xml::new(BufReader::new(part))))
    }

    /// A part that has to be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<Part<'_, 'b>, SheetError> {
        let part = self.part(name)?;
        part.ok_or_else(|| damaged(format!("there is no part {name}")))
    }

    /// What other parts are to the part with this name, by their ids; the empty name is the package.
    pub(super) fn relations(
        &mut self,
        name: &str,
    ) -> Result<BTreeMap<String, Relation>, SheetError> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let mut relations = BTreeMap::new();
        let Some(mut xml) = self.part(&joined(folder, &format!("_rels/{file}.rels")))? else {
            return Ok(relations);
        };
        loop {
            match xml.next()? {
                Item::Open(tag) if tag.local_name().as_ref() == "Relationship" => {
                    let id = attribute(&tag, "Id")?.unwrap_or_default();
                    let what = attribute(&tag, "Type")?.unwrap_or_default();
                    let target = attribute(&tag, "Target")?.unwrap_or_default();
                    let what = what.rsplit('/').next().unwrap_or_default().to_owned();
                    let part = joined(folder, &target);
                    if relations.insert(id, Relation { what, part }).is_some() {
                        return Err(damaged(format!("a relation of {name:?} is there twice")));
                    }
                }
                Item::Open(_) | Item::Close | Item::Text(_) => {}
                Item::End => return Ok(relations),
            }
            if relations.len() > PARTS_MAX {
                return Err(damaged(format!("more than {PARTS_MAX} relations")));
            }
        }
    }
}

fn lookup_name(name: &str) -> String {
    name.replace('\\', "/").to_ascii_lowercase()
}

/// The name of a part that is named from within a folder; one that begins with `/` is named from the top.
fn joined(folder: &str, target: &str) -> String {
    let whole = match target.strip_prefix('/') {
        Some(target) => target.to_owned(),
        None => format!("{folder}/{target}"),
    };
    let mut steps: Vec<&str> = Vec::new();
    for step in whole.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.join("/")
}

fn refuse_other_formats(parts: &BTreeMap<String, usize>) -> Result<(), SheetError> {
    let has = |name: &str| parts.contains_key(name);
    let found = if has("xl/workbook.bin") {
        "this is a binary workbook (.xlsb)"
    } else if has("content.xml") {
        "this is an OpenDocument file (.ods)"
    } else if has("xl/workbook.xml") {
        return Ok(());
    } else {
        "this is a ZIP file and no workbook"
    };
    Err(SheetError::OtherFormat { found })
}

fn measure(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<(), SheetError> {
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
            return Err(SheetError::Bomb { part: name, ratio });
        }
        room = room.checked_sub(size).ok_or(SheetError::Inflated {
            most: INFLATED_BYTES_MAX,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_from_where_they_are_named() {
        for (folder, target, expected) in [
            ("", "xl/workbook.xml", "xl/workbook.xml"),
            ("xl", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "/xl/styles.xml", "xl/styles.xml"),
            (
                "xl/worksheets",
                "../sharedStrings.xml",
                "xl/sharedStrings.xml",
            ),
            ("", "../../../etc/passwd", "etc/passwd"),
            ("xl", "./a//b", "xl/a/b"),
        ] {
            assert_eq!(joined(folder, target), expected);
        }
    }
}
