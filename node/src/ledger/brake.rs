//! The brake: how much the leader takes in, so that no head grows old and nobody waits in vain.
//!
//! A head needs a quorum that has verified every entry under it. What is ordered faster than a
//! quorum verifies makes heads older and older; what is taken in faster than it is ordered only
//! waits. So the leader orders no more than a quorum verifies in [`LAG_MAX`], and takes in no more
//! than is answered in [`WAIT_MAX`].

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::exchange_memory::{PeerMemories, PeerView};
use super::progress::LedgerProgress;
use super::sequencer::{Pace, Sequencer};
use super::verify_rate::{Look, VerifyRate};
use aimslog_proto::tlog::TreeSize;

/// Work of a quorum, in time, that may lie between what is ordered and what is verified.
///
/// An entry that just misses a cut waits for the head of that cut and then for its own, so twice
/// this lag stands in the age of the newest head, which stays below 3 s.
pub const LAG_MAX: Duration = Duration::from_millis(400);

/// Time in which the leader answers what it takes in.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// How often the pace is set.
const INTERVAL: Duration = Duration::from_millis(100);

/// A node that was not heard for this long says nothing of how far it is.
const HEARD_AGE_MAX: Duration = Duration::from_secs(5);

/// Entries that may wait for verification at any speed.
const ENTRIES_MIN: u64 = 32;

/// Bytes that may wait at any speed: a burst is no overload.
const QUEUE_BYTES_MIN: usize = 4 << 20;

/// How far one voter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoterPace {
    /// Entries that it has verified.
    pub verified: u64,
    /// Entries that it verifies in a second.
    pub rate: u64,
}

/// The size to which the tree may grow now: what the slowest member of the fastest majority has
/// verified, and what it verifies in [`LAG_MAX`]. `None` stands for a voter that was not heard.
///
/// Where no majority is heard nothing is known of verification and nothing is held back for it:
/// without a majority nothing is committed anyway.
pub fn tree_size_allowed(voters: &[Option<VoterPace>]) -> u64 {
    let allowed = |pace: &VoterPace| {
        let millis = u128::from(pace.rate).saturating_mul(LAG_MAX.as_millis());
        let ahead = u64::try_from(millis / 1_000).unwrap_or(u64::MAX);
        pace.verified.saturating_add(ahead.max(ENTRIES_MIN))
    };
    let mut sizes: Vec<u64> = voters.iter().flatten().map(allowed).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.get(voters.len() / 2).copied().unwrap_or(u64::MAX)
}

/// How many bytes may wait: as many as are answered in [`WAIT_MAX`] at the speed of late, once more
/// than that do wait.
#[derive(Debug, Clone, Copy)]
struct QueueLimit {
    limit: usize,
    limit_max: usize,
    /// Bytes answered per second while there was something to answer.
    rate: u64,
    before: Option<(Sample, Instant)>,
}

/// The load of the sequencer at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    waiting: usize,
    answered: u64,
}

impl QueueLimit {
    /// Everything is taken in until the load shows what can be answered.
    fn new(limit_max: usize) -> Self {
        let rate = limit_max as u64 / WAIT_MAX.as_secs().max(1);
        Self {
            limit: limit_max,
            limit_max,
            rate,
            before: None,
        }
    }

    fn next(&mut self, now: Sample, at: Instant) -> usize {
        if let Some((before, then)) = self.before.replace((now, at))
            && before.waiting > 0
            && now.waiting > 0
        {
            let answered = u128::from(now.answered.saturating_sub(before.answered));
            let millis = at.saturating_duration_since(then).as_millis().max(1);
            let measured = u64::try_from(answered * 1_000 / millis).unwrap_or(u64::MAX);
            self.rate = self.rate / 4 * 3 + measured / 4;
        }
        let wanted = u128::from(self.rate).saturating_mul(WAIT_MAX.as_millis()) / 1_000;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        self.limit = if now.waiting > wanted {
            wanted.max(QUEUE_BYTES_MIN).min(self.limit_max)
        } else {
            (self.limit + self.limit / 8).min(self.limit_max)
        };
        self.limit
    }
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
    /// What waits, and what was answered.
    pub sequencer: Sequencer,
    /// Bytes that may wait when they are answered soon.
    pub queue_bytes_max: usize,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

/// Keeps the pace, which the sequencer obeys, in step with the quorum.
pub async fn run(parts: BrakeParts, pace: watch::Sender<Pace>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut own = VerifyRate::default();
    let mut queue = QueueLimit::new(parts.queue_bytes_max);
    loop {
        tokio::select! {
            () = parts.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        let look = Look {
            applied: parts.progress.borrow().tree.size.0,
            verified: parts.verified.borrow().0,
            at: now,
        };
        own = own.after(look);
        let own_pace = VoterPace {
            verified: look.verified,
            rate: own.per_second(),
        };
        let sample = Sample {
            waiting: parts.sequencer.load_bytes(),
            answered: parts.sequencer.answered_bytes(),
        };
        let next = Pace {
            queue_bytes: queue.next(sample, now),
            tree_size: tree_size_allowed(&voters(&parts, own_pace, now)),
        };
        pace.send_if_modified(|pace| std::mem::replace(pace, next) != next);
    }
}

fn voters(parts: &BrakeParts, own: VoterPace, now: Instant) -> Vec<Option<VoterPace>> {
    let views = parts.memories.views();
    let status = parts.status.borrow();
    let pace = |voter: &u64| {
        if *voter == status.id {
            Some(own)
        } else {
            heard(views.get(voter)?, now)
        }
    };
    status.voters.iter().map(pace).collect()
}

fn heard(view: &PeerView, now: Instant) -> Option<VoterPace> {
    let age = now.saturating_duration_since(view.heard);
    (age <= HEARD_AGE_MAX).then(|| VoterPace {
        verified: view.report.verified_size,
        rate: view.verify_rate.per_second(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_majority_sets_the_pace() {
        let pace = |verified, rate| Some(VoterPace { verified, rate });
        let rows: [(&str, Vec<Option<VoterPace>>, u64); 9] = [
            ("nobody", vec![], u64::MAX),
            ("alone", vec![pace(100, 1_000)], 500),
            (
                "all alike",
                vec![pace(100, 1_000), pace(100, 1_000), pace(100, 1_000)],
                500,
            ),
            (
                "one of three hangs",
                vec![pace(900, 4_000), None, pace(700, 1_000)],
                1_100,
            ),
            (
                "one of three is slow",
                vec![pace(900, 4_000), pace(10, 60), pace(700, 1_000)],
                1_100,
            ),
            (
                "two of three are slow",
                vec![pace(900, 4_000), pace(500, 1_000), pace(100, 200)],
                900,
            ),
            (
                "no majority is heard",
                vec![pace(900, 4_000), None, None],
                u64::MAX,
            ),
            (
                "half of four are no majority",
                vec![pace(900, 4_000), pace(900, 4_000), None, None],
                u64::MAX,
            ),
            (
                "who verifies nothing is not waited for entirely",
                vec![pace(900, 0), pace(900, 0), pace(0, 0)],
                900 + ENTRIES_MIN,
            ),
        ];
        for (what, voters, expected) in rows {
            assert_eq!(tree_size_allowed(&voters), expected, "{what}");
        }
    }

    /// A load every 100 ms: what waits, and bytes answered since the last.
    fn limits(loads: impl IntoIterator<Item = (usize, u64)>) -> Vec<usize> {
        let mut queue = QueueLimit::new(64 << 20);
        let mut answered = 0;
        let start = Instant::now();
        let loads = (0_u32..).zip(loads);
        let limit = |(tick, (waiting, more)): (u32, (usize, u64))| {
            answered += more;
            queue.next(Sample { waiting, answered }, start + INTERVAL * tick)
        };
        loads.map(limit).collect()
    }

    #[test]
    fn no_more_waits_than_is_answered_in_time() {
        let all = 64 << 20;
        let idle = limits(vec![(0, 0); 10]);
        assert!(idle.iter().all(|limit| *limit == all), "{idle:?}");
        let light = limits(vec![(10_000, 10_000); 200]);
        assert!(light.iter().all(|limit| *limit == all), "{light:?}");
        // 3 MB a second are answered, 40 MB wait.
        let overload = limits(vec![(40 << 20, 300_000); 200]);
        let settled = overload.last().copied().unwrap();
        assert!((5_900_000..6_100_000).contains(&settled), "{settled}");
        let stuck = limits(vec![(40 << 20, 0); 400]);
        assert_eq!(stuck.last().copied(), Some(QUEUE_BYTES_MIN));
        let over = vec![(40 << 20, 300_000); 200];
        let over = limits(over.into_iter().chain(vec![(0, 0); 40]));
        assert_eq!(over.last().copied(), Some(all), "it ends with the overload");
    }
}
