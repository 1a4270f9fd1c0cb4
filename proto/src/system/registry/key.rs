//! Keys of the registry: what each stands for, and from where to where in the log.

use crate::statement::key::{PublicKey, Thumbprint};
use crate::system::{KeyPurpose, OrganizationId, PrincipalId};
use crate::tlog::LeafIndex;

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

    /// Whose key it is, if it is a principal's.
    pub const fn principal(&self) -> Option<&PrincipalKey> {
        match &self.owner {
            KeyOwner::Principal(principal) => Some(principal),
            KeyOwner::Operator { .. } | KeyOwner::Service | KeyOwner::Receipt | KeyOwner::Log => {
                None
            }
        }
    }

    /// Whether it is a principal's key that signs no statement.
    pub fn is_for_reading(&self) -> bool {
        self.principal()
            .is_some_and(|principal| principal.purpose == KeyPurpose::Read)
    }
}

/// What a key stands for. One key has one purpose, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// An operator's admin key.
    Operator {
        /// Its name in genesis, or in the record that admitted it.
        name: String,
    },
    /// Signs what the service itself asserts.
    Service,
    /// Signs receipts.
    Receipt,
    /// Signs checkpoints.
    Log,
    /// A key of a principal of an organisation.
    Principal(PrincipalKey),
}

/// Whose key it is, and what for. What the principal may do changes with the log; this does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalKey {
    /// The principal's organisation.
    pub organization: OrganizationId,
    /// The principal.
    pub principal: PrincipalId,
    /// What the key is for.
    pub purpose: KeyPurpose,
}
