//! Whether a record is signed by whom the table of the rule bundle asks for.

use std::collections::BTreeSet;

use super::checks::{APPROVALS_FIELD, approval_digest, check_approval, refuse, unknown_approver};
use super::{KeyOwner, KeyRow, PrincipalRow, Registry};
use crate::reason::{Reason, Violation};
use crate::statement::header::Header;
use crate::statement::key::Thumbprint;
use crate::system::{
    Action, Genesis, OrganizationId, Permissions, SignedBy, SystemKind, SystemRecord,
};
use crate::tlog::LeafIndex;

impl Registry {
    /// The key that may sign the entry at `index`. A key that only reads signs none.
    pub(super) fn signer(&self, kid: &Thumbprint, index: LeafIndex) -> Result<&KeyRow, Violation> {
        let row = self.key(kid).ok_or_else(|| {
            let rule = "a key that the log registers";
            refuse(Reason::UnknownKey, "header.kid", rule).found(kid)
        })?;
        if !row.is_valid_at(index) {
            let rule = "a key that is valid at this position of the log";
            return Err(refuse(Reason::RevokedKey, "header.kid", rule).found(kid));
        }
        if row.is_for_reading() {
            let rule = "a key for statements; this one is for reading alone";
            return Err(refuse(Reason::KeyPurpose, "header.kid", rule).found(kid));
        }
        Ok(row)
    }

    /// What speaks against the signer, and whoever approves.
    pub(super) fn check_signed_by(
        &self,
        action: Action,
        (index, header, record): (LeafIndex, &Header, &SystemRecord),
        (genesis, signer): (&Genesis, &KeyRow),
    ) -> Vec<Violation> {
        let not_permitted = |rule: &str| vec![refuse(Reason::NotPermitted, "header.kid", rule)];
        let approved = |required| {
            if matches!(signer.owner, KeyOwner::Operator { .. }) {
                self.check_approvals((index, header, record), signer, required)
            } else {
                not_permitted("an operator signs")
            }
        };
        match Permissions::v1().signed_by(action) {
            Some(SignedBy::AllOperators) => approved(genesis.operators.len() as u64),
            Some(SignedBy::Operators) => approved(genesis.operators_required),
            Some(SignedBy::Operator) => approved(1),
            Some(SignedBy::Service) if signer.owner == KeyOwner::Service => Vec::new(),
            Some(SignedBy::Service) => not_permitted("the service key signs"),
            Some(SignedBy::Administrator) => {
                let checked = self.check_administrator(index, (action, record), signer);
                checked.err().into_iter().collect()
            }
            None => not_permitted("something that a registry statement does"),
        }
    }

    /// As many operators as required stand behind the record: its signer, who is one, and approvals.
    fn check_approvals(
        &self,
        (index, header, record): (LeafIndex, &Header, &SystemRecord),
        signer: &KeyRow,
        required: u64,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut behind = BTreeSet::from([signer.key.thumbprint()]);
        let digest = approval_digest(header, &record.encode_unapproved());
        for approval in record.approvals() {
            let operator = self
                .key_at(&approval.operator, index)
                .filter(|row| matches!(row.owner, KeyOwner::Operator { .. }))
                .ok_or_else(|| unknown_approver(approval.operator));
            let checked = operator
                .and_then(|operator| check_approval(&operator.key, &digest, &approval.signature));
            match checked {
                Ok(()) => {
                    behind.insert(approval.operator);
                }
                Err(violation) => found.push(violation),
            }
        }
        let count = behind.len() as u64;
        // Whoever is wrong has been named; that too few are left follows from it.
        if found.is_empty() && count < required {
            let rule = format!("{required} operators stand behind it");
            found.push(refuse(Reason::TooFewOperators, APPROVALS_FIELD, rule).found(count));
        }
        found
    }

    /// An administrator of the organisation that the record is of signs, and the organisation is
    /// not suspended, or the record only takes a right away.
    fn check_administrator(
        &self,
        index: LeafIndex,
        (action, record): (Action, &SystemRecord),
        signer: &KeyRow,
    ) -> Result<(), Violation> {
        let administrator = self.administrator(index, signer);
        let organization = record.organization();
        let (Some(administrator), Some(organization)) = (administrator, organization) else {
            let rule = "an administrator of the organisation signs";
            return Err(refuse(Reason::NotPermitted, "header.kid", rule));
        };
        if administrator.organization != *organization {
            return Err(foreign(record.kind(), organization));
        }
        let must_wait = !Permissions::v1().while_suspended(action);
        if must_wait && self.is_suspended_at(organization, index) {
            return Err(suspended(organization));
        }
        Ok(())
    }

    /// The principal behind the key, where it administers its organisation at `index`.
    fn administrator(&self, index: LeafIndex, signer: &KeyRow) -> Option<&PrincipalRow> {
        let owner = signer.principal()?;
        let history = self.history(&owner.organization, &owner.principal)?;
        history.at(index).filter(|row| row.is_administrator())
    }
}

/// Someone administers another organisation than the one that the record is of.
fn foreign(kind: SystemKind, organization: &OrganizationId) -> Violation {
    if kind == SystemKind::Engagement {
        let rule = "an organisation lets others read its own records alone";
        return refuse(Reason::ForeignRecords, "payload.organization", rule).found(organization);
    }
    let rule = "an administrator of the organisation signs";
    refuse(Reason::NotPermitted, "header.kid", rule)
}

pub(super) fn suspended(organization: &OrganizationId) -> Violation {
    let rule = "an organisation that the operators have not suspended";
    refuse(Reason::OrganizationSuspended, "header.iss", rule).found(organization)
}
