//! Approvals: operators who stand behind a record that one of them signed.
//!
//! What several operators must agree on (policy, rules, keys, nodes, genesis itself) carries a list
//! of `[operator thumbprint, signature]` as the last entry of its payload map. Each signature is
//! over the payload without that list and over ledger, kind, id and expiry of the statement that is
//! to bring it ([`Approved`](crate::statement::key::Approved)). So operators can sign one after the
//! other on separate machines, and what they approve is that statement and no other with the same
//! payload. The signer of the statement counts as one of them.

use crate::limits::OPERATORS_MAX;
use crate::statement::key::{Signature, Thumbprint};
use crate::system::fields::{MapReader, MapWriter, PayloadError};

/// Map key of the approvals in every payload that has them: the last one-byte key.
const APPROVALS: i64 = 23;

/// One operator's signature for one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Thumbprint of the operator's key.
    pub operator: Thumbprint,
    /// Over the digest of what is approved.
    pub signature: Signature,
}

impl Approval {
    /// Adds the list, if there is an approval.
    pub(crate) fn write_all(approvals: &[Self], map: &mut MapWriter) {
        if approvals.is_empty() {
            return;
        }
        map.list(APPROVALS, approvals, |encoder, approval| {
            encoder.array(2);
            encoder.bytes(approval.operator.as_bytes());
            encoder.bytes(approval.signature.as_bytes());
        });
    }

    /// The list, strictly ascending by thumbprint; an empty list is an absent one.
    pub(crate) fn read_all(map: &mut MapReader<'_, '_>) -> Result<Vec<Self>, PayloadError> {
        let Some(entry) = map.optional(APPROVALS, "approvals") else {
            return Ok(Vec::new());
        };
        let approvals = entry.list(1..=OPERATORS_MAX, |approval| {
            let [operator, signature] = approval.tuple()?;
            let operator = Thumbprint::from_bytes(operator.digest()?);
            Ok(Self {
                operator,
                signature: signature.signature()?,
            })
        })?;
        if approvals.is_sorted_by(|a, b| a.operator < b.operator) {
            Ok(approvals)
        } else {
            Err(entry.wrong("strictly ascending by operator"))
        }
    }
}
