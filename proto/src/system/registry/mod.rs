//! The registry: who may do what, as a pure function of the system records of the log so far.
//!
//! A node applies every system record in the order of the log and rebuilds the registry from them
//! when it starts; whoever checks an evidence file replays the records of its chain. Both run
//! [`Registry::apply`], so the rules have one home.
//!
//! Key state is judged by log position alone: a key is valid for the entries after the record that
//! registered it, up to and including the entry that retired it. A key is registered once, for
//! ever, so what a key stands for never changes; a new role or holder comes with a new key.

mod apply;
mod chain;
mod checks;
mod evidence;
mod record;

use std::collections::{BTreeMap, BTreeSet};

use crate::statement::key::{PublicKey, Thumbprint};
use crate::system::{
    Genesis, Holder, NodeEntry, NodeId, OrganizationId, PolicyTexts, PrincipalId, Role,
};
use crate::tlog::LeafIndex;

/// What the records that a registry is built from are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All system records of the log, in order.
    Whole,
    /// Some of them, in order. What only the missing ones could show is not judged: whether an
    /// organisation keeps an administrator, whether an id or a key was used before.
    Selection,
}

/// Organisations, principals, operators, nodes and policies at one position of the log.
#[derive(Debug, Clone)]
pub struct Registry {
    extent: Extent,
    genesis: Option<Genesis>,
    keys: BTreeMap<Thumbprint, KeyRow>,
    organizations: BTreeMap<OrganizationId, LeafIndex>,
    /// The newest key of each principal that was ever registered.
    principals: BTreeMap<(OrganizationId, PrincipalId), Thumbprint>,
    nodes: BTreeMap<NodeId, NodeRow>,
    policies: BTreeMap<LeafIndex, PolicyTexts>,
    rules: BTreeMap<LeafIndex, [u8; 32]>,
    /// Where the records of receipt keys stand.
    keys_records: BTreeSet<LeafIndex>,
    last: Option<LeafIndex>,
}

/// A registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key.
    pub key: PublicKey,
    /// What it stands for.
    pub owner: KeyOwner,
    /// The key that signed the record which registered it; that of genesis for those in genesis.
    pub registered_by: Thumbprint,
    /// The record that registered it: valid for later entries.
    pub registered_at: LeafIndex,
    /// The record that retired it: still valid for that one.
    pub retired_at: Option<LeafIndex>,
}

impl KeyRow {
    /// Whether the key may sign the entry at `index`.
    pub fn is_valid_at(&self, index: LeafIndex) -> bool {
        // Genesis is signed by a key that it registers itself.
        let begun = self.registered_at < index || index == LeafIndex(0);
        begun && self.retired_at.is_none_or(|retired| index <= retired)
    }
}

/// What a key stands for. One key has one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// An operator's admin key.
    Operator {
        /// Its name in genesis.
        name: String,
    },
    /// Signs what the service itself asserts.
    Service,
    /// Signs receipts.
    Receipt,
    /// A principal of an organisation.
    Principal(PrincipalRow),
}

/// A principal, as the key that it holds stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalRow {
    /// Its organisation.
    pub organization: OrganizationId,
    /// Its id there.
    pub principal: PrincipalId,
    /// Who stands behind it.
    pub holder: Holder,
    /// Strictly ascending.
    pub roles: Vec<Role>,
    /// For an AI agent, for whom it acts.
    pub acts_for: Option<PrincipalId>,
}

impl PrincipalRow {
    /// Whether the principal may register and revoke principals of its organisation.
    pub fn is_administrator(&self) -> bool {
        self.roles.iter().any(Role::is_administrator)
    }

    /// Whether the principal is an AI agent.
    pub const fn is_agent(&self) -> bool {
        self.acts_for.is_some()
    }
}

/// A node that was ever admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its id, label and cosigner key.
    pub node: NodeEntry,
    /// The record that admitted it.
    pub admitted_at: LeafIndex,
    /// The record that removed it.
    pub removed_at: Option<LeafIndex>,
}

impl Registry {
    /// The registry before the first entry, to which every system record of the log is applied.
    pub const fn new() -> Self {
        Self::empty(Extent::Whole)
    }

    /// A registry to which only some system records are applied, as an evidence file carries them:
    /// genesis, and what leads to the signers of its records.
    ///
    /// Everything that is in it is as well founded as in a whole one; what was registered or
    /// retired by records that are not in the selection is not known to it.
    pub const fn of_selection() -> Self {
        Self::empty(Extent::Selection)
    }

    const fn empty(extent: Extent) -> Self {
        Self {
            extent,
            genesis: None,
            keys: BTreeMap::new(),
            organizations: BTreeMap::new(),
            principals: BTreeMap::new(),
            nodes: BTreeMap::new(),
            policies: BTreeMap::new(),
            rules: BTreeMap::new(),
            keys_records: BTreeSet::new(),
            last: None,
        }
    }

    /// The first entry, once it was applied.
    pub const fn genesis(&self) -> Option<&Genesis> {
        self.genesis.as_ref()
    }

    /// The position of the last system record that was applied.
    pub const fn last_index(&self) -> Option<LeafIndex> {
        self.last
    }

    /// The key with this thumbprint, whatever its state.
    pub fn key(&self, kid: &Thumbprint) -> Option<&KeyRow> {
        self.keys.get(kid)
    }

    /// The key with this thumbprint, if it may sign the entry at `index`.
    pub fn key_at(&self, kid: &Thumbprint, index: LeafIndex) -> Option<&KeyRow> {
        self.key(kid).filter(|row| row.is_valid_at(index))
    }

    /// The principal whose key this is, if the key may sign the entry at `index`.
    pub fn principal_at(&self, kid: &Thumbprint, index: LeafIndex) -> Option<&PrincipalRow> {
        match &self.key_at(kid, index)?.owner {
            KeyOwner::Principal(principal) => Some(principal),
            KeyOwner::Operator { .. } | KeyOwner::Service | KeyOwner::Receipt => None,
        }
    }

    /// The key that the principal holds, or held last.
    pub fn principal(
        &self,
        organization: &OrganizationId,
        principal: &PrincipalId,
    ) -> Option<&KeyRow> {
        let id = (organization.clone(), principal.clone());
        self.keys.get(self.principals.get(&id)?)
    }

    /// All organisations with the record that registered each, by id.
    pub fn organizations(&self) -> impl Iterator<Item = (&OrganizationId, LeafIndex)> {
        self.organizations.iter().map(|(id, index)| (id, *index))
    }

    /// The record that registered the organisation.
    pub fn organization(&self, id: &OrganizationId) -> Option<LeafIndex> {
        self.organizations.get(id).copied()
    }

    /// The newest key of each principal, by organisation and id.
    pub fn principals(&self) -> impl Iterator<Item = &KeyRow> {
        self.principals
            .values()
            .filter_map(|kid| self.keys.get(kid))
    }

    /// All keys ever registered, by thumbprint.
    pub fn keys(&self) -> impl Iterator<Item = (&Thumbprint, &KeyRow)> {
        self.keys.iter()
    }

    /// All nodes ever admitted, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRow> {
        self.nodes.values()
    }

    /// The node with this id, also when it was removed.
    pub fn node(&self, id: NodeId) -> Option<&NodeRow> {
        self.nodes.get(&id)
    }

    /// Whether the node was admitted and not removed.
    pub fn has_node(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|row| row.removed_at.is_none())
    }

    /// The policies in force for heads that cover the entry at `index`, and the record that put
    /// them in force.
    pub fn policy_at(&self, index: LeafIndex) -> Option<(LeafIndex, &PolicyTexts)> {
        self.policies
            .range(..=index)
            .next_back()
            .map(|(at, texts)| (*at, texts))
    }

    /// The newest policies and the record that put them in force.
    pub fn policy(&self) -> Option<(LeafIndex, &PolicyTexts)> {
        self.policies
            .last_key_value()
            .map(|(at, texts)| (*at, texts))
    }

    /// The digest of the rule bundle active for the entry at `index`.
    pub fn rules_at(&self, index: LeafIndex) -> Option<[u8; 32]> {
        // The record that activates a bundle is itself still judged by the one before; genesis is
        // the exception, there is none before it.
        let before = self.rules.range(..index).next_back();
        before
            .or_else(|| self.rules.first_key_value())
            .map(|(_, digest)| *digest)
    }

    /// Receipt keys that may sign for heads that cover `index`.
    pub fn receipt_keys_at(&self, index: LeafIndex) -> impl Iterator<Item = &KeyRow> {
        self.keys
            .values()
            .filter(move |row| row.owner == KeyOwner::Receipt && row.is_valid_at(index))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
