use std::path::Path;

use aimslog_proto::aims::record::Record;
use aimslog_proto::aims::submission::Target;

use super::*;

fn golden(kind: &Kind) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tests/golden");
    let path = folder.join(format!("{}.json", kind.name()));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The golden record of a kind as a form: fields, and a `meta` that lets it be in any state.
fn filled(kind: &Kind, detail: Detail) -> (String, Record) {
    let bytes = golden(kind);
    let record = Record::from_canonical_bytes(kind, bytes.trim_ascii_end())
        .expect("the golden record reads");
    let fields: Vec<(&str, Json)> = record
        .fields(kind)
        .filter_map(|(name, value)| Some((name, value?.clone())))
        .collect();
    let text = |text: &str| Json::Text(text.to_owned());
    let is_for_aims = kind.subjects().iter().any(|subject| subject == "aims");
    let has_system = fields.iter().any(|(name, _)| *name == "system");
    let mut meta = vec![("amends", text("key:before")), ("change", text("correct"))];
    if is_for_aims && !has_system {
        meta.push(("subject", text("aims:main")));
    }
    let relations = kind.links().iter().take(2);
    let links = relations.map(|link| Json::Array(vec![text(&link.relation), text("key:other")]));
    meta.push(("links", Json::Array(links.collect())));
    meta.push((
        "controls",
        Json::Array(vec![text("A.9.2"), text("org/SEC.1")]),
    ));
    let state = kind.status_field().and_then(|field| {
        match record.values().get(kind.field_index(field)?)?.as_ref()? {
            Json::Text(state) => Some(state.to_lowercase()),
            _ => None,
        }
    });
    let filled = Filled {
        meta: &meta,
        record: &fields,
        detail,
    };
    let form = filled_form(RuleBundle::v1(), (kind, state.as_deref()), filled);
    (form.expect("the golden record reads"), record)
}

#[test]
fn a_form_filled_with_the_golden_record_gives_the_same_strict_bytes() {
    let kinds = RuleBundle::v1().kinds();
    for (kind, detail) in kinds.flat_map(|kind| [(kind, Detail::Full), (kind, Detail::Brief)]) {
        let (form, golden) = filled(kind, detail);
        assert_eq!(
            form.contains('#'),
            detail == Detail::Full,
            "{}",
            kind.name()
        );
        let mut read = read_file(RuleBundle::v1(), Notation::Yaml, form.as_bytes());
        let [submission] = read.as_mut_slice() else {
            panic!("{}: {read:?}", kind.name());
        };
        let submission = submission
            .as_ref()
            .unwrap_or_else(|error| panic!("{error:#?}\n{form}"));
        assert_eq!(
            String::from_utf8(submission.record.canonical_bytes(kind)).expect("text"),
            String::from_utf8(golden.canonical_bytes(kind)).expect("text"),
        );
        assert_eq!(
            submission.links.len(),
            kind.links().len().min(2),
            "{}",
            kind.name()
        );
        // Those of the form, and what the record itself cites of own catalogues.
        assert!(submission.controls.len() >= 2, "{}", kind.name());
        let key = Target::Key("before".to_owned());
        assert_eq!(
            submission.amends.as_ref().map(|(target, _)| target),
            Some(&key)
        );
    }
}

/// Every required field of the record, at the top, but for the status, which the form fills in.
fn required(kind: &Kind) -> Vec<String> {
    let required = kind.fields().iter().filter(|field| field.required);
    let names = required.map(|field| field.name.as_str());
    let names = names.filter(|name| kind.status_field() != Some(name));
    names.map(|name| format!("record.{name}")).collect()
}

#[test]
fn a_blank_form_lacks_what_is_required_and_nothing_else() {
    for kind in RuleBundle::v1().kinds() {
        let form = form(RuleBundle::v1(), kind, None).expect("the golden record reads");
        let error = read_file(RuleBundle::v1(), Notation::Yaml, form.as_bytes())
            .swap_remove(0)
            .expect_err(kind.name());
        let missing: Vec<String> = error
            .violations
            .iter()
            .map(|found| {
                assert_eq!(
                    found.violation.reason,
                    Reason::MissingField,
                    "{}: {found:?}",
                    kind.name()
                );
                found.violation.field.clone()
            })
            .collect();
        assert_eq!(missing, required(kind), "{}", kind.name());
        // Each is named at the line where it is to be filled in.
        for found in &error.violations {
            let line = form.lines().nth(found.line - 1).expect("a line");
            let name = found
                .violation
                .field
                .strip_prefix("record.")
                .expect("a field");
            assert_eq!(line, format!("  {name}:"), "{}", kind.name());
        }
    }
}

#[test]
fn forms_say_what_each_state_asks_for_and_fit_on_a_screen() {
    let mut count = 0;
    for kind in RuleBundle::v1().kinds() {
        for state in kind.states() {
            let form = form(RuleBundle::v1(), kind, Some(state)).expect(state);
            assert!(
                form.lines().all(|line| line.chars().count() <= 110),
                "{}",
                kind.name()
            );
            assert!(
                form.contains(&format!("\n  transition: {state}\n")),
                "{}",
                kind.name()
            );
            assert!(
                !form.lines().any(|line| line.ends_with(' ')),
                "{}",
                kind.name()
            );
            let Some(status) = kind.status_field() else {
                continue;
            };
            let asks = |rule: &&aimslog_proto::aims::kind::WhenRule| {
                rule.each.is_none()
                    && rule.field == status
                    && rule
                        .values
                        .iter()
                        .any(|value| value.eq_ignore_ascii_case(state))
            };
            let asked = kind
                .content_rules()
                .iter()
                .filter(asks)
                .flat_map(|rule| &rule.require);
            let said = form
                .matches(&format!("[required in state {state}]"))
                .count();
            let optional =
                asked.filter(|name| kind.schema().field(name).is_none_or(|f| !f.required));
            let distinct: std::collections::BTreeSet<_> = optional.collect();
            assert_eq!(said, distinct.len(), "{} {state}", kind.name());
            count += said;
        }
        let wrong = form(RuleBundle::v1(), kind, Some("nowhere")).expect_err("no such state");
        assert_eq!(wrong.reason, Reason::InvalidTransition);
    }
    assert!(count > 20, "{count}");
}

/// Whoever amends a record in a state must know what is asked of it there again.
#[test]
fn forms_say_what_is_asked_on_entry_alone() {
    let bundle = RuleBundle::v1();
    let line = |kind: &str, state: &str, id: &str| {
        let kind = bundle.newest_kind(kind).expect("a kind");
        let form = form(bundle, kind, Some(state)).expect(state);
        let text = form.replace("\n# ", " ");
        let (front, _) = text.split_once(&format!("({id})")).expect(id);
        let start = |words: &str| front.rfind(words);
        start("To enter it: ") > start("Asked of every version in it: ")
    };
    assert!(line("ai_system", "production", "AI-SYSTEM-PERSON"));
    assert!(line("risk", "accepted", "RISK-ACCEPTED-BY-ACCEPTANCE"));
    assert!(!line("deployment", "approved", "DEPLOYMENT-PERSON"));
    assert!(!line("deployment", "approved", "DEPLOYMENT-VERIFICATION"));
}

#[test]
fn outlines_list_every_field() {
    for kind in RuleBundle::v1().kinds() {
        let outline = outline(RuleBundle::v1(), kind);
        let properties = outline["properties"]["record"]["properties"]
            .as_object()
            .expect("fields");
        assert_eq!(properties.len(), kind.fields().len(), "{}", kind.name());
        for field in kind.fields() {
            let property = &properties[&field.name];
            assert!(property["description"].is_string(), "{}", field.name);
            assert_eq!(
                property["type"] == "array",
                field.repeated,
                "{}",
                field.name
            );
        }
        assert_eq!(
            outline["x-aimslog"]["states"]
                .as_object()
                .expect("states")
                .len(),
            kind.states().len()
        );
    }
}

const DECISION: &str = "\
meta: {kind: oversight_decision}
record:
  occurred_at: 2026-03-02T09:00:00+01:00
  actor: {id: p-113, role: no}
  confidentiality: INTERNAL
  personal_data: false
  system: sys-7f3a
  system_version: 3.10
  request_reference: 1e3
  output_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  context_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  risk_class: HIGH
  decision: OVERRIDE
  justification: yes
  alternatives: [2026-11-02, 0x1F, 'null']
  reviewer: p-113
  reviewer_role: radiologist
  presented_at: 2026-03-02T07:59:00Z
  decided_at: 2026-03-02T08:00:00Z
";

#[test]
fn the_schema_says_what_a_scalar_is() {
    let read =
        |text: &str| read_file(RuleBundle::v1(), Notation::Yaml, text.as_bytes()).swap_remove(0);
    let record = read(DECISION).expect("valid").record;
    let kind = RuleBundle::v1()
        .newest_kind("oversight_decision")
        .expect("a kind");
    let text = String::from_utf8(record.canonical_bytes(kind)).expect("text");
    for part in [
        r#""role":"no""#,
        r#""system_version":"3.10""#,
        r#""request_reference":"1e3""#,
        r#""justification":"yes""#,
        r#""alternatives":["2026-11-02","0x1F","null"]"#,
        r#""occurred_at":"2026-03-02T08:00:00Z""#,
        r#""personal_data":false"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for (from, to, line) in [
        ("personal_data: false", "personal_data: no", 6),
        ("personal_data: false", "personal_data: 'false'", 6),
        ("2026-03-02T07:59:00Z", "2026-03-02", 18),
        ("risk_class: HIGH", "risk_class: high", 12),
        ("role: no", "role: ", 4),
        ("justification: yes", "justification: ~", 14),
        ("system: sys-7f3a", "sytem: sys-7f3a", 7),
    ] {
        let changed = DECISION.replacen(from, to, 1);
        assert_ne!(changed, DECISION, "{from}");
        let error = read(&changed).expect_err(to);
        assert!(
            error.violations.iter().any(|found| found.line == line),
            "{to}: {error:?}"
        );
    }
}

#[test]
fn several_documents_are_several_records_with_lines_of_the_file() {
    let text = format!("{DECISION}---\n{}", DECISION.replace("HIGH", "LARGE"));
    let read = read_file(RuleBundle::v1(), Notation::Yaml, text.as_bytes());
    assert_eq!(read.len(), 2);
    assert!(read[0].is_ok());
    let error = read[1].as_ref().expect_err("no such class");
    assert_eq!((error.line, error.violations[0].line), (21, 32));
    let text = format!("{DECISION}---\n*x\n");
    let read = read_file(RuleBundle::v1(), Notation::Yaml, text.as_bytes());
    let error = read[1].as_ref().expect_err("an alias");
    assert_eq!(error.line, 21);
    let text = "- meta:\n";
    let read = read_file(
        RuleBundle::v1(),
        Notation::Yaml,
        b"- meta: {kind: finding}\n",
    );
    assert!(read[0].is_err(), "{text}");
}

/// 4,000 seeded mutations of a form: no panic, no endless loop, and what is accepted is valid.
#[test]
fn mutated_forms_are_read_or_refused() {
    let kind = RuleBundle::v1()
        .newest_kind("oversight_decision")
        .expect("a kind");
    let mut state: u64 = 42_001;
    let mut next = |bound: usize| {
        // Constants of Knuth's MMIX generator; the high bits are the good ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    let mut accepted = 0;
    for _ in 0..4_000 {
        let mut bytes = DECISION.as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = u8::try_from(next(256)).expect("a byte"),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\"':,&*!|>-?%@`#\n\t "[next(22)]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        for submission in read_file(RuleBundle::v1(), Notation::Yaml, &bytes)
            .into_iter()
            .flatten()
        {
            let canonical = submission.record.canonical_bytes(kind);
            assert!(Record::from_canonical_bytes(kind, &canonical).is_ok());
            accepted += 1;
        }
    }
    assert!(accepted > 0, "texts can change without harm");
}

#[test]
fn notations_are_told_apart() {
    for (extension, bytes, expected) in [
        (Some("yaml"), &b"{}"[..], Notation::Yaml),
        (Some("YML"), b"", Notation::Yaml),
        (Some("jsonl"), b"a: 1", Notation::Json),
        (None, b" \n{\"meta\"", Notation::Json),
        (None, b"meta:", Notation::Yaml),
        (Some("txt"), b"# x", Notation::Yaml),
    ] {
        assert_eq!(Notation::of(extension, bytes), expected, "{extension:?}");
    }
}
