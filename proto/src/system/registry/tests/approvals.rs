//! An approval is for one statement of one ledger. Method: approvals as they lie in the log, in other
//! statements with the same payload.

use super::signers::{resume, suspend};
use super::*;
use crate::system::{Approval, Making, Organization};
use crate::time::UnixSeconds;
use crate::tlog::Origin;

const OPERATORS: (u8, u8) = (seed::OPERATOR_A, seed::OPERATOR_B);

/// A ledger on which two operators suspended `acme` and resumed it, and their approval of the first.
fn suspended_once() -> (World, Approval) {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let at = world.agreed(suspend("acme"), OPERATORS);
    let entry = &world.entries[usize::try_from(at.0).unwrap()];
    let logged = UnverifiedStatement::parse(entry).unwrap();
    let record = Organization::decode(logged.payload()).unwrap();
    let [approval] = record.approvals() else {
        panic!("one operator approves");
    };
    let approval = approval.clone();
    world.agreed(resume("acme"), OPERATORS);
    (world, approval)
}

fn suspension_with(approval: Approval) -> UnverifiedStatement {
    signed(&add_approval(suspend("acme"), approval), seed::OPERATOR_A)
}

#[test]
fn an_approval_from_the_log_is_worth_nothing_in_a_second_statement() {
    let (world, logged) = suspended_once();
    let copied = suspension_with(logged);
    assert_eq!(refused(&world, &copied), Reason::WrongSignature);
}

#[test]
fn an_approval_for_another_ledger_or_expiry_is_refused() {
    let (world, _) = suspended_once();
    let (here, elsewhere) = (origin(), Origin::new("ledger.example/other").unwrap());
    let right = making(&here, ID);
    let expires = Some(UnixSeconds(right.issued.0 + 60));
    for (name, making) in [
        (
            "another ledger",
            Making {
                origin: &elsewhere,
                ..right
            },
        ),
        ("another expiry", Making { expires, ..right }),
    ] {
        let record = suspend("acme");
        let approval = approve_record(&record, &making, &key(seed::OPERATOR_B)).unwrap();
        let statement = suspension_with(approval);
        assert_eq!(
            refused(&world, &statement),
            Reason::WrongSignature,
            "{name}"
        );
    }
}

#[test]
fn a_fresh_approval_is_taken() {
    let (mut world, logged) = suspended_once();
    let statement = signed(
        &approved(suspend("acme"), seed::OPERATOR_B),
        seed::OPERATOR_A,
    );
    let next = LeafIndex(world.entries.len() as u64);
    world.registry.apply(next, &statement).unwrap();
    let fresh = Organization::decode(statement.payload()).unwrap();
    assert_ne!(fresh.approvals(), [logged]);
}

#[test]
fn an_approval_of_genesis_is_for_one_genesis() {
    let whole = genesis(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let other = signed(&whole, seed::OPERATOR_A);
    let refusal = Registry::new().apply(LeafIndex(0), &other).unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::WrongSignature));
}
