//! What is wrong with this node, in words, and what it may still do.
//!
//! Alarms are raised where they are found and stand until the process ends, except CLOCK, which
//! follows the clock, NOSPACE, which follows the disk, and KEYS and COSIGNER, which end when the keys
//! are here. Whoever votes, acknowledges, leads, signs or serves asks the [`Standing`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use aimslog_proto::tlog::{Hash, RootHash, TreeSize, VerifierKey};
use thiserror::Error;
use tokio::sync::watch;

use super::guard::Amnesia;
use super::row::CorruptRow;
use crate::raft::Participation;

/// Two signed answers that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "node {peer} answers with root {theirs} at size {size}, this node has {own}; the signed answers are in {}",
    evidence.display()
)]
pub struct Fork {
    /// Who answered.
    pub peer: u64,
    /// Size asked about.
    pub size: TreeSize,
    /// Root of this node's own tree.
    pub own: RootHash,
    /// The peer's signed answer.
    pub theirs: RootHash,
    /// The file that holds both answers.
    pub evidence: PathBuf,
}

/// This node's own tree is not the published one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Corrupt {
    /// A quorum published another root.
    #[error("the published head of size {size} has root {published}, this node computed {own}")]
    PublishedHead {
        /// Size of the head.
        size: TreeSize,
        /// Root of this node's own tree.
        own: RootHash,
        /// Root that the quorum signed.
        published: RootHash,
    },
    /// The tree no longer has the root that this node signed.
    #[error("this node signed root {signed} at size {size}, its tree now gives {}", root_text(own.as_ref()))]
    SignedHead {
        /// Size of the head.
        size: TreeSize,
        /// What the tree gives now; `None` when it is shorter.
        own: Option<RootHash>,
        /// What was signed.
        signed: RootHash,
    },
    /// A stored entry does not verify.
    #[error("the entry at index {index} does not verify: {found}")]
    Entry {
        /// Index of the leaf.
        index: u64,
        /// What is wrong with it.
        found: String,
    },
}

impl From<&CorruptRow> for Corrupt {
    fn from(row: &CorruptRow) -> Self {
        let root = |bytes| RootHash::from_hash(Hash::from_bytes(bytes));
        Self::PublishedHead {
            size: TreeSize(row.size),
            own: root(row.own),
            published: root(row.published),
        }
    }
}

fn root_text(root: Option<&RootHash>) -> String {
    root.map_or_else(|| "no root there".to_owned(), ToString::to_string)
}

/// The node's clock is not that of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the clock is {offset_ms} ms off the median of the voters")]
pub struct ClockOff {
    /// Own clock minus the median, milliseconds.
    pub offset_ms: i64,
}

/// Too little room on the data volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{} MiB free, {} MiB must be", free >> 20, reserve >> 20)]
pub struct NoSpace {
    /// Bytes that were free when it was found.
    pub free: u64,
    /// Bytes that must be.
    pub reserve: u64,
    /// Whether another voter has room, so that this one need not lead.
    pub elsewhere: Elsewhere,
}

/// Whether another voter has room on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// One at least.
    Room,
    /// None that was heard lately.
    NoRoom,
}

/// Name of the alarm of a node that has forgotten something.
pub const AMNESIA: &str = "AMNESIA";

/// The operators have removed this node for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operators removed node {node} for ever{}", at(*index))]
pub struct Removed {
    /// This node.
    pub node: u64,
    /// Index of the record, where this node has applied it. A peer's word, which carries the signed
    /// record itself, does not prove the place.
    pub index: Option<u64>,
}

fn at(index: Option<u64>) -> String {
    index.map_or_else(String::new, |index| {
        format!(", by the record at index {index}")
    })
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Alarm {
    /// The node has forgotten something it promised.
    #[error("AMNESIA: {0}; replace this node by a new one (cluster replace)")]
    Amnesia(#[source] Amnesia),
    /// This node is none of the cluster any more.
    #[error("REMOVED: {0}; it votes, signs and serves nothing: stop it, and wipe its keys")]
    Removed(#[source] Removed),
    /// Two nodes hold different trees; it is not known which is right.
    #[error("FORK: {0}; nothing is released until the nodes agree")]
    Fork(#[source] Fork),
    /// This node's tree is wrong.
    #[error("CORRUPT: {0}; keep the files of this node and replace it by a new one")]
    Corrupt(#[source] Corrupt),
    /// The clock is off.
    #[error("CLOCK: {0}; this node does not campaign until its clock is right")]
    Clock(#[source] ClockOff),
    /// The disk is full, or nearly.
    #[error("NOSPACE: {0}: this node takes no submissions; make room")]
    NoSpace(#[source] NoSpace),
    /// The keys of the ledger are not here.
    #[error(
        "KEYS: log, receipt and service key, as the log names them, are not here yet; this node leads \
         nothing and asks the voters for them as soon as it is a member"
    )]
    Keys,
    /// The cosigner key that the log names for this node is not here.
    #[error(
        "COSIGNER: the log names the cosigner key {0} for this node, and neither keys/cosigner.seed nor \
         keys/cosigner.next.seed holds it, so that no cosignature of this node counts; put the seed of \
         that key back as keys/cosigner.next.seed (no restart is needed), or, where it is lost, make \
         another one with aimslogd rotate and have the operators name it with aimslog cluster rotate-node"
    )]
    Cosigner(VerifierKey),
}

/// Name of [`Alarm::NoSpace`], by which other nodes know it.
pub const NOSPACE: &str = "NOSPACE";

/// Name of [`Alarm::Removed`], by which other nodes know it.
pub const REMOVED: &str = "REMOVED";

/// Name of [`Alarm::Corrupt`], by which other nodes know it.
pub const CORRUPT: &str = "CORRUPT";

/// Name of [`Alarm::Clock`], by which other nodes know it.
pub const CLOCK: &str = "CLOCK";

/// Name of [`Alarm::Keys`], by which other nodes know it.
pub const KEYS: &str = "KEYS";

/// Name of [`Alarm::Cosigner`].
const COSIGNER: &str = "COSIGNER";

impl Alarm {
    /// Stable name for metrics and status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Amnesia(_) => AMNESIA,
            Self::Removed(_) => REMOVED,
            Self::Fork(_) => "FORK",
            Self::Corrupt(_) => CORRUPT,
            Self::Clock(_) => CLOCK,
            Self::NoSpace(_) => NOSPACE,
            Self::Keys => KEYS,
            Self::Cosigner(_) => COSIGNER,
        }
    }
}

/// Whether the node has yet been told by its peers that they remember no more of it than it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probation {
    /// Not yet: it neither votes nor signs.
    Waiting,
    /// A majority of the voters, itself included, knows of nothing that it forgot.
    Passed,
}

/// Whether the node has keys that the log names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// They are here.
    Held,
    /// They have yet to come.
    Awaited,
}

/// All that is wrong with a node right now, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether the peers have been asked.
    pub probation: Probation,
    /// The first amnesia found.
    pub amnesia: Option<Amnesia>,
    /// Whether the operators have removed it.
    pub removed: Option<Removed>,
    /// The newest fork seen.
    pub fork: Option<Fork>,
    /// The first corruption found.
    pub corrupt: Option<Corrupt>,
    /// The clock, if it is off.
    pub clock: Option<ClockOff>,
    /// The data volume, if it lacks room.
    pub space: Option<NoSpace>,
    /// Whether it could sign what a leader signs.
    pub keys: KeyState,
    /// The cosigner key that the log names for it, if that is not here.
    pub cosigner: Option<VerifierKey>,
}

impl Standing {
    /// Nothing wrong.
    pub fn good(probation: Probation) -> Self {
        Self {
            probation,
            amnesia: None,
            removed: None,
            fork: None,
            corrupt: None,
            clock: None,
            space: None,
            keys: KeyState::Held,
            cosigner: None,
        }
    }

    /// Everything that is wrong, worst first.
    pub fn alarms(&self) -> Vec<Alarm> {
        let amnesia = self.amnesia.clone().map(Alarm::Amnesia);
        let corrupt = self.corrupt.clone().map(Alarm::Corrupt);
        let fork = self.fork.clone().map(Alarm::Fork);
        let clock = self.clock.map(Alarm::Clock);
        let space = self.space.map(Alarm::NoSpace);
        let removed = self.removed.map(Alarm::Removed);
        let keys = (self.keys == KeyState::Awaited).then_some(Alarm::Keys);
        let cosigner = self.cosigner.clone().map(Alarm::Cosigner);
        [
            amnesia, removed, corrupt, fork, clock, space, keys, cosigner,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether the node is one that others may count on at all.
    pub fn is_member(&self) -> bool {
        self.amnesia.is_none() && self.removed.is_none()
    }

    /// Whether the node may grant votes and acknowledge raft entries.
    pub fn may_vote(&self) -> bool {
        self.is_member() && self.probation == Probation::Passed
    }

    /// Whether it may stand for election or stay leader.
    pub fn may_lead(&self) -> bool {
        self.may_vote() && self.corrupt.is_none() && self.keys == KeyState::Held
    }

    /// Whether it may start an election. Without room it leaves that to those that have some; where
    /// nobody has, somebody must lead all the same, for those who read.
    pub fn may_campaign(&self) -> bool {
        let others_should = self
            .space
            .is_some_and(|space| space.elsewhere == Elsewhere::Room);
        self.may_lead() && self.clock.is_none() && !others_should
    }

    /// Whether it may cosign. A fork bars only the head about which the nodes disagree, and that
    /// the cosigner decides at each cut.
    pub fn may_sign(&self) -> bool {
        self.may_vote() && self.corrupt.is_none()
    }

    /// What the node does in its raft group.
    pub fn participation(&self) -> Participation {
        if !self.may_vote() {
            Participation::Silent
        } else if self.may_campaign() {
            Participation::Full
        } else {
            Participation::NoCampaign
        }
    }

    /// Whether it may answer clients.
    pub fn may_serve(&self) -> bool {
        self.is_member() && self.corrupt.is_none()
    }
}

/// Where alarms are raised, and watched.
#[derive(Debug, Clone)]
pub struct Alarms {
    standing: watch::Sender<Standing>,
}

impl Alarms {
    /// A node with nothing wrong so far.
    pub fn new(probation: Probation) -> Self {
        Self {
            standing: watch::Sender::new(Standing::good(probation)),
        }
    }

    /// A node that opened with its memory gone.
    pub fn amnesiac(amnesia: Amnesia) -> Self {
        let alarms = Self::new(Probation::Waiting);
        alarms.raise(&Alarm::Amnesia(amnesia));
        alarms
    }

    /// The standing now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Notifies of every change.
    pub fn subscribe(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Raises an alarm. Of amnesia and corruption the first one found is kept.
    pub fn raise(&self, alarm: &Alarm) {
        let changed = self.standing.send_if_modified(|standing| match alarm {
            Alarm::Amnesia(found) => keep_first(&mut standing.amnesia, found),
            Alarm::Corrupt(found) => keep_first(&mut standing.corrupt, found),
            Alarm::Fork(found) => keep_newest(&mut standing.fork, found),
            Alarm::Clock(found) => keep_newest(&mut standing.clock, found),
            Alarm::NoSpace(found) => keep_newest(&mut standing.space, found),
            Alarm::Removed(found) => keep_first(&mut standing.removed, found),
            Alarm::Keys => awaited(&mut standing.keys),
            Alarm::Cosigner(named) => keep_newest(&mut standing.cosigner, named),
        });
        if changed {
            match alarm {
                Alarm::Clock(_) | Alarm::Keys | Alarm::Cosigner(_) => {
                    tracing::warn!(alarm = alarm.name(), "{alarm}");
                }
                Alarm::Amnesia(_)
                | Alarm::Removed(_)
                | Alarm::Corrupt(_)
                | Alarm::Fork(_)
                | Alarm::NoSpace(_) => {
                    tracing::error!(alarm = alarm.name(), "{alarm}");
                }
            }
        }
    }

    /// The clock is right again.
    pub fn clock_is_right(&self) {
        if self
            .standing
            .send_if_modified(|standing| standing.clock.take().is_some())
        {
            tracing::info!("clock agrees with the voters again");
        }
    }

    /// There is room on the disk again.
    pub fn space_is_back(&self) {
        if self
            .standing
            .send_if_modified(|standing| standing.space.take().is_some())
        {
            tracing::info!("there is room on the disk again");
        }
    }

    /// The keys of the ledger are here.
    pub fn keys_are_here(&self) {
        self.standing
            .send_if_modified(|standing| arrived(&mut standing.keys));
    }

    /// The log names this cosigner key for this node, and it is not here.
    pub fn cosigner_is_missing(&self, named: &VerifierKey) {
        self.raise(&Alarm::Cosigner(named.clone()));
    }

    /// The cosigner key that the log names is here.
    pub fn cosigner_is_here(&self) {
        self.standing
            .send_if_modified(|standing| standing.cosigner.take().is_some());
    }

    /// The peers have been asked.
    pub fn pass_probation(&self) {
        let passed = self.standing.send_if_modified(|standing| {
            std::mem::replace(&mut standing.probation, Probation::Passed) != Probation::Passed
        });
        if passed {
            tracing::info!("peers remember no more of this node than it does");
        }
    }
}

fn awaited(state: &mut KeyState) -> bool {
    std::mem::replace(state, KeyState::Awaited) == KeyState::Held
}

fn arrived(state: &mut KeyState) -> bool {
    std::mem::replace(state, KeyState::Held) == KeyState::Awaited
}

fn keep_first<T: Clone>(kept: &mut Option<T>, found: &T) -> bool {
    let first = kept.is_none();
    kept.get_or_insert_with(|| found.clone());
    first
}

fn keep_newest<T: Clone + PartialEq>(kept: &mut Option<T>, found: &T) -> bool {
    let changed = kept.as_ref() != Some(found);
    *kept = Some(found.clone());
    changed
}

/// Offset at which a clock counts as off, milliseconds.
pub const CLOCK_OFF_MS: i64 = 2_000;

/// How far `own_ms` is from the median of the voters' clocks, own included, if that is
/// [`CLOCK_OFF_MS`] or more. With an even number of clocks the nearer of the two middle ones
/// counts, so that two nodes alone never both declare themselves wrong.
pub fn clock_off(own_ms: i64, peers_ms: &[i64]) -> Option<ClockOff> {
    let mut clocks: Vec<i64> = peers_ms.iter().copied().chain([own_ms]).collect();
    clocks.sort_unstable();
    let low = clocks.get((clocks.len() - 1) / 2).copied()?;
    let high = clocks.get(clocks.len() / 2).copied()?;
    let offset_ms = [low, high]
        .map(|median| own_ms.saturating_sub(median))
        .into_iter()
        .min_by_key(|offset| offset.unsigned_abs())?;
    (offset_ms.unsigned_abs() >= CLOCK_OFF_MS.unsigned_abs()).then_some(ClockOff { offset_ms })
}

/// How many other voters must have said what they remember before a node takes part.
///
/// Together with the node itself they are a majority. Less would not do: a node whose whole machine
/// was set back has a guard that fits its data, and until it has been told what it forgot it would
/// vote a second time in a term, or let the leader find that acknowledged entries are gone. More
/// would not do either: one dead node must not keep another one from coming back. A group that has
/// fewer nodes up can decide nothing anyway.
pub fn answers_needed(voters: &BTreeSet<u64>, own: u64) -> usize {
    let majority = voters.len() / 2 + 1;
    majority - usize::from(voters.contains(&own))
}

#[cfg(test)]
mod tests;
