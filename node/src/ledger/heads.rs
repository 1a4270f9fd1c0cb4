//! Cuts and published heads at apply.
//!
//! A cut notes this node's own size and root. A head is stored when the policy in force in the log
//! is satisfied by its cosignatures: the arbiter is the quorum, never the leader that proposes it.
//! A node whose own tree differs from such a head is corrupt, and remembers it.

use aimslog_proto::{
    reason::{Reason, Violation},
    system::{PolicyTexts, registry::Registry},
    tlog::{Checkpoint, LeafIndex, Note, Policy, RootHash, TreeHead, TreeSize},
};

use super::{
    apply::State,
    command::Publish,
    outcome::Outcome,
    progress::newest_head,
    row::{Core, CorruptRow, CutRow, HeadRow},
    state::{Overlay, TypedRows},
    tree,
};
use crate::{
    raft::Position,
    store::{
        codec::{self, Key, Single},
        state_db::{Range, Rows, StateError},
    },
};

/// Cuts that are kept while none of them is published.
const CUTS_MAX: usize = 64;
/// All heads of this time are kept, in milliseconds; of older ones one per hour.
const KEEP_ALL_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 3_600_000;
/// How many old heads one publication looks at: two a second are published at most, so this keeps
/// up with any rate at which they grow old.
const THINNED_PER_PUBLISH: usize = 8;

/// Notes this node's size and root.
pub(super) fn cut<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    core: &Core,
    position: Position,
) -> Result<Outcome, StateError> {
    let TreeHead { size, root } = core.frontier.head();
    let row = CutRow {
        term: position.term,
        leader: position.leader,
        raft_index: position.index,
        time_ms: core.time_ms,
        root: *root.as_bytes(),
    };
    state.rows.put_value(codec::cut(size.0), &row);
    let noted = state.rows.scan(&table(&codec::cut(0)), CUTS_MAX + 1)?;
    if noted.len() > CUTS_MAX
        && let Some((oldest, _)) = noted.into_iter().next()
    {
        state.rows.remove(Key {
            family: codec::Family::Meta,
            bytes: oldest,
        });
    }
    Ok(Outcome::Cut {
        size: size.0,
        root: *root.as_bytes(),
    })
}

/// Stores a head that the policies in force accept.
pub(super) fn publish<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    core: &mut Core,
    command: &Publish,
) -> Result<Outcome, StateError> {
    let Ok(note) = Note::parse(&command.note) else {
        return Ok(refused(Reason::InvalidRequest, "a head is a signed note"));
    };
    let newest = newest_head(&state.rows)?;
    let before = newest.as_ref().map_or(0, |head| head.size);
    let Some(verdict) = check_policies(&state.registry, &note, before) else {
        let rule = "the cosignatures satisfy every policy in force for the head";
        return Ok(refused(Reason::NotPermitted, rule));
    };
    let head = verdict.head;
    if head.size.0 < before && heads_at(&state.rows, head.size)?.is_empty() {
        let rule = "a head is not smaller than the newest, or is of a size that is kept";
        return Ok(refused(Reason::FailedPrecondition, rule));
    }
    let own = if head.size <= core.frontier.size() {
        tree::root_at(&state.rows, head.size)?
    } else {
        core.frontier.root()
    };
    if own != head.root || head.size > core.frontier.size() {
        return Ok(own_tree_differs(state, head, own));
    }
    let number = core.next_head;
    let row = HeadRow {
        number,
        size: head.size.0,
        root: *head.root.as_bytes(),
        time_ms: core.time_ms,
        note: command.note.clone(),
        receipt_iat: command.receipt_iat,
        receipt_signature: command.receipt_signature,
        trusted: verdict.trusted,
        pinned: verdict.switches || verdict.witnessed,
    };
    store(&mut state.rows, core, &row)?;
    remove_cuts_below(&mut state.rows, head.size)?;
    thin_out(&mut state.rows, core)?;
    Ok(Outcome::Published { number })
}

/// What the policies say about a note that satisfies them.
struct Verdict {
    head: TreeHead,
    /// It satisfies what verifiers are told to ask for.
    trusted: bool,
    /// Verifiers are told to ask for more than what is published, and it has that.
    witnessed: bool,
    /// A policy came into force since the newest head, so this one leads from one to the next.
    switches: bool,
}

/// Checks the note against every policy of [`policies_between`] the newest head and its own size.
fn check_policies(registry: &Registry, note: &Note, before: u64) -> Option<Verdict> {
    let claimed = Checkpoint::parse(note.text()).ok()?;
    let head = *claimed.head();
    let policies = policies_between(registry, before, head.size);
    let newest = policies.first()?;
    let accepts = |text: &str| accepted_head(text, note) == Some(head);
    if !policies.iter().all(|policy| accepts(&policy.publish)) {
        return None;
    }
    let trusted = policies.iter().all(|policy| accepts(&policy.trust));
    let witnessed = trusted && newest.trust != newest.publish;
    Some(Verdict {
        head,
        trusted,
        witnessed,
        switches: policies.len() > 1,
    })
}

/// The head of the note, if the policy accepts it.
fn accepted_head(policy: &str, note: &Note) -> Option<TreeHead> {
    let policy = Policy::parse(policy.as_bytes()).ok()?;
    policy.check(note).ok().map(|cosigned| *cosigned.head())
}

/// The policies that a head of `size` must satisfy after a published head of `before` entries: the
/// one in force at its size first, then, where policies changed since, each back to the one that
/// was in force there. So a verifier who holds an older policy is led to the newest.
pub fn policies_between(registry: &Registry, before: u64, size: TreeSize) -> Vec<&PolicyTexts> {
    let mut policies = Vec::new();
    let Some(mut at) = size.0.checked_sub(1) else {
        return policies;
    };
    while let Some((since, texts)) = registry.policy_at(LeafIndex(at)) {
        policies.push(texts);
        if since.0 < before || since.0 == 0 {
            break;
        }
        at = since.0 - 1;
    }
    policies
}

/// Remembers that this node's tree is not the one that a quorum stands for.
fn own_tree_differs<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    published: TreeHead,
    own: RootHash,
) -> Outcome {
    let row = CorruptRow {
        size: published.size.0,
        own: *own.as_bytes(),
        published: *published.root.as_bytes(),
    };
    state.rows.put_value(codec::single(Single::Corrupt), &row);
    refused(Reason::Corrupt, "this node's tree has the published root")
}

fn store<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    core: &mut Core,
    row: &HeadRow,
) -> Result<(), StateError> {
    rows.put_value(codec::head(row.number), row);
    rows.put_index(codec::head_by_size(row.size, row.number), row.number);
    rows.put_index(codec::head_by_time(row.time_ms, row.number), row.number);
    core.next_head += 1;
    if row.trusted {
        let newest: Option<HeadRow> = match core.trusted_head {
            Some(number) => rows.value(&codec::head(number))?,
            None => None,
        };
        if newest.is_none_or(|newest| newest.size <= row.size) {
            core.trusted_head = Some(row.number);
        }
    }
    Ok(())
}

/// Cuts that lie below a published head have served.
fn remove_cuts_below<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    size: TreeSize,
) -> Result<(), StateError> {
    let below = table(&codec::cut(0)).ending_before(&codec::cut(size.0));
    for (key, _) in rows.scan(&below, CUTS_MAX)? {
        rows.remove(Key {
            family: codec::Family::Meta,
            bytes: key,
        });
    }
    Ok(())
}

/// Of heads older than a day, keeps the last of each hour, those that are pinned, and those that
/// are still the newest of their sort.
fn thin_out<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    core: &mut Core,
) -> Result<(), StateError> {
    let largest = newest_head(rows)?.map(|head| head.number);
    for _ in 0..THINNED_PER_PUBLISH {
        let number = core.thin_from;
        if number + 1 >= core.next_head {
            return Ok(());
        }
        let head: HeadRow = rows.expect_value(&codec::head(number))?;
        if head.time_ms.saturating_add(KEEP_ALL_MS) > core.time_ms {
            return Ok(());
        }
        let next: HeadRow = rows.expect_value(&codec::head(number + 1))?;
        let newest = [largest, core.trusted_head].contains(&Some(number));
        if next.time_ms / HOUR_MS == head.time_ms / HOUR_MS && !head.pinned && !newest {
            rows.remove(codec::head(number));
            rows.remove(codec::head_by_size(head.size, number));
            rows.remove(codec::head_by_time(head.time_ms, number));
        }
        core.thin_from += 1;
    }
    Ok(())
}

/// Running numbers of the kept heads of exactly this size, oldest first.
pub(super) fn heads_at(
    rows: &(impl Rows + ?Sized),
    size: TreeSize,
) -> Result<Vec<u64>, StateError> {
    let mut prefix = codec::head_by_size(size.0, 0);
    prefix.bytes.truncate(9);
    rows.scan(&Range::of(&prefix), CUTS_MAX)?
        .iter()
        .map(|(_, number)| super::state::read_index(number))
        .collect()
}

/// The whole table that `key` belongs to.
pub(super) fn table(key: &Key) -> Range {
    let prefix = key.bytes.get(..1).unwrap_or_default().to_vec();
    Range::of(&Key {
        family: key.family,
        bytes: prefix,
    })
}

fn refused(reason: Reason, rule: &str) -> Outcome {
    Outcome::refused(Violation::new(reason, "note", rule))
}
