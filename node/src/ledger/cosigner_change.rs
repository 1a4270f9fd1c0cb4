//! Follows the log in the cosigner key of this node: takes the next key up when the operators have
//! named it, and destroys the file of the old one once no head asks for it.

use std::sync::Arc;

use aimslog_proto::tlog::note::KeyNameError;
use aimslog_proto::tlog::{Origin, VerifierKey};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::alarms::Alarms;
use super::cosigner_keys::{CosignerRing, Due, KeyDirectory, due};
use super::guard_record::Identity;
use super::head_keys::NodeCosigner;
use super::progress::LedgerProgress;
use super::publisher::PolicyError;
use crate::config::KeyFiles;
use crate::identity::{Passphrase, SecretError, Succession, promote_next_seed, read_next_seed};

/// Between two looks at the log.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A key that is not there is looked for at this interval, and missed after so long: while a node
/// that starts applies its raft log once more, the log may name an older key for a moment.
const MISSED_AFTER: Duration = Duration::from_secs(5);

/// What the task works with.
pub struct ChangeParts {
    /// This node.
    pub identity: Identity,
    /// The log.
    pub origin: Origin,
    /// The keys in memory.
    pub ring: Arc<CosignerRing>,
    /// The keys on the disk.
    pub files: KeyFiles,
    /// What the log says of them.
    pub directory: Arc<dyn KeyDirectory>,
    /// How far it is applied.
    pub progress: watch::Receiver<LedgerProgress>,
    /// Where a missing key is told of.
    pub alarms: Alarms,
}

impl std::fmt::Debug for ChangeParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeParts")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why the keys could not be brought in step; they are looked at again.
#[derive(Debug, Error)]
enum ChangeError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the key cannot be named after the node")]
    Name(#[from] KeyNameError),
    #[error("the policies in force cannot be read")]
    Policy(#[source] PolicyError),
    #[error("a task ended before it was done")]
    Interrupted(#[from] JoinError),
}

/// Keeps the keys in step with the log until the shutdown.
pub async fn run(parts: ChangeParts, shutdown: CancellationToken) {
    let mut change = Change {
        parts,
        missing: None,
    };
    let following = async {
        loop {
            if let Err(error) = change.step().await {
                tell(&error);
                sleep(MISSED_AFTER).await;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    shutdown.run_until_cancelled(following).await;
}

fn tell(error: &ChangeError) {
    let error: &dyn std::error::Error = error;
    tracing::error!(error, "the cosigner key cannot follow the log");
}

struct Change {
    parts: ChangeParts,
    /// Since when a key is missing, and when it was looked for last.
    missing: Option<(Instant, Instant)>,
}

impl Change {
    async fn step(&mut self) -> Result<(), ChangeError> {
        let parts = &self.parts;
        let named = parts.directory.named(parts.identity.node);
        let held = parts.ring.keys();
        let size = parts.progress.borrow().tree.size;
        // Policies are read while there are two keys to choose from, and not otherwise.
        let counted = match held.as_slice() {
            [_, _] => parts.directory.counted(size).map_err(ChangeError::Policy)?,
            _ => Vec::new(),
        };
        match (due(&held, named.as_ref(), &counted), named) {
            (Due::Load, Some(named)) => return self.load(&named).await,
            (Due::Promote, _) => self.promote().await?,
            (Due::Load | Due::Nothing, _) => {}
        }
        self.missing = None;
        self.parts.alarms.cosigner_is_here();
        Ok(())
    }

    /// Reads the next key, unless it was missing a moment ago.
    async fn load(&mut self, named: &VerifierKey) -> Result<(), ChangeError> {
        let now = Instant::now();
        let since = match self.missing {
            Some((_, looked)) if now.duration_since(looked) < MISSED_AFTER => return Ok(()),
            Some((since, _)) => since,
            None => now,
        };
        let files = self.parts.files.clone();
        let next = spawn_blocking(move || {
            let passphrase = Passphrase::of(&files)?;
            read_next_seed(&files.cosigner, passphrase.as_ref())
        });
        if let Some(key) = next.await?? {
            let (origin, identity) = (self.parts.origin.clone(), self.parts.identity);
            let next = NodeCosigner::new(origin, identity, key)?;
            if next.vkey() == named {
                self.parts.ring.put_next(next);
                tracing::info!("the operators have named the next cosigner key, which is here");
                return Ok(());
            }
        }
        self.missing = Some((since, now));
        if now.duration_since(since) >= MISSED_AFTER {
            self.parts.alarms.cosigner_is_missing(named);
        }
        Ok(())
    }

    async fn promote(&self) -> Result<(), ChangeError> {
        let held = self.parts.ring.held();
        let Some(next) = &held.next else {
            return Ok(());
        };
        let keys = Succession {
            before: held.current.public(),
            next: next.public(),
        };
        let files = self.parts.files.clone();
        let promoted = spawn_blocking(move || {
            let passphrase = Passphrase::of(&files)?;
            promote_next_seed(&files.cosigner, &keys, passphrase.as_ref())
        });
        promoted.await??;
        self.parts.ring.promote();
        tracing::warn!(
            "this node signs with its new cosigner key; the file of the old one is gone"
        );
        Ok(())
    }
}
