//! Attachments that a record names.

use aimslog_proto::reason::{Reason, Violation};

use super::Submission;
use crate::ledger::{
    apply::{ApplyError, hex},
    blobs::{self, BlobName},
};
use crate::store::state_db::Rows;

/// Of the attachments with these digests, those that the ledger holds for the organisation, and what
/// is missing.
pub(super) fn held<R: Rows + ?Sized>(
    rows: &R,
    submission: &Submission<'_>,
    (organization, digests): (&str, &[[u8; 32]]),
) -> Result<(Vec<[u8; 32]>, Vec<Violation>), ApplyError> {
    let mut held = Vec::new();
    let mut violations = Vec::new();
    for (place, digest) in digests.iter().enumerate() {
        if submission.digest_only.contains(digest) {
            continue;
        }
        let name = BlobName {
            organization,
            digest,
        };
        if blobs::complete(rows, name)?.is_some() {
            if !held.contains(digest) {
                held.push(*digest);
            }
        } else {
            let rule = "the attachment is stored first, or declared to stay with the submitter";
            let field = format!("record.attachments[{place}].digest");
            violations
                .push(Violation::new(Reason::MissingLinkTarget, field, rule).found(hex(digest)));
        }
    }
    Ok((held, violations))
}
