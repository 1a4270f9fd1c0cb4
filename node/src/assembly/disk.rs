//! Watches the room on the data volume, and hands leadership to a node that has some.

use crate::check::free_bytes;
use crate::config::Config;
use crate::ledger::alarms::{Alarm, Alarms, Elsewhere, NOSPACE, NoSpace};
use crate::ledger::exchange_memory::{PeerMemories, PeerView};
use crate::raft::{Consensus, Role};
use crate::service::backend::DiskRoom;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the volume is asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// A peer that was not heard for this long counts neither as full nor as one with room.
const HEARD_AGE_MAX: Duration = Duration::from_secs(3);

/// How long a hand-over has before it is tried again: an election, and the word of its outcome.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(3);

/// What the task works with.
pub(super) struct DiskParts {
    pub(super) config: Arc<Config>,
    pub(super) consensus: Consensus,
    /// How the others are.
    pub(super) memories: Arc<PeerMemories>,
    /// Where NOSPACE is raised.
    pub(super) alarms: Alarms,
    pub(super) shutdown: CancellationToken,
}

/// Room on this node's own volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Volume {
    Roomy,
    Full { free: u64, reserve: u64 },
}

/// What a voter is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Room, and nothing else is wrong with it.
    Fit,
    /// Room.
    Roomy,
    /// Too little room.
    Full,
    /// It was not heard lately.
    Nothing,
}

impl Known {
    fn of(view: Option<&PeerView>, now: Instant) -> Self {
        let heard = |view: &&PeerView| now.saturating_duration_since(view.heard) <= HEARD_AGE_MAX;
        match view.filter(heard) {
            None => Self::Nothing,
            Some(view) if view.report.alarms.is_empty() => Self::Fit,
            Some(view) if view.report.alarms.iter().any(|name| name == NOSPACE) => Self::Full,
            Some(_) => Self::Roomy,
        }
    }
}

/// Room on the volume now. A volume that cannot be asked counts as full: nothing is known of it.
///
/// A full one has room again only with an eighth more than the reserve, so that a node does not
/// take a few records, stop, and begin again.
fn volume(config: &Config, before: Volume) -> Volume {
    let reserve = config.disk_reserve_bytes;
    let enough = match before {
        Volume::Roomy => reserve,
        Volume::Full { .. } => reserve.saturating_add(reserve / 8),
    };
    match free_bytes(&config.data_dir) {
        Ok(free) if free >= enough => Volume::Roomy,
        Ok(free) => Volume::Full { free, reserve },
        Err(error) => {
            tracing::error!(%error, "the data volume does not say how much room it has");
            Volume::Full { free: 0, reserve }
        }
    }
}

/// Who leads instead of this node: a voter with room and nothing wrong with it.
fn successor(peers: &BTreeMap<u64, Known>) -> Option<u64> {
    let fit = peers.iter().find(|(_, known)| **known == Known::Fit);
    fit.map(|(id, _)| *id)
}

/// Whether submissions can be stored, given the other voters.
///
/// What is submitted must fit on a majority. A voter that is full still takes what the others have
/// decided, out of its reserve, so its word counts as little as that of a dead one; but only where
/// one is known to be full, since dead ones alone are no matter of room.
fn judge(own: Volume, peers: &BTreeMap<u64, Known>) -> DiskRoom {
    let roomy = |known: &&Known| matches!(known, Known::Fit | Known::Roomy);
    let with_room = peers.values().filter(roomy).count() + usize::from(own == Volume::Roomy);
    let voters = peers.len() + 1;
    let majority = voters / 2 + 1;
    let full: Vec<u64> = peers
        .iter()
        .filter(|(_, known)| **known == Known::Full)
        .map(|(id, _)| *id)
        .collect();
    match (own, successor(peers)) {
        (Volume::Roomy, _) if full.is_empty() || with_room >= majority => DiskRoom::Enough,
        (Volume::Roomy, _) => DiskRoom::FullElsewhere { nodes: full },
        (Volume::Full { .. }, Some(to)) if with_room >= majority => DiskRoom::HandsOver { to },
        (Volume::Full { free, reserve }, _) => DiskRoom::Full { free, reserve },
    }
}

/// Keeps `room` and the alarm up to date until the node stops.
pub(super) async fn watch(parts: DiskParts, room: watch::Sender<DiskRoom>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut own = Volume::Roomy;
    let mut handed_over: Option<Instant> = None;
    loop {
        tokio::select! {
            () = parts.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let config = Arc::clone(&parts.config);
        let asked = tokio::task::spawn_blocking(move || volume(&config, own)).await;
        let Ok(now) = asked else { return };
        own = now;
        let peers = peers(&parts);
        raise(&parts.alarms, own, &peers);
        let judged = judge(own, &peers);
        room.send_if_modified(|room| {
            let changed = *room != judged;
            room.clone_from(&judged);
            changed
        });
        let leads = parts.consensus.status().borrow().role == Role::Leader;
        let patient = handed_over.is_some_and(|at| at.elapsed() < HAND_OVER_PATIENCE);
        // Also where that does not make a majority: a leader writes, if only its heads.
        if let (Volume::Full { .. }, Some(to)) = (own, successor(&peers))
            && leads
            && !patient
        {
            handed_over = Some(Instant::now());
            tracing::info!(to, "hands over for want of room");
            if let Err(error) = parts.consensus.transfer_leader(to).await {
                tracing::warn!(%error, to, "leadership was not handed over");
            }
        }
    }
}

/// What is known of the other voters.
fn peers(parts: &DiskParts) -> BTreeMap<u64, Known> {
    let views = parts.memories.views();
    let now = Instant::now();
    let status = parts.consensus.status();
    let status = status.borrow();
    let others = status.voters.iter().filter(|voter| **voter != status.id);
    others
        .map(|voter| (*voter, Known::of(views.get(voter), now)))
        .collect()
}

/// Told once for each change, not for each byte.
fn raise(alarms: &Alarms, own: Volume, peers: &BTreeMap<u64, Known>) {
    let Volume::Full { free, reserve } = own else {
        alarms.space_is_back();
        return;
    };
    let elsewhere = if successor(peers).is_some() {
        Elsewhere::Room
    } else {
        Elsewhere::NoRoom
    };
    let told = alarms.standing().space;
    if told.is_none_or(|told| told.elsewhere != elsewhere) {
        alarms.raise(&Alarm::NoSpace(NoSpace {
            free,
            reserve,
            elsewhere,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_need_room_on_a_majority() {
        use Known::{Fit, Full, Nothing, Roomy};
        let full = Volume::Full {
            free: 1,
            reserve: 2,
        };
        let alone = DiskRoom::Full {
            free: 1,
            reserve: 2,
        };
        let elsewhere = |nodes: &[u64]| DiskRoom::FullElsewhere {
            nodes: nodes.to_vec(),
        };
        let rows: [(&str, Volume, &[Known], DiskRoom); 12] = [
            ("one node", Volume::Roomy, &[], DiskRoom::Enough),
            ("one full node", full, &[], alone.clone()),
            (
                "all have room",
                Volume::Roomy,
                &[Fit, Fit],
                DiskRoom::Enough,
            ),
            (
                "nobody is heard",
                Volume::Roomy,
                &[Nothing; 2],
                DiskRoom::Enough,
            ),
            (
                "a follower is full",
                Volume::Roomy,
                &[Full, Fit],
                DiskRoom::Enough,
            ),
            (
                "one is full and one dead",
                Volume::Roomy,
                &[Full, Nothing],
                elsewhere(&[2]),
            ),
            (
                "all others are full",
                Volume::Roomy,
                &[Full, Full],
                elsewhere(&[2, 3]),
            ),
            (
                "the leader is full",
                full,
                &[Roomy, Fit],
                DiskRoom::HandsOver { to: 3 },
            ),
            (
                "nobody fit to lead has room",
                full,
                &[Roomy, Roomy],
                alone.clone(),
            ),
            ("a majority is full", full, &[Full, Fit], alone.clone()),
            ("all are full", full, &[Full, Full], alone.clone()),
            (
                "two of five are full",
                full,
                &[Full, Fit, Fit, Fit],
                DiskRoom::HandsOver { to: 3 },
            ),
        ];
        for (what, own, peers, expected) in rows {
            let peers = (2..).zip(peers.iter().copied()).collect();
            assert_eq!(judge(own, &peers), expected, "{what}");
        }
    }
}
