use super::*;
use crate::aims::bundle::RuleBundle;

fn valid(format: Format, text: &str) -> bool {
    check("x", format, text, RuleBundle::v1().schemes()).is_ok()
}

#[test]
fn each_form_takes_and_refuses_what_it_says() {
    let digest = "0f".repeat(32);
    let upper = digest.to_uppercase();
    let entry = "A".repeat(43);
    let long = "a".repeat(64);
    let table: [(Format, &[&str], &[&str]); 8] = [
        (
            Format::Text,
            &["a", "two\nlines", "Ü"],
            &["", "a\u{0}", "a\r"],
        ),
        (
            Format::Id,
            &["a", "sys-7f3a", "0"],
            &["", "-a", "A", "a_b", &long],
        ),
        (
            Format::Sha256,
            &[&digest],
            &["", &upper, digest.trim_start_matches('0')],
        ),
        (
            Format::Decimal,
            &["0", "-1", "0.5", "12.340", "99.2"],
            &[
                "", "-", "01", ".5", "1.", "1e3", "+1", "-0", "-0.00", "1.2.3",
            ],
        ),
        (
            Format::MediaType,
            &["text/csv", "application/vnd.x+json"],
            &[
                "",
                "text",
                "text/",
                "Text/csv",
                "text/csv; charset=utf-8",
                "a/b/c",
            ],
        ),
        (
            Format::EntryId,
            &[&entry],
            &["", "AAAA", "=".repeat(43).leak()],
        ),
        (
            Format::Reference,
            &["NC-2026-04", "a b"],
            &["", " a", "a ", "a\nb"],
        ),
        (Format::FileName, &["a.csv"], &["", "..", "a/b", "a\\b"]),
    ];
    for (format, good, bad) in table {
        for text in good {
            assert!(valid(format, text), "{format:?} {text:?}");
        }
        for text in bad {
            assert!(!valid(format, text), "{format:?} {text:?}");
        }
    }
    assert!(!valid(Format::Text, &"a".repeat(TEXT_BYTES_MAX + 1)));
}

#[test]
fn controls_come_with_the_nearest_one() {
    let schemes = RuleBundle::v1().schemes();
    assert!(valid(Format::Control, "iso42001-2023/A.9.2"));
    assert!(valid(Format::Control, "org/SEC.1"));
    let violation = check(
        "criteria[0]",
        Format::Control,
        "iso42001-2023/A.9.5",
        schemes,
    )
    .expect_err("no such control");
    assert_eq!(violation.reason, Reason::UnknownControl);
    assert_eq!(violation.nearest.as_deref(), Some("A.9.4"));
    let alias = check("criteria[0]", Format::Control, "guide/9.1", schemes);
    let alias = alias.expect_err("stands for others");
    assert_eq!(alias.nearest.as_deref(), Some("iso42001-2023/A.9.2"));
    // Whether there is such a catalogue is for the header to say, where the ledger judges it.
    assert!(valid(Format::Control, "iso27001-2022/A.5.19"));
    assert!(!valid(Format::Control, "ISO27001/A.5.19"));
    assert!(!valid(Format::Control, "iso27001-2022/A 5"));
    assert!(!valid(Format::Control, "A.9.2"));
    assert!(!valid(Format::Control, "org/"));
}

#[test]
fn instants_have_one_form() {
    for text in [
        "2026-11-02T08:15:00Z",
        "2024-02-29T23:59:59.120Z",
        "2026-11-02T08:15:00.000001Z",
        "2026-11-02T08:15:00.000000001Z",
    ] {
        let (_, strict) = Instant::parse_any(text).expect(text);
        assert_eq!(strict, text);
        assert!(Instant::parse(text).is_some(), "{text}");
    }
    for text in [
        "",
        "2026-11-02",
        "2026-11-02T08:15:00",
        "2026-11-02T08:15:00+00:00",
        "2026-11-02t08:15:00z",
        "2026-11-02 08:15:00Z",
        "2026-11-02T08:15:00.000Z",
        "2026-11-02T08:15:00.1Z",
        "2026-11-02T08:15:00.100000Z",
        "2025-02-29T08:15:00Z",
        "2026-11-02T24:00:00Z",
        "2026-11-02T08:15:60Z",
        "2026-13-02T08:15:00Z",
        "2016-12-31T23:59:60Z",
        "2026-11-02T08:15:00.abcZ",
        "äöü6-11-02T08:15Z",
    ] {
        assert!(Instant::parse(text).is_none(), "{text}");
    }
    let (_, strict) = Instant::parse_any("2026-11-02T09:15:00.50+01:00").expect("RFC 3339");
    assert_eq!(strict, "2026-11-02T08:15:00.500Z");
}

#[test]
fn placeholders_are_seen() {
    for text in ["TBD", " tbd ", "n/a", "...", "-", "xxx", "?"] {
        assert!(is_placeholder(text), "{text}");
    }
    for text in ["To be decided by the board", "none found", "x"] {
        assert!(!is_placeholder(text), "{text}");
    }
}
