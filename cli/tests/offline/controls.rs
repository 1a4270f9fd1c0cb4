//! Goal: control ids are looked up, listed and linted without a network, with the promised exit codes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{aimslog, text};

fn examples(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let path: PathBuf = folder.join(file);
    path.to_str().unwrap().to_owned()
}

/// What the program says, and how it ends.
fn said(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let answer = aimslog(folder, arguments);
    let code = answer.status.code().unwrap();
    (code, text(&answer.stdout), text(&answer.stderr))
}

fn json(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, out, err) = said(folder, &[arguments, &["--json"]].concat());
    let value = serde_json::from_str(&out);
    assert!(value.is_ok(), "{arguments:?}: {out}{err}");
    (code, value.unwrap())
}

#[test]
fn a_number_of_the_guide_is_answered_with_real_controls_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let lookup = ["control", "lookup", "9.1", "--scheme", "guide"];
    let (code, out, err) = said(folder.path(), &lookup);
    assert_eq!(code, 0, "{err}");
    for part in [
        "Human oversight mechanisms",
        "intersects",
        "iso42001-2023/A.9.2",
        "Processes for responsible use of AI systems",
        "oversight_decision",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, value) = json(folder.path(), &lookup);
    assert_eq!(
        value["found"][0]["relates"][0]["control"],
        "iso42001-2023/A.9.2"
    );
    let (_, both) = json(folder.path(), &["control", "lookup", "guide/10.1"]);
    assert_eq!(both["found"].as_array().unwrap().len(), 2);
    let (_, standard) = json(folder.path(), &["control", "lookup", "A.9.2"]);
    let related = standard["found"][0]["related_by"].as_array().unwrap();
    assert!(
        related
            .iter()
            .any(|one| one["control"] == "guide/control-9.1")
    );
    let (_, confused) = json(folder.path(), &["control", "lookup", "9.1"]);
    assert_eq!(confused["elsewhere"][0]["control"], "guide/control-9.1");
    let article = [
        "control",
        "lookup",
        "Art. 73(2)",
        "--scheme",
        "eu-ai-act-2024",
    ];
    let (_, article) = json(folder.path(), &article);
    assert_eq!(article["found"][0]["clocks"][1]["period"], "P15D");
}

#[test]
fn an_id_that_there_is_not_ends_with_two_and_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    for (id, near) in [("A.9.5", "A.9.4"), ("8.6", "A.10.2"), ("8.6", "8.4")] {
        let (code, out, err) = said(folder.path(), &["control", "lookup", id]);
        assert_eq!((code, out.as_str()), (2, ""), "{id}");
        assert!(err.contains(near), "{id}: {err}");
    }
    let (code, value) = json(folder.path(), &["control", "lookup", "A.9.5"]);
    assert_eq!(code, 2);
    assert_eq!(value["nearest"][0]["control"], "iso42001-2023/A.9.4");
    for (arguments, part) in [
        (
            &["control", "list", "--scheme", "gude"][..],
            "nearest: guide",
        ),
        (&["control", "list", "--scheme", "org"], "no catalogue"),
        (&["control", "lookup", "iso42001/A.9.2"], "iso42001-2023"),
    ] {
        let (code, _, err) = said(folder.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn a_catalogue_comes_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = examples("iso27001-2022.toml");
    let with = ["--catalogue", file.as_str()];
    let lookup = ["control", "lookup", "iso27001-2022/A.5.19"];
    let (code, _, _) = said(folder.path(), &lookup);
    assert_eq!(code, 2);
    let (code, value) = json(folder.path(), &[&lookup[..], &with].concat());
    assert_eq!(code, 0);
    let title = "Information security in supplier relationships";
    assert_eq!(value["found"][0]["title"], title);
    let list = ["control", "list", "--scheme", "iso27001-2022"];
    let (_, value) = json(folder.path(), &[&list[..], &with].concat());
    assert_eq!(value.as_array().unwrap().len(), 93);
    let (_, value) = json(
        folder.path(),
        &[&["control", "catalogue"][..], &with].concat(),
    );
    let schemes: Vec<&str> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["scheme"].as_str().unwrap())
        .collect();
    let all = [
        "eu-ai-act-2024",
        "guide",
        "iso27001-2022",
        "iso42001-2023",
        "org",
    ];
    assert_eq!(schemes, all);
    let broken = fs::read_to_string(&file)
        .unwrap()
        .replace("A.5.2\"", "A.5.1\"");
    fs::write(folder.path().join("broken.toml"), broken).unwrap();
    let (code, _, err) = said(
        folder.path(),
        &["control", "catalogue", "--catalogue", "broken.toml"],
    );
    assert_eq!(code, 2);
    assert!(
        err.contains("broken.toml") && err.contains("A.5.1"),
        "{err}"
    );
}

#[test]
fn a_file_is_linted_and_wrong_ids_end_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("good.md", "# Plan\n\nA.9.2, guide/9.1 and clause 10.2.\n");
    let (code, out, _) = said(folder.path(), &["control", "lint", "good.md"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("good.md:3:8  alias"), "{out}");
    assert!(out.ends_with("3 ids: 2 ok, 1 alias\n"), "{out}");
    write(
        "register.csv",
        "Ref,Control,Note\n1,9.1,\n2,8.6,A.9.5\n3,=B2,\n",
    );
    let (code, value) = json(
        folder.path(),
        &["control", "lint", "good.md", "register.csv"],
    );
    assert_eq!(code, 1);
    let summary = &value["summary"];
    for (status, count) in [
        ("ok", 3),
        ("alias", 1),
        ("wrong_scheme", 1),
        ("unknown", 1),
        ("formula", 1),
    ] {
        assert_eq!(summary[status], count, "{status}");
    }
    let wrong = &value["files"][1]["ids"][1];
    assert_eq!(wrong["place"], "line 3, Control");
    assert_eq!(wrong["real"][0], "iso42001-2023/8.1");
    let only = ["control", "lint", "good.md", "register.csv", "--wrong"];
    let (_, value) = json(folder.path(), &only);
    assert_eq!(value["files"][0]["ids"].as_array().unwrap().len(), 0);
    write(
        "titled.csv",
        "Plan of clause 99.9\n\nRef\tControl 8.6\n1\t9.1\n",
    );
    let titled = ["control", "lint", "titled.csv", "--header-row", "3"];
    let (code, value) = json(folder.path(), &titled);
    let ids = value["files"][0]["ids"].as_array().unwrap();
    assert_eq!((code, ids.len()), (1, 2), "a heading is no data: {value}");
    assert_eq!(ids[1]["place"], "line 4, Control 8.6");
    write("cut.csv", "Ref,Control\n1,9.1\n2\n");
    let (code, _, err) = said(folder.path(), &["control", "lint", "cut.csv"]);
    assert_eq!(code, 2);
    assert!(err.contains("cut.csv: line 3"), "{err}");
    let (code, _, _) = said(folder.path(), &["control", "lint", "none.csv"]);
    assert_eq!(code, 3);
}

#[test]
fn what_cannot_be_declared_is_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let own = fs::read_to_string(examples("own-controls.toml")).unwrap();
    for (from, to, part) in [
        ("scheme = \"org\"", "scheme = \"guide\"", "another name"),
        ("A.6.2.4\"", "A.6.2.9\"", "A.6.2.8"),
        ("\"incident\"", "\"incidnt\"", "incident"),
        ("title = \"Own", "tilte = \"Own", "line"),
    ] {
        let text = own.replacen(from, to, 1);
        assert_ne!(text, own);
        fs::write(folder.path().join("own.toml"), text).unwrap();
        let (code, _, err) = said(folder.path(), &["control", "add", "own.toml"]);
        assert_eq!(code, 2, "{to}: {err}");
        assert!(
            err.contains("own.toml") && err.contains(part),
            "{to}: {err}"
        );
    }
}

#[test]
fn a_record_that_names_a_number_of_the_guide_says_what_it_becomes() {
    let folder = tempfile::tempdir().unwrap();
    let demo = include_str!("../../demo/01-inventory.jsonl");
    let record = demo.lines().next().unwrap();
    let named = record.replacen("\"controls\": [", "\"controls\": [\"guide/9.1\", ", 1);
    assert_ne!(named, record);
    fs::write(folder.path().join("a.json"), named).unwrap();
    let (code, _, err) = said(folder.path(), &["validate", "a.json", "--offline"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("guide/9.1 (Human oversight mechanisms) is logged as"),
        "{err}"
    );
    let wrong = record.replacen("\"controls\": [", "\"controls\": [\"8.6\", ", 1);
    fs::write(folder.path().join("b.json"), wrong).unwrap();
    let (code, _, err) = said(folder.path(), &["validate", "b.json", "--offline"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("8.4") && err.contains("Third-party procedure"),
        "{err}"
    );
}
