//! Faults of content: kind, fields, values, commitment, attachments.

use aimslog_proto::reason::Reason as R;

use super::Faulty;
use super::form::broken;
use crate::draft::{Draft, claim, label};

/// The last field of the list of oversight decisions.
const LAST: &str = "escalated_to";

fn set_kind(draft: &mut Draft, content_type: &str) {
    draft.labels.set(label::CONTENT_TYPE, |value| {
        value.text(content_type);
    });
}

fn set_control(draft: &mut Draft, [scheme, id]: [&str; 2]) {
    draft.claims.set(claim::CONTROLS, |value| {
        value.array(1).array(2).text(scheme).text(id);
    });
}

fn long_text(count: usize) -> String {
    format!("\"{}\"", "x".repeat(count))
}

/// A list of one attachment that nobody has stored.
const ATTACHMENT: &str = "[{\"name\":\"a.txt\",\"digest\":\
    \"abababababababababababababababababababababababababababababababab\",\
    \"media_type\":\"text/plain\",\"size\":1}]";

/// What is wrong with kind, fields and values.
pub const ROWS: &[Faulty] = &[
    Faulty {
        name: "a kind that there is not",
        expected: &[(R::UnknownKind, "header.content_type")],
        make: broken!(draft => set_kind(&mut draft, "application/vnd.aimslog.oversight-decison.v1+json")),
    },
    Faulty {
        name: "a version that there is not",
        expected: &[(R::UnknownVersion, "header.content_type")],
        make: broken!(draft => {
            let text = draft.labels.text(label::CONTENT_TYPE).replace(".v1+", ".v9+");
            set_kind(&mut draft, &text);
        }),
    },
    Faulty {
        name: "rules that are not accepted",
        expected: &[(R::RulesOutdated, "header.rules")],
        make: broken!(draft => draft.claims.set(claim::RULES, |value| {
            value.bytes(&[7; 32]);
        })),
    },
    Faulty {
        name: "a control that its catalogue does not have",
        expected: &[(R::UnknownControl, "header.controls")],
        make: broken!(draft => set_control(&mut draft, ["iso42001-2023", "A.99.9"])),
    },
    Faulty {
        name: "a catalogue that there is not",
        expected: &[(R::UnknownCatalogue, "header.controls")],
        make: broken!(draft => set_control(&mut draft, ["iso42001-1823", "A.9.2"])),
    },
    Faulty {
        name: "a disclosure that is no JSON",
        expected: &[(R::JsonMalformed, "record.decision")],
        make: broken!(draft => {
            let place = draft.place("decision");
            draft.disclosures[place].pop();
        }),
    },
    Faulty {
        name: "white space in a disclosure",
        expected: &[(R::JsonNotCanonical, "record.decision")],
        make: broken!(draft => draft.set_value("decision", " \"APPROVE\"")),
    },
    Faulty {
        name: "a float",
        expected: &[(R::JsonNotCanonical, "record.risk_class")],
        make: broken!(draft => draft.set_value("risk_class", "0.5")),
    },
    Faulty {
        name: "a key of an object twice",
        expected: &[(R::JsonNotCanonical, "record.actor")],
        make: broken!(draft => draft.set_value("actor", r#"{"id":"p-1","id":"p-2","role":"r"}"#)),
    },
    Faulty {
        name: "a field that the kind does not have",
        expected: &[
            (R::UnknownField, "record.escalated_too"),
            (R::MissingField, "record.escalated_to"),
        ],
        make: broken!(draft => draft.set_field(LAST, ["escalated_too", "null"])),
    },
    Faulty {
        name: "a field left out",
        expected: &[(R::MissingField, "record.escalated_to")],
        make: broken!(draft => drop(draft.disclosures.pop())),
    },
    Faulty {
        name: "a field doubled",
        expected: &[
            (R::DuplicateField, "record.decision"),
            (R::MissingField, "record.escalated_to"),
        ],
        make: broken!(draft => draft.set_field(LAST, ["decision", "\"APPROVE\""])),
    },
    Faulty {
        name: "two fields swapped",
        expected: &[
            (R::SwappedField, "record.reviewer"),
            (R::SwappedField, "record.decision"),
        ],
        make: broken!(draft => {
            let places = [draft.place("reviewer"), draft.place("decision")];
            draft.disclosures.swap(places[0], places[1]);
        }),
    },
    Faulty {
        name: "a required field without a value",
        expected: &[(R::MissingField, "record.reviewer")],
        make: broken!(draft => draft.set_value("reviewer", "null")),
    },
    Faulty {
        name: "values that their rules do not allow",
        expected: &[
            (R::InvalidField, "record.decision"),
            (R::InvalidField, "record.output_digest"),
        ],
        make: broken!(draft => {
            draft.set_value("decision", "\"PERHAPS\"");
            draft.set_value("output_digest", "\"abc\"");
        }),
    },
    Faulty {
        name: "decided before it was presented",
        expected: &[(R::InvalidField, "record.decided_at")],
        make: broken!(draft => draft.set_value("decided_at", "\"2026-03-02T07:00:00Z\"")),
    },
    Faulty {
        name: "a decision that needs to say to whom",
        expected: &[(R::MissingField, "record.escalated_to")],
        make: broken!(draft => draft.set_value("decision", "\"ESCALATE\"")),
    },
    Faulty {
        name: "another system than the subject",
        expected: &[(R::HeaderMismatch, "record.system")],
        make: broken!(draft => draft.set_value("system", "\"sys-other-1\"")),
    },
    Faulty {
        name: "a salt that is too short",
        expected: &[(R::InvalidSalt, "record.escalated_to")],
        make: broken!(draft => {
            let last = draft.disclosures.len() - 1;
            draft.disclosures[last] = br#"["AAAA","escalated_to",null]"#.to_vec();
        }),
    },
    Faulty {
        name: "a salt twice",
        expected: &[(R::DuplicateSalt, "record.escalated_to")],
        make: broken!(draft => {
            let salt = draft.salt("decision");
            let last = draft.disclosures.len() - 1;
            draft.disclosures[last] = format!(r#"["{salt}","escalated_to",null]"#).into_bytes();
        }),
    },
    Faulty {
        name: "other fields than were committed to",
        expected: &[(R::CommitmentMismatch, "payload")],
        make: broken!(draft => {
            draft.payload = Some(draft.committed());
            draft.set_value("justification", "\"changed afterwards\"");
        }),
    },
    Faulty {
        name: "a disclosure that is too large",
        expected: &[(R::DisclosureTooLarge, "record.justification")],
        make: broken!(draft => draft.set_value("justification", &long_text(66_000))),
    },
    Faulty {
        name: "disclosures that are too large together",
        expected: &[(R::RecordTooLarge, "disclosures")],
        make: broken!(draft => for place in 0..5 {
            draft.disclosures[place] = vec![b'x'; 60_000];
        }),
    },
    Faulty {
        name: "too many disclosures",
        expected: &[
            (R::RecordTooLarge, "disclosures"),
            (R::CommitmentMismatch, "payload"),
        ],
        make: broken!(draft => draft.disclosures.resize(257, b"[]".to_vec())),
    },
    Faulty {
        name: "a digest of a file that is none",
        expected: &[(R::InvalidRequest, "digest_only[1]")],
        make: broken!(draft => draft.digest_only = vec![vec![0; 32], vec![0; 31]]),
    },
    Faulty {
        name: "a file that was not stored",
        expected: &[(R::MissingLinkTarget, "record.attachments[0].digest")],
        make: broken!(draft => draft.set_value("attachments", ATTACHMENT)),
    },
    Faulty {
        name: "a kind whose content is never withheld",
        expected: &[(R::MissingField, "disclosures")],
        make: |scene| {
            let draft = scene.system_draft();
            let mut submission = draft.submission();
            submission.disclosures.clear();
            submission
        },
    },
];
