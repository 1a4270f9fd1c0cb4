//! What an accepted system record changes.

use std::collections::BTreeSet;

use super::{KeyOwner, KeyRow, NodeRow, PrincipalRow, Registry};
use crate::statement::key::{PublicKey, Thumbprint};
use crate::system::{
    Genesis, Keys, NodeChange, NodeEntry, Principal, PrincipalChange, Role, SystemRecord,
};
use crate::tlog::LeafIndex;

/// Where a record stands and who signed it.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) index: LeafIndex,
    pub(super) signer: Thumbprint,
}

impl Registry {
    /// Writes down an accepted record.
    pub(super) fn record(&mut self, at: At, record: &SystemRecord) {
        let index = at.index;
        self.last = Some(index);
        match record {
            SystemRecord::Genesis(genesis) => self.record_genesis(at, genesis),
            SystemRecord::Keys(keys) => self.record_receipt_keys(at, keys),
            SystemRecord::Policy(change) => {
                self.policies.insert(index, change.texts.clone());
            }
            SystemRecord::Rules(change) => {
                self.rules.insert(index, change.bundle);
            }
            SystemRecord::Organization(record) => {
                self.organizations
                    .insert(record.organization.clone(), index);
                let row = PrincipalRow {
                    organization: record.organization.clone(),
                    principal: record.administrator.clone(),
                    holder: record.holder.clone(),
                    roles: vec![Role::administrator()],
                    acts_for: None,
                };
                self.put_principal(at, row, &record.key);
            }
            SystemRecord::Principal(record) => self.record_principal(at, record),
            SystemRecord::Node(change) => match &change.change {
                NodeChange::Admit(node) => self.put_node(at.index, node),
                NodeChange::Remove(id) => {
                    if let Some(row) = self.nodes.get_mut(id) {
                        row.removed_at = Some(index);
                    }
                }
            },
        }
    }

    fn record_genesis(&mut self, at: At, genesis: &Genesis) {
        for operator in &genesis.operators {
            let name = operator.name.clone();
            self.put_key(at, &operator.key, KeyOwner::Operator { name });
        }
        self.put_key(at, &genesis.service_key, KeyOwner::Service);
        self.put_key(at, &genesis.receipt_key, KeyOwner::Receipt);
        for node in &genesis.nodes {
            self.put_node(at.index, node);
        }
        self.policies.insert(at.index, genesis.policy.clone());
        self.rules.insert(at.index, genesis.rule_bundle);
        self.genesis = Some(genesis.clone());
    }

    fn record_receipt_keys(&mut self, at: At, keys: &Keys) {
        self.keys_records.insert(at.index);
        let named: BTreeSet<Thumbprint> = keys
            .receipt
            .iter()
            .map(|receipt| receipt.key.thumbprint())
            .collect();
        for (kid, row) in &mut self.keys {
            if row.owner == KeyOwner::Receipt && row.retired_at.is_none() && !named.contains(kid) {
                row.retired_at = Some(at.index);
            }
        }
        for receipt in &keys.receipt {
            if self.key(&receipt.key.thumbprint()).is_none() {
                self.put_key(at, &receipt.key, KeyOwner::Receipt);
            }
        }
    }

    fn record_principal(&mut self, at: At, record: &Principal) {
        let id = (record.organization.clone(), record.principal.clone());
        if let Some(kid) = self.principals.get(&id)
            && let Some(row) = self.keys.get_mut(kid)
            && row.retired_at.is_none()
        {
            row.retired_at = Some(at.index);
        }
        if let PrincipalChange::Admit(admission) = &record.change {
            let row = PrincipalRow {
                organization: record.organization.clone(),
                principal: record.principal.clone(),
                holder: admission.holder.clone(),
                roles: admission.roles.clone(),
                acts_for: admission.acts_for.clone(),
            };
            self.put_principal(at, row, &admission.key);
        }
    }

    fn put_principal(&mut self, at: At, row: PrincipalRow, key: &PublicKey) {
        let id = (row.organization.clone(), row.principal.clone());
        self.principals.insert(id, key.thumbprint());
        self.put_key(at, key, KeyOwner::Principal(row));
    }

    fn put_key(&mut self, at: At, key: &PublicKey, owner: KeyOwner) {
        let row = KeyRow {
            key: *key,
            owner,
            registered_by: at.signer,
            registered_at: at.index,
            retired_at: None,
        };
        self.keys.insert(key.thumbprint(), row);
    }

    fn put_node(&mut self, index: LeafIndex, node: &NodeEntry) {
        let row = NodeRow {
            node: node.clone(),
            admitted_at: index,
            removed_at: None,
        };
        self.nodes.insert(node.id, row);
    }
}
