//! The registry: who may do what, as a pure function of the system records of the log so far.
//!
//! A node applies every system record in the order of the log and rebuilds the registry from them
//! when it starts; whoever checks an evidence file replays the records of its chain. Both run
//! [`Registry::apply`], so the rules have one home.
//!
//! Everything is judged by log position alone: a key is valid for the entries after the record that
//! registered it, up to and including the entry that retired it, and so is a role, an engagement or
//! a suspension. So a registry that knows later records gives the same answer for an earlier
//! position. A key is registered once, for ever, so what a key stands for never changes; a
//! principal keeps its id through new keys and roles.

mod apply;
mod catalogues;
mod chain;
mod checks;
mod engagement;
mod evidence;
mod key;
mod member;
mod members;
mod operators;
mod record;
mod service;
mod signed_by;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use engagement::{Between, EngagementRow};
pub use evidence::EvidenceSigner;
pub use key::{KeyOwner, KeyRow, PrincipalKey};
pub use member::{OrganizationRow, PrincipalHistory, PrincipalRow, Revoked};

use crate::aims::catalog::Catalogue;
use crate::statement::key::Thumbprint;
use crate::system::{
    EngagementId, Genesis, KeyPurpose, NodeEntry, NodeId, OrganizationId, PolicyTexts, PrincipalId,
};
use crate::tlog::{LeafIndex, TreeSize, VerifierKey};

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
    organizations: BTreeMap<OrganizationId, OrganizationRow>,
    /// Each principal that was ever registered.
    principals: BTreeMap<(OrganizationId, PrincipalId), PrincipalHistory>,
    engagements: BTreeMap<OrganizationId, BTreeMap<EngagementId, EngagementRow>>,
    /// By scheme, each version where it was declared.
    catalogues: BTreeMap<OrganizationId, BTreeMap<String, BTreeMap<LeafIndex, Arc<Catalogue>>>>,
    nodes: BTreeMap<NodeId, NodeRow>,
    policies: BTreeMap<LeafIndex, PolicyTexts>,
    rules: BTreeMap<LeafIndex, [u8; 32]>,
    /// Where the records of receipt and log keys stand, and whether they name receipt keys.
    keys_records: BTreeMap<LeafIndex, bool>,
    /// Who signed each system record that something else may rest on, and the operators who approve it.
    signers: BTreeMap<LeafIndex, Vec<Thumbprint>>,
    /// How many batches of reads from outside the log has.
    access_batches: u64,
    last: Option<LeafIndex>,
}

/// A node that was ever admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its id, label and newest cosigner key.
    pub node: NodeEntry,
    /// The cosigner keys that it had before, each with the record that replaced it.
    pub replaced: Vec<(LeafIndex, VerifierKey)>,
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
            engagements: BTreeMap::new(),
            catalogues: BTreeMap::new(),
            nodes: BTreeMap::new(),
            policies: BTreeMap::new(),
            rules: BTreeMap::new(),
            keys_records: BTreeMap::new(),
            signers: BTreeMap::new(),
            access_batches: 0,
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

    /// The principal whose key this is, as it stands for the entry at `index`, if the key is valid
    /// there. Whether the key signs statements is for its purpose to say.
    pub fn principal_at(&self, kid: &Thumbprint, index: LeafIndex) -> Option<&PrincipalRow> {
        let owner = self.key_at(kid, index)?.principal()?;
        self.history(&owner.organization, &owner.principal)?
            .at(index)
    }

    /// The principal that reads with this key, if it may at `index`: its key for reading, or its
    /// key for statements while it has no other.
    pub fn reader_at(&self, kid: &Thumbprint, index: LeafIndex) -> Option<&PrincipalRow> {
        let owner = self.key_at(kid, index)?.principal()?;
        let history = self.history(&owner.organization, &owner.principal)?;
        let mut read_keys = history.read_keys.iter();
        let has_read_key = read_keys.any(|key| self.key_at(key, index).is_some());
        match owner.purpose {
            KeyPurpose::Sign if has_read_key => None,
            KeyPurpose::Sign | KeyPurpose::Read => history.at(index),
        }
    }

    /// The key with which the principal signs statements, or did last.
    pub fn principal(
        &self,
        organization: &OrganizationId,
        principal: &PrincipalId,
    ) -> Option<&KeyRow> {
        self.keys.get(&self.history(organization, principal)?.key)
    }

    /// The principal through the log.
    pub fn history(
        &self,
        organization: &OrganizationId,
        principal: &PrincipalId,
    ) -> Option<&PrincipalHistory> {
        let id = (organization.clone(), principal.clone());
        self.principals.get(&id)
    }

    /// All organisations, by id.
    pub fn organizations(&self) -> impl Iterator<Item = (&OrganizationId, &OrganizationRow)> {
        self.organizations.iter()
    }

    /// The organisation with this id.
    pub fn organization(&self, id: &OrganizationId) -> Option<&OrganizationRow> {
        self.organizations.get(id)
    }

    /// Whether what this organisation signs is refused at `index`.
    pub fn is_suspended_at(&self, id: &OrganizationId, index: LeafIndex) -> bool {
        self.organization(id)
            .is_some_and(|row| row.is_suspended_at(index))
    }

    /// Every principal that was ever registered, by organisation and id.
    pub fn principals(&self) -> impl Iterator<Item = &PrincipalHistory> {
        self.principals.values()
    }

    /// How many batches of reads from outside the log has.
    pub const fn access_batches(&self) -> u64 {
        self.access_batches
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

    /// The newest record among the first `size` entries that names receipt keys.
    pub fn keys_record(&self, size: TreeSize) -> Option<LeafIndex> {
        let before = self.keys_records.range(..LeafIndex(size.0)).rev();
        let mut naming = before.filter(|(_, names_receipt_keys)| **names_receipt_keys);
        naming.next().map(|(index, _)| *index)
    }

    /// Where every record of receipt or log keys stands.
    pub fn keys_records(&self) -> impl Iterator<Item = LeafIndex> {
        self.keys_records.keys().copied()
    }

    /// Receipt keys that may sign for heads that cover `index`.
    pub fn receipt_keys_at(&self, index: LeafIndex) -> impl Iterator<Item = &KeyRow> {
        self.keys
            .values()
            .filter(move |row| row.owner == KeyOwner::Receipt && row.is_valid_at(index))
    }

    /// Log keys that a policy at `index` may name.
    pub fn log_keys_at(&self, index: LeafIndex) -> impl Iterator<Item = &KeyRow> {
        self.keys
            .values()
            .filter(move |row| row.owner == KeyOwner::Log && row.is_valid_at(index))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
