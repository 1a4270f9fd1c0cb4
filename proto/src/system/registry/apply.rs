//! Which system record is accepted at which position.

use super::Registry;
use super::checks::{APPROVALS_FIELD, check_genesis, check_header, refuse, verify};
use super::record::At;
use crate::reason::{Reason, Violation, Violations};
use crate::statement::UnverifiedStatement;
use crate::system::{Action, Genesis, SystemKind, SystemRecord};
use crate::tlog::LeafIndex;

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
        // What is registered is told to those alone who have signed the question, and may.
        if let (Ok(signer), Some(record)) = (signer, record) {
            let action = Action::of(record, index);
            let signed_by =
                self.check_signed_by(action, (index, header, record), (genesis, signer));
            let may_ask = signed_by.iter().all(is_about_approvals);
            found.extend(signed_by);
            if may_ask {
                found.extend(self.check_content(index, record, genesis));
            }
        }
    }

    /// Everything that is wrong with what a record of the right signer says.
    fn check_content(
        &self,
        index: LeafIndex,
        record: &SystemRecord,
        genesis: &Genesis,
    ) -> Vec<Violation> {
        match record {
            SystemRecord::Genesis(_) => {
                let rule = "genesis is entry 0 alone";
                vec![refuse(Reason::NotPermitted, "statement", rule)]
            }
            SystemRecord::Keys(keys) => self.check_keys(index, keys, genesis),
            SystemRecord::Policy(policy) => self.check_policy(index, policy, genesis),
            SystemRecord::Rules(rules) => self.check_rules(rules).err().into_iter().collect(),
            SystemRecord::Node(node) => self.check_node(node, genesis),
            SystemRecord::Organization(record) => self.check_organization(record, genesis),
            SystemRecord::Principal(record) => self.check_principal(record, genesis),
            SystemRecord::Role(record) => self.check_role(record),
            SystemRecord::Engagement(record) => self.check_engagement(record),
            SystemRecord::Access(record) => self.check_access(index, record),
            SystemRecord::Controls(record) => self.check_controls(record),
            SystemRecord::Operator(record) => self.check_operator(record, genesis),
        }
    }
}

/// Whether an operator has signed, but too few others approve.
fn is_about_approvals(violation: &Violation) -> bool {
    violation.field == APPROVALS_FIELD
}
