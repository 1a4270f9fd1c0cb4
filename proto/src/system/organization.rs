//! `ledger.organization`: an operator registers an organisation with its first administrator; the
//! operators suspend it and resume it.

use crate::statement::key::{PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{Holder, OrganizationId, PrincipalId};

/// A change of one organisation.
///
/// CBOR map: 1 organisation id; for a registration 2 principal id, 3 holder, 4 key (32 bytes), 5
/// proof of possession (64 bytes); otherwise 6 change (1 suspend, 2 resume) and 23 approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// The organisation.
    pub organization: OrganizationId,
    /// What changes.
    pub change: OrganizationChange,
}

/// What an [`Organization`] record does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationChange {
    /// Registers it with the key of its first administrator. Every later principal is registered by
    /// an administrator of the organisation, never by an operator.
    Register(Box<FirstAdministrator>),
    /// Nothing that it signs is logged behind this position; what it has logged can be read.
    Suspend {
        /// Of the other operators.
        approvals: Vec<Approval>,
    },
    /// It signs again.
    Resume {
        /// Of the other operators.
        approvals: Vec<Approval>,
    },
}

/// Who administers a new organisation: its first principal, whose one role is administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAdministrator {
    /// The principal.
    pub administrator: PrincipalId,
    /// Who stands behind that principal.
    pub holder: Holder,
    /// The administrator's key.
    pub key: PublicKey,
    /// By that key over the subject of the principal, see [`crate::statement::key`].
    pub possession: Signature,
}

impl Organization {
    /// The record that registers an organisation.
    pub fn register(organization: OrganizationId, first: FirstAdministrator) -> Self {
        let change = OrganizationChange::Register(Box::new(first));
        Self {
            organization,
            change,
        }
    }
}

impl Payload for Organization {
    const KIND: SystemKind = SystemKind::Organization;

    fn write(&self, map: &mut MapWriter) {
        map.text(1, self.organization.as_str());
        match &self.change {
            OrganizationChange::Register(first) => {
                map.text(2, first.administrator.as_str());
                map.text(3, first.holder.as_str());
                map.bytes(4, first.key.as_bytes());
                map.bytes(5, first.possession.as_bytes());
            }
            OrganizationChange::Suspend { .. } => map.uint(6, 1),
            OrganizationChange::Resume { .. } => map.uint(6, 2),
        }
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let organization = map
            .required(1, "organization")?
            .parsed(OrganizationId::new)?;
        let change = match map.optional(6, "change") {
            None => OrganizationChange::Register(Box::new(read_first(map)?)),
            Some(change) => match change.uint()? {
                1 => OrganizationChange::Suspend {
                    approvals: Approval::read_all(map)?,
                },
                2 => OrganizationChange::Resume {
                    approvals: Approval::read_all(map)?,
                },
                _ => return Err(change.wrong("1 suspend or 2 resume; absent to register")),
            },
        };
        Ok(Self {
            organization,
            change,
        })
    }

    fn subject_part(&self) -> String {
        format!("org/{}", self.organization)
    }

    fn approvals(&self) -> &[Approval] {
        match &self.change {
            OrganizationChange::Register(_) => &[],
            OrganizationChange::Suspend { approvals }
            | OrganizationChange::Resume { approvals } => approvals,
        }
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        let change = match self.change {
            OrganizationChange::Register(first) => OrganizationChange::Register(first),
            OrganizationChange::Suspend { .. } => OrganizationChange::Suspend { approvals },
            OrganizationChange::Resume { .. } => OrganizationChange::Resume { approvals },
        };
        Self { change, ..self }
    }
}

fn read_first(map: &mut MapReader<'_, '_>) -> Result<FirstAdministrator, PayloadError> {
    Ok(FirstAdministrator {
        administrator: map.required(2, "administrator")?.parsed(PrincipalId::new)?,
        holder: map.required(3, "holder")?.parsed(Holder::new)?,
        key: map.required(4, "key")?.key()?,
        possession: map.required(5, "possession")?.signature()?,
    })
}
