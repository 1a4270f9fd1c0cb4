//! Which system record is accepted at which position, and what it changes.

use std::collections::BTreeSet;

use super::checks::{
    check_approval, check_genesis, check_header, check_node_name, check_policies, check_possession,
    key_in_use, must_be_operator, refuse, unknown_approver, verify,
};
use super::record::At;
use super::{Extent, KeyOwner, KeyRow, Registry};
use crate::reason::{Reason, Violation, Violations};
use crate::statement::UnverifiedStatement;
use crate::statement::key::{ApprovalDigest, PublicKey, Signature, Thumbprint};
use crate::system::{
    Genesis, Keys, Node, NodeChange, Organization, OrganizationId, Payload, PolicyChange,
    Principal, PrincipalChange, PrincipalId, Role, Rules, SystemKind, SystemRecord,
    principal_subject, subject,
};
use crate::tlog::LeafIndex;

/// Where the first receipt keys stand.
const KEYS_INDEX: LeafIndex = LeafIndex(1);

impl Registry {
    /// Takes in the system record at `index`, or says everything that is wrong with it and changes
    /// nothing.
    ///
    /// Everything is judged here: payload, signature, header, who may sign it, proofs of possession
    /// and approvals. Records are applied in the order of the log.
    pub fn apply(
        &mut self,
        index: LeafIndex,
        statement: &UnverifiedStatement,
    ) -> Result<SystemRecord, Violations> {
        let record = self.check(index, statement)?;
        let signer = statement.header().key;
        self.record(At { index, signer }, &record);
        Ok(record)
    }

    /// What [`Registry::apply`] would say, without changing anything.
    pub fn check(
        &self,
        index: LeafIndex,
        statement: &UnverifiedStatement,
    ) -> Result<SystemRecord, Violations> {
        if self.last.is_some_and(|last| index <= last) {
            let rule = "system records are applied in the order of the log";
            return Err(refuse(Reason::InvalidRequest, "index", rule).into());
        }
        let mut found = Vec::new();
        let header = statement.header();
        let kind = SystemKind::of(&header.content_type);
        if kind.is_none() {
            let rule = "a system record of version 1";
            found.push(
                refuse(Reason::UnknownKind, "header.content_type", rule)
                    .found(&header.content_type),
            );
        }
        let record = match kind.map(|kind| SystemRecord::decode(kind, statement.payload())) {
            Some(Ok(record)) => Some(record),
            Some(Err(error)) => {
                found.push(error.into());
                None
            }
            None => None,
        };
        if let Some(SystemRecord::Genesis(genesis)) = &record {
            found.extend(check_genesis(index, genesis, statement).err());
        } else {
            self.check_record(index, (record.as_ref(), statement), &mut found);
        }
        match record {
            Some(record) if found.is_empty() => Ok(record),
            _ => Err(found.into()),
        }
    }

    /// Everything that is wrong with a statement behind genesis, whose record is missing where its
    /// payload is malformed.
    fn check_record(
        &self,
        index: LeafIndex,
        (record, statement): (Option<&SystemRecord>, &UnverifiedStatement),
        found: &mut Vec<Violation>,
    ) {
        let Some(genesis) = self.genesis.as_ref() else {
            let rule = "the first entry is genesis";
            found.push(refuse(Reason::NotPermitted, "statement", rule));
            return;
        };
        let header = statement.header();
        if !genesis.algorithms.contains(&header.algorithm.id()) {
            let rule = "an algorithm that genesis accepts";
            found.push(refuse(Reason::UnknownAlgorithm, "header.alg", rule));
        }
        let signer = self.signer(&header.key, index);
        let signer = signer.and_then(|signer| verify(statement, &signer.key).map(|()| signer));
        found.extend(signer.as_ref().err().cloned());
        found.extend(check_header(header, &genesis.origin, record));
        // What is registered is told to those alone who have signed the question.
        if let (Ok(signer), Some(record)) = (signer, record) {
            found.extend(self.check_content(index, record, (genesis, signer)));
        }
    }

    fn check_content(
        &self,
        index: LeafIndex,
        record: &SystemRecord,
        (genesis, signer): (&Genesis, &KeyRow),
    ) -> Vec<Violation> {
        match record {
            SystemRecord::Genesis(_) => {
                let rule = "genesis is entry 0 alone";
                vec![refuse(Reason::NotPermitted, "statement", rule)]
            }
            SystemRecord::Keys(keys) => self.check_keys(index, keys, (genesis, signer)),
            SystemRecord::Policy(policy) => {
                let mut found = self.check_approved(index, policy, (genesis, signer));
                found.extend(self.check_policy(policy, genesis));
                found
            }
            SystemRecord::Rules(rules) => {
                let mut found = self.check_approved(index, rules, (genesis, signer));
                found.extend(self.check_rules(rules).err());
                found
            }
            SystemRecord::Node(node) => {
                let mut found = self.check_approved(index, node, (genesis, signer));
                found.extend(self.check_node(node, genesis));
                found
            }
            SystemRecord::Organization(organization) => {
                let mut found: Vec<Violation> =
                    must_be_operator(signer).err().into_iter().collect();
                found.extend(self.check_organization(organization, genesis));
                found
            }
            SystemRecord::Principal(principal) => {
                self.check_principal(principal, (genesis, signer))
            }
        }
    }

    /// The key that may sign the entry at `index`.
    pub(super) fn signer(&self, kid: &Thumbprint, index: LeafIndex) -> Result<&KeyRow, Violation> {
        let row = self.key(kid).ok_or_else(|| {
            refuse(
                Reason::UnknownKey,
                "header.kid",
                "a key that the log registers",
            )
            .found(kid)
        })?;
        if row.is_valid_at(index) {
            return Ok(row);
        }
        let rule = "a key that is valid at this position of the log";
        Err(refuse(Reason::RevokedKey, "header.kid", rule).found(kid))
    }

    /// As many operators as genesis asks for stand behind the record: its signer and approvals.
    fn check_approved(
        &self,
        index: LeafIndex,
        record: &impl Payload,
        (genesis, signer): (&Genesis, &KeyRow),
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut behind = BTreeSet::new();
        match must_be_operator(signer) {
            Ok(()) => {
                behind.insert(signer.key.thumbprint());
            }
            Err(violation) => found.push(violation),
        }
        let digest = ApprovalDigest::of(&record.encode_unapproved());
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
        if found.is_empty() && count < genesis.operators_required {
            let rule = format!("{} operators stand behind it", genesis.operators_required);
            found.push(refuse(Reason::NotPermitted, "payload.approvals", rule).found(count));
        }
        found
    }

    fn check_keys(
        &self,
        index: LeafIndex,
        keys: &Keys,
        (genesis, signer): (&Genesis, &KeyRow),
    ) -> Vec<Violation> {
        let subject = subject(&genesis.origin, &keys.subject_part());
        let possessions = keys.receipt.iter().filter_map(|receipt| {
            check_possession(&receipt.key, genesis, &subject, &receipt.possession).err()
        });
        let mut found: Vec<Violation> = possessions.collect();
        if index == KEYS_INDEX {
            if signer.owner != KeyOwner::Service {
                let rule = "the service key signs the keys record at index 1";
                found.push(refuse(Reason::NotPermitted, "header.kid", rule));
            }
            let is_of_genesis = matches!(keys.receipt.as_slice(),
                [only] if only.key == genesis.receipt_key);
            if !is_of_genesis {
                let rule = "exactly the receipt key of genesis";
                found.push(refuse(Reason::InvalidField, "payload.receipt", rule));
            }
            return found;
        }
        found.extend(self.check_approved(index, keys, (genesis, signer)));
        let in_use = keys.receipt.iter().any(|receipt| {
            self.key(&receipt.key.thumbprint())
                .is_some_and(|row| row.owner != KeyOwner::Receipt || row.retired_at.is_some())
        });
        if in_use {
            found.push(key_in_use("payload.receipt"));
        }
        found
    }

    fn check_policy(&self, change: &PolicyChange, genesis: &Genesis) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some((_, texts)) = self.policy()
            && texts.digest() != change.predecessor
        {
            let rule = "the digest of the policies in force";
            found.push(refuse(Reason::VersionConflict, "payload.predecessor", rule));
        }
        found.extend(check_policies(&change.texts, genesis));
        found
    }

    fn check_rules(&self, change: &Rules) -> Result<(), Violation> {
        let newest = self.rules.last_key_value().map(|(_, digest)| *digest);
        if newest == Some(change.predecessor) || self.extent == Extent::Selection {
            Ok(())
        } else {
            let rule = "the digest of the active rule bundle";
            Err(refuse(Reason::VersionConflict, "payload.predecessor", rule))
        }
    }

    fn check_node(&self, change: &Node, genesis: &Genesis) -> Vec<Violation> {
        let known = self.node(change.id());
        let mut found = Vec::new();
        match &change.change {
            NodeChange::Admit(node) => {
                if known.is_some() {
                    let rule = "node ids are never used twice";
                    found.push(refuse(Reason::IdConflict, "payload.id", rule));
                }
                let mut rows = self.nodes.values();
                if rows.any(|row| row.node.cosigner == node.cosigner) {
                    found.push(key_in_use("payload.cosigner"));
                }
                found.extend(check_node_name(node, &genesis.origin).err());
            }
            NodeChange::Remove(_) => {
                if self.extent == Extent::Whole && known.is_none_or(|row| row.removed_at.is_some())
                {
                    let rule = "a node of the cluster";
                    found.push(refuse(Reason::NotFound, "payload.id", rule));
                }
            }
        }
        found
    }

    fn check_organization(&self, record: &Organization, genesis: &Genesis) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.organizations.contains_key(&record.organization) {
            let rule = "an organisation is registered once";
            found.push(refuse(Reason::IdConflict, "payload.organization", rule));
        }
        let subject =
            principal_subject(&genesis.origin, &record.organization, &record.administrator);
        found.extend(self.check_new_key(&record.key, genesis, &subject, &record.possession));
        found
    }

    fn check_principal(
        &self,
        record: &Principal,
        (genesis, signer): (&Genesis, &KeyRow),
    ) -> Vec<Violation> {
        let allowed = matches!(&signer.owner, KeyOwner::Principal(principal)
            if principal.is_administrator() && principal.organization == record.organization);
        if !allowed {
            // Whoever administers nothing here learns nothing of who is registered.
            let rule = "an administrator of the organisation signs";
            return vec![refuse(Reason::NotPermitted, "header.kid", rule)];
        }
        let mut found = Vec::new();
        let administers = match &record.change {
            PrincipalChange::Admit(admission) => {
                let subject =
                    principal_subject(&genesis.origin, &record.organization, &record.principal);
                let (key, possession) = (&admission.key, &admission.possession);
                found.extend(self.check_new_key(key, genesis, &subject, possession));
                admission.roles.iter().any(Role::is_administrator)
            }
            PrincipalChange::Revoke => {
                let current = self.principal(&record.organization, &record.principal);
                if self.extent == Extent::Whole
                    && current.is_none_or(|row| row.retired_at.is_some())
                {
                    let rule = "an active principal of the organisation";
                    return vec![refuse(Reason::NotFound, "payload.principal", rule)];
                }
                false
            }
        };
        if !administers && self.is_last_administrator(&record.organization, &record.principal) {
            let rule = "an organisation keeps an administrator";
            found.push(refuse(Reason::NotPermitted, "payload.principal", rule));
        }
        found
    }

    /// Whether nobody else administers the organisation; not judged on a selection.
    fn is_last_administrator(&self, organization: &OrganizationId, id: &PrincipalId) -> bool {
        let another = self.principals().any(|row| {
            matches!(&row.owner, KeyOwner::Principal(principal)
                if principal.is_administrator()
                    && principal.organization == *organization
                    && principal.principal != *id)
                && row.retired_at.is_none()
        });
        self.extent == Extent::Whole && !another
    }

    fn check_new_key(
        &self,
        key: &PublicKey,
        genesis: &Genesis,
        subject: &str,
        possession: &Signature,
    ) -> Vec<Violation> {
        let in_use = self.key(&key.thumbprint()).is_some();
        let in_use = in_use.then(|| key_in_use("payload.key"));
        let unproven = check_possession(key, genesis, subject, possession).err();
        in_use.into_iter().chain(unproven).collect()
    }
}
