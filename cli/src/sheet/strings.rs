//! Texts of a workbook: of a cell itself, or shared by many.

use std::io::BufRead;

use super::xml::{Item, Xml, attribute, cut_off};
use super::{SheetError, damaged};

/// Most shared texts of a workbook.
const STRINGS_MAX: usize = 2_000_000;

/// All shared texts, in order.
pub(super) fn shared<R: BufRead>(mut xml: Xml<R>) -> Result<Vec<String>, SheetError> {
    let mut strings = Vec::new();
    loop {
        let is_string = match xml.next()? {
            Item::Open(tag) => tag.local_name().as_ref() == "si",
            Item::Close | Item::Text(_) => false,
            Item::End => return Ok(strings),
        };
        if is_string {
            if strings.len() == STRINGS_MAX {
                return Err(damaged(format!("more than {STRINGS_MAX} shared texts")));
            }
            strings.push(text(&mut xml)?);
        }
    }
}

/// The text in the element that was opened last: of its parts, without how they are pronounced.
pub(super) fn text<R: BufRead>(xml: &mut Xml<R>) -> Result<String, SheetError> {
    let mut whole = String::new();
    let mut depth = 1_usize;
    while depth > 0 {
        let next = match xml.next()? {
            Item::Open(tag) => match tag.local_name().as_ref() {
                "rPh" => Next::Skip,
                "t" => Next::Text {
                    keep: attribute(&tag, "xml:space")?.as_deref() == Some("preserve"),
                },
                _ => Next::Deeper,
            },
            Item::Close => Next::Higher,
            Item::Text(_) => Next::Nothing,
            Item::End => return Err(cut_off()),
        };
        match next {
            Next::Skip => xml.skip()?,
            Next::Text { keep } => {
                let text = xml.text()?;
                let text = if keep {
                    text.as_str()
                } else {
                    text.trim_matches([' ', '\t', '\r', '\n'])
                };
                whole.push_str(&unescaped(text));
            }
            Next::Deeper => depth += 1,
            Next::Higher => depth -= 1,
            Next::Nothing => {}
        }
    }
    Ok(whole)
}

enum Next {
    Skip,
    Text { keep: bool },
    Deeper,
    Higher,
    Nothing,
}

/// The text without the escapes of characters that XML cannot hold: `_x000D_` is a carriage return.
pub(super) fn unescaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("_x") {
        whole.push_str(before);
        let digits = after.split_once('_').map(|(digits, _)| digits);
        let digits = digits.filter(|digits| digits.len() == 4);
        let letter = digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        rest = if let (Some(letter), Some((_, after))) = (letter, after.split_once('_')) {
            whole.push(letter);
            after
        } else {
            whole.push_str("_x");
            after
        };
    }
    whole.push_str(rest);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_characters_are_undone_and_nothing_else() {
        for (text, expected) in [
            ("a_x000D_b", "a\rb"),
            ("_x005F_x000D_", "_x000D_"),
            ("no_x00_", "no_x00_"),
            ("_xD800_", "_xD800_"),
            ("end_x", "end_x"),
            (
                "\u{e4}_x\u{e4}\u{e4}\u{e4}\u{e4}_",
                "\u{e4}_x\u{e4}\u{e4}\u{e4}\u{e4}_",
            ),
        ] {
            assert_eq!(unescaped(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_has_parts_and_no_pronunciation() {
        let part = br#"<sst uniqueCount="99999999999999999999"><si><t>one</t></si>
            <si><r><t xml:space="preserve">two </t></r><r><rPr><b/></rPr><t>&amp; &#51;</t></r>
            <rPh sb="0"><t>zwei</t></rPh></si><si/></sst>"#;
        let strings = shared(Xml::new(&part[..])).unwrap();
        assert_eq!(strings, ["one", "two & 3", ""]);
        for wrong in [
            &b"<sst><si><t>one"[..],
            b"<sst><si></t></si></sst>",
            b"<!DOCTYPE a><sst/>",
        ] {
            assert!(shared(Xml::new(wrong)).is_err());
        }
    }
}
