//! Goal: a catalogue of an organisation holds from its record on, for that organisation alone, and
//! decides at apply which ids its records may cite.

use super::signers::{busy, controls};
use super::*;
use crate::aims::bundle::RuleBundle;
use crate::aims::catalog::Catalogue;
use crate::aims::judge::{Position, check_signed};
use crate::limits::{CATALOGUE_VERSIONS_MAX, CATALOGUES_MAX};
use crate::statement::evidence::testing::finding_header;
use crate::statement::header::{CatalogRef, ControlRef, Header};
use crate::system::Controls;

fn declared(text: &str) -> Controls {
    Controls::new(org("acme"), Catalogue::parse(text).unwrap()).unwrap()
}

/// What apply says of the controls of a record of acme's reviewer at this place.
fn judged(
    world: &World,
    index: LeafIndex,
    change: impl FnOnce(&mut Header),
) -> Vec<(Reason, String)> {
    let mut header = finding_header(0, seed::REVIEWER);
    header.controls.clear();
    change(&mut header);
    let at = Position {
        registry: &world.registry,
        bundle: RuleBundle::v1(),
        index,
    };
    let found = check_signed(at, &header).violations.into_iter();
    let found = found.filter(|one| one.field.starts_with("header.c") && one.field.ends_with('s'));
    found
        .map(|one| (one.reason, one.nearest.unwrap_or_default()))
        .collect()
}

fn cites(scheme: &str, id: &str) -> impl FnOnce(&mut Header) {
    let (scheme, id) = (scheme.to_owned(), id.to_owned());
    move |header| header.controls.push(ControlRef { scheme, id })
}

#[test]
fn ids_of_a_declared_scheme_are_those_of_its_catalogue_from_there_on() {
    let mut world = busy();
    let before = LeafIndex(world.entries.len() as u64);
    assert_eq!(judged(&world, before, cites("org", "ANY.1")), []);
    let unknown = [(Reason::UnknownCatalogue, String::new())];
    assert_eq!(judged(&world, before, cites("ours", "SEC.1")), unknown);

    let first = world.system(&controls("org", 1), seed::ADMIN);
    let other = world.system(&controls("ours", 1), seed::ADMIN);
    let second = world.system(&controls("org", 2), seed::ADMIN);
    let near = |id: &str| vec![(Reason::UnknownControl, id.to_owned())];
    for (index, scheme, id, expected) in [
        (first, "org", "ANY.1", vec![]),
        (LeafIndex(first.0 + 1), "org", "SEC.1", vec![]),
        (LeafIndex(first.0 + 1), "org", "SEC.2", near("SEC.1")),
        (second, "org", "SEC.1", vec![]),
        (LeafIndex(second.0 + 1), "org", "SEC.1", near("SEC.2")),
        (LeafIndex(second.0 + 1), "org", "SEC.2", vec![]),
        (LeafIndex(other.0 + 1), "ours", "SEC.1", vec![]),
        (LeafIndex(other.0 + 1), "ours", "SEC.9", near("SEC.1")),
        (LeafIndex(second.0 + 1), "iso42001-2023", "A.9.2", vec![]),
        (
            LeafIndex(second.0 + 1),
            "iso42001-2023",
            "A.9.5",
            near("A.9.4"),
        ),
    ] {
        let found = judged(&world, index, cites(scheme, id));
        assert_eq!(found, expected, "{scheme}/{id} at {index:?}");
    }
    // One record cites several schemes, and each is judged by its own catalogue.
    let all = |header: &mut Header| {
        cites("org", "SEC.2")(header);
        cites("ours", "SEC.1")(header);
        cites("iso42001-2023", "A.9.2")(header);
        cites("eu-ai-act-2024", "Art.14")(header);
    };
    assert_eq!(judged(&world, LeafIndex(second.0 + 1), all), []);
}

#[test]
fn another_organisation_is_not_bound() {
    let mut world = busy();
    let at = world.system(&controls("org", 1), seed::ADMIN);
    let next = LeafIndex(at.0 + 1);
    let held = |id: &str| world.registry.catalogue_at(&org(id), "org", next);
    assert!(held("acme").is_some() && held("other").is_none());
    assert_eq!(world.registry.catalogues_of(&org("other")).count(), 0);
    let ours: Vec<u64> = world
        .registry
        .catalogues_of(&org("acme"))
        .map(|(index, _)| index.0)
        .collect();
    assert_eq!(ours, [at.0]);
}

#[test]
fn a_pinned_catalogue_is_the_one_in_force() {
    let mut world = busy();
    let first = controls("org", 1);
    let at = world.system(&first, seed::ADMIN);
    world.system(&controls("org", 2), seed::ADMIN);
    let pins = |scheme: &str, digest: [u8; 32]| {
        let scheme = scheme.to_owned();
        move |header: &mut Header| header.catalogues.push(CatalogRef { scheme, digest })
    };
    let digest = first.catalogue().digest();
    let next = LeafIndex(at.0 + 1);
    assert_eq!(judged(&world, next, pins("org", digest.0)), []);
    let later = judged(&world, LeafIndex(at.0 + 2), pins("org", digest.0));
    let newest = controls("org", 2).catalogue().digest().to_string();
    assert_eq!(later, [(Reason::UnknownCatalogue, newest)]);
    let guide = RuleBundle::v1().schemes().catalogue("iso42001-2023");
    let bundled = guide.unwrap().digest().0;
    assert_eq!(judged(&world, next, pins("iso42001-2023", bundled)), []);
    let none = judged(&world, next, pins("none", bundled));
    assert_eq!(
        none.first().map(|one| one.0),
        Some(Reason::UnknownCatalogue)
    );
}

#[test]
fn a_catalogue_that_may_not_be_declared_changes_nothing() {
    let mut world = busy();
    world.system(&controls("org", 1), seed::ADMIN);
    let one = |scheme: &str, line: &str| {
        declared(&format!(
            "scheme = \"{scheme}\"\nversion = 1\ntitle = \"t\"\n[[control]]\nid = \"C.1\"\n\
             title = \"c\"\n{line}\n"
        ))
    };
    let control = "relates = [[\"equal\", \"iso42001-2023/A.9.5\"]]";
    let alias = "relates = [[\"equal\", \"guide/9.1\"]]";
    for (name, record, reason) in [
        (
            "the same again",
            controls("org", 1),
            Reason::VersionConflict,
        ),
        ("a gap", controls("org", 3), Reason::VersionConflict),
        (
            "not the first",
            controls("ours", 2),
            Reason::VersionConflict,
        ),
        (
            "of the bundle",
            one("iso42001-2023", ""),
            Reason::InvalidField,
        ),
        ("of aliases", one("guide", ""), Reason::InvalidField),
        (
            "a kind",
            one("ours", "kinds = [\"rsk\"]"),
            Reason::UnknownKind,
        ),
        ("a control", one("ours", control), Reason::UnknownControl),
        ("an alias", one("ours", alias), Reason::UnknownControl),
    ] {
        assert_eq!(
            refused(&world, &signed(&record, seed::ADMIN)),
            reason,
            "{name}"
        );
        let count = world.registry.catalogues_of(&org("acme")).count();
        assert_eq!(count, 1, "{name}");
    }
    for number in 1..CATALOGUES_MAX {
        world.system(&controls(&format!("ours-{number}"), 1), seed::ADMIN);
    }
    let full = refused(&world, &signed(&controls("ours-9", 1), seed::ADMIN));
    assert_eq!(full, Reason::InvalidField);
    world.system(&controls("ours-1", 2), seed::ADMIN);
}

#[test]
fn whoever_has_used_up_the_versions_goes_on_under_another_scheme() {
    let mut world = busy();
    for version in 1..=CATALOGUE_VERSIONS_MAX {
        world.system(&controls("ours", version), seed::ADMIN);
    }
    let index = LeafIndex(world.entries.len() as u64);
    let one_more = signed(&controls("ours", CATALOGUE_VERSIONS_MAX + 1), seed::ADMIN);
    let refused = world.registry.check(index, &one_more).unwrap_err();
    let [violation] = refused.as_slice() else {
        panic!("{refused}");
    };
    assert_eq!(
        (violation.reason, violation.field.as_str()),
        (Reason::InvalidField, "payload.version")
    );
    assert!(
        violation.rule.contains("go on under another scheme"),
        "{violation}"
    );
    world.system(&controls("ours-too", 1), seed::ADMIN);
}

#[test]
fn the_limits_in_the_documentation_are_those_that_hold() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/catalogues.md");
    let text = std::fs::read_to_string(path).unwrap();
    let said = format!(
        "{CATALOGUES_MAX} schemes of an organisation, {CATALOGUE_VERSIONS_MAX} versions of each;"
    );
    assert!(text.contains(&said), "{said}");
}
