//! `ledger.policy`: the next pair of policies, naming the pair that it replaces.

use sha2::{Digest, Sha256};

use crate::limits::POLICY_TEXT_BYTES_MAX;
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};

/// Two C2SP `tlog-policy` texts over the same keys.
///
/// Both are kept verbatim; that each is a policy for this log is checked when the record is
/// registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTexts {
    /// What every published head satisfies: nodes only.
    pub publish: String,
    /// What verifiers get: it may ask for external witnesses as well.
    pub trust: String,
}

impl PolicyTexts {
    /// Names the pair: SHA-256(SHA-256(publish) | SHA-256(trust)).
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(Sha256::digest(self.publish.as_bytes()));
        hasher.update(Sha256::digest(self.trust.as_bytes()));
        hasher.finalize().into()
    }
}

/// A change of policy. The head that switches satisfies both the old and the new policy, so that a
/// verifier with an old file can walk to the newest.
///
/// CBOR map: 1 digest of the predecessor (32 bytes), 2 publish, 3 trust, 23 approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// [`PolicyTexts::digest`] of the pair in force before.
    pub predecessor: [u8; 32],
    /// The pair in force from the first head that covers this record.
    pub texts: PolicyTexts,
    /// Of the other operators.
    pub approvals: Vec<Approval>,
}

impl Payload for PolicyChange {
    const KIND: SystemKind = SystemKind::Policy;

    fn write(&self, map: &mut MapWriter) {
        map.bytes(1, &self.predecessor);
        map.text(2, &self.texts.publish);
        map.text(3, &self.texts.trust);
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        Ok(Self {
            predecessor: map.required(1, "predecessor")?.digest()?,
            texts: PolicyTexts {
                publish: map
                    .required(2, "publish")?
                    .text(1..=POLICY_TEXT_BYTES_MAX)?,
                trust: map.required(3, "trust")?.text(1..=POLICY_TEXT_BYTES_MAX)?,
            },
            approvals: Approval::read_all(map)?,
        })
    }

    fn subject_part(&self) -> String {
        "policy".to_owned()
    }

    fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        Self { approvals, ..self }
    }
}
