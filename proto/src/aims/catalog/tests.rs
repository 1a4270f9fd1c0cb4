//! Goal: the catalogues say what they are meant to say, an id that there is not is never taken, and every
//! number of the guide leads to real controls.

use std::collections::BTreeSet;

use super::*;
use crate::aims::bundle::RuleBundle;
use crate::reason::{Reason, Violation};

/// Frozen with the first release: another digest is another version.
const DIGESTS: [(&str, usize, &str); 3] = [
    (
        "eu-ai-act-2024",
        33,
        "c302099821ad97eb5d513280c37cc3374cc35a9f4ebc838a77068a4b3f8d8bb7",
    ),
    (
        "guide",
        20,
        "cc03a6807ea6970dff3f00cc5254b24decd3da9eefef481c569551b344de5209",
    ),
    (
        "iso42001-2023",
        70,
        "dc4fc1216159b0b5fdb0241e21c4aa37330c06a385e8440a542482ec5811ff12",
    ),
];

const ISO27001: &str = include_str!("../../../../docs/examples/iso27001-2022.toml");
const OWN: &str = include_str!("../../../../docs/examples/own-controls.toml");

fn schemes() -> &'static Schemes {
    RuleBundle::v1().schemes()
}

fn catalogue(scheme: &str) -> &'static Catalogue {
    schemes().catalogue(scheme).expect("a catalogue")
}

fn check(scheme: &str, id: &str) -> Result<String, Violation> {
    let found = schemes().check("controls", ControlClaim { scheme, id });
    found.map(|control| control.map_or_else(String::new, |control| control.title.clone()))
}

#[test]
fn catalogues_have_their_versions_sizes_and_digests() {
    let found: Vec<(String, usize, String)> = schemes()
        .catalogues()
        .map(|one| {
            assert_eq!(one.parts().version, 1);
            let scheme = one.scheme().to_owned();
            (scheme, one.controls().len(), one.digest().to_string())
        })
        .collect();
    let expected =
        DIGESTS.map(|(scheme, count, digest)| (scheme.to_owned(), count, digest.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn the_digest_covers_everything_that_is_said() {
    let act = catalogue("eu-ai-act-2024");
    let lines: Vec<String> = act.canonical_text().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "aimslog-catalogue/v1");
    let changes: [fn(&mut Parts); 14] = [
        |parts| parts.scheme.push('x'),
        |parts| parts.version += 1,
        |parts| parts.title.push('x'),
        |parts| parts.text = None,
        |parts| parts.dates[0].from = "2027-12-03".to_owned(),
        |parts| parts.dates[0].title.push('x'),
        |parts| parts.events[0].field = None,
        |parts| parts.events[1].title.push('x'),
        |parts| parts.controls[0].title.push('x'),
        |parts| drop(parts.controls[0].kinds.pop()),
        |parts| parts.controls[0].relates[0].relation = RelationKind::Equal,
        |parts| parts.controls[0].duty = None,
        |parts| drop(parts.controls.iter_mut().find_map(|one| one.clocks.pop())),
        |parts| drop(parts.controls[0].applies.pop()),
    ];
    let mut digests = BTreeSet::from([act.digest()]);
    for (number, change) in changes.into_iter().enumerate() {
        let mut parts = act.parts().clone();
        change(&mut parts);
        let changed = Catalogue::new(parts).expect("still a catalogue");
        assert!(digests.insert(changed.digest()), "change {number}");
    }
    let commented = format!("# A comment.\n{ISO27001}");
    let (plain, commented) = (Catalogue::parse(ISO27001), Catalogue::parse(&commented));
    assert_eq!(
        plain.expect("a catalogue").digest(),
        commented.expect("a catalogue").digest()
    );
}

#[test]
fn the_standard_has_all_clauses_and_all_controls() {
    let controls = catalogue("iso42001-2023").controls();
    let count = |prefix: &str| {
        let ids = controls
            .iter()
            .filter(|control| control.id.starts_with(prefix));
        ids.count()
    };
    assert_eq!((count("A."), controls.len() - count("A.")), (38, 32));
    let objectives = [3, 2, 5, 4, 9, 5, 4, 3, 3];
    for (objective, expected) in (2..).zip(objectives) {
        assert_eq!(count(&format!("A.{objective}.")), expected, "A.{objective}");
    }
    for (clause, expected) in (4..=10).zip([4, 3, 6, 7, 4, 6, 2]) {
        assert_eq!(count(&format!("{clause}.")), expected, "{clause}");
    }
    assert!(controls.iter().all(|control| !control.kinds.is_empty()));
}

/// What must be there before a control can show evidence, written down apart from the data.
const EVIDENCE: &[(&str, &[&str])] = &[
    ("6.3", &["change", "management_review"]),
    (
        "7.2",
        &[
            "training",
            "roster_snapshot",
            "role_assignment",
            "competence_assessment",
        ],
    ),
    ("7.5.2", &["procedure"]),
    (
        "8.1",
        &["project_plan", "deployment", "change", "third_party"],
    ),
    ("9.1", &["measurement", "rule_verdict"]),
    ("10.1", &["improvement"]),
    ("10.2", &["nonconformity", "corrective_action"]),
    ("A.3.3", &["concern_report"]),
    ("A.5.2", &["impact_assessment", "procedure"]),
    (
        "A.6.1.3",
        &["system_documentation", "oversight_plan", "procedure"],
    ),
    ("A.6.2.5", &["deployment", "impact_assessment"]),
    (
        "A.6.2.6",
        &[
            "measurement",
            "oversight_plan",
            "oversight_decision",
            "incident",
        ],
    ),
    ("A.8.4", &["incident", "communication"]),
    ("A.9.4", &["ai_system", "oversight_decision"]),
    ("A.10.2", &["third_party", "customer_commitment"]),
    ("A.10.3", &["third_party", "model_usage", "procedure"]),
];

#[test]
fn controls_name_the_kinds_that_evidence_them() {
    let standard = catalogue("iso42001-2023");
    let known: BTreeSet<&str> = RuleBundle::v1().kind_names().collect();
    for (id, kinds) in EVIDENCE {
        let control = standard.control(id).expect(id);
        for kind in *kinds {
            assert!(known.contains(kind), "{kind}");
            assert!(control.kinds.iter().any(|one| one == kind), "{id} {kind}");
        }
    }
    for catalogue in schemes().catalogues() {
        let mut found = RuleBundle::v1().check_catalogue("catalogue", catalogue);
        assert_eq!(found.next(), None, "{}", catalogue.scheme());
    }
}

#[test]
fn clocks_run_from_fields_that_there_are() {
    let bundle = RuleBundle::v1();
    let mut clocks = 0;
    for catalogue in schemes().catalogues() {
        for event in &catalogue.parts().events {
            let Some((kind, field)) = event.field.as_ref().and_then(|at| at.split_once('.')) else {
                continue;
            };
            assert!(bundle.kind_names().any(|known| known == kind), "{kind}");
            // A kind that is only reserved has no fields yet.
            if let Ok(kind) = bundle.newest_kind(kind) {
                assert!(kind.field_index(field).is_some(), "{} {field}", kind.name());
            }
        }
        let controls = catalogue.controls().iter();
        clocks += controls.map(|control| control.clocks.len()).sum::<usize>();
    }
    assert!(clocks >= 15, "{clocks}");
}

#[test]
fn the_act_has_its_clocks_and_dates() {
    let act = catalogue("eu-ai-act-2024");
    let clock = |id: &str| {
        let control = act.control(id).expect(id);
        let clock = control.clocks.last().expect(id);
        let period = clock.at_most.or(clock.at_least).expect(id);
        (
            clock.at_most.is_some(),
            period.to_string(),
            clock.from.clone(),
        )
    };
    for (id, is_limit, period, from) in [
        ("Art.18", false, "P10Y", "placed-on-market"),
        ("Art.19", false, "P6M", "log-made"),
        ("Art.20", true, "P0D", "not-conforming"),
        ("Art.22.3", false, "P10Y", "placed-on-market"),
        ("Art.23.5", false, "P10Y", "placed-on-market"),
        ("Art.26.6", false, "P6M", "log-made"),
        ("Art.47", false, "P10Y", "placed-on-market"),
        ("Art.73.2", true, "P15D", "aware"),
        ("Art.73.3", true, "P2D", "aware"),
        ("Art.73.4", true, "P10D", "aware"),
        ("Art.73.8", true, "P7D", "report-received"),
    ] {
        let expected = (is_limit, period.to_owned(), from.to_owned());
        assert_eq!(clock(id), expected, "{id}");
    }
    let from = |id: &str| {
        let mut dates = act.parts().dates.iter();
        dates.find(|date| date.id == id).expect(id).from.clone()
    };
    assert_eq!(from("annex-iii"), "2027-12-02");
    assert_eq!(from("annex-i"), "2028-08-02");
    assert_eq!(from("transparency"), "2026-08-02");
    assert_eq!(from("transparency-marking"), "2026-12-02");
    let marking = act.control("Art.50.2").expect("an article");
    assert_eq!(marking.applies, ["transparency-marking"]);
}

/// Every number of the guide, and the controls that it stands for.
const GUIDE: &[(&str, &str, &[&str])] = &[
    ("5", "domain-5", &["A.2.2", "A.2.3", "A.2.4", "5.2"]),
    ("6", "domain-6", &["A.3.2", "A.3.3", "5.3"]),
    (
        "7",
        "domain-7",
        &["A.5.2", "A.5.3", "A.5.4", "A.5.5", "6.1.4", "8.4"],
    ),
    ("8", "domain-8", &["A.6.1.2", "A.6.2.8", "8.1"]),
    (
        "9",
        "domain-9",
        &[
            "A.9.2", "A.9.3", "A.9.4", "A.6.1.3", "A.6.2.6", "A.5.3", "A.3.2", "A.4.6", "A.8.2",
        ],
    ),
    (
        "10",
        "domain-10",
        &["A.6.2.4", "A.6.2.6", "A.7.2", "A.7.6", "A.4.5"],
    ),
    ("11", "domain-11", &["A.9.2", "A.9.3", "A.9.4"]),
    ("12", "domain-12", &["A.10.2", "A.10.3", "A.10.4"]),
    (
        "13",
        "domain-13",
        &["A.6.2.8", "A.8.2", "A.8.3", "A.8.5", "7.5.1"],
    ),
    (
        "control 8.1",
        "control-8.1",
        &["A.6.2.7", "A.6.2.3", "A.8.2", "A.4.2"],
    ),
    ("8.1", "control-8.1", &["A.6.2.7"]),
    ("9.1", "control-9.1", &["A.9.2", "A.9.3", "A.6.2.6"]),
    (
        "control 10.1",
        "control-10.1",
        &["A.6.2.4", "A.7.2", "A.4.5"],
    ),
    ("12.1", "control-12.1", &["A.10.3", "A.10.2"]),
    ("6.1.2", "clause-6.1.2", &["6.1.2", "8.2", "6.1.3", "8.3"]),
    ("8.2", "clause-8.2", &["4.3", "A.4.2"]),
    (
        "clause 8.4",
        "clause-8.4",
        &["6.1.4", "8.4", "A.5.2", "A.5.3"],
    ),
    ("8.6", "clause-8.6", &["8.1", "A.10.2", "A.10.3"]),
    ("Clause 10.1", "clause-10.1", &["10.2"]),
    ("Annex B", "annex-B", &["A.5.2", "A.5.5"]),
    ("Annex F", "annex-F", &["8.1", "A.10.2", "A.10.3"]),
];

#[test]
fn every_number_of_the_guide_leads_to_real_controls() {
    let guide = catalogue("guide");
    let mut looked_up = BTreeSet::new();
    for (text, id, targets) in GUIDE {
        let answers = schemes().lookup(guide, text).expect(text);
        let [answer] = answers.as_slice() else {
            panic!("{text}: {answers:?}");
        };
        assert_eq!(answer.control.id, *id, "{text}");
        for target in *targets {
            let mut relates = answer.relates.iter();
            let related = relates.find(|one| one.id == *target && one.scheme == "iso42001-2023");
            let control = related.expect(text).control.expect("a real control");
            assert!(!control.kinds.is_empty(), "{text} {target}");
        }
        looked_up.insert(*id);
    }
    let all: BTreeSet<&str> = guide.controls().iter().map(|one| one.id.as_str()).collect();
    assert_eq!(looked_up, all);
    let relation = |id: &str| guide.control(id).expect(id).relates[0].relation;
    assert_eq!(relation("clause-10.1"), RelationKind::Equal);
    assert_eq!(relation("domain-11"), RelationKind::Broader);
    assert_eq!(relation("control-9.1"), RelationKind::Intersects);
}

#[test]
fn a_number_that_stands_for_two_things_is_both_and_never_taken() {
    let guide = catalogue("guide");
    let answers = schemes().lookup(guide, "10.1").expect("known");
    let ids: Vec<&str> = answers.iter().map(|one| one.control.id.as_str()).collect();
    assert_eq!(ids, ["control-10.1", "clause-10.1"]);
    let refused = check("guide", "10.1").expect_err("two things");
    assert!(refused.rule.contains("clause-10.1"), "{refused}");
    assert_eq!(refused.nearest.as_deref(), Some("guide/control-10.1"));
}

#[test]
fn an_id_of_the_standard_names_who_relates_to_it() {
    let answers = schemes().lookup(catalogue("iso42001-2023"), "A.9.2");
    let answers = answers.expect("a control");
    let related: Vec<String> = answers[0]
        .related_by
        .iter()
        .map(|one| format!("{}/{}", one.scheme, one.id))
        .collect();
    for expected in [
        "guide/control-9.1",
        "guide/domain-11",
        "eu-ai-act-2024/Art.14",
    ] {
        assert!(related.iter().any(|one| one == expected), "{related:?}");
    }
}

#[test]
fn an_id_that_there_is_not_is_refused_with_the_nearest_and_the_reason() {
    for (scheme, id, near, reason) in [
        (
            "iso42001-2023",
            "A.9.5",
            "A.9.4",
            "under A.9 it has A.9.2, A.9.3, A.9.4",
        ),
        (
            "iso42001-2023",
            "8.6",
            "8.4",
            "under 8 it has 8.1, 8.2, 8.3, 8.4",
        ),
        (
            "iso42001-2023",
            "8.6",
            "8.4",
            "stands for iso42001-2023/8.1, iso42001-2023/A.10.2",
        ),
        (
            "iso42001-2023",
            "6.1",
            "6.1.1",
            "the catalogue of iso42001-2023",
        ),
        ("iso42001-2023", "A.1.1", "A.", ""),
        ("iso42001-2023", "B.5.2", "A.5.2", ""),
        ("iso42001-2023", "11.1", "10.1", ""),
        (
            "eu-ai-act-2024",
            "Art.73.7",
            "Art.73.8",
            "under Art.73 it has Art.73.2",
        ),
        ("guide", "8.7", "", "the catalogue of guide"),
        (
            "guide",
            "9.1",
            "iso42001-2023/A.9.2",
            "Human oversight mechanisms",
        ),
    ] {
        let refused = check(scheme, id).expect_err(id);
        assert_eq!(refused.reason, Reason::UnknownControl, "{id}");
        let found = refused.nearest.clone().unwrap_or_default();
        assert!(found.contains(near), "{id}: {found}");
        assert!(refused.rule.contains(reason), "{id}: {refused}");
    }
    let refused = check("iso42001", "A.9.2").expect_err("no scheme");
    assert_eq!(refused.reason, Reason::UnknownCatalogue);
    assert_eq!(refused.nearest.as_deref(), Some("iso42001-2023"));
    let unknown = schemes().lookup(catalogue("iso42001-2023"), "8.6");
    let unknown = unknown.expect_err("no clause");
    let near: Vec<&str> = unknown
        .near
        .iter()
        .map(|one| one.control.id.as_str())
        .collect();
    assert_eq!(near, ["8.4", "8.3", "8.2"]);
    assert_eq!(unknown.elsewhere[0].control.id, "clause-8.6");
}

#[test]
fn a_further_catalogue_comes_as_a_file() {
    let file = Catalogue::parse(ISO27001).expect("a catalogue");
    assert_eq!(file.controls().len(), 93);
    for (theme, count) in [("A.5.", 37), ("A.6.", 8), ("A.7.", 14), ("A.8.", 34)] {
        let controls = file.controls().iter();
        let controls = controls.filter(|control| control.id.starts_with(theme));
        let numbers: Vec<String> = controls.map(|control| control.id.clone()).collect();
        let expected: Vec<String> = (1..=count).map(|n| format!("{theme}{n}")).collect();
        assert_eq!(numbers, expected);
    }
    let schemes = schemes().with(file).expect("a scheme of its own");
    let claim = ControlClaim {
        scheme: "iso27001-2022",
        id: "A.5.19",
    };
    assert!(schemes.check("controls", claim).is_ok());
    let elsewhere = schemes.written_elsewhere(catalogue("iso42001-2023"), "A.5.19");
    assert_eq!(elsewhere[0].scheme, "iso27001-2022");
    let own = Catalogue::parse(OWN).expect("a catalogue");
    assert_eq!(RuleBundle::v1().check_catalogue("own", &own).next(), None);
    let schemes = schemes.with(own).expect("org has none yet");
    let id = |id| ControlClaim { scheme: "org", id };
    assert!(schemes.check("controls", id("ORG.SEC.1")).is_ok());
    assert!(schemes.check("controls", id("ORG.SEC.9")).is_err());
    let again = catalogue("guide").clone();
    assert!(schemes.with(again).is_err());
}

/// A catalogue of one control, with one text replaced.
const SMALL: &str = r#"scheme = "acme"
version = 1
title = "Ours"
text = "first"

[[date]]
id = "d"
from = "2027-01-01"
title = "then"

[[event]]
id = "e"
title = "something"
field = "risk.at"

[[control]]
id = "C.1"
also = ["one"]
title = "A control"
kinds = ["risk"]
relates = [["equal", "iso42001-2023/A.9.2"]]
clocks = [{ at_most = "P1D", from = "e" }]
applies = ["d"]

[[control]]
id = "C.2"
title = "Another"
"#;

#[test]
fn a_file_that_is_no_catalogue_is_refused_with_its_place() {
    assert!(Catalogue::parse(SMALL).is_ok());
    for (from, to, place) in [
        ("scheme = \"acme\"", "scheme = \"Acme\"", "scheme"),
        ("version = 1", "version = 0", "version"),
        ("title = \"Ours\"", "title = \"\"", "title"),
        ("title = \"Ours\"", "titel = \"Ours\"", "parse"),
        ("text = \"first\"", "text = \" first\"", "text"),
        ("2027-01-01", "2027-02-30", "d"),
        ("2027-01-01", "2027-1-01", "d"),
        ("risk.at", "risk", "e"),
        ("id = \"C.2\"", "id = \"C.1\"", "C.1"),
        ("id = \"C.2\"", "id = \"C 2\"", "control.id"),
        ("id = \"C.2\"", "id = \"one\"", "also"),
        ("title = \"Another\"", "title = \"An\\nother\"", "C.2"),
        ("[\"risk\"]", "[\"Risk\"]", "C.1"),
        ("\"equal\"", "\"same\"", "parse"),
        ("iso42001-2023/A.9.2", "A.9.2", "parse"),
        ("iso42001-2023/A.9.2", "acme/C.2", "C.1"),
        ("P1D", "1D", "parse"),
        ("P1D", "P1W", "parse"),
        ("P1D", "P-1D", "parse"),
        ("at_most = \"P1D\", ", "", "C.1"),
        ("from = \"e\"", "from = \"f\"", "C.1"),
        ("applies = [\"d\"]", "applies = [\"f\"]", "C.1"),
        (
            "title = \"Ours\"",
            "title = \"Ours\"\naliases = true",
            "C.2",
        ),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from}");
        let refused = Catalogue::parse(&text).expect_err(to).to_string();
        assert!(refused.contains(place), "{to}: {refused}");
    }
    let more: Vec<String> = (3..=1_001)
        .map(|number| format!("\n[[control]]\nid = \"C.{number}\"\ntitle = \"x\"\n"))
        .collect();
    let many = [SMALL.to_owned(), more.concat()].concat();
    assert!(Catalogue::parse(&many).is_err());
}

#[test]
fn a_catalogue_that_speaks_of_what_there_is_not_is_refused_with_the_nearest() {
    let refused = |from: &str, to: &str| {
        let catalogue = Catalogue::parse(&SMALL.replacen(from, to, 1)).expect("well formed");
        let found = RuleBundle::v1().check_catalogue("catalogue", &catalogue);
        let mut found: Vec<Violation> = found.collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let violation = found.remove(0);
        assert_eq!(violation.field, "catalogue.C.1");
        (violation.reason, violation.nearest.unwrap_or_default())
    };
    let kind = refused("[\"risk\"]", "[\"incidnt\"]");
    assert_eq!(kind, (Reason::UnknownKind, "incident".to_owned()));
    let control = refused("A.9.2\"", "A.9.5\"");
    assert_eq!(control, (Reason::UnknownControl, "A.9.4".to_owned()));
    let alias = refused("iso42001-2023/A.9.2", "guide/9.1");
    assert_eq!(alias.0, Reason::UnknownControl);
    let scheme = refused("iso42001-2023/A.9.2", "iso42001/A.9.2");
    assert_eq!(scheme.0, Reason::UnknownCatalogue);
}
