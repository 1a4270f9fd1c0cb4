//! The records and attachments of the demo: a clearly fictional hospital. They are part of the
//! program, so that the demo works wherever the program does.

/// Files of records, one a line, in the order in which they are submitted: later ones link to
/// earlier ones.
pub(super) const RECORDS: [(&str, &str); 4] = [
    (
        "01-inventory.jsonl",
        include_str!("../../demo/01-inventory.jsonl"),
    ),
    (
        "02-oversight.jsonl",
        include_str!("../../demo/02-oversight.jsonl"),
    ),
    ("03-audit.jsonl", include_str!("../../demo/03-audit.jsonl")),
    (
        "04-improvement.jsonl",
        include_str!("../../demo/04-improvement.jsonl"),
    ),
];

/// A record to try `aimslog submit` with; the demo leaves it out.
pub(super) const TRY_IT: &str = include_str!("../../demo/try-it.json");

/// The files that some of the records name.
pub(super) const ATTACHMENTS: [(&str, &[u8]); 6] = [
    (
        "audit-2026-a1-plan.txt",
        include_bytes!("../../demo/attachments/audit-2026-a1-plan.txt"),
    ),
    (
        "audit-2026-a1-report.txt",
        include_bytes!("../../demo/attachments/audit-2026-a1-report.txt"),
    ),
    (
        "language-support-test-2026-10.csv",
        include_bytes!("../../demo/attachments/language-support-test-2026-10.csv"),
    ),
    (
        "training-log-emergency-2026.csv",
        include_bytes!("../../demo/attachments/training-log-emergency-2026.csv"),
    ),
    (
        "triage-bill-of-materials.json",
        include_bytes!("../../demo/attachments/triage-bill-of-materials.json"),
    ),
    (
        "triage-validation-2026-05.csv",
        include_bytes!("../../demo/attachments/triage-validation-2026-05.csv"),
    ),
];
