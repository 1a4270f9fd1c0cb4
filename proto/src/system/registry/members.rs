//! Organisations, their principals and roles, and whom they let read.

use super::checks::{check_possession, key_in_use, refuse};
use super::{Extent, PrincipalHistory, Registry};
use crate::limits::ROLES_MAX;
use crate::reason::{Reason, Violation};
use crate::statement::header::EvidenceSubject;
use crate::statement::key::{PublicKey, Signature};
use crate::system::{
    Engagement, EngagementChange, Genesis, Grant, KeyPurpose, Organization, OrganizationChange,
    OrganizationId, Principal, PrincipalChange, PrincipalId, RoleChange, RoleRecord,
    possession_subject,
};

/// A key that a record brings, with its proof, and whose it is to be.
struct Brought<'a> {
    key: &'a PublicKey,
    possession: &'a Signature,
    owner: (&'a OrganizationId, &'a PrincipalId),
    purpose: KeyPurpose,
}

impl Registry {
    pub(super) fn check_organization(
        &self,
        record: &Organization,
        genesis: &Genesis,
    ) -> Vec<Violation> {
        const FIELD: &str = "payload.organization";
        let known = self.organization(&record.organization);
        let suspended = known.map(|row| row.suspended_at().is_some());
        let is_whole = self.extent == Extent::Whole;
        match &record.change {
            OrganizationChange::Register(first) => {
                let mut found = Vec::new();
                if known.is_some() {
                    let rule = "an organisation is registered once";
                    found.push(refuse(Reason::IdConflict, FIELD, rule));
                }
                let brought = Brought {
                    key: &first.key,
                    possession: &first.possession,
                    owner: (&record.organization, &first.administrator),
                    purpose: KeyPurpose::Sign,
                };
                found.extend(self.check_new_key(&brought, genesis));
                found
            }
            OrganizationChange::Suspend { .. } if is_whole && suspended != Some(false) => {
                let rule = "an organisation that is not suspended";
                vec![refuse(Reason::NotFound, FIELD, rule)]
            }
            OrganizationChange::Resume { .. } if is_whole && suspended != Some(true) => {
                let rule = "an organisation that is suspended";
                vec![refuse(Reason::NotFound, FIELD, rule)]
            }
            OrganizationChange::Suspend { .. } | OrganizationChange::Resume { .. } => Vec::new(),
        }
    }

    pub(super) fn check_principal(&self, record: &Principal, genesis: &Genesis) -> Vec<Violation> {
        let owner = (&record.organization, &record.principal);
        let brought = |key, possession, purpose| Brought {
            key,
            possession,
            owner,
            purpose,
        };
        match &record.change {
            PrincipalChange::Admit(admission) => {
                let mut found = Vec::new();
                if self.history(owner.0, owner.1).is_some() {
                    let rule = "a principal is registered once; it gets new keys and roles by \
                                statements of their own";
                    found.push(refuse(Reason::IdConflict, "payload.principal", rule));
                }
                let (key, possession) = (&admission.key, &admission.possession);
                let brought = brought(key, possession, KeyPurpose::Sign);
                found.extend(self.check_new_key(&brought, genesis));
                found
            }
            PrincipalChange::Rotate(new) => {
                let mut found: Vec<_> = self.active(owner).err().into_iter().collect();
                let brought = brought(&new.key, &new.possession, KeyPurpose::Sign);
                found.extend(self.check_new_key(&brought, genesis));
                found
            }
            PrincipalChange::ReadKey(new) => {
                let mut found: Vec<_> = self.active(owner).err().into_iter().collect();
                let brought = brought(&new.key, &new.possession, KeyPurpose::Read);
                found.extend(self.check_new_key(&brought, genesis));
                found
            }
            PrincipalChange::EndReadKey => self
                .check_end_of_read_key(owner)
                .err()
                .into_iter()
                .collect(),
            PrincipalChange::Revoke(_) => match self.active(owner) {
                Err(violation) => vec![violation],
                Ok(_) => self
                    .check_last_administrator(owner)
                    .err()
                    .into_iter()
                    .collect(),
            },
        }
    }

    pub(super) fn check_role(&self, record: &RoleRecord) -> Vec<Violation> {
        let owner = (&record.organization, &record.principal);
        let history = match self.active(owner) {
            Ok(history) => history,
            Err(violation) => return vec![violation],
        };
        let Some(row) = history.and_then(PrincipalHistory::newest) else {
            return Vec::new();
        };
        let wrong = |rule: &str| vec![refuse(Reason::InvalidField, "payload.role", rule)];
        match &record.change {
            RoleChange::Grant(role) if row.roles.contains(role) => {
                wrong("a role that the principal does not hold")
            }
            RoleChange::Grant(role) if role.is_administrator() && row.is_agent() => {
                wrong("an agent is never an administrator")
            }
            RoleChange::Grant(_) if row.roles.len() >= ROLES_MAX => {
                wrong(&format!("a principal holds at most {ROLES_MAX} roles"))
            }
            RoleChange::Withdraw(role)
                if self.extent == Extent::Whole && !row.roles.contains(role) =>
            {
                let rule = "a role that the principal holds";
                vec![refuse(Reason::NotFound, "payload.role", rule).found(role)]
            }
            RoleChange::Withdraw(role) if role.is_administrator() => self
                .check_last_administrator(owner)
                .err()
                .into_iter()
                .collect(),
            RoleChange::Grant(_) | RoleChange::Withdraw(_) => Vec::new(),
        }
    }

    pub(super) fn check_engagement(&self, record: &Engagement) -> Vec<Violation> {
        let known = self.engagement(&record.organization, &record.engagement);
        match &record.change {
            EngagementChange::Grant(grant) => {
                let mut found = Vec::new();
                if known.is_some() {
                    let rule = "the id of an engagement is never used twice";
                    found.push(refuse(Reason::IdConflict, "payload.engagement", rule));
                }
                found.extend(self.check_grant(&record.organization, grant));
                found
            }
            EngagementChange::End => {
                let is_there = known.is_some_and(|row| row.ended_at.is_none());
                let rule = "an engagement that was granted and not ended";
                let refused = refuse(Reason::NotFound, "payload.engagement", rule);
                let unknown = self.extent == Extent::Whole && !is_there;
                unknown.then_some(refused).into_iter().collect()
            }
        }
    }

    fn check_grant(&self, organization: &OrganizationId, grant: &Grant) -> Vec<Violation> {
        let mut found = Vec::new();
        if grant.body == *organization {
            let rule = "another organisation";
            found.push(refuse(Reason::InvalidField, "payload.body", rule));
        } else if self.extent == Extent::Whole && self.organization(&grant.body).is_none() {
            let rule = "an organisation of the ledger";
            found.push(refuse(Reason::NotFound, "payload.body", rule).found(&grant.body));
        }
        let is_own = |subject: &&String| {
            EvidenceSubject::parse(subject)
                .is_some_and(|about| about.organization == organization.as_str())
        };
        let mut subjects = grant.subjects.iter().flatten();
        if let Some(foreign) = subjects.find(|subject| !is_own(subject)) {
            let rule = "an organisation lets others read its own records alone";
            let violation = refuse(Reason::ForeignRecords, "payload.subjects", rule);
            found.push(violation.found(foreign));
        }
        found
    }

    /// The principal, which is registered and not revoked. On a selection it may be missing.
    fn active(
        &self,
        (organization, principal): (&OrganizationId, &PrincipalId),
    ) -> Result<Option<&PrincipalHistory>, Violation> {
        let history = self.history(organization, principal);
        let is_active = history.is_some_and(|history| history.revoked.is_none());
        if self.extent == Extent::Whole && !is_active {
            let rule = "an active principal of the organisation";
            return Err(refuse(Reason::NotFound, "payload.principal", rule).found(principal));
        }
        Ok(history)
    }

    fn check_end_of_read_key(
        &self,
        owner: (&OrganizationId, &PrincipalId),
    ) -> Result<(), Violation> {
        let read_keys = self
            .active(owner)?
            .map_or(&[][..], |history| history.read_keys());
        let newest = read_keys.last().and_then(|kid| self.key(kid));
        if self.extent == Extent::Whole && newest.is_none_or(|row| row.retired_at.is_some()) {
            let rule = "a principal that has a key for reading";
            return Err(refuse(Reason::NotFound, "payload.principal", rule));
        }
        Ok(())
    }

    /// Somebody else administers the organisation, or this principal does not; not judged on a
    /// selection, where the others may be missing.
    fn check_last_administrator(
        &self,
        (organization, id): (&OrganizationId, &PrincipalId),
    ) -> Result<(), Violation> {
        let mut administrators = self
            .principals
            .iter()
            .filter(|((of, _), history)| of == organization && history.is_administrator());
        let is_one = self
            .history(organization, id)
            .is_some_and(PrincipalHistory::is_administrator);
        let another = administrators.any(|((_, other), _)| other != id);
        if self.extent == Extent::Selection || !is_one || another {
            return Ok(());
        }
        let rule = "an organisation keeps an administrator";
        Err(refuse(Reason::LastAdministrator, "payload.principal", rule).found(id))
    }

    fn check_new_key(&self, brought: &Brought<'_>, genesis: &Genesis) -> Vec<Violation> {
        let in_use = self.key(&brought.key.thumbprint()).is_some();
        let in_use = in_use.then(|| key_in_use("payload.key"));
        let subject = possession_subject(&genesis.origin, brought.owner, brought.purpose);
        let proof = (brought.key, brought.possession);
        let unproven = check_possession(proof, genesis, &subject).err();
        in_use.into_iter().chain(unproven).collect()
    }
}
