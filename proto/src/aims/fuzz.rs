//! What the fuzzers run on records and submission files. Not part of the API.
//!
//! Each function takes arbitrary bytes. It may refuse them; it must not panic, and what it reads it
//! must print again as it was.

use super::bundle::RuleBundle;
use super::convert::from_free_json;
use super::record::Record;
use super::submission::parse_file;

/// A record has one strict text, and free JSON leads to it. The first byte chooses the kind.
pub fn record(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else {
        return;
    };
    let kinds: Vec<_> = RuleBundle::v1().kinds().collect();
    let Some(kind) = kinds.get(usize::from(first) % kinds.len().max(1)) else {
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
