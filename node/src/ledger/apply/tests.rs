//! Each rule that apply decides by, once allowed and once refused, and the whole as a function.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets another outcome fails and shows it"
)]

use aimslog_proto::{
    aims::replay::{Content, Replay},
    reason::Reason,
    statement::{
        EntryId, Header,
        header::{Change as Differs, ContentType, ControlRef, Family, Link, Origin, Revision},
    },
    time::UnixSeconds,
    tlog::{LeafIndex, TreeSize},
};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ledger::{
    command::{BlobChunk, Item},
    digest::state_digest,
    outcome::{ItemOutcome, Logged},
    payload::PayloadRow,
    progress::newest_head,
    reader,
    row::LinkingRow,
    testing::{Change, Engine, START_MS, World, id_of, item, other_root, signed},
    tree,
};

mod commands;
mod guards;
mod log_key;
mod registry;
mod roles;
mod twin;

fn world() -> (World, Engine) {
    let world = World::new();
    let engine = Engine::with_acme(&world);
    (world, engine)
}

#[track_caller]
fn logged(outcome: ItemOutcome) -> Logged {
    match outcome {
        ItemOutcome::Logged(logged) => logged,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn reasons(outcome: &ItemOutcome) -> Vec<Reason> {
    match outcome {
        ItemOutcome::Refused(violations) => violations.iter().map(|v| v.reason).collect(),
        other => panic!("{other:?}"),
    }
}

/// The whole log of a ledger, repeated from its entries alone.
fn replayed(engine: &Engine) -> Replay {
    let mut replay = Replay::new();
    let size = engine.core().frontier.size().0;
    for index in (0..size).map(LeafIndex) {
        let entry = reader::entry(&engine.rows, index).unwrap().unwrap();
        let pushed = replay.push(&entry.statement, Content::NotShown);
        assert_eq!(pushed, Ok(()), "entry {index:?}");
    }
    assert_eq!(*replay.tree(), engine.core().frontier);
    let told = |registry: &Registry| format!("{registry:?}");
    assert_eq!(told(replay.registry()), told(&engine.registry));
    assert_eq!(
        told(&crate::ledger::registry::read(&engine.rows).unwrap()),
        told(&engine.registry)
    );
    replay
}

#[test]
fn founds_once_and_only_with_genesis() {
    let world = World::new();
    let mut engine = Engine::empty();
    let early = engine.run(&Command::Tick { time_ms: START_MS });
    assert!(matches!(early, Outcome::Refused(_)));
    let mut swapped = world.genesis();
    std::mem::swap(&mut swapped.genesis, &mut swapped.keys);
    assert!(matches!(
        engine.run(&Command::Genesis(swapped)),
        Outcome::Refused(_)
    ));
    assert_eq!(
        engine.rows.iter().count(),
        0,
        "a refused genesis leaves nothing"
    );
    let Outcome::Batch(founded) = engine.run(&Command::Genesis(world.genesis())) else {
        panic!()
    };
    assert_eq!(founded.len(), 2);
    assert_eq!(engine.core().frontier.size(), TreeSize(2));
    assert_eq!(
        engine.core().cluster,
        *id_of(&world.genesis().genesis).as_bytes()
    );
    let before = engine.rows.clone();
    assert!(matches!(
        engine.run(&Command::Genesis(world.genesis())),
        Outcome::Refused(_)
    ));
    assert_eq!(engine.rows, before);
}

#[test]
fn logs_evidence_with_gap_free_numbers_and_repeats_the_first_result() {
    let (world, mut engine) = world();
    let first = signed(&world.header(11, 1), 11);
    let result = logged(engine.submit(first.clone()));
    assert_eq!(
        (result.index, result.number, result.time_ms),
        (4, 1, START_MS)
    );
    engine.time_ms += 1000;
    assert_eq!(engine.submit(first), ItemOutcome::AlreadyLogged(result));
    let refused = Header {
        audience: "other".to_owned(),
        ..world.header(11, 2)
    };
    assert_eq!(
        reasons(&engine.submit(signed(&refused, 11))),
        [Reason::WrongAudience]
    );
    assert_eq!(
        logged(engine.submit(signed(&world.header(11, 3), 11))).number,
        2
    );
}

#[test]
fn same_id_with_other_bytes_is_a_conflict() {
    let (world, mut engine) = world();
    logged(engine.submit(signed(&world.header(11, 1), 11)));
    let other = Header {
        issued: UnixSeconds(START_MS / 1000 - 1),
        ..world.header(11, 1)
    };
    assert_eq!(
        reasons(&engine.submit(signed(&other, 11))),
        [Reason::IdConflict]
    );
}

/// A rule: its name, what breaks it, and the reason.
type Rule = (&'static str, fn(&mut Header), Reason);

#[test]
fn refuses_by_each_header_rule_and_leaves_nothing() {
    let (world, mut engine) = world();
    let other_log = |header: &mut Header| header.audience = "elsewhere.example".to_owned();
    let table: [Rule; 14] = [
        ("audience", other_log, Reason::WrongAudience),
        (
            "issuer",
            |h| h.issuer = h.issuer.replace("acme", "rival"),
            Reason::WrongIssuer,
        ),
        (
            "subject",
            |h| h.subject = h.subject.replace("acme", "rival"),
            Reason::WrongIssuer,
        ),
        ("expired", expire, Reason::Expired),
        (
            "issued ahead",
            |h| h.issued = UnixSeconds(START_MS / 1000 + 301),
            Reason::IssuedInFuture,
        ),
        ("rules", |h| h.rules = Some([0; 32]), Reason::RulesOutdated),
        (
            "kind",
            |h| h.content_type = evidence("oversight", 1),
            Reason::UnknownKind,
        ),
        (
            "version",
            |h| h.content_type = evidence("oversight_decision", 9),
            Reason::UnknownVersion,
        ),
        (
            "control",
            |h| h.controls = vec![control("A.9.99")],
            Reason::UnknownControl,
        ),
        (
            "link",
            |h| h.links = vec![link("follows", [8; 32])],
            Reason::MissingLinkTarget,
        ),
        (
            "agent",
            |h| h.origin = Some(Origin::AiAgent),
            Reason::InvalidHeader,
        ),
        (
            "behalf",
            |h| h.on_behalf_of = Some("nobody".to_owned()),
            Reason::NotPermitted,
        ),
        (
            "state",
            |h| h.transition = Some("closed".to_owned()),
            Reason::InvalidTransition,
        ),
        (
            "entity",
            |h| h.revision = Some(revision([8; 32], [8; 32])),
            Reason::MissingLinkTarget,
        ),
    ];
    let before = engine.rows.clone();
    for (name, change, reason) in table {
        let mut header = world.header(11, 1);
        change(&mut header);
        let outcome = engine.submit(signed(&header, 11));
        assert_eq!(reasons(&outcome), [reason], "{name}");
        assert_eq!(engine.rows, before, "{name}");
    }
}

fn expire(header: &mut Header) {
    header.issued = UnixSeconds(START_MS / 1000 - 100);
    header.expires = Some(UnixSeconds(START_MS / 1000 - 1));
}

fn evidence(kind: &str, version: u32) -> ContentType {
    ContentType::new(Family::Evidence, kind, version).unwrap()
}

fn control(id: &str) -> ControlRef {
    ControlRef {
        scheme: "iso42001-2023".to_owned(),
        id: id.to_owned(),
    }
}

fn link(relation: &str, target: [u8; 32]) -> Link {
    let target = EntryId::from_bytes(target);
    Link {
        relation: relation.to_owned(),
        target,
        origin: None,
    }
}

fn revision(entity: [u8; 32], previous: [u8; 32]) -> Revision {
    Revision {
        entity: EntryId::from_bytes(entity),
        previous: EntryId::from_bytes(previous),
        change: Differs::Amend,
    }
}

#[test]
fn names_everything_that_is_wrong_at_once() {
    let (world, mut engine) = world();
    let mut header = Header {
        rules: Some([0; 32]),
        controls: vec![control("A.9.2"), control("A.9.99")],
        links: vec![link("follows", [8; 32])],
        ..world.header(11, 1)
    };
    expire(&mut header);
    let mut found = reasons(&engine.submit(signed(&header, 11)));
    found.sort_unstable();
    let mut expected = vec![
        Reason::Expired,
        Reason::RulesOutdated,
        Reason::UnknownControl,
        Reason::MissingLinkTarget,
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn only_active_keys_of_the_organisation_sign() {
    let (world, mut engine) = world();
    let by = |seed, id| signed(&world.header(seed, id), seed);
    assert_eq!(reasons(&engine.submit(by(77, 1))), [Reason::UnknownKey]);
    assert_eq!(
        reasons(&engine.submit(by(1, 2))),
        [Reason::NotPermitted],
        "an operator"
    );
    logged(engine.submit(by(11, 3)));
    let revoke = world.principal("acme", Change::Revoke { name: "worker" }, 10);
    logged(engine.submit(revoke));
    assert_eq!(reasons(&engine.submit(by(11, 4))), [Reason::RevokedKey]);
    assert_eq!(
        reasons(&engine.submit(by(10, 5))),
        [Reason::NotPermitted],
        "an administrator in no other role"
    );
}

#[test]
fn an_agent_says_so_and_for_whom_it_acts() {
    let (world, mut engine) = world();
    let admit = Change::Admit {
        name: "bot",
        seed: 12,
        roles: &["process_owner", "submitter"],
        acts_for: Some("worker"),
    };
    logged(engine.submit(world.principal("acme", admit, 10)));
    assert_eq!(
        reasons(&engine.submit(signed(&world.header(12, 1), 12))),
        // Neither is said, and it decides nothing.
        [
            Reason::InvalidHeader,
            Reason::InvalidHeader,
            Reason::NotPermitted
        ]
    );
    let honest = Header {
        content_type: ContentType::new(Family::Evidence, "nonconformity", 1).unwrap(),
        transition: Some("open".to_owned()),
        origin: Some(Origin::AiAgent),
        on_behalf_of: Some("worker".to_owned()),
        ..world.header(12, 2)
    };
    logged(engine.submit(signed(&honest, 12)));
}

#[test]
fn links_lead_to_earlier_entries_of_the_same_batch() {
    let (world, mut engine) = world();
    let first = signed(&world.header(11, 1), 11);
    let target = *id_of(&first).as_bytes();
    let second = Header {
        links: vec![link("follows", target)],
        ..world.header(11, 2)
    };
    let second = signed(&second, 11);
    let swapped = engine.batch(vec![item(second.clone())]);
    assert_eq!(reasons(&swapped[0]), [Reason::MissingLinkTarget]);
    let outcomes = engine.batch(vec![item(first), item(second)]);
    let index = outcomes.into_iter().map(logged).next_back().unwrap().index;
    let links = reader::Listing::Link {
        target: LeafIndex(4),
        relation: "follows",
    };
    let found = reader::list(&engine.rows, links, LeafIndex(0), 10).unwrap();
    assert_eq!(found, [LeafIndex(index)]);
}

#[test]
fn versions_follow_the_newest_and_end_with_a_retraction() {
    let (world, mut engine) = world();
    let first = signed(&world.header(11, 1), 11);
    let entity = *id_of(&first).as_bytes();
    let opened = logged(engine.submit(first));
    let version = |id, previous, change| {
        let mut header = world.header(11, id);
        header.revision = Some(Revision {
            change,
            ..revision(entity, previous)
        });
        signed(&header, 11)
    };
    let second = version(2, entity, Differs::Amend);
    let newest = *id_of(&second).as_bytes();
    let amended = logged(engine.submit(second));
    assert_eq!((opened.number, amended.number), (1, 1));
    let outcome = engine.submit(version(3, entity, Differs::Correct));
    assert_eq!(reasons(&outcome), [Reason::VersionConflict]);
    let ItemOutcome::Refused(violations) = outcome else {
        panic!()
    };
    let newest_text = EntryId::from_bytes(newest).to_string();
    assert_eq!(violations[0].nearest.as_deref(), Some(newest_text.as_str()));
    let retraction = version(4, newest, Differs::Retract);
    let last = *id_of(&retraction).as_bytes();
    logged(engine.submit(retraction));
    let after = engine.submit(version(5, last, Differs::Amend));
    assert_eq!(reasons(&after), [Reason::InvalidTransition]);
    let name = reader::RegisterName {
        organization: "acme",
        kind: "oversight_decision",
    };
    let from = reader::RegisterFrom {
        number: 1,
        version: 2,
    };
    let listed = reader::register(&engine.rows, name, from, 10).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(reader::register_size(&engine.rows, name).unwrap(), 1);
}

#[test]
fn a_life_cycle_moves_by_its_table() {
    let (world, mut engine) = world();
    let at = |id, state: Option<&str>, revision| Header {
        content_type: evidence("nonconformity", 1),
        transition: state.map(str::to_owned),
        revision,
        ..world.header(11, id)
    };
    let none = engine.submit(signed(&at(1, None, None), 11));
    assert_eq!(reasons(&none), [Reason::MissingHeader]);
    let late = engine.submit(signed(&at(2, Some("closed"), None), 11));
    assert_eq!(reasons(&late), [Reason::InvalidTransition]);
    let open = signed(&at(3, Some("open"), None), 11);
    let entity = *id_of(&open).as_bytes();
    logged(engine.submit(open));
    let jump = at(4, Some("closed"), Some(revision(entity, entity)));
    assert_eq!(
        reasons(&engine.submit(signed(&jump, 11))),
        [Reason::InvalidTransition]
    );
    let step = at(5, Some("analysed"), Some(revision(entity, entity)));
    logged(engine.submit(signed(&step, 11)));
}
