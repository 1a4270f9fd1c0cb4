//! Versions and pages that a node gives, honest and not.

use aimslog_proto::statement::header::{ContentType, Family, Header};
use aimslog_proto::tlog::{Frontier, MultiPlan, TreeSize};

use super::*;
use crate::testing::{header, later, message, signed};

const ASKED: Asked<'_> = Asked {
    organization: "hospital",
    kind: Some("nonconformity"),
    before: LeafIndex(10),
};

#[track_caller]
fn why(asked: Asked<'_>, message: v1::RegisterVersion) -> String {
    match version("n1", asked, message) {
        Err(ClientError::Unverified { endpoint, why }) => {
            assert_eq!(endpoint, "n1");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_honest_version_is_what_its_header_says() {
    let first = version("n1", ASKED, message(&header(1, "open"), (4, 1, 1))).unwrap();
    assert_eq!((first.entity, first.version), (first.entry.entry_id, 1));
    assert_eq!((&*first.state, first.is_retraction()), ("open", false));
    let id = first.entry.entry_id;
    let next = later(header(2, "analysed"), id, id);
    let next = version("n1", ASKED, message(&next, (9, 1, 2))).unwrap();
    assert_eq!(
        (next.entity, next.version, &*next.state),
        (id, 2, "analysed")
    );
    // A version that names no state is in that of an earlier one: the service's word.
    let mut silent = header(3, "open");
    silent.transition = None;
    let mut silent = message(&silent, (4, 1, 1));
    silent.state = "open".to_owned();
    assert_eq!(version("n1", ASKED, silent).unwrap().state, "open");
}

fn changed(change: fn(&mut v1::RegisterVersion)) -> v1::RegisterVersion {
    let mut message = message(&header(1, "open"), (4, 1, 1));
    change(&mut message);
    message
}

fn elsewhere(change: fn(&mut Header)) -> v1::RegisterVersion {
    let mut header = header(1, "open");
    change(&mut header);
    message(&header, (4, 1, 1))
}

#[test]
fn a_version_that_is_not_what_was_asked_for_is_refused() {
    let finding = |header: &mut Header| {
        header.content_type = ContentType::new(Family::Evidence, "finding", 1).unwrap();
    };
    let id = EntryId::of(&signed(&header(1, "open")));
    let table = [
        (
            "entry id",
            changed(|it| it.statement = signed(&header(2, "open"))),
        ),
        (
            "leaf hash",
            changed(|it| it.entry.as_mut().unwrap().leaf_hash = vec![0; 32]),
        ),
        (
            "another organisation",
            elsewhere(|it| it.issuer = it.issuer.replace("hospital", "clinic")),
        ),
        ("another kind", elsewhere(finding)),
        ("behind the place", message(&header(1, "open"), (10, 1, 1))),
        ("another entity", changed(|it| it.entity_id = vec![3; 32])),
        ("another number", changed(|it| it.version = 0)),
        ("another number", changed(|it| it.version = 2)),
        (
            "another number",
            message(&later(header(2, "analysed"), id, id), (9, 1, 1)),
        ),
        (
            "another state",
            changed(|it| it.state = "closed".to_owned()),
        ),
    ];
    for (rule, message) in table {
        let why = why(ASKED, message);
        assert!(why.contains(rule), "{rule}: {why}");
    }
    for malformed in [
        changed(|it| it.entity_id = vec![3; 31]),
        changed(|it| it.statement = b"x".to_vec()),
        changed(|it| it.entry = None),
    ] {
        assert!(version("n1", ASKED, malformed).is_err());
    }
}

#[test]
fn numbers_have_no_gap_where_everything_is_shown() {
    let all = Some(RegisterCount {
        entities: 3,
        versions: 9,
    });
    for (last, number, count, good) in [
        (0, 1, all, true),
        (2, 3, all, true),
        (0, 2, all, false),
        (1, 1, all, false),
        (3, 4, all, false),
        (u64::MAX, 0, all, false),
        (0, 2, None, true),
        (2, 2, None, false),
        (2, 1, None, false),
    ] {
        let told = follows(last, number, count);
        assert_eq!(told.is_ok(), good, "{number} behind {last}");
    }
}

/// Seven leaves, their head, and the proof of some of them.
fn tree(indices: &[u64]) -> (Vec<LeafHash>, TreeHead, Vec<Hash>) {
    let leaves: Vec<LeafHash> = (0_u8..7).map(|leaf| LeafHash::of(&[leaf])).collect();
    let head_over = |some: &[LeafHash]| {
        let mut frontier = Frontier::EMPTY;
        for leaf in some {
            frontier.push(*leaf).unwrap();
        }
        frontier.head()
    };
    let indices = indices.iter().copied().map(LeafIndex).collect();
    let plan = MultiPlan::new(indices, TreeSize(7)).unwrap();
    let nodes = plan.nodes().iter().map(|node| {
        let first = usize::try_from(node.index() << node.level()).unwrap();
        let below = &leaves[first..first + (1 << node.level())];
        head_over(below).root.hash()
    });
    let nodes: Vec<Hash> = nodes.collect();
    let hashes = plan.build(&nodes).unwrap().hashes().to_vec();
    let head = head_over(&leaves);
    (leaves, head, hashes)
}

#[test]
fn every_entry_of_a_page_is_proven_and_only_by_its_own_proof() {
    let (leaves, head, hashes) = tree(&[1, 4]);
    let at = |index: usize| (LeafIndex(index as u64), leaves[index]);
    let check = |hashes: &[Hash], shown: Vec<(LeafIndex, LeafHash)>, before: u64| {
        check_leaves(&head, (hashes.to_vec(), shown, LeafIndex(before)))
    };
    // In any order, and an entry that two versions share once.
    assert_eq!(check(&hashes, vec![at(4), at(1), at(4)], 7), Ok(()));
    assert_eq!(check(&[], Vec::new(), 7), Ok(()));
    let both = || vec![at(1), at(4)];
    assert!(check(&hashes, both(), 8).is_err(), "not covered");
    assert!(check(&hashes, vec![at(1), at(5)], 7).is_err(), "another");
    assert!(check(&hashes, vec![at(1)], 7).is_err(), "fewer");
    assert!(check(&hashes[1..], both(), 7).is_err(), "a shorter proof");
    assert!(check(&[], both(), 7).is_err(), "no proof");
    let swapped = vec![(LeafIndex(1), leaves[4]), (LeafIndex(4), leaves[1])];
    assert!(check(&hashes, swapped, 7).is_err(), "swapped");
    let doubled = vec![at(1), (LeafIndex(1), leaves[4]), at(4)];
    assert!(check(&hashes, doubled, 7).is_err(), "two at one place");
}
