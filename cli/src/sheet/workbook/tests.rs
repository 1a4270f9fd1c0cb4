//! Goal: a workbook is read as spreadsheets show it, and one that is damaged, huge or made to do harm is
//! refused with what is wrong.

use super::*;
use crate::sheet::table::Table;
use crate::sheet::{Cell, Row, is_workbook};

#[path = "../../../tests/offline/xlsx.rs"]
mod xlsx;

use xlsx::{data, parts, workbook, zipped};

const LIMITS: Limits = Limits {
    rows: 100_000,
    columns: 512,
    cell_bytes: 64 * 1024,
};

fn open(bytes: &[u8]) -> Result<Table, SheetError> {
    open_sheet(bytes, None)
}

fn open_sheet(bytes: &[u8], sheet: Option<&str>) -> Result<Table, SheetError> {
    assert!(is_workbook(bytes)?);
    Table::new(Workbook::open(bytes)?.sheet(sheet, LIMITS)?, None)
}

/// The rows of a workbook whose only sheet has these, as XML.
fn rows_of(rows: &str) -> Result<Vec<Row>, SheetError> {
    let bytes = zipped(&parts(&[("One", rows.to_owned())]));
    Ok(Workbook::open(&bytes)?.sheet(None, LIMITS)?.rows)
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
    assert_eq!(first.cells[&1], Cell::Time("2026-11-02".to_owned()));
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
        (b"\xff\xfea\0", "UTF-16"),
    ] {
        let error = is_workbook(bytes).unwrap_err().to_string();
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
        let error = open(&bytes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(!is_workbook(b"NC ID;Date\n").unwrap());
}

#[test]
fn what_unpacks_to_too_much_is_refused_before_it_is_read() {
    let mut bomb = parts(&[("One", data(&ROWS))]);
    bomb.push((
        "xl/media/image.bin".to_owned(),
        "0".repeat(16 * 1024 * 1024),
    ));
    let error = open(&zipped(&bomb)).unwrap_err();
    assert!(matches!(error, SheetError::Bomb { .. }), "{error}");
    // Below the ratio, but too much in all.
    let mut large = parts(&[("One", data(&ROWS))]);
    for number in 0..40 {
        large.push((format!("xl/media/{number}"), "0".repeat(4 * 1024 * 1024)));
    }
    let error = open(&zipped(&large)).unwrap_err();
    assert!(matches!(error, SheetError::Inflated { .. }), "{error}");
}

#[test]
fn cells_far_away_cost_nothing_and_too_many_are_refused() {
    let far = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>A</t></is></c></row><row r="1048576"><c r="A1048576"><v>1</v></c></row>"#;
    let table = open(&zipped(&parts(&[("One", far.to_owned())]))).unwrap();
    assert_eq!(table.rows[0].number, 1_048_576);
    let wide = r#"<row r="1"><c r="XFD1"><v>1</v></c></row>"#;
    let error = rows_of(wide).unwrap_err();
    assert!(error.to_string().starts_with("One!XFD1"), "{error}");
    let long = format!(
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>{}</t></is></c></row>"#,
        "x".repeat(70_000)
    );
    let error = open(&zipped(&parts(&[("One", long)]))).unwrap_err();
    assert!(matches!(error, SheetError::CellTooLarge { .. }), "{error}");
    let many: Vec<String> = (1..=LIMITS.rows + 2)
        .map(|n| format!(r#"<row r="{n}"><c r="A{n}"><v>1</v></c></row>"#))
        .collect();
    let error = open(&zipped(&parts(&[("One", many.concat())]))).unwrap_err();
    assert!(matches!(error, SheetError::TooManyRows { .. }), "{error}");
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

/// References that no sheet has, in every place where one can stand.
#[test]
fn crafted_references_are_refused_by_name() {
    for (row, word) in [
        (
            r#"<row r="1"><c r="ZZZZZZZ2"><v>1</v></c></row>"#,
            "\"ZZZZZZZ2\" is no cell",
        ),
        (
            r#"<row r="1"><c r="A4294967296"><v>1</v></c></row>"#,
            "\"A4294967296\" is no cell",
        ),
        (r#"<row r="1"><c r="XFE1"/></row>"#, "\"XFE1\" is no cell"),
        (r#"<row r="1"><c r="A0"/></row>"#, "\"A0\" is no cell"),
        (r#"<row r="1"><c r="1"/></row>"#, "\"1\" is no cell"),
        (r#"<row r="1"><c r="A"/></row>"#, "\"A\" is no cell"),
        (r#"<row r="1"><c r=""/></row>"#, "\"\" is no cell"),
        (r#"<row r="1"><c r="A+1"/></row>"#, "is no cell"),
        ("<row r=\"1\"><c r=\"\u{c4}1\"/></row>", "is no cell"),
        (
            r#"<row r="99999999999"><c r="A1"/></row>"#,
            "\"99999999999\" is no row",
        ),
        (r#"<row r="0"/>"#, "\"0\" is no row"),
        (r#"<row r="-1"/>"#, "\"-1\" is no row"),
        (r#"<row r="1048577"/>"#, "is no row"),
        (
            r#"<row r="1048576"/><row><c><v>1</v></c></row>"#,
            "larger than a sheet",
        ),
        (
            r#"<row r="1"><c r="XFD1"/><c><v>1</v></c></row>"#,
            "larger than a sheet",
        ),
        (
            r#"<row r="1"><c r="A2"><v>1</v></c></row>"#,
            "One!A2 stands in another row",
        ),
        (
            r#"<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>"#,
            "One!A1 is there twice",
        ),
        (
            r#"<row r="1"><c r="B1" t="s"><v>7</v></c></row>"#,
            "One!B1: there is no shared text 7",
        ),
        (
            r#"<row r="1"><c r="B1" t="s"><v>-1</v></c></row>"#,
            "there is no shared text -1",
        ),
        (
            r#"<row r="1"><c r="B1" t="s"><v>99999999999999999999</v></c></row>"#,
            "there is no shared text 9",
        ),
        (
            r#"<row r="1"><c r="B1" t="b"><v>2</v></c></row>"#,
            "neither true nor false",
        ),
        (
            r#"<row r="1"><c r="B1" t="x"><v>2</v></c></row>"#,
            "no type \"x\"",
        ),
        (
            r#"<row r="1"><c r="B1"><v>&unknown;</v></c></row>"#,
            "stands for nothing",
        ),
        (r#"<row r="1"><c r="B1"><v>1</c></row>"#, "damaged"),
    ] {
        let error = rows_of(row).expect_err(row).to_string();
        let is_named = error.contains("damaged or cut off") && error.contains(word);
        assert!(is_named, "{row}: {error}");
    }
}

const CLAIMS: &str = r#"<row r="1">
<c r="A1"><f t="shared" si="99999999999" ref="B2:A1">1+1</f></c>
<c r="B1"><f t="shared" si="99999999999"/></c>
<c r="C1" s="99999999"><v>1e300</v></c>
<c s="1"><v>99999999999999</v></c><c s="1"><v>-5</v></c><c><v>1E2</v></c><c><v>NaN</v></c>
</row>"#;

/// What a sheet says of itself besides its cells is not looked at, and a day that there is not is a
/// number.
#[test]
fn claims_of_a_sheet_are_not_believed() {
    for dimension in [
        "Z9:A1",
        "ZZZZZZZ2",
        "A1:B2:C3",
        "",
        "A4294967296:B99999999999",
    ] {
        let mut parts = parts(&[("One", CLAIMS.to_owned())]);
        let before = format!("<dimension ref=\"{dimension}\"/><sheetData>");
        replace(&mut parts, "<sheetData>", &before);
        let merged = "<mergeCells><mergeCell ref=\"Z9:A1\"/></mergeCells></worksheet>";
        replace(&mut parts, "</worksheet>", merged);
        let brackets = "[".repeat(300);
        let formats =
            format!("<numFmts><numFmt numFmtId=\"200\" formatCode=\"{brackets}\"/></numFmts>");
        replace(&mut parts, "<cellXfs", &(formats + "<cellXfs"));
        let bytes = zipped(&parts);
        let sheet = Workbook::open(&bytes).unwrap().sheet(None, LIMITS).unwrap();
        let words: Vec<&str> = sheet.rows[0].cells.values().map(Cell::words).collect();
        assert_eq!(words[..2], ["=1+1", "= as in another cell"], "{dimension}");
        assert_eq!(words[3..], ["99999999999999", "-5", "100", "NaN"]);
    }
}

/// Replaces a text in whatever part it stands.
fn replace(parts: &mut [(String, String)], from: &str, to: &str) {
    for (_, content) in parts {
        *content = content.replace(from, to);
    }
}

/// A text of 60 kB for which three thousand cells stand would be 180 MB.
#[test]
fn shared_texts_are_counted_where_they_are_used() {
    let cells = "<c t=\"s\"><v>0</v></c>".repeat(10);
    let data = format!("<row>{cells}</row>").repeat(300);
    let mut parts = parts(&[("One", data)]);
    let text = "x".repeat(60_000);
    let strings = format!("<sst uniqueCount=\"18446744073709551615\"><si><t>{text}</t></si></sst>");
    parts.push(("xl/sharedStrings.xml".to_owned(), strings));
    let relation = r#"<Relationship Id="x" Type="a/sharedStrings" Target="sharedStrings.xml"/><Relationship Id="s""#;
    replace(&mut parts, "<Relationship Id=\"s\"", relation);
    let bytes = zipped(&parts);
    let read = Workbook::open(&bytes).unwrap().sheet(None, LIMITS);
    let error = read.unwrap_err();
    assert!(matches!(error, SheetError::TooMuchText), "{error}");
}

const NONSENSE: [&str; 14] = [
    "",
    "<",
    "<a",
    "</a>",
    "<a></b>",
    "<a b=c d=\"",
    "&#xFFFFFFFFFF;",
    "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
    "<a><![CDATA[</a>",
    "<workbook><sheets><sheet/></sheets></workbook>",
    "<Relationships><Relationship/></Relationships>",
    "<worksheet><sheetData><row><c><v/><is/><f/></c></row></sheetData></worksheet>",
    "<sst><si><t/></si></sst>",
    "<styleSheet><cellXfs><xf numFmtId=\"-1\"/></cellXfs></styleSheet>",
];

/// Each part of a workbook is replaced by what says nothing sensible, and changed a little at every
/// tenth place: there is a table or an error, and the program goes on.
#[test]
fn parts_that_are_changed_are_read_or_refused() {
    let whole = parts(&[("One", data(&ROWS))]);
    for at in 0..whole.len() {
        let mut others: Vec<String> = NONSENSE.map(ToOwned::to_owned).into();
        let content = &whole[at].1;
        for place in (0..content.len()).step_by(10) {
            let (before, after) = content.split_at(place);
            let (one, behind) = after.split_at(1);
            others.push(format!("{before}{behind}"));
            others.push(format!("{before}{one}{after}"));
            others.push(format!("{before}9{behind}"));
        }
        for other in others {
            let mut changed = whole.clone();
            changed[at].1 = other;
            let bytes = zipped(&changed);
            let _table_or_error = open(&bytes);
        }
    }
}

/// A sheet with this XML in front of its cells and behind them.
fn framed(before: &str, rows: &str, behind: &str) -> Result<Sheet, SheetError> {
    let mut parts = parts(&[("One", rows.to_owned())]);
    replace(&mut parts, "<sheetData>", &format!("{before}<sheetData>"));
    replace(&mut parts, "</sheetData>", &format!("</sheetData>{behind}"));
    let bytes = zipped(&parts);
    Workbook::open(&bytes)?.sheet(None, LIMITS)
}

#[test]
fn what_one_formula_fills_is_a_formula_everywhere() {
    let rows = r#"<row r="1"><c r="A1"><f t="array" ref="A1:B2">C1:D2</f><v>1</v></c><c r="B1"><v>2</v></c><c r="C1"><v>3</v></c></row>
<row r="2"><c r="A2"><v>4</v></c><c r="B2"><v>5</v></c><c r="C2"><v>6</v></c></row>"#;
    let sheet = framed("", rows, "").unwrap();
    let elsewhere = Cell::Formula("= as in another cell".to_owned());
    assert_eq!(sheet.rows[0].cells[&0], Cell::Formula("=C1:D2".to_owned()));
    for (row, column) in [(0, 1), (1, 0), (1, 1)] {
        assert_eq!(sheet.rows[row].cells[&column], elsewhere, "{row} {column}");
    }
    for row in &sheet.rows {
        assert!(matches!(row.cells[&2], Cell::Number(_)), "{row:?}");
    }
    let wrong = rows.replace("A1:B2", "A1:?");
    let error = framed("", &wrong, "").unwrap_err().to_string();
    assert!(error.contains("no range of cells"), "{error}");
}

#[test]
fn merged_cells_are_not_read_as_empty_ones_and_what_is_hidden_is_known() {
    let rows = data(&[
        &["NC ID", "Owner", "Note"],
        &["NC-1", "p-1", "a"],
        &["NC-2", "", "b"],
        &["NC-3", "p-2", "c"],
    ]);
    let rows = rows.replace("<row r=\"4\">", "<row r=\"4\" hidden=\"1\">");
    let cols = "<cols><col min=\"1\" max=\"1\"/><col min=\"3\" max=\"9\" hidden=\"1\"/></cols>";
    let merged = "<mergeCells><mergeCell ref=\"A1:C1\"/><mergeCell ref=\"B2:B3\"/></mergeCells>";
    let table = Table::new(framed(cols, &rows, merged).unwrap(), None).unwrap();
    assert_eq!(table.rows[0].cells[&1], Cell::Text("p-1".to_owned()));
    let found = &table.rows[1].cells[&1];
    assert!(
        matches!(found, Cell::Unsure { found, .. } if found == "merged B2:B3"),
        "{found:?}"
    );
    assert_eq!(table.hidden.columns, ["Note"]);
    assert_eq!(table.hidden.rows, [4]);
    // Over all that a sheet can be, again and again.
    let all = "<mergeCell ref=\"A1:XFD1048576\"/>".repeat(1000);
    Table::new(framed("", &rows, &all).unwrap(), None).unwrap();
}

#[test]
fn what_is_there_twice_is_refused() {
    let row = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1"><c r="B1"><v>2</v></c></row>"#;
    let error = rows_of(row).unwrap_err().to_string();
    assert!(error.contains("the row 1 is there twice"), "{error}");
    let again = "<sheetData><row r=\"9\"/></sheetData>";
    let error = framed("", "", again).unwrap_err().to_string();
    assert!(error.contains("has cells twice"), "{error}");
    let two = zipped(&parts(&[("One", data(&ROWS)), ("ONE", data(&ROWS))]));
    let error = open(&two).unwrap_err().to_string();
    assert!(error.contains("two sheets are named"), "{error}");
    let mut alike = parts(&[("One", data(&ROWS))]);
    alike.push(("XL/Workbook.xml".to_owned(), "<workbook/>".to_owned()));
    let error = open(&zipped(&alike)).unwrap_err().to_string();
    assert!(error.contains("is there twice"), "{error}");
    // The same name in the list of the archive, which its writer refuses to make.
    let mut other = parts(&[("One", data(&ROWS))]);
    other.push(("xl/workboox.xml".to_owned(), "<workbook/>".to_owned()));
    let mut bytes = zipped(&other);
    let (from, to) = (b"xl/workboox.xml", b"xl/workbook.xml");
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    let error = open(&bytes).unwrap_err().to_string();
    assert!(error.contains("a part is there twice"), "{error}");
}

/// A ZIP file in which nothing is packed.
fn stored(parts: &[(String, String)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let options = options.compression_method(zip::CompressionMethod::Stored);
    for (name, content) in parts {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Half of what a file may hold, three times.
#[test]
fn the_sheets_of_a_workbook_have_one_budget() {
    let cells = "<c><v>1</v></c>".repeat(500);
    let rows = format!("<row>{cells}</row>").repeat(1000);
    let sheets = [
        ("One", rows.clone()),
        ("Two", rows.clone()),
        ("Three", rows),
    ];
    let large = parts(&sheets);
    // Not packed: packed, it would be refused for unpacking to so much.
    let bytes = stored(&large);
    let mut workbook = Workbook::open(&bytes).unwrap();
    workbook.sheet(Some("One"), LIMITS).unwrap();
    workbook.sheet(Some("Two"), LIMITS).unwrap();
    let error = workbook.sheet(Some("Three"), LIMITS).unwrap_err();
    assert!(matches!(error, SheetError::TooManyCells), "{error}");
}

#[test]
fn numbers_are_read_as_they_are_shown_or_refused() {
    let formats = r#"<numFmts><numFmt numFmtId="170" formatCode="00000"/><numFmt numFmtId="171" formatCode="&quot;NC-&quot;000"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="9"/><xf numFmtId="170"/><xf numFmtId="171"/><xf numFmtId="22"/>"#;
    let read = |style: usize, value: &str| {
        let row = format!(r#"<row r="1"><c r="A1" s="{style}"><v>{value}</v></c></row>"#);
        let mut parts = parts(&[("One", row)]);
        let from = r#"<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/>"#;
        replace(&mut parts, from, formats);
        let bytes = zipped(&parts);
        let sheet = Workbook::open(&bytes).unwrap().sheet(None, LIMITS).unwrap();
        sheet.rows[0].cells[&0].clone()
    };
    let text = |text: &str| Cell::Text(text.to_owned());
    let number = |text: &str| Cell::Number(text.to_owned());
    for (style, value, expected) in [
        (0, "1.50", number("1.5")),
        (0, "-0", number("0")),
        (0, "9007199254740991", number("9007199254740991")),
        (2, "0.075", text("7.5%")),
        (3, "42", text("00042")),
        (1, "46328", Cell::Time("2026-11-02".to_owned())),
        (5, "46328", Cell::Time("2026-11-02T00:00:00".to_owned())),
    ] {
        assert_eq!(read(style, value), expected, "{style} {value}");
    }
    for (style, value) in [
        (0, "9007199254740993"),
        (0, "1e300"),
        (0, "twelve"),
        (0, "inf"),
        (1, "0.34375"),
        (1, "-5"),
        (1, "99999999999999"),
        (3, "4.2"),
        (4, "42"),
        (5, "0.34375"),
    ] {
        let found = read(style, value);
        assert!(
            matches!(&found, Cell::Unsure { found, .. } if found == value),
            "{style} {value}: {found:?}"
        );
    }
}
