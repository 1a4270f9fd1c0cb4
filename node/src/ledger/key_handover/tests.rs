//! Who gets the keys of the ledger, and what becomes of those that are here.

use super::*;
use crate::raft::{Member, Role, Vote};

fn status(voters: &[u64], learners: &[u64]) -> Status {
    let member = |id: &u64| {
        let member = Member {
            addr: "127.0.0.1:1".to_owned(),
            name: format!("n{id}"),
        };
        (*id, member)
    };
    Status {
        id: 1,
        role: Role::Follower,
        vote: Vote {
            term: 1,
            node: 3,
            committed: true,
        },
        leader: Some(3),
        last_log: None,
        flushed: None,
        committed: None,
        applied: None,
        snapshot: None,
        purged: None,
        voters: voters.iter().copied().collect(),
        learners: learners.iter().copied().collect(),
        members: voters.iter().chain(learners).map(member).collect(),
        last_quorum_ack: None,
        matched: std::collections::BTreeMap::new(),
    }
}

#[test]
fn only_an_admitted_member_gets_the_keys() {
    let cluster = status(&[1, 2, 3], &[4]);
    let refused = Err(KeysRefused::NotAMember { node: 4 });
    let other = Err(KeysRefused::NotAMember { node: 5 });
    let rows = [
        ("learner", &cluster, 4, Seat::Admitted, Ok(())),
        ("voter", &cluster, 2, Seat::Admitted, Ok(())),
        (
            "member that no record admits",
            &cluster,
            4,
            Seat::None,
            refused.clone(),
        ),
        (
            "member that a record removed",
            &cluster,
            4,
            Seat::Removed(LeafIndex(9)),
            refused,
        ),
        ("certificate alone", &cluster, 5, Seat::None, other.clone()),
        (
            "admitted, no member yet",
            &cluster,
            5,
            Seat::Admitted,
            other,
        ),
        (
            "asked of a learner",
            &status(&[2, 3], &[1, 4]),
            4,
            Seat::Admitted,
            Err(KeysRefused::NoVoter),
        ),
    ];
    for (what, status, node, seat, expected) in rows {
        assert_eq!(may_have(node, status, seat), expected, "{what}");
    }
}

fn keys(receipt: u8, next: Option<u8>) -> LedgerKeys {
    let key = |seed| SigningKey::from_bytes(&[seed; 32]);
    LedgerKeys {
        log: key(101),
        next_log: None,
        receipt: key(receipt),
        next_receipt: next.map(key),
        service: key(102),
    }
}

fn publics(seeds: &[u8]) -> Vec<PublicKey> {
    let of = |seed: &u8| keys(*seed, None).publics(Sort::Receipt);
    seeds.iter().flat_map(of).collect()
}

#[test]
fn a_named_receipt_key_is_sought_and_takes_the_place_when_the_old_one_is_done() {
    for (held, now, to_come, retired, expected) in [
        (None, &[1][..], &[1][..], &[][..], Due::Seek),
        (Some((1, None)), &[1], &[1], &[], Due::Nothing),
        // Made here, and the operators have not named it yet.
        (Some((1, Some(2))), &[1], &[1], &[], Due::Nothing),
        (Some((1, None)), &[1, 2], &[1], &[], Due::Seek),
        (Some((1, Some(2))), &[1, 2], &[1, 2], &[], Due::Nothing),
        // Named alone, but a head in front of that is not published yet.
        (Some((1, Some(2))), &[2], &[1, 2], &[1], Due::Nothing),
        (Some((1, Some(2))), &[2], &[2], &[1], Due::Promote),
        (Some((2, None)), &[2], &[2], &[1], Due::Nothing),
        // Away while it was changed, once or twice.
        (Some((1, None)), &[2], &[2], &[1], Due::Seek),
        (Some((1, Some(3))), &[2], &[2], &[1], Due::Seek),
        (Some((1, Some(2))), &[3], &[3], &[1, 2], Due::Drop),
        // Given up for another one, or for none.
        (Some((1, Some(2))), &[1, 3], &[1, 3], &[2], Due::Drop),
        (Some((1, Some(2))), &[1], &[1], &[2], Due::Drop),
        // A log key that was retired, and that a head to come needs all the same.
        (
            Some((1, Some(2))),
            &[1, 2, 3],
            &[1, 2, 3],
            &[1, 2],
            Due::Seek,
        ),
    ] {
        let held = held.map(|(receipt, next)| keys(receipt, next));
        let held = held.map(|held| held.publics(Sort::Receipt));
        let log = Named {
            now: &publics(now),
            to_come: &publics(to_come),
            retired: &publics(retired),
        };
        assert_eq!(due(held.as_deref(), &log), expected, "{log:?}");
    }
}

#[test]
fn what_is_handed_over_becomes_the_next_key_where_there_is_room() {
    for (held, handed, expected) in [
        (None, (1, Some(2)), Some(&[1, 2][..])),
        (Some((1, None)), (1, Some(2)), Some(&[1, 2])),
        (Some((1, None)), (2, None), Some(&[1, 2])),
        (Some((1, Some(2))), (1, Some(2)), Some(&[1, 2])),
        // Nothing new.
        (Some((1, None)), (1, None), Some(&[1])),
        // Another next key was made here, and is nobody else's.
        (Some((1, Some(3))), (1, Some(2)), None::<&[u8]>),
    ] {
        let of = |(receipt, next)| keys(receipt, next);
        let held = held.map(of);
        let (found, no_place) = together(held.as_ref(), of(handed));
        assert_eq!(no_place, expected.is_none().then_some(Sort::Receipt));
        let expected = expected.unwrap_or(&[1, 3]);
        assert_eq!(
            found.publics(Sort::Receipt),
            publics(expected),
            "{handed:?}"
        );
    }
    // That there is no place for one keeps the other from nothing.
    let log = |seed| Some(SigningKey::from_bytes(&[seed; 32]));
    let handed = keys(1, Some(2)).with_next(Sort::Log, log(103));
    let (found, no_place) = together(Some(&keys(1, Some(3))), handed.clone());
    assert_eq!(no_place, Some(Sort::Receipt));
    assert_eq!(found.publics(Sort::Log), handed.publics(Sort::Log));
    let here = keys(1, None).with_next(Sort::Log, log(104));
    let (found, no_place) = together(Some(&here), handed.clone());
    assert_eq!(no_place, Some(Sort::Log));
    assert_eq!(found.publics(Sort::Log), here.publics(Sort::Log));
    assert_eq!(found.publics(Sort::Receipt), handed.publics(Sort::Receipt));
}

#[test]
fn the_leader_is_asked_first_and_nobody_twice() {
    assert_eq!(in_turn(&status(&[1, 2, 3], &[4])), [3, 2]);
}

#[test]
fn what_became_of_the_file_of_a_retired_key_is_told() {
    assert!(dropped_words(DroppedFile::Gone).contains("gone"));
    assert!(dropped_words(DroppedFile::HoldsAnother).contains("which stays"));
}
