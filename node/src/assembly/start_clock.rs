//! Holds the clock against those of the other nodes before anything of this node runs.
//!
//! Registration times are the leader's clock, and whoever leads with a wrong one writes them into
//! the log for ever. A running node whose clock goes wrong does not campaign (see
//! `ledger::alarms`); a node that is only starting can be refused altogether.

use super::StartError;
use super::open::Materials;
use crate::config::Peer;
use crate::ledger::alarms::clock_off;
use crate::ledger::exchange_client::ask_at_start;
use crate::raft::{Member, PeerDialer};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::time::Duration;
use tokio::time::Instant;

/// How long the others have to answer: nobody waits for nodes that are down.
const LIMIT: Duration = Duration::from_secs(1);

/// Refuses the start if this node's clock is off the median of all that answer, its own included.
///
/// A node that nobody answers starts: otherwise the first node of a cluster never could. So does
/// one of two whose clocks differ, since nobody knows which of them is right.
pub(super) async fn check(
    materials: &Materials,
    dialer: &dyn PeerDialer,
) -> Result<(), StartError> {
    let peers = materials.config.peers.iter();
    let asked: FuturesUnordered<_> = peers.map(|peer| offset(materials, dialer, peer)).collect();
    let offsets: Vec<i64> = asked
        .filter_map(|offset| async move { offset })
        .collect()
        .await;
    clock_off(0, &offsets).map_or(Ok(()), |off| Err(StartError::Clock(off)))
}

/// The clock of a peer minus this node's, milliseconds; `None` where there is no answer.
async fn offset(materials: &Materials, dialer: &dyn PeerDialer, peer: &Peer) -> Option<i64> {
    let member = Member {
        addr: peer.address.to_string(),
        name: peer.name.clone(),
    };
    let sent = Instant::now();
    let asked = ask_at_start(materials.identity(), dialer, (peer.id, &member), LIMIT);
    match asked.await {
        Ok(report) => {
            let then = i128::from(report.clock_ms) + i128::from(half_millis(sent.elapsed()));
            let offset = then - i128::from(materials.clock.unix_millis());
            i64::try_from(offset).ok()
        }
        Err(error) => {
            tracing::debug!(peer = peer.id, %error, "does not say what time it is");
            None
        }
    }
}

fn half_millis(way: Duration) -> u64 {
    u64::try_from(way.as_millis() / 2).unwrap_or(u64::MAX)
}
