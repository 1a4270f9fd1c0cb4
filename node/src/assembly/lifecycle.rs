//! Says in the log what became of this node: whom it follows, and how far the log is.

use crate::ledger::progress::LedgerProgress;
use crate::raft::{Role, Status};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Heads are published every second; the log names the first, and then one in so long.
const HEAD_INTERVAL: Duration = Duration::from_mins(1);

/// What an operator wants to see of a node's place in its raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Leads { term: u64 },
    Follows { leader: u64, term: u64 },
    Alone,
}

impl Place {
    /// `None` while an election is under way or raft has stopped: the next word says how it ended.
    fn of(status: &Status) -> Option<Self> {
        let term = status.vote.term;
        match (status.role, status.leader) {
            (Role::Leader, _) => Some(Self::Leads { term }),
            (Role::Learner | Role::Follower, Some(leader)) => Some(Self::Follows { leader, term }),
            (Role::Learner | Role::Follower | Role::Candidate, None) => Some(Self::Alone),
            (Role::Candidate, Some(_)) | (Role::Stopped, _) => None,
        }
    }

    fn log(self) {
        match self {
            Self::Leads { term } => tracing::info!(term, "leads"),
            Self::Follows { leader, term } => tracing::info!(leader, term, "follows"),
            Self::Alone => tracing::info!("knows no leader"),
        }
    }
}

/// Which heads the log names.
#[derive(Debug, Default)]
struct Heads {
    named: Option<(u64, Instant)>,
}

impl Heads {
    /// The size to name now, if the newest head is another than the last one named and it is time.
    fn due(&mut self, size: Option<u64>, now: Instant) -> Option<u64> {
        let size = size?;
        let quiet = self
            .named
            .is_some_and(|(last, at)| last == size || now.duration_since(at) < HEAD_INTERVAL);
        if quiet {
            return None;
        }
        self.named = Some((size, now));
        Some(size)
    }
}

/// Logs changes until the node stops.
pub(super) async fn watch(
    mut status: watch::Receiver<Status>,
    mut progress: watch::Receiver<LedgerProgress>,
    stop: CancellationToken,
) {
    let mut place = None;
    let mut heads = Heads::default();
    loop {
        let now = Place::of(&status.borrow_and_update());
        if let Some(now) = now.filter(|now| place != Some(*now)) {
            now.log();
            place = Some(now);
        }
        let size = progress.borrow_and_update().head.map(|head| head.tree.size);
        if let Some(size) = heads.due(size.map(|size| size.0), Instant::now()) {
            tracing::info!(size, "head published");
        }
        let goes_on = tokio::select! {
            () = stop.cancelled() => false,
            changed = status.changed() => changed.is_ok(),
            changed = progress.changed() => changed.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_first_head_and_then_one_a_minute() {
        let start = Instant::now();
        let mut heads = Heads::default();
        let table = [
            ("none yet", 0, None, None),
            ("the first", 1, Some(2), Some(2)),
            ("the next one comes too soon", 2, Some(3), None),
            ("a minute later", 61, Some(9), Some(9)),
            ("nothing new", 200, Some(9), None),
            ("new after a long silence", 201, Some(10), Some(10)),
        ];
        for (name, seconds, size, expected) in table {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(heads.due(size, now), expected, "{name}");
        }
    }
}
