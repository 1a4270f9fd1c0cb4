//! From the policy that a verifier holds to the newest one, without believing whoever shows the way.
//!
//! A log has had one pair of policies after the other, and each record that changes it names the
//! digest of the pair before: that is the chain. A verifier finds its own policy in it and goes from
//! there to the end, over heads that satisfy the policy before and the one behind.
//!
//! Whoever shows the way may leave out the end, or what lies in front of the verifier's own pair, and
//! nothing else: pairs cannot be put in front of one another, because each names its predecessor; and a
//! pair that stands in the chain twice (a witness was added and removed again) counts where it stands
//! last, so that nobody is led in a circle.

use thiserror::Error;

use super::file::{FileEntry, PolicyStep};
use super::heads::causes;
use crate::statement::UnverifiedStatement;
use crate::system::SystemKind;
use crate::tlog::{LeafIndex, Policy};

mod crossing;
mod pair;

use crossing::Standing;
use pair::Pair;

/// Why the policies that were shown lead nowhere from the one that the verifier holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The verifier holds none of them.
    #[error(
        "the policy given is none of the {shown} that the log is shown to have had, neither what verifiers \
         were told to ask for nor what every head satisfied: it is one of another time or of another \
         history, or was changed by its reader (what was made earlier is checked with the policy of its \
         time)"
    )]
    UnknownPolicy {
        /// How many pairs there are.
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
    /// A change behind the verifier's policy that no head leads over, and there are heads behind it.
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
/// `records` are genesis and every `ledger.policy` record, ascending, among any others; `steps` the
/// heads that lead over, ascending, each for one change.
///
/// Returns the same as [`PolicyWalk::finish`].
///
/// # Errors
/// [`WalkError`]; nothing that was shown is believed then.
pub fn walk_policies(
    steps: &[PolicyStep],
    records: &[FileEntry],
    own: &Policy,
) -> Result<Vec<(LeafIndex, Policy)>, WalkError> {
    if !steps.is_sorted_by(|a, b| a.index < b.index) {
        return Err(WalkError::StepsWrong);
    }
    let mut steps = steps.iter().peekable();
    let mut walk = PolicyWalk::new(own.clone());
    for record in records {
        if names_policies(record)?.is_none() {
            continue;
        }
        let step = steps.next_if(|step| step.index == record.index);
        walk.add(record, step)?;
        if !walk.begins_with_genesis {
            return Err(WalkError::NoGenesis);
        }
    }
    if walk.shown == 0 {
        return Err(WalkError::NoGenesis);
    }
    match steps.next() {
        Some(_no_change) => Err(WalkError::StepsWrong),
        None => walk.finish(),
    }
}

/// The kind of a record that names a pair of policies, or `None` for all others. Nothing but its content
/// type is looked at: a chain has ten thousand entries, and few of them change the policy.
fn names_policies(record: &FileEntry) -> Result<Option<SystemKind>, WalkError> {
    let content_type = UnverifiedStatement::content_type_of(&record.statement);
    let content_type = content_type.map_err(|error| WalkError::Record {
        index: record.index.0,
        why: causes(&error),
    })?;
    let kind = SystemKind::of(&content_type);
    Ok(kind.filter(|kind| matches!(kind, SystemKind::Genesis | SystemKind::Policy)))
}

/// A walk along a chain that is shown piece by piece, of any length: it keeps the last pair and what was
/// reached, and nothing of what lies in front of the verifier's own.
#[derive(Debug)]
pub struct PolicyWalk {
    own: Policy,
    shown: usize,
    begins_with_genesis: bool,
    last: Option<Pair>,
    /// `None` until the verifier's own pair was shown.
    standing: Option<Standing>,
}

impl PolicyWalk {
    /// For a verifier that trusts `own`, which is a trust policy of the log or a publish policy.
    pub const fn new(own: Policy) -> Self {
        Self {
            own,
            shown: 0,
            begins_with_genesis: false,
            last: None,
            standing: None,
        }
    }

    /// The next pair of the chain: genesis or a `ledger.policy` record, with the head that leads over it,
    /// where one does. Pairs in front of the verifier's own need not be shown.
    ///
    /// Of one head that leads over several changes, which is then that of each of them: it satisfies the
    /// policy before the first and the one behind the last, and what every head had to satisfy in
    /// between. Where a key of the log came or went, that key has signed it, too.
    ///
    /// # Errors
    /// [`WalkError`] where the chain is none. What is wrong with a head is said in the end, because the
    /// verifier's own pair may be shown once more.
    pub fn add(&mut self, record: &FileEntry, step: Option<&PolicyStep>) -> Result<(), WalkError> {
        let index = record.index.0;
        let kind = names_policies(record)?;
        let pair = Pair::of(record, kind).map_err(|why| WalkError::Record { index, why })?;
        match &self.last {
            Some(before) if !pair.follows(before) => return Err(WalkError::NotLinked { index }),
            None if pair.is_first() && index != 0 => return Err(WalkError::NoGenesis),
            None => self.begins_with_genesis = pair.is_first(),
            Some(_) => {}
        }
        if step.is_some_and(|step| step.index != pair.since || pair.is_first()) {
            return Err(WalkError::StepsWrong);
        }
        self.shown += 1;
        // A publish policy of a later pair may be what verifiers asked for in an earlier one, before they
        // were told to ask for more: they are led on to that.
        let is_trust = self.own.asks_the_same_as(&pair.trust);
        let stands_by_trust = self.standing.as_ref().is_some_and(Standing::is_by_trust);
        if is_trust || !stands_by_trust && self.own.asks_the_same_as(&pair.publish) {
            self.standing = Some(Standing::new(self.own.clone(), is_trust));
        } else if let Some(standing) = &mut self.standing {
            standing.go_on(&pair, step);
        }
        self.last = Some(pair);
        Ok(())
    }

    /// What verifiers are told to ask for behind each change that heads led over, and which record made it;
    /// nothing where `own` is the newest. The end of the chain may have no heads: it counts as left out.
    /// Whether the operators signed the records is what the quorum of each policy vouches for by its
    /// cosignatures.
    ///
    /// # Errors
    /// [`WalkError`]; nothing that was shown is believed then.
    pub fn finish(self) -> Result<Vec<(LeafIndex, Policy)>, WalkError> {
        match self.standing {
            Some(standing) => standing.reached(),
            None => Err(WalkError::UnknownPolicy { shown: self.shown }),
        }
    }
}
