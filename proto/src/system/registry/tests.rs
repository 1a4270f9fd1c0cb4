//! Goal: a record is accepted exactly where its signer may sign it, and a refusal changes nothing.

mod approvals;
mod catalogues;
mod engagements;
mod log_keys;
mod members;
mod operators;
mod property;
mod signers;

use super::*;
use crate::reason::{Reason, Violations};
use crate::statement::UnverifiedStatement;
use crate::statement::evidence::testing::{
    World, admit, genesis, key, keys_record, making, node_vkey, org, organization, origin,
    policies, principal, seed,
};
use crate::system::{
    Node, NodeChange, NodeEntry, OrganizationChange, Payload, PolicyChange, Principal,
    PrincipalChange, RevocationReason, Rules, add_approval, approve_record, sign_record,
};

/// The statement id that approvals and statements of these tests share.
const ID: u8 = 200;

fn signed(record: &impl Payload, signer: u8) -> UnverifiedStatement {
    signed_as(ID, record, signer)
}

fn signed_as(id: u8, record: &impl Payload, signer: u8) -> UnverifiedStatement {
    sign_record(record, &making(&origin(), id), &key(signer))
        .unwrap()
        .into_unverified()
}

/// Approved by this operator for [`signed`].
fn approved<P: Payload>(record: P, operator: u8) -> P {
    let approval = approve_record(&record, &making(&origin(), ID), &key(operator)).unwrap();
    add_approval(record, approval)
}

fn refused(world: &World, statement: &UnverifiedStatement) -> Reason {
    let index = LeafIndex(world.entries.len() as u64);
    let mut registry = world.registry.clone();
    let violations = registry.apply(index, statement).unwrap_err();
    assert_eq!(
        registry.last_index(),
        world.registry.last_index(),
        "{violations}"
    );
    assert_eq!(
        registry.keys().count(),
        world.registry.keys().count(),
        "{violations}"
    );
    violations.reason().unwrap()
}

fn revoke(id: &str) -> Principal {
    Principal {
        organization: org("acme"),
        principal: principal(id),
        change: PrincipalChange::Revoke(RevocationReason::Left),
    }
}

fn rules() -> Rules {
    Rules {
        predecessor: [7; 32],
        bundle: [8; 32],
        approvals: Vec::new(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a row for each signer")]
fn signers_that_may_not_sign_are_refused() {
    let world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let a = seed::OPERATOR_A;
    let acme = organization("other", seed::OTHER_ADMIN);
    let mut stolen = acme.clone();
    if let OrganizationChange::Register(first) = &mut stolen.change {
        first.key = key(99).public_key();
    }
    let mut used = acme.clone();
    used.organization = org("acme");
    let reviewer = admit("p-new", 40, None);
    for (name, statement, reason) in [
        (
            "organisation by its own admin",
            signed(&acme, seed::ADMIN),
            Reason::NotPermitted,
        ),
        (
            "organisation by a stranger",
            signed(&acme, 98),
            Reason::UnknownKey,
        ),
        (
            "key without possession",
            signed(&stolen, a),
            Reason::WrongPossession,
        ),
        ("organisation twice", signed(&used, a), Reason::IdConflict),
        (
            "key of another",
            signed(&organization("other", seed::ADMIN), a),
            Reason::KeyInUse,
        ),
        (
            "principal by an operator",
            signed(&reviewer, a),
            Reason::NotPermitted,
        ),
        (
            "principal by a reviewer",
            signed(&reviewer, seed::REVIEWER),
            Reason::NotPermitted,
        ),
        (
            "last administrator",
            signed(&revoke("p-admin"), seed::ADMIN),
            Reason::LastAdministrator,
        ),
        (
            "unknown principal",
            signed(&revoke("p-none"), seed::ADMIN),
            Reason::NotFound,
        ),
        (
            "rules by one of two",
            signed(&rules(), a),
            Reason::TooFewOperators,
        ),
        (
            "rules approved by itself",
            signed(&approved(rules(), a), a),
            Reason::TooFewOperators,
        ),
        (
            "rules approved by a stranger",
            signed(&approved(rules(), 98), a),
            Reason::UnknownKey,
        ),
        (
            "rules by the service",
            signed(&rules(), seed::SERVICE),
            Reason::NotPermitted,
        ),
        (
            "keys by the service again",
            signed(&keys_record(), seed::SERVICE),
            Reason::NotPermitted,
        ),
        (
            "second genesis",
            signed(&genesis(&[a], 1), a),
            Reason::NotPermitted,
        ),
    ] {
        assert_eq!(refused(&world, &statement), reason, "{name}");
    }
}

#[test]
fn approval_of_another_payload_does_not_count() {
    let world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let mut change = approved(rules(), seed::OPERATOR_B);
    change.bundle = [9; 32];
    assert_eq!(
        refused(&world, &signed(&change, seed::OPERATOR_A)),
        Reason::WrongSignature
    );
}

#[test]
fn what_operators_agree_on_is_taken_in() {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let operators = (seed::OPERATOR_A, seed::OPERATOR_B);
    let at = world.agreed(rules(), operators);
    assert_eq!(world.registry.rules_at(at), Some([7; 32]));
    assert_eq!(world.registry.rules_at(LeafIndex(at.0 + 1)), Some([8; 32]));
    let stale = signed(&approved(rules(), seed::OPERATOR_B), seed::OPERATOR_A);
    assert_eq!(refused(&world, &stale), Reason::VersionConflict);

    let id = NodeId::new(4).unwrap();
    let entry = NodeEntry {
        id,
        label: "n4".to_owned(),
        cosigner: node_vkey(4),
    };
    let change = NodeChange::Admit(Box::new(entry));
    let node = Node {
        change,
        approvals: Vec::new(),
    };
    world.agreed(node.clone(), (seed::OPERATOR_B, seed::OPERATOR_A));
    let again = signed(&approved(node, seed::OPERATOR_A), seed::OPERATOR_B);
    assert_eq!(refused(&world, &again), Reason::IdConflict);
    let gone = Node {
        change: NodeChange::Remove(id),
        approvals: Vec::new(),
    };
    let at = world.agreed(gone, (seed::OPERATOR_B, seed::OPERATOR_A));
    assert_eq!(world.registry.node(id).unwrap().removed_at, Some(at));

    let mut texts = policies();
    texts.trust.push_str("# next\n");
    let change = PolicyChange {
        predecessor: [1; 32],
        texts,
        approvals: Vec::new(),
    };
    let wrong = signed(
        &approved(change.clone(), seed::OPERATOR_B),
        seed::OPERATOR_A,
    );
    assert_eq!(refused(&world, &wrong), Reason::VersionConflict);
    let change = PolicyChange {
        predecessor: policies().digest(),
        ..change
    };
    let at = world.agreed(change.clone(), operators);
    assert_eq!(world.registry.policy(), Some((at, &change.texts)));
}

#[test]
fn genesis_needs_every_operator() {
    let mut alone = genesis(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    alone.approvals.clear();
    let check = |record: &Genesis, signer| {
        Registry::new()
            .apply(LeafIndex(0), &signed_as(0, record, signer))
            .map_err(|error| error.reason().unwrap())
    };
    assert_eq!(
        check(&alone, seed::OPERATOR_A),
        Err(Reason::TooFewOperators)
    );
    let whole = genesis(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    assert!(check(&whole, seed::OPERATOR_A).is_ok());
    assert_eq!(check(&whole, 98), Err(Reason::UnknownKey));
    let other = signed(&keys_record(), seed::SERVICE);
    let first = Registry::new().apply(LeafIndex(0), &other);
    assert_eq!(
        first.map_err(|error| error.reason().unwrap()),
        Err(Reason::NotPermitted)
    );
}
