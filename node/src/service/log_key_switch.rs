//! Whether the cluster could make heads under a policy with another log key: a majority of the voters
//! must hold that key before the leader proposes the record, or a single disk might hold the only copy
//! of a key without which there is no head any more.
//!
//! This is the leader's own care and no rule of the log: which node holds what is not in the log. What
//! apply decides does not depend on it.

use std::collections::BTreeSet;
use std::time::Duration;

use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{Payload as _, PolicyChange, SystemKind};
use aimslog_proto::tlog::{LeafIndex, Policy};
use tokio::time::Instant;

use crate::identity::Sort;
use crate::service::backend::Backend;
use crate::service::status::Failure;

/// Who was not heard for so long may be gone: nodes speak to each other every second.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Refuses a change of policy to a log key that no majority of the voters holds; any other statement
/// passes.
pub(super) fn check(backend: &Backend, statement: &[u8]) -> Result<(), Failure> {
    // Asked of every record: those of another kind are not parsed for it.
    if !is_about(statement, SystemKind::Policy) {
        return Ok(());
    }
    let registry = backend.ledger.registry();
    let next = LeafIndex(backend.ledger.progress().borrow().tree.size.0);
    let new = new_log_keys(&registry, next, statement);
    if new.is_empty() {
        return Ok(());
    }
    let voters = backend.consensus.status().borrow().voters.clone();
    let views = backend.memories.views();
    let now = Instant::now();
    for key in new {
        let own = backend.ring.keys().map(|keys| keys.publics(Sort::Log));
        let own = own.unwrap_or_default().contains(&key);
        let holds = |id: &u64| {
            if *id == backend.facts.node_id {
                return own;
            }
            views.get(id).is_some_and(|view| {
                let is_fresh = now.saturating_duration_since(view.heard) <= SILENCE_MAX;
                is_fresh && view.report.log_keys.contains(key.as_bytes())
            })
        };
        let holders = voters.iter().copied().filter(holds).collect();
        enough(&voters, &holders).map_err(|words| {
            let found = Failure::new(Reason::FailedPrecondition, words);
            found.with("log_key", key.thumbprint().to_string())
        })?;
        if !own {
            let words = format!(
                "node {}, which leads, does not have the new log key and could sign no head: move the lead \
                 to a node that has it",
                backend.facts.node_id
            );
            let found = Failure::new(Reason::FailedPrecondition, words);
            return Err(found.with("log_key", key.thumbprint().to_string()));
        }
    }
    Ok(())
}

/// Whether the name of the kind stands somewhere in the statement, as it does in the header of each
/// record of the kind.
fn is_about(statement: &[u8], kind: SystemKind) -> bool {
    let name = format!("ledger.{kind}");
    let mut windows = statement.windows(name.len());
    windows.any(|window| window == name.as_bytes())
}

/// The refusal of one record among others.
pub(super) fn refusal(failure: &Failure) -> Violation {
    Violation::new(failure.reason(), "payload.publish", failure.to_string())
}

/// The log keys that a change of policy brings along, as far as the registry has them in force: any other
/// is refused by apply, which says why.
fn new_log_keys(registry: &Registry, next: LeafIndex, statement: &[u8]) -> Vec<PublicKey> {
    let Ok(statement) = UnverifiedStatement::parse(statement) else {
        return Vec::new();
    };
    if SystemKind::of(&statement.header().content_type) != Some(SystemKind::Policy) {
        return Vec::new();
    }
    let Ok(change) = PolicyChange::decode(statement.payload()) else {
        return Vec::new();
    };
    let logs = |text: &str| {
        let policy = Policy::parse(text.as_bytes()).ok();
        let logs = policy.map(|policy| policy.logs().to_vec());
        let logs = logs.unwrap_or_default().into_iter();
        logs.filter_map(|log| PublicKey::of_log_key(&log.key))
            .collect::<Vec<_>>()
    };
    let before = registry.policy().map(|(_, texts)| logs(&texts.publish));
    let before = before.unwrap_or_default();
    let in_force = |key: &PublicKey| registry.log_keys_at(next).any(|row| row.key == *key);
    logs(&change.texts.publish)
        .into_iter()
        .filter(|key| in_force(key) && !before.contains(key))
        .collect()
}

/// Whether those who hold a key are a majority of the voters.
fn enough(voters: &BTreeSet<u64>, holders: &BTreeSet<u64>) -> Result<(), String> {
    if holders.len() * 2 > voters.len() {
        return Ok(());
    }
    let missing = voters.difference(holders).map(u64::to_string);
    let missing: Vec<String> = missing.collect();
    Err(format!(
        "the new log key is with {} of {} voters, and no head could be made without it; wait until a \
         majority has it, or start nodes {} (ledger.keys hands it to every voter that names it beside the \
         old one)",
        holders.len(),
        voters.len(),
        missing.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{LOG_SEED, World};

    #[test]
    fn a_majority_of_the_voters_must_hold_the_key() {
        let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
        for (voters, holders, good) in [
            (&[1, 2, 3][..], &[1, 2][..], true),
            (&[1, 2, 3], &[1, 2, 3], true),
            (&[1, 2, 3], &[3], false),
            (&[1, 2, 3], &[], false),
            (&[1, 2], &[1], false),
            (&[1], &[1], true),
            (&[1, 2, 3, 4], &[1, 2], false),
        ] {
            assert_eq!(
                enough(&set(voters), &set(holders)).is_ok(),
                good,
                "{holders:?} of {voters:?}"
            );
        }
        let words = enough(&set(&[1, 2, 3]), &set(&[2])).unwrap_err();
        assert!(words.contains("with 1 of 3 voters"), "{words}");
        assert!(words.contains("nodes 1, 3"), "{words}");
    }

    #[test]
    fn only_a_change_to_another_log_key_that_is_in_force_is_held_up() {
        let world = World::new();
        let genesis = world.genesis();
        let mut registry = Registry::new();
        let named = world.log_keys(&[LOG_SEED, 50], 60);
        for (index, bytes) in (0..).zip([&genesis.genesis, &genesis.keys, &named]) {
            let statement = UnverifiedStatement::parse(bytes).unwrap();
            registry.apply(LeafIndex(index), &statement).unwrap();
        }
        let before = world.policy([0, 1, 2]);
        let new = |statement: &[u8]| {
            let keys = new_log_keys(&registry, LeafIndex(3), statement).into_iter();
            keys.map(|key| *key.as_bytes()).collect::<Vec<_>>()
        };
        let of = |seed: u8| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
            key.verifying_key().to_bytes()
        };
        let switch = world.policy_change(&before, world.policy_with_log_key(50));
        assert_eq!(new(&switch), [of(50)]);
        let unnamed = world.policy_change(&before, world.policy_with_log_key(51));
        let same = world.policy_change(&before, world.policy([0, 1, 3]));
        for other in [&unnamed[..], &same, &named, &genesis.genesis, b"none"] {
            assert!(new(other).is_empty());
        }
    }
}
