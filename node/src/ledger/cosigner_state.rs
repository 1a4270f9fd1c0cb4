//! When a node may cosign a cut: the decisions, without clock, disk or network.
//!
//! The shell in `cosigner` feeds events and carries out the actions. The one promise, which holds
//! for every order of events: [`Action::Release`] is given for a cut only when
//!
//! 1. this node noted the cut at apply, so the head is of its own tree,
//! 2. its raft log is flushed up to the cut,
//! 3. it has verified every statement and content up to the cut,
//! 4. its tree still has the root that it signed last,
//! 5. every other voter that answered has the same root at that size, none that ever contradicted
//!    it has failed to take that back, and each of the rest was given the time to answer,
//! 6. the guard file holds the cut and its head, synced.

use std::collections::{BTreeMap, BTreeSet};

use aimslog_proto::limits::CUT_AHEAD_MS_MAX;
use aimslog_proto::tlog::{RootHash, TreeSize};

use super::cut::covers;
use super::guard_record::{GuardRecord, SignedCut};
use super::progress::CutNote;
use crate::raft::Position;

/// How many of the newest cuts are kept to compare late answers with.
const RECENT_MAX: usize = 64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A cut was applied; `now_ms` is this node's clock.
    Cut {
        /// As noted at apply.
        cut: CutNote,
        /// Milliseconds since 1970.
        now_ms: u64,
    },
    /// The raft log is on this node's disk up to here.
    Flushed(Position),
    /// This node has verified so many entries itself.
    Verified(TreeSize),
    /// The other voters, without this node.
    Peers(BTreeSet<u64>),
    /// A peer's root, whose signature was checked.
    PeerRoot {
        /// Who answered.
        peer: u64,
        /// The size asked about.
        size: TreeSize,
        /// Its root.
        root: RootHash,
    },
    /// A peer did not give its root in time, for whatever reason.
    PeerSilent {
        /// Who was asked.
        peer: u64,
        /// The size asked about.
        size: TreeSize,
    },
    /// What this node's tree gives at a size; `None` when it is shorter.
    OwnRoot {
        /// The size read.
        size: TreeSize,
        /// Its root.
        root: Option<RootHash>,
    },
    /// The guard file holds this cut, synced.
    Guarded(CutNote),
    /// The guard file did not take the cut, or may not have.
    GuardFailed,
    /// Whether the alarms leave the node the right to sign.
    MaySign(Permission),
}

/// Whether the node's standing lets it sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nothing speaks against it.
    Given,
    /// An alarm, or the peers have not been asked yet.
    Withheld,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask these peers for their root, and report each of `awaited` as silent after 300 ms; the
    /// others are asked too, and nobody waits for them.
    AskRoots {
        /// At this size.
        size: TreeSize,
        /// Peers whose silence must be reported.
        awaited: Vec<u64>,
        /// Peers that were silent the last time.
        background: Vec<u64>,
    },
    /// Read the root of the own tree from the disk.
    ReadOwnRoot {
        /// At this size.
        size: TreeSize,
    },
    /// Write the cut to the guard file and sync it.
    WriteGuard(CutNote),
    /// Make the cosignature and send it to the leader.
    Release(CutNote),
    /// Raise FORK and keep both signed answers.
    RaiseFork {
        /// Who contradicts.
        peer: u64,
        /// At this size.
        size: TreeSize,
        /// This node's root.
        own: RootHash,
        /// The peer's root.
        theirs: RootHash,
    },
    /// Raise CORRUPT: the tree is not the one that was signed.
    RaiseCorrupt {
        /// At this size.
        size: TreeSize,
        /// What the tree gives now.
        own: Option<RootHash>,
        /// What was signed.
        signed: RootHash,
    },
    /// Say why a cut is not cosigned.
    Decline {
        /// The cut.
        cut: CutNote,
        /// Why.
        reason: Declined,
    },
    /// Stop the process: the guard can no longer be relied on.
    Stop,
}

/// Why a cut is not cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// The leader's clock is ahead, or this node's is behind.
    #[error("dated {ahead_ms} ms ahead of this node's clock")]
    FutureDated {
        /// By how much.
        ahead_ms: u64,
    },
    /// Replayed, or proposed by a leader that does not know what was signed.
    #[error("older than the newest cut cosigned")]
    Older,
    /// The standing of the node forbids it.
    #[error("this node may not sign now")]
    Withheld,
    /// A newer cut came before this one was ready.
    #[error("superseded by a newer cut")]
    Superseded,
}

/// The cut being worked on.
#[derive(Debug, Clone)]
struct Pending {
    cut: CutNote,
    /// Peers that neither answered nor fell silent yet.
    awaited: BTreeSet<u64>,
    /// Size at which the own tree is being compared with what was signed; `None` when done.
    own_check: Option<TreeSize>,
}

/// Everything the decisions depend on.
#[derive(Debug, Clone)]
pub struct CosignState {
    permission: Permission,
    flushed: Option<Position>,
    verified: TreeSize,
    peers: BTreeSet<u64>,
    /// Peers that gave no root the last time they were asked.
    silent: BTreeSet<u64>,
    /// Peers whose newest answer contradicts this node's tree.
    contradicting: BTreeSet<u64>,
    /// What the guard file holds.
    signed: Option<SignedCut>,
    pending: Option<Pending>,
    /// The cut that the guard file is being asked to hold.
    writing: Option<CutNote>,
    /// Own roots at the newest cuts.
    recent: BTreeMap<TreeSize, RootHash>,
    /// The own tree is not the one that was signed: never sign again.
    corrupt: bool,
    stopped: bool,
}

impl CosignState {
    /// A node that starts from this guard record, knows no peers yet and may not sign yet.
    pub fn new(guard: &GuardRecord) -> Self {
        Self {
            permission: Permission::Withheld,
            flushed: None,
            verified: TreeSize(0),
            peers: BTreeSet::new(),
            silent: BTreeSet::new(),
            contradicting: BTreeSet::new(),
            signed: guard.signed,
            pending: None,
            writing: None,
            recent: BTreeMap::new(),
            corrupt: false,
            stopped: false,
        }
    }

    /// Takes one event in and says what follows, in this order.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        if self.stopped {
            return Vec::new();
        }
        let mut actions = match event {
            Event::Cut { cut, now_ms } => self.cut(cut, now_ms),
            Event::Flushed(position) => {
                self.flushed = Some(position);
                Vec::new()
            }
            Event::Verified(size) => {
                self.verified = size;
                Vec::new()
            }
            Event::Peers(peers) => self.voters_are(peers),
            Event::PeerRoot { peer, size, root } => self.peer_root(peer, size, root),
            Event::PeerSilent { peer, size } => {
                self.peer_silent(peer, size);
                Vec::new()
            }
            Event::OwnRoot { size, root } => self.own_root(size, root),
            Event::Guarded(cut) => self.guarded(cut),
            Event::GuardFailed => {
                self.stopped = true;
                return vec![Action::Stop];
            }
            Event::MaySign(permission) => self.may_sign(permission),
        };
        actions.extend(self.advance());
        actions
    }

    /// The cut being worked on, for status.
    pub fn pending(&self) -> Option<&CutNote> {
        self.pending.as_ref().map(|pending| &pending.cut)
    }

    fn cut(&mut self, cut: CutNote, now_ms: u64) -> Vec<Action> {
        self.recent.insert(cut.tree.size, cut.tree.root);
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_first();
        }
        if let Some(reason) = self.declines(&cut, now_ms) {
            return vec![Action::Decline { cut, reason }];
        }
        match &mut self.pending {
            // The same head once more: what was learned about it stays learned.
            Some(pending) if pending.cut.tree == cut.tree => {
                pending.cut = cut;
                Vec::new()
            }
            pending => {
                let old = pending.take();
                let mut actions: Vec<Action> = old
                    .map(|old| Action::Decline {
                        cut: old.cut,
                        reason: Declined::Superseded,
                    })
                    .into_iter()
                    .collect();
                actions.extend(self.begin(cut));
                actions
            }
        }
    }

    fn declines(&self, cut: &CutNote, now_ms: u64) -> Option<Declined> {
        if self.permission == Permission::Withheld {
            return Some(Declined::Withheld);
        }
        let ahead_ms = cut.time.0.saturating_sub(now_ms);
        if ahead_ms > CUT_AHEAD_MS_MAX {
            return Some(Declined::FutureDated { ahead_ms });
        }
        let newest = self.writing.map(|cut| (cut.position, cut.tree.size));
        let newest = newest.or_else(|| {
            self.signed
                .map(|signed| (signed.position, signed.head.size))
        });
        let newest = self
            .pending()
            .map(|cut| (cut.position, cut.tree.size))
            .or(newest);
        newest
            .is_some_and(|(position, size)| cut.tree.size < size || !covers(cut.position, position))
            .then_some(Declined::Older)
    }

    fn begin(&mut self, cut: CutNote) -> Vec<Action> {
        let size = cut.tree.size;
        let own_check = self.signed.map(|signed| signed.head.size);
        let (background, awaited): (Vec<u64>, Vec<u64>) = self
            .peers
            .iter()
            .partition(|peer| self.silent.contains(peer));
        self.pending = Some(Pending {
            cut,
            awaited: awaited.iter().copied().collect(),
            own_check,
        });
        let mut actions: Vec<Action> = own_check
            .map(|size| Action::ReadOwnRoot { size })
            .into_iter()
            .collect();
        if !self.peers.is_empty() {
            actions.push(Action::AskRoots {
                size,
                awaited,
                background,
            });
        }
        actions
    }

    fn voters_are(&mut self, peers: BTreeSet<u64>) -> Vec<Action> {
        let new: Vec<u64> = peers.difference(&self.peers).copied().collect();
        self.silent.retain(|peer| peers.contains(peer));
        self.contradicting.retain(|peer| peers.contains(peer));
        self.peers = peers;
        let Some(pending) = &mut self.pending else {
            return Vec::new();
        };
        pending.awaited.retain(|peer| self.peers.contains(peer));
        pending.awaited.extend(&new);
        if new.is_empty() {
            return Vec::new();
        }
        let size = pending.cut.tree.size;
        vec![Action::AskRoots {
            size,
            awaited: new,
            background: Vec::new(),
        }]
    }

    fn peer_root(&mut self, peer: u64, size: TreeSize, theirs: RootHash) -> Vec<Action> {
        let Some(own) = self.recent.get(&size).copied() else {
            return Vec::new();
        };
        if !self.peers.contains(&peer) {
            return Vec::new();
        }
        self.silent.remove(&peer);
        if let Some(pending) = self
            .pending
            .as_mut()
            .filter(|pending| pending.cut.tree.size == size)
        {
            pending.awaited.remove(&peer);
        }
        if own == theirs {
            // A tree that differs at one size differs at all larger ones, so only agreement at
            // the size in question, or a larger one, takes a contradiction back.
            if self.recent.range(size..).nth(1).is_none() {
                self.contradicting.remove(&peer);
            }
            return Vec::new();
        }
        self.contradicting.insert(peer);
        vec![Action::RaiseFork {
            peer,
            size,
            own,
            theirs,
        }]
    }

    fn peer_silent(&mut self, peer: u64, size: TreeSize) {
        // A time-out for an earlier cut says nothing about a peer that has answered since.
        if let Some(pending) = self
            .pending
            .as_mut()
            .filter(|pending| pending.cut.tree.size == size)
            && pending.awaited.remove(&peer)
        {
            self.silent.insert(peer);
        }
    }

    fn own_root(&mut self, size: TreeSize, root: Option<RootHash>) -> Vec<Action> {
        let Some(signed) = self.signed.filter(|signed| signed.head.size == size) else {
            return Vec::new();
        };
        if root == Some(signed.head.root) {
            if let Some(pending) = &mut self.pending
                && pending.own_check == Some(size)
            {
                pending.own_check = None;
            }
            return Vec::new();
        }
        vec![self.is_corrupt(size, root, signed.head.root)]
    }

    fn is_corrupt(&mut self, size: TreeSize, own: Option<RootHash>, signed: RootHash) -> Action {
        self.corrupt = true;
        self.permission = Permission::Withheld;
        self.pending = None;
        Action::RaiseCorrupt { size, own, signed }
    }

    fn guarded(&mut self, cut: CutNote) -> Vec<Action> {
        if self.writing != Some(cut) {
            return Vec::new();
        }
        self.writing = None;
        self.signed = Some(SignedCut {
            position: cut.position,
            head: cut.tree,
        });
        let mut actions = Vec::new();
        if self.permission == Permission::Given && self.contradicting.is_empty() {
            actions.push(Action::Release(cut));
        } else {
            actions.push(Action::Decline {
                cut,
                reason: Declined::Withheld,
            });
        }
        // A cut that came meanwhile must be compared with what has been signed just now.
        if let Some(pending) = &mut self.pending {
            pending.own_check = Some(cut.tree.size);
            actions.push(Action::ReadOwnRoot {
                size: cut.tree.size,
            });
        }
        actions
    }

    fn may_sign(&mut self, permission: Permission) -> Vec<Action> {
        self.permission = if self.corrupt {
            Permission::Withheld
        } else {
            permission
        };
        let withdrawn = match self.permission {
            Permission::Given => None,
            Permission::Withheld => self.pending.take(),
        };
        withdrawn
            .map(|pending| Action::Decline {
                cut: pending.cut,
                reason: Declined::Withheld,
            })
            .into_iter()
            .collect()
    }

    fn advance(&mut self) -> Option<Action> {
        let pending = self.pending.as_ref()?;
        let cut = pending.cut;
        let flushed = self
            .flushed
            .is_some_and(|flushed| covers(flushed, cut.position));
        let ready = flushed
            && self.verified >= cut.tree.size
            && pending.own_check.is_none()
            && pending.awaited.is_empty()
            && self.contradicting.is_empty()
            && self.permission == Permission::Given
            && self.writing.is_none();
        if !ready {
            return None;
        }
        if let Some(signed) = self
            .signed
            .filter(|signed| signed.head.size == cut.tree.size)
            && signed.head.root != cut.tree.root
        {
            return Some(self.is_corrupt(cut.tree.size, Some(cut.tree.root), signed.head.root));
        }
        self.pending = None;
        self.writing = Some(cut);
        Some(Action::WriteGuard(cut))
    }
}

#[cfg(test)]
mod tests;
