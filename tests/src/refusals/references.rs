//! Faults that only the log shows: links, versions, states, ids. And many faults at once.

use aimslog_client::clock;
use aimslog_proto::reason::Reason as R;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::id::EntryId;

use super::Faulty;
use super::scene::follow;
use crate::draft::{Draft, claim};

fn link(draft: &mut Draft, relation: &str, target: EntryId) {
    draft.claims.set(claim::LINKS, |value| {
        value
            .array(1)
            .array(2)
            .text(relation)
            .bytes(target.as_bytes());
    });
}

fn nothing() -> EntryId {
    EntryId::from_bytes([0xee; 32])
}

/// What is wrong with what a statement refers to.
pub const ROWS: &[Faulty] = &[
    Faulty {
        name: "a link to nothing",
        expected: &[(R::MissingLinkTarget, "header.links")],
        make: |scene| {
            let mut draft = scene.draft();
            link(&mut draft, "follows", nothing());
            draft.submission()
        },
    },
    Faulty {
        name: "a link to another organisation's record",
        expected: &[(R::MissingLinkTarget, "header.links")],
        make: |scene| {
            let mut draft = scene.draft();
            link(&mut draft, "follows", scene.foreign.entry_id);
            draft.submission()
        },
    },
    Faulty {
        name: "a relation that the kind does not have",
        expected: &[(R::InvalidHeader, "header.links")],
        make: |scene| {
            let mut draft = scene.draft();
            link(&mut draft, "resembles", scene.first.entry_id);
            draft.submission()
        },
    },
    Faulty {
        name: "a version of nothing",
        expected: &[(R::MissingLinkTarget, "header.entity")],
        make: |scene| {
            let mut draft = scene.draft();
            follow(&mut draft, [nothing(); 2], 0);
            draft.submission()
        },
    },
    Faulty {
        name: "a version of another organisation's record",
        expected: &[(R::MissingLinkTarget, "header.entity")],
        make: |scene| {
            let mut draft = scene.draft();
            follow(&mut draft, [scene.foreign.entry_id; 2], 0);
            draft.submission()
        },
    },
    Faulty {
        name: "a version after one that is not the newest",
        expected: &[(R::VersionConflict, "header.previous")],
        make: |scene| {
            let mut draft = scene.draft();
            follow(&mut draft, [scene.first.entry_id; 2], 0);
            draft.submission()
        },
    },
    Faulty {
        name: "a version after a retraction",
        expected: &[(R::InvalidTransition, "header.change")],
        make: |scene| {
            let mut draft = scene.draft();
            let [entity, newest] = scene.retracted.each_ref().map(|entry| entry.entry_id);
            follow(&mut draft, [entity, newest], 0);
            draft.submission()
        },
    },
    Faulty {
        name: "a version of another kind",
        expected: &[(R::HeaderMismatch, "header.content_type")],
        make: |scene| {
            let mut draft = scene.system_draft();
            let versions = [scene.first.entry_id, scene.second.entry_id];
            follow(&mut draft, versions, 0);
            draft.submission()
        },
    },
    Faulty {
        name: "a state that nothing begins with",
        expected: &[(R::InvalidTransition, "header.transition")],
        make: |scene| {
            let mut draft = scene.system_draft();
            draft.set_value("lifecycle_stage", "\"RETIRED\"");
            draft.claims.set(claim::TRANSITION, |value| {
                value.text("retired");
            });
            draft.submission()
        },
    },
    Faulty {
        name: "a state that a person enters, by a program",
        expected: &[(R::GuardFailed, "header.origin")],
        make: |scene| {
            let mut draft = scene.system_draft();
            draft.set_value("lifecycle_stage", "\"PILOT\"");
            draft.claims.set(claim::TRANSITION, |value| {
                value.text("pilot");
            });
            draft.claims.set(claim::ORIGIN, |value| {
                value.uint(1);
            });
            draft.submission()
        },
    },
    Faulty {
        name: "an id that was used with other bytes",
        expected: &[(R::IdConflict, "header.cti")],
        make: |scene| {
            let mut draft = scene.draft();
            let used = UnverifiedStatement::parse(&scene.logged.statement).unwrap();
            let id = *used.header().id.as_bytes();
            draft.claims.set(claim::CTI, |value| {
                value.bytes(&id);
            });
            draft.submission()
        },
    },
    Faulty {
        name: "everything at once, in a statement that can be read",
        expected: &[
            (R::WrongAudience, "header.aud"),
            (R::Expired, "header.exp"),
            (R::RulesOutdated, "header.rules"),
            (R::UnknownControl, "header.controls"),
            (R::MissingLinkTarget, "header.links"),
            (R::VersionConflict, "header.previous"),
            (R::CommitmentMismatch, "payload"),
            (R::InvalidField, "record.decision"),
            (R::JsonNotCanonical, "record.risk_class"),
            (R::HeaderMismatch, "record.system"),
            (R::DuplicateSalt, "record.escalated_to"),
            (R::MissingLinkTarget, "record.attachments[0].digest"),
            (R::InvalidRequest, "digest_only[0]"),
        ],
        make: |scene| {
            let mut draft = scene.draft();
            break_header(&mut draft, scene.first.entry_id);
            break_content(&mut draft);
            draft.submission()
        },
    },
    Faulty {
        name: "everything at once, in a statement that cannot be read as a whole",
        expected: &[
            (R::UnknownHeader, "header.claim 99"),
            (R::InvalidHeader, "header.iat"),
            (R::WrongSignature, "signature"),
            (R::WrongAudience, "header.aud"),
            (R::RulesOutdated, "header.rules"),
            (R::CommitmentMismatch, "payload"),
            (R::InvalidField, "record.decision"),
            (R::JsonNotCanonical, "record.risk_class"),
            (R::HeaderMismatch, "record.system"),
            (R::DuplicateSalt, "record.escalated_to"),
            (R::InvalidRequest, "digest_only[0]"),
        ],
        make: |scene| {
            let mut draft = scene.draft();
            break_header(&mut draft, scene.first.entry_id);
            draft.claims.remove(claim::EXP);
            draft.claims.set(99, |value| {
                value.uint(1);
            });
            draft.claims.set(claim::IAT, |value| {
                value.text("yesterday");
            });
            break_content(&mut draft);
            let mut submission = draft.submission();
            *submission.statement.last_mut().unwrap() ^= 1;
            submission
        },
    },
];

fn break_header(draft: &mut Draft, old_version: EntryId) {
    draft.claims.set(claim::AUD, |value| {
        value.text("ledger.example.com/another");
    });
    let now = clock::unix_seconds();
    for (claim, time) in [(claim::IAT, now - 100), (claim::EXP, now - 50)] {
        draft.claims.set(claim, |value| {
            value.uint(time);
        });
    }
    draft.claims.set(claim::RULES, |value| {
        value.bytes(&[7; 32]);
    });
    draft.claims.set(claim::CONTROLS, |value| {
        value.array(1).array(2).text("iso42001-2023").text("A.99.9");
    });
    link(draft, "follows", nothing());
    follow(draft, [old_version; 2], 0);
}

fn break_content(draft: &mut Draft) {
    draft.payload = Some(draft.committed());
    draft.set_value("decision", "\"PERHAPS\"");
    draft.set_value("risk_class", "0.5");
    draft.set_value("system", "\"sys-other-1\"");
    let digest = "ab".repeat(32);
    draft.set_value(
        "attachments",
        &format!(r#"[{{"name":"a","digest":"{digest}","media_type":"text/plain","size":1}}]"#),
    );
    let salt = draft.salt("decision");
    let last = draft.disclosures.len() - 1;
    draft.disclosures[last] = format!(r#"["{salt}","escalated_to",null]"#).into_bytes();
    draft.digest_only = vec![vec![1, 2, 3]];
}
