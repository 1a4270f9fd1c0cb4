//! What the ledger would say of records if they were submitted now.

use std::collections::BTreeSet;

use aimslog_client::{FinishedStatement, Ledger};
use aimslog_proto::aims::submission::Target;
use aimslog_proto::reason::{Reason, Violation};
use anyhow::Result;

use super::sign::{Signed, Signing, sign_all};
use super::told::{ALREADY_LOGGED, REFUSED, Told, VALID};
use crate::broken::Broken;
use crate::output::Output;
use crate::records::FileRecord;
use crate::verb::key::hex;

/// Signs the records, keeps nothing, and asks. What `submit` would do before it sends a record is taken
/// as done: attachments stored, earlier records of the run logged.
pub(super) async fn foresee(
    signing: &Signing<'_>,
    ledger: &Ledger,
    records: Vec<FileRecord>,
    output: Output,
) -> Result<Vec<Told>> {
    let signed = sign_all(signing, ledger, records, output).await?;
    let mut done: BTreeSet<String> = signing.attachments.stored.keys().map(|d| hex(d)).collect();
    done.extend(
        signed
            .iter()
            .map(|one| one.statement.entry_id().to_string()),
    );
    let new = signed.iter().filter(|one| one.known.is_none());
    let statements: Vec<FinishedStatement> = new.map(|one| one.statement.clone()).collect();
    let mut answers = ledger.validate(&statements).await?.into_iter();
    let mut told = Vec::with_capacity(signed.len());
    for one in &signed {
        if one.known.is_some() {
            told.push(Told::of(one, ALREADY_LOGGED));
            continue;
        }
        let mut violations = answers.next().unwrap_or_default();
        violations.retain(|violation| !is_done_by_then(violation, one, &done));
        let status = if violations.is_empty() {
            VALID
        } else {
            REFUSED
        };
        told.push(Told {
            // A statement that is made to be sent has other salts, and so another id.
            entry_id: None,
            violations: violations.iter().map(Broken::from).collect(),
            ..Told::of(one, status)
        });
    }
    Ok(told)
}

/// Whether `submit` would have seen to it before the ledger judges the record.
fn is_done_by_then(violation: &Violation, one: &Signed, done: &BTreeSet<String>) -> bool {
    let amends_own = match &one.record.submission.amends {
        Some((Target::Key(_), _)) => true,
        Some((Target::Entry(id), _)) => done.contains(&id.to_string()),
        None => false,
    };
    match violation.reason {
        Reason::MissingLinkTarget => violation.found.as_ref().is_some_and(|it| done.contains(it)),
        Reason::VersionConflict | Reason::InvalidTransition => amends_own,
        _ => false,
    }
}
