//! What the fuzzers run on receipts, system payloads and evidence files. Not part of the API.
//!
//! Each function takes arbitrary bytes. It may refuse them; it must not panic, and what it reads
//! it must print again as it was.

use super::{SystemKind, SystemRecord};
use crate::statement::evidence::EvidenceFile;
use crate::statement::receipt::Receipt;

/// A receipt has one form: the one that its parts assemble to.
pub fn receipt(data: &[u8]) {
    if let Ok(receipt) = Receipt::parse(data) {
        assert_eq!(receipt.head().assemble(receipt.proof()), data);
    }
}

/// A system payload has one form; the first byte chooses the kind.
pub fn system(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else {
        return;
    };
    let kinds = SystemKind::ALL;
    let Some(kind) = kinds.get(usize::from(*kind) % kinds.len()) else {
        return;
    };
    if let Ok(record) = SystemRecord::decode(*kind, payload) {
        assert_eq!(record.encode(), payload);
    }
}

/// An evidence file that is read prints as one that reads the same.
pub fn evidence(data: &[u8]) {
    if let Ok(file) = EvidenceFile::parse(data) {
        let again = file
            .print()
            .map(|text| EvidenceFile::parse(text.as_bytes()));
        assert!(matches!(again, Ok(Ok(again)) if again == file));
    }
}
