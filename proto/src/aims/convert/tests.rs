use super::*;
use crate::aims::bundle::RuleBundle;

const GOLDEN: &str = include_str!("../../../tests/golden/corrective_action.json");

fn kind() -> &'static Kind {
    RuleBundle::v1()
        .kind("corrective_action", 1)
        .expect("a kind")
}

#[test]
fn free_spelling_gives_the_strict_record() {
    let strict = Record::from_canonical_bytes(kind(), GOLDEN.trim_end().as_bytes()).expect("valid");
    assert_eq!(
        from_free_json(kind(), GOLDEN.as_bytes()).expect("valid"),
        strict
    );
    let free = GOLDEN
        .replace(
            "\"due_at\":\"2026-09-15T12:00:00Z\"",
            "\"dueAt\" : \"2026-09-15T14:00:00.000+02:00\"",
        )
        .replace(
            "\"status\":\"VERIFIED\"",
            "\"status\":\"ACTION_STATUS_VERIFIED\"",
        )
        .replace("\"resources\":null", "\"resources\":\"\"")
        .replace("\"attachments\":null", "\"attachments\":[]")
        .replace("\"retention_class\":null,", "")
        .replace(
            "{\"id\":\"p-142\",\"role\":\"action owner\"}",
            "{ \"role\" : \"action owner\", \"id\":\"p-142\" }",
        );
    for part in [
        "dueAt",
        "ACTION_STATUS_VERIFIED",
        "\"\"",
        "[]",
        "{ \"role\"",
    ] {
        assert!(free.contains(part), "{part}");
    }
    assert!(!free.contains("retention_class"));
    assert_eq!(
        from_free_json(kind(), free.as_bytes()).expect("valid"),
        strict
    );
}

#[test]
fn whatever_is_wrong_is_listed_and_nothing_panics() {
    let refused = from_free_json(kind(), br#"{"ownr":"p-1","due_at":"soon","status":3}"#)
        .expect_err("not a record");
    let has = |field: &str, reason| {
        assert!(
            refused
                .iter()
                .any(|v| v.field == field && v.reason == reason),
            "{refused:?}"
        );
    };
    has("record.ownr", Reason::UnknownField);
    has("record.due_at", Reason::InvalidField);
    has("record.status", Reason::InvalidField);
    has("record.owner", Reason::MissingField);
    for text in [
        "",
        "[]",
        "null",
        "{\"due_at\":1.5}",
        "{\"a\":1,\"a\":2}",
        "{",
        "\u{0}",
    ] {
        assert!(from_free_json(kind(), text.as_bytes()).is_err(), "{text}");
    }
}
