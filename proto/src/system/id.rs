//! Identifiers that stand in system records: organisations, principals, roles,
//! engagements and nodes.
//!
//! All of them are opaque to the ledger and hold no personal data; names of people and companies
//! stand in disclosures.

use std::fmt;

use crate::limits::ID_BYTES_MAX;
use thiserror::Error;

/// Text that is not an identifier: one to 63 of `a-z`, `0-9` and `-` (`_` for a role), a letter or digit
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "an id is 1 to 63 of a-z, 0-9 and '-' ('_' for a role), a letter or digit first; this one has \
     {bytes} bytes"
)]
pub struct InvalidId {
    /// How long the refused text is.
    pub bytes: usize,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $joint:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id, or what is wrong with the text.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if is_identifier(text, $joint) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { bytes: text.len() })
                }
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

identifier! {
    /// An organisation of the ledger.
    OrganizationId, b'-'
}

identifier! {
    /// A principal (person, process or AI agent) within its organisation.
    PrincipalId, b'-'
}

identifier! {
    /// The pseudonym of the human or process behind one or more principals: guards that need two
    /// people compare holders, not keys.
    Holder, b'-'
}

identifier! {
    /// A role of a principal, spelt as in the rule bundle, with `_` where ids have `-`. The registry
    /// itself knows one, [`Role::administrator`].
    Role, b'_'
}

impl Role {
    /// The role whose holders register and revoke the principals of their organisation.
    pub fn administrator() -> Self {
        Self("administrator".to_owned())
    }

    /// Whether this is [`Role::administrator`].
    pub fn is_administrator(&self) -> bool {
        self.0 == "administrator"
    }
}

identifier! {
    /// An engagement, named by the organisation that grants it and unique there.
    EngagementId, b'-'
}

/// The number of a node: above zero and never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// The id, unless the number is zero.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether `text` is an identifier: `[a-z0-9][a-z0-9-]{0,62}`.
fn is_identifier(text: &str, joint: u8) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    bytes.next().is_some_and(plain)
        && bytes.all(|byte| plain(byte) || byte == joint)
        && text.len() <= ID_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_identifiers_and_nothing_else() {
        for good in ["a", "0", "org-1", "a-", &"a".repeat(63)] {
            assert_eq!(OrganizationId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a_b", "a b", "ä", "a/b", &"a".repeat(64)] {
            assert_eq!(
                PrincipalId::new(bad),
                Err(InvalidId { bytes: bad.len() }),
                "{bad}"
            );
        }
    }

    #[test]
    fn node_id_is_above_zero() {
        assert_eq!(NodeId::new(0), None);
        assert_eq!(NodeId::new(7).map(NodeId::number), Some(7));
    }
}
