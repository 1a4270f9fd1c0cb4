//! Ids of statements: of the log entry, and the one that the submitter chose.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::key::decode_32;

/// SHA-256 of the log entry; it also names an entity by its first version, and genesis the cluster.
///
/// Text: 43 characters of base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId([u8; 32]);

/// Text that is not an entry id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry id is 43 characters of base64url without padding")]
pub struct EntryIdError;

impl EntryId {
    /// The id of the entry with these bytes.
    pub fn of(entry: &[u8]) -> Self {
        Self(Sha256::digest(entry).into())
    }

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the text form; there is one text for each id.
    pub fn parse(text: &str) -> Result<Self, EntryIdError> {
        decode_32(text).map(Self).ok_or(EntryIdError)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({self})")
    }
}

impl std::str::FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        Self::parse(text)
    }
}

/// The unique id of a statement (`cti`): one per organisation, chosen by the submitter.
///
/// Text: 22 characters of base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementId([u8; 16]);

impl StatementId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatementId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_id_reads_back_and_no_other_text_does() {
        let id = EntryId::of(b"entry");
        assert_eq!(EntryId::parse(&id.to_string()), Ok(id));
        assert_eq!(id.to_string().len(), 43);
        let text = id.to_string();
        // 43 characters carry 258 bits: the last two must be zero, or one id had four texts.
        let stray: String = text.chars().take(42).chain(['_']).collect();
        for bad in [
            "",
            &stray,
            &format!("{text}="),
            &format!(" {text}"),
            &text.replace('_', "/"),
        ] {
            assert!(
                bad == text.as_str() || EntryId::parse(bad).is_err(),
                "{bad}"
            );
        }
    }
}
