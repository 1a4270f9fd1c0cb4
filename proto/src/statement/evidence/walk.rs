//! From the policy that a verifier holds to the newest one, without believing whoever shows the way.
//!
//! A log has had one pair of policies after the other, and each record that changes it names the
//! digest of the pair before: that is the chain. A verifier finds its own policy in it and goes from
//! there to the end, over a head at each change that satisfies the policy before and the one behind.
//!
//! Whoever shows the way may leave out the end, and nothing else: pairs cannot be put in front of one
//! another, because each names its predecessor; and a pair that stands in the chain twice (a witness
//! was added and removed again) counts where it stands last, so that nobody is led in a circle.

use std::collections::BTreeSet;

use thiserror::Error;

use super::chain::ALGORITHMS;
use super::file::{FileEntry, PolicyStep};
use super::heads::{AcceptedHead, causes};
use crate::limits::EVIDENCE_HEADS_MAX;
use crate::statement::UnverifiedStatement;
use crate::system::{Genesis, Payload as _, PolicyChange, SystemKind};
use crate::tlog::{InclusionProof, LeafHash, LeafIndex, Policy};

/// Why the policies that were shown lead nowhere from the one that the verifier holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The verifier holds none of them.
    #[error(
        "the policy given is none of the {shown} that the log is shown to have had: it is a newer one, \
         or one of another history (what was made earlier is checked with the policy of its time)"
    )]
    UnknownPolicy {
        /// How many there are.
        shown: usize,
    },
    /// Without genesis nobody knows the first pair.
    #[error("the policies do not begin with genesis, entry 0")]
    NoGenesis,
    /// A record that cannot be read, or stands where none of its kind does.
    #[error("entry {index}: {why}")]
    Record {
        /// Where it stands.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A change that names another predecessor, or stands in front of it.
    #[error("the change of policy at entry {index} does not follow the policies before it")]
    NotLinked {
        /// Where the record stands.
        index: u64,
    },
    /// A head for what is no change, or in the wrong order.
    #[error("the heads that lead over are not one for each change of policy, in their order")]
    StepsWrong,
    /// A change behind the verifier's policy that no head leads over.
    #[error("no head leads over the change of policy at entry {index}")]
    NoStep {
        /// Where the record stands.
        index: u64,
    },
    /// A head that does not lead over the change that it is for.
    #[error("change of policy at entry {index}: {why}")]
    Step {
        /// Where the record stands.
        index: u64,
        /// What is wrong with the head.
        why: String,
    },
}

/// Walks the changes of policy behind `own`, the policy that the verifier trusts, to the newest.
/// `records` are genesis and the `ledger.policy` records, ascending, among any others; `steps` the
/// heads that lead over, one for each change behind `own` at least.
///
/// Returns what verifiers are told to ask for behind each change, and which record made it; nothing
/// where `own` is the newest. Whether the operators signed the records is what the quorum of each
/// policy vouches for by its cosignatures.
///
/// Where there are as many changes as one answer holds, older ones may have been left out: then the
/// first need not follow genesis, and a verifier from before it is not led.
///
/// # Errors
/// [`WalkError`]; nothing that was shown is believed then.
pub fn walk_policies(
    steps: &[PolicyStep],
    records: &[FileEntry],
    own: &Policy,
) -> Result<Vec<(LeafIndex, Policy)>, WalkError> {
    let pairs = pairs(records)?;
    check_order(steps, &pairs)?;
    let shown = pairs.len();
    let (held, behind) = place(own, &pairs).ok_or(WalkError::UnknownPolicy { shown })?;
    // A policy with the same keys may ask for other signatures of them than the pair does.
    let mut before = vec![own, &held.trust];
    for pair in behind {
        let step = steps.iter().find(|step| step.index == pair.since);
        let index = pair.since.0;
        let step = step.ok_or(WalkError::NoStep { index })?;
        leads_over(step, &before, pair).map_err(|why| WalkError::Step { index, why })?;
        before = vec![&pair.trust];
    }
    let since = behind.iter().map(|pair| (pair.since, pair.trust.clone()));
    Ok(since.collect())
}

/// The pair that a record put into force.
#[derive(Debug)]
struct Pair {
    since: LeafIndex,
    leaf: LeafHash,
    /// The pair before; genesis has none.
    predecessor: Option<[u8; 32]>,
    digest: [u8; 32],
    /// What verifiers are told to ask for.
    trust: Policy,
}

impl Pair {
    /// The pair that this record names, if it is of a kind that names one.
    fn of(record: &FileEntry) -> Result<Option<Self>, String> {
        let statement = UnverifiedStatement::parse_accepting(&record.statement, &ALGORITHMS)
            .map_err(|error| causes(&error))?;
        let payload = statement.payload();
        let (predecessor, texts) = match SystemKind::of(&statement.header().content_type) {
            Some(SystemKind::Genesis) => {
                let genesis = Genesis::decode(payload).map_err(|error| causes(&error))?;
                (None, genesis.policy)
            }
            Some(SystemKind::Policy) => {
                let change = PolicyChange::decode(payload).map_err(|error| causes(&error))?;
                (Some(change.predecessor), change.texts)
            }
            _ => return Ok(None),
        };
        let trust = Policy::parse(texts.trust.as_bytes());
        Ok(Some(Self {
            since: record.index,
            leaf: LeafHash::of(&record.statement),
            predecessor,
            digest: texts.digest(),
            trust: trust.map_err(|error| causes(&error))?,
        }))
    }

    /// Whether the record of this pair stands behind that of the other, and names it.
    fn follows(&self, before: &Self) -> bool {
        before.since < self.since && self.predecessor == Some(before.digest)
    }
}

/// The pairs of the log, each behind the one that it names.
fn pairs(records: &[FileEntry]) -> Result<Vec<Pair>, WalkError> {
    let mut pairs = Vec::new();
    for record in records {
        let index = record.index.0;
        let pair = Pair::of(record).map_err(|why| WalkError::Record { index, why })?;
        pairs.extend(pair);
    }
    let is_genesis = |pair: &Pair| pair.predecessor.is_none() && pair.since == LeafIndex(0);
    if !pairs.first().is_some_and(is_genesis) {
        return Err(WalkError::NoGenesis);
    }
    let is_cut = pairs.len() == EVIDENCE_HEADS_MAX + 1;
    if let [genesis, first, ..] = pairs.as_slice()
        && is_cut
        && first.predecessor.is_some()
        && !first.follows(genesis)
    {
        pairs.remove(0);
    }
    for two in pairs.windows(2) {
        if let [before, after] = two
            && !after.follows(before)
        {
            let index = after.since.0;
            return Err(WalkError::NotLinked { index });
        }
    }
    Ok(pairs)
}

fn check_order(steps: &[PolicyStep], pairs: &[Pair]) -> Result<(), WalkError> {
    let changes: BTreeSet<LeafIndex> = pairs
        .iter()
        .filter(|pair| pair.predecessor.is_some())
        .map(|pair| pair.since)
        .collect();
    let ascend = steps.is_sorted_by(|a, b| a.index < b.index);
    if ascend && steps.iter().all(|step| changes.contains(&step.index)) {
        Ok(())
    } else {
        Err(WalkError::StepsWrong)
    }
}

/// The last pair whose trust policy is the verifier's, or else has the same keys, and the pairs behind
/// it.
fn place<'a>(own: &Policy, pairs: &'a [Pair]) -> Option<(&'a Pair, &'a [Pair])> {
    let has_text = |pair: &Pair| pair.trust.as_bytes() == own.as_bytes();
    let keys = keys_of(own);
    let has_keys = |pair: &Pair| keys_of(&pair.trust) == keys;
    let by_text = pairs.iter().rposition(has_text);
    let at = by_text.or_else(|| pairs.iter().rposition(has_keys))?;
    pairs.get(at..)?.split_first()
}

/// Of the logs and the witnesses.
fn keys_of(policy: &Policy) -> BTreeSet<String> {
    let logs = policy.logs().iter().map(|log| &log.key);
    let witnesses = policy.witnesses().iter().map(|witness| &witness.key);
    logs.chain(witnesses).map(ToString::to_string).collect()
}

/// Whether the head of the step satisfies the policies before and the one of `pair`, each with its own
/// log key, and covers the record of `pair`.
fn leads_over(step: &PolicyStep, before: &[&Policy], pair: &Pair) -> Result<(), String> {
    let accepted = |policy: &Policy| AcceptedHead::check(&step.checkpoint, policy);
    for policy in before {
        accepted(policy).map_err(|(_, sentence)| sentence)?;
    }
    let head = accepted(&pair.trust).map_err(|(_, sentence)| sentence)?;
    let proof = InclusionProof::new(step.index, head.head.size, step.proof.clone());
    let included = proof.and_then(|proof| proof.verify(pair.leaf, &head.head));
    included.map_err(|error| causes(&error))
}
