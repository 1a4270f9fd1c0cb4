//! Goal: a folder of starter records is written whole or not at all, and what is wrong in it is told
//! before anything is submitted.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{aimslog, text};

/// A folder in which `aims init` has written for people who are known.
fn begun(profile: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let people = [
        "--owner",
        "p-101",
        "--management",
        "p-201",
        "--auditor",
        "p-301",
    ];
    let init = ["aims", "init", "--profile", profile, "--dir", "aims"];
    let answer = aimslog(folder.path(), &[&init[..], &people].concat());
    assert_eq!(answer.status.code(), Some(0), "{}", text(&answer.stderr));
    folder
}

fn check(folder: &TempDir) -> (Option<i32>, Value) {
    let answer = aimslog(folder.path(), &["aims", "check", "aims", "--json"]);
    let said = serde_json::from_slice(&answer.stdout);
    assert!(said.is_ok(), "{}", text(&answer.stderr));
    (answer.status.code(), said.unwrap())
}

#[test]
fn what_is_written_lacks_what_the_organisation_must_say_and_nothing_else() {
    for profile in ["small", "standard"] {
        let folder = begun(profile);
        let (code, said) = check(&folder);
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(said["wrong"], 0, "{said}");
        assert!(said["placeholders"].as_u64().unwrap() > 10, "{said}");
        let line = aimslog(folder.path(), &["aims", "check", "aims"]);
        let line = text(&line.stdout);
        assert!(
            line.contains("01-scope.yaml:") && line.contains("0 wrong"),
            "{line}"
        );
    }
}

#[test]
fn parameters_that_are_wrong_are_told_with_their_line() {
    let folder = begun("small");
    let path = folder.path().join("aims/parameters.toml");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text
        .replacen("review_days = 365", "reviw_days = 365", 1)
        .replacen("= \"all\"", "= \"some\"", 1);
    fs::write(&path, &changed).unwrap();
    let (_, said) = check(&folder);
    assert_eq!(said["wrong"], 3, "{said}");
    let findings = said["findings"].as_array().unwrap();
    let line = changed
        .lines()
        .position(|line| line.starts_with("reviw_days"))
        .unwrap()
        + 1;
    let at = format!("parameters.toml:{line}");
    let found = findings.iter().find(|finding| finding["at"] == *at);
    let found = found.unwrap_or_else(|| panic!("{at}: {said}"));
    assert!(
        found["what"]
            .as_str()
            .unwrap()
            .contains("nearest: review_days"),
        "{said}"
    );
    fs::remove_file(&path).unwrap();
    let (_, said) = check(&folder);
    assert_eq!(said["wrong"], 1, "{said}");
}

#[test]
fn keys_that_stand_twice_and_links_that_lead_nowhere_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("aims");
    fs::create_dir(&dir).unwrap();
    let demo = include_str!("../../demo/01-inventory.jsonl");
    let record = demo.lines().next().unwrap();
    fs::write(dir.join("one.yaml"), record).unwrap();
    fs::write(dir.join("two.yaml"), record).unwrap();
    let (code, said) = check(&folder);
    assert_eq!(code, Some(2), "{said}");
    let told = said["findings"].to_string();
    assert!(told.contains("stands in one.yaml record 1 too"), "{told}");
    let none = tempfile::tempdir().unwrap();
    let answer = aimslog(none.path(), &["aims", "check", "."]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(text(&answer.stderr).contains("holds no forms"));
}

#[test]
fn an_owner_that_no_form_could_name_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, id) in [
        ("--owner", "Jane Doe"),
        ("--management", "P-201"),
        ("--auditor", ""),
    ] {
        let init = [
            "aims",
            "init",
            "--profile",
            "small",
            "--dir",
            "aims",
            flag,
            id,
        ];
        let answer = aimslog(folder.path(), &init);
        assert_eq!(answer.status.code(), Some(2), "{flag} {id}");
        assert!(!folder.path().join("aims").exists(), "{flag} {id}");
    }
}

#[test]
fn the_overview_counts_the_records_of_each_kind() {
    let folder = begun("standard");
    let dir = folder.path().join("aims");
    let overview = fs::read_to_string(dir.join("README.md")).unwrap();
    let mut rows = 0;
    for row in overview.lines().filter(|line| line.contains(".yaml | ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (file, count, kind) = (cells[1], cells[2], cells[3]);
        let forms = fs::read_to_string(dir.join(file)).unwrap();
        let line = format!("  kind: {kind}");
        let found = forms.lines().filter(|form| **form == line).count();
        assert_eq!(count, found.to_string(), "{row}");
        rows += 1;
    }
    assert!(rows >= 16, "{overview}");
}
