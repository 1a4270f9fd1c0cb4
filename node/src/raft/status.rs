//! Keeps [`Status`] up to date from openraft's metrics and the database's flush watermark.

use openraft::{
    Instant as _, RaftMetrics, ServerState, async_runtime::watch::WatchReceiver,
    type_config::alias::WatchReceiverOf,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    type_config::{TypeConfig, position_of, vote_of},
    types::{Position, Role, Status},
};

/// Publishes a new status whenever one of the sources changes, until the core stops or `stop` is
/// cancelled. The last status says [`Role::Stopped`].
pub(super) async fn publish(
    mut metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    mut flushed: watch::Receiver<Option<Position>>,
    status: watch::Sender<Status>,
    stop: CancellationToken,
) {
    loop {
        let now = status_of(&metrics.borrow_watched(), *flushed.borrow_and_update());
        let stopped = now.role == Role::Stopped;
        status.send_replace(now);
        if stopped {
            return;
        }
        let goes_on = tokio::select! {
            changed = metrics.changed() => changed.is_ok(),
            changed = flushed.changed() => changed.is_ok(),
            () = stop.cancelled() => false,
        };
        if !goes_on {
            status.send_modify(|status| status.role = Role::Stopped);
            return;
        }
    }
}

pub(super) fn status_of(metrics: &RaftMetrics<TypeConfig>, flushed: Option<Position>) -> Status {
    let role = match (&metrics.running_state, metrics.state) {
        (Err(_), _) | (Ok(()), ServerState::Shutdown) => Role::Stopped,
        (Ok(()), ServerState::Learner) => Role::Learner,
        (Ok(()), ServerState::Follower) => Role::Follower,
        (Ok(()), ServerState::Candidate) => Role::Candidate,
        (Ok(()), ServerState::Leader) => Role::Leader,
    };
    let membership = metrics.membership_config.membership();
    let matched = metrics.replication.iter().flatten();
    Status {
        id: metrics.id,
        role,
        vote: vote_of(&metrics.vote),
        leader: metrics.current_leader,
        last_log: metrics.last_log_index,
        flushed,
        committed: metrics.local_committed.as_ref().map(position_of),
        applied: metrics.last_applied.as_ref().map(position_of),
        snapshot: metrics.snapshot.as_ref().map(position_of),
        purged: metrics.purged.as_ref().map(position_of),
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        members: membership
            .nodes()
            .map(|(id, member)| (*id, member.clone()))
            .collect(),
        last_quorum_ack: metrics
            .last_quorum_acked
            .and_then(|ack| Instant::now().checked_sub(ack.elapsed())),
        matched: matched
            .map(|(id, at)| (*id, at.as_ref().map(position_of)))
            .collect(),
    }
}
