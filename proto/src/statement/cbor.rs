//! Strict, deterministic CBOR (RFC 8949): a walker, a reader and an encoder.
//!
//! Bytes under a signature have one form only: shortest heads, definite lengths, no tags but the
//! outermost 18, no floats, no simple values but `false`, `true` and `null`, valid UTF-8, unique
//! map keys, and nothing behind the item. In our own structures map keys also stand in the order
//! of their encoded bytes (RFC 8949 4.2.1). Nothing is ever re-encoded to be checked: an [`Item`]
//! keeps the bytes it was read from.

mod encode;
mod error;

use std::collections::BTreeSet;
use std::str;

use crate::limits::CBOR_DEPTH_MAX;
pub use encode::{Encoder, MapEncoder};
pub use error::CborError;

/// The tag of `COSE_Sign1` (RFC 9052 4.2), the only one we accept.
pub const TAG_COSE_SIGN1: u64 = 18;

/// Which order of map keys is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrder {
    /// Increasing by encoded bytes: all structures of our own.
    Sorted,
    /// Any order, still without duplicates: what others may send and we drop.
    Any,
}

/// One CBOR item, with the bytes that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// Where the item begins in the bytes that were parsed.
    pub offset: usize,
    /// The exact bytes of the item.
    pub bytes: &'a [u8],
    /// Its value.
    pub value: Value<'a>,
}

/// The value of an [`Item`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A non-negative integer.
    Uint(u64),
    /// The negative integer `-1 - n`.
    Nint(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Item<'a>>),
    /// A map, in the order of the bytes; keys are unique.
    Map(Vec<(Item<'a>, Item<'a>)>),
    /// `false` or `true`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Reads exactly one untagged item with sorted map keys: the form of our own structures.
pub fn parse(bytes: &[u8]) -> Result<Item<'_>, CborError> {
    parse_with(bytes, KeyOrder::Sorted)
}

/// Reads exactly one untagged item.
pub fn parse_with(bytes: &[u8], order: KeyOrder) -> Result<Item<'_>, CborError> {
    let mut walker = Walker {
        bytes,
        position: 0,
        order,
    };
    let item = walker.item(0)?;
    walker.end()?;
    Ok(item)
}

/// Reads exactly one item that stands under tag 18, and returns the item inside the tag.
///
/// Another tag is [`CborError::Tag`]; no tag at all is [`CborError::WrongType`].
pub fn parse_cose_sign1(bytes: &[u8], order: KeyOrder) -> Result<Item<'_>, CborError> {
    let mut walker = Walker {
        bytes,
        position: 0,
        order,
    };
    let head = walker.head()?;
    match head {
        Head {
            major: MAJOR_TAG,
            argument: TAG_COSE_SIGN1,
            ..
        } => {}
        Head {
            major: MAJOR_TAG,
            argument,
            offset,
            ..
        } => {
            return Err(CborError::Tag {
                offset,
                tag: argument,
            });
        }
        Head { major, offset, .. } => {
            return Err(CborError::WrongType {
                field: String::new(),
                offset,
                expected: "tag 18",
                found: major_name(major),
            });
        }
    }
    let item = walker.item(1)?;
    walker.end()?;
    Ok(item)
}

impl<'a> Item<'a> {
    /// The non-negative integer.
    pub fn uint(&self, field: &str) -> Result<u64, CborError> {
        match self.value {
            Value::Uint(number) => Ok(number),
            _ => Err(self.wrong_type(field, "unsigned integer")),
        }
    }

    /// The integer, if it fits.
    pub fn int(&self, field: &str) -> Result<i64, CborError> {
        self.as_int()
            .ok_or_else(|| self.wrong_type(field, "integer of 64 bits"))
    }

    /// The byte string.
    pub fn byte_string(&self, field: &str) -> Result<&'a [u8], CborError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type(field, "byte string")),
        }
    }

    /// The byte string of exactly `N` bytes.
    pub fn byte_array<const N: usize>(&self, field: &str) -> Result<[u8; N], CborError> {
        match self.value {
            Value::Bytes(bytes) => <[u8; N]>::try_from(bytes).ok(),
            _ => None,
        }
        .ok_or_else(|| self.wrong_type(field, "byte string of fixed length"))
    }

    /// The text string.
    pub fn text(&self, field: &str) -> Result<&'a str, CborError> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong_type(field, "text string")),
        }
    }

    /// The items of the array.
    pub fn array(&self, field: &str) -> Result<&[Self], CborError> {
        match &self.value {
            Value::Array(items) => Ok(items),
            _ => Err(self.wrong_type(field, "array")),
        }
    }

    /// The items of the array of exactly `N` items.
    pub fn tuple<const N: usize>(&self, field: &str) -> Result<&[Self; N], CborError> {
        match &self.value {
            Value::Array(items) => items.as_slice().try_into().ok(),
            _ => None,
        }
        .ok_or_else(|| self.wrong_type(field, "array of fixed length"))
    }

    /// The entries of the map, in the order of the bytes.
    pub fn map(&self, field: &str) -> Result<&[(Self, Self)], CborError> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong_type(field, "map")),
        }
    }

    /// The map, to be read field by field; see [`Fields`].
    pub fn fields(&self, field: &str) -> Result<Fields<'_, 'a>, CborError> {
        let entries = self.map(field)?;
        Ok(Fields {
            prefix: field.to_owned(),
            entries,
            taken: BTreeSet::new(),
        })
    }

    /// `true` or `false`.
    pub fn boolean(&self, field: &str) -> Result<bool, CborError> {
        match self.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.wrong_type(field, "boolean")),
        }
    }

    /// Whether the item is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The integer, or `None` if it is none or does not fit.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Uint(number) => i64::try_from(number).ok(),
            Value::Nint(number) => i64::try_from(number).ok().map(|number| -1 - number),
            _ => None,
        }
    }

    /// The error that this item is not what was expected at `field`.
    pub fn wrong_type(&self, field: &str, expected: &'static str) -> CborError {
        let found = self.type_name();
        CborError::WrongType {
            field: field.to_owned(),
            offset: self.offset,
            expected,
            found,
        }
    }

    /// The type of the item in words.
    pub const fn type_name(&self) -> &'static str {
        match self.value {
            Value::Uint(_) => "unsigned integer",
            Value::Nint(_) => "negative integer",
            Value::Bytes(_) => "byte string",
            Value::Text(_) => "text string",
            Value::Array(_) => "array",
            Value::Map(_) => "map",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
        }
    }
}

/// Reads a map with integer keys, field by field; [`Fields::finish`] refuses what was not asked for.
#[derive(Debug)]
pub struct Fields<'i, 'a> {
    prefix: String,
    entries: &'i [(Item<'a>, Item<'a>)],
    taken: BTreeSet<i64>,
}

impl<'i, 'a> Fields<'i, 'a> {
    /// The value under `key`, if it is there.
    pub fn optional(&mut self, key: i64) -> Option<&'i Item<'a>> {
        self.taken.insert(key);
        self.entries
            .iter()
            .find(|(found, _)| found.as_int() == Some(key))
            .map(|(_, item)| item)
    }

    /// The value under `key`; `name` is for the error alone.
    pub fn required(&mut self, key: i64, name: &str) -> Result<&'i Item<'a>, CborError> {
        self.optional(key).ok_or_else(|| CborError::MissingKey {
            field: if self.prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{}.{name}", self.prefix)
            },
            key,
        })
    }

    /// Succeeds if every key of the map was asked for.
    pub fn finish(self) -> Result<(), CborError> {
        let known = |key: &Item<'_>| key.as_int().is_some_and(|key| self.taken.contains(&key));
        match self.entries.iter().find(|(key, _)| !known(key)) {
            Some((key, _)) => Err(CborError::UnknownKey {
                offset: key.offset,
                key: key_text(key),
            }),
            None => Ok(()),
        }
    }
}

/// A map key as it is shown in an error.
pub(crate) fn key_text(key: &Item<'_>) -> String {
    match &key.value {
        Value::Uint(number) => number.to_string(),
        Value::Nint(number) => format!("{}", -1 - i128::from(*number)),
        Value::Text(text) => format!("{text:?}"),
        _ => key.type_name().to_owned(),
    }
}

const MAJOR_UINT: u8 = 0;
const MAJOR_NINT: u8 = 1;
const MAJOR_BYTES: u8 = 2;
const MAJOR_TEXT: u8 = 3;
const MAJOR_ARRAY: u8 = 4;
const MAJOR_MAP: u8 = 5;
const MAJOR_TAG: u8 = 6;

const fn major_name(major: u8) -> &'static str {
    match major {
        MAJOR_UINT => "unsigned integer",
        MAJOR_NINT => "negative integer",
        MAJOR_BYTES => "byte string",
        MAJOR_TEXT => "text string",
        MAJOR_ARRAY => "array",
        MAJOR_MAP => "map",
        MAJOR_TAG => "tag",
        _ => "simple value",
    }
}

struct Head {
    offset: usize,
    first: u8,
    major: u8,
    argument: u64,
}

struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
    order: KeyOrder,
}

impl<'a> Walker<'a> {
    /// Recursion is bounded: `depth` never exceeds [`CBOR_DEPTH_MAX`].
    fn item(&mut self, depth: usize) -> Result<Item<'a>, CborError> {
        let head = self.head()?;
        let offset = head.offset;
        let nested = matches!(head.major, MAJOR_ARRAY | MAJOR_MAP);
        if nested && depth >= CBOR_DEPTH_MAX {
            return Err(CborError::TooDeep { offset });
        }
        let value = match head.major {
            MAJOR_UINT => Value::Uint(head.argument),
            MAJOR_NINT => Value::Nint(head.argument),
            MAJOR_BYTES => Value::Bytes(self.take(head.argument)?),
            MAJOR_TEXT => match str::from_utf8(self.take(head.argument)?) {
                Ok(text) => Value::Text(text),
                Err(_) => return Err(CborError::NotUtf8 { offset }),
            },
            MAJOR_ARRAY => Value::Array(self.array(head.argument, depth)?),
            MAJOR_MAP => Value::Map(self.map(head.argument, depth)?),
            MAJOR_TAG => {
                return Err(CborError::Tag {
                    offset,
                    tag: head.argument,
                });
            }
            _ => simple(&head)?,
        };
        let bytes = self.bytes.get(offset..self.position).unwrap_or_default();
        Ok(Item {
            offset,
            bytes,
            value,
        })
    }

    fn array(&mut self, count: u64, depth: usize) -> Result<Vec<Item<'a>>, CborError> {
        // No allocation by the announced count: it may be any number.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.item(depth + 1)?);
        }
        Ok(items)
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Vec<(Item<'a>, Item<'a>)>, CborError> {
        let mut entries: Vec<(Item<'a>, Item<'a>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let key = self.item(depth + 1)?;
            if !seen.insert(key.bytes) {
                return Err(CborError::DuplicateKey { offset: key.offset });
            }
            let sorted = seen.last() == Some(&key.bytes);
            if self.order == KeyOrder::Sorted && !sorted {
                return Err(CborError::KeyOrder { offset: key.offset });
            }
            let value = self.item(depth + 1)?;
            entries.push((key, value));
        }
        Ok(entries)
    }

    fn head(&mut self) -> Result<Head, CborError> {
        let offset = self.position;
        let [first] = self.fixed()?;
        let major = first >> 5;
        let (argument, least) = match first & 0x1f {
            small @ 0..24 => (u64::from(small), 0),
            24 => (u64::from(u8::from_be_bytes(self.fixed()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.fixed()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.fixed()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.fixed()?), 1 << 32),
            31 if matches!(major, MAJOR_BYTES..=MAJOR_MAP) => {
                return Err(CborError::Indefinite { offset });
            }
            _ => {
                return Err(CborError::Reserved {
                    offset,
                    head: first,
                });
            }
        };
        // In major type 7 the argument is no number but a float or a simple value.
        if major <= MAJOR_TAG && argument < least {
            return Err(CborError::NotShortest { offset });
        }
        Ok(Head {
            offset,
            first,
            major,
            argument,
        })
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let chunk = rest.first_chunk::<N>().ok_or(CborError::Truncated {
            offset: self.position,
        })?;
        self.position += N;
        Ok(*chunk)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let truncated = CborError::Truncated {
            offset: self.position,
        };
        let Ok(length) = usize::try_from(length) else {
            return Err(truncated);
        };
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(truncated)?;
        self.position += length;
        Ok(taken)
    }

    const fn end(&self) -> Result<(), CborError> {
        match self.bytes.len() - self.position {
            0 => Ok(()),
            count => Err(CborError::Trailing {
                offset: self.position,
                count,
            }),
        }
    }
}

const fn simple<'a>(head: &Head) -> Result<Value<'a>, CborError> {
    match head.first {
        0xf4 => Ok(Value::Bool(false)),
        0xf5 => Ok(Value::Bool(true)),
        0xf6 => Ok(Value::Null),
        first => Err(CborError::Simple {
            offset: head.offset,
            head: first,
        }),
    }
}

#[cfg(test)]
mod tests;
