use super::*;
use crate::aims::bundle::RuleBundle;
use crate::aims::small;
use crate::limits::LINKING_STANDINGS_MAX;
use crate::statement::header::Change;
use std::collections::{BTreeMap, BTreeSet};

mod links;
mod suite;
mod world;

use world::{Attempt, OTHER, SIGNER, World, entity, signing};

fn leaked(bundle: RuleBundle) -> &'static RuleBundle {
    Box::leak(Box::new(bundle))
}

fn small_bundle() -> &'static RuleBundle {
    leaked(
        RuleBundle::v1()
            .with_kinds(small::kinds())
            .expect("good tables"),
    )
}

/// The bundle without one of its guards.
fn without(bundle: &RuleBundle, id: &str) -> &'static RuleBundle {
    let mut kinds: BTreeMap<(String, u32), Kind> = BTreeMap::new();
    for kind in bundle.kinds() {
        let mut kind = kind.clone();
        kind.tables.guards.retain(|guard| guard.id != id);
        kinds.insert((kind.name.clone(), kind.version), kind);
    }
    leaked(
        bundle
            .with_kinds(kinds)
            .expect("fewer guards are as consistent"),
    )
}

fn guard_ids(bundle: &'static RuleBundle) -> BTreeSet<(&'static str, &'static str)> {
    let kinds = bundle.kinds();
    let guards = kinds.flat_map(|kind| {
        let guards = kind.tables.guards.iter();
        guards.map(|guard| (kind.name(), guard.id.as_str()))
    });
    guards.collect()
}

fn cases_of(bundle: &'static RuleBundle) -> Vec<suite::Case> {
    suite::of(bundle).unwrap_or_else(|faults| panic!("\n{}\n", faults.join("\n")))
}

fn play(bundle: &'static RuleBundle) -> usize {
    let cases = cases_of(bundle);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| case.holds(bundle).err())
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    cases.len()
}

/// Each guard in turn is taken away: some case of its kind must come out differently.
fn disable_each(bundle: &'static RuleBundle) {
    let cases = cases_of(bundle);
    let mut unnoticed = Vec::new();
    for (kind, id) in guard_ids(bundle) {
        let weaker = without(bundle, id);
        let mut own = cases.iter().filter(|case| case.kind == kind);
        if own.all(|case| case.holds(weaker).is_ok()) {
            unnoticed.push(id);
        }
    }
    assert!(unnoticed.is_empty(), "disabled unnoticed: {unnoticed:?}");
}

#[test]
fn every_move_and_every_guard_of_the_bundle_decides_as_its_table_says() {
    let count = play(RuleBundle::v1());
    let guards = guard_ids(RuleBundle::v1()).len();
    assert!(
        guards > 0 && count > 100 + 2 * guards,
        "{count} cases of {guards} guards"
    );
}

#[test]
fn no_guard_of_the_bundle_can_be_disabled_unnoticed() {
    disable_each(RuleBundle::v1());
}

#[test]
fn the_small_kinds_use_every_need_and_hold() {
    assert!(play(small_bundle()) > 50);
    assert_eq!(guard_ids(small_bundle()).len(), 6);
    disable_each(small_bundle());
}

#[test]
fn the_suite_says_which_guard_can_never_refuse_alone() {
    let mut kinds = small::kinds();
    let guards = &mut small::tables(&mut kinds, "job").guards;
    let mut again = guards
        .iter()
        .find(|guard| guard.id == "JOB-OTHER")
        .expect("a guard")
        .clone();
    again.id = "JOB-OTHER-AGAIN".to_owned();
    guards.push(again);
    let bundle = leaked(RuleBundle::v1().with_kinds(kinds).expect("consistent"));
    let faults = suite::of(bundle).expect_err("one of them is for nothing");
    assert!(
        faults.iter().all(|fault| fault.contains("JOB-OTHER")),
        "{faults:?}"
    );
    assert!(
        faults
            .iter()
            .any(|fault| fault.ends_with("never refuses alone")),
        "{faults:?}"
    );
}

fn job(world: &mut World, state: &str) -> EntryId {
    world.add(entity("job", state))
}

fn check(state: &str) -> Entity {
    let mut check = entity("check", state);
    check.signings = BTreeSet::from([signing("run", SIGNER), signing(state, OTHER)]);
    check
}

fn rules(found: &[Violation]) -> Vec<&str> {
    found
        .iter()
        .map(|violation| violation.rule.split(':').next().unwrap_or_default())
        .collect()
}

#[test]
fn every_guard_that_fails_is_named_with_what_is_missing() {
    let bundle = small_bundle();
    let mut world = World::default();
    let mut draft = entity("job", "checked");
    draft.signings.insert(signing("draft", SIGNER));
    let own = world.add(draft);
    let mut attempt = Attempt::of(("job", 1), Some(own), "approved");
    attempt.origin = Origin::System;
    let found = attempt.refusals(bundle, &world);
    assert_eq!(rules(&found), ["JOB-PERSON", "JOB-OTHER", "JOB-ANY"]);
    let told: Vec<_> = found
        .iter()
        .map(|one| {
            (
                one.field.as_str(),
                one.found.as_deref(),
                one.nearest.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("header.origin", "a program", "a person, for itself"),
        (
            "header.transition",
            "holder-signer, who has signed it in draft",
            "the key of another holder",
        ),
        (
            "header.transition",
            "no check that links here as job",
            "a check that links here as job in passed or failed, since this was last closed",
        ),
    ];
    assert_eq!(
        told,
        expected.map(|(field, found, nearest)| (field, Some(found), Some(nearest)))
    );
    assert_eq!(found[1].rule, "JOB-OTHER: approved by somebody else");
    assert!(found.iter().all(|one| one.reason == Reason::GuardFailed));
    let guards: Vec<_> = bundle
        .newest_kind("job")
        .expect("a kind")
        .life_cycle()
        .guards_of("approved")
        .collect();
    assert!(guards[0].is_behind(&found[0]) && !guards[0].is_behind(&found[1]));
}

#[test]
fn what_is_found_instead_is_told() {
    let bundle = small_bundle();
    let mut world = World::default();
    let own = job(&mut world, "draft");
    let (basis, gone) = (world.add(entity("check", "run")), {
        let mut gone = entity("job", "closed");
        gone.retracted = true;
        world.add(gone)
    });
    let mut attempt = Attempt::of(("job", 1), Some(own), "checked");
    attempt.links = vec![("basis".to_owned(), basis), ("basis".to_owned(), gone)];
    let found = attempt.refusals(bundle, &world);
    assert_eq!(rules(&found), ["JOB-BASIS"]);
    let text = found[0].found.as_deref().expect("found");
    assert!(
        text.contains("basis to check in run") && text.contains("basis to a retracted job"),
        "{text}"
    );
    assert_eq!(found[0].field, "header.links");
    let nearest = found[0].nearest.as_deref().expect("nearest");
    assert_eq!(
        nearest,
        "a link basis to one in passed or closed, or a link plan"
    );

    let own = job(&mut world, "approved");
    world.add_linking(check("failed"), ("job", own));
    let mut same = check("passed");
    same.signings.insert(signing("run", OTHER));
    world.add_linking(same, ("job", own));
    world.add_linking(check("passed"), ("job", own));
    let found = Attempt::of(("job", 1), Some(own), "closed").refusals(bundle, &world);
    assert_eq!(rules(&found), ["JOB-EVERY"]);
    assert_eq!(
        found[0].found.as_deref(),
        Some("1 check in failed, 1 check in passed by who had signed it in run")
    );
    assert_eq!(
        found[0].nearest.as_deref(),
        Some("every check that links here as job in passed, by another than signed it in run")
    );
}

#[test]
fn a_person_signs_for_itself_with_a_key_of_its_own() {
    let bundle = small_bundle();
    for origin in [Origin::Person, Origin::System, Origin::AiAgent] {
        let mut attempt = Attempt::of(("job", 1), None, "draft");
        attempt.origin = origin;
        let found = attempt.refusals(bundle, &World::default());
        let is_person = origin == Origin::Person;
        assert_eq!(
            rules(&found),
            if is_person {
                vec![]
            } else {
                vec!["JOB-PERSON"]
            }
        );
    }
}

/// The newest version's links count, at the entity and not at the version that is named, and those of
/// a retracted one do not.
#[test]
fn links_count_as_long_as_the_newest_version_has_them() {
    let bundle = small_bundle();
    let mut world = World::default();
    let own = job(&mut world, "approved");
    let close = Attempt::of(("job", 1), Some(own), "closed");
    let is_closable = |world: &World| close.refusals(bundle, world).is_empty();
    let step =
        |world: &mut World, entity, (state, holder): (&str, &str), links: &[EntryId], change| {
            let mut attempt = Attempt::of(("check", 1), entity, state);
            attempt.links = links.iter().map(|to| ("job".to_owned(), *to)).collect();
            attempt.holder = holder.to_owned();
            attempt.change = change;
            let (found, reached) = attempt.judge(bundle, world);
            assert_eq!(found, [], "{state}");
            let id = reached.id;
            world.take(reached);
            Some(id)
        };
    let mut check = step(&mut world, None, ("run", SIGNER), &[own], Change::Amend);
    assert!(!is_closable(&world));
    check = step(&mut world, check, ("passed", SIGNER), &[own], Change::Amend);
    assert!(!is_closable(&world), "in the same hands");
    check = step(&mut world, check, ("run", OTHER), &[own], Change::Amend);
    check = step(
        &mut world,
        check,
        ("passed", "holder-third"),
        &[own, own],
        Change::Amend,
    );
    assert!(is_closable(&world), "twice named is once linked");
    step(
        &mut world,
        check,
        ("passed", SIGNER),
        &[own],
        Change::Correct,
    );
    assert!(
        is_closable(&world),
        "amended by whoever, it was brought there by another"
    );
    let mut dropping = Attempt::of(("check", 1), check, "passed");
    dropping.holder = "holder-third".to_owned();
    let found = dropping.refusals(bundle, &world);
    let told: Vec<_> = found.iter().map(|one| (one.reason, &*one.field)).collect();
    assert_eq!(told, [(Reason::InvalidHeader, "header.links")], "{found:?}");
    assert_eq!(found[0].nearest, Some(own.to_string()));
    let second = step(&mut world, None, ("run", SIGNER), &[own], Change::Amend);
    assert!(!is_closable(&world), "every one");
    step(&mut world, second, ("run", SIGNER), &[own], Change::Retract);
    assert!(
        is_closable(&world),
        "what is retracted is as if it were not there"
    );
    step(
        &mut world,
        check,
        ("passed", SIGNER),
        &[own],
        Change::Retract,
    );
    assert!(!is_closable(&world));
}

/// Whoever amends what was approved is held to what the approval asked of its signer.
#[test]
fn a_version_that_stays_is_signed_by_whom_the_state_asks_for() {
    let bundle = small_bundle();
    let mut world = World::default();
    let mut approved = entity("job", "approved");
    approved.signings.insert(signing("draft", SIGNER));
    let own = world.add(approved);
    for change in [Change::Amend, Change::Correct] {
        let mut attempt = Attempt::of(("job", 1), Some(own), "approved");
        attempt.change = change;
        assert_eq!(rules(&attempt.refusals(bundle, &world)), ["JOB-OTHER"]);
        attempt.origin = Origin::System;
        attempt.holder = OTHER.to_owned();
        assert_eq!(rules(&attempt.refusals(bundle, &world)), ["JOB-PERSON"]);
        attempt.origin = Origin::Person;
        assert_eq!(
            attempt.refusals(bundle, &world),
            [],
            "nobody asks again who links here"
        );
    }
    let mut attempt = Attempt::of(("job", 1), Some(own), "approved");
    attempt.change = Change::Retract;
    assert_eq!(attempt.refusals(bundle, &world), [], "it is taken back");
}

#[test]
fn what_is_asked_on_entry_is_not_asked_of_those_that_stay() {
    let bundle = RuleBundle::v1();
    let mut world = World::default();
    let by_program = |own, state: &str, world: &World| {
        let mut attempt = Attempt::of(("ai_system", 1), own, state);
        attempt.origin = Origin::System;
        attempt.subject = world::SYSTEM.to_owned();
        attempt.refusals(bundle, world)
    };
    let [suspended, running] = ["suspended", "production"].map(|state| {
        let mut system = entity("ai_system", state);
        system.subject = world::SYSTEM.to_owned();
        Some(world.add(system))
    });
    for own in [None, suspended] {
        let found = by_program(own, "production", &world);
        assert_eq!(rules(&found), ["AI-SYSTEM-PERSON"], "{own:?}");
    }
    assert_eq!(by_program(running, "production", &world), []);
    // Nothing that is approved is loosened by that.
    let kinds = bundle.kinds();
    let guards = kinds.flat_map(|kind| kind.tables.guards.iter());
    let on_entry: Vec<&str> = guards
        .filter(|guard| guard.on_entry)
        .map(|guard| guard.id.as_str())
        .collect();
    assert_eq!(on_entry, ["AI-SYSTEM-PERSON"]);
}

/// A kind without a field for its state: a version that names none stays, and is held to the same.
#[test]
fn a_version_that_names_no_state_is_held_to_that_of_its_entity() {
    let bundle = small_bundle();
    let mut world = World::default();
    let mut approved = entity("job", "approved");
    approved.signings.insert(signing("draft", SIGNER));
    let own = world.add(approved);
    let mut attempt = Attempt::of(("job", 1), Some(own), "");
    assert_eq!(rules(&attempt.refusals(bundle, &world)), ["JOB-OTHER"]);
    attempt.holder = OTHER.to_owned();
    let (found, reached) = attempt.judge(bundle, &world);
    assert_eq!((found, &*reached.after.state), (vec![], "approved"));
}

#[test]
fn no_version_is_of_an_older_version_of_the_kind_than_the_one_before() {
    let mut kinds = small::kinds();
    let mut next = kinds[&("job".to_owned(), 1)].clone();
    next.version = 2;
    kinds.insert(("job".to_owned(), 2), next);
    let bundle = leaked(RuleBundle::v1().with_kinds(kinds).expect("consistent"));
    let mut world = World::default();
    let own = job(&mut world, "draft");
    for version in [1, 2, 2] {
        let (found, reached) =
            Attempt::of(("job", version), Some(own), "draft").judge(bundle, &world);
        assert_eq!(found, [], "{version}");
        assert_eq!(reached.after.kind_version, version);
        world.take(reached);
    }
    let found = Attempt::of(("job", 1), Some(own), "draft").refusals(bundle, &world);
    let told: Vec<_> = found.iter().map(|one| (one.reason, &*one.field)).collect();
    assert_eq!(told, [(Reason::HeaderMismatch, "header.content_type")]);
    assert_eq!(found[0].found.as_deref(), Some("job version 1"));
    assert_eq!(found[0].nearest.as_deref(), Some("job version 2"));
}

#[test]
fn a_record_is_taken_back_in_the_state_that_it_is_in() {
    let mut world = World::default();
    let own = job(&mut world, "draft");
    let mut attempt = Attempt::of(("job", 1), Some(own), "checked");
    attempt.change = Change::Retract;
    let found = attempt.refusals(small_bundle(), &world);
    let told: Vec<_> = found.iter().map(|one| (one.reason, &*one.field)).collect();
    assert_eq!(told, [(Reason::InvalidTransition, "header.transition")]);
    assert_eq!(found[0].nearest.as_deref(), Some("draft"));
}

/// A job that is done once more needs a check of its own: of the first time, also amended or newly
/// linked, none counts, and one that comes into its state again does.
#[test]
fn what_came_before_an_entity_was_begun_again_does_not_count() {
    let bundle = small_bundle();
    let mut world = World::default();
    let mut checked = entity("job", "checked");
    checked.round = 0;
    let own = world.add(checked);
    let step = |world: &mut World, kind, entity, (state, holder): (&str, &str)| {
        let mut attempt = Attempt::of((kind, 1), entity, state);
        attempt.holder = holder.to_owned();
        if kind == "check" {
            attempt.links = vec![("job".to_owned(), own)];
        }
        let (found, reached) = attempt.judge(bundle, world);
        if found.is_empty() {
            let id = reached.id;
            world.take(reached);
            return Ok(id);
        }
        Err(found)
    };
    let first = step(&mut world, "check", None, ("run", SIGNER)).expect("opened");
    step(&mut world, "check", Some(first), ("passed", OTHER)).expect("in other hands");
    for state in ["approved", "closed", "draft"] {
        step(&mut world, "job", Some(own), (state, OTHER)).expect(state);
    }
    let basis = world.add(entity("check", "passed"));
    let mut again = Attempt::of(("job", 1), Some(own), "checked");
    again.links = vec![("basis".to_owned(), basis)];
    let (found, reached) = again.judge(bundle, &world);
    assert_eq!(found, []);
    world.take(reached);

    step(&mut world, "check", Some(first), ("passed", OTHER)).expect("amended");
    // It had passed for something else, and links here only now.
    let unlinked = world.add(entity("check", "passed"));
    step(&mut world, "check", Some(unlinked), ("passed", OTHER)).expect("newly linked");
    let refused = step(&mut world, "job", Some(own), ("approved", "holder-third"));
    let refused = refused.expect_err("no check since");
    assert_eq!(rules(&refused), ["JOB-ANY"]);
    assert_eq!(
        refused[0].found.as_deref(),
        Some("2 check in passed since before it was closed")
    );
    step(&mut world, "check", Some(first), ("run", SIGNER)).expect("run again");
    step(&mut world, "check", Some(first), ("failed", OTHER)).expect("judged again");
    step(&mut world, "job", Some(own), ("approved", "holder-third")).expect("judged since");
}

#[test]
fn no_version_changes_what_an_entity_is_about() {
    let mut world = World::default();
    let own = job(&mut world, "draft");
    let mut attempt = Attempt::of(("job", 1), Some(own), "draft");
    attempt.subject = "urn:aimslog:acme:system:triage".to_owned();
    let found = attempt.refusals(small_bundle(), &world);
    let told: Vec<_> = found.iter().map(|one| (one.reason, &*one.field)).collect();
    assert_eq!(told, [(Reason::HeaderMismatch, "header.sub")]);
    assert_eq!(found[0].nearest.as_deref(), Some(world::SUBJECT));
}

#[test]
fn guards_of_an_unknown_entity_are_not_judged() {
    let bundle = small_bundle();
    let world = World::default();
    let nothing = EntryId::of(b"nothing");
    let found = Attempt::of(("job", 1), Some(nothing), "draft").refusals(bundle, &world);
    let reasons: Vec<Reason> = found.iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [Reason::MissingLinkTarget]);
}

#[test]
fn ways_to_stand_are_limited() {
    let mut kinds = small::kinds();
    let tables = small::tables(&mut kinds, "check");
    let more = (0..LINKING_STANDINGS_MAX).map(|number| format!("s{number}"));
    let more: Vec<String> = more.collect();
    tables.states.extend(more.clone());
    tables.initial.extend(more.clone());
    let bundle = leaked(RuleBundle::v1().with_kinds(kinds).expect("consistent"));
    let mut world = World::default();
    let own = job(&mut world, "approved");
    let mut open = |state: &str| {
        let mut attempt = Attempt::of(("check", 1), None, state);
        attempt.links = vec![("job".to_owned(), own)];
        let (found, reached) = attempt.judge(bundle, &world);
        if found.is_empty() {
            world.take(reached);
        }
        found
    };
    for state in &more {
        assert_eq!(open(state), [], "{state}");
    }
    assert_eq!(open("s7"), [], "it stands like another one");
    let found = open("run");
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.reason, one.field.as_str()))
        .collect();
    assert_eq!(told, [(Reason::InvalidHeader, "header.links")]);
}
