//! `ledger.principal`: an administrator registers a principal, gives it new keys, or revokes it.

use crate::limits::ROLES_MAX;
use crate::statement::key::{PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{Holder, OrganizationId, PrincipalId, Role};

/// A change of one principal of one organisation.
///
/// CBOR map: 1 change (0 admit, 1 revoke, 2 rotate, 3 key for reading, 4 end of the key for reading),
/// 2 organisation id, 3 principal id; for an admission also 4 holder, 5 key (32 bytes), 6 proof of
/// possession (64 bytes), 7 roles (array of text, ascending), 8 agent (bool), and 9 acts for
/// (principal id; exactly where agent is true); for a rotation and a key for reading 5 and 6; for a
/// revocation 10 reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The organisation, which must be that of the signing administrator.
    pub organization: OrganizationId,
    /// The principal.
    pub principal: PrincipalId,
    /// What changes.
    pub change: PrincipalChange,
}

/// What a [`Principal`] record does. A key is registered once, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalChange {
    /// Registers the principal. An id is never used twice, by nobody else and not after a
    /// revocation: who signed under it once is who it names for ever.
    Admit(Box<Admission>),
    /// Retires the principal's keys at this position of the log.
    Revoke(RevocationReason),
    /// Gives the principal another key to sign with; the one before is retired here.
    Rotate(NewKey),
    /// Gives the principal a key that signs read tokens and nothing else; one before is retired
    /// here. While there is one, the key for statements signs no read tokens.
    ReadKey(NewKey),
    /// Retires the key for reading.
    EndReadKey,
}

/// A key with the proof that its holder wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: PublicKey,
    /// By that key over what it is to be, see [`KeyPurpose`].
    pub possession: Signature,
}

/// What a principal's key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// Statements, and read tokens while the principal has no key for reading. Its proof of
    /// possession is over the subject of the principal.
    Sign,
    /// Read tokens alone. Its proof of possession is over the subject of the principal and `/read`.
    Read,
}

/// Why a principal or an operator was revoked: for whoever reads its earlier statements. No free text, so no
/// personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocationReason {
    /// Somebody else may have the key: look through what it signed of late.
    KeyCompromised,
    /// Nobody has the key any more.
    KeyLost,
    /// The person has left the organisation, or has another task.
    Left,
    /// The process or agent is out of service.
    OutOfService,
    /// It should not have been registered.
    Mistake,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::KeyCompromised,
        Self::KeyLost,
        Self::Left,
        Self::OutOfService,
        Self::Mistake,
    ];

    /// The number in the payload, from 1.
    pub const fn code(self) -> u64 {
        match self {
            Self::KeyCompromised => 1,
            Self::KeyLost => 2,
            Self::Left => 3,
            Self::OutOfService => 4,
            Self::Mistake => 5,
        }
    }

    /// The word for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyCompromised => "key-compromised",
            Self::KeyLost => "key-lost",
            Self::Left => "left",
            Self::OutOfService => "out-of-service",
            Self::Mistake => "mistake",
        }
    }
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
        let change = match &self.change {
            PrincipalChange::Admit(_) => 0,
            PrincipalChange::Revoke(_) => 1,
            PrincipalChange::Rotate(_) => 2,
            PrincipalChange::ReadKey(_) => 3,
            PrincipalChange::EndReadKey => 4,
        };
        map.uint(1, change);
        map.text(2, self.organization.as_str());
        map.text(3, self.principal.as_str());
        match &self.change {
            PrincipalChange::Admit(admission) => write_admission(map, admission),
            PrincipalChange::Revoke(reason) => map.uint(10, reason.code()),
            PrincipalChange::Rotate(new) | PrincipalChange::ReadKey(new) => {
                map.bytes(5, new.key.as_bytes());
                map.bytes(6, new.possession.as_bytes());
            }
            PrincipalChange::EndReadKey => {}
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
            1 => PrincipalChange::Revoke(read_reason(map, 10)?),
            2 => PrincipalChange::Rotate(read_key(map)?),
            3 => PrincipalChange::ReadKey(read_key(map)?),
            4 => PrincipalChange::EndReadKey,
            _ => {
                let rule = "0 admit, 1 revoke, 2 rotate, 3 read key or 4 end of the read key";
                return Err(map.wrong("change", rule));
            }
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

fn write_admission(map: &mut MapWriter, admission: &Admission) {
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

fn read_key(map: &mut MapReader<'_, '_>) -> Result<NewKey, PayloadError> {
    Ok(NewKey {
        key: map.required(5, "key")?.key()?,
        possession: map.required(6, "possession")?.signature()?,
    })
}

/// The reason of a revocation, at this key of the map.
pub(super) fn read_reason(
    map: &mut MapReader<'_, '_>,
    key: i64,
) -> Result<RevocationReason, PayloadError> {
    let code = map.required(key, "reason")?.uint()?;
    let mut reasons = RevocationReason::ALL.into_iter();
    reasons
        .find(|reason| reason.code() == code)
        .ok_or_else(|| map.wrong("reason", "1 to 5, see the list of reasons"))
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
