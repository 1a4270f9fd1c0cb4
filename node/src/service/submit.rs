//! From a submission to its outcome: door and sequencer, here or on the node that leads.

use crate::ledger::apply::ApplyError;
use crate::ledger::command::Item;
use crate::ledger::door::{self, Companions, DoorView, Submission};
use crate::ledger::door_memory::DoorMemory;
use crate::ledger::entries::logged;
use crate::ledger::outcome::{ItemOutcome, Logged};
use crate::ledger::sequencer::{self, SubmitError};
use crate::service::backend::{Backend, DiskRoom, ReadFailure};
use crate::service::quotas::{Charge, Charged};
use crate::service::status::Failure;
use crate::service::turns::Line;
use crate::service::{convert, forward, log_key_switch};
use crate::store::state_db::Rows;
use aimslog_proto::limits::{BATCH_BYTES_MAX, BATCH_STATEMENTS_MAX, FOREIGN_STATEMENT_BYTES_MAX};
use aimslog_proto::pb::admin::v1 as admin;
use aimslog_proto::pb::raft::v1::ForwardedCall;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::Remains;
use aimslog_proto::statement::header::Family;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::system::registry::KeyOwner;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// What the door said of one submission.
pub(super) type Admission = Result<Passed, Vec<Violation>>;

/// A submission that passed the door.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) item: Item,
    /// Whose key signed it, where that was checked now.
    signer: Option<Thumbprint>,
    /// The key that it names, whoever sent it.
    named: Thumbprint,
    /// What it became, where it is in the log already: nobody is asked again.
    logged: Option<Logged>,
}

/// Why the sequencer has no outcome, for the caller.
pub(super) fn failure(error: &SubmitError) -> Failure {
    let words = error.to_string();
    match error {
        SubmitError::NotLeader { leader } => Failure::new(Reason::NotLeader, words).with(
            "leader",
            leader.map(|id| id.to_string()).unwrap_or_default(),
        ),
        SubmitError::NoQuorum => Failure::new(Reason::NoQuorum, words),
        SubmitError::OutcomeUnknown => Failure::new(Reason::OutcomeUnknown, words),
        SubmitError::Overloaded { .. } => Failure::new(Reason::Overloaded, words),
        SubmitError::TooLarge { .. } => Failure::new(Reason::RecordTooLarge, words),
        SubmitError::Stopped => Failure::new(Reason::ShuttingDown, words),
    }
}

pub(super) fn outcome_unknown() -> Failure {
    failure(&SubmitError::OutcomeUnknown)
}

/// Refuses a batch that is empty or too large, before anything of it is looked at.
pub(super) fn check_batch(submissions: &[pb::Submission]) -> Result<(), Failure> {
    let bytes = bytes_of(submissions);
    if submissions.is_empty() {
        let rule = "name at least one submission";
        return Err(Failure::field(Reason::InvalidRequest, "submissions", rule));
    }
    if submissions.len() > BATCH_STATEMENTS_MAX || bytes > BATCH_BYTES_MAX {
        let rule = format!(
            "at most {BATCH_STATEMENTS_MAX} statements and {BATCH_BYTES_MAX} bytes in one call"
        );
        return Err(Failure::field(Reason::BatchTooLarge, "submissions", &rule));
    }
    Ok(())
}

/// Refuses what is no system record, before it is sent anywhere.
pub(super) fn check_system(request: &admin::SubmitSystemRequest) -> Result<(), Failure> {
    let found = request.statement.len();
    if found > FOREIGN_STATEMENT_BYTES_MAX {
        let rule = format!("at most {FOREIGN_STATEMENT_BYTES_MAX} bytes");
        let violation = Violation::new(Reason::StatementTooLarge, "statement", rule);
        return Err(Failure::violations(&[violation.found(found)]));
    }
    // Malformed statements are for the door, which says everything that is wrong with them.
    let kind = Remains::of_submitted(&request.statement)
        .map(|remains| remains.statement().header().content_type.clone());
    match kind {
        Some(kind) if kind.family() == Family::Evidence => {
            let rule = "a system record, `ledger.*`; evidence goes to EvidenceService.Submit";
            let violation = Violation::new(Reason::UnknownKind, "header.content_type", rule);
            Err(Failure::violations(&[violation.found(&kind)]))
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses where there is no ledger yet. A node that does not know whether there is one asks the
/// leader, if it knows of any.
fn begun(backend: &Backend) -> Result<(), Failure> {
    if backend.leader().is_some() {
        return Ok(());
    }
    backend.founded()
}

fn bytes_of(submissions: &[pb::Submission]) -> usize {
    submissions.iter().map(prost::Message::encoded_len).sum()
}

/// Holds the bytes of a call while it waits: for its turn, or for the leader.
pub(super) fn room_in_memory(
    backend: &Backend,
    submissions: &[pb::Submission],
) -> Result<sequencer::Room, Failure> {
    let room = backend.sequencer.room_in_memory(bytes_of(submissions));
    room.map_err(|error| failure(&error))
}

/// Submits a batch on whichever node leads.
pub(super) async fn batch(
    backend: &Backend,
    request: pb::SubmitRequest,
    until: Instant,
) -> Result<pb::SubmitResponse, Failure> {
    backend.serving()?;
    check_batch(&request.submissions)?;
    begun(backend)?;
    if backend.leads() {
        return here(backend, request, until).await;
    }
    let _room = room_in_memory(backend, &request.submissions)?;
    forward::to_leader(backend, ForwardedCall::Submit, &request, until).await
}

/// Submits a system record on whichever node leads.
pub(super) async fn system(
    backend: &Backend,
    request: admin::SubmitSystemRequest,
    until: Instant,
) -> Result<admin::SubmitSystemResponse, Failure> {
    backend.serving()?;
    check_system(&request)?;
    begun(backend)?;
    if backend.leads() {
        return system_here(backend, request, until).await;
    }
    forward::to_leader(backend, ForwardedCall::SubmitSystem, &request, until).await
}

/// Submits one statement without disclosures here, on the leader.
pub(super) async fn system_here(
    backend: &Backend,
    request: admin::SubmitSystemRequest,
    until: Instant,
) -> Result<admin::SubmitSystemResponse, Failure> {
    has_room(backend)?;
    let submission = pb::Submission {
        statement: request.statement,
        disclosures: Vec::new(),
        digest_only: Vec::new(),
    };
    let mut admitted = admit(backend, vec![submission], Depth::Door).await?;
    charge(backend, &admitted, Depth::Door)?;
    let Passed { item, logged, .. } = match admitted.pop() {
        Some(Ok(passed)) => passed,
        Some(Err(violations)) => return Err(Failure::violations(&violations)),
        None => return Err(Failure::new(Reason::Internal, "the door gave no answer")),
    };
    // Of what is logged, and not of what was sent: an unprotected header is dropped.
    let entry_id = EntryId::of(&item.statement).as_bytes().to_vec();
    let outcome = if let Some(logged) = logged {
        ItemOutcome::AlreadyLogged(logged)
    } else {
        log_key_switch::check(backend, &item.statement)?;
        in_time(backend.sequencer.submit(item), until).await?
    };
    match outcome {
        ItemOutcome::Logged(logged) | ItemOutcome::AlreadyLogged(logged) => {
            Ok(admin::SubmitSystemResponse {
                index: logged.index,
                entry_id,
            })
        }
        ItemOutcome::Refused(violations) => Err(Failure::violations(&violations)),
    }
}

/// Submits a batch here, on the leader.
pub(super) async fn here(
    backend: &Backend,
    request: pb::SubmitRequest,
    until: Instant,
) -> Result<pb::SubmitResponse, Failure> {
    has_room(backend)?;
    // Before anything of it is looked at: an overloaded leader has no time to waste on refusals.
    let room = backend.sequencer.room(bytes_of(&request.submissions));
    let mut room = room.map_err(|error| failure(&error))?;
    let admitted = admit(backend, request.submissions, Depth::Door).await?;
    charge(backend, &admitted, Depth::Door)?;
    if request.wait == i32::from(pb::Wait::Receipt) {
        charge_repeated(backend, &admitted)?;
    }
    let mut proposals = Vec::with_capacity(admitted.len());
    for admission in admitted {
        let bytes = admission
            .as_ref()
            .map_or(0, |passed| passed.item.encoded_len());
        let part = room.part(bytes);
        proposals.push(async move {
            match admission {
                Ok(Passed {
                    item,
                    logged: Some(logged),
                    ..
                }) => Ok(result(&item.statement, ItemOutcome::AlreadyLogged(logged))),
                Ok(Passed { item, .. }) => {
                    if let Err(failure) = log_key_switch::check(backend, &item.statement) {
                        return Ok(refused(&[log_key_switch::refusal(&failure)]));
                    }
                    let statement = item.statement.clone();
                    let proposed = backend.sequencer.submit_within(part, item);
                    let outcome = in_time(proposed, until).await?;
                    Ok(result(&statement, outcome))
                }
                Err(violations) => Ok(refused(&violations)),
            }
        });
    }
    drop(room);
    let response = pb::SubmitResponse {
        results: all_known(join_all(proposals).await)?,
    };
    if request.wait == i32::from(pb::Wait::Receipt)
        && let Some(last) = last_index(&response)
    {
        backend.publisher.want_head(TreeSize(last + 1));
    }
    Ok(response)
}

/// The results, or one failure for the call. Where only some are known the outcome is not: whoever
/// is told that nothing was stored might not send the same bytes again.
fn all_known(
    proposed: Vec<Result<pb::SubmitResult, Failure>>,
) -> Result<Vec<pb::SubmitResult>, Failure> {
    let is_stored = |result: &Result<pb::SubmitResult, Failure>| match result {
        Ok(result) => matches!(
            result.outcome,
            Some(pb::submit_result::Outcome::Accepted(_))
        ),
        Err(failure) => failure.reason() == Reason::OutcomeUnknown,
    };
    let may_be_stored = proposed.iter().any(is_stored);
    let results: Result<Vec<_>, Failure> = proposed.into_iter().collect();
    results.map_err(|failure| {
        if may_be_stored {
            outcome_unknown()
        } else {
            failure
        }
    })
}

async fn in_time(
    proposed: impl Future<Output = Result<ItemOutcome, SubmitError>>,
    until: Instant,
) -> Result<ItemOutcome, Failure> {
    match timeout_at(until, proposed).await {
        Ok(outcome) => outcome.map_err(|error| failure(&error)),
        Err(_elapsed) => Err(outcome_unknown()),
    }
}

fn result(statement: &[u8], outcome: ItemOutcome) -> pb::SubmitResult {
    let accepted = |logged, already_logged| pb::SubmitResult {
        outcome: Some(pb::submit_result::Outcome::Accepted(pb::Accepted {
            entry: Some(convert::logged_ref(statement, &logged)),
            already_logged,
            evidence: Vec::new(),
        })),
    };
    match outcome {
        ItemOutcome::Logged(logged) => accepted(logged, false),
        ItemOutcome::AlreadyLogged(logged) => accepted(logged, true),
        ItemOutcome::Refused(violations) => refused(&violations),
    }
}

fn refused(violations: &[Violation]) -> pb::SubmitResult {
    let refused = convert::refused(violations);
    pb::SubmitResult {
        outcome: Some(pb::submit_result::Outcome::Refused(refused)),
    }
}

/// The largest index that was given.
pub(super) fn last_index(response: &pb::SubmitResponse) -> Option<u64> {
    let indices = response
        .results
        .iter()
        .filter_map(|result| match &result.outcome {
            Some(pb::submit_result::Outcome::Accepted(accepted)) => {
                accepted.entry.as_ref().map(|entry| entry.index)
            }
            Some(pb::submit_result::Outcome::Refused(_)) | None => None,
        });
    indices.max()
}

/// Refuses what cannot be stored.
pub(super) fn has_room(backend: &Backend) -> Result<(), Failure> {
    let refused = |words: String| {
        let words = format!("{words}; nothing was stored");
        Err(Failure::new(Reason::DiskFull, words))
    };
    match &*backend.disk_room.borrow() {
        DiskRoom::Enough => Ok(()),
        DiskRoom::HandsOver { to } => {
            let words = format!("this node has no room on its disk and hands over to node {to}");
            Err(Failure::new(Reason::NotLeader, words).with("leader", to))
        }
        DiskRoom::Full { free, reserve } => refused(format!(
            "{} MiB free, {} MiB must be",
            free >> 20,
            reserve >> 20
        )),
        DiskRoom::FullElsewhere { nodes } => refused(format!(
            "the nodes {nodes:?} have less room on their disks than must be, and without them \
             there is no majority"
        )),
    }
}

/// How far a submission is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What the leader checks before it proposes.
    Door,
    /// Also what apply would say now.
    Foresee,
}

/// The line in which a call waits for its turn: that of the organisation whose key its first
/// statement names.
pub(super) fn line(backend: &Backend, submissions: &[pb::Submission]) -> Line {
    let first = Remains::of_submitted(&submissions.first()?.statement)?;
    let registry = backend.ledger.registry();
    match &registry.key(&first.statement().header().key)?.owner {
        KeyOwner::Principal(principal) => Some(principal.organization.to_string()),
        KeyOwner::Operator { .. } | KeyOwner::Service | KeyOwner::Receipt | KeyOwner::Log => None,
    }
}

/// Charges those whose statements passed, or refuses the call. Of several signers in one call the
/// first may be charged and the second refuse.
pub(super) fn charge(
    backend: &Backend,
    admitted: &[Admission],
    depth: Depth,
) -> Result<(), Failure> {
    let mut charges: BTreeMap<Thumbprint, Charge> = BTreeMap::new();
    for passed in admitted.iter().flatten() {
        if let Some(signer) = passed.signer {
            let charge = charges.entry(signer).or_default();
            charge.calls += 1;
            if depth == Depth::Door {
                charge.bytes += passed.item.encoded_len() as u64;
            }
        }
    }
    let registry = backend.ledger.registry();
    for (key, charge) in &charges {
        if let Some(KeyOwner::Principal(principal)) = registry.key(key).map(|row| &row.owner) {
            let organization = principal.organization.as_str();
            backend
                .quotas
                .charge(Charged { key, organization }, *charge)?;
        }
    }
    Ok(())
}

/// Charges the evidence files of what is in the log already, as reads of those who signed it, or refuses
/// the call.
fn charge_repeated(backend: &Backend, admitted: &[Admission]) -> Result<(), Failure> {
    let registry = backend.ledger.registry();
    for (key, calls) in &repeated(admitted) {
        if let Some(KeyOwner::Principal(principal)) = registry.key(key).map(|row| &row.owner) {
            let organization = principal.organization.as_str();
            let who = Charged { key, organization };
            backend.quotas.charge_repeated(who, *calls)?;
        }
    }
    Ok(())
}

/// How many of them are in the log already, by the keys that they name.
fn repeated(admitted: &[Admission]) -> BTreeMap<Thumbprint, u64> {
    let mut counts = BTreeMap::new();
    for passed in admitted.iter().flatten() {
        if passed.logged.is_some() {
            *counts.entry(passed.named).or_default() += 1;
        }
    }
    counts
}

/// Judges submissions on a snapshot, on a blocking thread.
pub(super) async fn admit(
    backend: &Backend,
    submissions: Vec<pb::Submission>,
    depth: Depth,
) -> Result<Vec<Admission>, Failure> {
    backend.founded()?;
    // What was looked at while others had their turn would be old.
    let turn = backend.turns.take(line(backend, &submissions)).await;
    let registry = backend.ledger.registry();
    let progress = backend.ledger.progress().borrow().clone();
    let now = UnixMillis(backend.clock.unix_millis().max(progress.time.0));
    let memory = Arc::clone(&backend.door);
    backend
        .read(move |rows| {
            // Also where the caller has gone away meanwhile: the work goes on.
            let _turn = turn;
            let next = LeafIndex(progress.tree.size.0);
            let sent = submissions.iter();
            let companions = Companions::of(sent.map(|sent| sent.statement.as_slice()));
            let view = DoorView {
                rows,
                registry: &registry,
                next,
                now,
                companions: &companions,
            };
            submissions
                .iter()
                .map(|submission| judge(&view, submission, (depth, &memory)))
                .collect()
        })
        .await
}

fn judge<R: Rows>(
    view: &DoorView<'_, R>,
    submission: &pb::Submission,
    (depth, memory): (Depth, &DoorMemory),
) -> Result<Admission, ReadFailure> {
    let mut digest_only = Vec::with_capacity(submission.digest_only.len());
    let mut malformed = Vec::new();
    for (place, digest) in submission.digest_only.iter().enumerate() {
        match <[u8; 32]>::try_from(digest.as_slice()) {
            Ok(digest) => digest_only.push(digest),
            Err(_length) => {
                let (field, rule) = (format!("digest_only[{place}]"), "must be 32 bytes");
                let violation = Violation::new(Reason::InvalidRequest, field, rule);
                malformed.push(violation.found(digest.len()));
            }
        }
    }
    let submission = Submission {
        statement: &submission.statement,
        disclosures: &submission.disclosures,
        digest_only: &digest_only,
    };
    let admitted = match door::admit(view, &submission).map_err(broken)? {
        Ok(admitted) if malformed.is_empty() => admitted,
        Ok(_) => return Ok(Err(malformed)),
        Err(violations) => {
            malformed.extend(violations);
            return Ok(Err(malformed));
        }
    };
    match depth {
        Depth::Foresee => {
            let violations = door::foresee(view, &admitted).map_err(broken)?;
            if !violations.is_empty() {
                return Ok(Err(violations));
            }
        }
        // About to be proposed: the verifier need not do this work again.
        Depth::Door => {
            if let Some(seen) = admitted.seen() {
                memory.remember(&seen);
            }
        }
    }
    let logged = match admitted.logged_at() {
        Some(index) => Some(logged(view.rows, index.0)?),
        None => None,
    };
    let (signer, named) = (admitted.signer().copied(), *admitted.named_key());
    let item = admitted.into_item();
    Ok(Ok(Passed {
        item,
        signer,
        named,
        logged,
    }))
}

fn broken(error: ApplyError) -> ReadFailure {
    match error {
        ApplyError::State(error) => ReadFailure::State(error),
        other => Failure::internal("a submission cannot be judged", &other).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;

    #[test]
    fn what_is_in_the_log_already_is_counted_by_the_key_that_it_names() {
        let key = |seed| SigningKey::from_seed(&[seed; 32]).public_key().thumbprint();
        let passed = |seed, logged: bool| {
            let item = Item {
                statement: bytes::Bytes::new(),
                payload: None,
                attachments: Vec::new(),
            };
            Ok(Passed {
                item,
                signer: (!logged).then(|| key(seed)),
                named: key(seed),
                logged: logged.then_some(Logged {
                    index: 1,
                    leaf_hash: [0; 32],
                    time_ms: 1,
                    number: 1,
                }),
            })
        };
        let admitted = [
            passed(1, true),
            passed(1, false),
            passed(2, true),
            passed(1, true),
            Err(Vec::new()),
        ];
        let expected = BTreeMap::from([(key(1), 2), (key(2), 1)]);
        assert_eq!(repeated(&admitted), expected);
        assert_eq!(repeated(&admitted[1..2]), BTreeMap::new());
    }
}
