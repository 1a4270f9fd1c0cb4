//! What an operator signs to approve a statement.

use sha2::{Digest as _, Sha256};

use super::super::cbor::Encoder;
use super::super::header::ContentType;
use super::super::id::StatementId;
use crate::time::UnixSeconds;

/// What the digest begins with.
const DOMAIN: &str = "aimslog-approval/v2";
/// What the signed message begins with: the same, and a line feed.
pub(super) const APPROVAL_LABEL: &[u8] = b"aimslog-approval/v2\n";

/// What an operator approves: one statement of one ledger, whichever operator signs it.
///
/// Payloads recur (a suspension, a policy that returns to an earlier one), and operators keep their
/// keys. Without the rest, what was approved once would be approved again wherever the same payload
/// comes.
#[derive(Debug, Clone, Copy)]
pub struct Approved<'a> {
    /// The service id (`aud`) of the ledger that may register the statement.
    pub audience: &'a str,
    /// The kind of record.
    pub content_type: &'a ContentType,
    /// The unique id (`cti`) of the statement, which a ledger registers once.
    pub id: StatementId,
    /// The expiry (`exp`) of the statement.
    pub expires: Option<UnixSeconds>,
    /// The payload without the field that holds the approvals.
    pub payload: &'a [u8],
}

/// SHA-256 of what an operator approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalDigest([u8; 32]);

impl ApprovalDigest {
    /// SHA-256 of the deterministic CBOR array `["aimslog-approval/v2", aud, content type, cti, exp
    /// or null, payload]`, whose parts bring their types and lengths.
    pub fn of(approved: &Approved<'_>) -> Self {
        let mut parts = Encoder::default();
        parts.array(6);
        parts.text(DOMAIN);
        parts.text(approved.audience);
        parts.text(&approved.content_type.to_string());
        parts.bytes(approved.id.as_bytes());
        match approved.expires {
            Some(expires) => parts.uint(expires.0),
            None => parts.null(),
        };
        parts.bytes(approved.payload);
        Self(Sha256::digest(parts.finish()).into())
    }

    /// `"aimslog-approval/v2\n" || digest`.
    pub(super) fn message(&self) -> Vec<u8> {
        [APPROVAL_LABEL, &self.0].concat()
    }
}
