//! The door: what the leader checks before a statement costs anybody else anything.
//!
//! Everything here is a pure function of the submission, the registry, the rule bundle and the time
//! that is passed in, and everything that is wrong is found at once. What depends on the order of
//! entries (uniqueness, links, versions) is decided at apply, because only there it is known; so a
//! batch may link to its own earlier statements. To a statement that is refused anyway the door adds
//! what apply would say now. Followers run the same checks behind apply.

mod attachments;
mod foresight;

pub use foresight::Companions;

use aimslog_proto::{
    aims::{
        content::{check_against_commitment, check_content, digests_in, digests_of},
        judge::check_signed,
        kind::Kind,
    },
    limits::OPERATOR_STATEMENT_SECONDS_MAX,
    reason::{Reason, Violation},
    statement::{
        EntryId, Remains, UnverifiedStatement,
        header::{Family, Header},
        key::Thumbprint,
    },
    system::{
        SystemRecord,
        registry::{KeyOwner, Registry},
    },
    time::UnixMillis,
    tlog::LeafIndex,
};
use bytes::Bytes;

use super::{
    apply::{ApplyError, hex, known_rules},
    command::Item,
    door_memory::Seen,
    entries::{accepted_algorithms, check_times},
    evidence::position,
    payload,
    state::TypedRows as _,
};
use crate::store::{
    codec,
    state_db::{Rows, StateError},
};

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
    /// What came in the same call.
    pub companions: &'a Companions<'a>,
}

/// A submission that passed: what the sequencer proposes.
#[derive(Debug, Clone)]
pub struct Admitted {
    statement: UnverifiedStatement,
    item: Item,
    /// The kind of the content that was checked for the first time; `None` for system records, and
    /// for what is in the log already.
    kind: Option<&'static Kind>,
    /// Where it is in the log already.
    logged_at: Option<u64>,
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

    /// Whose key signed it, where that was checked now. Whoever sends what is in the log already need
    /// not be its signer.
    pub fn signer(&self) -> Option<&Thumbprint> {
        let is_new = self.logged_at.is_none();
        is_new.then_some(&self.statement.header().key)
    }

    /// The key that it names, whoever sent it.
    pub fn named_key(&self) -> &Thumbprint {
        &self.statement.header().key
    }

    /// Where it is in the log already, if it is: there is nothing to propose then.
    pub fn logged_at(&self) -> Option<LeafIndex> {
        self.logged_at.map(LeafIndex)
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
/// What is in the log already is admitted whatever has become of its key or its time since, so that
/// sending the same bytes again gives the first result.
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
        Err(error) => {
            let mut found = error.violations();
            if let Some(remains) = Remains::of_submitted(submission.statement) {
                add_unnamed(&mut found, inspect(view, submission, &remains)?);
            }
            return Ok(Err(found));
        }
    };
    match statement.header().content_type.family() {
        Family::Ledger => admit_system(view, submission, statement),
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
    foresight::of(view, &admitted.statement, &admitted.item.attachments)
}

/// What else is wrong with a statement that could not be read as a whole.
fn inspect<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    remains: &Remains,
) -> Result<Vec<Violation>, ApplyError> {
    let statement = remains.statement();
    let mut found = match statement.header().content_type.family() {
        Family::Ledger => check_system(view, submission, statement),
        Family::Evidence => check_evidence(view, submission, statement)?.violations,
    };
    if !remains.is_signable() {
        // It follows from the missing part that the signature does not verify.
        found.retain(|violation| violation.reason != Reason::WrongSignature);
    }
    Ok(found)
}

/// Adds what concerns fields that were not named yet: of a field that cannot be read it is not worth
/// saying what else it is not.
fn add_unnamed(found: &mut Vec<Violation>, more: Vec<Violation>) {
    let named: Vec<String> = found.iter().map(|known| known.field.clone()).collect();
    found.extend(
        more.into_iter()
            .filter(|violation| !named.contains(&violation.field)),
    );
}

fn logged_at<R: Rows + ?Sized>(rows: &R, id: EntryId) -> Result<Option<u64>, StateError> {
    rows.index(&codec::by_id(id.as_bytes()))
}

fn admit_system<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    statement: UnverifiedStatement,
) -> Result<Result<Admitted, Vec<Violation>>, ApplyError> {
    let logged_at = logged_at(view.rows, statement.entry_id())?;
    if logged_at.is_none() {
        let mut violations = check_system(view, submission, &statement);
        if !violations.is_empty() {
            if !violations.iter().any(is_about_the_signer) {
                add_unnamed(&mut violations, foresight::of(view, &statement, &[])?);
            }
            return Ok(Err(violations));
        }
    }
    let item = item_of(&statement);
    Ok(Ok(Admitted {
        statement,
        item,
        kind: None,
        logged_at,
    }))
}

fn is_about_the_signer(violation: &Violation) -> bool {
    matches!(
        violation.reason,
        Reason::UnknownKey | Reason::RevokedKey | Reason::KeyPurpose | Reason::WrongSignature
    )
}

fn check_system<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    statement: &UnverifiedStatement,
) -> Vec<Violation> {
    let mut violations = check_times(statement.header(), view.now);
    violations.extend(check_lifetime(view, statement.header()));
    if !submission.disclosures.is_empty() {
        let rule = "a system record is public and has no disclosures";
        violations.push(Violation::new(Reason::UnknownField, "disclosures", rule));
    }
    match view.registry.check(view.next, statement) {
        Ok(SystemRecord::Rules(rules)) if known_rules(rules.bundle).is_err() => {
            // Logged, it would stop every node that does not have these rules.
            let rule = "a rule bundle that this release contains";
            violations.push(
                Violation::new(Reason::RulesOutdated, "payload.bundle", rule)
                    .found(hex(&rules.bundle)),
            );
        }
        Ok(_) => {}
        Err(found) => violations.extend(found.into_vec()),
    }
    violations
}

/// What operators sign expires soon, so that nobody can bring it out when it has been forgotten. Asked
/// here and not by verifiers: what is logged was in time.
fn check_lifetime<R: ?Sized>(view: &DoorView<'_, R>, header: &Header) -> Option<Violation> {
    let signer = view.registry.key(&header.key)?;
    if !matches!(signer.owner, KeyOwner::Operator { .. }) {
        return None;
    }
    let latest = header
        .issued
        .0
        .saturating_add(OPERATOR_STATEMENT_SECONDS_MAX);
    let rule = format!("at most {OPERATOR_STATEMENT_SECONDS_MAX} seconds after iat");
    match header.expires {
        Some(expires) if expires.0 <= latest => None,
        Some(expires) => {
            let violation = Violation::new(Reason::InvalidHeader, "header.exp", rule);
            Some(violation.found(expires))
        }
        None => Some(Violation::new(Reason::MissingHeader, "header.exp", rule)),
    }
}

fn admit_evidence<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    statement: UnverifiedStatement,
) -> Result<Result<Admitted, Vec<Violation>>, ApplyError> {
    if let Some(index) = logged_at(view.rows, statement.entry_id())? {
        return Ok(admit_again(submission, statement, index));
    }
    let checked = check_evidence(view, submission, &statement)?;
    if !checked.violations.is_empty() {
        return Ok(Err(checked.violations));
    }
    let mut item = item_of(&statement);
    item.attachments = checked.attachments;
    if !submission.disclosures.is_empty() {
        item.payload = Some(payload::encode(submission.disclosures));
    }
    Ok(Ok(Admitted {
        statement,
        item,
        kind: checked.kind,
        logged_at: None,
    }))
}

/// Evidence that is in the log already. Whoever sends disclosures along must have the right ones all
/// the same: an evidence file of the record may be the answer.
fn admit_again(
    submission: &Submission<'_>,
    statement: UnverifiedStatement,
    index: u64,
) -> Result<Admitted, Vec<Violation>> {
    if !submission.disclosures.is_empty() {
        check_against_commitment(&statement, submission.disclosures)?;
    }
    let item = item_of(&statement);
    Ok(Admitted {
        statement,
        item,
        kind: None,
        logged_at: Some(index),
    })
}

fn item_of(statement: &UnverifiedStatement) -> Item {
    Item {
        statement: Bytes::copy_from_slice(statement.bytes()),
        payload: None,
        attachments: Vec::new(),
    }
}

/// What the checks of evidence gave.
struct Checked {
    kind: Option<&'static Kind>,
    attachments: Vec<[u8; 32]>,
    violations: Vec<Violation>,
}

/// Whether a refusal says more of a key than that it is not good here.
fn tells_of_the_signer(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::WrongIssuer
            | Reason::OrganizationSuspended
            | Reason::NotPermitted
            | Reason::KeyPurpose
            | Reason::InvalidTransition
            | Reason::GuardFailed
            // What its organisation has declared, or has not.
            | Reason::UnknownControl
            | Reason::UnknownCatalogue
    )
}

fn check_evidence<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    submission: &Submission<'_>,
    statement: &UnverifiedStatement,
) -> Result<Checked, ApplyError> {
    let header = statement.header();
    let mut violations = check_times(header, view.now);
    let mut signed = check_signed(position(view.registry, view.next)?, header);
    violations.append(&mut signed.violations);
    let mut is_signed = false;
    if let Some(row) = view.registry.key_at(&header.key, view.next) {
        match statement.clone().verify(&row.key) {
            Ok(_verified) => is_signed = true,
            Err(error) => violations.extend(error.violations()),
        }
    }
    let kind = signed.kind;
    let disclosures = submission.disclosures;
    let signer = signed.principal.map(|principal| &principal.principal);
    let digests = match kind.map(|kind| check_content(kind, statement, disclosures, signer)) {
        Some(Ok(record)) => record.as_ref().map(digests_of).unwrap_or_default(),
        Some(Err(found)) => {
            violations.extend(found);
            digests_in(disclosures)
        }
        None => Vec::new(),
    };
    if !is_signed {
        // Whose the key is, and what it may do, is for those who hold it and who read the log.
        violations.retain(|violation| !tells_of_the_signer(violation.reason));
    }
    let mut attachments = Vec::new();
    // What an organisation has stored and logged is told to whoever signs with its key alone.
    if let Some(principal) = signed.principal.filter(|_| is_signed) {
        let named = (principal.organization.as_str(), digests.as_slice());
        let (stored, missing) = attachments::held(view.rows, submission, named)?;
        attachments = stored;
        violations.extend(missing);
        if !violations.is_empty() {
            let mut more = foresight::of_evidence(view, (statement, &[]), signed)?;
            more.retain(|violation| !violations.contains(violation));
            violations.extend(more);
        }
    }
    Ok(Checked {
        kind,
        attachments,
        violations,
    })
}

#[cfg(test)]
mod tests;
