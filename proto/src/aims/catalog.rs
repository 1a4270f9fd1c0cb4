//! Catalogues of controls: what a record says it is evidence for.
//!
//! A catalogue is data: a scheme of ids with version, title and digest, read from TOML. The rule bundle
//! holds some (`rules/catalogues/`), an organisation logs its own (`ledger.controls`), and whoever wants
//! to look ids up may bring further ones. All of them have this one form.
//!
//! Digest = SHA-256 over [`Catalogue::canonical_text`], so two files that say the same have the same.

mod claim;
mod form;
mod lookup;
mod schemes;

pub(crate) use claim::check_own_id;
pub use claim::{ControlClaim, Resolved};
pub use lookup::{Answer, Near, Related, Unknown};
pub use schemes::{Scheme, Schemes};

use sha2::{Digest as _, Sha256};

/// Name of a catalogue's content: SHA-256, see the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueDigest(pub [u8; 32]);

impl std::fmt::Display for CatalogueDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is no catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// It is not the TOML that it must be.
    #[error("the catalogue does not parse")]
    Toml(#[from] toml::de::Error),
    /// A value that breaks a rule.
    #[error("{place}: {rule}; found {found:?}")]
    Value {
        /// Where it stands.
        place: String,
        /// The rule.
        rule: &'static str,
        /// What stands there.
        found: String,
    },
}

/// How two controls relate, said of the one that has the relation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// They ask for the same.
    Equal,
    /// It covers more than the other.
    Broader,
    /// They have a part in common.
    Intersects,
}

impl RelationKind {
    /// Its number in payloads.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Equal => 0,
            Self::Broader => 1,
            Self::Intersects => 2,
        }
    }

    /// The relation with this number.
    pub(crate) const fn of_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Equal),
            1 => Some(Self::Broader),
            2 => Some(Self::Intersects),
            _ => None,
        }
    }

    /// Its name in catalogues.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Broader => "broader",
            Self::Intersects => "intersects",
        }
    }
}

/// A relation to a control of another catalogue; `[relation, "scheme/id"]` in TOML.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "(RelationKind, String)")]
pub struct Relation {
    /// Which.
    pub relation: RelationKind,
    /// The other scheme.
    pub scheme: String,
    /// The id there.
    pub id: String,
}

impl TryFrom<(RelationKind, String)> for Relation {
    type Error = &'static str;

    fn try_from((relation, text): (RelationKind, String)) -> Result<Self, Self::Error> {
        let (scheme, id) = text.split_once('/').ok_or("a control is scheme/id")?;
        let (scheme, id) = (scheme.to_owned(), id.to_owned());
        Ok(Self {
            relation,
            scheme,
            id,
        })
    }
}

/// A unit of a [`Period`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Days.
    Day,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

/// A length of time, `P15D`, `P6M` or `P10Y` as in ISO 8601; `P0D` is at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Period {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

impl TryFrom<String> for Period {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const RULE: &str = "a period is P, a number and D, M or Y";
        let rest = text.strip_prefix('P').ok_or(RULE)?;
        let unit = match rest.chars().next_back() {
            Some('D') => Unit::Day,
            Some('M') => Unit::Month,
            Some('Y') => Unit::Year,
            _ => return Err(RULE),
        };
        let digits = rest.trim_end_matches(['D', 'M', 'Y']);
        let is_plain = digits.len() + 1 == rest.len() && digits.bytes().all(|b| b.is_ascii_digit());
        let count = digits.parse().ok().filter(|_| is_plain).ok_or(RULE)?;
        Ok(Self { count, unit })
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.unit {
            Unit::Day => 'D',
            Unit::Month => 'M',
            Unit::Year => 'Y',
        };
        write!(f, "P{}{unit}", self.count)
    }
}

/// A clock that a duty starts: one of the bounds, and the event that it runs from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// It is done by then.
    pub at_most: Option<Period>,
    /// It is kept so long.
    pub at_least: Option<Period>,
    /// Id of the event.
    pub from: String,
}

/// What a clock runs from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its id within the catalogue.
    pub id: String,
    /// What happens.
    pub title: String,
    /// `kind.field` that records when, where a record does.
    pub field: Option<String>,
}

/// From when something applies.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationDate {
    /// Its id within the catalogue.
    pub id: String,
    /// The first day, `2027-12-02`.
    pub from: String,
    /// What applies from then on.
    pub title: String,
}

/// One control of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Id within its scheme, for example `A.9.2`.
    pub id: String,
    /// Short title.
    pub title: String,
    /// Names of the kinds that evidence it, also of kinds that the bundle only reserves.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Controls of other catalogues.
    #[serde(default)]
    pub relates: Vec<Relation>,
    /// How else the id is written.
    #[serde(default)]
    pub also: Vec<String>,
    /// What to know when it is looked up.
    pub note: Option<String>,
    /// What is to be done, in few words.
    pub duty: Option<String>,
    /// Clocks that it starts.
    #[serde(default)]
    pub clocks: Vec<Clock>,
    /// Ids of the dates from which it applies.
    #[serde(default)]
    pub applies: Vec<String>,
}

/// The parts of a catalogue, unchecked: the form of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// Name in claims, for example `iso42001-2023`.
    pub scheme: String,
    /// Version of the catalogue, from 1.
    pub version: u32,
    /// Title for people.
    pub title: String,
    /// The edition of the text whose ids they are.
    pub text: Option<String>,
    /// Its ids stand for those that they relate to, and are never logged themselves.
    #[serde(default)]
    pub aliases: bool,
    /// Dates that controls refer to.
    #[serde(default, rename = "date")]
    pub dates: Vec<ApplicationDate>,
    /// Events that clocks refer to.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
    /// The controls, in their own order.
    #[serde(rename = "control")]
    pub controls: Vec<Control>,
}

/// The scheme of a control that is named without one.
pub const DEFAULT_SCHEME: &str = "iso42001-2023";

/// A catalogue whose form is right: ids once each, texts of one line, references within it that lead
/// somewhere. Whether kinds and controls of other catalogues exist is for the rule bundle to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    parts: Parts,
    digest: CatalogueDigest,
}

impl Catalogue {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        Self::new(toml::from_str(text)?)
    }

    /// The catalogue of these parts, or the first thing that is wrong with them.
    pub fn new(parts: Parts) -> Result<Self, CatalogueError> {
        form::check(&parts)?;
        let digest = Sha256::digest(form::canonical_text(&parts).as_bytes()).into();
        let digest = CatalogueDigest(digest);
        Ok(Self { parts, digest })
    }

    /// What it says.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Name in claims.
    pub fn scheme(&self) -> &str {
        &self.parts.scheme
    }

    /// The controls, in their own order.
    pub fn controls(&self) -> &[Control] {
        &self.parts.controls
    }

    /// The control with exactly this id.
    pub fn control(&self, id: &str) -> Option<&Control> {
        self.controls().iter().find(|control| control.id == id)
    }

    /// Name of its content.
    pub fn digest(&self) -> CatalogueDigest {
        self.digest
    }

    /// One line for each thing that it says, in order, behind `aimslog-catalogue/v1`. No text has a
    /// line feed, so no two catalogues have the same lines.
    pub fn canonical_text(&self) -> String {
        form::canonical_text(&self.parts)
    }
}

/// Whether a text is the id of a control of an organisation's own.
pub(crate) fn is_own_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && id.len() <= 63
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests;
