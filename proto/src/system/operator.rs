//! `ledger.operator`: operators admit another operator, give one a new key, or take one's key back.

use crate::limits::OPERATOR_NAME_BYTES_MAX;
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::principal::{NewKey, RevocationReason, read_reason};

/// A change of who operates the ledger. How many must agree stays as genesis says.
///
/// CBOR map: 1 change (0 admit, 1 revoke, 2 rotate), 2 name (as in genesis, 1 to 63 bytes); for an
/// admission and a rotation also 3 key (32 bytes) and 4 proof of possession (64 bytes) over the
/// subject of the record; for a revocation 5 reason; 23 approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRecord {
    /// What people call the operator: a function, not a person.
    pub name: String,
    /// What changes.
    pub change: OperatorChange,
    /// Of the other operators.
    pub approvals: Vec<Approval>,
}

/// What an [`OperatorRecord`] does. A key is registered once, for ever, and so is a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorChange {
    /// One more operator.
    Admit(NewKey),
    /// The operator signs and approves nothing behind this record.
    Revoke(RevocationReason),
    /// Gives the operator another key; the one before is retired here.
    Rotate(NewKey),
}

impl OperatorChange {
    /// The key that the record registers.
    pub const fn new_key(&self) -> Option<&NewKey> {
        match self {
            Self::Admit(new) | Self::Rotate(new) => Some(new),
            Self::Revoke(_) => None,
        }
    }
}

impl Payload for OperatorRecord {
    const KIND: SystemKind = SystemKind::Operator;

    fn write(&self, map: &mut MapWriter) {
        let change = match &self.change {
            OperatorChange::Admit(_) => 0,
            OperatorChange::Revoke(_) => 1,
            OperatorChange::Rotate(_) => 2,
        };
        map.uint(1, change);
        map.text(2, &self.name);
        match &self.change {
            OperatorChange::Admit(new) | OperatorChange::Rotate(new) => {
                map.bytes(3, new.key.as_bytes());
                map.bytes(4, new.possession.as_bytes());
            }
            OperatorChange::Revoke(reason) => map.uint(5, reason.code()),
        }
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let change = map.required(1, "change")?.uint()?;
        let name = map.required(2, "name")?.text(1..=OPERATOR_NAME_BYTES_MAX)?;
        let change = match change {
            0 => OperatorChange::Admit(read_key(map)?),
            1 => OperatorChange::Revoke(read_reason(map, 5)?),
            2 => OperatorChange::Rotate(read_key(map)?),
            _ => return Err(map.wrong("change", "0 admit, 1 revoke or 2 rotate")),
        };
        let approvals = Approval::read_all(map)?;
        Ok(Self {
            name,
            change,
            approvals,
        })
    }

    fn subject_part(&self) -> String {
        operator_subject_part(&self.name)
    }

    fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        Self { approvals, ..self }
    }
}

/// The part of the subject of what is about the operator with this name.
pub(super) fn operator_subject_part(name: &str) -> String {
    format!("operator/{name}")
}

fn read_key(map: &mut MapReader<'_, '_>) -> Result<NewKey, PayloadError> {
    Ok(NewKey {
        key: map.required(3, "key")?.key()?,
        possession: map.required(4, "possession")?.signature()?,
    })
}
