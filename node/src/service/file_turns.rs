//! Turns to make evidence files: each lies in memory until it is sent, so there are few at once, and one
//! principal never has all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::limits_server::{EVIDENCE_FILES_MAX, EVIDENCE_FILES_OF_PRINCIPAL_MAX};
use crate::service::status::Failure;

/// The turns of a node.
#[derive(Debug)]
pub(super) struct FileTurns {
    all: Arc<Semaphore>,
    /// Of those who have a turn or wait for one.
    of_principals: Mutex<BTreeMap<Thumbprint, Weak<Semaphore>>>,
}

/// A turn, over when it is dropped.
#[derive(Debug)]
pub(super) struct FileTurn {
    _of_principal: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl Default for FileTurns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(EVIDENCE_FILES_MAX)),
            of_principals: Mutex::default(),
        }
    }
}

impl FileTurns {
    /// The next turn of this principal, or of whoever need not say who it is.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] where none comes in time.
    pub(super) async fn take(
        &self,
        principal: Option<&Thumbprint>,
        until: Instant,
    ) -> Result<FileTurn, Failure> {
        // A principal waits for its own turns first, so that its calls do not stand in line before
        // others.
        let own = principal.map(|principal| self.own(principal));
        let turn = async {
            let of_principal = match own {
                Some(own) => Some(own.acquire_owned().await?),
                None => None,
            };
            Ok::<_, AcquireError>(FileTurn {
                _of_principal: of_principal,
                _of_all: Arc::clone(&self.all).acquire_owned().await?,
            })
        };
        match timeout_at(until, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_closed)) => Err(Failure::new(Reason::ShuttingDown, "the node is stopping")),
            Err(_elapsed) => {
                let words =
                    "too many evidence files are being made on this node, or taken too slowly";
                Err(Failure::new(Reason::Overloaded, words))
            }
        }
    }

    fn own(&self, principal: &Thumbprint) -> Arc<Semaphore> {
        let turns = self.of_principals.lock();
        let mut turns = turns.unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, own| own.strong_count() > 0);
        if let Some(own) = turns.get(principal).and_then(Weak::upgrade) {
            return own;
        }
        let own = Arc::new(Semaphore::new(EVIDENCE_FILES_OF_PRINCIPAL_MAX));
        turns.insert(*principal, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;
    use std::time::Duration;

    fn key(seed: u8) -> Thumbprint {
        SigningKey::from_seed(&[seed; 32]).public_key().thumbprint()
    }

    #[tokio::test(start_paused = true)]
    async fn who_lets_its_files_lie_waits_for_itself_and_leaves_a_turn_to_others() {
        let turns = FileTurns::default();
        let soon = || Instant::now() + Duration::from_secs(1);
        let mut greedy = Vec::new();
        for _ in 0..EVIDENCE_FILES_OF_PRINCIPAL_MAX {
            greedy.push(turns.take(Some(&key(1)), soon()).await.unwrap());
        }
        let refused = turns.take(Some(&key(1)), soon()).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        let other = turns.take(Some(&key(2)), soon()).await.unwrap();
        assert!(turns.take(None, soon()).await.is_err(), "all are taken");
        greedy.pop();
        turns.take(Some(&key(1)), soon()).await.unwrap();
        turns.take(None, soon()).await.unwrap();
        drop((greedy, other));
        turns.own(&key(3));
        let held = turns.of_principals.lock().unwrap().len();
        assert_eq!(held, 1, "nobody is remembered who has no turn");
    }
}
