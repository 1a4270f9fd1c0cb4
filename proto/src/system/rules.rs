//! `ledger.rules`: the next rule bundle, by digest.

use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};

/// Activates a rule bundle from this position of the log on. Which earlier bundles' statements are
/// still accepted stands in the bundle itself.
///
/// CBOR map: 1 digest of the predecessor (32 bytes), 2 digest of the bundle (32 bytes), 23
/// approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The bundle active before.
    pub predecessor: [u8; 32],
    /// The bundle active from here on.
    pub bundle: [u8; 32],
    /// Of the other operators.
    pub approvals: Vec<Approval>,
}

impl Payload for Rules {
    const KIND: SystemKind = SystemKind::Rules;

    fn write(&self, map: &mut MapWriter) {
        map.bytes(1, &self.predecessor);
        map.bytes(2, &self.bundle);
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        Ok(Self {
            predecessor: map.required(1, "predecessor")?.digest()?,
            bundle: map.required(2, "bundle")?.digest()?,
            approvals: Approval::read_all(map)?,
        })
    }

    fn subject_part(&self) -> String {
        "rules".to_owned()
    }

    fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        Self { approvals, ..self }
    }
}
