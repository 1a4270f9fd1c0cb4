//! Changes that a node tells, honest and not.

use aimslog_proto::statement::id::EntryId;

use super::*;
use crate::testing::{header, later, message, signed};

/// A nonconformity that was opened at 4 and analysed at 9.
fn change() -> RegisterChange {
    let asked = Asked {
        organization: "hospital",
        kind: Some("nonconformity"),
        before: LeafIndex(20),
    };
    let first = header(1, "open");
    let id = EntryId::of(&signed(&first));
    let next = later(header(2, "analysed"), id, id);
    let read = |message| version("n1", asked, message).unwrap();
    RegisterChange {
        before: Some(read(message(&first, (4, 1, 1)))),
        after: read(message(&next, (9, 1, 2))),
        before_withheld: false,
    }
}

#[test]
fn a_change_happened_since_and_is_of_one_entity() {
    let from = LeafIndex(5);
    let honest = change();
    assert_eq!(honest.misfit(from, None), None);
    assert_eq!(honest.misfit(from, Some(LeafIndex(8))), None);
    assert!(!honest.is_opened());
    assert_eq!(honest.leaves().count(), 2);
    let why = |change: &RegisterChange, from, last: Option<u64>| {
        change.misfit(LeafIndex(from), last.map(LeafIndex)).unwrap()
    };
    assert!(why(&honest, 10, None).contains("did not happen"));
    assert!(why(&honest, 5, Some(9)).contains("out of order"));
    let mut other = change();
    other.before.as_mut().unwrap().entity = EntryId::from_bytes([3; 32]);
    assert!(why(&other, 5, None).contains("two entities"));
    let mut number = change();
    number.after.entry.register_number = 2;
    assert!(why(&number, 5, None).contains("two entities"));
    let mut older = change();
    older.after.version = 1;
    assert!(why(&older, 5, None).contains("two entities"));
}

#[test]
fn what_is_opened_continues_nothing() {
    let mut opened = change();
    opened.after = opened.before.take().unwrap();
    assert!(opened.is_opened());
    assert_eq!(opened.misfit(LeafIndex(0), None), None);
    opened.before_withheld = true;
    assert!(!opened.is_opened());
    let why = opened.misfit(LeafIndex(0), None).unwrap();
    assert!(why.contains("that it opens"), "{why}");
}
