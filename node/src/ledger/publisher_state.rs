//! When the leader cuts, and when it publishes: the decisions, without clock, disk or network.
//!
//! One cut at a time: propose it, wait until it is applied here, collect cosignatures over this
//! node's own head at the cut until the policy is satisfied, commit the head, begin again. A cut
//! for which nothing has happened for a second is superseded by a new one.

use std::collections::{BTreeMap, BTreeSet};

use aimslog_proto::tlog::{KeyId, KeyName, NoteSignature, TreeHead, TreeSize};
use thiserror::Error;

use super::progress::CutNote;

/// Shortest time between two cuts, milliseconds.
pub const CUT_GAP_MS_MIN: u64 = 20;

/// Time without progress after which a cut is superseded, milliseconds.
pub const CUT_STALL_MS_MAX: u64 = 1_000;

/// Of how many nodes cosignatures that came before their cut are held.
const EARLY_MAX: usize = 64;

/// How many of them of one node: it has two keys while one takes over from another.
const EARLY_OF_ONE_MAX: usize = 2;

/// Sizes that somebody waits for; of more, the largest are forgotten and come at the interval.
const WANTED_MAX: usize = 1_024;

/// Checked cosignatures, one per key.
pub type Cosignatures = BTreeMap<(KeyName, KeyId), NoteSignature>;

/// Checks cosignatures against the policies in force at a cut.
pub trait HeadRules {
    /// Whether the signature is one over `head`, by the cosigner of the node `from` that sent it,
    /// under a key that counts.
    fn check(
        &self,
        from: u64,
        head: &TreeHead,
        signature: &NoteSignature,
    ) -> Result<(), CosignatureRefusal>;

    /// Whether these checked cosignatures are enough to publish the head.
    fn satisfied(&self, head: &TreeHead, cosignatures: &Cosignatures) -> bool;
}

/// Why the leader did not take a cosignature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CosignatureRefusal {
    /// A foreign cosigner.
    #[error("the cosigner {name} is in no policy in force")]
    UnknownCosigner {
        /// As the line says.
        name: KeyName,
    },
    /// The key of another node than the sender.
    #[error("node {from} sent the cosignature of {name}")]
    OtherNode {
        /// Who sent it.
        from: u64,
        /// Whose it is.
        name: KeyName,
    },
    /// The signature does not verify.
    #[error("the cosignature of {name} does not verify")]
    WrongSignature {
        /// As the line says.
        name: KeyName,
    },
    /// The sender has another tree.
    #[error("node {from} cosigned {theirs}, this node has {own}")]
    OtherRoot {
        /// Who sent it.
        from: u64,
        /// The head of the current cut.
        own: TreeHead,
        /// The head cosigned.
        theirs: TreeHead,
    },
    /// For a head that is not collected for any more.
    #[error("the cosignature is for a tree of {offered}, signatures are collected for {current}")]
    Stale {
        /// Size of the head cosigned.
        offered: TreeSize,
        /// Size of the head in progress, or else of the newest published one.
        current: TreeSize,
    },
    /// This node does not lead.
    #[error("this node does not lead")]
    NotLeader,
}

/// What became of a cosignature that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Counted,
    /// It came before this node applied its cut, and is checked then.
    Held,
    /// Its head has been published already, or is just being.
    Late,
}

/// What happened, at a time in milliseconds of a clock that never goes back.
#[derive(Debug, Clone)]
pub enum Event<R> {
    /// Time has passed.
    Tick,
    /// This node leads in a term, or does not.
    Lead(Option<u64>),
    /// The own tree has so many leaves.
    Applied(TreeSize),
    /// A head was published (applied), by whomever.
    Published(TreeHead),
    /// Somebody waits for a published head of at least this size.
    Wanted(TreeSize),
    /// A cut was applied; the rules are those in force there.
    Cut {
        /// As noted at apply.
        cut: CutNote,
        /// The policies that its head must satisfy.
        rules: R,
    },
    /// The proposed cut was not committed, or it is not known.
    CutFailed,
    /// The proposed cut was committed; [`Event::Cut`] tells of it, before or after.
    CutDone,
    /// The proposal to publish was answered, whatever the answer.
    PublishDone,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Propose a cut.
    ProposeCut,
    /// Add the log and receipt signatures and propose to publish.
    ProposePublish {
        /// The cut whose head is published.
        cut: CutNote,
        /// Checked, one per key.
        cosignatures: Cosignatures,
    },
    /// Say that a held cosignature turned out wrong.
    Refused {
        /// Who sent it.
        from: u64,
        /// What is wrong with it.
        refusal: CosignatureRefusal,
    },
}

#[derive(Debug, Clone)]
enum Phase<R> {
    Idle,
    /// The proposal is under way.
    Cutting,
    /// It was committed, and its cut has not been seen yet.
    Awaiting {
        since_ms: u64,
    },
    Collecting {
        cut: CutNote,
        rules: R,
        cosignatures: Cosignatures,
        progress_ms: u64,
    },
    Publishing {
        cut: CutNote,
    },
}

/// Everything the decisions depend on.
#[derive(Debug, Clone)]
pub struct PublishState<R> {
    interval_ms: u64,
    term: Option<u64>,
    applied: TreeSize,
    published: Option<TreeHead>,
    /// Sizes that somebody waits for, none of them published yet.
    wanted: BTreeSet<TreeSize>,
    cut_ms: Option<u64>,
    phase: Phase<R>,
    /// Cosignatures for cuts that this node has not applied yet, the newest of each sender.
    early: BTreeMap<u64, Vec<(TreeHead, NoteSignature)>>,
}

impl<R: HeadRules> PublishState<R> {
    /// A node that does not lead yet and cuts at this interval.
    pub fn new(interval_ms: u64) -> Self {
        Self {
            interval_ms: interval_ms.max(CUT_GAP_MS_MIN),
            term: None,
            applied: TreeSize(0),
            published: None,
            wanted: BTreeSet::new(),
            cut_ms: None,
            phase: Phase::Idle,
            early: BTreeMap::new(),
        }
    }

    /// Takes one event in and says what follows.
    pub fn step(&mut self, event: Event<R>, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Lead(term) => self.lead(term),
            Event::Applied(size) => self.applied = size,
            Event::Published(head) => self.head_published(head),
            Event::Wanted(size) => self.want(size),
            Event::Cut { cut, rules } => actions.extend(self.cut(cut, rules, now_ms)),
            Event::CutFailed => {
                if matches!(self.phase, Phase::Cutting | Phase::Awaiting { .. }) {
                    self.phase = Phase::Idle;
                }
            }
            Event::CutDone => {
                if matches!(self.phase, Phase::Cutting) {
                    self.phase = Phase::Awaiting { since_ms: now_ms };
                }
            }
            Event::PublishDone => {
                if matches!(self.phase, Phase::Publishing { .. }) {
                    self.phase = Phase::Idle;
                }
            }
        }
        actions.extend(self.cut_if_due(now_ms));
        actions
    }

    /// Takes a cosignature from the node `from` in: what became of it, and what follows.
    pub fn cosignature(
        &mut self,
        from: u64,
        head: TreeHead,
        signature: NoteSignature,
        now_ms: u64,
    ) -> (Result<Taken, CosignatureRefusal>, Vec<Action>) {
        match self.take(from, head, signature, now_ms) {
            Ok(taken) => (Ok(taken), self.publish_if_satisfied().into_iter().collect()),
            Err(refusal) => (Err(refusal), Vec::new()),
        }
    }

    /// When the next [`Event::Tick`] matters; `None` while only other events do.
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.term?;
        match &self.phase {
            Phase::Idle => self.due_ms(),
            Phase::Collecting {
                progress_ms: since_ms,
                ..
            }
            | Phase::Awaiting { since_ms } => Some(since_ms.saturating_add(CUT_STALL_MS_MAX)),
            Phase::Cutting | Phase::Publishing { .. } => None,
        }
    }

    fn lead(&mut self, term: Option<u64>) {
        if term != self.term {
            self.term = term;
            self.phase = Phase::Idle;
            self.early.clear();
        }
    }

    fn head_published(&mut self, head: TreeHead) {
        if self
            .published
            .is_none_or(|published| published.size < head.size)
        {
            self.published = Some(head);
            self.wanted.retain(|size| *size > head.size);
        }
    }

    /// Somebody waits for a head of this size. What will not be reached soon gives way to what will:
    /// nobody can keep others waiting by asking for the impossible.
    fn want(&mut self, size: TreeSize) {
        if size <= self.published_size() {
            return;
        }
        self.wanted.insert(size);
        if self.wanted.len() > WANTED_MAX {
            self.wanted.pop_last();
        }
    }

    fn published_size(&self) -> TreeSize {
        self.published.map_or(TreeSize(0), |head| head.size)
    }

    /// When the next cut is due, if there is something new to put under a head.
    fn due_ms(&self) -> Option<u64> {
        if self.applied <= self.published_size() {
            return None;
        }
        let hurry = self
            .wanted
            .first()
            .is_some_and(|size| *size <= self.applied);
        let gap_ms = if hurry {
            CUT_GAP_MS_MIN
        } else {
            self.interval_ms
        };
        Some(
            self.cut_ms
                .map_or(0, |cut_ms| cut_ms.saturating_add(gap_ms)),
        )
    }

    fn cut_if_due(&mut self, now_ms: u64) -> Option<Action> {
        let wake_ms = self.wake_at_ms()?;
        if now_ms < wake_ms {
            return None;
        }
        // A stalled cut is superseded even if nothing is new: its command, or a cosigner's answer,
        // may have been lost.
        self.phase = Phase::Cutting;
        self.cut_ms = Some(now_ms);
        Some(Action::ProposeCut)
    }

    fn cut(&mut self, cut: CutNote, rules: R, now_ms: u64) -> Vec<Action> {
        let own = self.term == Some(cut.position.term);
        if !own || matches!(self.phase, Phase::Publishing { .. }) {
            return Vec::new();
        }
        self.phase = Phase::Collecting {
            cut,
            rules,
            cosignatures: Cosignatures::new(),
            progress_ms: now_ms,
        };
        let mut actions = Vec::new();
        for (from, held) in std::mem::take(&mut self.early) {
            for (head, signature) in held {
                if let Err(refusal) = self.take(from, head, signature, now_ms) {
                    actions.push(Action::Refused { from, refusal });
                }
            }
        }
        actions.extend(self.publish_if_satisfied());
        actions
    }

    fn take(
        &mut self,
        from: u64,
        head: TreeHead,
        signature: NoteSignature,
        now_ms: u64,
    ) -> Result<Taken, CosignatureRefusal> {
        if self.term.is_none() {
            return Err(CosignatureRefusal::NotLeader);
        }
        let done = match &self.phase {
            Phase::Publishing { cut } => Some(cut.tree),
            Phase::Idle | Phase::Cutting | Phase::Awaiting { .. } | Phase::Collecting { .. } => {
                self.published
            }
        };
        if done == Some(head) {
            return Ok(Taken::Late);
        }
        if let Phase::Collecting {
            cut,
            rules,
            cosignatures,
            progress_ms,
        } = &mut self.phase
            && head.size <= cut.tree.size
        {
            if head.size < cut.tree.size {
                return Err(CosignatureRefusal::Stale {
                    offered: head.size,
                    current: cut.tree.size,
                });
            }
            // The signature is checked first, so that nobody is accused by a forged one.
            rules.check(from, &head, &signature)?;
            if head.root != cut.tree.root {
                return Err(CosignatureRefusal::OtherRoot {
                    from,
                    own: cut.tree,
                    theirs: head,
                });
            }
            cosignatures.insert((signature.name.clone(), signature.id), signature);
            *progress_ms = now_ms;
            return Ok(Taken::Counted);
        }
        if head.size <= self.published_size() {
            let current = self.published_size();
            return Err(CosignatureRefusal::Stale {
                offered: head.size,
                current,
            });
        }
        self.hold(from, head, signature);
        Ok(Taken::Held)
    }

    fn hold(&mut self, from: u64, head: TreeHead, signature: NoteSignature) {
        if self.early.len() >= EARLY_MAX && !self.early.contains_key(&from) {
            return;
        }
        let held = self.early.entry(from).or_default();
        held.retain(|(_, earlier)| earlier.id != signature.id);
        if held.len() >= EARLY_OF_ONE_MAX {
            held.remove(0);
        }
        held.push((head, signature));
    }

    fn publish_if_satisfied(&mut self) -> Option<Action> {
        let Phase::Collecting {
            cut,
            rules,
            cosignatures,
            ..
        } = &mut self.phase
        else {
            return None;
        };
        if !rules.satisfied(&cut.tree, cosignatures) {
            return None;
        }
        let (cut, cosignatures) = (*cut, std::mem::take(cosignatures));
        self.phase = Phase::Publishing { cut };
        Some(Action::ProposePublish { cut, cosignatures })
    }
}

#[cfg(test)]
mod tests;
