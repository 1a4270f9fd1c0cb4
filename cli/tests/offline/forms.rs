//! Goal: whoever fills in a form is told where it is wrong. Method: the built program without a
//! ledger, files with one mistake each, and the line that it names.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{aimslog, text};

const DECISION: &str = "\
# A decision.
meta:
  kind: oversight_decision
record:
  occurred_at: 2026-03-02T08:00:00Z
  actor:
    id: p-113
    role: reviewer
  confidentiality: INTERNAL
  personal_data: false
  system: sys-7f3a
  system_version: 3.10
  request_reference: req-1
  output_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  context_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  risk_class: HIGH
  decision: OVERRIDE
  justification: The image shows an artefact, not a lesion.
  reviewer: p-113
  reviewer_role: radiologist
  presented_at: 2026-03-02T07:59:00Z
  decided_at: 2026-03-02T08:00:00Z
";

/// A folder with this file.
fn folder(name: &str, content: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), content).unwrap();
    folder
}

/// What `validate --offline` says of a file, and its exit code.
fn validate(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let answer = aimslog(
        folder.path(),
        &[&["validate", "--offline"], arguments].concat(),
    );
    let said = text(&answer.stdout) + &text(&answer.stderr);
    (answer.status.code(), said)
}

#[test]
fn forms_of_all_kinds_are_printed_and_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let listed = aimslog(folder.path(), &["template", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let kinds = listed.as_array().unwrap();
    assert!(kinds.len() >= 6, "{listed}");
    for kind in kinds {
        let kind = kind["kind"].as_str().unwrap();
        let form = aimslog(folder.path(), &["template", kind]);
        assert_eq!(form.status.code(), Some(0), "{kind}");
        let file = format!("{kind}.yaml");
        fs::write(folder.path().join(&file), &form.stdout).unwrap();
        let (code, said) = validate(&folder, &[&file]);
        assert_eq!(code, Some(2), "{kind}: {said}");
        assert!(said.contains("record.occurred_at"), "{kind}: {said}");
        let outline = aimslog(folder.path(), &["template", kind, "--json"]);
        let outline: Value = serde_json::from_slice(&outline.stdout).unwrap();
        assert_eq!(outline["x-aimslog"]["kind"], kind);
    }
}

#[test]
fn a_form_in_a_file_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["template", "finding", "-o", "finding.yaml"];
    assert_eq!(aimslog(folder.path(), &arguments).status.code(), Some(0));
    let again = aimslog(folder.path(), &arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("is there already"));
}

#[test]
fn kinds_and_states_that_do_not_exist_are_refused_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, word) in [
        (&["template", "findin"][..], "finding"),
        (&["template", "finding", "--state", "close"], "closed"),
    ] {
        let answer = aimslog(folder.path(), arguments);
        assert_eq!(answer.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&answer.stderr).contains(word),
            "{}",
            text(&answer.stderr)
        );
    }
}

#[test]
fn yaml_and_json_are_refused_with_file_and_line() {
    let folder = folder("decision.yaml", DECISION);
    assert_eq!(validate(&folder, &["decision.yaml"]).0, Some(0));
    for (from, to, line, word) in [
        ("risk_class: HIGH", "risk_class: HIHG", 16, "HIGH"),
        (
            "personal_data: false",
            "personal_data: no",
            10,
            "true or false",
        ),
        ("role: reviewer", "role: TBD", 8, "placeholder"),
        (
            "decided_at: 2026-03-02T08:00:00Z",
            "decided_at: 2026-03-02",
            22,
            "a time such as",
        ),
        ("system: sys-7f3a", "system: &x sys-7f3a", 11, "anchors"),
        ("risk_class: HIGH", "system: HIGH", 16, "once"),
        (
            "kind: oversight_decision",
            "kind: oversight_decison",
            3,
            "oversight_decision",
        ),
    ] {
        let changed = DECISION.replacen(from, to, 1);
        fs::write(folder.path().join("wrong.yaml"), &changed).unwrap();
        let (code, said) = validate(&folder, &["wrong.yaml"]);
        assert_eq!(code, Some(2), "{to}: {said}");
        let place = format!("wrong.yaml:{line}: ");
        let named = said
            .lines()
            .any(|said| said.starts_with(&place) && said.contains(word));
        assert!(named, "{to}: {said}");
    }
    let two = format!("{DECISION}---\n{}", DECISION.replace("HIGH", "LARGE"));
    fs::write(folder.path().join("two.yaml"), &two).unwrap();
    let answer = aimslog(
        folder.path(),
        &["validate", "--offline", "--json", "two.yaml"],
    );
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(said["invalid"][0]["violations"][0]["at"], "two.yaml:39");
    assert_eq!(said["invalid"][0]["record"], "two.yaml:25");

    let lines = "{\"meta\":{\"kind\":\"finding\"},\"record\":{}}\n{\"meta\":{\"kind\":\"findin\"},\"record\":{}}\n";
    fs::write(folder.path().join("two.jsonl"), lines).unwrap();
    let (_, said) = validate(&folder, &["two.jsonl"]);
    assert!(
        said.contains("two.jsonl:1: record.grade") || said.contains("two.jsonl:1: "),
        "{said}"
    );
    assert!(
        said.lines()
            .any(|said| said.starts_with("two.jsonl:2: ") && said.contains("finding")),
        "{said}"
    );
}

#[test]
fn a_file_is_attached_without_being_named() {
    let folder = folder("decision.yaml", DECISION);
    fs::write(folder.path().join("image.png"), "pixels").unwrap();
    let attach = ["--attach", "image.png"];
    let (code, said) = validate(&folder, &[&["decision.yaml"], &attach[..]].concat());
    assert_eq!(code, Some(0), "{said}");

    // One that the record names is completed, and must be that file.
    let named = format!("{DECISION}  attachments:\n    - name: image.png\n");
    fs::write(folder.path().join("named.yaml"), &named).unwrap();
    assert_eq!(validate(&folder, &["named.yaml"]).0, Some(2));
    let (code, said) = validate(&folder, &[&["named.yaml"], &attach[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    fs::write(
        folder.path().join("other.yaml"),
        format!("{named}      size: 7\n"),
    )
    .unwrap();
    let (code, said) = validate(&folder, &[&["other.yaml"], &attach[..]].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("attachments[0].size") && said.contains('6'),
        "{said}"
    );

    let (code, said) = validate(
        &folder,
        &[&["decision.yaml", "named.yaml"], &attach[..]].concat(),
    );
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a run of one record"), "{said}");
    let (code, _) = validate(&folder, &["decision.yaml", "--attach", "nowhere.png"]);
    assert_eq!(code, Some(3));
}

#[test]
fn validate_looks_at_attachments_without_a_ledger() {
    let digest = "2c0787ae01091671d71051aef797fa1fa231064b682a1d900ddcc264cd359813";
    let named = format!(
        "{DECISION}  attachments:\n    - name: image.png\n      size: 6\n      media_type: image/png\n      digest: {digest}\n"
    );
    let folder = folder("named.yaml", &named);
    let (code, said) = validate(&folder, &["named.yaml"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("image.png is not there"), "{said}");
    assert!(
        !said.contains("nothing was sent"),
        "nothing was to be sent: {said}"
    );
    fs::write(folder.path().join("image.png"), "pixels").unwrap();
    let (code, said) = validate(&folder, &["named.yaml"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("has the digest"), "{said}");
    let (code, said) = validate(&folder, &["named.yaml", "--attach-digest", "image.png"]);
    assert_eq!(code, Some(2), "what is at hand is checked: {said}");
}

/// A file with two records, the second of which names an attachment in its last lines.
#[test]
fn an_attachment_that_is_another_is_told_with_the_line_that_names_it() {
    let digest = "2c0787ae01091671d71051aef797fa1fa231064b682a1d900ddcc264cd359813";
    let named = format!(
        "{DECISION}---\n{DECISION}  attachments:\n    - name: image.png\n      size: 6\n      media_type: image/png\n      digest: {digest}\n"
    );
    let folder = folder("two.yaml", &named);
    let line_of = |text: &str| named.lines().position(|line| line.contains(text)).unwrap() + 1;
    let told = |expected: &str, said: &str| {
        let named = said.lines().any(|line| line.starts_with(expected));
        assert!(named, "{expected}: {said}");
    };
    let (_, said) = validate(&folder, &["two.yaml"]);
    let line = line_of("- name: image.png");
    told(
        &format!("two.yaml:{line}: NOT_FOUND: record.attachments[0].name"),
        &said,
    );
    fs::write(folder.path().join("image.png"), "pixels").unwrap();
    let (_, said) = validate(&folder, &["two.yaml"]);
    let line = line_of("digest: 2c0787");
    told(
        &format!("two.yaml:{line}: BLOB_MISMATCH: record.attachments[0].digest"),
        &said,
    );
    fs::write(folder.path().join("image.png"), "more pixels").unwrap();
    let (_, said) = validate(&folder, &["two.yaml"]);
    let line = line_of("size: 6");
    told(
        &format!("two.yaml:{line}: BLOB_MISMATCH: record.attachments[0].size"),
        &said,
    );
    let answer = aimslog(
        folder.path(),
        &["validate", "--offline", "--json", "two.yaml"],
    );
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let at = &said["invalid"][0]["violations"][0]["at"];
    assert_eq!(*at, format!("two.yaml:{line}"));
    // What --attach gives is held against the line as well.
    fs::write(
        folder.path().join("one.yaml"),
        named.split_once("---\n").unwrap().1,
    )
    .unwrap();
    let (_, said) = validate(&folder, &["one.yaml", "--attach", "image.png"]);
    let line = line - DECISION.lines().count() - 1;
    told(
        &format!("one.yaml:{line}: BLOB_MISMATCH: record.attachments[0].size"),
        &said,
    );
}

/// Every field of every form stands below what it may hold: its values, its format, when it is required.
#[test]
fn forms_say_what_each_field_may_hold() {
    let folder = tempfile::tempdir().unwrap();
    let form = |kind: &str| text(&aimslog(folder.path(), &["template", kind]).stdout);
    for (kind, field, words) in [
        (
            "oversight_decision",
            "decision",
            "[required] one of APPROVE, ",
        ),
        (
            "oversight_decision",
            "output_digest",
            "[required] SHA-256, 64 lower-case",
        ),
        (
            "oversight_decision",
            "decided_at",
            "[required] time such as 2026-11-02T08:15:00Z",
        ),
        (
            "oversight_decision",
            "personal_data",
            "[required] true or false",
        ),
        (
            "oversight_decision",
            "reviewer",
            "[required] opaque id: a-z, 0-9 and -, at most 63",
        ),
        (
            "nonconformity",
            "requirements",
            "[required] list, each: control such as",
        ),
        ("nonconformity", "grade", "[required] one of "),
        ("nonconformity", "root_cause", "[required where status is "),
    ] {
        let form = form(kind);
        let lines: Vec<&str> = form.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| *line == format!("{field}:"));
        let at = at.unwrap_or_else(|| panic!("{kind} {field}"));
        let above = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with('#'));
        let above: Vec<&str> = above.copied().collect();
        assert!(
            above.iter().any(|line| line.contains(words)),
            "{kind} {field}: {above:?}"
        );
    }
    let listed = aimslog(folder.path(), &["template", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    for kind in listed.as_array().unwrap() {
        let form = form(kind["kind"].as_str().unwrap());
        let fields = form.split_once("\nrecord:\n").unwrap().1;
        let mut is_told = false;
        for line in fields.lines().map(str::trim) {
            if line.starts_with("# [required") || line.starts_with("# [optional") {
                is_told = true;
            } else if !line.starts_with('#') && line != "-" {
                assert!(is_told, "{kind}: {line}");
                is_told = false;
            }
        }
    }
}

#[test]
fn a_form_of_another_version_is_refused_by_name() {
    let changed = DECISION.replacen("meta:\n", "meta:\n  version: 99\n", 1);
    let folder = folder("decision.yaml", &changed);
    let (code, said) = validate(&folder, &["decision.yaml"]);
    assert_eq!(code, Some(2), "{said}");
    let place = said
        .lines()
        .any(|line| line.starts_with("decision.yaml:3: UNKNOWN_VERSION: meta.version"));
    assert!(
        place && said.contains("99") && said.contains("oversight_decision"),
        "{said}"
    );
}

#[test]
fn a_kind_that_there_is_not_is_told_with_those_that_may_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, words) in [
        ("findin", "nearest: finding"),
        ("programme", "nearest: audit_programme"),
        (
            "xyzxyz",
            "there is no kind xyzxyz; `aimslog template` lists",
        ),
    ] {
        let answer = aimslog(folder.path(), &["template", kind]);
        assert_eq!(answer.status.code(), Some(2), "{kind}");
        assert!(
            text(&answer.stderr).contains(words),
            "{}",
            text(&answer.stderr)
        );
    }
}
