//! What the ledger would say of records if they were submitted now.

use std::collections::BTreeSet;

use aimslog_client::{FinishedStatement, Ledger};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Need;
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
    let coming = Coming {
        done,
        linking: signed.iter().flat_map(linking).collect(),
    };
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
        violations.retain(|violation| !coming.may_settle(violation, one));
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

/// What `submit` does before the ledger judges a record of the run.
struct Coming {
    /// Digests of attachments that are stored then, and ids of entries that are logged.
    done: BTreeSet<String>,
    /// Kind and relation of every link that is logged.
    linking: BTreeSet<(String, String)>,
}

fn linking(one: &Signed) -> impl Iterator<Item = (String, String)> {
    let submission = &one.record.submission;
    let links = submission.links.iter();
    links.map(|link| (submission.record.kind().to_owned(), link.relation.clone()))
}

impl Coming {
    /// Whether `submit` would have seen to it before the ledger judges the record.
    fn may_settle(&self, violation: &Violation, one: &Signed) -> bool {
        let submission = &one.record.submission;
        let amends_own = submission
            .amends
            .as_ref()
            .is_some_and(|(target, _)| self.is_own(target));
        match violation.reason {
            Reason::MissingLinkTarget => {
                let found = violation.found.as_ref();
                found.is_some_and(|it| self.done.contains(it))
            }
            Reason::VersionConflict | Reason::InvalidTransition => amends_own,
            Reason::GuardFailed => amends_own || self.may_satisfy(violation, one),
            _ => false,
        }
    }

    fn is_own(&self, target: &Target) -> bool {
        match target {
            Target::Key(_) => true,
            Target::Entry(id) => self.done.contains(&id.to_string()),
        }
    }

    /// Whether the guard looks at what other records of the run change.
    fn may_satisfy(&self, violation: &Violation, one: &Signed) -> bool {
        let submission = &one.record.submission;
        let record = &submission.record;
        let Ok(kind) = RuleBundle::v1().kind(record.kind(), record.version()) else {
            return false;
        };
        let state = submission.transition.as_deref().unwrap_or_default();
        let mut guards = kind.life_cycle().guards_of(state);
        let Some(guard) = guards.find(|guard| guard.is_behind(violation)) else {
            return false;
        };
        match &guard.need {
            Need::Person | Need::OtherThan(_) => false,
            Need::Links(_) => {
                let mut links = submission.links.iter();
                links.any(|link| self.is_own(&link.target))
            }
            Need::Linking(need) => {
                let by = (need.kind.clone(), need.relation.clone());
                self.linking.contains(&by)
            }
        }
    }
}
