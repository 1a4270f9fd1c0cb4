//! Registry statements and evidence in one order: what each may is decided at its own position.

use aimslog_proto::system::{OrganizationChange, Role, RoleChange};

use super::*;

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn suspend() -> OrganizationChange {
    OrganizationChange::Suspend {
        approvals: Vec::new(),
    }
}

fn resume() -> OrganizationChange {
    OrganizationChange::Resume {
        approvals: Vec::new(),
    }
}

/// Sends both in one batch and says what became of the second.
fn second_of(engine: &mut Engine, first: &Bytes, second: &Bytes) -> ItemOutcome {
    let outcomes = engine.batch(vec![item(first.clone()), item(second.clone())]);
    let [first, second] = <[ItemOutcome; 2]>::try_from(outcomes).unwrap();
    logged(first);
    second
}

#[test]
fn a_revocation_and_a_submission_have_one_answer_by_position() {
    let (world, mut engine) = world();
    let earlier = signed(&world.header(11, 1), 11);
    let logged_at = logged(engine.submit(earlier.clone())).index;
    let evidence = signed(&world.header(11, 2), 11);
    let revoke = world.principal("acme", Change::Revoke { name: "worker" }, 10);

    let (_, mut other) = self::world();
    logged(other.submit(earlier.clone()));
    let behind = second_of(&mut other, &revoke, &evidence);
    assert_eq!(reasons(&behind), [Reason::RevokedKey]);
    replayed(&other);

    logged(second_of(&mut engine, &evidence, &revoke));
    // Signed before, sent behind it.
    let late = signed(&world.header(11, 3), 11);
    let before = engine.rows.clone();
    assert_eq!(reasons(&engine.submit(late)), [Reason::RevokedKey]);
    assert_eq!(engine.rows, before);
    // What was logged in time stays valid where it stands, and is logged once.
    let again = logged_again(engine.submit(earlier));
    assert_eq!(again, logged_at);
    let worker = public_of(11);
    assert!(
        engine
            .registry
            .key_at(&worker, LeafIndex(logged_at))
            .is_some()
    );
    replayed(&engine);
}

fn public_of(seed: u8) -> aimslog_proto::statement::key::Thumbprint {
    crate::ledger::testing::public(seed).thumbprint()
}

#[track_caller]
fn logged_again(outcome: ItemOutcome) -> u64 {
    match outcome {
        ItemOutcome::AlreadyLogged(logged) => logged.index,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rotated_key_gives_way_to_the_new_one_at_its_position() {
    let (world, mut engine) = world();
    let change = Change::Rotate {
        name: "worker",
        seed: 12,
    };
    let rotate = world.principal("acme", change, 10);
    let old = signed(&world.header(11, 1), 11);
    let new = signed(&world.header(12, 2), 12);
    assert_eq!(reasons(&engine.submit(new.clone())), [Reason::UnknownKey]);
    let behind = second_of(&mut engine, &rotate, &old);
    assert_eq!(reasons(&behind), [Reason::RevokedKey]);
    logged(engine.submit(new));
    replayed(&engine);
}

#[test]
fn a_role_counts_behind_its_statement_and_not_in_front() {
    let (world, mut engine) = world();
    let withdraw = |id, name| world.role("worker", RoleChange::Withdraw(role(name)), (id, 10));
    let grant = |id, name| world.role("worker", RoleChange::Grant(role(name)), (id, 10));
    let decision = |id| signed(&world.header(11, id), 11);
    // A decision is signed by submitters and process owners.
    logged(engine.submit(withdraw(50, "process_owner")));
    let behind = second_of(&mut engine, &withdraw(51, "submitter"), &decision(1));
    assert_eq!(reasons(&behind), [Reason::NotPermitted]);
    logged(second_of(
        &mut engine,
        &grant(52, "submitter"),
        &decision(2),
    ));
    let before = engine.rows.clone();
    let last = world.role(
        "boss",
        RoleChange::Withdraw(Role::administrator()),
        (53, 10),
    );
    assert_eq!(reasons(&engine.submit(last)), [Reason::LastAdministrator]);
    let own = world.role("worker", RoleChange::Grant(Role::administrator()), (54, 11));
    assert_eq!(reasons(&engine.submit(own)), [Reason::NotPermitted]);
    assert_eq!(engine.rows, before);
    replayed(&engine);
}

#[test]
fn a_suspended_organisation_logs_nothing_until_it_is_resumed() {
    let (world, mut engine) = world();
    let before = engine.rows.clone();
    let alone = world.standing(suspend(), (60, 1));
    assert_eq!(reasons(&engine.submit(alone)), [Reason::TooFewOperators]);
    assert_eq!(engine.rows, before);
    let evidence = signed(&world.header(11, 1), 11);
    let stop = world.standing(suspend(), (61, 2));
    let behind = second_of(&mut engine, &stop, &evidence);
    assert_eq!(reasons(&behind), [Reason::OrganizationSuspended]);
    let before = engine.rows.clone();
    let grant = world.role("worker", RoleChange::Grant(role("monitor")), (62, 10));
    let refused = engine.submit(grant.clone());
    assert_eq!(reasons(&refused), [Reason::OrganizationSuspended]);
    assert_eq!(engine.rows, before);
    let chunk = BlobChunk {
        time_ms: engine.time_ms,
        organization: "acme".to_owned(),
        digest: [1; 32],
        offset: 0,
        total: 1,
        bytes: Bytes::from_static(b"x"),
    };
    let Outcome::Refused(violations) = engine.run(&Command::Blob(chunk)) else {
        panic!("an attachment of a suspended organisation")
    };
    assert_eq!(violations[0].reason, Reason::OrganizationSuspended);
    logged(second_of(
        &mut engine,
        &world.standing(resume(), (63, 2)),
        &evidence,
    ));
    logged(engine.submit(grant));
    replayed(&engine);
}
