//! What keeps a node from forgetting: the rules by which it opens, and the guard that every vote
//! and every cosignature passes.
//!
//! Order of writes, which the rules rely on: a vote is synced in the raft log's database, then in
//! the guard, and only then answered; a cosigned cut is in the guard only once the raft log is
//! synced up to it. So at every instant the data of an honest node is at least as new as its
//! guard, and data that is older has been rolled back, copied or lost.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::watch;

use super::cut::covers;
use super::guard_file::{DiskSlots, GuardFile, GuardFileError, SlotStore};
use super::guard_record::{GuardRecord, GuardedVote, Identity, SignRefusal, VoteRefusal};
use super::progress::CutNote;
use crate::raft::{GuardError, Position, Vote, VoteGuard};

/// What the guard directory holds, as read.
#[derive(Debug)]
pub enum GuardState {
    /// There is no guard file.
    Missing,
    /// There is one, and neither slot can be read.
    Unreadable,
    /// The newest record.
    Present(GuardRecord),
}

/// What the data directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataState {
    /// Whose data it is; `None` when there is no database yet.
    pub identity: Option<Identity>,
    /// Last entry of the raft log, counting what a snapshot has replaced; `None` when it is empty.
    pub log_end: Option<Position>,
    /// The vote that is stored; `None` when the node never voted.
    pub vote: Option<Vote>,
}

impl DataState {
    /// Whether anything was ever written here by a running node.
    pub fn present(&self) -> bool {
        self.log_end.is_some() || self.vote.is_some()
    }
}

/// Which guard found that the node has forgotten something.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Amnesia {
    /// The raft log was rolled back, truncated or lost.
    #[error("the raft log ends at {}, before the cut at {cosigned} that this node cosigned", end_text(*end))]
    LogBehindGuard {
        /// Last entry of the raft log.
        end: Option<Position>,
        /// The cut in the guard file.
        cosigned: Position,
    },
    /// The stored vote was rolled back.
    #[error("the stored vote {stored:?} is older than the vote {guarded:?} in the guard file")]
    VoteBehindGuard {
        /// In the raft database.
        stored: GuardedVote,
        /// In the guard file.
        guarded: GuardedVote,
    },
    /// The guard directory was lost, or not mounted.
    #[error("the guard file is missing while there is data")]
    GuardMissing,
    /// The guard file is there and cannot be read.
    #[error("neither slot of the guard file can be read")]
    GuardUnreadable,
    /// The data directory was lost, or not mounted.
    #[error("the data is missing while the guard file has promises to keep")]
    DataMissing,
    /// A guard file of another node or cluster.
    #[error("the guard file belongs to {found}, this is {expected}")]
    GuardOfAnother {
        /// Whom the file names.
        found: Identity,
        /// Who this node is.
        expected: Identity,
    },
    /// A data directory of another node or cluster.
    #[error("the data belongs to {found}, this is {expected}")]
    DataOfAnother {
        /// Whom the data names.
        found: Identity,
        /// Who this node is.
        expected: Identity,
    },
    /// A peer has seen a later start of this node.
    #[error("node {peer} remembers start {remembered} of this node, which knows only {own}")]
    PeerRemembersIncarnation {
        /// Who remembers.
        peer: u64,
        /// What it remembers.
        remembered: u64,
        /// What this node knows.
        own: u64,
    },
    /// A peer has seen a larger head signed by this node.
    #[error(
        "node {peer} remembers a head of {remembered} leaves signed by this node, which knows only {own}"
    )]
    PeerRemembersHead {
        /// Who remembers.
        peer: u64,
        /// What it remembers.
        remembered: u64,
        /// What this node knows.
        own: u64,
    },
    /// A peer has seen a later vote of this node.
    #[error("node {peer} remembers a vote of this node in term {remembered}, it knows only {own}")]
    PeerRemembersVote {
        /// Who remembers.
        peer: u64,
        /// What it remembers.
        remembered: u64,
        /// What this node knows.
        own: u64,
    },
    /// A peer has seen a later cut cosigned by this node.
    #[error(
        "node {peer} remembers a cut at raft index {remembered} cosigned by this node, which knows only {own}"
    )]
    PeerRemembersCut {
        /// Who remembers.
        peer: u64,
        /// What it remembers.
        remembered: u64,
        /// What this node knows.
        own: u64,
    },
    /// A peer has seen more of this node's raft log on its disk than is there.
    #[error(
        "node {peer} remembers raft index {remembered} synced on this node, whose log ends at {own}"
    )]
    PeerRemembersLog {
        /// Who remembers.
        peer: u64,
        /// What it remembers.
        remembered: u64,
        /// What this node knows.
        own: u64,
    },
}

fn end_text(end: Option<Position>) -> String {
    end.map_or_else(|| "nothing".to_owned(), |end| end.to_string())
}

impl Amnesia {
    /// Stable name of the guard that fired, for metrics, status and tests.
    pub fn guard_name(&self) -> &'static str {
        match self {
            Self::LogBehindGuard { .. } => "LOG_BEHIND_GUARD",
            Self::VoteBehindGuard { .. } => "VOTE_BEHIND_GUARD",
            Self::GuardMissing => "GUARD_MISSING",
            Self::GuardUnreadable => "GUARD_UNREADABLE",
            Self::DataMissing => "DATA_MISSING",
            Self::GuardOfAnother { .. } => "GUARD_OF_ANOTHER",
            Self::DataOfAnother { .. } => "DATA_OF_ANOTHER",
            Self::PeerRemembersIncarnation { .. } => "PEER_REMEMBERS_INCARNATION",
            Self::PeerRemembersHead { .. } => "PEER_REMEMBERS_HEAD",
            Self::PeerRemembersVote { .. } => "PEER_REMEMBERS_VOTE",
            Self::PeerRemembersCut { .. } => "PEER_REMEMBERS_CUT",
            Self::PeerRemembersLog { .. } => "PEER_REMEMBERS_LOG",
        }
    }
}

/// The verdict on what was found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examination {
    /// The node may take part, going on from this record.
    Healthy(GuardRecord),
    /// It must not vote, acknowledge, lead, sign or serve.
    Amnesia(Amnesia),
}

/// Judges guard and data of the node `expected` at its start.
pub fn examine(expected: Identity, guard: &GuardState, data: &DataState) -> Examination {
    match forgotten(expected, guard, data) {
        Some(amnesia) => Examination::Amnesia(amnesia),
        None => Examination::Healthy(match guard {
            GuardState::Present(record) => *record,
            GuardState::Missing | GuardState::Unreadable => GuardRecord::fresh(expected),
        }),
    }
}

fn forgotten(expected: Identity, guard: &GuardState, data: &DataState) -> Option<Amnesia> {
    if let Some(found) = data.identity.filter(|found| *found != expected) {
        return Some(Amnesia::DataOfAnother { found, expected });
    }
    let record = match guard {
        GuardState::Unreadable => return Some(Amnesia::GuardUnreadable),
        GuardState::Missing if data.present() => return Some(Amnesia::GuardMissing),
        GuardState::Missing => return None,
        GuardState::Present(record) => record,
    };
    if record.identity != expected {
        return Some(Amnesia::GuardOfAnother {
            found: record.identity,
            expected,
        });
    }
    if !data.present() && record.has_promised() {
        return Some(Amnesia::DataMissing);
    }
    let stored = data
        .vote
        .as_ref()
        .map(GuardedVote::from)
        .unwrap_or_default();
    if stored < record.vote {
        return Some(Amnesia::VoteBehindGuard {
            stored,
            guarded: record.vote,
        });
    }
    let cosigned = record.signed_position()?;
    let held = data.log_end.is_some_and(|end| covers(end, cosigned));
    (!held).then_some(Amnesia::LogBehindGuard {
        end: data.log_end,
        cosigned,
    })
}

/// What a node knows of itself, or a peer remembers of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Number of starts.
    pub incarnation: u64,
    /// Size of the largest head signed.
    pub signed_size: u64,
    /// Term of the newest vote.
    pub vote_term: u64,
    /// Raft index of the newest cut cosigned.
    pub cut_index: u64,
    /// Raft index up to which the node's log cannot honestly go back. What a node reports is the
    /// smaller of synced and committed, since an uncommitted tail may be replaced; what it compares
    /// a peer's memory with is the end of its log.
    pub log_index: u64,
}

impl Memory {
    /// The larger of each field: what is remembered after two reports.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            incarnation: self.incarnation.max(other.incarnation),
            signed_size: self.signed_size.max(other.signed_size),
            vote_term: self.vote_term.max(other.vote_term),
            cut_index: self.cut_index.max(other.cut_index),
            log_index: self.log_index.max(other.log_index),
        }
    }
}

/// Compares what `peer` remembers of this node with what the node knows of itself.
pub fn examine_peer(peer: u64, remembered: &Memory, own: &Memory) -> Option<Amnesia> {
    if remembered.incarnation > own.incarnation {
        return Some(Amnesia::PeerRemembersIncarnation {
            peer,
            remembered: remembered.incarnation,
            own: own.incarnation,
        });
    }
    if remembered.signed_size > own.signed_size {
        return Some(Amnesia::PeerRemembersHead {
            peer,
            remembered: remembered.signed_size,
            own: own.signed_size,
        });
    }
    if remembered.vote_term > own.vote_term {
        return Some(Amnesia::PeerRemembersVote {
            peer,
            remembered: remembered.vote_term,
            own: own.vote_term,
        });
    }
    if remembered.cut_index > own.cut_index {
        return Some(Amnesia::PeerRemembersCut {
            peer,
            remembered: remembered.cut_index,
            own: own.cut_index,
        });
    }
    (remembered.log_index > own.log_index).then_some(Amnesia::PeerRemembersLog {
        peer,
        remembered: remembered.log_index,
        own: own.log_index,
    })
}

/// Why the guard did not let something pass.
#[derive(Debug, Error)]
pub enum GuardRefused {
    /// The file could not be read or written. The process must stop.
    #[error(transparent)]
    File(#[from] GuardFileError),
    /// The vote would go back.
    #[error(transparent)]
    Vote(#[from] VoteRefusal),
    /// The head must not be signed.
    #[error(transparent)]
    Sign(#[from] SignRefusal),
}

/// What the start found: the guard of a healthy node, or why it may take no part.
#[derive(Debug)]
pub enum Opened {
    /// Synced with the incarnation counted up.
    Healthy(Guard),
    /// Nothing was written.
    Amnesia(Amnesia),
}

/// The guard of a running node. Cheap to share; every write is synced before it returns, so call
/// it where blocking is allowed.
#[derive(Debug)]
pub struct Guard<S = DiskSlots> {
    /// Held over the write, so that the records follow one another.
    file: Mutex<GuardFile<S>>,
    /// The newest record on the disk, for those who only look.
    record: watch::Sender<GuardRecord>,
}

impl Guard {
    /// Examines guard directory and data, and counts the start if the node is healthy.
    ///
    /// A node without data and promises gets its guard file here: before anything else of it is
    /// written.
    pub fn open(
        dir: &Path,
        expected: Identity,
        data: &DataState,
    ) -> Result<Opened, GuardFileError> {
        let (state, file) = match DiskSlots::open(dir)? {
            None => (GuardState::Missing, None),
            Some(store) => match GuardFile::open(store) {
                Ok(file) => (GuardState::Present(*file.record()), Some(file)),
                Err(GuardFileError::Unreadable { .. }) => (GuardState::Unreadable, None),
                Err(error) => return Err(error),
            },
        };
        let record = match examine(expected, &state, data) {
            Examination::Amnesia(amnesia) => return Ok(Opened::Amnesia(amnesia)),
            Examination::Healthy(record) => record,
        };
        let file = match file {
            Some(file) => file,
            None => GuardFile::open(DiskSlots::create(dir, record)?)?,
        };
        Ok(Opened::Healthy(Self::start(file)?))
    }
}

impl<S: SlotStore> Guard<S> {
    /// Counts the start in an examined file.
    pub fn start(mut file: GuardFile<S>) -> Result<Self, GuardFileError> {
        let record = file.record().started();
        file.write(record)?;
        Ok(Self {
            file: Mutex::new(file),
            record: watch::Sender::new(record),
        })
    }

    /// The newest record on the disk.
    pub fn record(&self) -> GuardRecord {
        *self.record.borrow()
    }

    /// Notifies of every write.
    pub fn subscribe(&self) -> watch::Receiver<GuardRecord> {
        self.record.subscribe()
    }

    /// Records a vote. A change of nothing but its outcome costs no write.
    pub fn vote(&self, vote: GuardedVote) -> Result<(), GuardRefused> {
        let mut file = self.lock();
        let next = file.record().voted(vote)?;
        if next == *file.record() {
            return Ok(());
        }
        self.write(&mut file, next)
    }

    /// Records that `cut` is about to be cosigned; only after `Ok` may the signature be made.
    pub fn cosigning(&self, cut: &CutNote) -> Result<(), GuardRefused> {
        let mut file = self.lock();
        let next = file.record().cosigning(cut)?;
        self.write(&mut file, next)
    }

    fn write(&self, file: &mut GuardFile<S>, next: GuardRecord) -> Result<(), GuardRefused> {
        file.write(next)?;
        self.record.send_replace(next);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, GuardFile<S>> {
        // A panic inside leaves the newest record readable and the file no worse than a torn write.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Vote> for GuardedVote {
    fn from(vote: &Vote) -> Self {
        Self {
            term: vote.term,
            voted_for: Some(vote.node).filter(|node| *node != 0),
        }
    }
}

impl<S: SlotStore> VoteGuard for Guard<S> {
    fn vote_stored(&self, vote: &Vote) -> Result<(), GuardError> {
        self.vote(GuardedVote::from(vote))
            .map_err(|refused| match refused {
                GuardRefused::Vote(VoteRefusal { held, .. }) => {
                    let node = held.voted_for.unwrap_or(0);
                    let held = Vote {
                        term: held.term,
                        node,
                        committed: false,
                    };
                    GuardError::Reversal { held, asked: *vote }
                }
                other @ (GuardRefused::File(_) | GuardRefused::Sign(_)) => {
                    GuardError::Io(std::io::Error::other(other))
                }
            })
    }
}

#[cfg(test)]
mod tests;
