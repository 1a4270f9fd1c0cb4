//! Verifies every entry again, behind apply: this node signs nothing that it took on trust.
//!
//! The leader's door checked signatures and contents before the entries were ordered; with
//! `cosign.verify = all` every node checks them once more before it cosigns, so that an evil leader
//! cannot put a forged statement under an honest quorum's head. How far the nodes are decides how
//! much the leader takes in (`brake.rs`).

use std::sync::Arc;

use aimslog_proto::tlog::TreeSize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::alarms::{Alarm, Alarms, Corrupt};
use super::progress::LedgerProgress;

/// Entries verified at a stretch on one blocking thread: some 5 ms of work.
const STRETCH_ENTRIES: u64 = 256;

/// What a node verifies itself before it cosigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyMode {
    /// Everything.
    #[default]
    All,
    /// Nothing: it relies on the leader's door. Weaker, and only where the configuration names it.
    Leader,
}

/// Verifies stored entries. Called where blocking is allowed.
pub trait EntryVerifier: Send + Sync + 'static {
    /// Checks for every index in `from..to`: the statement's signature against the key that the
    /// registry had there, commitment against disclosures against kind, the stored leaf hash.
    fn verify_range(&self, from: u64, to: u64) -> Result<(), EntryFault>;
}

/// Why a range did not verify.
#[derive(Debug, Error)]
pub enum EntryFault {
    /// The entry is not what may stand in the log.
    #[error("entry {index}: {found}")]
    Wrong {
        /// Index of the leaf.
        index: u64,
        /// What is wrong with it.
        found: String,
    },
    /// The entries could not be read.
    #[error("entries cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why the task ended; the process must stop.
#[derive(Debug, Error)]
pub enum VerifierError {
    /// The state cannot be read.
    #[error("entries cannot be read for verification")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The verification panicked.
    #[error("the verification panicked")]
    Panicked(#[source] JoinError),
}

/// What the task works with.
pub struct VerifierParts {
    /// Does the work.
    pub verifier: Arc<dyn EntryVerifier>,
    /// Whether there is any.
    pub mode: VerifyMode,
    /// How far apply is.
    pub progress: watch::Receiver<LedgerProgress>,
    /// Where an entry that is wrong is told.
    pub alarms: Alarms,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for VerifierParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierParts")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Verifies behind apply until the shutdown, and reports how far it is in `verified`.
///
/// `verified` starts at the largest head that this node signed: everything below was verified
/// before it signed. An entry that is wrong stops the count, and with it all cosigning, for good.
pub async fn run(
    mut parts: VerifierParts,
    verified: watch::Sender<TreeSize>,
) -> Result<(), VerifierError> {
    loop {
        let done = *verified.borrow();
        let applied = tokio::select! {
            () = parts.shutdown.cancelled() => return Ok(()),
            progress = parts.progress.wait_for(|progress| progress.tree.size > done) => match progress {
                Ok(progress) => progress.tree.size,
                Err(_) => return Ok(()),
            },
        };
        let to = match parts.mode {
            VerifyMode::Leader => applied,
            VerifyMode::All => TreeSize(applied.0.min(done.0.saturating_add(STRETCH_ENTRIES))),
        };
        if parts.mode == VerifyMode::All {
            let verifier = Arc::clone(&parts.verifier);
            let work = spawn_blocking(move || verifier.verify_range(done.0, to.0));
            match work.await.map_err(VerifierError::Panicked)? {
                Ok(()) => {}
                Err(EntryFault::Unreadable(source)) => {
                    return Err(VerifierError::Unreadable(source));
                }
                Err(EntryFault::Wrong { index, found }) => {
                    parts
                        .alarms
                        .raise(&Alarm::Corrupt(Corrupt::Entry { index, found }));
                    parts.shutdown.cancelled().await;
                    return Ok(());
                }
            }
        }
        verified.send_replace(to);
    }
}

#[cfg(test)]
mod tests;
