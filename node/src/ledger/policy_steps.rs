//! The way from the first policy to the one in force: every change, with the head that led over it.
//!
//! A head that led over satisfies the policy before and the one after, so whoever holds any earlier
//! policy walks from step to step without trusting the log for it. Such heads are kept for ever.
//!
//! Several changes may stand under the first head behind them. Where a policy in the middle asks
//! verifiers for more than any head has (a witness that never cosigned, and was taken out again), one head
//! leads over that change and the next ones together.

use aimslog_proto::{
    limits::EVIDENCE_STEPS_MAX,
    statement::evidence::PolicyStep,
    system::registry::Registry,
    tlog::{LeafIndex, Note, Policy, TreeSize},
};

use super::{reader, row::HeadRow, tree};
use crate::store::state_db::{Rows, StateError};

/// Notes of the steps in one evidence file; of more, those of the newest changes. Beside the records they
/// keep the file below its largest size.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many heads after a change are looked at. The first is the one that led over; where verifiers
/// are told to ask for a witness, it is published again with the witness's cosignature.
const HEADS_LOOKED_AT: usize = 16;
/// Changes that one head is sought for where none of them has its own: each costs as many heads.
const CHANGES_TOGETHER_MAX: usize = 8;

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

/// The heads that led over the newest changes before `size`, oldest first, for an evidence file. A change
/// that no head led over has none.
///
/// # Errors
/// When rows are damaged.
pub fn policy_steps(
    rows: &(impl Rows + ?Sized),
    registry: &Registry,
    size: TreeSize,
) -> Result<Vec<PolicyStep>, StateError> {
    let mut changes = policy_changes(registry, size);
    changes.truncate(EVIDENCE_STEPS_MAX);
    changes.reverse();
    let mut steps = std::collections::VecDeque::new();
    let mut bytes = 0;
    let mut way = Way::new(rows, registry, &changes);
    while let Some(together) = way.next_changes()? {
        for step in together.into_iter().filter_map(|(_, step)| step) {
            bytes += step.checkpoint.len();
            steps.push_back(step);
        }
        while bytes > FILE_BYTES_MAX
            && let Some(oldest) = steps.pop_front()
        {
            bytes -= oldest.checkpoint.len();
        }
    }
    Ok(steps.into())
}

/// A change of policy, and the head that led over it, if one did.
pub type Change = (LeafIndex, Option<PolicyStep>);

/// Walks changes of policy from the oldest to the newest.
pub struct Way<'a, R: ?Sized> {
    rows: &'a R,
    registry: &'a Registry,
    /// Those to come, oldest first.
    changes: &'a [LeafIndex],
}

impl<R: ?Sized> std::fmt::Debug for Way<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let changes = &self.changes;
        f.debug_struct("Way")
            .field("changes", changes)
            .finish_non_exhaustive()
    }
}

impl<'a, R: Rows + ?Sized> Way<'a, R> {
    /// Over these changes, oldest first, all that the log had from the first of them on.
    pub const fn new(rows: &'a R, registry: &'a Registry, changes: &'a [LeafIndex]) -> Self {
        Self {
            rows,
            registry,
            changes,
        }
    }

    /// How many are to come.
    pub const fn left(&self) -> usize {
        self.changes.len()
    }

    /// The next change, or the next ones that only one head leads over together; none at the end.
    ///
    /// # Errors
    /// When rows are damaged.
    pub fn next_changes(&mut self) -> Result<Option<Vec<Change>>, StateError> {
        let Some((first, _)) = self.changes.split_first() else {
            return Ok(None);
        };
        for count in 1..=self.changes.len().min(CHANGES_TOGETHER_MAX) {
            let (together, behind) = self.changes.split_at(count);
            if let Some(head) = self.head_over(together)? {
                let steps = together.iter().map(|change| self.step(*change, &head));
                let steps = steps.collect::<Result<_, _>>()?;
                self.changes = behind;
                return Ok(Some(steps));
            }
        }
        let change = (*first, None);
        self.changes = self.changes.split_at(1).1;
        Ok(Some(vec![change]))
    }

    /// A head that satisfies what verifiers ask for in front of these changes and behind them, and what is
    /// published in between.
    fn head_over(&self, changes: &[LeafIndex]) -> Result<Option<HeadRow>, StateError> {
        let (Some(first), Some((last, between))) = (changes.first(), changes.split_last()) else {
            return Ok(None);
        };
        let (Some(covering), Some(before)) = (last.0.checked_add(1), first.0.checked_sub(1)) else {
            return Ok(None);
        };
        let policies = [LeafIndex(before), *last].map(|index| self.trusted(index));
        let published = between.iter().map(|index| self.published(*index));
        let policies: Option<Vec<Policy>> = policies.into_iter().chain(published).collect();
        let Some(policies) = policies else {
            return Ok(None);
        };
        let heads = reader::heads_from(self.rows, TreeSize(covering), HEADS_LOOKED_AT)?;
        let leads_over = |head: &HeadRow| {
            Note::parse(&head.note)
                .is_ok_and(|note| policies.iter().all(|policy| policy.check(&note).is_ok()))
        };
        Ok(heads.into_iter().find(leads_over))
    }

    fn step(&self, index: LeafIndex, head: &HeadRow) -> Result<Change, StateError> {
        let proof = tree::inclusion(self.rows, index, TreeSize(head.size))?;
        let proof = proof.ok_or(StateError::Contradiction {
            what: "a head that leads over a change covers it",
        })?;
        let checkpoint =
            String::from_utf8(head.note.to_vec()).map_err(|_wrong| StateError::Contradiction {
                what: "a stored note is UTF-8",
            })?;
        let step = PolicyStep {
            checkpoint,
            index,
            proof: proof.hashes().to_vec(),
        };
        Ok((index, Some(step)))
    }

    /// What verifiers are told to ask of a head that covers the entry at `index`.
    fn trusted(&self, index: LeafIndex) -> Option<Policy> {
        let (_, texts) = self.registry.policy_at(index)?;
        Policy::parse(texts.trust.as_bytes()).ok()
    }

    /// What such a head satisfies at least.
    fn published(&self, index: LeafIndex) -> Option<Policy> {
        let (_, texts) = self.registry.policy_at(index)?;
        Policy::parse(texts.publish.as_bytes()).ok()
    }
}
