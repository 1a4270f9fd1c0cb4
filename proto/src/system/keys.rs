//! `ledger.keys`: the keys that sign receipts.

use crate::limits::RECEIPT_KEYS_MAX;
use crate::statement::key::{PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};

/// The receipt keys in force from this position of the log on. The record at index 1 names exactly
/// the receipt key of genesis and is signed by the service key, which thereby shows that it exists.
///
/// CBOR map: 1 array of `[key (32 bytes), proof of possession (64 bytes)]`, 23 approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// At least one.
    pub receipt: Vec<ReceiptKey>,
    /// Of the other operators; none at index 1.
    pub approvals: Vec<Approval>,
}

/// A key that signs receipts and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptKey {
    /// The key.
    pub key: PublicKey,
    /// By that key over the subject of the record.
    pub possession: Signature,
}

impl Payload for Keys {
    const KIND: SystemKind = SystemKind::Keys;

    fn write(&self, map: &mut MapWriter) {
        map.list(1, &self.receipt, |encoder, receipt| {
            encoder.array(2);
            encoder.bytes(receipt.key.as_bytes());
            encoder.bytes(receipt.possession.as_bytes());
        });
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let receipt = map.required(1, "receipt")?;
        let receipt = receipt.list(1..=RECEIPT_KEYS_MAX, |entry| {
            let [key, possession] = entry.tuple()?;
            Ok(ReceiptKey {
                key: key.key()?,
                possession: possession.signature()?,
            })
        })?;
        let approvals = Approval::read_all(map)?;
        Ok(Self { receipt, approvals })
    }

    fn subject_part(&self) -> String {
        "keys".to_owned()
    }

    fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        Self { approvals, ..self }
    }
}
