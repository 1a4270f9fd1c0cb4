use super::*;
use aimslog_client::form::{read_drafts, read_file};
use aimslog_proto::aims::schema::{FieldSchema, Format, MessageSchema, ValueType};
use std::collections::BTreeSet;
use time::macros::datetime;

fn setting(is_known: bool) -> Setting {
    let id = |id: &str| is_known.then(|| id.to_owned());
    Setting {
        start: datetime!(2026-11-02 00:00 UTC),
        owner: id("p-101"),
        management: id("p-201"),
        auditor: id("p-301"),
    }
}

fn starters(profile: Profile, is_known: bool) -> Vec<Starter> {
    let files = profile.files().into_iter();
    files
        .map(|file| make(file, &setting(is_known)).unwrap_or_else(|error| panic!("{error:#}")))
        .collect()
}

/// Every starter record is refused for placeholders alone, each at the line where it stands.
#[test]
fn starter_records_lack_what_the_organisation_must_say_and_nothing_else() {
    for profile in Profile::value_variants() {
        for starter in starters(*profile, false) {
            let read = read_file(RuleBundle::v1(), Notation::Yaml, starter.text.as_bytes());
            assert_eq!(read.len(), starter.count, "{}", starter.name);
            for result in read {
                let error = result.expect_err("the owner is not known");
                for found in error.violations {
                    let line = starter.text.lines().nth(found.line - 1).unwrap();
                    assert_eq!(
                        found.violation.found.as_deref(),
                        Some(PLACEHOLDER),
                        "{}:{}: {}: {line}",
                        starter.name,
                        found.line,
                        found.violation
                    );
                    assert!(
                        line.contains(PLACEHOLDER),
                        "{}:{}: {line}",
                        starter.name,
                        found.line
                    );
                }
            }
        }
    }
}

/// With the placeholders replaced by something of their type, every record is valid.
#[test]
fn starter_records_that_are_filled_in_are_valid() {
    let bundle = RuleBundle::v1();
    for profile in Profile::value_variants() {
        for starter in starters(*profile, true) {
            for draft in read_drafts(bundle, Notation::Yaml, starter.text.as_bytes()) {
                let mut draft = draft.unwrap();
                let kind = match draft.json.field("meta").and_then(|meta| meta.field("kind")) {
                    Some(Json::Text(kind)) => bundle.newest_kind(kind).unwrap(),
                    other => panic!("{other:?}"),
                };
                if let Json::Object(members) = &mut draft.json {
                    for (name, value) in members {
                        if name == "record" {
                            fill(kind.schema(), value);
                        }
                    }
                }
                draft
                    .read(bundle)
                    .unwrap_or_else(|error| panic!("{}: {error:#?}", starter.name));
            }
        }
    }
}

fn fill(message: &MessageSchema, json: &mut Json) {
    let Json::Object(members) = json else { return };
    for (name, value) in members {
        let Some(field) = message.field(name) else {
            continue;
        };
        match value {
            Json::Array(elements) => elements.iter_mut().for_each(|it| fill_one(field, it)),
            value => fill_one(field, value),
        }
    }
}

fn fill_one(field: &FieldSchema, value: &mut Json) {
    if let ValueType::Message(message) = &field.value {
        return fill(message, value);
    }
    if *value == Json::Text(PLACEHOLDER.to_owned()) {
        *value = Json::Text(
            match &field.value {
                ValueType::Text(Format::Id) => "p-900",
                ValueType::Text(Format::Decimal) => "12.5",
                ValueType::Timestamp => "2026-12-01T00:00:00Z",
                _ => "Said by the organisation.",
            }
            .to_owned(),
        );
    }
}

#[test]
fn every_control_of_annex_a_has_its_row_once() {
    for profile in Profile::value_variants() {
        let starters = starters(*profile, true);
        let rows = starters
            .iter()
            .find(|starter| starter.name.contains("applicability"))
            .unwrap();
        assert_eq!(rows.count, 38);
        let controls: BTreeSet<&str> = rows
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("  control: iso42001-2023/"))
            .collect();
        assert_eq!(controls.len(), 38, "{controls:?}");
        assert!(controls.contains("A.10.4"));
    }
}

#[test]
fn keys_are_used_once_and_links_lead_to_earlier_records() {
    for profile in Profile::value_variants() {
        let mut keys = BTreeSet::new();
        for starter in starters(*profile, true) {
            for draft in read_drafts(RuleBundle::v1(), Notation::Yaml, starter.text.as_bytes()) {
                let meta = draft.unwrap().json.field("meta").unwrap().clone();
                if let Some(Json::Array(links)) = meta.field("links") {
                    for link in links {
                        let Json::Array(pair) = link else {
                            panic!("{link:?}")
                        };
                        let Json::Text(target) = &pair[1] else {
                            panic!("{link:?}")
                        };
                        let key = target.strip_prefix("key:").unwrap();
                        assert!(keys.contains(key), "{}: {key}", starter.name);
                    }
                }
                let Some(Json::Text(key)) = meta.field("key") else {
                    panic!("{}", starter.name)
                };
                assert!(keys.insert(key.clone()), "{}: {key} twice", starter.name);
            }
        }
        assert!(keys.len() > 60, "{}", keys.len());
    }
}

#[test]
fn records_are_counted_by_kind() {
    for profile in Profile::value_variants() {
        for starter in starters(*profile, true) {
            let counted: usize = starter.kinds.iter().map(|kind| kind.count).sum();
            assert_eq!(counted, starter.count, "{}", starter.name);
            for kind in &starter.kinds {
                let line = format!("  kind: {}", kind.name);
                let found = starter.text.lines().filter(|text| *text == line).count();
                assert_eq!(found, kind.count, "{}: {}", starter.name, kind.name);
            }
        }
    }
}
