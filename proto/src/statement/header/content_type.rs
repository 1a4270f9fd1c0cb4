//! Content types: which kind of record, in which version.

use std::fmt;

use super::text::is_kind;
use crate::limits::KIND_VERSION_MAX;

const PREFIX: &str = "application/vnd.aimslog.";
const LEDGER_PREFIX: &str = "ledger.";

/// A kind of record and its version:
/// `application/vnd.aimslog.<kind>.v<n>+json` for evidence,
/// `application/vnd.aimslog.ledger.<kind>.v<n>+cbor` for records of the ledger itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentType {
    family: Family,
    kind: String,
    version: u32,
}

/// What the payload of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A commitment to disclosures.
    Evidence,
    /// A public record of the ledger itself.
    Ledger,
}

impl ContentType {
    /// The content type of a kind (`[a-z][a-z0-9_-]{0,62}`) in a version from 1 to 65535, or
    /// `None` if it is not one.
    pub fn new(family: Family, kind: &str, version: u32) -> Option<Self> {
        let valid = is_kind(kind) && (1..=KIND_VERSION_MAX).contains(&version);
        valid.then(|| Self {
            family,
            kind: kind.to_owned(),
            version,
        })
    }

    /// Reads the text form; there is one text for each content type.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (family, rest) = match (rest.strip_suffix("+json"), rest.strip_suffix("+cbor")) {
            (Some(rest), _) => (Family::Evidence, rest),
            (None, Some(rest)) => (Family::Ledger, rest.strip_prefix(LEDGER_PREFIX)?),
            (None, None) => return None,
        };
        let (kind, version) = rest.rsplit_once(".v")?;
        let parsed = Self::new(family, kind, version.parse().ok()?)?;
        // One text each: no leading zero or sign in the version.
        (parsed.to_string() == text).then_some(parsed)
    }

    /// What the payload is.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The kind without the family, for example `oversight_decision` or `genesis`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The version of the kind, from 1.
    pub const fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, suffix) = match self.family {
            Family::Evidence => ("", "json"),
            Family::Ledger => (LEDGER_PREFIX, "cbor"),
        };
        write!(
            f,
            "{PREFIX}{family}{}.v{}+{suffix}",
            self.kind, self.version
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_type_has_one_text() {
        for (family, kind, version, text) in [
            (
                Family::Evidence,
                "finding",
                1,
                "application/vnd.aimslog.finding.v1+json",
            ),
            (
                Family::Evidence,
                "ai_system",
                65_535,
                "application/vnd.aimslog.ai_system.v65535+json",
            ),
            (
                Family::Ledger,
                "genesis",
                2,
                "application/vnd.aimslog.ledger.genesis.v2+cbor",
            ),
            (
                Family::Ledger,
                "index-root",
                1,
                "application/vnd.aimslog.ledger.index-root.v1+cbor",
            ),
        ] {
            let expected = ContentType::new(family, kind, version).unwrap();
            assert_eq!(expected.to_string(), text);
            assert_eq!(ContentType::parse(text), Some(expected));
        }
        for bad in [
            "",
            "application/json",
            "application/vnd.aimslog.finding.v1+cbor",
            "application/vnd.aimslog.ledger.genesis.v1+json",
            "application/vnd.aimslog.finding.v01+json",
            "application/vnd.aimslog.finding.v0+json",
            "application/vnd.aimslog.finding.v+1+json",
            "application/vnd.aimslog.finding.v65536+json",
            "application/vnd.aimslog.Finding.v1+json",
            "application/vnd.aimslog..v1+json",
            "application/vnd.aimslog.finding+json",
            "application/vnd.aimslog.finding.v1+json;q=1",
        ] {
            assert_eq!(ContentType::parse(bad), None, "{bad}");
        }
    }
}
