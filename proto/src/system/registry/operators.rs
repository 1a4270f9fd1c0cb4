//! Who operates the ledger: those of genesis, and what operators agreed on since.

use super::checks::{check_possession, key_in_use, refuse};
use super::record::At;
use super::{Extent, KeyOwner, KeyRow, Registry};
use crate::limits::OPERATORS_MAX;
use crate::reason::{Reason, Violation};
use crate::system::{Genesis, OperatorChange, OperatorRecord, Payload as _, subject};
use crate::tlog::LeafIndex;

impl Registry {
    /// The keys of operators that may sign the entry at `index`, with the names of their operators.
    pub fn operators_at(&self, index: LeafIndex) -> impl Iterator<Item = (&str, &KeyRow)> {
        self.operator_keys()
            .filter(move |(_, row)| row.is_valid_at(index))
    }

    /// Every key that an operator ever had, with the name of the operator.
    fn operator_keys(&self) -> impl Iterator<Item = (&str, &KeyRow)> {
        self.keys.values().filter_map(|row| match &row.owner {
            KeyOwner::Operator { name } => Some((name.as_str(), row)),
            KeyOwner::Service | KeyOwner::Receipt | KeyOwner::Log | KeyOwner::Principal(_) => None,
        })
    }

    pub(super) fn check_operator(
        &self,
        record: &OperatorRecord,
        genesis: &Genesis,
    ) -> Vec<Violation> {
        let is_known = self.operator_keys().any(|(name, _)| name == record.name);
        let active = self.operator_keys();
        let active = active.filter(|(_, row)| row.retired_at.is_none());
        let active: Vec<&str> = active.map(|(name, _)| name).collect();
        let count = active.len();
        let is_active = active.contains(&record.name.as_str());
        let mut found = Vec::new();
        match &record.change {
            OperatorChange::Admit(_) => {
                if is_known {
                    let rule = "the name of an operator is never used twice";
                    found
                        .push(refuse(Reason::IdConflict, "payload.name", rule).found(&record.name));
                }
                if self.extent == Extent::Whole && count >= OPERATORS_MAX {
                    let rule = format!("a ledger has at most {OPERATORS_MAX} operators");
                    found.push(refuse(Reason::InvalidField, "payload.name", rule).found(count));
                }
            }
            OperatorChange::Revoke(_) | OperatorChange::Rotate(_) => {
                if self.extent == Extent::Whole && !is_active {
                    let rule = "an operator of the ledger";
                    found.push(refuse(Reason::NotFound, "payload.name", rule).found(&record.name));
                }
            }
        }
        let is_last = count as u64 <= genesis.operators_required;
        let goes = matches!(record.change, OperatorChange::Revoke(_)) && is_active;
        if self.extent == Extent::Whole && goes && is_last {
            let rule = format!(
                "a ledger keeps as many operators as must agree, {}",
                genesis.operators_required
            );
            found.push(refuse(Reason::LastOperator, "payload.name", rule).found(&record.name));
        }
        if let Some(new) = record.change.new_key() {
            let in_use = self.key(&new.key.thumbprint()).is_some();
            found.extend(in_use.then(|| key_in_use("payload.key")));
            let subject = subject(&genesis.origin, &record.subject_part());
            found.extend(check_possession((&new.key, &new.possession), genesis, &subject).err());
        }
        found
    }

    pub(super) fn record_operator(&mut self, at: At, record: &OperatorRecord) {
        if !matches!(record.change, OperatorChange::Admit(_)) {
            let active = self
                .operator_keys()
                .filter(|(name, row)| *name == record.name && row.retired_at.is_none());
            let kids: Vec<_> = active.map(|(_, row)| row.key.thumbprint()).collect();
            self.retire_all(at, kids);
        }
        if let Some(new) = record.change.new_key() {
            let name = record.name.clone();
            self.put_key(at, &new.key, KeyOwner::Operator { name });
        }
    }
}
