//! Histories that a node tells, honest and not.

use aimslog_proto::statement::header::{ContentType, Family, Header};

use super::*;
use crate::testing::{header, later, message, signed};

fn read(header: &Header, place: (u64, u64, u32)) -> RegisterVersion {
    let asked = Asked {
        organization: "hospital",
        kind: None,
        before: LeafIndex(100),
    };
    version("n1", asked, message(header, place)).unwrap()
}

fn id(header: &Header) -> EntryId {
    EntryId::of(&signed(header))
}

#[test]
fn each_version_follows_the_one_before_it() {
    let first = header(1, "open");
    let second = later(header(2, "analysed"), id(&first), id(&first));
    let third = later(header(3, "analysed"), id(&first), id(&second));
    let last = Last::of(&read(&first, (4, 1, 1)));
    let misfit = |header: &Header, place| last.misfit(&read(header, place));
    assert_eq!(misfit(&second, (9, 1, 2)), None);
    // One lies between them that the reader may not see.
    assert_eq!(misfit(&third, (12, 1, 3)), None);
    let jump = misfit(&third, (12, 1, 2)).unwrap();
    assert!(jump.contains("does not follow"), "{jump}");
    for place in [(4, 1, 2), (3, 1, 2)] {
        let earlier = misfit(&second, place).unwrap();
        assert!(earlier.contains("out of order"), "{earlier}");
    }
    let elsewhere = later(header(4, "analysed"), id(&second), id(&first));
    let number = misfit(&second, (9, 2, 2)).unwrap();
    let entity = misfit(&elsewhere, (9, 1, 2)).unwrap();
    let mut kind = second.clone();
    kind.content_type = ContentType::new(Family::Evidence, "finding", 1).unwrap();
    let kind = misfit(&kind, (9, 1, 2)).unwrap();
    for why in [number, entity, kind] {
        assert!(why.contains("another entity"), "{why}");
    }
}
