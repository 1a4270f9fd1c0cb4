//! `ledger.role`: an administrator grants a principal a role, or withdraws one.

use crate::system::SystemKind;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{OrganizationId, PrincipalId, Role};

/// One role of one principal, granted or withdrawn behind this position of the log.
///
/// CBOR map: 1 change (0 grant, 1 withdraw), 2 organisation id, 3 principal id, 4 role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRecord {
    /// The organisation, which must be that of the signing administrator.
    pub organization: OrganizationId,
    /// The principal, which is registered and not revoked.
    pub principal: PrincipalId,
    /// What changes.
    pub change: RoleChange,
}

/// What a [`RoleRecord`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChange {
    /// The principal holds the role from here on.
    Grant(Role),
    /// It does not hold it any more.
    Withdraw(Role),
}

impl RoleChange {
    /// The role.
    pub const fn role(&self) -> &Role {
        match self {
            Self::Grant(role) | Self::Withdraw(role) => role,
        }
    }
}

impl Payload for RoleRecord {
    const KIND: SystemKind = SystemKind::Role;

    fn write(&self, map: &mut MapWriter) {
        map.uint(1, u64::from(matches!(self.change, RoleChange::Withdraw(_))));
        map.text(2, self.organization.as_str());
        map.text(3, self.principal.as_str());
        map.text(4, self.change.role().as_str());
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let change = map.required(1, "change")?.uint()?;
        let organization = map
            .required(2, "organization")?
            .parsed(OrganizationId::new)?;
        let principal = map.required(3, "principal")?.parsed(PrincipalId::new)?;
        let role = map.required(4, "role")?.parsed(Role::new)?;
        let change = match change {
            0 => RoleChange::Grant(role),
            1 => RoleChange::Withdraw(role),
            _ => return Err(map.wrong("change", "0 grant or 1 withdraw")),
        };
        Ok(Self {
            organization,
            principal,
            change,
        })
    }

    fn organization(&self) -> Option<&OrganizationId> {
        Some(&self.organization)
    }

    fn subject_part(&self) -> String {
        format!("role/{}/{}", self.organization, self.principal)
    }
}
