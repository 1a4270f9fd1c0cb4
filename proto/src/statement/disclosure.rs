//! Disclosures: the fields of a record, each salted so that it can be shown alone.
//!
//! A disclosure is the UTF-8 JSON array `[salt, name, value]` (RFC 9901 4.2.1, before base64url)
//! in the strict profile of [`super::json`], kept as bytes from then on. The salt is 16 to 32
//! random bytes in base64url without padding. An absent field is `[salt, name, null]`; below the
//! top of a value nothing is `null`: absent nested fields are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::commitment::FieldCount;
use super::json::{Json, JsonError, is_name};
use crate::limits::{
    DISCLOSURE_BYTES_MAX, RECORD_BYTES_MAX, RECORD_FIELDS_MAX, SALT_BYTES_MAX, SALT_BYTES_MIN,
};
use crate::reason::{Reason, Violation, Violations};
use crate::tlog::hash::LeafHash;

/// 16 to 32 random bytes that hide a field until it is shown. Never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// Takes the bytes, which the caller drew from a secure random source, one salt per field.
    pub fn new(bytes: &[u8]) -> Result<Self, DisclosureError> {
        if (SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&bytes.len()) {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(DisclosureError::SaltLength { found: bytes.len() })
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({} bytes)", self.0.len())
    }
}

/// One field of a record: its exact bytes, and what they say.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    bytes: Box<[u8]>,
    salt: Salt,
    name: String,
    value: Json,
}

/// Why bytes are not a disclosure, or none can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisclosureError {
    /// More bytes than [`DISCLOSURE_BYTES_MAX`].
    #[error("disclosure of {found} bytes, at most {DISCLOSURE_BYTES_MAX} are accepted")]
    TooLarge {
        /// How many bytes.
        found: usize,
    },
    /// Not strict JSON.
    #[error("disclosure: {0}")]
    Json(#[from] JsonError),
    /// Not an array of salt, name and value.
    #[error("a disclosure is an array [salt, name, value], found {found}")]
    Shape {
        /// What was found.
        found: &'static str,
    },
    /// A salt that is not canonical base64url without padding.
    #[error("a salt is base64url without padding")]
    SaltText,
    /// A salt that is too short or too long.
    #[error("a salt has {SALT_BYTES_MIN} to {SALT_BYTES_MAX} bytes, found {found}")]
    SaltLength {
        /// Its length in bytes.
        found: usize,
    },
    /// A name that is not in snake case.
    #[error("a field name is snake_case: [a-z][a-z0-9_]*, at most 64 bytes")]
    Name,
    /// A value outside the strict profile, handed over by the caller.
    #[error("the value is outside the strict profile")]
    Value,
    /// `null` inside a value.
    #[error("null inside a value; an absent nested field is left out")]
    NestedNull,
}

impl DisclosureError {
    /// The stable reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::DisclosureTooLarge,
            Self::Json(error) => error.reason(),
            Self::Shape { .. } => Reason::JsonMalformed,
            Self::SaltText | Self::SaltLength { .. } => Reason::InvalidSalt,
            Self::Name => Reason::UnknownField,
            Self::Value | Self::NestedNull => Reason::InvalidField,
        }
    }
}

impl Disclosure {
    /// The disclosure of the field `name`; [`Json::Null`] says that the field is absent.
    pub fn new(salt: &Salt, name: &str, value: &Json) -> Result<Self, DisclosureError> {
        if !value.is_strict() {
            return Err(DisclosureError::Value);
        }
        let array = Json::Array(vec![
            Json::Text(URL_SAFE_NO_PAD.encode(salt.as_bytes())),
            Json::Text(name.to_owned()),
            value.clone(),
        ]);
        Self::parse(array.to_string().as_bytes())
    }

    /// Reads a disclosure strictly: one text for each salt, name and value.
    pub fn parse(bytes: &[u8]) -> Result<Self, DisclosureError> {
        if bytes.len() > DISCLOSURE_BYTES_MAX {
            return Err(DisclosureError::TooLarge { found: bytes.len() });
        }
        let shape = |found| DisclosureError::Shape { found };
        let items = match Json::parse_inside(bytes, 1)? {
            Json::Array(items) => items,
            other => return Err(shape(other.type_name())),
        };
        let Ok([salt, name, value]) = <[Json; 3]>::try_from(items) else {
            return Err(shape("an array of another length"));
        };
        let (Json::Text(salt), Json::Text(name)) = (salt, name) else {
            return Err(shape("a salt or name that is no string"));
        };
        let Ok(salt) = URL_SAFE_NO_PAD.decode(salt) else {
            return Err(DisclosureError::SaltText);
        };
        let salt = Salt::new(&salt)?;
        if !is_name(&name) {
            return Err(DisclosureError::Name);
        }
        if has_nested_null(&value) {
            return Err(DisclosureError::NestedNull);
        }
        Ok(Self {
            bytes: bytes.into(),
            salt,
            name,
            value,
        })
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The salt.
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The name of the field.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value; [`Json::Null`] if the field is absent.
    pub const fn value(&self) -> &Json {
        &self.value
    }

    /// Whether it says that the field is absent.
    pub const fn is_absent(&self) -> bool {
        matches!(self.value, Json::Null)
    }

    /// Its leaf under the commitment: `SHA-256(00 || bytes)`.
    pub fn leaf_hash(&self) -> LeafHash {
        LeafHash::of(&self.bytes)
    }
}

/// Names the field and how long it is: content of records is never logged.
impl fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disclosure({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// Recursion is bounded by the depth of the profile.
fn has_nested_null(value: &Json) -> bool {
    let is_or_has = |value: &Json| matches!(value, Json::Null) || has_nested_null(value);
    match value {
        Json::Array(items) => items.iter().any(is_or_has),
        Json::Object(fields) => fields.iter().any(|(_, value)| is_or_has(value)),
        _ => false,
    }
}

/// All fields of a record: the names of the frozen list in its order, and no salt twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisclosureSet {
    disclosures: Vec<Disclosure>,
}

impl DisclosureSet {
    /// Reads the disclosures of a record whose kind has these `names`; the error holds everything
    /// that is wrong. What is larger than a record may be is not looked at further.
    pub fn parse<B: AsRef<[u8]>, N: AsRef<str>>(
        disclosures: &[B],
        names: &[N],
    ) -> Result<Self, Violations> {
        let mut violations = sizes(disclosures);
        if !violations.is_empty() {
            return Err(violations.into());
        }
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let mut parsed = Vec::with_capacity(disclosures.len());
        for (index, bytes) in disclosures.iter().enumerate() {
            match Disclosure::parse(bytes.as_ref()) {
                Ok(disclosure) => parsed.push(Some(disclosure)),
                Err(error) => {
                    let field = names.get(index).copied().map(field_path);
                    let field = field.unwrap_or_else(|| format!("disclosures[{index}]"));
                    violations.push(Violation::new(error.reason(), field, error.to_string()));
                    parsed.push(None);
                }
            }
        }
        let read: Vec<Option<&Disclosure>> = parsed.iter().map(Option::as_ref).collect();
        violations.extend(wrong_names(&read, &names));
        violations.extend(equal_salts(&read));
        if violations.is_empty() {
            let disclosures = parsed.into_iter().flatten().collect();
            Ok(Self { disclosures })
        } else {
            Err(violations.into())
        }
    }

    /// Puts the disclosures together; the error holds everything that is wrong.
    pub fn new<N: AsRef<str>>(
        disclosures: Vec<Disclosure>,
        names: &[N],
    ) -> Result<Self, Violations> {
        let bytes: Vec<&[u8]> = disclosures.iter().map(Disclosure::bytes).collect();
        let mut violations = sizes(&bytes);
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let read: Vec<Option<&Disclosure>> = disclosures.iter().map(Some).collect();
        violations.extend(wrong_names(&read, &names));
        violations.extend(equal_salts(&read));
        if violations.is_empty() {
            Ok(Self { disclosures })
        } else {
            Err(violations.into())
        }
    }

    /// The disclosures, in the order of the field list.
    pub fn as_slice(&self) -> &[Disclosure] {
        &self.disclosures
    }

    /// The values, in the order of the field list.
    pub fn into_values(self) -> impl Iterator<Item = Json> {
        self.disclosures
            .into_iter()
            .map(|disclosure| disclosure.value)
    }

    /// The disclosure of the field `name`.
    pub fn field(&self, name: &str) -> Option<&Disclosure> {
        self.disclosures
            .iter()
            .find(|disclosure| disclosure.name == name)
    }

    /// The leaf hashes, in the order of the field list.
    pub fn leaf_hashes(&self) -> Vec<LeafHash> {
        self.disclosures.iter().map(Disclosure::leaf_hash).collect()
    }
}

/// How a field is named in a violation.
fn field_path(name: &str) -> String {
    format!("record.{name}")
}

fn sizes<B: AsRef<[u8]>>(disclosures: &[B]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let count = disclosures.len();
    if FieldCount::new(count).is_none() {
        let rule = format!("a record has 1 to {RECORD_FIELDS_MAX} fields");
        violations.push(Violation::new(Reason::RecordTooLarge, "disclosures", rule).found(count));
    }
    let total: usize = disclosures.iter().map(|bytes| bytes.as_ref().len()).sum();
    if total > RECORD_BYTES_MAX {
        let rule = format!("the disclosures of a record have at most {RECORD_BYTES_MAX} bytes");
        violations.push(Violation::new(Reason::RecordTooLarge, "disclosures", rule).found(total));
    }
    violations
}

/// Unknown, doubled, swapped and missing names; `None` stands for a disclosure that cannot be read,
/// which is taken for the field of its place.
fn wrong_names(disclosures: &[Option<&Disclosure>], names: &[&str]) -> Vec<Violation> {
    let found = disclosures.iter().map(|read| read.map(Disclosure::name));
    if found.eq(names.iter().copied().map(Some)) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let mut found_at: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unread = BTreeSet::new();
    for (index, disclosure) in disclosures.iter().enumerate() {
        let Some(disclosure) = disclosure else {
            unread.extend(names.get(index).copied());
            continue;
        };
        let name = disclosure.name.as_str();
        let path = field_path(name);
        let first = *found_at.entry(name).or_insert(index);
        if first != index {
            let violation = Violation::new(Reason::DuplicateField, path, "a field stands once");
            violations.push(violation.found(format_args!("at {first} and at {index}")));
            continue;
        }
        let violation = match names.iter().position(|known| *known == name) {
            Some(place) if place == index => continue,
            Some(place) => {
                let rule = format!("the field stands at {place} of its list");
                Violation::new(Reason::SwappedField, path, rule).found(index)
            }
            None => {
                let rule = "a field of the list of its kind";
                let violation = Violation::new(Reason::UnknownField, path, rule);
                match names.get(index) {
                    Some(expected) => violation.nearest(*expected),
                    None => violation,
                }
            }
        };
        violations.push(violation);
    }
    let is_missing = |name: &&&str| !found_at.contains_key(**name) && !unread.contains(**name);
    for name in names.iter().filter(is_missing) {
        let rule = "every field of the list is there; an absent one is null";
        violations.push(Violation::new(Reason::MissingField, field_path(name), rule));
    }
    violations
}

fn equal_salts(disclosures: &[Option<&Disclosure>]) -> Vec<Violation> {
    let mut seen = BTreeSet::new();
    let read = disclosures.iter().flatten();
    let repeated = read.filter(|disclosure| !seen.insert(&disclosure.salt));
    repeated
        .map(|disclosure| {
            let rule = "each field of a record has a salt of its own";
            Violation::new(Reason::DuplicateSalt, field_path(&disclosure.name), rule)
        })
        .collect()
}

#[cfg(test)]
mod tests;
