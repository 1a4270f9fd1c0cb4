//! Goal: a register is shown before anything is sent, and every cell that is wrong is named. Method:
//! the built program without a ledger, on small CSV files and workbooks.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::{aimslog, text, xlsx};

pub(super) const HEADER: [&str; 11] = [
    "NC ID",
    "Date",
    "Requirement / Process",
    "Finding",
    "Root Cause",
    "Correction",
    "Corrective Action",
    "Owner",
    "Due Date",
    "Status",
    "Effectiveness Check",
];
pub(super) const FIRST: [&str; 11] = [
    "NC-1",
    "@46328",
    "7.2; A.9.2",
    "Two reviewers had no training",
    "Nobody watched the dates",
    "They were trained",
    "Remind four weeks before",
    "Jane Doe",
    "@46360",
    "Closed",
    "No lapse for a quarter",
];
pub(super) const SECOND: [&str; 11] = [
    "NC-2",
    "2026-11-09",
    "9.2.1",
    "The programme leaves out A.10.3",
    "",
    "",
    "",
    "p-105",
    "2026-12-30",
    "Open",
    "",
];
pub(super) const CONSTANTS: [&str; 6] = [
    "--set",
    "source=AUDIT",
    "--set",
    "grade=MINOR",
    "--person",
    "Jane Doe=p-7",
];

pub(super) fn import(folder: &Path, arguments: &[&str]) -> Output {
    aimslog(
        folder,
        &[&["import"], arguments, &["--like", "nc"], &CONSTANTS].concat(),
    )
}

/// A folder with a workbook of these rows below the header.
pub(super) fn register(rows: &[&[&str]]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<&[&str]> = std::iter::once(&HEADER[..])
        .chain(rows.iter().copied())
        .collect();
    fs::write(
        folder.path().join("nc.xlsx"),
        xlsx::workbook("Register", &rows),
    )
    .unwrap();
    folder
}

#[test]
fn a_workbook_is_shown_before_anything_is_sent() {
    let folder = register(&[&FIRST, &SECOND]);
    let answer = import(folder.path(), &["nc.xlsx", "--preview"]);
    let said = text(&answer.stdout);
    assert_eq!(
        answer.status.code(),
        Some(0),
        "{said}{}",
        text(&answer.stderr)
    );
    for part in [
        "Register: 2 rows, 3 records",
        "Register!2",
        "NC-1-CA planned",
        "3 valid, 0 refused",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let answer = import(folder.path(), &["nc.xlsx", "--preview", "--json"]);
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(said["valid"], 3);
    assert_eq!(said["records"][1]["kind"], "corrective_action");
}

#[test]
fn wrong_cells_are_named_and_nothing_is_sent() {
    let mut formula = FIRST;
    formula[8] = "=B2+30";
    let mut placeholder = SECOND;
    placeholder[3] = "TBD";
    let folder = register(&[&formula, &placeholder]);
    for arguments in [&["nc.xlsx", "--preview"][..], &["nc.xlsx", "--yes"]] {
        let answer = import(folder.path(), arguments);
        let said = text(&answer.stdout) + &text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains("Register!I2") && said.contains("formula"),
            "{said}"
        );
        assert!(
            said.contains("Register!D3") && said.contains("placeholder"),
            "{said}"
        );
    }
    let answer = import(folder.path(), &["nc.xlsx", "--yes", "--json"]);
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(said["invalid"], 3);
    assert_eq!(said["records"][0]["violations"][0]["at"], "Register!I2");
    assert!(text(&answer.stderr).contains("nothing was sent"));
}

#[test]
fn nothing_is_sent_without_a_word() {
    let folder = register(&[&SECOND]);
    // Valid, but there is no ledger to send it to.
    let answer = import(folder.path(), &["nc.xlsx", "--yes"]);
    assert_eq!(answer.status.code(), Some(2), "{}", text(&answer.stderr));
    let answer = import(folder.path(), &["nc.xlsx", "--sheet", "Other", "--preview"]);
    assert!(text(&answer.stderr).contains("sheets are: Register"));
    let answer = import(
        folder.path(),
        &["nc.xlsx", "--preview", "--set", "sorce=AUDIT"],
    );
    assert!(
        text(&answer.stderr).contains("sorce"),
        "{}",
        text(&answer.stderr)
    );
}

#[test]
fn csv_and_workbook_give_the_same() {
    let folder = register(&[&SECOND]);
    let quoted = |row: &[&str]| {
        let cells: Vec<String> = row.iter().map(|cell| format!("\"{cell}\"")).collect();
        cells.join(";") + "\r\n"
    };
    fs::write(
        folder.path().join("nc.csv"),
        quoted(&HEADER) + &quoted(&SECOND),
    )
    .unwrap();
    let shown = |file: &str| -> Value {
        let answer = import(folder.path(), &[file, "--preview", "--json"]);
        let mut said: Value = serde_json::from_slice(&answer.stdout).unwrap();
        said["records"][0]["row"] = Value::Null;
        said["sheet"] = Value::Null;
        said
    };
    assert_eq!(shown("nc.csv"), shown("nc.xlsx"));
}

#[test]
fn files_that_are_no_register_are_refused() {
    let folder = register(&[&FIRST]);
    let whole = fs::read(folder.path().join("nc.xlsx")).unwrap();
    for (name, bytes, word) in [
        ("old.xls", &b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], ".xls"),
        ("cut.xlsx", &whole[..whole.len() / 2], "damaged or cut off"),
        ("cut.csv", b"NC ID,Date\nNC-1,\"2026", "may be cut off"),
        ("page.csv", b" <html><table>", "XML or HTML"),
        ("empty.csv", b"", "no row holds anything"),
        ("other.csv", b"A,B\n1,2\n", "Corrective Action, Date"),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let answer = import(folder.path(), &[name, "--preview"]);
        let said = text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(word), "{name}: {said}");
    }
    let answer = import(folder.path(), &["nowhere.csv", "--preview"]);
    assert_eq!(answer.status.code(), Some(3));
}

#[test]
fn a_mapping_is_printed_changed_and_given() {
    let folder = register(&[&FIRST]);
    for known in ["nc", "inventory", "risk", "evidence"] {
        let answer = aimslog(
            folder.path(),
            &["import", "--like", known, "--print-mapping"],
        );
        assert_eq!(answer.status.code(), Some(0), "{known}");
        fs::write(folder.path().join(format!("{known}.toml")), &answer.stdout).unwrap();
    }
    let path = folder.path().join("nc.toml");
    let mapping = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("ignore = []\n[people]\n\"Jane Doe\" = \"p-7\"\n{mapping}"),
    )
    .unwrap();
    let constants = ["--set", "source=AUDIT", "--set", "grade=MINOR"];
    let arguments = ["import", "nc.xlsx", "--mapping", "nc.toml", "--preview"];
    let answer = aimslog(folder.path(), &[&arguments[..], &constants].concat());
    assert_eq!(
        answer.status.code(),
        Some(0),
        "{}{}",
        text(&answer.stdout),
        text(&answer.stderr)
    );
    fs::write(&path, "[[record]]\nkind = \"finding\"\nfilds = 3\n").unwrap();
    let answer = aimslog(folder.path(), &arguments);
    assert_eq!(answer.status.code(), Some(2));
    assert!(
        text(&answer.stderr).contains("line 3"),
        "{}",
        text(&answer.stderr)
    );
}

/// The blocks of a page that begin with this word.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let start = format!("```{language}\n");
    let parts = page.split(&start).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_mappings_of_the_documentation_read_its_registers() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/import.md"))
        .unwrap();
    let (mappings, registers) = (blocks(&page, "toml"), blocks(&page, "csv"));
    assert_eq!((mappings.len(), registers.len()), (2, 2));
    let folder = tempfile::tempdir().unwrap();
    for (number, (mapping, register)) in mappings.iter().zip(&registers).enumerate() {
        let (mapping_file, register_file) = (format!("{number}.toml"), format!("{number}.csv"));
        fs::write(folder.path().join(&mapping_file), mapping).unwrap();
        fs::write(folder.path().join(&register_file), register).unwrap();
    }
    let first = [
        "import",
        "0.csv",
        "--mapping",
        "0.toml",
        "--preview=2",
        "--json",
    ];
    let answer = aimslog(folder.path(), &first);
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (&said["valid"], &said["invalid"]),
        (&2.into(), &0.into()),
        "{said}"
    );
    let forms = said["records"][0]["form"].as_str().unwrap();
    for part in [
        "  kind: nonconformity",
        "  key: NC-1",
        "- iso42001-2023/7.2",
        "- iso42001-2023/A.9.2",
        "due_at: 2026-04-30T23:59:00Z",
        "grade: MINOR",
        "owner: p-113",
    ] {
        assert!(forms.contains(part), "{part} in {forms}");
    }
    assert_eq!(said["columns"]["unused"], serde_json::json!([]));
    // The second register links to the first: alone it leads nowhere.
    let second = ["import", "1.csv", "--mapping", "1.toml", "--preview"];
    let answer = aimslog(folder.path(), &second);
    let told = text(&answer.stdout);
    assert_eq!(answer.status.code(), Some(2), "{told}");
    assert!(
        told.contains("1.csv!B2") && told.contains("--known"),
        "{told}"
    );
    let id = "A".repeat(43);
    let known = format!(r#"{{"NC-1":{{"entry":"{id}","entity":"{id}"}}}}"#);
    fs::write(folder.path().join("keys.json"), known).unwrap();
    let answer = aimslog(
        folder.path(),
        &[&second[..], &["--known", "keys.json"]].concat(),
    );
    let told = text(&answer.stdout);
    assert_eq!(
        answer.status.code(),
        Some(0),
        "{told}{}",
        text(&answer.stderr)
    );
    assert!(told.contains("- [nonconformity, key:NC-1]"), "{told}");
}

#[test]
fn the_first_record_is_shown_whole_and_reads_as_a_form() {
    let folder = register(&[&FIRST, &SECOND]);
    let answer = import(folder.path(), &["nc.xlsx", "--preview"]);
    let said = text(&answer.stdout);
    assert!(said.contains("Register!2, whole:"), "{said}");
    assert!(
        said.contains("    kind: nonconformity") && !said.contains("Register!3, whole:"),
        "{said}"
    );
    let answer = import(folder.path(), &["nc.xlsx", "--preview=3", "--json"]);
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    for record in said["records"].as_array().unwrap() {
        let form = record["form"].as_str().unwrap();
        // The link of the action leads to a record of the same run.
        let form = form.replace("key:NC-1", &"A".repeat(43));
        fs::write(folder.path().join("form.yaml"), form).unwrap();
        let read = aimslog(folder.path(), &["validate", "--offline", "form.yaml"]);
        assert_eq!(read.status.code(), Some(0), "{}", text(&read.stderr));
    }
    let none = import(folder.path(), &["nc.xlsx", "--preview=0"]);
    assert!(!text(&none.stdout).contains("whole:"));
}
