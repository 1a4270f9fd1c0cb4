//! What can be wrong with CBOR.

use crate::limits::CBOR_DEPTH_MAX;
use crate::reason::Reason;

/// Why bytes are not CBOR as we accept it, or not of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes end inside an item.
    #[error("cbor ends at byte {offset}, inside an item")]
    Truncated {
        /// Where the missing part begins.
        offset: usize,
    },
    /// Bytes follow the item.
    #[error("{count} bytes behind the cbor item that ends at byte {offset}")]
    Trailing {
        /// Where the item ends.
        offset: usize,
        /// How many bytes follow.
        count: usize,
    },
    /// A head that RFC 8949 reserves (additional information 28 to 30, or a bad simple value).
    #[error("reserved cbor head {head:#04x} at byte {offset}")]
    Reserved {
        /// Where the head stands.
        offset: usize,
        /// Its first byte.
        head: u8,
    },
    /// A text string that is not UTF-8.
    #[error("text at byte {offset} is not utf-8")]
    NotUtf8 {
        /// Where the text item begins.
        offset: usize,
    },
    /// More than [`CBOR_DEPTH_MAX`] nested items.
    #[error("cbor nested deeper than {CBOR_DEPTH_MAX} at byte {offset}")]
    TooDeep {
        /// Where the item that is too deep begins.
        offset: usize,
    },
    /// A length or number that is not in its shortest form.
    #[error("head at byte {offset} is not in its shortest form")]
    NotShortest {
        /// Where the head stands.
        offset: usize,
    },
    /// An item of indefinite length.
    #[error("item of indefinite length at byte {offset}")]
    Indefinite {
        /// Where the head stands.
        offset: usize,
    },
    /// A tag other than the expected outermost one.
    #[error("tag {tag} at byte {offset}")]
    Tag {
        /// Where the tag stands.
        offset: usize,
        /// Its number.
        tag: u64,
    },
    /// A float, `undefined`, or a simple value other than `false`, `true` and `null`.
    #[error("float or simple value {head:#04x} at byte {offset}")]
    Simple {
        /// Where the item stands.
        offset: usize,
        /// Its first byte.
        head: u8,
    },
    /// A map key that is there twice.
    #[error("duplicate map key at byte {offset}")]
    DuplicateKey {
        /// Where the second one stands.
        offset: usize,
    },
    /// A map key that belongs before its predecessor.
    #[error("map key at byte {offset} is out of order")]
    KeyOrder {
        /// Where the key stands.
        offset: usize,
    },
    /// The item has another type, length or range than expected.
    #[error("{field}: expected {expected} at byte {offset}, found {found}")]
    WrongType {
        /// The name of the field, empty for the whole.
        field: String,
        /// Where the item stands.
        offset: usize,
        /// What was expected.
        expected: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// A map does not have a key that it must have.
    #[error("{field}: missing (key {key})")]
    MissingKey {
        /// The name of the field.
        field: String,
        /// Its integer key.
        key: i64,
    },
    /// A map has a key that is not defined.
    #[error("unknown map key {key} at byte {offset}")]
    UnknownKey {
        /// Where the key stands.
        offset: usize,
        /// The key, printed.
        key: String,
    },
}

impl CborError {
    /// The stable reason: malformed, not canonical, or of the wrong shape.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Reserved { .. }
            | Self::NotUtf8 { .. }
            | Self::TooDeep { .. } => Reason::CborMalformed,
            Self::NotShortest { .. }
            | Self::Indefinite { .. }
            | Self::Tag { .. }
            | Self::Simple { .. }
            | Self::DuplicateKey { .. }
            | Self::KeyOrder { .. } => Reason::CborNotCanonical,
            Self::WrongType { .. } => Reason::InvalidField,
            Self::MissingKey { .. } => Reason::MissingField,
            Self::UnknownKey { .. } => Reason::UnknownField,
        }
    }
}
