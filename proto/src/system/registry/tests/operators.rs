//! Goal: operators come, go and change keys as many of them agree; there are always enough, and a key
//! counts from behind the record that registers it up to the one that retires it.

use super::signers::{
    SPARE, busy, operator_gone, operator_key, operator_rotation, resume, suspend,
};
use super::*;
use crate::statement::evidence::testing::{Lists, START, trust};
use crate::statement::evidence::{EvidenceFile, Options, Report, Shown, Verdict, verify};
use crate::system::OperatorRecord;
use crate::time::UnixSeconds;

const A: u8 = seed::OPERATOR_A;
const B: u8 = seed::OPERATOR_B;

/// Approved by one operator and signed by another, as the next entry.
fn next(record: OperatorRecord, (signer, approver): (u8, u8)) -> UnverifiedStatement {
    signed(&approved(record, approver), signer)
}

fn verified(file: &EvidenceFile) -> Report {
    let options = Options {
        now: UnixSeconds(START + 1000),
        saved_heads: &[],
        field_lists: &Lists,
        statement: None,
        checkpoint: None,
        receipt_key: None,
    };
    verify(file.print().unwrap().as_bytes(), &trust(), &options)
}

fn names(world: &World, index: u64) -> Vec<String> {
    let operators = world.registry.operators_at(LeafIndex(index));
    let mut names: Vec<String> = operators.map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_new_operator_counts_and_a_revoked_one_does_not() {
    let mut world = World::new(&[A, B], 2);
    let [a, b] = ["op-1", "op-2"];
    assert_eq!(names(&world, 2), [a, b], "the names in genesis");
    let admitted = world.agreed(operator_key("op-3", 80), (A, B));
    assert_eq!(names(&world, admitted.0), [a, b]);
    assert_eq!(names(&world, admitted.0 + 1), [a, b, "op-3"]);
    // It signs with the approval of one, and with it somebody else can go.
    let gone = world.agreed(operator_gone(b), (80, A));
    assert_eq!(names(&world, gone.0), [a, b, "op-3"]);
    assert_eq!(names(&world, gone.0 + 1), [a, "op-3"]);
    let by_gone = signed(&approved(rules(), A), B);
    assert_eq!(refused(&world, &by_gone), Reason::RevokedKey);
    let approved_by_gone = signed(&approved(rules(), B), A);
    assert_eq!(refused(&world, &approved_by_gone), Reason::UnknownKey);
    world.agreed(rules(), (80, A));
}

#[test]
fn as_many_operators_stay_as_must_agree() {
    let mut world = World::new(&[A, B], 2);
    for name in ["op-1", "op-2"] {
        let statement = next(operator_gone(name), (A, B));
        assert_eq!(refused(&world, &statement), Reason::LastOperator, "{name}");
    }
    world.agreed(operator_key("op-3", 80), (A, B));
    world.agreed(operator_gone("op-1"), (B, 80));
    let statement = next(operator_gone("op-3"), (B, 80));
    assert_eq!(refused(&world, &statement), Reason::LastOperator);
}

#[test]
fn another_key_takes_the_place_of_the_one_before() {
    let mut world = World::new(&[A, B], 2);
    let rotated = world.agreed(operator_rotation("op-1", 80), (A, B));
    let keys = |index: u64| {
        let operators = world.registry.operators_at(LeafIndex(index));
        let mut keys: Vec<_> = operators.map(|(_, row)| row.key.thumbprint()).collect();
        keys.sort_unstable();
        keys
    };
    let sorted = |seeds: [u8; 2]| {
        let mut keys = seeds.map(|seed| key(seed).public_key().thumbprint());
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(rotated.0), sorted([A, B]));
    assert_eq!(keys(rotated.0 + 1), sorted([80, B]));
    let old = signed(&approved(rules(), B), A);
    assert_eq!(refused(&world, &old), Reason::RevokedKey);
    world.agreed(rules(), (80, B));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a row for each fault")]
fn what_is_wrong_with_a_record_is_told_by_its_reason() {
    let world = busy();
    let mut foreign = operator_key("op-3", 80);
    foreign.name = "op-4".to_owned();
    let mut gone = busy();
    gone.agreed(operator_gone("op-spare"), (A, B));
    for (name, world, record, reason) in [
        (
            "a name in use",
            &world,
            operator_key("op-1", 80),
            Reason::IdConflict,
        ),
        (
            "a name that was used",
            &gone,
            operator_key("op-spare", 80),
            Reason::IdConflict,
        ),
        (
            "nobody to revoke",
            &world,
            operator_gone("op-9"),
            Reason::NotFound,
        ),
        (
            "revoked twice",
            &gone,
            operator_gone("op-spare"),
            Reason::NotFound,
        ),
        (
            "nobody to rotate",
            &world,
            operator_rotation("op-9", 80),
            Reason::NotFound,
        ),
        (
            "rotated when gone",
            &gone,
            operator_rotation("op-spare", 80),
            Reason::NotFound,
        ),
        (
            "the key of a principal",
            &world,
            operator_key("op-3", seed::ADMIN),
            Reason::KeyInUse,
        ),
        (
            "a key that was used",
            &gone,
            operator_key("op-3", SPARE),
            Reason::KeyInUse,
        ),
        (
            "its own key again",
            &world,
            operator_rotation("op-1", A),
            Reason::KeyInUse,
        ),
        (
            "a proof for another name",
            &world,
            foreign,
            Reason::WrongPossession,
        ),
    ] {
        assert_eq!(refused(world, &next(record, (A, B))), reason, "{name}");
    }
    let alone = signed(&operator_key("op-3", 80), A);
    assert_eq!(refused(&world, &alone), Reason::TooFewOperators);
}

#[test]
fn a_ledger_has_no_more_operators_than_a_record_can_name() {
    let mut world = World::new(&[A, B], 2);
    for number in 3..=crate::limits::OPERATORS_MAX {
        let seed = 100 + u8::try_from(number).unwrap();
        world.agreed(operator_key(&format!("op-{number}"), seed), (A, B));
    }
    let statement = next(operator_key("one-more", 99), (A, B));
    assert_eq!(refused(&world, &statement), Reason::InvalidField);
    // Who is shown some of the records cannot count: the one that made room may be missing.
    let gone = world.agreed(operator_gone("op-3"), (A, B));
    world.agreed(operator_key("one-more", 99), (A, B));
    let mut selection = Registry::of_selection();
    for (index, entry) in (0..).map(LeafIndex).zip(&world.entries) {
        if index != gone {
            let statement = UnverifiedStatement::parse(entry).unwrap();
            selection.apply(index, &statement).unwrap();
        }
    }
}

#[test]
fn a_file_leads_to_operators_that_came_later_also_to_those_who_approve() {
    let mut world = World::new(&[A, B], 2);
    let third = world.agreed(operator_key("op-3", 80), (A, B));
    let fourth = world.agreed(operator_key("op-4", 82), (A, 80));
    // Signed by one that came later and approved by another.
    let sleeping = world.agreed(suspend("acme"), (80, 82));
    let awake = world.agreed(resume("acme"), (82, A));
    let record = world.finding(7, seed::REVIEWER);
    let kids = [seed::REVIEWER, seed::RECEIPT].map(|seed| key(seed).public_key().thumbprint());
    let chain = world.registry.chain_of(kids);
    for needed in [third, fourth, sleeping, awake] {
        assert!(chain.contains(&needed), "{needed:?} of {chain:?}");
    }
    let chain: Vec<u64> = chain.iter().map(|index| index.0).collect();
    let file = world.file_with(vec![world.record(record.0, Shown::All)], &chain);
    let report = verified(&file);
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    // Without the record that admitted one of them its signature is by nobody.
    let without: Vec<u64> = chain.into_iter().filter(|one| *one != fourth.0).collect();
    let file = world.file_with(vec![world.record(record.0, Shown::All)], &without);
    let report = verified(&file);
    assert_eq!(report.verdict, Verdict::CannotTell, "{report}");
}
