//! Watches the room on the data volume.

use crate::check::free_bytes;
use crate::config::Config;
use crate::service::backend::Disk;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the volume is asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// Room on the volume now. A volume that cannot be asked counts as full: nothing is known of it.
pub(super) fn room(config: &Config) -> Disk {
    let reserve = config.disk_reserve_bytes;
    match free_bytes(&config.data_dir) {
        Ok(free) if free >= reserve => Disk::Roomy,
        Ok(free) => Disk::Full { free, reserve },
        Err(error) => {
            tracing::error!(%error, "the data volume does not say how much room it has");
            Disk::Full { free: 0, reserve }
        }
    }
}

/// Keeps `disk` up to date until the node stops.
pub(super) async fn watch(config: Arc<Config>, disk: watch::Sender<Disk>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let asked = Arc::clone(&config);
        let Ok(now) = tokio::task::spawn_blocking(move || room(&asked)).await else {
            return;
        };
        let before = disk.send_replace(now);
        match (before, now) {
            (Disk::Roomy, Disk::Full { free, reserve }) => {
                tracing::error!(free, reserve, "too little disk: no submissions are taken");
            }
            (Disk::Full { .. }, Disk::Roomy) => tracing::info!("there is room on the disk again"),
            _ => {}
        }
    }
}
