//! The protected header of a statement: everything that a decision at apply depends on.
//!
//! Deterministic CBOR (RFC 9052 3, RFC 9597 for the claims, RFC 9596 for the type):
//!
//! ```text
//! { 1: -8, 3: content type, 4: key thumbprint (32), 15: claims,
//!   16: "application/vnd.aimslog.statement+cose" }
//! claims = { 1: issuer, 2: subject, 3: audience, ? 4: expires, 6: issued, 7: id (16),
//!   ? -70010: rule bundle digest (32), ? -70011: [[scheme, digest (32)]],
//!   ? -70012: entity (32), ? -70013: previous (32), ? -70014: change (0, 1, 2),
//!   ? -70015: transition, ? -70016: [[relation, entry id (32), ? origin]],
//!   ? -70017: origin (0, 1, 2), ? -70018: on behalf of, ? -70019: [[scheme, control id]] }
//! ```
//!
//! Entity, previous and change come together. Evidence names its rule bundle and its origin. A
//! list that would be empty is absent, so each header has one form.

mod content_type;
mod decode;
mod encode;
mod name;
mod text;

pub use content_type::{ContentType, Family};
pub use name::{Area, EvidenceSubject, Issuer};
pub(crate) use text::{is_kind, is_word};

use super::id::{EntryId, StatementId};
use super::key::{ALG_ED25519, ALG_EDDSA, Thumbprint};
use crate::reason::Violations;
use crate::time::UnixSeconds;

/// The type (label 16) of every statement of ours.
pub const STATEMENT_TYPE: &str = "application/vnd.aimslog.statement+cose";

/// The protected header of a statement. [`Header::encode`] checks what [`Header::decode`] checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Label 1: how the statement is signed.
    pub algorithm: Algorithm,
    /// Label 3: the kind of record and its version.
    pub content_type: ContentType,
    /// Label 4 (`kid`): the key that signs.
    pub key: Thumbprint,
    /// Claim 1 (`iss`): `https://<origin>` or `https://<origin>/o/<organisation id>`.
    pub issuer: String,
    /// Claim 2 (`sub`): `urn:aimslog:` and what the statement is about.
    pub subject: String,
    /// Claim 3 (`aud`): the service id of the ledger that may register the statement.
    pub audience: String,
    /// Claim 4 (`exp`): the last registration time at which the statement may be registered.
    pub expires: Option<UnixSeconds>,
    /// Claim 6 (`iat`): the claimed time of signing.
    pub issued: UnixSeconds,
    /// Claim 7 (`cti`): the unique id within the organisation.
    pub id: StatementId,
    /// Claim -70010: the digest of the rule bundle that the record was made under.
    pub rules: Option<[u8; 32]>,
    /// Claim -70011: the organisation's own catalogues that the controls refer to.
    pub catalogues: Vec<CatalogRef>,
    /// Claims -70012 to -70014: which entity this is a later version of. `None` opens an entity.
    pub revision: Option<Revision>,
    /// Claim -70015: the state that the entity reaches with this version.
    pub transition: Option<String>,
    /// Claim -70016: the links that guards decide by.
    pub links: Vec<Link>,
    /// Claim -70017: who or what made the record.
    pub origin: Option<Origin>,
    /// Claim -70018: the principal that the signer acts for.
    pub on_behalf_of: Option<String>,
    /// Claim -70019: the controls that the record is evidence for.
    pub controls: Vec<ControlRef>,
}

/// The signature algorithm. Both are Ed25519 (RFC 8032); they differ in the COSE id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// -8, what we emit.
    EdDsa,
    /// -19, the fully specified id of RFC 9864, accepted where the policy lists it.
    Ed25519,
}

impl Algorithm {
    /// The COSE id.
    pub const fn id(self) -> i64 {
        match self {
            Self::EdDsa => ALG_EDDSA,
            Self::Ed25519 => ALG_ED25519,
        }
    }

    /// The algorithm with this COSE id, if it is one of ours.
    pub const fn from_id(id: i64) -> Option<Self> {
        match id {
            ALG_EDDSA => Some(Self::EdDsa),
            ALG_ED25519 => Some(Self::Ed25519),
            _ => None,
        }
    }
}

/// Which version of an entity a record follows, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// The first version of the entity.
    pub entity: EntryId,
    /// The newest version, which this one follows.
    pub previous: EntryId,
    /// How it differs.
    pub change: Change,
}

/// How a version differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The thing itself changed.
    Amend,
    /// The version before was wrong.
    Correct,
    /// The entity is withdrawn.
    Retract,
}

/// Who or what made a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A person.
    Person,
    /// A program that follows fixed rules.
    System,
    /// An AI agent.
    AiAgent,
}

/// A link to another entry, by which guards decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What the target is to this record, for example `finding`.
    pub relation: String,
    /// The entry.
    pub target: EntryId,
    /// The origin of the log that holds the entry, where that is another log.
    pub origin: Option<String>,
}

/// A control of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlRef {
    /// The catalogue, for example `iso42001-2023`.
    pub scheme: String,
    /// The control in it, for example `A.9.2`.
    pub id: String,
}

/// A catalogue in one exact version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CatalogRef {
    /// Its name.
    pub scheme: String,
    /// SHA-256 of its content.
    pub digest: [u8; 32],
}

impl Header {
    /// Whether it takes its entity back.
    pub fn is_retraction(&self) -> bool {
        let change = self.revision.map(|revision| revision.change);
        change == Some(Change::Retract)
    }

    /// The deterministic bytes, if the header keeps every rule; otherwise all that is wrong.
    pub fn encode(&self) -> Result<Vec<u8>, Violations> {
        let bytes = encode::encode(self);
        Self::decode(&bytes)?;
        Ok(bytes)
    }

    /// Reads a header strictly: exactly the labels and claims above, in order, of these types and
    /// lengths. The error holds every violation that can be found at once.
    pub fn decode(bytes: &[u8]) -> Result<Self, Violations> {
        decode::decode(bytes)
    }

    /// As much of a header as can be read where [`Header::decode`] refuses it; everything else claims
    /// nothing. `None` where the content type cannot be read.
    pub(in crate::statement) fn salvage(bytes: &[u8]) -> Option<Self> {
        decode::salvage(bytes)
    }

    /// Who the issuer is in the ledger with this origin, or `None` if it belongs to another one.
    pub fn issuer_in<'a>(&'a self, origin: &'a str) -> Option<Issuer<'a>> {
        Issuer::parse(self.issuer.as_str(), origin)
    }

    /// What evidence is about, or `None` if the subject has another form.
    pub fn evidence_subject(&self) -> Option<EvidenceSubject<'_>> {
        EvidenceSubject::parse(&self.subject)
    }
}

#[cfg(test)]
pub(in crate::statement) mod tests;
