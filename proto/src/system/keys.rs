//! `ledger.keys`: the keys that sign receipts, and those that sign checkpoints.

use crate::limits::{LOG_KEYS_MAX, RECEIPT_KEYS_MAX};
use crate::statement::cbor::Encoder;
use crate::statement::key::{PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{Entry, MapReader, MapWriter, Payload, PayloadError};

/// The receipt keys or the log keys in force from this position of the log on, or both. The record at
/// index 1 names exactly the receipt key of genesis and is signed by the service key, which thereby
/// shows that it exists.
///
/// CBOR map: ? 1 receipt keys, ? 2 log keys, each an array of `[key (32 bytes), proof of possession
/// (64 bytes)]`, 23 approvals. One of the two is there; keys of the sort that is not stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// None where the record leaves the receipt keys as they are.
    pub receipt: Vec<ReceiptKey>,
    /// None where the record leaves the log keys as they are.
    pub log: Vec<LogKey>,
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

/// A key that signs checkpoints and nothing else, by the name of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// The key.
    pub key: PublicKey,
    /// By that key over the subject of the record with `/log` behind it, so that no proof serves for
    /// both purposes.
    pub possession: Signature,
}

/// What a log key proves its possession for, as the last part of a subject.
pub(crate) const LOG_KEY_PART: &str = "keys/log";

impl Payload for Keys {
    const KIND: SystemKind = SystemKind::Keys;

    fn write(&self, map: &mut MapWriter) {
        if !self.receipt.is_empty() {
            map.list(1, &self.receipt, |encoder, receipt| {
                proven(encoder, (&receipt.key, &receipt.possession));
            });
        }
        if !self.log.is_empty() {
            map.list(2, &self.log, |encoder, log| {
                proven(encoder, (&log.key, &log.possession));
            });
        }
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let receipt = match map.optional(1, "receipt") {
            None => Vec::new(),
            Some(list) => list.list(1..=RECEIPT_KEYS_MAX, |entry| {
                let (key, possession) = read_proven(entry)?;
                Ok(ReceiptKey { key, possession })
            })?,
        };
        let log = match map.optional(2, "log") {
            None => Vec::new(),
            Some(list) => list.list(1..=LOG_KEYS_MAX, |entry| {
                let (key, possession) = read_proven(entry)?;
                Ok(LogKey { key, possession })
            })?,
        };
        if receipt.is_empty() && log.is_empty() {
            return Err(map.wrong("receipt", "receipt keys, log keys or both"));
        }
        let approvals = Approval::read_all(map)?;
        Ok(Self {
            receipt,
            log,
            approvals,
        })
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

fn proven(encoder: &mut Encoder, (key, possession): (&PublicKey, &Signature)) {
    encoder.array(2);
    encoder.bytes(key.as_bytes());
    encoder.bytes(possession.as_bytes());
}

fn read_proven(entry: Entry<'_, '_>) -> Result<(PublicKey, Signature), PayloadError> {
    let [key, possession] = entry.tuple()?;
    Ok((key.key()?, possession.signature()?))
}
