//! Goal: files and mappings that would be imported wrongly are refused with what is wrong, and none of
//! them ends the program. Method: the built program without a ledger.

use std::fs;

use super::import::{CONSTANTS, FIRST, HEADER, SECOND, import, register};
use super::{aimslog, text, xlsx};

#[test]
fn a_quotation_mark_that_is_not_closed_imports_nothing() {
    let folder = register(&[&FIRST]);
    let quoted = HEADER.join(",");
    let row = |id: &str, finding: &str| {
        format!("{id},2026-03-02,7.2,{finding},,,,p-105,2026-04-30,Open,\n")
    };
    let rows = [
        row("NC-1", "\"Two had none"),
        row("NC-2", "Three"),
        row("NC-3", "Four"),
    ];
    fs::write(
        folder.path().join("nc.csv"),
        format!("{quoted}\n{}", rows.concat()),
    )
    .unwrap();
    let answer = import(folder.path(), &["nc.csv", "--preview"]);
    let said = text(&answer.stderr);
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(
        said.contains("line 2: a quotation mark is opened"),
        "{said}"
    );
    let rows = [
        row("NC-1", "Two"),
        row("NC-2", "\"Three"),
        row("NC-3", "\"Four\""),
    ];
    fs::write(
        folder.path().join("nc.csv"),
        format!("{quoted}\n{}", rows.concat()),
    )
    .unwrap();
    let answer = import(folder.path(), &["nc.csv", "--preview"]);
    let said = text(&answer.stderr);
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(
        said.contains("line 4: text stands behind") && said.contains("line 3"),
        "{said}"
    );
}

#[test]
fn crafted_workbooks_are_refused_and_do_not_end_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let whole = xlsx::data(&[&HEADER, &SECOND]);
    for (from, to) in [
        ("r=\"B2\"", "r=\"ZZZZZZZ2\""),
        ("r=\"B2\"", "r=\"A4294967296\""),
        ("<row r=\"2\"", "<row r=\"99999999999\""),
        ("r=\"B2\" t=\"inlineStr\"", "r=\"B2\" t=\"s\""),
    ] {
        let mut data = whole.replacen(from, to, 1);
        assert_ne!(data, whole, "{from}");
        if to.ends_with("t=\"s\"") {
            data = data.replacen("<is><t>2026-11-09</t></is>", "<v>9</v>", 1);
        }
        let workbook = xlsx::zipped(&xlsx::parts(&[("Register", data)]));
        fs::write(folder.path().join("nc.xlsx"), workbook).unwrap();
        for arguments in [
            &["import", "nc.xlsx", "--like", "nc", "--preview"][..],
            &["control", "lint", "nc.xlsx"],
        ] {
            let answer = aimslog(folder.path(), arguments);
            let said = text(&answer.stderr);
            assert_eq!(answer.status.code(), Some(2), "{to}: {said}");
            assert!(said.contains("damaged or cut off"), "{to}: {said}");
        }
    }
    let mut parts = xlsx::parts(&[("Register", whole)]);
    for (_, content) in &mut parts {
        *content = content.replace("<sheetData>", "<dimension ref=\"Z9:A1\"/><sheetData>");
    }
    fs::write(folder.path().join("nc.xlsx"), xlsx::zipped(&parts)).unwrap();
    let answer = import(folder.path(), &["nc.xlsx", "--preview"]);
    assert_eq!(answer.status.code(), Some(0), "{}", text(&answer.stderr));
}

#[test]
fn columns_that_nobody_can_tell_apart_are_refused() {
    let mut doubled = HEADER;
    doubled[4] = "Owner";
    let rows = [&doubled[..], &SECOND[..]];
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("nc.xlsx"),
        xlsx::workbook("Register", &rows),
    )
    .unwrap();
    let answer = import(folder.path(), &["nc.xlsx", "--preview"]);
    let said = text(&answer.stderr);
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(said.contains("Owner (Register!E1, Register!H1)"), "{said}");
    let mut unnamed: Vec<&str> = SECOND.to_vec();
    unnamed.push("a note that nobody named");
    let rows = [&HEADER[..], &unnamed];
    fs::write(
        folder.path().join("nc.xlsx"),
        xlsx::workbook("Register", &rows),
    )
    .unwrap();
    let answer = import(folder.path(), &["nc.xlsx", "--preview"]);
    let said = text(&answer.stdout);
    assert!(
        said.contains("without a name, not imported: L (Register!L2)"),
        "{said}"
    );
}

#[test]
fn slips_in_a_mapping_are_told_with_the_nearest() {
    let folder = register(&[&SECOND]);
    let printed = aimslog(
        folder.path(),
        &["import", "--like", "nc", "--print-mapping"],
    );
    let mapping = text(&printed.stdout);
    for (from, to, words) in [
        (
            "kind = \"nonconformity\"",
            "kind = \"nonconformty\"",
            "nearest nonconformity",
        ),
        ("\nroot_cause =", "\nrot_cause =", "nearest: root_cause"),
        ("\"actor.role\"", "\"actor.rle\"", "nearest: role"),
        ("meta.key", "meta.keey", "nearest: key"),
        (
            "column = \"Date\", as",
            "colum = \"Date\", as",
            "nearest: column",
        ),
        ("as = \"date\"", "as = \"dat\"", "nearest: date"),
        ("[[\"nonconformity\"", "[[\"nonconform\"", "nonconformity"),
        (
            "column = \"Root Cause\"",
            "column = \"Rot Cause\"",
            "Rot Cause (nearest: Root Cause)",
        ),
    ] {
        let changed = mapping.replacen(from, to, 1);
        assert_ne!(changed, mapping, "{from}");
        fs::write(folder.path().join("nc.toml"), changed).unwrap();
        let arguments = ["import", "nc.xlsx", "--mapping", "nc.toml", "--preview"];
        let answer = aimslog(folder.path(), &arguments);
        let said = text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(words), "{to}: {said}");
    }
}

#[test]
fn attachments_that_a_column_names_are_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = text(
        &aimslog(
            folder.path(),
            &["import", "--like", "nc", "--print-mapping"],
        )
        .stdout,
    );
    let fed = "[record.fields]\n\"attachments[0].name\" = { column = \"File\" }";
    let mapping = mapping.replacen("[record.fields]", fed, 1);
    fs::write(folder.path().join("nc.toml"), mapping).unwrap();
    fs::create_dir(folder.path().join("attachments")).unwrap();
    fs::write(folder.path().join("attachments/photo.png"), "pixels").unwrap();
    let mut header: Vec<&str> = HEADER.to_vec();
    header.push("File");
    let mut row: Vec<&str> = SECOND.to_vec();
    row.push("photo.png");
    let workbook = xlsx::workbook("Register", &[&header, &row]);
    fs::write(folder.path().join("nc.xlsx"), workbook).unwrap();
    let arguments = ["import", "nc.xlsx", "--mapping", "nc.toml", "--preview"];
    let run = |more: &[&str]| {
        let answer = aimslog(folder.path(), &[&arguments[..], &CONSTANTS, more].concat());
        (
            answer.status.code(),
            text(&answer.stdout) + &text(&answer.stderr),
        )
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("media_type: image/png") && said.contains("size:"),
        "{said}"
    );
    let (code, said) = run(&["--attach", "nc.toml"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--attach nc.toml: no row names it"), "{said}");
    fs::remove_file(folder.path().join("attachments/photo.png")).unwrap();
    let (code, said) = run(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("digest"), "{said}");
    fs::write(folder.path().join("photo.png"), "others").unwrap();
    let (code, said) = run(&["--attach", "photo.png"]);
    assert_eq!(code, Some(0), "{said}");
}

/// A row that was imported is known by its key: there is nothing to log again.
#[test]
fn rows_are_not_logged_again() {
    let folder = register(&[&SECOND]);
    let answer = import(folder.path(), &["nc.xlsx", "--again", "--preview"]);
    let said = text(&answer.stderr);
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(said.contains("--changed amend"), "{said}");
}

/// What a person does not see in the sheet, or did not write, is told before it is signed.
#[test]
fn what_is_hidden_and_what_stands_for_controls_is_told_in_the_preview() {
    let data = xlsx::data(&[&HEADER, &SECOND]);
    let data = data.replace("<row r=\"2\">", "<row r=\"2\" hidden=\"1\">");
    let mut parts = xlsx::parts(&[("Register", data)]);
    let columns = "<cols><col min=\"5\" max=\"6\" hidden=\"1\"/></cols><sheetData>";
    for (_, content) in &mut parts {
        *content = content.replace("<sheetData>", columns);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("nc.xlsx"), xlsx::zipped(&parts)).unwrap();
    let control = "meta.controls[0]=guide/9.1";
    let answer = import(folder.path(), &["nc.xlsx", "--preview", "--set", control]);
    let said = text(&answer.stdout);
    assert_eq!(answer.status.code(), Some(0), "{said}");
    for line in [
        "columns that the sheet hides, read as the others: Root Cause, Correction",
        "rows that the sheet hides, imported as the others: 2",
        "  alias    Register!2   guide/9.1 (",
        ") is logged as iso42001-2023/",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}
