//! Which log keys a head needs: those of every policy that it must satisfy.

use std::collections::BTreeSet;

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::{Policy, TreeSize, VerifierKey};

use super::heads::policies_between;

/// The log keys that sign a head of `size` after a published one of `published` entries: one normally,
/// and two where the policy has changed from one to the other in between.
pub fn log_keys_needed(registry: &Registry, published: TreeSize, size: TreeSize) -> Vec<PublicKey> {
    let Some(genesis) = registry.genesis() else {
        return Vec::new();
    };
    let policies = policies_between(registry, published.0, size).into_iter();
    // What is in force was read before it was taken in.
    let policies = policies.filter_map(|texts| Policy::parse(texts.publish.as_bytes()).ok());
    let mut seen = BTreeSet::new();
    policies
        .flat_map(|policy| keys_of(&policy))
        .filter(|key| key.name() == genesis.origin.key_name())
        .filter_map(|key| PublicKey::of_log_key(&key))
        .filter(|key| seen.insert(*key.as_bytes()))
        .collect()
}

fn keys_of(policy: &Policy) -> Vec<VerifierKey> {
    policy.logs().iter().map(|log| log.key.clone()).collect()
}
