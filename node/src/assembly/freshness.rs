//! When this node last knew that it knows what the cluster knows.

use crate::raft::Consensus;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the leader is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon it is asked again after there was no answer: an election takes about a second.
const RETRY: Duration = Duration::from_millis(100);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Passes a read barrier every second: success says that a leader with a quorum was heard and that
/// everything it knew at the start is applied here.
pub(super) async fn watch(
    consensus: Consensus,
    freshness: watch::Sender<Option<Instant>>,
    stop: CancellationToken,
) {
    loop {
        let asked = Instant::now();
        let pause = match consensus.read_barrier(TIMEOUT).await {
            // The time of the question counts: what was committed after it may be missing.
            Ok(_) => {
                freshness.send_replace(Some(asked));
                INTERVAL
            }
            Err(error) => {
                tracing::debug!(%error, "no fresh word from a leader");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
