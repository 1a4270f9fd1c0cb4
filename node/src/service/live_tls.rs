//! The TLS of a node that runs: its files are looked at again and again, and what is new in them is
//! used for the next connection. Nothing is restarted, and connections that stand go on.
//!
//! Files are replaced one after the other, so a certificate may lie beside the key of its predecessor
//! for a moment. What cannot be used is not: the node goes on with what it had and says so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::service::spiffe::ClusterTag;
use crate::service::status::Chain;
use crate::service::tls::{NodeTls, TlsIdentity};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A certificate that ends sooner than this is warned of, once a day.
const WARN_AHEAD_SECONDS: i64 = 30 * DAY_SECONDS;
const DAY_SECONDS: i64 = 86_400;

/// What the next connection uses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LiveTls(watch::Receiver<Arc<NodeTls>>);

impl LiveTls {
    /// This, until whoever has the sender says otherwise.
    pub fn new(tls: NodeTls) -> (watch::Sender<Arc<NodeTls>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(tls));
        (sender, Self(receiver))
    }

    /// What a connection that begins now uses.
    pub fn now(&self) -> Arc<NodeTls> {
        Arc::clone(&self.0.borrow())
    }
}

/// Whose files are followed.
#[derive(Debug)]
pub struct Followed {
    /// The files.
    pub files: TlsFiles,
    /// The cluster that the certificate must name.
    pub cluster: ClusterTag,
    /// The node that it must name.
    pub node_id: u64,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

impl Followed {
    fn load(&self) -> Result<NodeTls, crate::service::tls::TlsError> {
        let identity = TlsIdentity {
            cluster: self.cluster,
            node_id: self.node_id,
            now: self.clock.unix_seconds(),
        };
        NodeTls::load(&self.files, identity)
    }

    /// Digest of what the files hold; a file that cannot be read counts as empty.
    fn digest(&self) -> [u8; 32] {
        let files = &self.files;
        let mut digest = Sha256::new();
        for path in [
            &files.peer_ca,
            &files.peer_cert,
            &files.peer_key,
            &files.server_cert,
            &files.server_key,
            &files.admin_ca,
        ] {
            let bytes = zeroize::Zeroizing::new(read(path));
            digest.update(bytes.len().to_be_bytes());
            digest.update(&*bytes);
        }
        digest.finalize().into()
    }
}

fn read(path: &PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// Takes new certificates over until `stop`, and warns of those that end soon.
pub async fn follow(
    followed: Followed,
    current: watch::Sender<Arc<NodeTls>>,
    stop: CancellationToken,
) {
    let followed = Arc::new(followed);
    let mut looked_at = None;
    let mut tried = None;
    let mut warned_on = None;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let files = Arc::clone(&followed);
        let Ok(found) = tokio::task::spawn_blocking(move || look(&files, looked_at)).await else {
            return;
        };
        // The first look finds what the node has read at its start, or what came since.
        let is_first = looked_at.is_none();
        let is_new = tried.replace(found.digest) != Some(found.digest);
        match found.tls {
            Some(Ok(tls)) => {
                if !is_first {
                    tracing::info!(
                        valid_until = tls.valid_until,
                        "the certificates are new; the next connections use them"
                    );
                }
                current.send_replace(Arc::new(tls));
                looked_at = Some(found.digest);
            }
            // Tried again at every look: their mode may be mended, or their time come.
            Some(Err(error)) if is_new => tracing::warn!(
                error = %Chain(&error),
                "the new certificates cannot be used; the node goes on with those it had"
            ),
            Some(Err(error)) => tracing::debug!(error = %Chain(&error), "still not usable"),
            None => {}
        }
        warn_of_end(&current.borrow(), followed.clock.as_ref(), &mut warned_on);
    }
}

struct Found {
    digest: [u8; 32],
    /// What the files say, if they are not as they were.
    tls: Option<Result<NodeTls, crate::service::tls::TlsError>>,
}

fn look(followed: &Followed, looked_at: Option<[u8; 32]>) -> Found {
    let digest = followed.digest();
    let tls = (looked_at != Some(digest)).then(|| followed.load());
    Found { digest, tls }
}

fn warn_of_end(tls: &NodeTls, clock: &dyn Clock, warned_on: &mut Option<i64>) {
    let now = i64::try_from(clock.unix_seconds()).unwrap_or(i64::MAX);
    let left = tls.valid_until.saturating_sub(now);
    let today = now / DAY_SECONDS;
    if left < WARN_AHEAD_SECONDS && *warned_on != Some(today) {
        *warned_on = Some(today);
        tracing::warn!(
            days = left / DAY_SECONDS,
            "a certificate of this node ends soon; make new ones with aimslogd renew"
        );
    }
}
