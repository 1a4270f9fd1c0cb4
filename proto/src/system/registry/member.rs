//! Organisations and principals of the registry, each with its history: what held at a position of
//! the log does not change when later records come.

use std::collections::{BTreeMap, BTreeSet};

use crate::statement::key::Thumbprint;
use crate::system::{Holder, OrganizationId, PrincipalId, RevocationReason, Role};
use crate::tlog::LeafIndex;

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationRow {
    /// The record that registered it.
    pub registered_at: LeafIndex,
    /// The records that suspended it (true) and resumed it (false).
    pub(super) changes: BTreeMap<LeafIndex, bool>,
}

impl OrganizationRow {
    /// Whether what it signs is refused at `index`.
    pub fn is_suspended_at(&self, index: LeafIndex) -> bool {
        let before = self.changes.range(..index).next_back();
        before.is_some_and(|(_, suspended)| *suspended)
    }

    /// The record that suspended it, if no later one has resumed it.
    pub fn suspended_at(&self) -> Option<LeafIndex> {
        let (index, suspended) = self.changes.last_key_value()?;
        suspended.then_some(*index)
    }

    /// The records that suspended and resumed it, in order.
    pub fn changes(&self) -> impl Iterator<Item = LeafIndex> {
        self.changes.keys().copied()
    }
}

/// A principal as it stands at one position of the log.
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
    /// Whether the principal may sign for its organisation who takes part in it and who reads.
    pub fn is_administrator(&self) -> bool {
        self.roles.iter().any(Role::is_administrator)
    }

    /// Whether the principal is an AI agent.
    pub const fn is_agent(&self) -> bool {
        self.acts_for.is_some()
    }
}

/// A principal through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalHistory {
    /// As it stands behind each record that changed its roles; the first registered it.
    pub(super) rows: BTreeMap<LeafIndex, PrincipalRow>,
    /// Every record about it, keys and revocation included.
    pub(super) records: BTreeSet<LeafIndex>,
    /// Its newest key for statements.
    pub(super) key: Thumbprint,
    /// All its keys for reading, oldest first.
    pub(super) read_keys: Vec<Thumbprint>,
    pub(super) revoked: Option<Revoked>,
}

/// The end of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// The record that revoked it.
    pub at: LeafIndex,
    /// Why.
    pub reason: RevocationReason,
}

impl PrincipalHistory {
    /// As it stands for the entry at `index`; none in front of its registration.
    pub fn at(&self, index: LeafIndex) -> Option<&PrincipalRow> {
        self.rows.range(..index).next_back().map(|(_, row)| row)
    }

    /// As it stands behind the newest record.
    pub fn newest(&self) -> Option<&PrincipalRow> {
        self.rows.last_key_value().map(|(_, row)| row)
    }

    /// Every record about it, in order; the first registered it.
    pub fn records(&self) -> impl Iterator<Item = LeafIndex> {
        self.records.iter().copied()
    }

    /// Its newest key for statements.
    pub const fn key(&self) -> Thumbprint {
        self.key
    }

    /// All its keys for reading, oldest first; at most the last one is valid.
    pub fn read_keys(&self) -> &[Thumbprint] {
        &self.read_keys
    }

    /// Where it ended, if it did.
    pub const fn revoked(&self) -> Option<Revoked> {
        self.revoked
    }

    /// Whether it administers its organisation behind the newest record.
    pub(super) fn is_administrator(&self) -> bool {
        self.revoked.is_none() && self.newest().is_some_and(PrincipalRow::is_administrator)
    }
}
