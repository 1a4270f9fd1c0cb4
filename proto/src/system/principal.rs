//! `ledger.principal`: an administrator registers a principal, gives it a new key, or revokes it.

use crate::limits::ROLES_MAX;
use crate::statement::key::{PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{Holder, OrganizationId, PrincipalId, Role};

/// A change of one principal of one organisation.
///
/// CBOR map: 1 change (0 admit, 1 revoke), 2 organisation id, 3 principal id; for an admission also
/// 4 holder, 5 key (32 bytes), 6 proof of possession (64 bytes), 7 roles (array of text, ascending),
/// 8 agent (bool), and 9 acts for (principal id; exactly where agent is true).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The organisation, which must be that of the signing administrator.
    pub organization: OrganizationId,
    /// The principal.
    pub principal: PrincipalId,
    /// What changes.
    pub change: PrincipalChange,
}

/// What a [`Principal`] record does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalChange {
    /// Registers the principal, or replaces its key, holder and roles: the key that it had before
    /// is retired at this position of the log. A key is registered once, for ever.
    Admit(Box<Admission>),
    /// Retires the principal's key at this position of the log.
    Revoke,
}

/// What an admitted principal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Who stands behind the principal.
    pub holder: Holder,
    /// The principal's key.
    pub key: PublicKey,
    /// By that key over the subject of the principal.
    pub possession: Signature,
    /// Strictly ascending.
    pub roles: Vec<Role>,
    /// For an AI agent, the principal for whom it acts; absent for people and processes.
    pub acts_for: Option<PrincipalId>,
}

impl Admission {
    /// Whether the principal is an AI agent, which may record but never approve.
    pub const fn is_agent(&self) -> bool {
        self.acts_for.is_some()
    }
}

impl Payload for Principal {
    const KIND: SystemKind = SystemKind::Principal;

    fn write(&self, map: &mut MapWriter) {
        map.uint(1, u64::from(self.change == PrincipalChange::Revoke));
        map.text(2, self.organization.as_str());
        map.text(3, self.principal.as_str());
        if let PrincipalChange::Admit(admission) = &self.change {
            map.text(4, admission.holder.as_str());
            map.bytes(5, admission.key.as_bytes());
            map.bytes(6, admission.possession.as_bytes());
            map.list(7, &admission.roles, |encoder, role| {
                encoder.text(role.as_str());
            });
            map.item(8, |encoder| {
                encoder.boolean(admission.is_agent());
            });
            if let Some(principal) = &admission.acts_for {
                map.text(9, principal.as_str());
            }
        }
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let change = map.required(1, "change")?.uint()?;
        let organization = map
            .required(2, "organization")?
            .parsed(OrganizationId::new)?;
        let principal = map.required(3, "principal")?.parsed(PrincipalId::new)?;
        let change = match change {
            0 => PrincipalChange::Admit(Box::new(read_admission(map)?)),
            1 => PrincipalChange::Revoke,
            _ => return Err(map.wrong("change", "0 admit or 1 revoke")),
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
        format!("principal/{}/{}", self.organization, self.principal)
    }
}

fn read_admission(map: &mut MapReader<'_, '_>) -> Result<Admission, PayloadError> {
    let holder = map.required(4, "holder")?.parsed(Holder::new)?;
    let key = map.required(5, "key")?.key()?;
    let possession = map.required(6, "possession")?.signature()?;
    let roles = map.required(7, "roles")?;
    let roles = roles.list(0..=ROLES_MAX, |role| role.parsed(Role::new))?;
    if !roles.is_sorted_by(|a, b| a < b) {
        return Err(map.wrong("roles", "strictly ascending"));
    }
    let agent = map.required(8, "agent")?.boolean()?;
    let acts_for = map.optional(9, "acts_for");
    let acts_for = acts_for
        .map(|entry| entry.parsed(PrincipalId::new))
        .transpose()?;
    if agent != acts_for.is_some() {
        let rule = "an agent names for whom it acts, and only an agent does";
        return Err(map.wrong("acts_for", rule));
    }
    if agent && roles.iter().any(Role::is_administrator) {
        return Err(map.wrong("roles", "an agent is never an administrator"));
    }
    Ok(Admission {
        holder,
        key,
        possession,
        roles,
        acts_for,
    })
}
