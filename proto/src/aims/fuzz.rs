//! What the fuzzers run on records and submission files. Not part of the API.
//!
//! Each function takes arbitrary bytes. It may refuse them; it must not panic, and what it reads it
//! must print again as it was.

use super::bundle::RuleBundle;
use super::convert::from_free_json;
use super::record::Record;
use super::submission::parse_file;

/// A record has one strict text, and free JSON leads to it. The first line names the kind; where it
/// names none, its first byte chooses one.
pub fn record(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(name), Some(text)) = (parts.next(), parts.next()) else {
        return;
    };
    let kinds: Vec<_> = RuleBundle::v1().kinds().collect();
    let named = kinds.iter().find(|kind| kind.name().as_bytes() == name);
    let first = name.first().copied().map_or(0, usize::from);
    let Some(kind) = named.or_else(|| kinds.get(first % kinds.len().max(1))) else {
        return;
    };
    if let Ok(record) = Record::from_canonical_bytes(kind, text) {
        assert_eq!(record.canonical_bytes(kind), text);
        assert_eq!(from_free_json(kind, text).as_ref(), Ok(&record));
    }
    match from_free_json(kind, text) {
        Ok(record) => {
            let strict = record.canonical_bytes(kind);
            assert_eq!(Record::from_canonical_bytes(kind, &strict), Ok(record));
        }
        Err(violations) => assert!(!violations.is_empty()),
    }
}

/// A file of submissions gives records of known kinds, or says what is wrong with each.
pub fn submission(data: &[u8]) {
    let bundle = RuleBundle::v1();
    for result in parse_file(bundle, data) {
        match result {
            Ok(submission) => {
                let (kind, version) = (submission.record.kind(), submission.record.version());
                assert!(bundle.kind(kind, version).is_ok());
            }
            Err(error) => assert!(!error.violations.is_empty()),
        }
    }
}
