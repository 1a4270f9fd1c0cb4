//! The way from the first policy to the one in force: for each change the head that led over.
//!
//! A head that led over satisfies the policy before and the one after, so whoever holds any earlier
//! policy walks from step to step without trusting the log for it. Such heads are kept for ever.

use aimslog_proto::{
    statement::evidence::PolicyStep,
    system::registry::Registry,
    tlog::{LeafIndex, Note, Policy, TreeSize},
};

use super::{reader, row::HeadRow, tree};
use crate::store::state_db::{Rows, StateError};

/// Steps in one evidence file; of more, the newest.
const STEPS_MAX: usize = 64;
/// How many heads after a change are looked at. The first is the one that led over; where verifiers
/// are told to ask for a witness, it is published again with the witness's cosignature.
const HEADS_LOOKED_AT: usize = 16;

/// Indices of the `ledger.policy` records before `size`, newest first. Genesis is none of them.
pub fn policy_changes(registry: &Registry, size: TreeSize) -> Vec<LeafIndex> {
    let mut changes = Vec::new();
    let mut before = size.0;
    while let Some(last) = before.checked_sub(1)
        && let Some((since, _)) = registry.policy_at(LeafIndex(last))
        && since.0 > 0
    {
        changes.push(since);
        before = since.0;
    }
    changes
}

/// The steps that lead to the policy in force for heads of `size`, oldest first, without a gap. A
/// change that no published head has led over yet ends the way back: a verifier with an older
/// policy cannot be led.
///
/// # Errors
/// When rows are damaged.
pub fn policy_steps(
    rows: &(impl Rows + ?Sized),
    registry: &Registry,
    size: TreeSize,
) -> Result<Vec<PolicyStep>, StateError> {
    let mut steps = Vec::new();
    for since in policy_changes(registry, size).into_iter().take(STEPS_MAX) {
        let Some(step) = step(rows, registry, since)? else {
            break;
        };
        steps.push(step);
    }
    steps.reverse();
    Ok(steps)
}

fn step(
    rows: &(impl Rows + ?Sized),
    registry: &Registry,
    since: LeafIndex,
) -> Result<Option<PolicyStep>, StateError> {
    let (Some(covering), Some(before)) = (since.0.checked_add(1), since.0.checked_sub(1)) else {
        return Ok(None);
    };
    let sides = [LeafIndex(before), since].map(|index| trusted(registry, index));
    let [Some(before), Some(after)] = sides else {
        return Ok(None);
    };
    let heads = reader::heads_from(rows, TreeSize(covering), HEADS_LOOKED_AT)?;
    let leads_over = |head: &HeadRow| {
        Note::parse(&head.note)
            .is_ok_and(|note| before.check(&note).is_ok() && after.check(&note).is_ok())
    };
    let Some(head) = heads.into_iter().find(leads_over) else {
        return Ok(None);
    };
    let Some(proof) = tree::inclusion(rows, since, TreeSize(head.size))? else {
        return Ok(None);
    };
    let checkpoint =
        String::from_utf8(head.note.to_vec()).map_err(|_wrong| StateError::Contradiction {
            what: "a stored note is UTF-8",
        })?;
    Ok(Some(PolicyStep {
        checkpoint,
        index: since,
        proof: proof.hashes().to_vec(),
    }))
}

/// What verifiers are told to ask of a head that covers the entry at `index`.
fn trusted(registry: &Registry, index: LeafIndex) -> Option<Policy> {
    let (_, texts) = registry.policy_at(index)?;
    Policy::parse(texts.trust.as_bytes()).ok()
}
