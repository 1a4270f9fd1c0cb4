//! The parts of a workbook as XML, item by item: elements, and the text between them.

use std::borrow::Cow;
use std::io::BufRead;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{SheetError, damaged};

/// A part that is being read. Elements are closed by their own names, or it is damaged.
pub(super) struct Xml<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
}

/// What comes next. An element that holds nothing is opened and closed as well.
#[derive(Debug)]
pub(super) enum Item<'b> {
    /// An element begins.
    Open(BytesStart<'b>),
    /// The element that was opened last ends.
    Close,
    /// Text; empty where a comment stands.
    Text(Cow<'b, str>),
    /// The part ends.
    End,
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(part: R) -> Self {
        let mut reader = Reader::from_reader(part);
        reader.config_mut().expand_empty_elements = true;
        let buffer = Vec::new();
        Self { reader, buffer }
    }

    /// The next element or text.
    pub(super) fn next(&mut self) -> Result<Item<'_>, SheetError> {
        self.buffer.clear();
        let event = self.reader.read_event_into(&mut self.buffer);
        Ok(match event.map_err(damaged)? {
            Event::Start(tag) | Event::Empty(tag) => Item::Open(tag),
            Event::End(_) => Item::Close,
            Event::Text(text) => Item::Text(text.xml10_content()),
            Event::CData(text) => Item::Text(text.xml10_content()),
            Event::GeneralRef(reference) => Item::Text(referred(&reference)?),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Item::Text(Cow::Borrowed("")),
            Event::DocType(_) => return Err(damaged("a document type is declared")),
            Event::Eof => Item::End,
        })
    }

    /// The text in the element that was opened last, up to its end; that of elements in it is left out.
    pub(super) fn text(&mut self) -> Result<String, SheetError> {
        let mut text = String::new();
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()? {
                Item::Open(_) => depth += 1,
                Item::Close => depth -= 1,
                Item::Text(part) if depth == 1 => text.push_str(&part),
                Item::Text(_) => {}
                Item::End => return Err(cut_off()),
            }
        }
        Ok(text)
    }

    /// Passes over the rest of the element that was opened last.
    pub(super) fn skip(&mut self) -> Result<(), SheetError> {
        self.text().map(drop)
    }
}

/// What is said where a part ends too early.
pub(super) fn cut_off() -> SheetError {
    damaged("a part ends within an element")
}

/// The value of an attribute.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, SheetError> {
    attribute_where(tag, |found| found == name)
}

/// The value of the first attribute whose name, with its prefix, is wanted.
pub(super) fn attribute_where(
    tag: &BytesStart<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Option<String>, SheetError> {
    for found in tag.attributes().with_checks(false) {
        let found = found.map_err(damaged)?;
        if is_wanted(found.key.as_ref()) {
            let value = found.normalized_value(XmlVersion::Implicit1_0);
            return value.map(|value| Some(value.into_owned())).map_err(damaged);
        }
    }
    Ok(None)
}

/// What an entity stands for: a character by its number, or one of the five that XML knows.
fn referred<'b>(reference: &BytesRef<'_>) -> Result<Cow<'b, str>, SheetError> {
    if let Some(letter) = reference.resolve_char_ref().map_err(damaged)? {
        return Ok(Cow::Owned(letter.to_string()));
    }
    let known = resolve_predefined_entity(reference);
    known
        .map(Cow::Borrowed)
        .ok_or_else(|| damaged(format!("&{}; stands for nothing", &**reference)))
}
