//! What this node knows of its peers: their newest reports, and the most they ever reported.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::guard::Memory;
use super::verify_rate::{Look, VerifyRate};

/// How a node is, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Node id.
    pub node: u64,
    /// Wall clock, milliseconds since 1970.
    pub clock_ms: u64,
    /// Leaves that it verified itself.
    pub verified_size: u64,
    /// Leaves that it applied.
    pub applied_size: u64,
    /// Raft index of the last entry of its log.
    pub log_end_index: Option<u64>,
    /// Raft index of the last entry on its own disk.
    pub flushed_index: Option<u64>,
    /// What must never go back.
    pub memory: Memory,
    /// Names of its alarms.
    pub alarms: Vec<String>,
    /// The public halves of the log keys that it holds.
    pub log_keys: Vec<[u8; 32]>,
}

/// A peer as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Its newest report.
    pub report: Report,
    /// When it came.
    pub heard: Instant,
    /// Its clock minus this node's, milliseconds; half the round trip is taken off where it is
    /// known.
    pub clock_offset_ms: i64,
    /// How fast it verifies, over the last reports.
    pub verify_rate: VerifyRate,
}

/// A report with the circumstances of its arrival.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What the peer said.
    pub report: Report,
    /// When it arrived.
    pub at: Instant,
    /// This node's wall clock at that moment, milliseconds since 1970.
    pub clock_ms: u64,
    /// How long the report was under way, as far as it is known.
    pub under_way: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    views: BTreeMap<u64, PeerView>,
    memories: BTreeMap<u64, Memory>,
}

/// Peers by node id. Bounded by the number of nodes ever admitted, since only those are heard whose
/// certificate the cluster signed.
#[derive(Debug, Default)]
pub struct PeerMemories {
    inner: Mutex<Inner>,
}

impl PeerMemories {
    /// Starts from what was remembered before.
    pub fn from_memories(memories: BTreeMap<u64, Memory>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                views: BTreeMap::new(),
                memories,
            }),
        }
    }

    /// Takes a report in and returns what was remembered of its sender before.
    pub fn hear(&self, heard: Heard) -> Option<Memory> {
        let mut inner = self.lock();
        let node = heard.report.node;
        let before = inner.memories.get(&node).copied();
        let memory = before.unwrap_or_default().merged(heard.report.memory);
        inner.memories.insert(node, memory);
        let view = view(inner.views.get(&node), heard);
        inner.views.insert(node, view);
        before
    }

    /// The most that a node ever reported.
    pub fn memory(&self, node: u64) -> Option<Memory> {
        self.lock().memories.get(&node).copied()
    }

    /// The most that every node ever reported.
    pub fn memories(&self) -> BTreeMap<u64, Memory> {
        self.lock().memories.clone()
    }

    /// All peers heard since the start.
    pub fn views(&self) -> BTreeMap<u64, PeerView> {
        self.lock().views.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No invariant spans two statements, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn view(before: Option<&PeerView>, heard: Heard) -> PeerView {
    let then_ms = to_signed(heard.report.clock_ms)
        .saturating_add(i64::try_from(heard.under_way.as_millis()).unwrap_or(i64::MAX));
    let clock_offset_ms = then_ms.saturating_sub(to_signed(heard.clock_ms));
    let look = Look {
        applied: heard.report.applied_size,
        verified: heard.report.verified_size,
        at: heard.at,
    };
    let verify_rate = before.map_or_else(VerifyRate::default, |before| before.verify_rate);
    PeerView {
        report: heard.report,
        heard: heard.at,
        clock_offset_ms,
        verify_rate: verify_rate.after(look),
    }
}

fn to_signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(node: u64, signed_size: u64, clock_ms: u64) -> Heard {
        let memory = Memory {
            incarnation: 1,
            signed_size,
            ..Memory::default()
        };
        let report = Report {
            node,
            clock_ms,
            memory,
            ..Report::default()
        };
        Heard {
            report,
            at: Instant::now(),
            clock_ms: 10_000,
            under_way: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn answers_with_what_it_knew_before_the_call() {
        let peers = PeerMemories::default();
        assert_eq!(peers.hear(heard(2, 10, 0)), None);
        assert_eq!(peers.hear(heard(2, 4, 0)).unwrap().signed_size, 10);
        assert_eq!(
            peers.memory(2).unwrap().signed_size,
            10,
            "memory never goes back"
        );
        assert_eq!(peers.hear(heard(3, 1, 0)), None);
    }

    #[tokio::test]
    async fn clock_offset_counts_the_way() {
        let peers = PeerMemories::default();
        peers.hear(Heard {
            under_way: Duration::from_millis(100),
            ..heard(2, 0, 12_000)
        });
        peers.hear(heard(3, 0, 9_000));
        let views = peers.views();
        assert_eq!(views[&2].clock_offset_ms, 2_100);
        assert_eq!(views[&3].clock_offset_ms, -1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_show_how_fast_a_peer_verifies() {
        let peers = PeerMemories::default();
        for verified_size in (0..40_000).step_by(2_000) {
            let mut heard = heard(2, 0, 0);
            heard.report.verified_size = verified_size;
            peers.hear(heard);
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        let rate = peers.views()[&2].verify_rate.per_second();
        assert!((3_950..=4_000).contains(&rate), "{rate}");
    }
}
