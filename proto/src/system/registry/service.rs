//! What the ledger itself says: receipt and log keys, policies, rules, nodes, and reads from outside.

use super::checks::{
    check_node_key, check_node_name, check_policies, check_possession, key_in_use, refuse,
};
use super::{Extent, KeyOwner, Registry};
use crate::reason::{Reason, Violation};
use crate::statement::key::{PublicKey, Signature};
use crate::system::keys::LOG_KEY_PART;
use crate::system::{
    Access, AccessRead, Genesis, KEYS_INDEX, Keys, Node, NodeChange, Payload as _, PolicyChange,
    Rules, subject,
};
use crate::tlog::{LeafIndex, Policy, VerifierKey};

impl Registry {
    pub(super) fn check_keys(
        &self,
        index: LeafIndex,
        keys: &Keys,
        genesis: &Genesis,
    ) -> Vec<Violation> {
        let part = keys.subject_part();
        let receipt = keys.receipt.iter().map(|it| (&it.key, &it.possession));
        let log = keys.log.iter().map(|it| (&it.key, &it.possession));
        let mut found = check_possessions(receipt, genesis, &part);
        found.extend(check_possessions(log, genesis, LOG_KEY_PART));
        if index == KEYS_INDEX {
            let is_of_genesis = keys.log.is_empty()
                && matches!(keys.receipt.as_slice(),
                    [only] if only.key == genesis.receipt_key);
            if !is_of_genesis {
                let rule = "exactly the receipt key of genesis";
                found.push(refuse(Reason::InvalidField, "payload.receipt", rule));
            }
            return found;
        }
        let serves_else = |key: &PublicKey, owner: &KeyOwner| {
            self.key(&key.thumbprint())
                .is_some_and(|row| row.owner != *owner || row.retired_at.is_some())
        };
        let mut receipts = keys.receipt.iter().map(|receipt| &receipt.key);
        if receipts.any(|key| serves_else(key, &KeyOwner::Receipt)) {
            found.push(key_in_use("payload.receipt"));
        }
        let for_receipts = |key: &PublicKey| keys.receipt.iter().any(|it| it.key == *key);
        let mut logs = keys.log.iter().map(|log| &log.key);
        if logs.any(|key| serves_else(key, &KeyOwner::Log) || for_receipts(key)) {
            found.push(key_in_use("payload.log"));
        }
        found.extend(self.check_log_keys(keys, genesis));
        found
    }

    /// A log key stays in force as long as heads need it by the newest policy.
    fn check_log_keys(&self, keys: &Keys, genesis: &Genesis) -> Option<Violation> {
        let (_, texts) = self.policy()?;
        let policy = Policy::parse(texts.publish.as_bytes()).ok()?;
        let named = |key: &VerifierKey| {
            let mut named = keys
                .log
                .iter()
                .map(|log| log.key.to_log_key(&genesis.origin));
            named.any(|named| named == *key)
        };
        let mut needed = policy.logs().iter().map(|log| &log.key);
        let needed = needed
            .find(|key| key.name() == genesis.origin.key_name() && !named(key))
            .filter(|_| !keys.log.is_empty())?;
        let rule =
            "every log key that the policy in force names: a policy with another one comes first";
        Some(refuse(Reason::FailedPrecondition, "payload.log", rule).found(needed))
    }

    pub(super) fn check_policy(
        &self,
        index: LeafIndex,
        change: &PolicyChange,
        genesis: &Genesis,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some((_, texts)) = self.policy()
            && texts.digest() != change.predecessor
        {
            let rule = "the digest of the policies in force";
            found.push(refuse(Reason::VersionConflict, "payload.predecessor", rule));
        }
        found.extend(check_policies(&change.texts, &genesis.origin, |key| {
            self.log_key_refusal(index, key)
        }));
        found
    }

    /// Why a policy at `index` may not name this log key, if so.
    fn log_key_refusal(
        &self,
        index: LeafIndex,
        key: &VerifierKey,
    ) -> Option<(Reason, &'static str)> {
        let public = PublicKey::of_log_key(key);
        let row = public.and_then(|key| self.key(&key.thumbprint()));
        match row.filter(|row| row.owner == KeyOwner::Log) {
            None => {
                let rule = "a log key that ledger.keys has named";
                Some((Reason::UnknownKey, rule))
            }
            Some(row) if row.is_valid_at(index) => None,
            Some(_) => {
                let rule = "a log key that is in force; ledger.keys has retired this one";
                Some((Reason::RevokedKey, rule))
            }
        }
    }

    pub(super) fn check_rules(&self, change: &Rules) -> Result<(), Violation> {
        let newest = self.rules.last_key_value().map(|(_, digest)| *digest);
        if newest == Some(change.predecessor) || self.extent == Extent::Selection {
            Ok(())
        } else {
            let rule = "the digest of the active rule bundle";
            Err(refuse(Reason::VersionConflict, "payload.predecessor", rule))
        }
    }

    pub(super) fn check_node(&self, change: &Node, genesis: &Genesis) -> Vec<Violation> {
        let known = self.node(change.id());
        let mut found = Vec::new();
        match &change.change {
            NodeChange::Admit(node) => {
                if known.is_some() {
                    let rule = "node ids are never used twice";
                    found.push(refuse(Reason::IdConflict, "payload.id", rule));
                }
                found.extend(self.check_cosigner(&node.cosigner));
                found.extend(check_node_name(node.id, &node.cosigner, &genesis.origin).err());
            }
            NodeChange::Remove(_) | NodeChange::Rotate { .. } => {
                if self.extent == Extent::Whole && known.is_none_or(|row| row.removed_at.is_some())
                {
                    let rule = "a node of the cluster";
                    found.push(refuse(Reason::NotFound, "payload.id", rule));
                }
            }
        }
        if let NodeChange::Rotate {
            id,
            cosigner,
            possession,
        } = &change.change
        {
            found.extend(self.check_cosigner(cosigner));
            found.extend(check_node_name(*id, cosigner, &genesis.origin).err());
            let subject = subject(&genesis.origin, &change.subject_part());
            found.extend(check_node_key((cosigner, possession), genesis, &subject).err());
        }
        found
    }

    /// No node has, or ever had, this cosigner key.
    fn check_cosigner(&self, cosigner: &VerifierKey) -> Option<Violation> {
        let mut rows = self.nodes.values();
        // The name differs from node to node, so the key itself is what counts.
        let same = |key: &VerifierKey| key.material() == cosigner.material();
        let in_use = rows.any(|row| {
            let mut replaced = row.replaced.iter();
            same(&row.node.cosigner) || replaced.any(|(_, key)| same(key))
        });
        in_use.then(|| key_in_use("payload.cosigner"))
    }

    pub(super) fn check_access(&self, index: LeafIndex, record: &Access) -> Vec<Violation> {
        if self.extent == Extent::Selection {
            return Vec::new();
        }
        let mut found = Vec::new();
        let next = self.access_batches.saturating_add(1);
        if record.number != next {
            let rule = "batches are numbered without gaps";
            let violation = refuse(Reason::VersionConflict, "payload.number", rule);
            found.push(violation.found(record.number).nearest(next.to_string()));
        }
        let known = |read: &&AccessRead| {
            self.engagement(&read.organization, &read.engagement)
                .is_some()
        };
        if let Some(read) = record.reads.iter().find(|read| !known(read)) {
            let rule = "reads from outside are under an engagement of the organisation";
            let violation = refuse(Reason::NotFound, "payload.reads", rule);
            let AccessRead { organization, .. } = read;
            found.push(violation.found(format_args!("{organization}/{}", read.engagement)));
        }
        if let Some(read) = record.reads.iter().find(|read| read.entry >= index) {
            let rule = "an entry in front of this one";
            let violation = refuse(Reason::BeyondTree, "payload.reads", rule);
            found.push(violation.found(read.entry.0));
        }
        found
    }
}

/// What is wrong with the proofs that these keys want to be what the record makes of them.
fn check_possessions<'a>(
    proofs: impl Iterator<Item = (&'a PublicKey, &'a Signature)>,
    genesis: &Genesis,
    part: &str,
) -> Vec<Violation> {
    let subject = subject(&genesis.origin, part);
    proofs
        .filter_map(|proof| check_possession(proof, genesis, &subject).err())
        .collect()
}
