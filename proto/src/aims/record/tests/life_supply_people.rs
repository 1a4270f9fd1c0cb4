//! The kinds about a system's life, its oversight, data, supply and people: what content they need,
//! as tables written down apart from the bundle.

use super::*;
use std::collections::BTreeSet;

pub(super) const KINDS: [&str; 14] = [
    "change",
    "competence_requirement",
    "customer_commitment",
    "data_record",
    "deployment",
    "event_log_segment",
    "impact_assessment",
    "model_usage",
    "oversight_plan",
    "roster_snapshot",
    "system_documentation",
    "third_party",
    "training",
    "verification_result",
];

/// What the golden record of a kind leaves out, so that one record can be in every state.
const REST: [(&str, &str); 10] = [
    (
        "change",
        r#"{"rolled_back_at":"2026-09-12T12:00:00Z","status_reason":"Too few proposals."}"#,
    ),
    (
        "competence_requirement",
        r#"{"ended_at":"2026-12-31T00:00:00Z","end_reason":"The role ended."}"#,
    ),
    (
        "customer_commitment",
        r#"{"end_reason":"The contract ended."}"#,
    ),
    (
        "data_record",
        r#"{"withdrawal_reason":"Labels turned out to be wrong."}"#,
    ),
    (
        "deployment",
        r#"{"exception":{"risk_acceptance_reference":"RA-2026-01","reason":"An epidemic.","valid_until":"2026-06-20T00:00:00Z"},"ended_at":"2026-09-11T12:00:00Z","status_reason":"Replaced.","data_disposition":"Logs are kept, the model is deleted."}"#,
    ),
    ("impact_assessment", r#"{"stale_reason":"INCIDENT"}"#),
    (
        "roster_snapshot",
        r#"{"entries_root":"0446e64a5b89c01d4f5fa46f2b76edff02d3848a8a189f464047fbfbff35ba73","attachments":[{"name":"roster.jsonl","digest":"0446e64a5b89c01d4f5fa46f2b76edff02d3848a8a189f464047fbfbff35ba73","media_type":"application/jsonl","size":9}]}"#,
    ),
    ("system_documentation", r#"{"stale_reason":"EXPIRED"}"#),
    (
        "third_party",
        r#"{"exit":{"exited_at":"2028-12-31T00:00:00Z","reason":"Another provider."}}"#,
    ),
    (
        "verification_result",
        r#"{"threat":"DATA_POISONING","follow_up":"Retrained."}"#,
    ),
];

/// A line: kind, an enum field, some of its values; the fields that must then be there.
const NEEDS: &str = "\
system_documentation status APPROVED STALE: system_digest approver approved_at review_due_at
system_documentation status STALE: stale_reason
impact_assessment status DUE: due_at
impact_assessment status DRAFT APPROVED REJECTED STALE: assessed_use affected_groups assessor
impact_assessment status APPROVED REJECTED STALE: system_digest impacts_on_people impacts_on_society
impact_assessment status APPROVED REJECTED STALE: severity likelihood treatment conclusion approver
impact_assessment status APPROVED REJECTED STALE: decided_at
impact_assessment status APPROVED STALE: valid_until
impact_assessment status STALE: stale_reason
deployment status APPROVED LIVE ROLLED_BACK RETIRED: system_digest impact_basis
deployment status APPROVED LIVE ROLLED_BACK RETIRED: verification_references
deployment status APPROVED LIVE ROLLED_BACK RETIRED: oversight_plan_reference
deployment status APPROVED REJECTED LIVE ROLLED_BACK RETIRED: approver decided_at
deployment status LIVE ROLLED_BACK RETIRED: go_live_at
deployment status ROLLED_BACK RETIRED: ended_at
deployment status REJECTED ROLLED_BACK RETIRED: status_reason
deployment status RETIRED: data_disposition
deployment impact_basis ASSESSMENT: impact_assessment_reference
deployment impact_basis EXCEPTION: exception
change status APPROVED REJECTED LIVE ROLLED_BACK: approver decided_at
change status LIVE ROLLED_BACK: live_at
change status ROLLED_BACK: rolled_back_at
change status REJECTED ROLLED_BACK: status_reason
verification_result result FAILED: follow_up
verification_result verification_type SECURITY: threat
verification_result verification_type FAIRNESS: groups
oversight_plan status ACTIVE RETIRED: approver effective_from review_due_at
oversight_plan coverage SAMPLE: sampling
event_log_segment content EVENTS: period first_sequence last_sequence root_method root_hash
event_log_segment content SILENCE: period heartbeat
data_record status APPROVED WITHDRAWN: dataset_digest quality_results bias_assessment provenance
data_record status APPROVED WITHDRAWN: preparation approver approved_at
data_record status WITHDRAWN: withdrawal_reason
third_party status CONTRACTED MONITORED: responsibilities contract_reference contract_period
third_party status CONTRACTED MONITORED: responsible_ai_clauses monitoring approver approved_at
third_party status CONTRACTED MONITORED: next_review_at
third_party status MONITORED: monitoring_results
third_party status EXITED: exit
model_usage status ENDED: used_until end_reason
model_usage provider_relation THIRD_PARTY: third_party_reference region
customer_commitment status ENDED: effective_until end_reason
competence_requirement status RETIRED: ended_at end_reason
training status COMPLETED EXPIRED: completed_at issuer evidence expires_at
roster_snapshot form LISTED: entries
roster_snapshot form ATTACHED: entries_root attachments
";

/// A line of [`NEEDS`].
struct Need {
    kind: &'static str,
    field: &'static str,
    values: Vec<&'static str>,
    fields: Vec<&'static str>,
}

fn needs() -> Vec<Need> {
    let line = |line: &'static str| {
        let (of, fields) = line.split_once(": ").expect("a colon");
        let mut of = of.split(' ');
        Need {
            kind: of.next().expect("a kind"),
            field: of.next().expect("a field"),
            values: of.collect(),
            fields: fields.split(' ').collect(),
        }
    };
    NEEDS.lines().map(line).collect()
}

/// Kind, a time, and one that is not before it.
const ORDERS: &[(&str, &str, &str)] = &[
    ("system_documentation", "approved_at", "review_due_at"),
    ("impact_assessment", "decided_at", "valid_until"),
    ("deployment", "decided_at", "exception.valid_until"),
    ("deployment", "decided_at", "go_live_at"),
    ("deployment", "go_live_at", "ended_at"),
    ("change", "decided_at", "live_at"),
    ("change", "live_at", "rolled_back_at"),
    ("oversight_plan", "effective_from", "review_due_at"),
    ("third_party", "approved_at", "next_review_at"),
    ("model_usage", "used_from", "used_until"),
    ("customer_commitment", "effective_from", "effective_until"),
    ("customer_commitment", "effective_from", "review_due_at"),
    ("competence_requirement", "effective_from", "review_due_at"),
    ("competence_requirement", "effective_from", "ended_at"),
    ("training", "assigned_at", "due_at"),
    ("training", "assigned_at", "completed_at"),
    ("training", "completed_at", "expires_at"),
];

/// Kind, somebody, and who must be somebody else.
const DISTINCT: &[(&str, &str, &str)] = &[
    ("system_documentation", "author", "approver"),
    ("impact_assessment", "assessor", "approver"),
    ("deployment", "requested_by", "approver"),
    ("change", "requested_by", "approver"),
    ("third_party", "owner", "approver"),
    ("training", "person", "issuer"),
];

/// The golden record of a kind with what it leaves out.
pub(super) fn full(name: &str) -> Vec<(String, Option<Json>)> {
    let mut record = fields(&golden(kind(name)).json);
    for (_, rest) in REST.iter().filter(|(of, _)| *of == name) {
        for (field, value) in fields(rest) {
            *slot(&mut record, &field) = value;
        }
    }
    record
}

pub(super) fn slot<'a>(
    record: &'a mut [(String, Option<Json>)],
    field: &str,
) -> &'a mut Option<Json> {
    let found = record.iter_mut().find(|(name, _)| name == field);
    &mut found.unwrap_or_else(|| panic!("{field}")).1
}

/// Puts a value where `path` leads: a field, or one in its object.
pub(super) fn set(record: &mut [(String, Option<Json>)], path: &str, value: Json) {
    let Some((top, member)) = path.split_once('.') else {
        *slot(record, path) = Some(value);
        return;
    };
    let Some(Json::Object(members)) = slot(record, top) else {
        panic!("{top} is no object");
    };
    let found = members.iter_mut().find(|(name, _)| name == member);
    found.unwrap_or_else(|| panic!("{path}")).1 = value;
}

fn value<'a>(record: &'a [(String, Option<Json>)], field: &str) -> Option<&'a str> {
    match &record.iter().find(|(name, _)| name == field)?.1 {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

/// The fields that the table asks for in this record.
fn needed(name: &str, record: &[(String, Option<Json>)]) -> BTreeSet<&'static str> {
    let applies = |need: &Need| {
        need.kind == name
            && value(record, need.field).is_some_and(|value| need.values.contains(&value))
    };
    let applying = needs().into_iter().filter(applies);
    applying.flat_map(|need| need.fields).collect()
}

/// Every enum field that some content depends on takes all its values, and in each of them every
/// field is left out once.
#[test]
fn each_state_needs_its_content_and_no_other() {
    for name in KINDS {
        let kind = kind(name);
        let of_kind = needs().into_iter().filter(|need| need.kind == name);
        let driving: BTreeSet<&str> = of_kind.map(|need| need.field).collect();
        let listed = kind.tables.when.iter().map(|rule| rule.field.as_str());
        assert_eq!(driving, listed.collect(), "{name}");
        for driver in driving {
            let schema = kind.schema().field(driver).expect("a field");
            let crate::aims::schema::ValueType::Enum(names) = &schema.value else {
                panic!("{name} {driver} is no enum");
            };
            for state in &names.names {
                let mut record = full(name);
                set(&mut record, driver, text(state));
                assert_eq!(check(kind, &record), [], "{name} {driver} {state}");
                leave_out_each(name, &record, state);
            }
        }
    }
}

fn leave_out_each(name: &str, record: &[(String, Option<Json>)], state: &str) {
    for (index, schema) in kind(name).fields().iter().enumerate() {
        let mut less = record.to_vec();
        less[index].1 = None;
        let field = schema.name.as_str();
        let is_needed = schema.required || needed(name, &less).contains(field);
        let found: Vec<(String, Reason)> = check(kind(name), &less)
            .into_iter()
            .map(|violation| (violation.field, violation.reason))
            .collect();
        let expected: Vec<(String, Reason)> = is_needed
            .then(|| (format!("record.{field}"), Reason::MissingField))
            .into_iter()
            .collect();
        assert_eq!(found, expected, "{name} {state} without {field}");
    }
}

#[test]
fn times_stand_in_their_order() {
    for (name, earlier, later) in ORDERS {
        let mut record = full(name);
        assert_eq!(check(kind(name), &record), [], "{name}");
        set(&mut record, later, text("2000-01-01T00:00:00Z"));
        let found = check(kind(name), &record);
        let is = |v: &Violation| {
            v.field == format!("record.{later}") && v.rule == format!("not before {earlier}")
        };
        assert!(found.iter().any(is), "{name} {later}: {found:?}");
    }
    let rows = KINDS.iter().flat_map(|name| {
        let order = &kind(name).tables.order;
        order.iter().map(|(a, b)| (*name, a.as_str(), b.as_str()))
    });
    let rows: BTreeSet<_> = rows.collect();
    assert_eq!(rows, ORDERS.iter().copied().collect());
}

#[test]
fn two_people_are_two() {
    for (name, one, other) in DISTINCT {
        let mut record = full(name);
        let same = value(&record, one).expect("a principal").to_owned();
        set(&mut record, other, text(&same));
        let found = check(kind(name), &record);
        assert_eq!(found.len(), 1, "{name} {other}: {found:?}");
        assert_eq!(
            (found[0].field.as_str(), found[0].reason),
            (format!("record.{other}").as_str(), Reason::InvalidField)
        );
    }
    let rows = KINDS.iter().flat_map(|name| {
        let distinct = &kind(name).tables.distinct;
        distinct
            .iter()
            .map(|(a, b)| (*name, a.as_str(), b.as_str()))
    });
    let rows: BTreeSet<_> = rows.collect();
    assert_eq!(rows, DISTINCT.iter().copied().collect());
}
