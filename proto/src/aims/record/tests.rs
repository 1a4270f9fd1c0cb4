use super::*;
use crate::aims::bundle::RuleBundle;
use crate::aims::kind::Kind;
use crate::statement::commitment::Commitment;
use crate::statement::disclosure::DisclosureSet;
use crate::statement::header::ControlRef;
use std::fs;
use std::path::Path;

#[path = "tests/competence.rs"]
mod competence;
#[path = "tests/governance.rs"]
mod governance;
#[path = "tests/life_supply_people.rs"]
mod life_supply_people;
#[path = "tests/life_supply_people_states.rs"]
mod life_supply_people_states;
#[path = "tests/operation_audit.rs"]
mod operation_audit;
#[path = "tests/planning.rs"]
mod planning;
#[path = "tests/rows.rs"]
mod rows;

/// The golden files of a kind: strict record, disclosures and commitment root, made by a second
/// implementation (`tests/golden/make.py`).
struct Golden {
    kind: &'static Kind,
    json: String,
    disclosures: String,
    root: String,
}

fn golden(kind: &'static Kind) -> Golden {
    let read = |ending: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("{}.{ending}", kind.name()));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    Golden {
        kind,
        json: read("json"),
        disclosures: read("disclosures.jsonl"),
        root: read("root"),
    }
}

/// Those of every kind; a kind without them fails here.
fn goldens() -> Vec<Golden> {
    RuleBundle::v1().kinds().map(golden).collect()
}

fn kind(name: &str) -> &'static Kind {
    RuleBundle::v1().kind(name, 1).expect("a kind")
}

fn fields(json: &str) -> Vec<(String, Option<Json>)> {
    let Json::Object(members) = Json::parse(json.trim_end().as_bytes()).expect("strict JSON")
    else {
        panic!("not an object");
    };
    members
        .into_iter()
        .map(|(name, value)| (name, Some(value)))
        .collect()
}

fn check(kind: &Kind, fields: &[(String, Option<Json>)]) -> Vec<Violation> {
    let fields: Vec<(&str, Option<Json>)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    validate(kind, &fields)
}

#[test]
fn golden_records_read_back_to_the_same_bytes() {
    for Golden { kind, json, .. } in goldens() {
        let (name, json) = (kind.name(), json.as_str());
        let record = Record::from_canonical_bytes(kind, json.trim_end().as_bytes())
            .unwrap_or_else(|violations| panic!("{name}: {violations:?}"));
        assert_eq!(
            record.canonical_bytes(kind),
            json.trim_end().as_bytes(),
            "{name}"
        );
        assert!(check(kind, &fields(json)).is_empty(), "{name}");
    }
}

#[test]
fn golden_disclosures_lead_to_the_golden_root() {
    for Golden {
        kind,
        json,
        disclosures,
        root,
    } in goldens()
    {
        let (name, json) = (kind.name(), json.as_str());
        let lines: Vec<&[u8]> = disclosures.lines().map(str::as_bytes).collect();
        let names: Vec<&str> = kind.field_names().collect();
        let set = DisclosureSet::parse(&lines, &names).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for ((field, value), disclosure) in fields(json).iter().zip(set.as_slice()) {
            assert_eq!(disclosure.name(), field, "{name}");
            assert_eq!(Some(disclosure.value()), value.as_ref(), "{name} {field}");
        }
        let commitment = Commitment::build(&set.leaf_hashes()).expect("at least one field");
        assert_eq!(
            format!("{:x}", commitment.root().hash()),
            root.trim_end(),
            "{name}"
        );
    }
}

#[test]
fn each_field_missing_doubled_swapped_or_unknown_is_named() {
    for Golden { kind, json, .. } in goldens() {
        let (name, json) = (kind.name(), json.as_str());
        let good = fields(json);
        for index in 0..good.len() {
            let field = good[index].0.as_str();
            let path = format!("record.{field}");
            let has = |found: &[Violation], reason, path: &str| {
                let is = |v: &Violation| v.reason == reason && v.field == path;
                assert!(found.iter().any(is), "{name} {path} {reason}: {found:?}");
            };

            let mut missing = good.clone();
            missing.remove(index);
            let found = check(kind, &missing);
            has(&found, Reason::MissingField, &path);
            assert_eq!(
                found.iter().filter(|v| v.field == path).count(),
                1,
                "{name} {field}"
            );

            let mut doubled = good.clone();
            doubled.insert(index, good[index].clone());
            has(&check(kind, &doubled), Reason::DuplicateField, &path);

            let mut swapped = good.clone();
            let other = (index + 1) % good.len();
            swapped.swap(index, other);
            let found = check(kind, &swapped);
            has(&found, Reason::SwappedField, &path);
            has(
                &found,
                Reason::SwappedField,
                &format!("record.{}", good[other].0),
            );

            let mut unknown = good.clone();
            unknown[index].0.push('x');
            let found = check(kind, &unknown);
            has(&found, Reason::UnknownField, &format!("{path}x"));
            has(&found, Reason::MissingField, &path);
            let near = found
                .iter()
                .find(|v| v.reason == Reason::UnknownField)
                .expect("named above");
            assert_eq!(near.nearest.as_deref(), Some(field), "{name}");

            let mut absent = good.clone();
            absent[index].1 = None;
            let found = check(kind, &absent);
            if kind.fields()[index].required {
                has(&found, Reason::MissingField, &path);
            }
        }
    }
}

#[test]
fn each_field_refuses_values_of_every_other_type() {
    let wrong = [
        Json::Bool(true),
        Json::Integer(-1),
        Json::Text("\u{1}".to_owned()),
        Json::Array(vec![]),
        Json::Array(vec![Json::Null]),
        Json::Object(vec![]),
        Json::Object(vec![("x".to_owned(), Json::Null)]),
    ];
    for Golden { kind, json, .. } in goldens() {
        let (name, json) = (kind.name(), json.as_str());
        let good = fields(json);
        for (index, schema) in kind.fields().iter().enumerate() {
            for value in &wrong {
                let is_bool = matches!(schema.value, crate::aims::schema::ValueType::Bool);
                if is_bool && *value == Json::Bool(true) {
                    continue;
                }
                let mut bad = good.clone();
                bad[index].1 = Some(value.clone());
                let path = format!("record.{}", schema.name);
                let found = check(kind, &bad);
                assert!(
                    found.iter().any(|v| v.field.starts_with(&path)),
                    "{name} {path} {value:?}: {found:?}"
                );
            }
        }
    }
}

fn with(name: &str, changes: &[(&str, Option<Json>)]) -> Vec<Violation> {
    let mut record = fields(&golden(kind(name)).json);
    for (field, value) in changes {
        let slot = record
            .iter_mut()
            .find(|(other, _)| other == field)
            .expect("a field");
        slot.1.clone_from(value);
    }
    check(kind(name), &record)
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

#[test]
fn all_violations_come_at_once() {
    let found = with(
        "oversight_decision",
        &[
            ("decision", Some(text("OVERIDE"))),
            ("reviewer_role", Some(text("TBD"))),
            ("output_digest", Some(text("ABC"))),
            ("presented_at", Some(text("2026-11-02 08:15"))),
            ("reviewer", None),
        ],
    );
    let paths: Vec<(&str, Reason)> = found.iter().map(|v| (v.field.as_str(), v.reason)).collect();
    assert_eq!(
        paths,
        [
            ("record.output_digest", Reason::InvalidField),
            ("record.decision", Reason::InvalidField),
            ("record.reviewer", Reason::MissingField),
            ("record.reviewer_role", Reason::InvalidField),
            ("record.presented_at", Reason::InvalidField),
        ]
    );
    assert_eq!(found[1].nearest.as_deref(), Some("OVERRIDE"));
}

/// Kind, changes to its golden record, and what is found.
type ChangeRow<'a> = (&'a str, &'a [(&'a str, Option<Json>)], &'a str, Reason);

#[test]
fn rules_between_fields_hold() {
    let table: [ChangeRow<'_>; 7] = [
        (
            "oversight_decision",
            &[("justification", None)],
            "record.justification",
            Reason::MissingField,
        ),
        (
            "oversight_decision",
            &[("decided_at", Some(text("2020-01-01T00:00:00Z")))],
            "record.decided_at",
            Reason::InvalidField,
        ),
        (
            "oversight_decision",
            &[("reviewer", Some(text("p-105")))],
            "record.second_review.reviewer",
            Reason::InvalidField,
        ),
        (
            "nonconformity",
            &[("root_cause", None)],
            "record.root_cause",
            Reason::MissingField,
        ),
        (
            "corrective_action",
            &[("verified_by", Some(text("p-142")))],
            "record.verified_by",
            Reason::InvalidField,
        ),
        (
            "corrective_action",
            &[("evidence", None)],
            "record.evidence",
            Reason::MissingField,
        ),
        (
            "internal_audit",
            &[(
                "period",
                Some(Json::Object(vec![
                    (
                        "from".to_owned(),
                        Json::Text("2026-06-02T00:00:00Z".to_owned()),
                    ),
                    (
                        "to".to_owned(),
                        Json::Text("2026-06-01T00:00:00Z".to_owned()),
                    ),
                ])),
            )],
            "record.period.to",
            Reason::InvalidField,
        ),
    ];
    for (name, changes, path, reason) in table {
        let found = with(name, changes);
        assert_eq!(found.len(), 1, "{name} {path}: {found:?}");
        assert_eq!((found[0].field.as_str(), found[0].reason), (path, reason));
    }
}

#[test]
fn nested_objects_keep_order_and_names() {
    let actor = |members: &[(&str, &str)]| {
        let members = members
            .iter()
            .map(|(n, v)| ((*n).to_owned(), Json::Text((*v).to_owned())));
        [("actor", Some(Json::Object(members.collect())))]
    };
    assert!(with("finding", &actor(&[("id", "p-1"), ("role", "auditor")])).is_empty());
    for (members, path, reason) in [
        (
            &[("role", "auditor"), ("id", "p-1")][..],
            "record.actor.id",
            Reason::SwappedField,
        ),
        (
            &[("id", "p-1")][..],
            "record.actor.role",
            Reason::MissingField,
        ),
        (
            &[("id", "p-1"), ("id", "p-1"), ("role", "x")][..],
            "record.actor.id",
            Reason::DuplicateField,
        ),
        (
            &[("id", "p-1"), ("role", "x"), ("rol", "x")][..],
            "record.actor.rol",
            Reason::UnknownField,
        ),
    ] {
        let found = with("finding", &actor(members));
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert_eq!((found[0].field.as_str(), found[0].reason), (path, reason));
    }
}

#[test]
fn lists_are_bounded_and_attachments_more_narrowly() {
    let attachment = Json::Object(vec![
        ("name".to_owned(), text("scan.pdf")),
        ("digest".to_owned(), text(&"ab".repeat(32))),
        ("media_type".to_owned(), text("application/pdf")),
        ("size".to_owned(), Json::Integer(9)),
    ]);
    for (field, element, max) in [
        ("attachments", attachment, crate::limits::ATTACHMENTS_MAX),
        (
            "alternatives",
            text("wait"),
            crate::limits::LIST_ELEMENTS_MAX,
        ),
    ] {
        let list = |count| [(field, Some(Json::Array(vec![element.clone(); count])))];
        assert!(with("oversight_decision", &list(max)).is_empty(), "{field}");
        let found = with("oversight_decision", &list(max + 1));
        assert_eq!(found.len(), 1, "{field}: {found:?}");
        assert_eq!(
            (found[0].field.as_str(), found[0].reason),
            (format!("record.{field}").as_str(), Reason::InvalidField)
        );
    }
}

#[test]
fn header_and_record_agree() {
    let kind = kind("finding");
    let golden = golden(kind).json;
    let record = Record::from_canonical_bytes(kind, golden.trim_end().as_bytes()).expect("valid");
    let check = |subject: &str, transition: Option<&str>| {
        let header = HeaderView::new(subject, transition, &[]).expect("a subject");
        let found = check_against_header(kind, &record, header);
        found
            .into_iter()
            .map(|v| (v.field, v.reason))
            .collect::<Vec<_>>()
    };
    let system = "urn:aimslog:fictitia:system:sys-triage-1";
    assert!(check(system, Some("acknowledged")).is_empty());
    let transition = ("header.transition".to_owned(), Reason::HeaderMismatch);
    assert_eq!(check(system, Some("issued")), vec![transition.clone()]);
    assert_eq!(check(system, None), [transition]);
    let mismatch = ("record.system".to_owned(), Reason::HeaderMismatch);
    assert_eq!(
        check("urn:aimslog:fictitia:system:sys-2", Some("acknowledged")),
        vec![mismatch.clone()]
    );
    assert_eq!(
        check("urn:aimslog:fictitia:aims:main", Some("acknowledged")),
        [mismatch]
    );
    for subject in [
        "",
        "urn:aimslog:a:system",
        "urn:aimslog:a:system:b:c",
        "urn:x:a:system:b",
    ] {
        assert_eq!(HeaderView::new(subject, None, &[]), None, "{subject}");
    }
}

/// Each state of each kind whose signer a field names: that one, another one, and nobody.
#[test]
fn a_field_names_who_signs_a_state() {
    let mut count = 0;
    for Golden { kind, json, .. } in goldens() {
        for (state, field) in &kind.tables.signer {
            let at = kind.field_index(field).expect("a field of the record");
            let named = |who: Option<Json>| {
                let mut values: Vec<_> =
                    fields(&json).into_iter().map(|(_, value)| value).collect();
                values[at] = who;
                cross::check_signer(kind, &values, (state, "p-7"))
            };
            assert_eq!(named(Some(text("p-7"))), None, "{} {state}", kind.name());
            for (who, reason) in [
                (Some(text("p-8")), Reason::NotPermitted),
                (None, Reason::MissingField),
            ] {
                let refused = named(who).expect("another one, or nobody");
                assert_eq!(refused.reason, reason, "{} {state}", kind.name());
                assert_eq!(refused.field, format!("record.{field}"));
                assert!(
                    refused.rule.starts_with(&cross::signer_id(kind, state)),
                    "{refused}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

/// What a value asks for is named by a rule with a stable name.
#[test]
fn rules_about_content_have_names() {
    let found = with(
        "nonconformity",
        &[("status", Some(text("ANALYSED"))), ("root_cause", None)],
    );
    let rules: Vec<&str> = found.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(
        rules,
        ["NONCONFORMITY-ANALYSED: required where status is ANALYSED"]
    );
    let found = with(
        "oversight_decision",
        &[("decision", Some(text("STOP"))), ("justification", None)],
    );
    let rules: Vec<&str> = found.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(
        rules,
        ["OVERSIGHT-DECISION-DECISION-STOP: required where decision is STOP"]
    );
}

#[test]
fn a_control_of_an_own_catalogue_stands_in_the_header_as_well() {
    let kind = kind("nonconformity");
    let golden = golden(kind).json;
    let subject = "urn:aimslog:fictitia:aims:main";
    let check = |control: &str, named: &[(&str, &str)]| {
        let requirements = Json::Array(vec![Json::Text(control.to_owned())]);
        let index = kind.field_index("requirements").expect("a field");
        let record = Record::from_canonical_bytes(kind, golden.trim_end().as_bytes());
        let mut values = record.expect("valid").values().to_vec();
        values[index] = Some(requirements);
        let record = Record::new(kind, values).expect("well formed");
        let controls: Vec<ControlRef> = named
            .iter()
            .map(|(scheme, id)| ControlRef {
                scheme: (*scheme).to_owned(),
                id: (*id).to_owned(),
            })
            .collect();
        let header = HeaderView::new(subject, None, &controls).expect("a subject");
        let found = check_against_header(kind, &record, header);
        let place = "record.requirements[0]";
        let mut found = found.into_iter().filter(|one| one.field == place);
        found.next().map(|one| (one.reason, one.nearest))
    };
    assert_eq!(check("iso42001-2023/A.9.2", &[]), None);
    assert_eq!(check("org/SEC.1", &[("org", "SEC.1")]), None);
    assert_eq!(
        check("org/SEC.1", &[("org", "SEC.2")]),
        Some((Reason::HeaderMismatch, None))
    );
    let foreign = ("iso27001-2022", "A.5.19");
    assert_eq!(check("iso27001-2022/A.5.19", &[foreign]), None);
    let (reason, _) = check("iso27001-2022/A.5.19", &[]).expect("not in the header");
    assert_eq!(reason, Reason::UnknownCatalogue);
    let near = Some("iso42001-2023".to_owned());
    assert_eq!(
        check("iso42001/A.9.2", &[]),
        Some((Reason::UnknownCatalogue, near))
    );
}
