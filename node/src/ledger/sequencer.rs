//! The order of statements: gathers what arrives into commands and hands them to Raft.
//!
//! While a command is being replicated, the next one grows, so an idle ledger answers at once and
//! a busy one writes large batches: there is no timer to tune. A few commands are in flight at a
//! time, and Raft takes them in the order in which they are handed over. The queue is bounded in
//! bytes; what does not fit is refused before it costs anything.

mod cycle;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aimslog_proto::limits::{ATTACHMENTS_MAX, BLOB_CHUNK_BYTES_MAX, COMMAND_BYTES_MAX};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot, watch};

pub use cycle::{SequencerLoop, SequencerParts};

use super::{
    command::{Batch, BlobChunk, Genesis, Item, Publish},
    outcome::{ItemOutcome, Outcome},
};
use crate::raft::{Committed, Consensus, ProposeError, Role};

/// Where commands go. Implemented by Raft, and by the tests.
pub trait Propose: Send + Sync + 'static {
    /// Hands over a command; commands enter the Raft log in the order in which these calls return.
    /// Waits only for room in front of the Raft log, never for a commit.
    fn submit(&self, command: Bytes) -> BoxFuture<'_, Result<Pending, ProposeError>>;

    /// The term that this node leads, if it leads.
    fn leading_term(&self) -> Option<u64>;
}

/// The answer to a command, once it is committed and applied here, or cannot be.
pub type Pending = BoxFuture<'static, Result<Committed, ProposeError>>;

impl Propose for Consensus {
    fn submit(&self, command: Bytes) -> BoxFuture<'_, Result<Pending, ProposeError>> {
        async move { Ok(Self::submit(self, command).await?.outcome().boxed()) }.boxed()
    }

    fn leading_term(&self) -> Option<u64> {
        let status = self.status();
        let status = status.borrow();
        (status.role == Role::Leader).then_some(status.vote.term)
    }
}

/// How the sequencer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequencerConfig {
    /// Statement and payload bytes that may wait or be in flight.
    pub queue_bytes_max: usize,
    /// Commands in flight.
    pub window: usize,
    /// With commands in flight, the next one goes once it is this large.
    pub batch_bytes_goal: usize,
    /// How long a command may take before its outcome is reported as unknown.
    pub commit_timeout: Duration,
    /// In silence the leader moves the registration time on this often.
    pub tick: Duration,
}

impl Default for SequencerConfig {
    fn default() -> Self {
        Self {
            queue_bytes_max: 64 << 20,
            window: 4,
            batch_bytes_goal: 128 << 10,
            commit_timeout: Duration::from_secs(10),
            tick: Duration::from_secs(30),
        }
    }
}

/// How much the sequencer takes in and lets go. Set by whoever sees how far verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Statement and payload bytes that may wait or be in flight; the smaller of this and the
    /// configuration counts.
    pub queue_bytes: usize,
    /// What is proposed now may let the tree grow to this size.
    pub tree_size: u64,
}

impl Pace {
    /// Nothing is held back.
    pub const FREE: Self = Self {
        queue_bytes: usize::MAX,
        tree_size: u64::MAX,
    };
}

/// While statements are held back, so few of them go this often all the same: nobody who verifies
/// nothing any more can stop the ledger for good.
const TRICKLE_ITEMS: usize = 16;
const TRICKLE_INTERVAL: Duration = Duration::from_millis(500);
/// How often a command is handed over again with a later time.
const TIME_RETRIES_MAX: u32 = 8;
/// Steps that the registration time catches up at once after the process was suspended.
const CATCH_UP_STEPS_MAX: u32 = 64;
/// Requests on their way into the loop; their bytes are bounded by the configuration.
const REQUESTS_MAX: usize = 16 << 10;

/// Why a submission has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Another node leads; nothing was proposed here, though an earlier attempt may still commit.
    #[error("this node does not lead")]
    NotLeader {
        /// The leader, where it is known.
        leader: Option<u64>,
    },
    /// A majority cannot be reached.
    #[error("the leader does not reach a majority")]
    NoQuorum,
    /// It may be logged, now or later. Sending the same bytes again is safe and tells.
    #[error("the outcome is not known; send the same bytes again")]
    OutcomeUnknown,
    /// Too much is waiting; nothing of this was taken.
    #[error("{waiting} bytes are waiting, the limit is {limit}")]
    Overloaded {
        /// Bytes that wait or are in flight.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The statement does not fit into any command.
    #[error("an item of {bytes} bytes does not fit into a command")]
    TooLarge {
        /// Its size in a command.
        bytes: usize,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopped,
}

/// Commands that are not statements. The registration time is added here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Founds the ledger; the time in it is replaced.
    Genesis(Genesis),
    /// Every node notes its size and root.
    Cut,
    /// A cosigned head.
    Publish(Publish),
    /// A chunk of an attachment; the time in it is replaced.
    Blob(BlobChunk),
    /// A new level.
    Level(u32),
}

/// The way to the sequencer of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sequencer {
    requests: mpsc::Sender<Request>,
    load: Arc<Load>,
}

/// Bytes that were taken and not answered.
#[derive(Debug)]
struct Load {
    bytes: AtomicUsize,
    /// All that were ever given back.
    answered: AtomicU64,
    pace: watch::Receiver<Pace>,
    limit_max: usize,
}

/// Room for bytes on their way, given back when it is dropped: when they are answered, or given up.
#[derive(Debug)]
pub struct Room {
    load: Arc<Load>,
    bytes: usize,
}

impl Room {
    /// Takes so many bytes of this room along, or what is left of it.
    #[must_use]
    pub fn part(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            load: Arc::clone(&self.load),
            bytes,
        }
    }
}

#[derive(Debug)]
enum Request {
    Item {
        item: Item,
        room: Room,
        answer: oneshot::Sender<Result<ItemOutcome, SubmitError>>,
    },
    Control {
        control: Control,
        answer: oneshot::Sender<Result<Outcome, SubmitError>>,
    },
}

impl Sequencer {
    /// The handle, and the loop behind it, which runs until all handles are gone or `shutdown`
    /// resolves.
    ///
    /// `pace` is the brake: whoever sees that verification lags lets less go.
    pub fn new<P: Propose>(
        parts: SequencerParts<P>,
        config: SequencerConfig,
    ) -> (Self, SequencerLoop<P>) {
        let (requests, incoming) = mpsc::channel(REQUESTS_MAX);
        let load = Arc::new(Load {
            bytes: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            pace: parts.pace.clone(),
            limit_max: config.queue_bytes_max,
        });
        (
            Self { requests, load },
            SequencerLoop::new(parts, config, incoming),
        )
    }

    /// Room for statements of this size in all, before any work is done for them: what is refused
    /// here cost nothing, and what has room is not refused for want of it later.
    ///
    /// # Errors
    /// [`SubmitError::Overloaded`].
    pub fn room(&self, bytes: usize) -> Result<Room, SubmitError> {
        self.load.take(bytes, self.load.limit())
    }

    /// Room to hold a call that another node answers. The brake is for the leader: only the memory
    /// of this node counts.
    ///
    /// # Errors
    /// [`SubmitError::Overloaded`].
    pub fn room_in_memory(&self, bytes: usize) -> Result<Room, SubmitError> {
        self.load.take(bytes, self.load.limit_max)
    }

    /// Proposes one admitted statement and returns what became of it.
    ///
    /// Equal statements that are under way at the same time are proposed once. Dropping the future
    /// does not take the statement back.
    ///
    /// # Errors
    /// [`SubmitError`]; after `OutcomeUnknown` and `NotLeader` the statement may be logged.
    pub async fn submit(&self, item: Item) -> Result<ItemOutcome, SubmitError> {
        let room = self.room(item.encoded_len())?;
        self.submit_within(room, item).await
    }

    /// The same for a statement that has room already.
    ///
    /// # Errors
    /// As [`Sequencer::submit`], except `Overloaded` for want of room.
    pub async fn submit_within(&self, room: Room, item: Item) -> Result<ItemOutcome, SubmitError> {
        // A command that no node can read would stop all of them; the door lets none through.
        let bytes = item.encoded_len();
        let readable = item.attachments.len() <= ATTACHMENTS_MAX;
        if !readable || bytes + Batch::OVERHEAD > COMMAND_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes });
        }
        let (answer, outcome) = oneshot::channel();
        self.send(Request::Item { item, room, answer })?;
        outcome.await.unwrap_or(Err(SubmitError::OutcomeUnknown))
    }

    /// Proposes a command that is not a statement.
    ///
    /// # Errors
    /// As [`Sequencer::submit`].
    pub async fn control(&self, control: Control) -> Result<Outcome, SubmitError> {
        if let Control::Blob(chunk) = &control
            && chunk.bytes.len() > BLOB_CHUNK_BYTES_MAX
        {
            let bytes = chunk.bytes.len();
            return Err(SubmitError::TooLarge { bytes });
        }
        let (answer, outcome) = oneshot::channel();
        self.send(Request::Control { control, answer })?;
        outcome.await.unwrap_or(Err(SubmitError::OutcomeUnknown))
    }

    /// Bytes that were taken and not answered.
    pub fn load_bytes(&self) -> usize {
        self.load.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that were answered since the start.
    pub fn answered_bytes(&self) -> u64 {
        self.load.answered.load(Ordering::Relaxed)
    }

    fn send(&self, request: Request) -> Result<(), SubmitError> {
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded {
                    waiting: self.load_bytes(),
                    limit: self.load.limit(),
                },
                mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
            })
    }
}

impl Load {
    fn limit(&self) -> usize {
        self.limit_max.min(self.pace.borrow().queue_bytes)
    }

    fn take(self: &Arc<Self>, bytes: usize, limit: usize) -> Result<Room, SubmitError> {
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One submission always goes through, so that no limit can stop the ledger for good.
        if waiting > 0 && waiting.saturating_add(bytes) > limit {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SubmitError::Overloaded { waiting, limit });
        }
        Ok(Room {
            load: Arc::clone(self),
            bytes,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let answered = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        self.load.answered.fetch_add(answered, Ordering::Relaxed);
    }
}

impl From<ProposeError> for SubmitError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::NoQuorum => Self::NoQuorum,
            ProposeError::Unknown => Self::OutcomeUnknown,
            ProposeError::Stopped => Self::Stopped,
        }
    }
}

#[cfg(test)]
mod tests;
