//! Goal: keys, roles and suspensions hold from the position of their record on, and one bad input has
//! one reason and changes nothing.

use super::signers::{busy, node_rotation, of, read_key, resume, role, rotation, suspend};
use super::*;
use crate::statement::UnverifiedStatement;
use crate::statement::evidence::testing::finding;
use crate::system::{
    KeyPurpose, Keys, NewKey, ReceiptKey, RoleChange, prove_node_key, prove_principal_key,
    prove_read_key, prove_receipt_key,
};

const REVIEWER: &str = "p-reviewer";

fn world() -> World {
    World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2)
}

fn kid(seed: u8) -> Thumbprint {
    key(seed).public_key().thumbprint()
}

/// The reason for which evidence of this key may not stand at `index`.
fn evidence_at(world: &World, seed: u8, index: LeafIndex) -> Option<Reason> {
    let (statement, _) = finding(0, seed);
    let statement: UnverifiedStatement = statement.into_unverified();
    let signer = world.registry.evidence_signer(index, statement.header());
    signer.err().and_then(|violations| violations.reason())
}

#[test]
fn a_rotated_key_is_valid_up_to_its_rotation_and_the_principal_stays() {
    let mut world = world();
    let before = world
        .registry
        .principal_at(&kid(seed::REVIEWER), LeafIndex(9));
    let before = before.cloned().unwrap();
    let at = world.system(&rotation(REVIEWER, 41), seed::ADMIN);
    let next = LeafIndex(at.0 + 1);
    assert_eq!(evidence_at(&world, seed::REVIEWER, at), None);
    assert_eq!(
        evidence_at(&world, seed::REVIEWER, next),
        Some(Reason::RevokedKey)
    );
    assert_eq!(evidence_at(&world, 41, at), Some(Reason::RevokedKey));
    assert_eq!(evidence_at(&world, 41, next), None);
    assert_eq!(
        world.registry.principal_at(&kid(41), next),
        Some(&before),
        "id, holder and roles stay"
    );
    // A statement signed in time by an administrator whose key is rotated comes too late all the same.
    let early = signed(&revoke(REVIEWER), seed::ADMIN);
    world.system(&rotation("p-admin", 42), seed::ADMIN);
    assert_eq!(refused(&world, &early), Reason::RevokedKey);
    world.system(&revoke(REVIEWER), 42);
}

#[test]
fn a_key_is_registered_once_and_for_one_purpose() {
    let mut world = world();
    world.system(&rotation(REVIEWER, 41), seed::ADMIN);
    world.system(&read_key(REVIEWER, 42), seed::ADMIN);
    for (name, record) in [
        ("its own key again", rotation(REVIEWER, 41)),
        ("the one before", rotation(REVIEWER, seed::REVIEWER)),
        ("its key for reading", rotation(REVIEWER, 42)),
        ("its key for statements, to read", read_key(REVIEWER, 41)),
        ("somebody else's", rotation(REVIEWER, seed::AGENT)),
        ("an operator's", rotation(REVIEWER, seed::OPERATOR_A)),
        ("the receipt key", read_key(REVIEWER, seed::RECEIPT)),
        ("a new principal's", admit("p-new", 42, None)),
    ] {
        let reason = refused(&world, &signed(&record, seed::ADMIN));
        assert_eq!(reason, Reason::KeyInUse, "{name}");
    }
    let receipt = ReceiptKey {
        key: key(41).public_key(),
        possession: prove_receipt_key(&origin(), &key(41)).unwrap(),
    };
    let keys = Keys {
        receipt: vec![receipt],
        log: Vec::new(),
        approvals: Vec::new(),
    };
    let keys = signed(&approved(keys, seed::OPERATOR_B), seed::OPERATOR_A);
    assert_eq!(refused(&world, &keys), Reason::KeyInUse);
    let node = approved(node_rotation(2, seed::NODE + 2), seed::OPERATOR_B);
    let node = signed(&node, seed::OPERATOR_A);
    assert_eq!(refused(&world, &node), Reason::KeyInUse);
}

#[test]
fn possession_is_proven_by_the_new_key_for_what_it_is_to_be() {
    let world = world();
    let id = principal(REVIEWER);
    let (log, acme) = (origin(), org("acme"));
    let wanted = key(43).public_key();
    let by = |possession| NewKey {
        key: wanted,
        possession,
    };
    let of_other = prove_principal_key(&log, &acme, &id, &key(44)).unwrap();
    let to_sign = prove_principal_key(&log, &acme, &id, &key(43)).unwrap();
    let to_read = prove_read_key(&log, &acme, &id, &key(43)).unwrap();
    let elsewhere = prove_principal_key(&log, &org("other"), &id, &key(43)).unwrap();
    for (name, change) in [
        ("another key", PrincipalChange::Rotate(by(of_other))),
        ("for reading", PrincipalChange::Rotate(by(to_read))),
        ("elsewhere", PrincipalChange::Rotate(by(elsewhere))),
        ("another key reads", PrincipalChange::ReadKey(by(of_other))),
        ("for statements", PrincipalChange::ReadKey(by(to_sign))),
    ] {
        let reason = refused(&world, &signed(&of(REVIEWER, change), seed::ADMIN));
        assert_eq!(reason, Reason::WrongPossession, "{name}");
    }
    let mut receipt = keys_record();
    receipt.receipt[0].key = key(45).public_key();
    let receipt = signed(&approved(receipt, seed::OPERATOR_B), seed::OPERATOR_A);
    assert_eq!(refused(&world, &receipt), Reason::WrongPossession);
}

#[test]
fn a_revoked_principal_is_gone_for_ever_with_both_keys_and_its_reason() {
    let mut world = world();
    world.system(&read_key(REVIEWER, 42), seed::ADMIN);
    let early = signed(&rotation(REVIEWER, 43), seed::ADMIN);
    let at = world.system(&revoke(REVIEWER), seed::ADMIN);
    let next = LeafIndex(at.0 + 1);
    for seed in [seed::REVIEWER, 42] {
        assert!(world.registry.key_at(&kid(seed), at).is_some());
        assert!(world.registry.key_at(&kid(seed), next).is_none());
        assert!(world.registry.reader_at(&kid(seed), next).is_none());
    }
    let history = world.registry.history(&org("acme"), &principal(REVIEWER));
    let revoked = history.unwrap().revoked().unwrap();
    assert_eq!((revoked.at, revoked.reason), (at, RevocationReason::Left));
    assert_eq!(refused(&world, &early), Reason::NotFound);
    let role = role(REVIEWER, RoleChange::Grant, "auditor");
    for (record, reason) in [
        (signed(&revoke(REVIEWER), seed::ADMIN), Reason::NotFound),
        (signed(&role, seed::ADMIN), Reason::NotFound),
        (
            signed(&read_key(REVIEWER, 44), seed::ADMIN),
            Reason::NotFound,
        ),
        (
            signed(&admit(REVIEWER, 45, None), seed::ADMIN),
            Reason::IdConflict,
        ),
    ] {
        assert_eq!(refused(&world, &record), reason);
    }
}

#[test]
fn roles_hold_between_their_records() {
    let mut world = world();
    let grant = role(REVIEWER, RoleChange::Grant, "auditor");
    let granted = world.system(&grant, seed::ADMIN);
    let withdraw = role(REVIEWER, RoleChange::Withdraw, "reviewer");
    let withdrawn = world.system(&withdraw, seed::ADMIN);
    let roles_at = |index| {
        let row = world
            .registry
            .principal_at(&kid(seed::REVIEWER), LeafIndex(index));
        let roles = row.unwrap().roles.iter();
        roles.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(roles_at(granted.0), ["reviewer"]);
    assert_eq!(roles_at(granted.0 + 1), ["auditor", "reviewer"]);
    assert_eq!(roles_at(withdrawn.0), ["auditor", "reviewer"]);
    assert_eq!(roles_at(withdrawn.0 + 1), ["auditor"]);
    let admin = role("p-agent", RoleChange::Grant, "administrator");
    let nobody = role("p-none", RoleChange::Grant, "auditor");
    for (name, record, signer, reason) in [
        ("held", &grant, seed::ADMIN, Reason::InvalidField),
        ("not held", &withdraw, seed::ADMIN, Reason::NotFound),
        ("of nobody", &nobody, seed::ADMIN, Reason::NotFound),
        ("of an agent", &admin, seed::ADMIN, Reason::InvalidField),
        ("by itself", &grant, seed::REVIEWER, Reason::NotPermitted),
        (
            "by an operator",
            &grant,
            seed::OPERATOR_A,
            Reason::NotPermitted,
        ),
    ] {
        assert_eq!(refused(&world, &signed(record, signer)), reason, "{name}");
    }
}

#[test]
fn an_organisation_keeps_an_administrator() {
    let mut world = world();
    let withdraw = |id| {
        signed(
            &role(id, RoleChange::Withdraw, "administrator"),
            seed::ADMIN,
        )
    };
    let gone = signed(&revoke("p-admin"), seed::ADMIN);
    for record in [&withdraw("p-admin"), &gone] {
        assert_eq!(refused(&world, record), Reason::LastAdministrator);
    }
    let grant = role(REVIEWER, RoleChange::Grant, "administrator");
    world.system(&grant, seed::ADMIN);
    // Each takes the other's role back: the first in the log has it, and the other is told so.
    let mutual = signed(&revoke("p-admin"), seed::REVIEWER);
    let index = LeafIndex(world.entries.len() as u64);
    assert!(world.registry.check(index, &mutual).is_ok());
    world.system(
        &role(REVIEWER, RoleChange::Withdraw, "administrator"),
        seed::ADMIN,
    );
    assert_eq!(refused(&world, &mutual), Reason::NotPermitted);
    assert_eq!(refused(&world, &gone), Reason::LastAdministrator);
}

#[test]
fn a_suspended_organisation_gains_nothing_and_reads() {
    let mut world = world();
    let grant = role(REVIEWER, RoleChange::Grant, "auditor");
    let by = |record, operator| signed(&approved(record, operator), seed::OPERATOR_A);
    assert_eq!(
        refused(&world, &by(resume("acme"), seed::OPERATOR_B)),
        Reason::NotFound
    );
    assert_eq!(
        refused(&world, &by(suspend("nobody"), seed::OPERATOR_B)),
        Reason::NotFound
    );
    let operators = (seed::OPERATOR_A, seed::OPERATOR_B);
    let at = world.agreed(suspend("acme"), operators);
    let next = LeafIndex(at.0 + 1);
    assert_eq!(evidence_at(&world, seed::REVIEWER, at), None);
    let suspended = Some(Reason::OrganizationSuspended);
    assert_eq!(evidence_at(&world, seed::REVIEWER, next), suspended);
    assert_eq!(
        refused(&world, &signed(&grant, seed::ADMIN)),
        Reason::OrganizationSuspended
    );
    assert!(
        world
            .registry
            .reader_at(&kid(seed::REVIEWER), next)
            .is_some()
    );
    assert_eq!(
        refused(&world, &by(suspend("acme"), seed::OPERATOR_B)),
        Reason::NotFound
    );
    let resumed = world.agreed(resume("acme"), operators);
    assert_eq!(evidence_at(&world, seed::REVIEWER, resumed), suspended);
    let next = LeafIndex(resumed.0 + 1);
    assert_eq!(evidence_at(&world, seed::REVIEWER, next), None);
    world.system(&grant, seed::ADMIN);
}

#[test]
fn the_key_for_reading_reads_instead_of_the_one_for_statements() {
    let mut world = world();
    let reads = |world: &World, seed| {
        let next = LeafIndex(world.entries.len() as u64);
        world.registry.reader_at(&kid(seed), next).is_some()
    };
    assert!(reads(&world, seed::REVIEWER));
    assert!(!reads(&world, seed::OPERATOR_A) && !reads(&world, seed::SERVICE));
    let at = world.system(&read_key(REVIEWER, 42), seed::ADMIN);
    assert!(!reads(&world, seed::REVIEWER) && reads(&world, 42));
    assert!(
        world.registry.reader_at(&kid(seed::REVIEWER), at).is_some(),
        "until then it did"
    );
    assert_eq!(
        world
            .registry
            .key(&kid(42))
            .unwrap()
            .principal()
            .unwrap()
            .purpose,
        KeyPurpose::Read
    );
    let next = LeafIndex(world.entries.len() as u64);
    assert_eq!(evidence_at(&world, 42, next), Some(Reason::KeyPurpose));
    assert_eq!(evidence_at(&world, seed::REVIEWER, next), None);
    world.system(&read_key(REVIEWER, 43), seed::ADMIN);
    assert!(!reads(&world, 42) && reads(&world, 43));
    world.system(&rotation(REVIEWER, 44), seed::ADMIN);
    assert!(!reads(&world, 44) && reads(&world, 43));
    let end = of(REVIEWER, PrincipalChange::EndReadKey);
    world.system(&end, seed::ADMIN);
    assert!(reads(&world, 44) && !reads(&world, 43));
    assert_eq!(
        refused(&world, &signed(&end, seed::ADMIN)),
        Reason::NotFound
    );
}

#[test]
fn a_cosigner_key_proves_that_it_wants_to_be_this_nodes() {
    let world = busy();
    let with = |id: u64, signer: u8| {
        let mut record = node_rotation(3, 77);
        let node = NodeId::new(id).unwrap();
        if let NodeChange::Rotate { possession, .. } = &mut record.change {
            *possession = prove_node_key(&origin(), node, &key(signer)).unwrap();
        }
        signed(&approved(record, seed::OPERATOR_B), seed::OPERATOR_A)
    };
    let index = LeafIndex(world.entries.len() as u64);
    world.registry.clone().apply(index, &with(3, 77)).unwrap();
    for (name, id, signer) in [
        ("by another key", 3, 78),
        ("by the key before", 3, seed::NODE + 3),
        ("for another node", 2, 77),
    ] {
        let reason = refused(&world, &with(id, signer));
        assert_eq!(reason, Reason::WrongPossession, "{name}");
    }
}

#[test]
fn a_node_keeps_its_id_through_a_new_cosigner_key() {
    let mut world = busy();
    let before = world
        .registry
        .node(NodeId::new(3).unwrap())
        .unwrap()
        .clone();
    let operators = (seed::OPERATOR_A, seed::OPERATOR_B);
    let at = world.agreed(node_rotation(3, 77), operators);
    let row = world.registry.node(NodeId::new(3).unwrap()).unwrap();
    assert_eq!(row.replaced, [(at, before.node.cosigner)]);
    assert_eq!(row.admitted_at, before.admitted_at);
    let again = approved(node_rotation(3, 77), seed::OPERATOR_B);
    let again = signed(&again, seed::OPERATOR_A);
    assert_eq!(refused(&world, &again), Reason::KeyInUse);
    let back = approved(node_rotation(3, seed::NODE + 3), seed::OPERATOR_B);
    let back = signed(&back, seed::OPERATOR_A);
    assert_eq!(refused(&world, &back), Reason::KeyInUse);
    for of_another in [seed::NODE + 2, seed::NODE + 3] {
        let other = approved(node_rotation(2, of_another), seed::OPERATOR_B);
        let other = signed(&other, seed::OPERATOR_A);
        assert_eq!(refused(&world, &other), Reason::KeyInUse);
    }
    let unknown = approved(node_rotation(9, 78), seed::OPERATOR_B);
    let unknown = signed(&unknown, seed::OPERATOR_A);
    assert_eq!(refused(&world, &unknown), Reason::NotFound);
}
