//! What the fuzzers run on receipts, system payloads and evidence files. Not part of the API.
//!
//! Each function takes arbitrary bytes. It may refuse them; it must not panic, and what it reads
//! it must print again as it was.

use super::{SystemKind, SystemRecord};
use crate::statement::evidence::{self, EvidenceFile, FieldLists, Options, Report, Verdict};
use crate::statement::receipt::Receipt;
use crate::time::UnixSeconds;
use crate::tlog::Policy;

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

/// The verdict over any input: it prints, and it is VERIFIED only where nothing was found, under an
/// accepted head.
pub fn verify(data: &[u8]) {
    let Some(report) = verdict(data) else {
        return;
    };
    assert!(!report.to_string().is_empty());
    assert_eq!(
        report.verdict == Verdict::Verified,
        report.findings.is_empty()
    );
    assert!(!report.verdict.is_verified() || report.head.is_some());
}

/// The report on two bytes of length, a policy of this length, and an input.
pub fn verdict(data: &[u8]) -> Option<Report> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let (policy, input) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let policy = Policy::parse(policy).ok()?;
    let options = Options {
        now: UnixSeconds(1_900_000_000),
        saved_heads: &[],
        field_lists: &ThreeFields,
        statement: None,
        checkpoint: None,
        receipt_key: None,
    };
    Some(evidence::verify(input, &policy, &options))
}

/// The field list of the kind in the examples of `docs/format.md`, for every kind.
struct ThreeFields;

impl FieldLists for ThreeFields {
    fn field_list(&self, _kind: &str, _version: u32) -> Option<Vec<String>> {
        Some(["title", "grade", "note"].map(str::to_owned).to_vec())
    }
}
