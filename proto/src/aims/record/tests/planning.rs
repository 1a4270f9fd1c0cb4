//! Rules between the fields of the kinds of `planning.proto`; the method is that of `rows`.

use super::rows::break_every_rule;
use super::{Json, Reason, with};

#[test]
fn gaps() {
    break_every_rule(
        &["gap_assessment"],
        &[
            ("gap_assessment", r#"{"ended_at":null}"#, "ended_at"),
            ("gap_assessment", r#"{"summary":null}"#, "summary"),
            ("gap_assessment", r#"{"priorities":null}"#, "priorities"),
            (
                "gap_assessment",
                r#"{"results":[{"criterion":"iso42001-2023/4.2","score":"OPERATED","finding":"All parties are on the list."}]}"#,
                "results[0].evidence",
            ),
            (
                "gap_assessment",
                r#"{"ended_at":"2026-01-26T07:59:59Z"}"#,
                "ended_at",
            ),
            (
                "gap_assessment",
                r#"{"next_assessment_at":"2026-02-20T15:59:59Z"}"#,
                "next_assessment_at",
            ),
        ],
    );
}

#[test]
fn a_score_beyond_the_scale_is_refused() {
    let results = br#"[{"criterion":"iso42001-2023/4.2","score":"OPERATES","finding":"All are on the list."}]"#;
    let results = Json::parse(results).expect("strict JSON");
    let found = with("gap_assessment", &[("results", Some(results))]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].field.as_str(), found[0].reason),
        ("record.results[0].score", Reason::InvalidField)
    );
    assert_eq!(found[0].nearest.as_deref(), Some("OPERATED"));
}

#[test]
fn objectives() {
    break_every_rule(
        &["objective"],
        &[
            ("objective", r#"{"current_value":null}"#, "current_value"),
            ("objective", r#"{"measured_at":null}"#, "measured_at"),
            ("objective", r#"{"status_reason":null}"#, "status_reason"),
            ("objective", r#"{"concluded_at":null}"#, "concluded_at"),
            (
                "objective",
                r#"{"deadline_at":"2026-03-09T09:59:59Z"}"#,
                "deadline_at",
            ),
            (
                "objective",
                r#"{"measured_at":"2026-03-09T09:59:59Z"}"#,
                "measured_at",
            ),
            (
                "objective",
                r#"{"baseline_at":"2026-11-30T18:00:01Z"}"#,
                "measured_at",
            ),
            (
                "objective",
                r#"{"concluded_at":"2026-11-30T17:59:59Z"}"#,
                "concluded_at",
            ),
        ],
    );
}

#[test]
fn risks() {
    break_every_rule(
        &["risk"],
        &[
            ("risk", r#"{"inherent":null}"#, "inherent"),
            ("risk", r#"{"rating_reason":null}"#, "rating_reason"),
            ("risk", r#"{"treatment":null}"#, "treatment"),
            ("risk", r#"{"assessed_by":null}"#, "assessed_by"),
            ("risk", r#"{"assessed_at":null}"#, "assessed_at"),
            ("risk", r#"{"review_by":null}"#, "review_by"),
            ("risk", r#"{"residual":null}"#, "residual"),
            ("risk", r#"{"residual_reason":null}"#, "residual_reason"),
            (
                "risk",
                r#"{"acceptance_reference":null}"#,
                "acceptance_reference",
            ),
            (
                "risk",
                r#"{"status":"CLOSED","closing_reason":"The gateway is gone."}"#,
                "closed_at",
            ),
            (
                "risk",
                r#"{"status":"CLOSED","closed_at":"2026-12-01T00:00:00Z"}"#,
                "closing_reason",
            ),
            (
                "risk",
                r#"{"treatment":"AVOID","treatment_reason":null}"#,
                "treatment_reason",
            ),
            (
                "risk",
                r#"{"assessed_at":"2026-03-20T08:59:59Z"}"#,
                "assessed_at",
            ),
            (
                "risk",
                r#"{"review_by":"2026-11-02T09:59:59Z"}"#,
                "review_by",
            ),
            (
                "risk",
                r#"{"closed_at":"2026-11-02T09:59:59Z"}"#,
                "closed_at",
            ),
        ],
    );
}

#[test]
fn treatment_and_acceptance() {
    break_every_rule(
        &["risk_treatment", "risk_acceptance"],
        &[
            ("risk_treatment", r#"{"done_at":null}"#, "done_at"),
            ("risk_treatment", r#"{"evidence":null}"#, "evidence"),
            ("risk_treatment", r#"{"observation":null}"#, "observation"),
            ("risk_treatment", r#"{"verified_by":null}"#, "verified_by"),
            ("risk_treatment", r#"{"verified_at":null}"#, "verified_at"),
            (
                "risk_treatment",
                r#"{"result_reason":null}"#,
                "result_reason",
            ),
            (
                "risk_treatment",
                r#"{"verified_at":"2026-09-11T11:59:59Z"}"#,
                "verified_at",
            ),
            (
                "risk_treatment",
                r#"{"verified_by":"p-142"}"#,
                "verified_by",
            ),
            ("risk_acceptance", r#"{"accepted_by":null}"#, "accepted_by"),
            ("risk_acceptance", r#"{"accepted_at":null}"#, "accepted_at"),
            ("risk_acceptance", r#"{"expires_at":null}"#, "expires_at"),
            ("risk_acceptance", r#"{"ended_at":null}"#, "ended_at"),
            ("risk_acceptance", r#"{"end_reason":null}"#, "end_reason"),
            (
                "risk_acceptance",
                r#"{"accepted_at":"2026-11-09T08:59:59Z"}"#,
                "accepted_at",
            ),
            (
                "risk_acceptance",
                r#"{"expires_at":"2026-11-10T14:59:59Z"}"#,
                "expires_at",
            ),
            (
                "risk_acceptance",
                r#"{"ended_at":"2026-11-10T14:59:59Z"}"#,
                "ended_at",
            ),
            (
                "risk_acceptance",
                r#"{"status":"REVOKED","accepted_by":null,"accepted_at":null,"expires_at":null,"ended_at":"2026-11-09T08:59:59Z"}"#,
                "ended_at",
            ),
            (
                "risk_acceptance",
                r#"{"accepted_by":"p-105"}"#,
                "accepted_by",
            ),
        ],
    );
}

#[test]
fn applicability() {
    break_every_rule(
        &["soa_entry"],
        &[
            (
                "soa_entry",
                r#"{"inclusion_reasons":null}"#,
                "inclusion_reasons",
            ),
            ("soa_entry", r#"{"implementation":null}"#, "implementation"),
            (
                "soa_entry",
                r#"{"implementation_note":null}"#,
                "implementation_note",
            ),
            ("soa_entry", r#"{"evidence":null}"#, "evidence"),
            ("soa_entry", r#"{"approved_by":null}"#, "approved_by"),
            ("soa_entry", r#"{"approved_at":null}"#, "approved_at"),
            ("soa_entry", r#"{"review_by":null}"#, "review_by"),
            ("soa_entry", r#"{"superseded_by":null}"#, "superseded_by"),
            (
                "soa_entry",
                r#"{"review_by":"2026-04-20T09:59:59Z"}"#,
                "review_by",
            ),
        ],
    );
}
