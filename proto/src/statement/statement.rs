//! Signed Statements (RFC 9943): tagged `COSE_Sign1` with an attached payload.
//!
//! The log entry is exactly `D2 84 || protected || A0 || payload || signature`, each part a byte
//! string with its shortest head. Nothing is re-encoded: the header, the payload and the signature
//! are spans of the bytes that came in. What others put into the unprotected header (receipts,
//! certificates) is not signed and not logged: RFC 9943 6.3 asks for an empty map in the log.
//!
//! The signature is over the `Sig_structure` of RFC 9052 4.4:
//! `["Signature1", protected, h'', payload]`.

use std::ops::Range;

use super::cbor::{self, CborError, Encoder, KeyOrder, TAG_COSE_SIGN1};
use super::commitment::{Commitment, CommitmentError};
use super::header::{Algorithm, Family, Header};
use super::id::EntryId;
use super::key::{KeyError, PublicKey, Signature, Signer, SignerError, Thumbprint};
use crate::limits::{FOREIGN_STATEMENT_BYTES_MAX, LEDGER_STATEMENT_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::reason::{Reason, Violation, Violations};
use crate::tlog::hash::LeafHash;

/// The first bytes of every log entry: tag 18, array of four.
const ENTRY_PREFIX: [u8; 2] = [0xd2, 0x84];
const EMPTY_MAP: u8 = 0xa0;

/// Why bytes are not a statement of ours, or not one that a key has signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// More bytes than the limit.
    #[error("statement of {found} bytes, at most {limit} are accepted")]
    TooLarge {
        /// How many bytes there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Not strict CBOR, or not an array of four items of these types.
    #[error("statement")]
    Cbor(
        #[source]
        #[from]
        CborError,
    ),
    /// Another tag than 18, or none.
    #[error("tag 18 (COSE_Sign1) expected, found {found}")]
    WrongTag {
        /// What stands there instead.
        found: String,
    },
    /// The payload is `null`: it is not attached.
    #[error("payload is detached")]
    DetachedPayload,
    /// The unprotected header of a log entry is not the empty map.
    #[error("unprotected header of a log entry is not empty")]
    UnprotectedHeader,
    /// The signature does not have 64 bytes.
    #[error("ed25519 signature of {found} bytes, expected 64")]
    SignatureLength {
        /// How many it has.
        found: usize,
    },
    /// The algorithm is one of ours, but not accepted here.
    #[error("algorithm {id} is not accepted by this ledger")]
    AlgorithmNotAccepted {
        /// The COSE id.
        id: i64,
    },
    /// The protected header breaks rules of the profile.
    #[error("protected header")]
    Header(
        #[source]
        #[from]
        Violations,
    ),
    /// The payload of evidence is not a commitment.
    #[error("payload")]
    Commitment(
        #[source]
        #[from]
        CommitmentError,
    ),
    /// The payload of a ledger record is not deterministic CBOR.
    #[error("payload")]
    Payload(#[source] CborError),
    /// The statement names another key than the one it was to be verified with.
    #[error("statement is signed by key {found}, expected {expected}")]
    OtherKey {
        /// The key that was to verify it.
        expected: Thumbprint,
        /// The `kid` of the statement.
        found: Thumbprint,
    },
    /// The signature does not verify.
    #[error("signature")]
    Signature(
        #[source]
        #[from]
        KeyError,
    ),
}

impl StatementError {
    /// Everything that is wrong, each with its field, rule and stable reason.
    pub fn violations(&self) -> Vec<Violation> {
        let one = |reason, field: &str, rule: String| vec![Violation::new(reason, field, rule)];
        match self {
            Self::TooLarge { .. } => one(Reason::StatementTooLarge, "statement", self.to_string()),
            Self::Cbor(error) => one(malformed(error), "statement", error.to_string()),
            Self::WrongTag { .. } => one(Reason::WrongTag, "statement", self.to_string()),
            Self::DetachedPayload => one(
                Reason::DetachedPayload,
                "payload",
                "the payload is attached".to_owned(),
            ),
            Self::UnprotectedHeader => one(Reason::UnknownHeader, "unprotected", self.to_string()),
            Self::SignatureLength { .. } => {
                one(Reason::WrongSignature, "signature", self.to_string())
            }
            Self::AlgorithmNotAccepted { .. } => {
                one(Reason::UnknownAlgorithm, "header.alg", self.to_string())
            }
            Self::Header(violations) => violations.as_slice().to_vec(),
            Self::Commitment(error) => one(error.reason(), "payload", described(error)),
            Self::Payload(error) => one(error.reason(), "payload", error.to_string()),
            Self::OtherKey { .. } => one(Reason::UnknownKey, "header.kid", self.to_string()),
            Self::Signature(error) => one(error.reason(), "signature", error.to_string()),
        }
    }
}

/// A shape that is wrong makes the statement malformed, not one of its fields invalid.
const fn malformed(error: &CborError) -> Reason {
    match error {
        CborError::WrongType { .. } => Reason::CborMalformed,
        _ => error.reason(),
    }
}

/// The error with its cause: a violation is one line.
fn described(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

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
pub fn sign(header: &Header, payload: &[u8], signer: &impl Signer) -> Result<Statement, SignError> {
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
        let header = Header::decode(parts.protected)?;
        let found = parts.entry_length();
        let limit = match header.content_type.family() {
            Family::Evidence => STATEMENT_BYTES_MAX,
            Family::Ledger => LEDGER_STATEMENT_BYTES_MAX,
        };
        if found > limit {
            return Err(StatementError::TooLarge { found, limit });
        }
        if !accepted.contains(&header.algorithm) {
            return Err(StatementError::AlgorithmNotAccepted {
                id: header.algorithm.id(),
            });
        }
        let commitment = match header.content_type.family() {
            Family::Evidence => Some(Commitment::parse(parts.payload)?),
            Family::Ledger => {
                cbor::parse(parts.payload).map_err(StatementError::Payload)?;
                None
            }
        };
        let mut entry = Vec::with_capacity(found);
        entry.extend_from_slice(&ENTRY_PREFIX);
        entry.extend_from_slice(parts.protected_item);
        let protected = entry.len() - parts.protected.len()..entry.len();
        entry.push(EMPTY_MAP);
        entry.extend_from_slice(parts.payload_item);
        let payload = entry.len() - parts.payload.len()..entry.len();
        entry.extend_from_slice(parts.signature_item);
        let entry = entry.into_boxed_slice();
        let signature = parts.signature;
        Ok(Self {
            entry,
            protected,
            payload,
            signature,
            header,
            commitment,
        })
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
    payload: &'a [u8],
    payload_item: &'a [u8],
    signature: Signature,
    signature_item: &'a [u8],
}

impl<'a> Parts<'a> {
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
        if payload_item.is_null() {
            return Err(StatementError::DetachedPayload);
        }
        let signature = signature_item.byte_string("signature")?;
        let Ok(signature) = <[u8; 64]>::try_from(signature) else {
            return Err(StatementError::SignatureLength {
                found: signature.len(),
            });
        };
        Ok(Self {
            protected: protected_item.byte_string("protected")?,
            protected_item: protected_item.bytes,
            unprotected_bytes: unprotected.bytes,
            payload: payload_item.byte_string("payload")?,
            payload_item: payload_item.bytes,
            signature: Signature(signature),
            signature_item: signature_item.bytes,
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
}

#[cfg(test)]
mod tests;
