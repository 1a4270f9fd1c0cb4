//! Keeps the Raft log bounded by bytes and by age.
//!
//! When the bounds are reached, or an operator asks, a snapshot is made, the machine is synced, and only then the entries
//! that both hold are removed.

mod ages;

use std::{sync::Arc, time::Duration};

use openraft::Raft;
use tokio::{
    sync::{Notify, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use self::ages::Ages;
use super::{
    adapter::StateMachine,
    machine::Machine,
    open::Retention,
    type_config::TypeConfig,
    types::{Role, Status},
};
use crate::store::{
    fatal::{FatalError, FatalHook},
    raft_db::RaftDb,
};

/// How often the bounds are looked at.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Compactor {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) machine: Arc<dyn Machine>,
    pub(super) db: RaftDb,
    pub(super) retention: Retention,
    pub(super) fatal: FatalHook,
    /// An operator asks for a snapshot and a short log, whatever the bounds say.
    pub(super) wanted: Arc<Notify>,
}

/// A member that lacks no more than this is following and will have the rest in a moment: what it
/// lacks is kept, or it would need a whole snapshot.
const FOLLOWING_WITHIN: u64 = 1_000;

/// How far the log must be removed, if at all, and how urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    upto: u64,
    /// The present snapshot does not reach so far.
    needs_snapshot: bool,
}

/// As short as the log can be: all that is applied goes, but for what a following member lacks.
fn shortest(status: &Status) -> Option<Plan> {
    let upto = status.applied?.index;
    let lack = |index: &u64| upto.saturating_sub(*index) <= FOLLOWING_WITHIN;
    let matched = status.matched.values().flatten();
    let slowest = matched.map(|at| at.index).filter(lack).min();
    Some(Plan {
        upto: slowest.map_or(upto, |slowest| slowest.min(upto)),
        needs_snapshot: true,
    })
}

impl Compactor {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ages = self.load_ages();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wanted.notified() => {
                    let plan = shortest(&self.status.borrow());
                    if let Some(plan) = plan {
                        self.compact(plan).await;
                    }
                    continue;
                }
                _instant = tick.tick() => {}
            }
            let status = self.status.borrow().clone();
            if status.role == Role::Stopped {
                return;
            }
            let now = (self.retention.unix_now)();
            if let Some(purged) = status.purged {
                ages.purged(purged.index);
            }
            if let Some(last) = status.last_log
                && ages.note(now, last)
                && let Err(error) = self.db.save_ages(ages.encode())
            {
                tracing::debug!(%error, "the ages of entries were not stored");
            }
            if let Some(plan) = self.plan(&status, &ages, now) {
                self.compact(plan).await;
            }
        }
    }

    /// An unreadable note is as good as none: ages then count from now.
    fn load_ages(&self) -> Ages {
        let stored = self.db.ages().ok().flatten();
        stored
            .and_then(|bytes| Ages::decode(&bytes).ok())
            .unwrap_or_default()
    }

    fn plan(&self, status: &Status, ages: &Ages, now: u64) -> Option<Plan> {
        let keep = self.retention.keep_bytes;
        let by_bytes = (self.db.log_bytes() >= keep.saturating_mul(2))
            .then(|| self.db.purge_point(keep))
            .flatten();
        let by_age = ages.expired(now, self.retention.age_max.as_secs());
        let wanted = by_bytes.max(by_age)?;
        // What is not applied cannot be in a snapshot.
        let upto = wanted.min(status.applied?.index);
        let done = status.purged.is_some_and(|purged| purged.index >= upto);
        let needs_snapshot = status.snapshot.is_none_or(|snapshot| snapshot.index < upto);
        (!done).then_some(Plan {
            upto,
            needs_snapshot,
        })
    }

    async fn compact(&self, plan: Plan) {
        if plan.needs_snapshot {
            let asked = self.raft.trigger().snapshot().await;
            tracing::info!(upto = plan.upto, asked = asked.is_ok(), "making a snapshot");
            let mut status = self.status.clone();
            let made = status.wait_for(|s| {
                s.role == Role::Stopped || s.snapshot.is_some_and(|p| p.index >= plan.upto)
            });
            // Not made in time: looked at again with the next tick.
            if tokio::time::timeout(Duration::from_mins(1), made)
                .await
                .is_err()
            {
                return;
            }
        }
        let machine = Arc::clone(&self.machine);
        match tokio::task::spawn_blocking(move || machine.sync()).await {
            Ok(Ok(synced)) => {
                let Some(synced) = synced.last else { return };
                let upto = plan.upto.min(synced.index);
                let asked = self.raft.trigger().purge_log(upto).await;
                tracing::info!(
                    upto,
                    asked = asked.is_ok(),
                    "removing entries from the raft log"
                );
            }
            Ok(Err(error)) => self
                .fatal
                .fire(&FatalError::new("syncing the machine", error)),
            Err(cancelled) => tracing::debug!(%cancelled, "no compaction during shutdown"),
        }
    }
}
