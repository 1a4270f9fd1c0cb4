use super::*;
use std::collections::{BTreeMap, BTreeSet};

const DEMO: [(&str, &str); 4] = [
    (
        "01-inventory",
        include_str!("../../../../cli/demo/01-inventory.jsonl"),
    ),
    (
        "02-oversight",
        include_str!("../../../../cli/demo/02-oversight.jsonl"),
    ),
    (
        "03-audit",
        include_str!("../../../../cli/demo/03-audit.jsonl"),
    ),
    (
        "04-improvement",
        include_str!("../../../../cli/demo/04-improvement.jsonl"),
    ),
];

#[test]
fn demo_records_are_valid_and_their_links_and_states_hold() {
    let bundle = RuleBundle::v1();
    let mut states: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    let mut count = 0;
    for (file, text) in DEMO {
        for submission in parse_file(bundle, text.as_bytes()) {
            let submission = submission.unwrap_or_else(|error| panic!("{file}: {error:#?}"));
            let kind = bundle.kind(submission.record.kind(), 1).expect("a kind");
            let of = |target: &Target| match target {
                Target::Key(key) => states.get(key).unwrap_or_else(|| panic!("{file}: {key}")),
                Target::Entry(id) => panic!("{file}: {id} cannot be known"),
            };
            for link in &submission.links {
                kind.check_link(&link.relation, &of(&link.target).0)
                    .expect(file);
            }
            let from = submission
                .amends
                .as_ref()
                .map(|(target, _)| of(target).clone());
            if let Some((earlier, _)) = &from {
                assert_eq!(earlier, kind.name(), "{file}");
            }
            if let Some(to) = &submission.transition {
                let from = from.as_ref().and_then(|(_, state)| state.as_deref());
                kind.check_transition(from, to)
                    .unwrap_or_else(|v| panic!("{file}: {v}"));
            }
            let key = submission.key.clone().expect("every demo record has a key");
            let state = (kind.name().to_owned(), submission.transition.clone());
            assert!(
                states.insert(key.clone(), state).is_none(),
                "{file}: {key} twice"
            );
            kinds.insert(kind.name());
            count += 1;
        }
    }
    assert!(count >= 100, "{count}");
    let expected = [
        "ai_system",
        "corrective_action",
        "finding",
        "internal_audit",
        "nonconformity",
        "oversight_decision",
        "population",
        "sample",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
}

const GOOD: &str = r#"{"meta":{"kind":"finding","key":"f-1","links":[["audit","key:a-1"]],
    "controls":["A.9.2","org/SEC.1"]},"record":RECORD}"#;

fn good() -> String {
    GOOD.replace("RECORD", include_str!("../../../tests/golden/finding.json"))
}

#[test]
fn wrapper_fills_in_what_the_record_says() {
    let submission = parse(RuleBundle::v1(), good().as_bytes());
    // A first version cannot start acknowledged.
    let refused = submission.expect_err("not an initial state");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].reason, Reason::InvalidTransition);

    let later = good().replace("\"key\":\"f-1\"", "\"key\":\"f-1\",\"amends\":\"key:f-0\"");
    let submission = parse(RuleBundle::v1(), later.as_bytes()).expect("valid");
    assert_eq!(
        submission.subject,
        Subject::System("sys-triage-1".to_owned())
    );
    assert_eq!(submission.transition.as_deref(), Some("acknowledged"));
    assert_eq!(
        submission.amends,
        Some((Target::Key("f-0".to_owned()), Change::Amend))
    );
    assert_eq!(submission.links[0].target, Target::Key("a-1".to_owned()));
    let controls = [("iso42001-2023", "A.9.2"), ("org", "SEC.1")];
    assert_eq!(
        submission.controls,
        controls.map(|(s, i)| (s.to_owned(), i.to_owned()))
    );
}

/// What is written, what is written instead, and what is found.
const SLIPS: [(&str, &str, &str, Reason); 13] = [
    (
        "\"kind\":\"finding\"",
        "\"kind\":\"findin\"",
        "header.content_type",
        Reason::UnknownKind,
    ),
    (
        "\"kind\":\"finding\",",
        "",
        "meta.kind",
        Reason::MissingField,
    ),
    (
        "\"kind\":",
        "\"version\":9,\"kind\":",
        "meta.version",
        Reason::UnknownVersion,
    ),
    (
        "\"kind\":",
        "\"version\":\"next\",\"kind\":",
        "meta.version",
        Reason::UnknownVersion,
    ),
    ("\"links\"", "\"lins\"", "meta.lins", Reason::UnknownField),
    (
        "\"key:a-1\"",
        "\"a-1\"",
        "meta.links[0]",
        Reason::InvalidRequest,
    ),
    (
        "\"audit\",",
        "\"audits\",",
        "meta.links[0]",
        Reason::InvalidHeader,
    ),
    (
        "\"A.9.2\",",
        "\"A.9.5\",",
        "meta.controls[0]",
        Reason::UnknownControl,
    ),
    ("\"f-1\"", "\"f 1\"", "meta.key", Reason::InvalidRequest),
    (
        "\"f-1\"",
        "\"f-1\",\"subject\":\"sys-2\"",
        "record.system",
        Reason::HeaderMismatch,
    ),
    (
        "\"f-1\"",
        "\"f-1\",\"transition\":\"closed\"",
        "header.transition",
        Reason::HeaderMismatch,
    ),
    (
        "\"f-1\"",
        "\"f-1\",\"change\":\"delete\"",
        "meta.change",
        Reason::InvalidRequest,
    ),
    (
        "\"record\":",
        "\"recrd\":",
        "file.recrd",
        Reason::UnknownField,
    ),
];

#[test]
fn each_slip_in_the_wrapper_is_named() {
    let later = good().replace("\"key\":\"f-1\"", "\"key\":\"f-1\",\"amends\":\"key:f-0\"");
    for (from, to, field, reason) in SLIPS {
        let changed = later.replacen(from, to, 1);
        assert_ne!(changed, later, "{from}");
        let found = parse(RuleBundle::v1(), changed.as_bytes()).expect_err(to);
        let is = |v: &Violation| v.field == field && v.reason == reason;
        assert!(found.iter().any(is), "{to}: {found:?}");
    }
}

#[test]
fn file_names_the_line_of_each_bad_record() {
    let line = good().replace('\n', "");
    let text = format!("\n{line}\n\n{{}}\nx\n");
    let results = parse_file(RuleBundle::v1(), text.as_bytes());
    let lines: Vec<Option<usize>> = results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.line))
        .collect();
    assert_eq!(lines, [Some(2), Some(4), Some(5)]);
    assert!(parse_file(RuleBundle::v1(), b"").is_empty());
    assert!(parse_file(RuleBundle::v1(), b"\n \n").is_empty());
}

/// What is written, what is written instead, and the line of the field that is refused for it.
const MISPLACED: [(&str, &str, usize); 7] = [
    ("\"kind\": \"finding\"", "\"kind\": \"findin\"", 2),
    ("\"A.9.2\"", "\"A.9.5\"", 4),
    ("\"id\": \"p-301\"", "\"id\": \"P 301\"", 6),
    ("\"grade\": \"OBSERVATION\"", "\"grade\": \"HEAVY\"", 9),
    (
        "\"findingReference\": \"F-03\"",
        "\"findingReference\": \" F-03\"",
        8,
    ),
    (
        "\"status\": \"ISSUED\"",
        "\"status\": \"ACKNOWLEDGED\", \"acknowledged_at\": \"2026-10-20T10:00:00Z\"",
        7,
    ),
    ("\"title\": \"Late\"", "\"title\": \"TBD\"", 10),
];

const MANY_LINES: &str = r#"{"meta": {
  "kind": "finding", "subject": "aims:main",
  "controls": [
    "A.9.2"]},
 "record": {"occurred_at": "2026-10-16T16:00:00Z",
  "actor": {"role": "lead auditor", "id": "p-301"}, "confidentiality": "INTERNAL",
  "status": "ISSUED", "personal_data": false, "audit_reference": "A1",
  "findingReference": "F-03",
  "grade": "OBSERVATION",
  "title": "Late", "description": "Late training.", "criteria": ["iso42001-2023/7.2"],
  "evidence": [{"description": "Sample", "reference": "s"}], "auditor": "p-301",
  "issued_at": "2026-10-16T16:00:00Z", "auditee": "p-105"}}"#;

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let bundle = RuleBundle::v1();
    let read = |text: &str| parse_file(bundle, text.as_bytes()).swap_remove(0);
    read(MANY_LINES).expect("valid");
    for (from, to, line) in MISPLACED {
        let changed = MANY_LINES.replacen(from, to, 1);
        assert_ne!(changed, MANY_LINES, "{from}");
        let error = read(&changed).expect_err(to);
        assert!(
            error.violations.iter().any(|found| found.line == line),
            "{to}: {error:?}"
        );
    }
    // A mistake in the text itself has a line too, also where the file is one object over many.
    let error = read(&MANY_LINES.replace("\"F-03\",", "\"F-03\"")).expect_err("no comma");
    assert_eq!(error.line, 9);
}

/// 20,000 seeded mutations: no panic, and what is accepted is a valid record.
#[test]
fn mutated_files_are_read_or_refused() {
    let bundle = RuleBundle::v1();
    let good = good().replace("\"key\":\"f-1\"", "\"key\":\"f-1\",\"amends\":\"key:f-0\"");
    let mut state: u64 = 42_001;
    let mut next = |bound: usize| {
        // Constants of Knuth's MMIX generator; the high bits are the good ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = u8::try_from(next(256)).expect("a byte"),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\",:\\u0a"[next(11)]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        for submission in parse_file(bundle, &bytes).into_iter().flatten() {
            let kind = bundle
                .kind(submission.record.kind(), 1)
                .expect("it was accepted");
            let canonical = submission.record.canonical_bytes(kind);
            let again = Record::from_canonical_bytes(kind, &canonical).expect("canonical");
            assert_eq!(again, submission.record);
            accepted += 1;
        }
    }
    assert!(accepted > 0, "texts can change without harm");
}

/// The valid wrapper with other controls, as it is read.
fn with_controls(controls: &str) -> Result<Submission, Vec<Violation>> {
    let later = good().replace("\"key\":\"f-1\"", "\"key\":\"f-1\",\"amends\":\"key:f-0\"");
    let text = later.replace("[\"A.9.2\",\"org/SEC.1\"]", controls);
    parse(RuleBundle::v1(), text.as_bytes())
}

#[test]
fn an_id_of_the_guide_becomes_the_controls_that_it_stands_for() {
    let submission = with_controls("[\"A.9.2\",\"guide/9.1\",\"guide/clause-10.1\"]");
    let submission = submission.expect("valid");
    let ids: Vec<&str> = submission
        .controls
        .iter()
        .map(|(_, id)| id.as_str())
        .collect();
    assert_eq!(ids, ["A.9.2", "A.9.3", "A.6.2.6", "10.2"]);
    assert!(
        submission
            .controls
            .iter()
            .all(|(scheme, _)| scheme == "iso42001-2023")
    );
    let [first, second] = submission.aliases.as_slice() else {
        panic!("{:?}", submission.aliases);
    };
    assert_eq!(first.given, "guide/9.1");
    assert_eq!(first.title, "Human oversight mechanisms");
    assert_eq!(first.controls[0], "iso42001-2023/A.9.2");
    assert_eq!(second.controls, ["iso42001-2023/10.2"]);
    let refused = with_controls("[\"guide/10.1\",\"8.6\",\"A.9.5\"]").expect_err("none of them");
    let near: Vec<&str> = refused
        .iter()
        .filter_map(|one| one.nearest.as_deref())
        .collect();
    assert_eq!(near, ["guide/control-10.1", "8.4", "A.9.4"]);
}

#[test]
fn one_record_cites_several_schemes() {
    let digest = "ab".repeat(32);
    let controls =
        "[\"A.9.2\",\"org/SEC.1\",\"eu-ai-act-2024/Art.14\",\"iso27001-2022/A.5.19\"]".to_owned();
    let refused = with_controls(&controls).expect_err("no such catalogue");
    assert_eq!(refused[0].reason, Reason::UnknownCatalogue);
    let controls = format!("{controls},\"catalogues\":[\"iso27001-2022@{digest}\"]");
    let submission = with_controls(&controls).expect("valid");
    let schemes: Vec<&str> = submission
        .controls
        .iter()
        .map(|(one, _)| one.as_str())
        .collect();
    assert_eq!(
        schemes,
        ["iso42001-2023", "org", "eu-ai-act-2024", "iso27001-2022"]
    );
    assert_eq!(submission.catalogues[0].digest, [0xab; 32]);
    for wrong in ["guide", "ISO27001", "iso27001-2022@12", "iso27001-2022@"] {
        let controls = format!("[],\"catalogues\":[\"{wrong}\"]");
        let refused = with_controls(&controls).expect_err(wrong);
        assert_eq!(refused[0].field, "meta.catalogues[0]", "{wrong}");
    }
}

#[test]
fn more_controls_than_a_header_has_are_refused_with_their_number() {
    let all = "[\"guide/8\",\"guide/9\",\"guide/10\",\"guide/13\",\"guide/5\",\"guide/7\"]";
    let refused = with_controls(all).expect_err("too many");
    assert_eq!(refused[0].field, "meta.controls");
    assert_eq!(refused[0].found.as_deref(), Some("37"));
}

#[test]
fn a_control_of_its_own_that_the_record_names_is_in_the_header() {
    let text = DEMO[3].1.lines().next().expect("a record");
    let named = text.replacen("\"iso42001-2023/", "\"org/", 1);
    assert_ne!(named, text);
    let submission = parse(RuleBundle::v1(), named.as_bytes()).expect("valid");
    assert!(
        submission
            .controls
            .iter()
            .any(|(scheme, _)| scheme == "org")
    );
}
