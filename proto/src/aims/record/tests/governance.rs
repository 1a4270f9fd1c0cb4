//! Rules between the fields of the kinds of `governance.proto`; the method is that of `rows`.

use super::rows::break_every_rule;

#[test]
fn scope_and_motive() {
    break_every_rule(
        &["scope_statement", "policy_objective"],
        &[
            ("scope_statement", r#"{"systems":null}"#, "systems"),
            ("scope_statement", r#"{"approved_by":null}"#, "approved_by"),
            ("scope_statement", r#"{"approved_at":null}"#, "approved_at"),
            ("scope_statement", r#"{"review_by":null}"#, "review_by"),
            (
                "scope_statement",
                r#"{"superseded_by":null}"#,
                "superseded_by",
            ),
            (
                "scope_statement",
                r#"{"review_by":"2026-03-01T00:00:00Z"}"#,
                "review_by",
            ),
            (
                "policy_objective",
                r#"{"source_references":null}"#,
                "source_references",
            ),
            (
                "policy_objective",
                r#"{"expected_outcome":null}"#,
                "expected_outcome",
            ),
            ("policy_objective", r#"{"approved_by":null}"#, "approved_by"),
            ("policy_objective", r#"{"approved_at":null}"#, "approved_at"),
        ],
    );
}

#[test]
fn surroundings() {
    break_every_rule(
        &["context_issue", "interested_party"],
        &[
            ("context_issue", r#"{"response":null}"#, "response"),
            ("context_issue", r#"{"reviewed_at":null}"#, "reviewed_at"),
            (
                "context_issue",
                r#"{"review_result":null}"#,
                "review_result",
            ),
            (
                "context_issue",
                r#"{"next_review_at":null}"#,
                "next_review_at",
            ),
            (
                "context_issue",
                r#"{"reviewed_at":"2026-02-10T08:59:59Z"}"#,
                "reviewed_at",
            ),
            (
                "context_issue",
                r#"{"next_review_at":"2026-10-05T12:59:59Z"}"#,
                "next_review_at",
            ),
            (
                "interested_party",
                r#"{"communication":null}"#,
                "communication",
            ),
            ("interested_party", r#"{"reviewed_at":null}"#, "reviewed_at"),
            (
                "interested_party",
                r#"{"review_result":null}"#,
                "review_result",
            ),
            (
                "interested_party",
                r#"{"next_review_at":null}"#,
                "next_review_at",
            ),
            (
                "interested_party",
                r#"{"reviewed_at":"2026-02-10T09:29:59Z"}"#,
                "reviewed_at",
            ),
            (
                "interested_party",
                r#"{"next_review_at":"2026-10-05T13:59:59Z"}"#,
                "next_review_at",
            ),
            (
                "interested_party",
                r#"{"needs":[{"need":"a","obligation":"NONE","decision":"OPEN"},{"need":"b","obligation":"LEGAL","decision":"NOT_ADDRESSED"}]}"#,
                "needs[1].treatment",
            ),
        ],
    );
}

#[test]
fn plan() {
    break_every_rule(
        &["project_plan"],
        &[
            ("project_plan", r#"{"started_at":null}"#, "started_at"),
            ("project_plan", r#"{"completed_at":null}"#, "completed_at"),
            ("project_plan", r#"{"result":null}"#, "result"),
            (
                "project_plan",
                r#"{"phases":[{"number":0,"name":"Scoping","first_week":1,"last_week":3,"deliverables":["Scope"],"status":"DONE"}]}"#,
                "phases[0].completed_at",
            ),
            (
                "project_plan",
                r#"{"ends_at":"2026-01-11T00:00:00Z"}"#,
                "ends_at",
            ),
            (
                "project_plan",
                r#"{"completed_at":"2026-01-12T07:59:59Z"}"#,
                "completed_at",
            ),
        ],
    );
}

#[test]
fn policy() {
    break_every_rule(
        &["ai_policy"],
        &[
            ("ai_policy", r#"{"policy_digest":null}"#, "policy_digest"),
            ("ai_policy", r#"{"fits_context":null}"#, "fits_context"),
            (
                "ai_policy",
                r#"{"frames_objectives":null}"#,
                "frames_objectives",
            ),
            (
                "ai_policy",
                r#"{"commits_to_requirements":null}"#,
                "commits_to_requirements",
            ),
            (
                "ai_policy",
                r#"{"commits_to_improvement":null}"#,
                "commits_to_improvement",
            ),
            (
                "ai_policy",
                r#"{"commits_to_communication":null}"#,
                "commits_to_communication",
            ),
            ("ai_policy", r#"{"approved_by":null}"#, "approved_by"),
            ("ai_policy", r#"{"approved_at":null}"#, "approved_at"),
            ("ai_policy", r#"{"review_by":null}"#, "review_by"),
            (
                "ai_policy",
                r#"{"communicated_to":null}"#,
                "communicated_to",
            ),
            (
                "ai_policy",
                r#"{"communicated_at":null}"#,
                "communicated_at",
            ),
            ("ai_policy", r#"{"publication":null}"#, "publication"),
            ("ai_policy", r#"{"status":"SUPERSEDED"}"#, "superseded_by"),
            (
                "ai_policy",
                r#"{"review_by":"2026-03-09T09:59:59Z"}"#,
                "review_by",
            ),
            (
                "ai_policy",
                r#"{"communicated_at":"2026-03-09T09:59:59Z"}"#,
                "communicated_at",
            ),
        ],
    );
}

#[test]
fn roles_and_procedures() {
    break_every_rule(
        &["role_assignment", "procedure"],
        &[
            ("role_assignment", r#"{"ended_at":null}"#, "ended_at"),
            ("role_assignment", r#"{"end_reason":null}"#, "end_reason"),
            (
                "role_assignment",
                r#"{"accepted_at":"2026-03-09T10:59:59Z"}"#,
                "accepted_at",
            ),
            (
                "role_assignment",
                r#"{"ended_at":"2026-03-09T10:59:59Z"}"#,
                "ended_at",
            ),
            (
                "role_assignment",
                r#"{"assigned_by":"p-113"}"#,
                "assigned_by",
            ),
            ("role_assignment", r#"{"deputy":"p-113"}"#, "deputy"),
            (
                "procedure",
                r#"{"document_digest":null}"#,
                "document_digest",
            ),
            ("procedure", r#"{"distributed_to":null}"#, "distributed_to"),
            ("procedure", r#"{"approved_by":null}"#, "approved_by"),
            ("procedure", r#"{"approved_at":null}"#, "approved_at"),
            ("procedure", r#"{"effective_from":null}"#, "effective_from"),
            ("procedure", r#"{"review_by":null}"#, "review_by"),
            ("procedure", r#"{"superseded_by":null}"#, "superseded_by"),
            (
                "procedure",
                r#"{"effective_from":"2026-05-04T09:59:59Z"}"#,
                "effective_from",
            ),
            (
                "procedure",
                r#"{"review_by":"2026-05-10T00:00:00Z"}"#,
                "review_by",
            ),
        ],
    );
}
