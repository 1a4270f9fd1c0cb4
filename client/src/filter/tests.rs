//! Lists that a node gives, honest and not.

use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::LeafHash;

use super::*;
use crate::convert::EntryRef;
use crate::testing::{header, signed};

fn control() -> ControlRef {
    ControlRef {
        scheme: "iso42001-2023".to_owned(),
        id: "A.9.2".to_owned(),
    }
}

fn listed_at(index: u64, time_ms: u64) -> ListedRecord {
    let mut header = header(1, "open");
    header.controls = vec![control()];
    let statement = signed(&header);
    ListedRecord {
        entry: EntryRef {
            index: LeafIndex(index),
            entry_id: EntryId::of(&statement),
            leaf_hash: LeafHash::of(&statement),
            registered_at: UnixMillis(time_ms),
            register_number: 1,
        },
        statement,
        payload: v1::PayloadStatus::Sealed,
        disclosures: Vec::new(),
    }
}

fn everything() -> RecordFilter {
    RecordFilter {
        organization: "hospital".to_owned(),
        kind: Some("nonconformity".to_owned()),
        system: Some("triage".to_owned()),
        subject: Some("urn:aimslog:hospital:system:triage".to_owned()),
        control: Some(control()),
        principal: Some("office-1".to_owned()),
        registered_from: Some(UnixMillis(1_000)),
        registered_to: Some(UnixMillis(2_000)),
        start: Some(LeafIndex(5)),
        end: Some(LeafIndex(8)),
    }
}

#[test]
fn what_does_not_fit_the_filter_is_not_handed_on() {
    let record = listed_at(5, 1_000);
    let misfit = |change: &dyn Fn(&mut RecordFilter), record: &ListedRecord| {
        let mut filter = everything();
        change(&mut filter);
        filter.misfit(record).unwrap()
    };
    assert_eq!(misfit(&|_| {}, &record), None);
    assert_eq!(misfit(&|_| {}, &listed_at(7, 1_999)), None);
    let other = || Some("other".to_owned());
    let changes: [&dyn Fn(&mut RecordFilter); 5] = [
        &|filter| filter.organization = "clinic".to_owned(),
        &|filter| filter.kind = other(),
        &|filter| filter.system = other(),
        &|filter| filter.subject = other(),
        &|filter| {
            filter.control = Some(ControlRef {
                id: "A.9.3".to_owned(),
                ..control()
            });
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(misfit(change, &record).is_some(), "{number}");
    }
    for outside in [
        listed_at(4, 1_000),
        listed_at(8, 1_000),
        listed_at(5, 999),
        listed_at(5, 2_000),
    ] {
        assert!(misfit(&|_| {}, &outside).is_some(), "{outside:?}");
    }
    let none = RecordFilter {
        organization: "hospital".to_owned(),
        ..RecordFilter::default()
    };
    assert_eq!(none.misfit(&record), Ok(None));
}

#[test]
fn a_list_is_in_the_order_of_the_log() {
    let filter = everything();
    let list = |indices: [u64; 2]| indices.map(|index| listed_at(index, 1_500));
    assert_eq!(check(&filter, &list([5, 7])), Ok(()));
    assert!(check(&filter, &list([7, 5])).is_err());
    assert!(check(&filter, &list([6, 6])).is_err(), "twice");
}

#[test]
fn the_request_says_every_condition() {
    let message = everything().message(Some("token"));
    assert_eq!((message.start_index, message.end_index), (5, 8));
    let time = message.registered_to.unwrap();
    assert_eq!((time.seconds, time.nanos), (2, 0));
    assert_eq!(message.control.unwrap().id, "A.9.2");
    assert_eq!(&*message.principal, "office-1");
    assert_eq!(&*message.page_token, "token");
}
