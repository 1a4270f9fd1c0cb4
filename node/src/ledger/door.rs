//! The door: what the leader checks before a statement costs anybody else anything.
//!
//! Everything here is a pure function of the submission, the registry, the rule bundle and the time
//! that is passed in, and everything that is wrong is found at once. What depends on the order of
//! entries (uniqueness, links, versions) is decided at apply, because only there it is known; so a
//! batch may link to its own earlier statements. Followers run the same checks behind apply.

use aimslog_proto::{
    aims::{
        kind::Kind,
        record::{HeaderView, Record, check_against_header},
    },
    reason::{Reason, Violation, Violations},
    statement::{DisclosureSet, EntryId, Json, UnverifiedStatement, header::Family},
    system::{SystemRecord, registry::Registry},
    time::UnixMillis,
    tlog::LeafIndex,
};
use bytes::Bytes;

use super::{
    apply::{ApplyError, hex, known_rules},
    blobs::{self, BlobName},
    command::Item,
    door_memory::Seen,
    entries::{accepted_algorithms, check_times},
    evidence::{Case, Judgement, check_signed_rules, judge},
    payload,
};
use crate::store::state_db::Rows;

/// What somebody asks to be logged.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// The signed statement; its unprotected header is dropped.
    pub statement: &'a [u8],
    /// The disclosures in field order; none for a sealed record and for system records.
    pub disclosures: &'a [Vec<u8>],
    /// Attachments that stay with the submitter: the record names them, the ledger has no bytes.
    pub digest_only: &'a [[u8; 32]],
}

/// What the door judges by.
#[derive(Debug, Clone, Copy)]
pub struct DoorView<'a, R: ?Sized> {
    /// A snapshot of the state; attachments are looked up in it.
    pub rows: &'a R,
    /// Who may do what.
    pub registry: &'a Registry,
    /// The index that the next entry gets.
    pub next: LeafIndex,
    /// The time to judge expiry by.
    pub now: UnixMillis,
}

/// A submission that passed: what the sequencer proposes.
#[derive(Debug, Clone)]
pub struct Admitted {
    statement: UnverifiedStatement,
    item: Item,
    /// The kind of the content that was checked; `None` for system records.
    kind: Option<&'static Kind>,
}

impl Admitted {
    /// The statement; its signature was checked with the registered key.
    pub fn statement(&self) -> &UnverifiedStatement {
        &self.statement
    }

    /// Its entry id, if it is logged.
    pub fn entry_id(&self) -> EntryId {
        self.statement.entry_id()
    }

    /// What was verified of evidence, for the memory of the door.
    pub fn seen(&self) -> Option<Seen<'_>> {
        self.kind.map(|kind| Seen {
            id: self.entry_id(),
            payload: self.item.payload.as_deref(),
            kind,
        })
    }

    /// What the command holds of it.
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// What the command holds of it.
    pub fn into_item(self) -> Item {
        self.item
    }
}

/// Admits a submission, or says everything that is wrong with it.
///
/// # Errors
/// Only when this node cannot judge: damaged rows, or rules of a newer program.
pub fn admit<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
) -> Result<Result<Admitted, Vec<Violation>>, ApplyError> {
    let accepted = accepted_algorithms(view.registry);
    let parsed = UnverifiedStatement::parse_submitted_accepting(submission.statement, &accepted);
    let statement = match parsed {
        Ok(statement) => statement,
        Err(error) => return Ok(Err(error.violations())),
    };
    match statement.header().content_type.family() {
        Family::Ledger => Ok(admit_system(view, submission, statement)),
        Family::Evidence => admit_evidence(view, submission, statement),
    }
}

/// What apply would say about an admitted statement if it were the next entry now. It may change
/// until it is.
///
/// # Errors
/// As [`admit`].
pub fn foresee<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    admitted: &Admitted,
) -> Result<Vec<Violation>, ApplyError> {
    if admitted.statement.header().content_type.family() == Family::Ledger {
        return Ok(Vec::new());
    }
    let case = Case {
        statement: &admitted.statement,
        index: view.next,
        time: view.now,
        attachments: &admitted.item.attachments,
    };
    Ok(match judge(view.rows, view.registry, &case)? {
        Judgement::Accepted(_) => Vec::new(),
        Judgement::Refused(violations) => violations,
    })
}

fn admit_system<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    statement: UnverifiedStatement,
) -> Result<Admitted, Vec<Violation>> {
    let mut violations = check_times(statement.header(), view.now);
    if !submission.disclosures.is_empty() {
        let rule = "a system record is public and has no disclosures";
        violations.push(Violation::new(Reason::UnknownField, "disclosures", rule));
    }
    match view.registry.check(view.next, &statement) {
        Ok(SystemRecord::Rules(rules)) if known_rules(rules.bundle).is_err() => {
            // Logged, it would stop every node that does not have these rules.
            let rule = "a rule bundle that this release contains";
            violations.push(
                Violation::new(Reason::RulesOutdated, "payload.bundle", rule)
                    .found(hex(&rules.bundle)),
            );
        }
        Ok(_) => {}
        Err(violation) => violations.push(violation),
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let item = Item {
        statement: Bytes::copy_from_slice(statement.bytes()),
        payload: None,
        attachments: Vec::new(),
    };
    Ok(Admitted {
        statement,
        item,
        kind: None,
    })
}

fn admit_evidence<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    statement: UnverifiedStatement,
) -> Result<Result<Admitted, Vec<Violation>>, ApplyError> {
    let header = statement.header();
    let mut violations = check_times(header, view.now);
    let signed = check_signed_rules(view.registry, view.next, &statement)?;
    violations.extend(signed.violations);
    if let Some(row) = view.registry.key_at(&header.key, view.next)
        && let Err(error) = statement.clone().verify(&row.key)
    {
        violations.extend(error.violations());
    }
    let mut item = Item {
        statement: Bytes::copy_from_slice(statement.bytes()),
        payload: None,
        attachments: Vec::new(),
    };
    if let Some(kind) = signed.kind {
        match check_content(kind, &statement, submission.disclosures) {
            Ok(record) => {
                let (attachments, problems) = attachments(view, submission, (&statement, &record))?;
                violations.extend(problems);
                item.attachments = attachments;
                if !submission.disclosures.is_empty() {
                    item.payload = Some(payload::encode(submission.disclosures));
                }
            }
            Err(problems) => violations.extend(problems),
        }
    }
    if violations.is_empty() {
        Ok(Ok(Admitted {
            statement,
            item,
            kind: signed.kind,
        }))
    } else {
        Ok(Err(violations))
    }
}

/// The record behind the disclosures, `None` for a sealed one: fields of the kind, values, and
/// agreement with commitment and header.
pub fn check_content(
    kind: &Kind,
    statement: &UnverifiedStatement,
    disclosures: &[Vec<u8>],
) -> Result<Option<Record>, Vec<Violation>> {
    if disclosures.is_empty() {
        if kind.is_sealed_allowed() {
            return Ok(None);
        }
        let rule = format!("a record of {} comes with all its fields", kind.name());
        return Err(vec![Violation::new(
            Reason::MissingField,
            "disclosures",
            rule,
        )]);
    }
    let names: Vec<&str> = kind.field_names().collect();
    let set = DisclosureSet::parse(disclosures, &names).map_err(Violations::into_vec)?;
    let mut violations = Vec::new();
    let leaves = set.leaf_hashes();
    if !statement
        .commitment()
        .is_some_and(|commitment| commitment.is_over(&leaves))
    {
        let rule = "the disclosures hash to the commitment that is signed";
        violations.push(Violation::new(Reason::CommitmentMismatch, "payload", rule));
    }
    let values = set.into_values().map(Some).collect();
    match Record::new(kind, values) {
        Ok(record) => {
            let header = statement.header();
            let view = HeaderView::new(&header.subject, header.transition.as_deref());
            if let Some(view) = view {
                violations.extend(check_against_header(kind, &record, view));
            } else {
                let rule = "urn:aimslog:<organisation>:<system or aims>:<id>";
                violations.push(
                    Violation::new(Reason::InvalidHeader, "header.15.sub", rule)
                        .found(&header.subject),
                );
            }
            if violations.is_empty() {
                Ok(Some(record))
            } else {
                Err(violations)
            }
        }
        Err(found) => {
            violations.extend(found);
            Err(violations)
        }
    }
}

/// The attachments that the record names and the ledger holds, and those that are missing.
fn attachments<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    (statement, record): (&UnverifiedStatement, &Option<Record>),
) -> Result<(Vec<[u8; 32]>, Vec<Violation>), ApplyError> {
    let mut held = Vec::new();
    let mut violations = Vec::new();
    let Ok((signer, _key)) = view.registry.evidence_signer(view.next, statement.header()) else {
        return Ok((held, violations));
    };
    let organization = signer.organization.as_str();
    let digests = record.as_ref().map(named_digests).unwrap_or_default();
    for (place, digest) in digests.iter().enumerate() {
        if submission.digest_only.contains(digest) {
            continue;
        }
        if blobs::complete(
            view.rows,
            BlobName {
                organization,
                digest,
            },
        )?
        .is_some()
        {
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

/// The digests of the attachments that a record names, in its order.
fn named_digests(record: &Record) -> Vec<[u8; 32]> {
    record
        .values()
        .iter()
        .flatten()
        .filter_map(|value| match value {
            Json::Array(elements) => Some(elements),
            _ => None,
        })
        .flatten()
        .filter_map(attachment_digest)
        .collect()
}

/// The digest, if the value has the members of an attachment; no other message has these.
fn attachment_digest(value: &Json) -> Option<[u8; 32]> {
    let Json::Object(members) = value else {
        return None;
    };
    let member = |name: &str| members.iter().find(|(member, _)| member == name);
    let (Some(_), Some(_), Some((_, Json::Text(digest)))) =
        (member("media_type"), member("size"), member("digest"))
    else {
        return None;
    };
    let (pairs, rest) = digest.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?))
        .collect();
    rest.is_empty().then_some(bytes?)?.try_into().ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
