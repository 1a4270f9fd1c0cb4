//! The kinds of [`super::life_supply_people`]: which states follow which, what guards them and who
//! signs, as tables written down apart from the bundle.

use super::life_supply_people::{KINDS, full, set, slot};
use super::*;
use crate::aims::kind::Need;
use std::collections::BTreeSet;

/// Kind, a state or none yet, and the states that may follow.
const MOVES: &[(&str, Option<&str>, &[&str])] = &[
    ("system_documentation", None, &["draft"]),
    ("system_documentation", Some("draft"), &["approved"]),
    (
        "system_documentation",
        Some("approved"),
        &["draft", "stale"],
    ),
    ("system_documentation", Some("stale"), &["draft"]),
    ("impact_assessment", None, &["due", "draft"]),
    ("impact_assessment", Some("due"), &["draft"]),
    (
        "impact_assessment",
        Some("draft"),
        &["approved", "rejected"],
    ),
    ("impact_assessment", Some("approved"), &["stale"]),
    ("impact_assessment", Some("rejected"), &["draft"]),
    ("impact_assessment", Some("stale"), &["draft"]),
    ("deployment", None, &["requested"]),
    ("deployment", Some("requested"), &["approved", "rejected"]),
    ("deployment", Some("approved"), &["live", "rejected"]),
    ("deployment", Some("rejected"), &["requested"]),
    ("deployment", Some("live"), &["rolled_back", "retired"]),
    ("deployment", Some("rolled_back"), &["requested", "retired"]),
    ("change", None, &["requested"]),
    ("change", Some("requested"), &["approved", "rejected"]),
    ("change", Some("approved"), &["live", "rejected"]),
    ("change", Some("rejected"), &["requested"]),
    ("change", Some("live"), &["rolled_back"]),
    ("change", Some("rolled_back"), &["requested"]),
    ("verification_result", None, &["passed", "failed"]),
    ("verification_result", Some("passed"), &["failed"]),
    ("oversight_plan", None, &["draft"]),
    ("oversight_plan", Some("draft"), &["active"]),
    ("oversight_plan", Some("active"), &["draft", "retired"]),
    ("event_log_segment", None, &["sealed"]),
    ("data_record", None, &["draft"]),
    ("data_record", Some("draft"), &["approved"]),
    ("data_record", Some("approved"), &["draft", "withdrawn"]),
    ("third_party", None, &["evaluated"]),
    ("third_party", Some("evaluated"), &["selected", "exited"]),
    ("third_party", Some("selected"), &["contracted", "exited"]),
    ("third_party", Some("contracted"), &["monitored", "exited"]),
    ("third_party", Some("monitored"), &["contracted", "exited"]),
    ("third_party", Some("exited"), &["evaluated"]),
    ("model_usage", None, &["active", "ended"]),
    ("model_usage", Some("active"), &["ended"]),
    ("customer_commitment", None, &["active"]),
    ("customer_commitment", Some("active"), &["ended"]),
    ("competence_requirement", None, &["active"]),
    ("competence_requirement", Some("active"), &["retired"]),
    ("training", None, &["assigned"]),
    ("training", Some("assigned"), &["completed"]),
    ("training", Some("completed"), &["expired"]),
    ("roster_snapshot", None, &["sealed"]),
];

#[test]
fn states_follow_as_written_here_and_not_otherwise() {
    for name in KINDS {
        let kind = kind(name);
        let states = || kind.states().iter().map(String::as_str);
        for from in std::iter::once(None).chain(states().map(Some)) {
            let row = MOVES.iter().find(|row| (row.0, row.1) == (name, from));
            for to in states() {
                let is_allowed = from == Some(to) || row.is_some_and(|row| row.2.contains(&to));
                let found = kind.check_transition(from, to);
                assert_eq!(found.is_ok(), is_allowed, "{name} {from:?} {to}");
            }
        }
    }
}

/// Kind, guard, the states that it guards, and its need as [`shown`] writes it.
const GUARDS: &[(&str, &str, &[&str], &str)] = &[
    (
        "ai_system",
        "AI-SYSTEM-PERSON",
        &["pilot", "production", "retired"],
        "person",
    ),
    (
        "system_documentation",
        "SYSTEM-DOCUMENTATION-PERSON",
        &["approved"],
        "person",
    ),
    (
        "system_documentation",
        "SYSTEM-DOCUMENTATION-SECOND-PERSON",
        &["approved"],
        "other than draft",
    ),
    (
        "impact_assessment",
        "IMPACT-ASSESSMENT-PERSON",
        &["approved", "rejected"],
        "person",
    ),
    (
        "impact_assessment",
        "IMPACT-ASSESSMENT-SECOND-PERSON",
        &["approved", "rejected"],
        "other than draft",
    ),
    (
        "deployment",
        "DEPLOYMENT-PERSON",
        &["approved", "rejected"],
        "person",
    ),
    (
        "deployment",
        "DEPLOYMENT-SECOND-PERSON",
        &["approved"],
        "other than requested",
    ),
    (
        "deployment",
        "DEPLOYMENT-OVERSIGHT-PLAN",
        &["approved"],
        "oversight_plan to active",
    ),
    (
        "deployment",
        "DEPLOYMENT-VERIFICATION",
        &["approved"],
        "verification to passed",
    ),
    (
        "deployment",
        "DEPLOYMENT-IMPACT",
        &["approved"],
        "impact_assessment to approved, exception to accepted",
    ),
    (
        "change",
        "CHANGE-PERSON",
        &["approved", "rejected"],
        "person",
    ),
    (
        "change",
        "CHANGE-SECOND-PERSON",
        &["approved"],
        "other than requested",
    ),
    (
        "oversight_plan",
        "OVERSIGHT-PLAN-PERSON",
        &["active"],
        "person",
    ),
    ("data_record", "DATA-RECORD-PERSON", &["approved"], "person"),
    (
        "third_party",
        "THIRD-PARTY-PERSON",
        &["selected", "contracted"],
        "person",
    ),
    (
        "third_party",
        "THIRD-PARTY-SECOND-PERSON",
        &["contracted"],
        "other than evaluated",
    ),
    (
        "customer_commitment",
        "CUSTOMER-COMMITMENT-PERSON",
        &["active"],
        "person",
    ),
    (
        "competence_requirement",
        "COMPETENCE-REQUIREMENT-PERSON",
        &["active"],
        "person",
    ),
    (
        "training",
        "TRAINING-ISSUER",
        &["completed"],
        "other than assigned",
    ),
];

fn shown(need: &Need) -> String {
    match need {
        Need::Person => "person".to_owned(),
        Need::OtherThan(states) => format!("other than {}", states.join(", ")),
        Need::Links(links) => {
            let links = links
                .iter()
                .map(|link| format!("{} to {}", link.relation, link.states.join("|")));
            links.collect::<Vec<_>>().join(", ")
        }
        Need::Linking(need) => format!("{} with {}", need.kind, need.relation),
    }
}

#[test]
fn guards_are_as_written_here() {
    let names = KINDS.iter().chain(&["ai_system", "oversight_decision"]);
    let found: BTreeSet<(&str, &str, Vec<&str>, String)> = names
        .flat_map(|name| {
            kind(name).tables.guards.iter().map(|guard| {
                let to = guard.to.iter().map(String::as_str).collect();
                (*name, guard.id.as_str(), to, shown(&guard.need))
            })
        })
        .collect();
    let expected = GUARDS
        .iter()
        .map(|(kind, id, to, need)| (*kind, *id, to.to_vec(), (*need).to_owned()));
    assert_eq!(found, expected.collect());
}

/// Kind, a state, and the field that names who signs it.
const SIGNERS: &[(&str, &str, &str)] = &[
    ("system_documentation", "approved", "approver"),
    ("impact_assessment", "draft", "assessor"),
    ("impact_assessment", "approved", "approver"),
    ("impact_assessment", "rejected", "approver"),
    ("deployment", "approved", "approver"),
    ("deployment", "rejected", "approver"),
    ("change", "approved", "approver"),
    ("change", "rejected", "approver"),
    ("oversight_plan", "active", "approver"),
    ("data_record", "approved", "approver"),
    ("third_party", "contracted", "approver"),
    ("customer_commitment", "active", "approver"),
    ("competence_requirement", "active", "approver"),
    ("training", "completed", "issuer"),
];

/// The field is there in the state that it is asked for, so a record cannot pass without a name.
#[test]
fn signers_are_named_by_content_that_the_state_needs() {
    let found: BTreeSet<(&str, &str, &str)> = KINDS
        .iter()
        .flat_map(|name| {
            let signer = &kind(name).tables.signer;
            signer
                .iter()
                .map(|(state, field)| (*name, state.as_str(), field.as_str()))
        })
        .collect();
    assert_eq!(found, SIGNERS.iter().copied().collect());
    for (name, state, field) in SIGNERS {
        let mut record = full(name);
        let status = kind(name).status_field().expect("it has states");
        set(&mut record, status, text(&state.to_uppercase()));
        *slot(&mut record, field) = None;
        let path = format!("record.{field}");
        let found = check(kind(name), &record);
        assert_eq!(found.len(), 1, "{name} {state}: {found:?}");
        assert_eq!(
            (found[0].field.as_str(), found[0].reason),
            (path.as_str(), Reason::MissingField)
        );
    }
}
