//! `ledger.organization`: an operator registers an organisation with its first administrator.

use crate::statement::key::{PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{Holder, OrganizationId, PrincipalId};

/// An organisation and the key of its first administrator. Every later principal is registered by
/// an administrator of the organisation, never by an operator.
///
/// CBOR map: 1 organisation id, 2 principal id, 3 holder, 4 key (32 bytes), 5 proof of possession
/// (64 bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// The new organisation.
    pub organization: OrganizationId,
    /// Its first principal, who has the role administrator.
    pub administrator: PrincipalId,
    /// Who stands behind that principal.
    pub holder: Holder,
    /// The administrator's key.
    pub key: PublicKey,
    /// By that key over the subject of the principal, see [`crate::statement::key`].
    pub possession: Signature,
}

impl Payload for Organization {
    const KIND: SystemKind = SystemKind::Organization;

    fn write(&self, map: &mut MapWriter) {
        map.text(1, self.organization.as_str());
        map.text(2, self.administrator.as_str());
        map.text(3, self.holder.as_str());
        map.bytes(4, self.key.as_bytes());
        map.bytes(5, self.possession.as_bytes());
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        Ok(Self {
            organization: map
                .required(1, "organization")?
                .parsed(OrganizationId::new)?,
            administrator: map.required(2, "administrator")?.parsed(PrincipalId::new)?,
            holder: map.required(3, "holder")?.parsed(Holder::new)?,
            key: map.required(4, "key")?.key()?,
            possession: map.required(5, "possession")?.signature()?,
        })
    }

    fn subject_part(&self) -> String {
        format!("org/{}", self.organization)
    }
}
