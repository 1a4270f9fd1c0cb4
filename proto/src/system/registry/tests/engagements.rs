//! Goal: who may read of whom is told for any position and time, and an organisation gives away its
//! own records alone.

use super::signers::{access, busy, engagement, grant_to};
use super::*;
use crate::system::{EngagementChange, EngagementId, Grant};
use crate::time::UnixSeconds;

fn granting(grant: Grant) -> EngagementChange {
    EngagementChange::Grant(Box::new(grant))
}

#[test]
fn engagements_are_held_between_their_records_and_within_their_time() {
    let mut world = busy();
    let granted = world.registry.last_index().unwrap();
    let end = engagement("e-old", EngagementChange::End);
    let ended = world.system(&end, seed::ADMIN);
    let held = |body: &str, of: &str, index: u64, time: u64| {
        let between = Between {
            body: &org(body),
            organization: &org(of),
        };
        let at = (LeafIndex(index), UnixSeconds(time));
        let rows = world.registry.engagements_held(between, at);
        rows.map(|row| row.engagement.to_string())
            .collect::<Vec<_>>()
    };
    for (index, time, expected) in [
        (granted.0, 1_500, false),
        (granted.0 + 1, 1_500, true),
        (granted.0 + 1, 999, false),
        (granted.0 + 1, 1_000, true),
        (granted.0 + 1, 2_000, true),
        (granted.0 + 1, 2_001, false),
        (ended.0, 1_500, true),
        (ended.0 + 1, 1_500, false),
    ] {
        let found = held("other", "acme", index, time);
        assert_eq!(!found.is_empty(), expected, "{index} {time}");
    }
    let index = granted.0 + 1;
    assert!(held("acme", "other", index, 1_500).is_empty(), "one way");
    assert!(held("asleep", "acme", index, 1_500).is_empty());
    assert_eq!(
        refused(&world, &signed(&end, seed::ADMIN)),
        Reason::NotFound
    );
    let again = engagement("e-old", granting(grant_to("other")));
    assert_eq!(
        refused(&world, &signed(&again, seed::ADMIN)),
        Reason::IdConflict
    );
}

#[test]
fn an_organisation_lets_others_read_its_own_records_alone() {
    let world = busy();
    let about = |organization: &str| Grant {
        subjects: Some(vec![format!("urn:aimslog:{organization}:system:sys-1")]),
        ..grant_to("other")
    };
    let own = engagement("e-1", granting(about("acme")));
    let index = LeafIndex(world.entries.len() as u64);
    assert!(
        world
            .registry
            .check(index, &signed(&own, seed::ADMIN))
            .is_ok()
    );
    let foreign = engagement("e-1", granting(about("other")));
    let itself = engagement("e-1", granting(grant_to("acme")));
    let nobody = engagement("e-1", granting(grant_to("nobody")));
    for (name, record, signer, reason) in [
        ("subject", &foreign, seed::ADMIN, Reason::ForeignRecords),
        ("signer", &own, seed::OTHER_ADMIN, Reason::ForeignRecords),
        ("reviewer", &own, seed::REVIEWER, Reason::NotPermitted),
        ("operator", &own, seed::OPERATOR_A, Reason::NotPermitted),
        ("itself", &itself, seed::ADMIN, Reason::InvalidField),
        ("nobody", &nobody, seed::ADMIN, Reason::NotFound),
    ] {
        assert_eq!(refused(&world, &signed(record, signer)), reason, "{name}");
    }
}

#[test]
fn reads_from_outside_are_reported_in_batches_without_gaps() {
    let mut world = busy();
    let next = world.entries.len() as u64;
    for (name, record, reason) in [
        ("a gap", access(2, "e-old", 3), Reason::VersionConflict),
        ("no engagement", access(1, "e-none", 3), Reason::NotFound),
        ("ahead", access(1, "e-old", next), Reason::BeyondTree),
    ] {
        let statement = signed(&record, seed::SERVICE);
        assert_eq!(refused(&world, &statement), reason, "{name}");
    }
    world.system(&access(1, "e-old", 3), seed::SERVICE);
    assert_eq!(world.registry.access_batches(), 1);
    let twice = signed(&access(1, "e-old", 3), seed::SERVICE);
    assert_eq!(refused(&world, &twice), Reason::VersionConflict);
    world.system(&access(2, "e-old", 4), seed::SERVICE);
    let id = EngagementId::new("e-old").unwrap();
    assert!(world.registry.engagement(&org("acme"), &id).is_some());
}
