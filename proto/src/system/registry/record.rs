//! What an accepted system record changes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    EngagementRow, KeyOwner, KeyRow, NodeRow, OrganizationRow, PrincipalHistory, PrincipalKey,
    PrincipalRow, Registry, Revoked,
};
use crate::statement::key::{PublicKey, Thumbprint};
use crate::system::{
    Engagement, EngagementChange, Genesis, KeyPurpose, Keys, Node, NodeChange, NodeEntry,
    Organization, OrganizationChange, OrganizationId, Principal, PrincipalChange, PrincipalId,
    Role, RoleChange, RoleRecord, SystemKind, SystemRecord,
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
        if record.kind() != SystemKind::Access {
            let approving = record.approvals().iter().map(|approval| approval.operator);
            let behind = std::iter::once(at.signer).chain(approving).collect();
            self.signers.insert(index, behind);
        }
        match record {
            SystemRecord::Genesis(genesis) => self.record_genesis(at, genesis),
            SystemRecord::Keys(keys) => self.record_keys(at, keys),
            SystemRecord::Policy(change) => {
                self.policies.insert(index, change.texts.clone());
            }
            SystemRecord::Rules(change) => {
                self.rules.insert(index, change.bundle);
            }
            SystemRecord::Organization(record) => self.record_organization(at, record),
            SystemRecord::Principal(record) => self.record_principal(at, record),
            SystemRecord::Role(record) => self.record_role(at, record),
            SystemRecord::Engagement(record) => self.record_engagement(at, record),
            SystemRecord::Node(change) => self.record_node(at, change),
            SystemRecord::Access(record) => self.access_batches = record.number,
            SystemRecord::Controls(record) => self.record_controls(at, record),
            SystemRecord::Operator(record) => self.record_operator(at, record),
        }
    }

    fn record_genesis(&mut self, at: At, genesis: &Genesis) {
        for operator in &genesis.operators {
            let name = operator.name.clone();
            self.put_key(at, &operator.key, KeyOwner::Operator { name });
        }
        self.put_key(at, &genesis.service_key, KeyOwner::Service);
        self.put_key(at, &genesis.receipt_key, KeyOwner::Receipt);
        if let Some(log_key) = PublicKey::of_log_key(&genesis.log_key) {
            self.put_key(at, &log_key, KeyOwner::Log);
        }
        for node in &genesis.nodes {
            self.put_node(at.index, node);
        }
        self.policies.insert(at.index, genesis.policy.clone());
        self.rules.insert(at.index, genesis.rule_bundle);
        self.genesis = Some(genesis.clone());
    }

    fn record_keys(&mut self, at: At, keys: &Keys) {
        let names_receipt_keys = !keys.receipt.is_empty();
        self.keys_records.insert(at.index, names_receipt_keys);
        let receipt = keys.receipt.iter().map(|receipt| receipt.key);
        self.put_in_force(at, &KeyOwner::Receipt, &receipt.collect::<Vec<_>>());
        let log = keys.log.iter().map(|log| log.key);
        self.put_in_force(at, &KeyOwner::Log, &log.collect::<Vec<_>>());
    }

    /// These keys are in force and no others of their sort; where none are named all stay as they are.
    fn put_in_force(&mut self, at: At, owner: &KeyOwner, keys: &[PublicKey]) {
        if keys.is_empty() {
            return;
        }
        let named: BTreeSet<Thumbprint> = keys.iter().map(PublicKey::thumbprint).collect();
        for (kid, row) in &mut self.keys {
            if row.owner == *owner && row.retired_at.is_none() && !named.contains(kid) {
                row.retired_at = Some(at.index);
            }
        }
        for key in keys {
            if self.key(&key.thumbprint()).is_none() {
                self.put_key(at, key, owner.clone());
            }
        }
    }

    fn record_organization(&mut self, at: At, record: &Organization) {
        let id = &record.organization;
        match &record.change {
            OrganizationChange::Register(first) => {
                let row = OrganizationRow {
                    registered_at: at.index,
                    changes: BTreeMap::new(),
                };
                self.organizations.insert(id.clone(), row);
                let row = PrincipalRow {
                    organization: id.clone(),
                    principal: first.administrator.clone(),
                    holder: first.holder.clone(),
                    roles: vec![Role::administrator()],
                    acts_for: None,
                };
                self.put_principal(at, row, &first.key);
            }
            OrganizationChange::Suspend { .. } => self.put_suspension(at, id, true),
            OrganizationChange::Resume { .. } => self.put_suspension(at, id, false),
        }
    }

    fn put_suspension(&mut self, at: At, id: &OrganizationId, is_suspended: bool) {
        if let Some(row) = self.organizations.get_mut(id) {
            row.changes.insert(at.index, is_suspended);
        }
    }

    fn record_principal(&mut self, at: At, record: &Principal) {
        let owner = (record.organization.clone(), record.principal.clone());
        if let PrincipalChange::Admit(admission) = &record.change {
            let row = PrincipalRow {
                organization: record.organization.clone(),
                principal: record.principal.clone(),
                holder: admission.holder.clone(),
                roles: admission.roles.clone(),
                acts_for: admission.acts_for.clone(),
            };
            self.put_principal(at, row, &admission.key);
            return;
        }
        let Some(history) = self.principals.get_mut(&owner) else {
            return;
        };
        history.records.insert(at.index);
        let (sign, read) = (history.key, history.read_keys.last().copied());
        match &record.change {
            PrincipalChange::Admit(_) => {}
            PrincipalChange::Rotate(new) => {
                history.key = new.key.thumbprint();
                self.retire(at, sign);
                self.put_principal_key(at, &new.key, (owner, KeyPurpose::Sign));
            }
            PrincipalChange::ReadKey(new) => {
                history.read_keys.push(new.key.thumbprint());
                self.retire_all(at, read);
                self.put_principal_key(at, &new.key, (owner, KeyPurpose::Read));
            }
            PrincipalChange::EndReadKey => {
                self.retire_all(at, read);
            }
            PrincipalChange::Revoke(reason) => {
                let (at_index, reason) = (at.index, *reason);
                history.revoked = Some(Revoked {
                    at: at_index,
                    reason,
                });
                self.retire(at, sign);
                self.retire_all(at, read);
            }
        }
    }

    fn record_role(&mut self, at: At, record: &RoleRecord) {
        let owner = (record.organization.clone(), record.principal.clone());
        let Some(history) = self.principals.get_mut(&owner) else {
            return;
        };
        history.records.insert(at.index);
        if let Some(mut row) = history.newest().cloned() {
            let role = record.change.role();
            row.roles.retain(|held| held != role);
            if matches!(record.change, RoleChange::Grant(_)) {
                row.roles.push(role.clone());
                row.roles.sort_unstable();
            }
            history.rows.insert(at.index, row);
        }
    }

    fn record_engagement(&mut self, at: At, record: &Engagement) {
        let rows = self
            .engagements
            .entry(record.organization.clone())
            .or_default();
        match &record.change {
            EngagementChange::Grant(grant) => {
                let row = EngagementRow {
                    organization: record.organization.clone(),
                    engagement: record.engagement.clone(),
                    grant: grant.as_ref().clone(),
                    granted_at: at.index,
                    ended_at: None,
                };
                rows.insert(record.engagement.clone(), row);
            }
            EngagementChange::End => {
                if let Some(row) = rows.get_mut(&record.engagement) {
                    row.ended_at = Some(at.index);
                }
            }
        }
    }

    fn record_node(&mut self, at: At, change: &Node) {
        match &change.change {
            NodeChange::Admit(node) => self.put_node(at.index, node),
            NodeChange::Remove(id) => {
                if let Some(row) = self.nodes.get_mut(id) {
                    row.removed_at = Some(at.index);
                }
            }
            NodeChange::Rotate { id, cosigner, .. } => {
                if let Some(row) = self.nodes.get_mut(id) {
                    let next = cosigner.as_ref().clone();
                    let before = std::mem::replace(&mut row.node.cosigner, next);
                    row.replaced.push((at.index, before));
                }
            }
        }
    }

    fn put_principal(&mut self, at: At, row: PrincipalRow, key: &PublicKey) {
        let owner = (row.organization.clone(), row.principal.clone());
        let history = PrincipalHistory {
            rows: BTreeMap::from([(at.index, row)]),
            records: BTreeSet::from([at.index]),
            key: key.thumbprint(),
            read_keys: Vec::new(),
            revoked: None,
        };
        self.principals.insert(owner.clone(), history);
        self.put_principal_key(at, key, (owner, KeyPurpose::Sign));
    }

    fn put_principal_key(
        &mut self,
        at: At,
        key: &PublicKey,
        ((organization, principal), purpose): ((OrganizationId, PrincipalId), KeyPurpose),
    ) {
        let owner = PrincipalKey {
            organization,
            principal,
            purpose,
        };
        self.put_key(at, key, KeyOwner::Principal(owner));
    }

    pub(super) fn retire_all(&mut self, at: At, kids: impl IntoIterator<Item = Thumbprint>) {
        for kid in kids {
            self.retire(at, kid);
        }
    }

    /// The key signs nothing behind this record.
    fn retire(&mut self, at: At, kid: Thumbprint) {
        if let Some(row) = self.keys.get_mut(&kid)
            && row.retired_at.is_none()
        {
            row.retired_at = Some(at.index);
        }
    }

    pub(super) fn put_key(&mut self, at: At, key: &PublicKey, owner: KeyOwner) {
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
            replaced: Vec::new(),
            admitted_at: index,
            removed_at: None,
        };
        self.nodes.insert(node.id, row);
    }
}
