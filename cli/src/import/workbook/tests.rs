use super::*;

#[path = "../../../tests/offline/xlsx.rs"]
mod xlsx;

use xlsx::{data, parts, workbook, zipped};

fn open(bytes: &[u8]) -> Result<Table, TableError> {
    open_sheet(bytes, None)
}

fn open_sheet(bytes: &[u8], sheet: Option<&str>) -> Result<Table, TableError> {
    format_of(bytes).expect("a workbook")?;
    read(bytes, sheet, None)
}

const ROWS: [&[&str]; 4] = [
    &["NC ID", "Date", "Score", "Open"],
    &["NC-1", "@46328", "#1.5", ""],
    &[],
    &["NC-2", "2026-11-02", "#3", "=B2+1"],
];

#[test]
fn cells_are_what_the_sheet_holds_and_have_their_places() {
    let table = open(&workbook("Register", &ROWS)).unwrap();
    assert_eq!(table.name, "Register");
    assert_eq!(table.columns.len(), 4);
    assert_eq!(table.column(" nc  id"), Some(0));
    let [first, second] = table.rows.as_slice() else {
        panic!("{table:?}")
    };
    assert_eq!((first.number, second.number), (2, 4));
    assert_eq!(
        first.cells[&1],
        Cell::Time("2026-11-02T00:00:00".to_owned())
    );
    assert_eq!(first.cells[&2], Cell::Number("1.5".to_owned()));
    assert_eq!(first.cells.len(), 3);
    assert_eq!(second.cells[&1], Cell::Text("2026-11-02".to_owned()));
    assert_eq!(second.cells[&2], Cell::Number("3".to_owned()));
    assert_eq!(second.cells[&3], Cell::Formula("=B2+1".to_owned()));
    assert_eq!(table.place(3, 4), "Register!D4");
}

#[test]
fn a_sheet_is_named_where_there_are_several() {
    let two = zipped(&parts(&[
        ("One", data(&ROWS)),
        ("Two", data(&[&["A"], &["x"]])),
    ]));
    let error = open(&two).unwrap_err().to_string();
    assert!(error.contains("One, Two"), "{error}");
    assert_eq!(open_sheet(&two, Some("two")).unwrap().rows.len(), 1);
    let error = open_sheet(&two, Some("Three")).unwrap_err().to_string();
    assert!(
        error.contains("\"Three\"") && error.contains("One, Two"),
        "{error}"
    );
}

#[test]
fn other_formats_are_named() {
    for (bytes, word) in [
        (&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest"[..], ".xls"),
        (b"%PDF-1.7", "PDF"),
        (b" <html><table>", "HTML"),
        (b"\xff\xfea\0", "UTF-16"),
    ] {
        let error = format_of(bytes).expect("no CSV").unwrap_err().to_string();
        assert!(
            error.contains(word) && error.contains("save it as .xlsx"),
            "{error}"
        );
    }
    for (part, word) in [
        ("xl/workbook.bin", ".xlsb"),
        ("content.xml", ".ods"),
        ("a.txt", "no workbook"),
    ] {
        let bytes = zipped(&[(part.to_owned(), "x".to_owned())]);
        let error = format_of(&bytes)
            .expect("a ZIP file")
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(format_of(b"NC ID;Date\n").is_none());
}

#[test]
fn what_unpacks_to_too_much_is_refused_before_it_is_read() {
    let mut bomb = parts(&[("One", data(&ROWS))]);
    bomb.push((
        "xl/media/image.bin".to_owned(),
        "0".repeat(16 * 1024 * 1024),
    ));
    let error = open(&zipped(&bomb)).unwrap_err();
    assert!(matches!(error, TableError::Bomb { .. }), "{error}");
    // Below the ratio, but too much in all.
    let mut large = parts(&[("One", data(&ROWS))]);
    for number in 0..40 {
        large.push((format!("xl/media/{number}"), "0".repeat(4 * 1024 * 1024)));
    }
    let error = open(&zipped(&large)).unwrap_err();
    assert!(matches!(error, TableError::Inflated { .. }), "{error}");
}

#[test]
fn cells_far_away_cost_nothing_and_too_many_are_refused() {
    let far = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>A</t></is></c></row><row r="1048576"><c r="A1048576"><v>1</v></c></row>"#;
    let table = open(&zipped(&parts(&[("One", far.to_owned())]))).unwrap();
    assert_eq!(table.rows[0].number, 1_048_576);
    let wide = r#"<row r="1"><c r="XFD1"><v>1</v></c></row>"#;
    let error = open(&zipped(&parts(&[("One", wide.to_owned())]))).unwrap_err();
    assert!(error.to_string().starts_with("One!XFD1"), "{error}");
    let long = format!(
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>{}</t></is></c></row>"#,
        "x".repeat(70_000)
    );
    let error = open(&zipped(&parts(&[("One", long)]))).unwrap_err();
    assert!(matches!(error, TableError::CellTooLarge { .. }), "{error}");
    let many: Vec<String> = (1..=ROWS_MAX + 2)
        .map(|n| format!(r#"<row r="{n}"><c r="A{n}"><v>1</v></c></row>"#))
        .collect();
    let error = open(&zipped(&parts(&[("One", many.concat())]))).unwrap_err();
    assert!(matches!(error, TableError::TooManyRows), "{error}");
}

/// A workbook that is cut off anywhere, or has one wrong byte, is refused or gives a table: it never
/// ends the program.
#[test]
fn damaged_workbooks_are_refused() {
    let whole = workbook("Register", &ROWS);
    let mut refused = 0;
    for length in (4..whole.len()).step_by(7) {
        let cut = &whole[..length];
        assert!(open(cut).is_err(), "cut at {length}");
        refused += 1;
    }
    assert!(refused > 50, "{refused}");
    for at in (4..whole.len()).step_by(5) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        let _table_or_error = open(&changed);
    }
}
