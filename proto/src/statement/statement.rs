//! Signed Statements (RFC 9943): tagged `COSE_Sign1` with an attached payload.
//!
//! The log entry is exactly `D2 84 || protected || A0 || payload || signature`, each part a byte
//! string with its shortest head. Nothing is re-encoded: the header, the payload and the signature
//! are spans of the bytes that came in. What others put into the unprotected header (receipts,
//! certificates) is not signed and not logged: RFC 9943 6.3 asks for an empty map in the log.
//!
//! The signature is over the `Sig_structure` of RFC 9052 4.4:
//! `["Signature1", protected, h'', payload]`.

mod error;
mod remains;

use std::ops::Range;

pub use error::StatementError;
pub use remains::Remains;

use super::cbor::{self, CborError, Encoder, KeyOrder, TAG_COSE_SIGN1};
use super::commitment::Commitment;
use super::header::{Algorithm, ContentType, Family, Header};
use super::id::EntryId;
use super::key::{PublicKey, Signature, Signer, SignerError};
use crate::limits::{FOREIGN_STATEMENT_BYTES_MAX, LEDGER_STATEMENT_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::tlog::hash::LeafHash;

/// The first bytes of every log entry: tag 18, array of four.
const ENTRY_PREFIX: [u8; 2] = [0xd2, 0x84];
const EMPTY_MAP: u8 = 0xa0;

/// A well-formed statement of which nobody has checked the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedStatement {
    /// Exactly the log entry.
    entry: Box<[u8]>,
    protected: Range<usize>,
    payload: Range<usize>,
    signature: Signature,
    header: Header,
    commitment: Option<Commitment>,
}

/// A statement that the key named in it has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    unverified: UnverifiedStatement,
    key: PublicKey,
}

/// Signs `payload` under `header`. The header names the key of the signer.
///
/// The result was verified: a signing device that errs is found here, not in the log.
pub fn sign(header: &Header, payload: &[u8], signer: &dyn Signer) -> Result<Statement, SignError> {
    let key = signer.public_key();
    if key.thumbprint() != header.key {
        let (expected, found) = (key.thumbprint(), header.key);
        return Err(StatementError::OtherKey { expected, found }.into());
    }
    let protected = header.encode().map_err(StatementError::from)?;
    let signature = signer.sign(&sig_structure(&protected, payload))?;
    let entry = Encoder::new()
        .tag(TAG_COSE_SIGN1)
        .array(4)
        .bytes(&protected)
        .raw(&[EMPTY_MAP])
        .bytes(payload)
        .bytes(signature.as_bytes())
        .finish();
    let unverified = UnverifiedStatement::parse_accepting(&entry, &[header.algorithm])?;
    Ok(unverified.verify(&key)?)
}

/// Why a statement could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Header and payload are not a statement of ours, or the signature came out wrong.
    #[error("cannot make the statement")]
    Statement(
        #[source]
        #[from]
        StatementError,
    ),
    /// The signer gave no signature.
    #[error("cannot sign the statement")]
    Signer(
        #[source]
        #[from]
        SignerError,
    ),
}

impl UnverifiedStatement {
    /// Reads a log entry: exactly the canonical form, signed with `EdDSA` (-8).
    pub fn parse(entry: &[u8]) -> Result<Self, StatementError> {
        Self::parse_accepting(entry, &[Algorithm::EdDsa])
    }

    /// Reads a log entry whose algorithm is one of `accepted`.
    pub fn parse_accepting(entry: &[u8], accepted: &[Algorithm]) -> Result<Self, StatementError> {
        let parts = Parts::read(entry, LEDGER_STATEMENT_BYTES_MAX)?;
        if parts.unprotected_bytes != [EMPTY_MAP] {
            return Err(StatementError::UnprotectedHeader);
        }
        Self::from_parts(&parts, accepted)
    }

    /// The content type that the protected header of a log entry names. The payload is not looked
    /// into: for whoever seeks the few entries of one kind among many.
    pub fn content_type_of(entry: &[u8]) -> Result<ContentType, StatementError> {
        let parts = Parts::read(entry, LEDGER_STATEMENT_BYTES_MAX)?;
        Ok(Header::decode(parts.protected)?.content_type)
    }

    /// Reads what a submitter sent, signed with `EdDSA` (-8): the unprotected header may hold
    /// anything, and is dropped. The result is the log entry.
    pub fn parse_submitted(bytes: &[u8]) -> Result<Self, StatementError> {
        Self::parse_submitted_accepting(bytes, &[Algorithm::EdDsa])
    }

    /// [`UnverifiedStatement::parse_submitted`] with an algorithm of `accepted`.
    pub fn parse_submitted_accepting(
        bytes: &[u8],
        accepted: &[Algorithm],
    ) -> Result<Self, StatementError> {
        let parts = Parts::read(bytes, FOREIGN_STATEMENT_BYTES_MAX)?;
        Self::from_parts(&parts, accepted)
    }

    fn from_parts(parts: &Parts<'_>, accepted: &[Algorithm]) -> Result<Self, StatementError> {
        let mut faults = parts.faults.clone();
        let header = match Header::decode(parts.protected) {
            Ok(header) => Some(header),
            Err(violations) => {
                faults.push(violations.into());
                None
            }
        };
        // Of a header that is refused its content type still says what the other parts must be.
        let salvaged = match &header {
            Some(_) => None,
            None => Header::salvage(parts.protected),
        };
        let family = header.as_ref().or(salvaged.as_ref());
        let family = family.map(|header| header.content_type.family());
        let found = parts.entry_length();
        let limit = match family {
            Some(Family::Evidence) => STATEMENT_BYTES_MAX,
            Some(Family::Ledger) | None => LEDGER_STATEMENT_BYTES_MAX,
        };
        if found > limit {
            faults.push(StatementError::TooLarge { found, limit });
        }
        if let Some(header) = &header
            && !accepted.contains(&header.algorithm)
        {
            let id = header.algorithm.id();
            faults.push(StatementError::AlgorithmNotAccepted { id });
        }
        let mut commitment = None;
        match (parts.payload, family) {
            (Some(payload), Some(Family::Evidence)) => match Commitment::parse(payload) {
                Ok(parsed) => commitment = Some(parsed),
                Err(error) => faults.push(error.into()),
            },
            (Some(payload), Some(Family::Ledger)) => {
                if let Err(error) = cbor::parse(payload) {
                    faults.push(StatementError::Payload(error));
                }
            }
            // What the payload must be is not known, or that it is missing was noted.
            (Some(_), None) | (None, _) => {}
        }
        match (header, parts.signature) {
            (Some(header), Some(signature)) if faults.is_empty() => {
                Ok(parts.assemble(signature, header, commitment))
            }
            _ => Err(StatementError::of(faults)),
        }
    }

    /// Checks the signature by the strict rules, and that the statement names this very key.
    pub fn verify(self, key: &PublicKey) -> Result<Statement, StatementError> {
        self.check(key)?;
        Ok(Statement {
            unverified: self,
            key: *key,
        })
    }

    fn check(&self, key: &PublicKey) -> Result<(), StatementError> {
        let (expected, found) = (key.thumbprint(), self.header.key);
        if expected != found {
            return Err(StatementError::OtherKey { expected, found });
        }
        let signed = sig_structure(self.protected_bytes(), self.payload());
        Ok(key.verify(&signed, &self.signature)?)
    }

    /// The log entry.
    pub fn bytes(&self) -> &[u8] {
        &self.entry
    }

    /// SHA-256 of the log entry.
    pub fn entry_id(&self) -> EntryId {
        EntryId::of(&self.entry)
    }

    /// The hash of the log entry as a leaf of the tree.
    pub fn leaf_hash(&self) -> LeafHash {
        LeafHash::of(&self.entry)
    }

    /// The protected header, as claimed.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The exact bytes of the protected header.
    pub fn protected_bytes(&self) -> &[u8] {
        self.entry.get(self.protected.clone()).unwrap_or_default()
    }

    /// The exact bytes of the payload: a commitment, or the record of the ledger itself.
    pub fn payload(&self) -> &[u8] {
        self.entry.get(self.payload.clone()).unwrap_or_default()
    }

    /// The commitment, if the statement is evidence.
    pub const fn commitment(&self) -> Option<&Commitment> {
        self.commitment.as_ref()
    }

    /// The signature, not verified.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl Statement {
    /// The log entry.
    pub fn bytes(&self) -> &[u8] {
        self.unverified.bytes()
    }

    /// SHA-256 of the log entry.
    pub fn entry_id(&self) -> EntryId {
        self.unverified.entry_id()
    }

    /// The hash of the log entry as a leaf of the tree.
    pub fn leaf_hash(&self) -> LeafHash {
        self.unverified.leaf_hash()
    }

    /// The protected header.
    pub const fn header(&self) -> &Header {
        self.unverified.header()
    }

    /// The exact bytes of the payload: a commitment, or the record of the ledger itself.
    pub fn payload(&self) -> &[u8] {
        self.unverified.payload()
    }

    /// The commitment, if the statement is evidence.
    pub const fn commitment(&self) -> Option<&Commitment> {
        self.unverified.commitment()
    }

    /// The key that signed it.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The same statement, its signature to be checked again.
    pub fn into_unverified(self) -> UnverifiedStatement {
        self.unverified
    }
}

/// `["Signature1", protected, h'', payload]` (RFC 9052 4.4).
pub(super) fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    Encoder::new()
        .array(4)
        .text("Signature1")
        .bytes(protected)
        .bytes(&[])
        .bytes(payload)
        .finish()
}

/// The four items of a `COSE_Sign1`, as spans of the input.
struct Parts<'a> {
    protected: &'a [u8],
    protected_item: &'a [u8],
    unprotected_bytes: &'a [u8],
    /// `None` if it is detached.
    payload: Option<&'a [u8]>,
    payload_item: &'a [u8],
    /// `None` if it has another length.
    signature: Option<Signature>,
    signature_item: &'a [u8],
    /// What is wrong with single items.
    faults: Vec<StatementError>,
}

impl<'a> Parts<'a> {
    /// Takes the items apart. What is wrong with one of them is noted, so that the others are still
    /// looked at; the error is for bytes that are no four items of their types at all.
    fn read(bytes: &'a [u8], limit: usize) -> Result<Self, StatementError> {
        let found = bytes.len();
        if found > limit {
            return Err(StatementError::TooLarge { found, limit });
        }
        // The unprotected header is not ours: any order of its keys is accepted.
        let item = cbor::parse_cose_sign1(bytes, KeyOrder::Any).map_err(|error| match error {
            CborError::Tag { offset: 0, tag } => StatementError::WrongTag {
                found: format!("tag {tag}"),
            },
            CborError::WrongType { found, .. } => StatementError::WrongTag {
                found: found.to_owned(),
            },
            error => error.into(),
        })?;
        let [protected_item, unprotected, payload_item, signature_item] =
            item.tuple("statement")?;
        unprotected.map("unprotected")?;
        let mut faults = Vec::new();
        let payload = if payload_item.is_null() {
            faults.push(StatementError::DetachedPayload);
            None
        } else {
            Some(payload_item.byte_string("payload")?)
        };
        let signature_bytes = signature_item.byte_string("signature")?;
        let signature = <[u8; 64]>::try_from(signature_bytes).ok().map(Signature);
        if signature.is_none() {
            let found = signature_bytes.len();
            faults.push(StatementError::SignatureLength { found });
        }
        Ok(Self {
            protected: protected_item.byte_string("protected")?,
            protected_item: protected_item.bytes,
            unprotected_bytes: unprotected.bytes,
            payload,
            payload_item: payload_item.bytes,
            signature,
            signature_item: signature_item.bytes,
            faults,
        })
    }

    /// The length of the log entry: everything but what stood in the unprotected header.
    const fn entry_length(&self) -> usize {
        ENTRY_PREFIX.len()
            + self.protected_item.len()
            + 1
            + self.payload_item.len()
            + self.signature_item.len()
    }

    /// The parts put together as the log entry has them.
    fn assemble(
        &self,
        signature: Signature,
        header: Header,
        commitment: Option<Commitment>,
    ) -> UnverifiedStatement {
        let mut entry = Vec::with_capacity(self.entry_length());
        entry.extend_from_slice(&ENTRY_PREFIX);
        entry.extend_from_slice(self.protected_item);
        let protected = entry.len() - self.protected.len()..entry.len();
        entry.push(EMPTY_MAP);
        entry.extend_from_slice(self.payload_item);
        let payload_length = self.payload.map_or(0, <[u8]>::len);
        let payload = entry.len() - payload_length..entry.len();
        entry.extend_from_slice(self.signature_item);
        UnverifiedStatement {
            entry: entry.into_boxed_slice(),
            protected,
            payload,
            signature,
            header,
            commitment,
        }
    }
}

#[cfg(test)]
mod tests;
