//! The records and attachments of the demo: a part of the sample management system, a clearly fictional
//! hospital. They are part of the program, so that the demo works wherever the program does.

/// Files of the sample, each with its text.
macro_rules! sample {
    ($($name:literal,)+) => {
        [$(($name, include_str!(concat!("../../../samples/hospital/", $name)))),+]
    };
}

macro_rules! attachments {
    ($($name:literal,)+) => {
        [$(($name, include_bytes!(concat!("../../../samples/hospital/attachments/", $name)) as &[u8])),+]
    };
}

/// Who signs for whom.
pub(super) const PEOPLE: &str = include_str!("../../../samples/hospital/people.toml");
/// Who signs which file.
pub(super) const MANIFEST: &str = include_str!("../../../samples/hospital/manifest.toml");

/// Files of records in the order in which they are submitted: from the first reason to the first audit
/// and what came of it. Later ones link to earlier ones, and none of them to a file that is left out.
pub(super) const RECORDS: [(&str, &str); 56] = sample![
    "q1/01-reasons.yaml",
    "q1/02-reasons-approved.yaml",
    "q1/03-context.yaml",
    "q1/04-scope.yaml",
    "q1/05-scope-approved.yaml",
    "q1/06-gap.yaml",
    "q1/08-policy-drafts.yaml",
    "q1/09-policy-approved.yaml",
    "q1/10-policy-communicated.yaml",
    "q1/11-inventory-triage.yaml",
    "q1/12-inventory-noshow.yaml",
    "q1/13-risks-aims.yaml",
    "q1/14-risks-assessed-triage.yaml",
    "q1/15-risks-assessed-noshow.yaml",
    "q1/16-risks-assessed-aims.yaml",
    "q1/17-treatments-triage.yaml",
    "q1/18-treatments-noshow.yaml",
    "q1/19-acceptance-asked.yaml",
    "q1/20-acceptance-given.yaml",
    "q1/22-objectives.yaml",
    "q2/01-suppliers-evaluated.yaml",
    "q2/02-suppliers-contracted.yaml",
    "q2/05-data.yaml",
    "q2/06-data-approved.yaml",
    "q2/07-tests-triage.yaml",
    "q2/08-impact-due.yaml",
    "q2/09-triage-drafts.yaml",
    "q2/10-triage-approved.yaml",
    "q2/11-competence.yaml",
    "q2/12-training-assigned.yaml",
    "q2/13-training-nurses.yaml",
    "q2/15-models.yaml",
    "q2/16-deployment-asked.yaml",
    "q2/17-deployment-approved.yaml",
    "q2/18-pilot.yaml",
    "q2/19-production-approved.yaml",
    "q2/20-production.yaml",
    "q2/21-decisions-june.yaml",
    "q2/23-treatments-done-triage.yaml",
    "q3/07-decisions-july.yaml",
    "q3/08-audit-programme.yaml",
    "q3/09-audit-programme-approved.yaml",
    "q3/10-audit-1-planned.yaml",
    "q3/11-population-1.yaml",
    "q3/12-audit-1-sealed.yaml",
    "q3/13-sample-1.yaml",
    "q3/14-audit-1-findings.yaml",
    "q3/15-findings-1-acknowledged.yaml",
    "q3/16-actions-1.yaml",
    "q3/17-nc-1-planned.yaml",
    "q3/18-audit-1-reported.yaml",
    "q3/19-audit-1-closed.yaml",
    "q3/24-actions-done.yaml",
    "q3/25-nc-implemented.yaml",
    "q3/26-nc-verified.yaml",
    "q3/27-nc-closed.yaml",
];

/// A record to try `aimslog submit` with; the demo leaves it out.
pub(super) const TRY_IT: &str = include_str!("../../demo/try-it.json");

/// The files that some of the records name.
pub(super) const ATTACHMENTS: [(&str, &[u8]); 5] = attachments![
    "ai-policy-1.txt",
    "audit-2026-1-report.txt",
    "roster-2026-05.jsonl",
    "triage-bill-of-materials.json",
    "triage-validation-2026-05.csv",
];
