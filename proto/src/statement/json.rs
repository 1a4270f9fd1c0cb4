//! The strict JSON profile of disclosures: one text for each value.
//!
//! No white space; no float, exponent, fraction or `-0`; integers of at most 2^53 - 1 in size;
//! strings escaped as RFC 8785 3.2.2.2 and no other way; object names of `[a-z][a-z0-9_]*`, none
//! twice in an object; at most [`VALUE_DEPTH_MAX`] arrays and objects around a scalar. The order of the
//! names in an object is kept: it is the field order of the message.
//!
//! [`Json::parse_free`] reads what people and programs write (white space, other escapes, other
//! names), for conversion on the client; it still refuses floats, doubled names and large numbers.

pub mod locate;
mod parse;

use std::fmt;

use crate::limits::{FIELD_NAME_BYTES_MAX, INTEGER_MAX, VALUE_DEPTH_MAX};
use crate::reason::Reason;

/// A JSON value without floats, its objects in order.
///
/// `Display` prints the strict text, provided that names and integers keep the profile; whatever
/// [`Json::parse`] returns does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of at most [`INTEGER_MAX`] in size.
    Integer(i64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Self>),
    /// An object: names and values in order, no name twice.
    Object(Vec<(String, Self)>),
}

/// Why bytes are not JSON, or not in the profile; `offset` is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule} at byte {offset}")]
pub struct JsonError {
    /// Where.
    pub offset: usize,
    /// Which rule.
    pub rule: JsonRule,
}

/// A rule of JSON or of the strict profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonRule {
    /// The text ends inside a value.
    #[error("the text ends too early")]
    Truncated,
    /// A character that no value can have here.
    #[error("unexpected character")]
    Unexpected,
    /// Something follows the value.
    #[error("something follows the value")]
    Trailing,
    /// Not UTF-8.
    #[error("not utf-8")]
    NotUtf8,
    /// A backslash that begins no escape, or a lone surrogate.
    #[error("invalid escape")]
    InvalidEscape,
    /// A control character that is not escaped.
    #[error("control character in a string")]
    ControlCharacter,
    /// Too many arrays and objects around a value.
    #[error("nested deeper than {VALUE_DEPTH_MAX}")]
    TooDeep,
    /// White space between tokens.
    #[error("white space")]
    WhiteSpace,
    /// An escape that RFC 8785 3.2.2.2 writes in another way.
    #[error("escape is not the one of RFC 8785 3.2.2.2")]
    OtherEscape,
    /// A number with fraction or exponent.
    #[error("a number is an integer; write a decimal as a string")]
    NotInteger,
    /// A leading zero, or `-0`.
    #[error("an integer has no leading zero and no -0")]
    IntegerForm,
    /// An integer beyond [`INTEGER_MAX`].
    #[error("an integer is at most 2^53 - 1 in size")]
    IntegerRange,
    /// The same name twice in one object.
    #[error("the same name twice in an object")]
    DuplicateName,
    /// A name that is not `[a-z][a-z0-9_]*` of at most 64 bytes.
    #[error("a name is snake_case: [a-z][a-z0-9_]*, at most {FIELD_NAME_BYTES_MAX} bytes")]
    NameForm,
}

impl JsonError {
    /// The stable reason: malformed, or JSON outside the profile.
    pub const fn reason(&self) -> Reason {
        match self.rule {
            JsonRule::Truncated
            | JsonRule::Unexpected
            | JsonRule::Trailing
            | JsonRule::NotUtf8
            | JsonRule::InvalidEscape
            | JsonRule::ControlCharacter
            | JsonRule::TooDeep => Reason::JsonMalformed,
            JsonRule::WhiteSpace
            | JsonRule::OtherEscape
            | JsonRule::NotInteger
            | JsonRule::IntegerForm
            | JsonRule::IntegerRange
            | JsonRule::DuplicateName
            | JsonRule::NameForm => Reason::JsonNotCanonical,
        }
    }
}

impl Json {
    /// Reads exactly one value in the strict profile: printing it gives the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse::strict(bytes, VALUE_DEPTH_MAX)
    }

    /// Reads one value as people write it: white space, any escape, any names. Still without
    /// floats, doubled names, and integers beyond [`INTEGER_MAX`].
    pub fn parse_free(bytes: &[u8]) -> Result<Self, JsonError> {
        parse::free(bytes, VALUE_DEPTH_MAX)
    }

    /// [`Json::parse`] for values that stand inside `outer` arrays of our own.
    pub(super) fn parse_inside(bytes: &[u8], outer: usize) -> Result<Self, JsonError> {
        parse::strict(bytes, VALUE_DEPTH_MAX.saturating_add(outer))
    }

    /// Whether the value keeps the strict profile: then, and only then, does its text read back.
    pub fn is_strict(&self) -> bool {
        self.is_strict_within(VALUE_DEPTH_MAX)
    }

    fn is_strict_within(&self, depth: usize) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Text(_) => true,
            Self::Integer(number) => (-INTEGER_MAX..=INTEGER_MAX).contains(number),
            Self::Array(items) => depth
                .checked_sub(1)
                .is_some_and(|depth| items.iter().all(|item| item.is_strict_within(depth))),
            Self::Object(fields) => depth.checked_sub(1).is_some_and(|depth| {
                let mut names = std::collections::BTreeSet::new();
                fields.iter().all(|(name, value)| {
                    is_name(name) && names.insert(name) && value.is_strict_within(depth)
                })
            }),
        }
    }

    /// The value under `name`, if this is an object that has it.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The type in words.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

/// Whether `text` is a name: `[a-z][a-z0-9_]*`, at most [`FIELD_NAME_BYTES_MAX`] bytes.
pub fn is_name(text: &str) -> bool {
    text.len() <= FIELD_NAME_BYTES_MAX
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

impl Json {
    /// Appends the strict text.
    fn write_to(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(number) => out.push_str(&number.to_string()),
            Self::Text(text) => write_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write_to(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_string(out, name);
                    out.push(':');
                    value.write_to(out);
                }
                out.push('}');
            }
        }
    }
}

/// Whether a byte of UTF-8 ends a run of characters that stand in a string as they are.
const fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// RFC 8785 3.2.2.2: short escapes where JSON has them, `\u00xx` in lower case for the other
/// control characters, everything else as it is.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(length) = rest.bytes().position(is_special) {
        let (plain, special) = rest.split_at(length);
        out.push_str(plain);
        // Special bytes are ASCII, so the next character is one byte.
        let (special, after) = special.split_at(1);
        match special.as_bytes() {
            [b'"'] => out.push_str("\\\""),
            [b'\\'] => out.push_str("\\\\"),
            [8] => out.push_str("\\b"),
            [b'\t'] => out.push_str("\\t"),
            [b'\n'] => out.push_str("\\n"),
            [0xc] => out.push_str("\\f"),
            [b'\r'] => out.push_str("\\r"),
            control => {
                out.push_str("\\u00");
                for nibble in control.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                    out.extend(char::from_digit(u32::from(nibble), 16));
                }
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests;
