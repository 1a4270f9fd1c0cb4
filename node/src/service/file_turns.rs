//! Turns to make evidence files: each lies in memory until it is sent, so there are few at once, and
//! neither one principal nor all of one organisation ever have all of them. And turns to look for the heads
//! that led over changes of policy, which are apart: nobody who waits for a file stands in front of somebody
//! who asks for the policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::limits_server::{
    EVIDENCE_FILES_MAX, EVIDENCE_FILES_OF_ORGANIZATION_MAX, EVIDENCE_FILES_OF_PRINCIPAL_MAX,
    POLICY_ANSWERS_MAX,
};
use crate::service::auth::Reader;
use crate::service::status::Failure;

/// The turns of a node for one of the two.
#[derive(Debug)]
pub(super) struct FileTurns {
    /// What whoever gets no turn is told.
    busy: &'static str,
    all: Arc<Semaphore>,
    of_principals: Shares<Thumbprint>,
    of_organizations: Shares<String>,
}

/// A turn, over when it is dropped.
#[derive(Debug)]
pub(super) struct FileTurn {
    _own: Option<[OwnedSemaphorePermit; 2]>,
    _of_all: OwnedSemaphorePermit,
}

/// What each of them has of the turns, of those who have one or wait for one.
#[derive(Debug)]
struct Shares<K> {
    each: usize,
    by_key: Mutex<BTreeMap<K, Weak<Semaphore>>>,
}

impl<K: Ord + Clone> Shares<K> {
    fn new(each: usize) -> Self {
        Self {
            each,
            by_key: Mutex::default(),
        }
    }

    fn of(&self, key: &K) -> Arc<Semaphore> {
        let mut shares = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| share.strong_count() > 0);
        if let Some(share) = shares.get(key).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Semaphore::new(self.each));
        shares.insert(key.clone(), Arc::downgrade(&share));
        share
    }
}

impl Default for FileTurns {
    /// Those for evidence files.
    fn default() -> Self {
        let busy = "too many evidence files are being made on this node, or taken too slowly";
        Self::new(EVIDENCE_FILES_MAX, busy)
    }
}

impl FileTurns {
    /// Those for answers with changes of policy.
    pub(super) fn of_policies() -> Self {
        let busy = "too many callers ask this node for changes of policy";
        Self::new(POLICY_ANSWERS_MAX, busy)
    }

    fn new(count: usize, busy: &'static str) -> Self {
        Self {
            busy,
            all: Arc::new(Semaphore::new(count)),
            of_principals: Shares::new(EVIDENCE_FILES_OF_PRINCIPAL_MAX),
            of_organizations: Shares::new(EVIDENCE_FILES_OF_ORGANIZATION_MAX),
        }
    }

    /// The next turn of this reader, or of whoever need not say who it is.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] where none comes in time.
    pub(super) async fn take(
        &self,
        reader: Option<&Reader>,
        until: Instant,
    ) -> Result<FileTurn, Failure> {
        // Each waits for its own turns first, so that its calls do not stand in line before others.
        let own = reader.map(|reader| {
            let of_organization = self.of_organizations.of(&reader.organization);
            [self.of_principals.of(&reader.key), of_organization]
        });
        let turn = async {
            let own = match own {
                Some([of_principal, of_organization]) => Some([
                    of_principal.acquire_owned().await?,
                    of_organization.acquire_owned().await?,
                ]),
                None => None,
            };
            Ok::<_, AcquireError>(FileTurn {
                _own: own,
                _of_all: Arc::clone(&self.all).acquire_owned().await?,
            })
        };
        match timeout_at(until, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_closed)) => Err(Failure::new(Reason::ShuttingDown, "the node is stopping")),
            Err(_elapsed) => Err(Failure::new(Reason::Overloaded, self.busy)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;
    use std::time::Duration;

    fn reader(organization: &str, seed: u8) -> Reader {
        Reader {
            organization: organization.to_owned(),
            principal: format!("p-{seed}"),
            key: SigningKey::from_seed(&[seed; 32]).public_key().thumbprint(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_lets_its_files_lie_waits_for_itself_and_leaves_a_turn_to_others() {
        let turns = FileTurns::default();
        let take = async |reader: Option<&Reader>| {
            let soon = Instant::now() + Duration::from_secs(1);
            turns.take(reader, soon).await
        };
        let (greedy, colleague) = (reader("acme", 1), reader("acme", 2));
        let (late, other) = (reader("acme", 3), reader("zeta", 4));
        let mut of_greedy = Vec::new();
        for _ in 0..EVIDENCE_FILES_OF_PRINCIPAL_MAX {
            of_greedy.push(take(Some(&greedy)).await.unwrap());
        }
        let refused = take(Some(&greedy)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        let mut held = Vec::new();
        for _ in of_greedy.len()..EVIDENCE_FILES_OF_ORGANIZATION_MAX {
            held.push(take(Some(&colleague)).await.unwrap());
        }
        let refused = take(Some(&late)).await.unwrap_err();
        assert_eq!(
            refused.reason(),
            Reason::Overloaded,
            "all of one organisation"
        );
        held.push(take(Some(&other)).await.unwrap());
        assert!(take(None).await.is_err(), "all are taken");
        of_greedy.pop();
        take(Some(&late)).await.unwrap();
        take(None).await.unwrap();
        drop((of_greedy, held));
        turns.of_principals.of(&reader("acme", 5).key);
        turns.of_organizations.of(&"acme".to_owned());
        let of_principals = turns.of_principals.by_key.lock().unwrap().len();
        let of_organizations = turns.of_organizations.by_key.lock().unwrap().len();
        let counts = [of_principals, of_organizations];
        assert_eq!(counts, [1, 1], "nobody is remembered who has no turn");
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_in_a_line_for_the_policy_are_few_at_once_and_told_what_they_wait_for() {
        let turns = FileTurns::of_policies();
        let soon = || Instant::now() + Duration::from_secs(1);
        let mut taken = Vec::new();
        for _ in 0..POLICY_ANSWERS_MAX {
            taken.push(turns.take(None, soon()).await.unwrap());
        }
        let refused = turns.take(None, soon()).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        assert!(
            refused.to_string().contains("changes of policy"),
            "{refused}"
        );
        taken.pop();
        turns.take(None, soon()).await.unwrap();
    }
}
