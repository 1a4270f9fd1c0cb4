//! What can be wrong with the bytes of a statement.

use crate::reason::{Reason, Violation, Violations};
use crate::statement::cbor::CborError;
use crate::statement::commitment::CommitmentError;
use crate::statement::key::{KeyError, Thumbprint};

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
    /// Parts that are wrong for reasons of their own; at least two.
    #[error("statement with {} faults", .0.len())]
    Several(Vec<Self>),
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
    /// One fault as it is, several together.
    pub(super) fn of(mut faults: Vec<Self>) -> Self {
        match (faults.pop(), faults.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                faults.extend(last);
                Self::Several(faults)
            }
        }
    }

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
            Self::Several(errors) => errors.iter().flat_map(Self::violations).collect(),
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
