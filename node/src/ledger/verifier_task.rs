//! Verifies every entry again, behind apply: this node signs nothing that it took on trust.
//!
//! The leader's door checked signatures and contents before the entries were ordered; with
//! `cosign.verify = all` every node checks them once more before it cosigns, so that an evil leader
//! cannot put a forged statement under an honest quorum's head. How far the others are decides
//! how much the leader takes in.

use std::sync::Arc;

use aimslog_proto::tlog::TreeSize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::alarms::{Alarm, Alarms, Corrupt};
use super::exchange_memory::{PeerMemories, PeerView};
use super::progress::LedgerProgress;

/// Entries verified at a stretch on one blocking thread: some 5 ms of work.
const STRETCH_ENTRIES: u64 = 256;

/// Work of a quorum that may lie between apply and verification before the leader takes in less.
pub const LAG_MAX: Duration = Duration::from_secs(2);

/// Entries per second that any node is taken to verify.
pub const RATE_MIN: u64 = 1_000;

/// A node that was not heard for this long counts as behind.
const HEARD_AGE_MAX: Duration = Duration::from_secs(5);

/// What a node verifies itself before it cosigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyMode {
    /// Everything.
    #[default]
    All,
    /// Nothing: it relies on the leader's door. The weaker mode, by name only.
    Leader,
}

/// Verifies stored entries. Called where blocking is allowed.
pub trait EntryVerifier: Send + Sync + 'static {
    /// Checks for every index in `from..to`: the statement's signature against the key that the
    /// registry had there, commitment against disclosures against kind, the stored leaf hash.
    fn verify_range(&self, from: u64, to: u64) -> Result<(), EntryFault>;
}

/// Why a range did not verify.
#[derive(Debug, Error)]
pub enum EntryFault {
    /// The entry is not what may stand in the log.
    #[error("entry {index}: {found}")]
    Wrong {
        /// Index of the leaf.
        index: u64,
        /// What is wrong with it.
        found: String,
    },
    /// The entries could not be read.
    #[error("entries cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why the task ended; the process must stop.
#[derive(Debug, Error)]
pub enum VerifierError {
    /// The state cannot be read.
    #[error("entries cannot be read for verification")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The verification panicked.
    #[error("the verification panicked")]
    Panicked(#[source] JoinError),
}

/// What the task works with.
pub struct VerifierParts {
    /// Does the work.
    pub verifier: Arc<dyn EntryVerifier>,
    /// Whether there is any.
    pub mode: VerifyMode,
    /// How far apply is.
    pub progress: watch::Receiver<LedgerProgress>,
    /// Where an entry that is wrong is told.
    pub alarms: Alarms,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for VerifierParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierParts")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Verifies behind apply until the shutdown, and reports how far it is in `verified`.
///
/// `verified` starts at the largest head that this node signed: everything below was verified
/// before it signed. An entry that is wrong stops the count, and with it all cosigning, for good.
pub async fn run(
    mut parts: VerifierParts,
    verified: watch::Sender<TreeSize>,
) -> Result<(), VerifierError> {
    loop {
        let done = *verified.borrow();
        let applied = tokio::select! {
            () = parts.shutdown.cancelled() => return Ok(()),
            progress = parts.progress.wait_for(|progress| progress.tree.size > done) => match progress {
                Ok(progress) => progress.tree.size,
                Err(_) => return Ok(()),
            },
        };
        let to = match parts.mode {
            VerifyMode::Leader => applied,
            VerifyMode::All => TreeSize(applied.0.min(done.0.saturating_add(STRETCH_ENTRIES))),
        };
        if parts.mode == VerifyMode::All {
            let verifier = Arc::clone(&parts.verifier);
            let work = spawn_blocking(move || verifier.verify_range(done.0, to.0));
            match work.await.map_err(VerifierError::Panicked)? {
                Ok(()) => {}
                Err(EntryFault::Unreadable(source)) => {
                    return Err(VerifierError::Unreadable(source));
                }
                Err(EntryFault::Wrong { index, found }) => {
                    parts
                        .alarms
                        .raise(&Alarm::Corrupt(Corrupt::Entry { index, found }));
                    parts.shutdown.cancelled().await;
                    return Ok(());
                }
            }
        }
        verified.send_replace(to);
    }
}

/// How far one voter is behind itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoterPace {
    /// Entries that it has applied and not verified; `None` if it was not heard lately.
    pub behind: Option<u64>,
    /// The most entries per second that it was lately seen to verify.
    pub rate: u64,
}

/// The work, in time, that lies between what a quorum has applied and what it has verified: the
/// lag of the slowest member of the fastest majority.
///
/// A node that has little to do shows a low rate, so every node is trusted with [`RATE_MIN`].
pub fn quorum_lag(voters: &[VoterPace]) -> Duration {
    let lag = |pace: &VoterPace| match pace.behind {
        None => LAG_MAX,
        Some(behind) => {
            Duration::from_millis(behind.saturating_mul(1_000) / pace.rate.max(RATE_MIN))
        }
    };
    let mut lags: Vec<Duration> = voters.iter().map(lag).collect();
    lags.sort_unstable();
    lags.get(voters.len() / 2)
        .copied()
        .unwrap_or(Duration::ZERO)
}

/// The bytes that may wait at the leader, given the lag: all of `limit_bytes` up to half of
/// [`LAG_MAX`], then less and less, and at [`LAG_MAX`] one submission at a time.
pub fn queue_limit(limit_bytes: usize, lag: Duration) -> usize {
    let free = LAG_MAX / 2;
    let Some(over) = lag.checked_sub(free).filter(|over| !over.is_zero()) else {
        return limit_bytes;
    };
    let left = LAG_MAX.saturating_sub(free + over).as_millis();
    let share = usize::try_from(left).unwrap_or(0);
    let whole = usize::try_from(free.as_millis())
        .unwrap_or(usize::MAX)
        .max(1);
    (limit_bytes / whole).saturating_mul(share)
}

/// What the brake works with.
#[derive(Debug)]
pub struct BrakeParts {
    /// This node's raft: who votes.
    pub status: watch::Receiver<crate::raft::Status>,
    /// How far apply is here.
    pub progress: watch::Receiver<LedgerProgress>,
    /// How far verification is here.
    pub verified: watch::Receiver<TreeSize>,
    /// How far it is elsewhere.
    pub memories: Arc<PeerMemories>,
    /// Bytes that may wait when nobody lags.
    pub limit_bytes: usize,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

/// Keeps `limit`, which the sequencer obeys, in step with the lag, several times a second.
pub async fn brake(parts: BrakeParts, limit: watch::Sender<usize>) {
    let mut ticks = tokio::time::interval(LAG_MAX / 10);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut own = OwnPace::default();
    loop {
        tokio::select! {
            () = parts.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        let applied = parts.progress.borrow().tree.size.0;
        let own = own.measured(applied, parts.verified.borrow().0, now);
        let (id, voters) = {
            let status = parts.status.borrow();
            (status.id, status.voters.clone())
        };
        let views = parts.memories.views();
        let paces: Vec<VoterPace> = voters
            .into_iter()
            .map(|voter| {
                if voter == id {
                    own
                } else {
                    pace(views.get(&voter), now)
                }
            })
            .collect();
        let allowed = queue_limit(parts.limit_bytes, quorum_lag(&paces));
        limit.send_if_modified(|limit| std::mem::replace(limit, allowed) != allowed);
    }
}

fn pace(view: Option<&PeerView>, now: Instant) -> VoterPace {
    let heard = view.filter(|view| now.saturating_duration_since(view.heard) <= HEARD_AGE_MAX);
    heard.map_or(
        VoterPace {
            behind: None,
            rate: 0,
        },
        |view| VoterPace {
            behind: Some(
                view.report
                    .applied_size
                    .saturating_sub(view.report.verified_size),
            ),
            rate: view.verify_rate,
        },
    )
}

/// This node's own pace, measured like that of the others.
#[derive(Debug, Default)]
struct OwnPace {
    before: Option<(u64, Instant)>,
    rate: u64,
}

impl OwnPace {
    fn measured(&mut self, applied: u64, verified: u64, now: Instant) -> VoterPace {
        if let Some((before, at)) = self.before.replace((verified, now)) {
            let entries = u128::from(verified.saturating_sub(before)).saturating_mul(1_000);
            let elapsed = now.saturating_duration_since(at).as_millis();
            let rate = entries.checked_div(elapsed).unwrap_or(0);
            self.rate = u64::try_from(rate)
                .unwrap_or(u64::MAX)
                .max(self.rate / 8 * 7);
        }
        VoterPace {
            behind: Some(applied.saturating_sub(verified)),
            rate: self.rate,
        }
    }
}

#[cfg(test)]
mod tests;
