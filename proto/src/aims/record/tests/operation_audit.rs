//! Rules between the fields of the kinds of operation, audit, improvement, review, certification and
//! retention, as tables that are written down apart from the rule bundle.

use super::*;
use crate::aims::kind::WhenRule;
use crate::aims::schema::ValueType;

/// Kinds whose rules have their rows here.
const KINDS: &[&str] = &[
    "measurement",
    "concern_report",
    "incident",
    "communication",
    "internal_audit",
    "finding",
    "audit_programme",
    "population",
    "sample",
    "nonconformity",
    "corrective_action",
    "improvement",
    "management_review",
    "cb_engagement",
    "cb_finding",
    "certificate",
    "rule_verdict",
    "erasure",
    "retention_event",
];

/// Kind, an enum field, its values that need content, and the fields that are then required.
const NEEDS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "measurement",
        "criterion",
        &[
            "PERFORMANCE",
            "FAIRNESS",
            "SAFETY",
            "PRIVACY",
            "EXPLAINABILITY",
            "OTHER",
        ],
        &["period"],
    ),
    ("measurement", "criterion", &["FAIRNESS"], &["group"]),
    (
        "measurement",
        "target",
        &["AT_LEAST", "AT_MOST", "EQUAL"],
        &["target_value", "target_met"],
    ),
    (
        "concern_report",
        "status",
        &["RECEIVED", "TRIAGED", "CLOSED"],
        &["reporter", "received_at", "content_digest", "anonymised"],
    ),
    (
        "concern_report",
        "status",
        &["TRIAGED", "CLOSED"],
        &["triaged_at", "triaged_by", "triage", "triage_reason"],
    ),
    (
        "concern_report",
        "status",
        &["CLOSED"],
        &["outcome", "closed_at", "closed_by"],
    ),
    (
        "concern_report",
        "status",
        &["CHANNEL_CHECKED"],
        &["period", "channel_check"],
    ),
    (
        "incident",
        "status",
        &["CONTAINED", "RESOLVED", "CLOSED"],
        &["contained_at", "mitigation"],
    ),
    (
        "incident",
        "status",
        &["RESOLVED", "CLOSED"],
        &["resolved_at", "cause", "causal_link"],
    ),
    ("incident", "status", &["CLOSED"], &["closed_at", "lessons"]),
    ("incident", "severity", &["SERIOUS"], &["affected"]),
    (
        "incident",
        "causal_link",
        &["ESTABLISHED", "RULED_OUT"],
        &["causal_link_at"],
    ),
    (
        "communication",
        "trigger",
        &["LAW", "CONTRACT"],
        &["obligation_reference", "due_at"],
    ),
    (
        "communication",
        "trigger",
        &["POLICY", "INCIDENT", "CHANGE"],
        &["source_reference"],
    ),
    (
        "internal_audit",
        "status",
        &[
            "POPULATION_SEALED",
            "SAMPLE_DRAWN",
            "FIELDWORK",
            "FINDINGS_ISSUED",
            "REPORTED",
            "CLOSED",
        ],
        &["population"],
    ),
    (
        "internal_audit",
        "status",
        &[
            "SAMPLE_DRAWN",
            "FIELDWORK",
            "FINDINGS_ISSUED",
            "REPORTED",
            "CLOSED",
        ],
        &["sample"],
    ),
    (
        "internal_audit",
        "status",
        &["FIELDWORK", "FINDINGS_ISSUED", "REPORTED", "CLOSED"],
        &["started_at"],
    ),
    (
        "internal_audit",
        "status",
        &["FINDINGS_ISSUED", "REPORTED", "CLOSED"],
        &["ended_at", "results"],
    ),
    (
        "internal_audit",
        "status",
        &["REPORTED", "CLOSED"],
        &[
            "conclusion",
            "report_issued_at",
            "reported_to",
            "acknowledged_at",
        ],
    ),
    (
        "finding",
        "status",
        &["ACKNOWLEDGED", "CLOSED"],
        &["acknowledged_at"],
    ),
    (
        "finding",
        "status",
        &["CLOSED"],
        &["closed_at", "closed_by", "closing_reason"],
    ),
    (
        "finding",
        "grade",
        &["MAJOR_NONCONFORMITY", "MINOR_NONCONFORMITY"],
        &["response_due_at"],
    ),
    (
        "finding",
        "previous_grade",
        &[
            "CONFORMANCE",
            "MAJOR_NONCONFORMITY",
            "MINOR_NONCONFORMITY",
            "OBSERVATION",
            "OPPORTUNITY_FOR_IMPROVEMENT",
        ],
        &["grade_change_reason"],
    ),
    (
        "audit_programme",
        "status",
        &["APPROVED", "RUNNING", "DONE"],
        &["auditors", "planned_audits", "approved_by", "approved_at"],
    ),
    (
        "audit_programme",
        "status",
        &["DONE"],
        &["completed_at", "evaluation"],
    ),
    (
        "sample",
        "sampling_method",
        &["RANDOM", "STRATIFIED"],
        &["seed_source", "algorithm"],
    ),
    ("sample", "sampling_method", &["STRATIFIED"], &["strata"]),
    (
        "sample",
        "status",
        &["SEALED"],
        &["selected", "drawn_by", "drawn_at"],
    ),
    (
        "nonconformity",
        "status",
        &[
            "ANALYSED",
            "ACTION_PLANNED",
            "IMPLEMENTED",
            "EFFECTIVENESS_VERIFIED",
            "CLOSED",
        ],
        &["cause_method", "root_cause", "extent", "similar_checks"],
    ),
    ("nonconformity", "status", &["CLOSED"], &["closed_at"]),
    (
        "nonconformity",
        "status",
        &["CLOSED", "REOPENED"],
        &["status_reason"],
    ),
    (
        "corrective_action",
        "status",
        &["DONE", "VERIFIED", "FAILED"],
        &["done_at", "evidence"],
    ),
    (
        "corrective_action",
        "status",
        &["VERIFIED", "FAILED"],
        &["verified_by", "verified_at", "result", "result_reason"],
    ),
    (
        "improvement",
        "status",
        &["ACCEPTED", "REJECTED", "DONE"],
        &["decision", "decided_by", "decided_at"],
    ),
    (
        "improvement",
        "status",
        &["ACCEPTED", "DONE"],
        &["owner", "due_at", "success_criterion"],
    ),
    (
        "improvement",
        "status",
        &["DONE"],
        &["done_at", "result", "evidence"],
    ),
    (
        "management_review",
        "status",
        &["INPUTS_FROZEN", "HELD", "SIGNED"],
        &["tree_size", "inputs"],
    ),
    (
        "management_review",
        "status",
        &["HELD", "SIGNED"],
        &["held_at", "attendees", "conclusion"],
    ),
    (
        "management_review",
        "status",
        &["SIGNED"],
        &[
            "improvement_decisions",
            "resource_decisions",
            "aims_changes",
            "signed_at",
            "next_review_at",
        ],
    ),
    (
        "cb_engagement",
        "status",
        &["PERFORMED", "DECISION"],
        &["performed", "tree_size", "report_issued_at", "conclusion"],
    ),
    (
        "cb_engagement",
        "status",
        &["DECISION"],
        &[
            "tally",
            "decision",
            "decision_reason",
            "decided_by",
            "decided_at",
        ],
    ),
    (
        "cb_finding",
        "status",
        &["ACKNOWLEDGED", "RESPONDED"],
        &["acknowledged_at"],
    ),
    (
        "cb_finding",
        "status",
        &["RESPONDED", "ACCEPTED", "REJECTED", "CLOSED"],
        &["response", "responded_at"],
    ),
    (
        "cb_finding",
        "status",
        &["ACCEPTED", "REJECTED", "CLOSED"],
        &["assessment", "assessed_by", "assessed_at"],
    ),
    (
        "cb_finding",
        "status",
        &["CLOSED"],
        &["closed_at", "closed_by", "closing_reason"],
    ),
    ("cb_finding", "grade", &["MAJOR", "MINOR"], &["due_at"]),
    (
        "certificate",
        "status",
        &["SUSPENDED", "RESTORED", "WITHDRAWN", "EXPIRED"],
        &["status_changed_at"],
    ),
    (
        "certificate",
        "status",
        &["SUSPENDED", "RESTORED", "WITHDRAWN"],
        &["status_reason"],
    ),
    (
        "certificate",
        "status",
        &["SUSPENDED"],
        &["suspended_until"],
    ),
    ("rule_verdict", "result", &["FAIL"], &["offending_count"]),
    (
        "rule_verdict",
        "result",
        &["FAIL", "NOT_APPLICABLE", "CANNOT_TELL"],
        &["explanation"],
    ),
    (
        "erasure",
        "basis",
        &["DATA_SUBJECT", "COURT"],
        &["requested_at"],
    ),
    (
        "retention_event",
        "event",
        &["CLASS_CHANGED"],
        &["previous_class", "new_class"],
    ),
    (
        "retention_event",
        "event",
        &["EXTENDED", "PLACED_ON_MARKET"],
        &["new_retain_until"],
    ),
    (
        "retention_event",
        "event",
        &["PLACED_ON_MARKET"],
        &["starts_at"],
    ),
    (
        "retention_event",
        "event",
        &["HOLD_SET", "HOLD_LIFTED"],
        &["hold_reference"],
    ),
    ("retention_event", "event", &["ENDED"], &["disposal"]),
];

/// Kind, a time, and one that is not before it.
const ORDER: &[(&str, &str, &str)] = &[
    ("measurement", "period.to", "measured_at"),
    ("concern_report", "received_at", "acknowledged_at"),
    ("concern_report", "received_at", "triaged_at"),
    ("concern_report", "triaged_at", "closed_at"),
    ("concern_report", "received_at", "due_at"),
    ("incident", "started_at", "detected_at"),
    ("incident", "detected_at", "aware_at"),
    ("incident", "detected_at", "contained_at"),
    ("incident", "contained_at", "resolved_at"),
    ("incident", "resolved_at", "closed_at"),
    ("communication", "sent_at", "responded_at"),
    ("communication", "sent_at", "next_due_at"),
    ("internal_audit", "started_at", "ended_at"),
    ("internal_audit", "ended_at", "report_issued_at"),
    ("internal_audit", "report_issued_at", "acknowledged_at"),
    ("finding", "issued_at", "acknowledged_at"),
    ("finding", "acknowledged_at", "closed_at"),
    ("finding", "issued_at", "response_due_at"),
    ("audit_programme", "approved_at", "completed_at"),
    ("nonconformity", "detected_at", "contained_at"),
    ("nonconformity", "detected_at", "due_at"),
    ("nonconformity", "detected_at", "closed_at"),
    ("corrective_action", "done_at", "verified_at"),
    ("improvement", "proposed_at", "decided_at"),
    ("improvement", "decided_at", "done_at"),
    ("management_review", "held_at", "signed_at"),
    ("management_review", "signed_at", "next_review_at"),
    (
        "cb_engagement",
        "accreditation.valid_from",
        "performed.from",
    ),
    ("cb_engagement", "performed.to", "accreditation.valid_to"),
    ("cb_engagement", "performed.to", "report_issued_at"),
    ("cb_engagement", "report_issued_at", "decided_at"),
    ("cb_finding", "issued_at", "due_at"),
    ("cb_finding", "issued_at", "acknowledged_at"),
    ("cb_finding", "acknowledged_at", "responded_at"),
    ("cb_finding", "responded_at", "assessed_at"),
    ("cb_finding", "assessed_at", "closed_at"),
    ("certificate", "decided_at", "issued_at"),
    ("certificate", "issued_at", "expires_at"),
    ("certificate", "valid_from", "expires_at"),
    ("certificate", "issued_at", "status_changed_at"),
    ("certificate", "status_changed_at", "suspended_until"),
    ("erasure", "requested_at", "approved_at"),
    ("erasure", "approved_at", "key_destroyed_at"),
    ("retention_event", "decided_at", "effective_at"),
];

/// Kind, a field that names a principal, and one that names another.
const DISTINCT: &[(&str, &str, &str)] = &[
    ("audit_programme", "manager", "approved_by"),
    ("corrective_action", "owner", "verified_by"),
    ("erasure", "approved_by", "erased_by"),
];

#[test]
fn every_rule_has_a_row_and_every_row_a_rule() {
    for name in KINDS {
        let tables = &kind(name).tables;
        let needs: Vec<WhenRule> = NEEDS
            .iter()
            .filter(|row| row.0 == *name)
            .map(|(_, field, values, require)| WhenRule {
                field: (*field).to_owned(),
                values: values.iter().map(|value| (*value).to_owned()).collect(),
                require: require.iter().map(|field| (*field).to_owned()).collect(),
            })
            .collect();
        assert_eq!(tables.when, needs, "{name}");
        let pairs = |rows: &[(&str, &str, &str)]| -> Vec<(String, String)> {
            let of_kind = rows.iter().filter(|row| row.0 == *name);
            of_kind
                .map(|row| (row.1.to_owned(), row.2.to_owned()))
                .collect()
        };
        assert_eq!(tables.order, pairs(ORDER), "{name}");
        assert_eq!(tables.distinct, pairs(DISTINCT), "{name}");
    }
    let is_known = |name: &str| KINDS.contains(&name);
    assert!(NEEDS.iter().all(|row| is_known(row.0)));
    assert!(ORDER.iter().chain(DISTINCT).all(|row| is_known(row.0)));
}

#[test]
fn content_is_required_for_the_values_of_its_row_and_for_no_other() {
    for (name, field, _, fields) in NEEDS {
        let schema = kind(name).schema().field(field).expect("a field");
        let ValueType::Enum(values) = &schema.value else {
            panic!("{name} {field} is no enum");
        };
        for (value, required) in values
            .names
            .iter()
            .flat_map(|value| fields.iter().map(move |required| (value, *required)))
        {
            let path = format!("record.{required}");
            let found: Vec<Reason> = with(name, &[(field, Some(text(value))), (required, None)])
                .into_iter()
                .filter(|violation| violation.field == path)
                .map(|violation| violation.reason)
                .collect();
            let rows = NEEDS.iter().filter(|row| (row.0, row.1) == (*name, *field));
            let is_needed = rows
                .filter(|row| row.3.contains(&required))
                .any(|row| row.2.contains(&value.as_str()));
            let expected = vec![Reason::MissingField; usize::from(is_needed)];
            assert_eq!(
                found, expected,
                "{name}: {required} where {field} is {value}"
            );
        }
    }
}

#[test]
fn a_time_may_equal_the_one_before_it_and_not_precede_it() {
    for (name, earlier, later) in ORDER {
        let first = Json::parse(format!("\"{}\"", text_of(name, earlier)).as_bytes());
        let first = first.expect("a text");
        let rule = format!("not before {earlier}");
        let broken = |value: Json| {
            let found = changed(name, later, value);
            let path = format!("record.{later}");
            found.iter().any(|v| v.field == path && v.rule == rule)
        };
        assert!(broken(text("2000-01-01T00:00:00Z")), "{name}: {later}");
        assert!(!broken(first), "{name}: {later}");
    }
}

#[test]
fn two_principals_are_not_the_same() {
    for (name, one, other) in DISTINCT {
        let found = changed(name, other, text(&text_of(name, one)));
        let path = format!("record.{other}");
        assert!(
            found
                .iter()
                .any(|v| v.field == path && v.reason == Reason::InvalidField),
            "{name}: {found:?}"
        );
    }
}

/// The text at a path of the golden record.
fn text_of(name: &str, path: &str) -> String {
    let mut parts = path.split('.');
    let field = parts.next().expect("a path");
    let record = fields(&golden(kind(name)).json);
    let found = record.into_iter().find(|(other, _)| other == field);
    let mut value = found.and_then(|(_, value)| value).expect("a field");
    for part in parts {
        let Json::Object(members) = value else {
            panic!("{name}: {path}");
        };
        let found = members.into_iter().find(|(member, _)| member == part);
        value = found.expect("a member").1;
    }
    match value {
        Json::Text(text) => text,
        other => panic!("{name}: {path} is {other:?} in the golden record"),
    }
}

/// What is wrong with the golden record with another value at a path.
fn changed(name: &str, path: &str, value: Json) -> Vec<Violation> {
    let Some((field, member)) = path.split_once('.') else {
        return with(name, &[(path, Some(value))]);
    };
    let record = fields(&golden(kind(name)).json);
    let found = record.into_iter().find(|(other, _)| other == field);
    let Some((_, Some(Json::Object(mut members)))) = found else {
        panic!("{name}: {path}");
    };
    let slot = members.iter_mut().find(|(other, _)| other == member);
    slot.expect("a member").1 = value;
    with(name, &[(field, Some(Json::Object(members)))])
}
