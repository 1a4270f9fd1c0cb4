//! The second's rhythm, faster under load: every node tells every other how it is, hears what they
//! remember of it, and draws the conclusions: amnesia, its removal, a clock that is off, the end of
//! its probation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aimslog_proto::tlog::TreeSize;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::alarms::{
    AMNESIA, Alarm, Alarms, Probation, Removed, Standing, answers_needed, clock_off,
};
use super::exchange::{EXCHANGE_TIMEOUT, HelloAnswer};
use super::exchange_client::PeerClients;
use super::exchange_memory::{Heard, PeerMemories, PeerView, Report};
use super::guard::{Memory, examine_peer};
use super::guard_record::GuardRecord;
use super::progress::LedgerProgress;
use super::roster::{Roster, Seat};
use crate::clock::Clock;
use crate::identity::{KeyRing, Sort};
use crate::raft::Status;

/// Time between two rounds.
pub const HELLO_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two rounds while there is news: the leader takes in only what it hears that a quorum
/// has verified, and hands over to nobody who is known to be unfit.
const NEWS_INTERVAL: Duration = Duration::from_millis(150);

/// Time between two rounds on probation: the node is of no use before it ends.
const PROBATION_INTERVAL: Duration = Duration::from_millis(100);

/// How long a peer has to answer a node on probation. Longer than otherwise, because a peer that is
/// not heard now cannot object any more.
const PROBATION_TIMEOUT: Duration = Duration::from_secs(1);

/// A clock that was not heard for this long counts no more.
const CLOCK_AGE_MAX: Duration = Duration::from_secs(5);

/// How this node is, read from where it is known.
#[derive(Debug)]
pub struct OwnReport {
    node: u64,
    log_end_at_start: Option<u64>,
    guard: watch::Receiver<GuardRecord>,
    status: watch::Receiver<Status>,
    progress: watch::Receiver<LedgerProgress>,
    verified: watch::Receiver<TreeSize>,
    alarms: Alarms,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

/// The sources of an [`OwnReport`].
#[derive(Debug)]
pub struct ReportSources {
    /// Raft index at which the log ended when the node started: raft may not have read it yet.
    pub log_end_at_start: Option<u64>,
    /// The newest guard record. A node in amnesia has none to go by: give it a fresh one.
    pub guard: watch::Receiver<GuardRecord>,
    /// Raft.
    pub status: watch::Receiver<Status>,
    /// The ledger.
    pub progress: watch::Receiver<LedgerProgress>,
    /// What was verified.
    pub verified: watch::Receiver<TreeSize>,
    /// What is wrong.
    pub alarms: Alarms,
    /// The keys of the ledger.
    pub ring: Arc<KeyRing>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

impl OwnReport {
    /// The report of the node with this id.
    pub fn new(node: u64, sources: ReportSources) -> Self {
        Self {
            node,
            log_end_at_start: sources.log_end_at_start,
            guard: sources.guard,
            status: sources.status,
            progress: sources.progress,
            verified: sources.verified,
            alarms: sources.alarms,
            ring: sources.ring,
            clock: sources.clock,
        }
    }

    /// How the node is now. Its memory holds what must never go back, so that `log_index` is the
    /// smaller of synced and committed.
    pub fn now(&self) -> Report {
        let status = self.status.borrow();
        let settled = status.flushed.zip(status.committed);
        let settled = settled.map_or(0, |(flushed, known)| flushed.index.min(known.index));
        Report {
            node: self.node,
            clock_ms: self.clock.unix_millis(),
            verified_size: self.verified.borrow().0,
            applied_size: self.progress.borrow().tree.size.0,
            log_end_index: status.last_log.max(self.log_end_at_start),
            flushed_index: status.flushed.map(|position| position.index),
            memory: Memory {
                log_index: settled,
                ..self.guarded()
            },
            alarms: self
                .alarms
                .standing()
                .alarms()
                .iter()
                .map(|alarm| alarm.name().to_owned())
                .collect(),
            log_keys: self.log_keys(),
        }
    }

    fn log_keys(&self) -> Vec<[u8; 32]> {
        let keys = self.ring.keys().map(|keys| keys.publics(Sort::Log));
        let keys = keys.unwrap_or_default().into_iter();
        keys.map(|key| *key.as_bytes()).collect()
    }

    /// What the node knows of itself, to hold against what others remember: its log counts to its
    /// very end.
    pub fn own_memory(&self) -> Memory {
        let last = self.status.borrow().last_log.max(self.log_end_at_start);
        Memory {
            log_index: last.unwrap_or(0),
            ..self.guarded()
        }
    }

    /// While this node leads: the committed raft index up to which `node` has acknowledged the log.
    ///
    /// An entry that is acknowledged is on that node's disk, and one that is committed is never
    /// taken out of a log again, so that node's log can honestly end nowhere before it.
    pub fn acknowledged_by(&self, node: u64) -> Option<u64> {
        let status = self.status.borrow();
        let acknowledged = (*status.matched.get(&node)?)?;
        let committed = status.committed?;
        Some(acknowledged.index.min(committed.index))
    }

    fn guarded(&self) -> Memory {
        let record = *self.guard.borrow();
        Memory {
            incarnation: record.incarnation,
            signed_size: record.signed_size(),
            vote_term: record.vote.term,
            cut_index: record
                .signed_position()
                .map_or(0, |position| position.index),
            log_index: 0,
        }
    }
}

/// What the rounds work with.
pub struct HelloParts {
    /// How this node is.
    pub report: Arc<OwnReport>,
    /// The others.
    pub clients: Arc<PeerClients>,
    /// What is known of them.
    pub memories: Arc<PeerMemories>,
    /// Who belongs to the cluster, by the log.
    pub roster: Arc<dyn Roster>,
    /// Where the conclusions go.
    pub alarms: Alarms,
    /// Ends the rounds.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for HelloParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelloParts").finish_non_exhaustive()
    }
}

/// Asks all others every second until the shutdown, and more often while the node is on probation
/// or has news: it verified something, or its alarms are others. The first round begins at once.
pub async fn run(parts: HelloParts) {
    let mut ticks = interval(NEWS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cleared = BTreeSet::new();
    let mut told: Option<(Instant, TreeSize, Standing)> = None;
    loop {
        let now = tokio::select! {
            () = parts.shutdown.cancelled() => return,
            now = ticks.tick() => now,
        };
        let standing = parts.alarms.standing();
        let probation = standing.probation;
        let verified = *parts.report.verified.borrow();
        let is_told = told.as_ref().is_some_and(|(at, size, told)| {
            let lately = now.saturating_duration_since(*at) < HELLO_INTERVAL;
            lately && *size == verified && *told == standing
        });
        if is_told && probation == Probation::Passed {
            continue;
        }
        told = Some((now, verified, standing));
        tokio::select! {
            () = parts.shutdown.cancelled() => return,
            answers = round(&parts, probation) => cleared.extend(answers),
        }
        judge_clock(&parts);
        judge_seat(&parts);
        if probation == Probation::Waiting {
            if has_majority(&parts, &cleared) && parts.alarms.standing().amnesia.is_none() {
                parts.alarms.pass_probation();
            } else {
                ticks.reset_after(PROBATION_INTERVAL);
            }
        }
    }
}

/// Whether those that answered are a majority of the voters together with this node. Until raft
/// knows who votes, everybody counts who was configured.
fn has_majority(parts: &HelloParts, cleared: &BTreeSet<u64>) -> bool {
    let own = parts.report.node;
    let mut voters = parts.report.status.borrow().voters.clone();
    if voters.is_empty() {
        voters.extend(parts.clients.peers().into_keys().chain([own]));
    }
    let answers = cleared.intersection(&voters).filter(|voter| **voter != own);
    answers.count() >= answers_needed(&voters, own)
}

/// One question to every peer. Gives those that answered and may be believed to remember: not those
/// that say of themselves that they have forgotten something.
async fn round(parts: &HelloParts, probation: Probation) -> Vec<u64> {
    let asked: FuturesUnordered<_> = parts
        .clients
        .peers()
        .into_keys()
        .map(|peer| ask(parts, peer, probation))
        .collect();
    asked
        .filter_map(|answered| async move { answered })
        .collect()
        .await
}

async fn ask(parts: &HelloParts, peer: u64, probation: Probation) -> Option<u64> {
    let limit = match probation {
        Probation::Waiting => PROBATION_TIMEOUT,
        Probation::Passed => EXCHANGE_TIMEOUT,
    };
    let sent = Instant::now();
    let answer = match parts.clients.hello(peer, &parts.report.now(), limit).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::trace!(peer, %error, "no answer to hello");
            return None;
        }
    };
    let arrived = Instant::now();
    let remembered = held_against(&answer, probation);
    let remembers = !answer.report.alarms.iter().any(|name| name == AMNESIA);
    parts.memories.hear(Heard {
        report: answer.report,
        at: arrived,
        clock_ms: parts.report.clock.unix_millis(),
        under_way: arrived.saturating_duration_since(sent) / 2,
    });
    // What this node knows of itself is read after the answer came, and only grows: so an answer
    // that is ahead of it cannot be explained by the time that passed.
    let own = parts.report.own_memory();
    if let Some(amnesia) = remembered.and_then(|memory| examine_peer(peer, &memory, &own)) {
        parts.alarms.raise(&Alarm::Amnesia(amnesia));
    }
    let node = parts.report.node;
    let removal = answer.removal;
    if !removal.is_empty() && parts.roster.proves_removal(node, &removal) {
        let removed = Removed { node, index: None };
        parts.alarms.raise(&Alarm::Removed(removed));
    }
    remembers.then_some(peer)
}

/// What an answer says of this node that the node must know itself.
///
/// The leader's count of acknowledged entries is newer than any report, by up to a second of work.
/// It is held against a node on probation only: that one has acknowledged nothing since it started,
/// whereas the status of a busy node may trail behind the acknowledgements that it sends.
fn held_against(answer: &HelloAnswer, probation: Probation) -> Option<Memory> {
    let acknowledged = match (probation, answer.acknowledged) {
        (Probation::Waiting, Some(log_index)) => Memory {
            log_index,
            ..Memory::default()
        },
        (Probation::Passed, _) | (Probation::Waiting, None) => return answer.remembered,
    };
    Some(answer.remembered.unwrap_or_default().merged(acknowledged))
}

/// A node that still got the record of its own removal needs nobody to tell it.
fn judge_seat(parts: &HelloParts) {
    let node = parts.report.node;
    if let Seat::Removed(index) = parts.roster.seat(node) {
        let index = Some(index.0);
        parts.alarms.raise(&Alarm::Removed(Removed { node, index }));
    }
}

fn judge_clock(parts: &HelloParts) {
    let voters = parts.report.status.borrow().voters.clone();
    let offsets = fresh_offsets(&parts.memories.views(), &voters, Instant::now());
    match clock_off(0, &offsets) {
        Some(off) => parts.alarms.raise(&Alarm::Clock(off)),
        None => parts.alarms.clock_is_right(),
    }
}

/// Clocks of the other voters relative to this node's, milliseconds, as far as heard lately.
fn fresh_offsets(
    views: &BTreeMap<u64, PeerView>,
    voters: &BTreeSet<u64>,
    now: Instant,
) -> Vec<i64> {
    let fresh = |view: &PeerView| now.saturating_duration_since(view.heard) <= CLOCK_AGE_MAX;
    views
        .iter()
        .filter(|(node, view)| voters.contains(node) && fresh(view))
        .map(|(_, view)| view.clock_offset_ms)
        .collect()
}

#[cfg(test)]
mod tests;
