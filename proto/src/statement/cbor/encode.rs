//! Writing deterministic CBOR.

use std::collections::BTreeMap;

use super::{MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NINT, MAJOR_TAG, MAJOR_TEXT, MAJOR_UINT};

/// Writes deterministic CBOR: shortest heads, definite lengths, sorted map keys.
///
/// The caller writes exactly as many items into an array as its head says; [`super::parse`] of the result
/// in the tests of each structure proves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An encoder that has written nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// A non-negative integer.
    pub fn uint(&mut self, number: u64) -> &mut Self {
        self.head(MAJOR_UINT, number)
    }

    /// An integer.
    pub fn int(&mut self, number: i64) -> &mut Self {
        match u64::try_from(number) {
            Ok(number) => self.head(MAJOR_UINT, number),
            // `!n` is `-1 - n`: the argument of a negative integer, never negative itself.
            Err(_) => self.head(MAJOR_NINT, (!number).unsigned_abs()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(MAJOR_BYTES, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(MAJOR_TEXT, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.push(0xf6);
        self
    }

    /// The head of an array: the next `count` items are its content.
    pub fn array(&mut self, count: usize) -> &mut Self {
        self.head(MAJOR_ARRAY, count as u64)
    }

    /// A tag: the next item is what it tags.
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(MAJOR_TAG, tag)
    }

    /// A whole map, its keys put in order.
    pub fn map(&mut self, map: MapEncoder) -> &mut Self {
        self.head(MAJOR_MAP, map.entries.len() as u64);
        for (key, value) in map.entries {
            self.bytes.extend_from_slice(&key);
            self.bytes.extend_from_slice(&value);
        }
        self
    }

    /// One item that is encoded already.
    pub fn raw(&mut self, item: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(item);
        self
    }

    /// The bytes written.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let major = major << 5;
        match argument {
            0..24 => self.bytes.push(major | argument.to_be_bytes()[7]),
            24..0x100 => {
                self.bytes.push(major | 0x18);
                self.bytes.extend_from_slice(&argument.to_be_bytes()[7..]);
            }
            0x100..0x1_0000 => {
                self.bytes.push(major | 0x19);
                self.bytes.extend_from_slice(&argument.to_be_bytes()[6..]);
            }
            0x1_0000..0x1_0000_0000 => {
                self.bytes.push(major | 0x1a);
                self.bytes.extend_from_slice(&argument.to_be_bytes()[4..]);
            }
            _ => {
                self.bytes.push(major | 0x1b);
                self.bytes.extend_from_slice(&argument.to_be_bytes());
            }
        }
        self
    }
}

/// The entries of a map that is being written; [`Encoder::map`] puts them in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapEncoder {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MapEncoder {
    /// A map without entries.
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
        }
    }

    /// Adds the entry `key`; `write` writes exactly one item.
    ///
    /// # Panics
    ///
    /// When the same key is written twice, which no input can cause.
    pub fn entry(&mut self, key: i64, write: impl FnOnce(&mut Encoder)) -> &mut Self {
        let mut value = Encoder::new();
        write(&mut value);
        let replaced = self
            .entries
            .insert(Encoder::new().int(key).finish(), value.bytes);
        assert!(
            replaced.is_none(),
            "a map is written with the same key {key} twice"
        );
        self
    }

    /// Adds the entry `key` if there is a value; otherwise as [`MapEncoder::entry`].
    pub fn optional<T>(
        &mut self,
        key: i64,
        value: Option<T>,
        write: impl FnOnce(&mut Encoder, T),
    ) -> &mut Self {
        if let Some(value) = value {
            self.entry(key, |encoder| write(encoder, value));
        }
        self
    }
}
