//! How often this process made a disk write down what it was given: what a write costs in the end.
//!
//! Counted for the whole process, like its CPU time, and read by the status of the node.

use std::sync::atomic::{AtomicU64, Ordering};

static RAFT: AtomicU64 = AtomicU64::new(0);
static GUARD: AtomicU64 = AtomicU64::new(0);

/// Syncs of the Raft log and of the guard file since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syncs {
    /// Of the Raft log.
    pub raft: u64,
    /// Of the guard file.
    pub guard: u64,
}

/// The counts so far.
pub fn counted() -> Syncs {
    Syncs {
        raft: RAFT.load(Ordering::Relaxed),
        guard: GUARD.load(Ordering::Relaxed),
    }
}

/// Counts one sync of the Raft log.
pub(crate) fn raft() {
    RAFT.fetch_add(1, Ordering::Relaxed);
}

/// Counts one sync of the guard file.
pub(crate) fn guard() {
    GUARD.fetch_add(1, Ordering::Relaxed);
}
