//! Rules between the fields of assessments of competence.

use super::rows::break_every_rule;

#[test]
fn assessments() {
    break_every_rule(
        &["competence_assessment"],
        &[
            (
                "competence_assessment",
                r#"{"end_reason":null}"#,
                "end_reason",
            ),
            (
                "competence_assessment",
                r#"{"conditions":null}"#,
                "conditions",
            ),
            (
                "competence_assessment",
                r#"{"valid_until":"2026-03-24T13:59:59Z"}"#,
                "valid_until",
            ),
            (
                "competence_assessment",
                r#"{"assessor":"p-128"}"#,
                "assessor",
            ),
        ],
    );
}
