//! Goal: every id of a file is found once, with its place and what it is; a file that cannot be read says
//! why and where.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::PathBuf;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::{Catalogue, Schemes};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::scan::{Judge, Status};
use super::source::{Content, Passage, Shape, read};

const ISO27001: &str = include_str!("../../../../../docs/examples/iso27001-2022.toml");

fn schemes() -> Schemes {
    let catalogue = Catalogue::parse(ISO27001).expect("a catalogue");
    let schemes = RuleBundle::v1().schemes().with(catalogue);
    schemes.expect("a scheme of its own")
}

/// The ids of a text with their states.
fn found(text: &str, scheme: &str, holds_ids: bool) -> Vec<(String, Status)> {
    let schemes = schemes();
    let judge = Judge {
        schemes: &schemes,
        scheme: schemes.catalogue(scheme).expect("a catalogue"),
    };
    let mentions = judge.mentions(text, holds_ids).into_iter();
    mentions.map(|one| (one.id, one.status)).collect()
}

fn iso(text: &str) -> Vec<(String, Status)> {
    found(text, "iso42001-2023", false)
}

fn expected(ids: &[(&str, Status)]) -> Vec<(String, Status)> {
    let ids = ids.iter();
    ids.map(|(id, status)| ((*id).to_owned(), *status))
        .collect()
}

use Status::{Alias, Ok, Unknown, WrongScheme};

#[test]
fn ids_are_found_in_prose_and_other_numbers_are_not() {
    for (text, ids) in [
        (
            "See A.9.2 and A.9.5.",
            &[("A.9.2", Ok), ("A.9.5", Unknown)][..],
        ),
        ("(A.6.1.2-A.6.2.8)", &[("A.6.1.2", Ok), ("A.6.2.8", Ok)]),
        (
            "A.5.2/A.5.3, `A.7.5`:",
            &[("A.5.2", Ok), ("A.5.3", Ok), ("A.7.5", Ok)],
        ),
        ("## Clause 9.1", &[("9.1", Ok)]),
        (
            "clauses 8.2, 8.4 and 8.6 are",
            &[("8.2", Ok), ("8.4", Ok), ("8.6", WrongScheme)],
        ),
        ("ISO/IEC 42001:2023 8.5", &[("8.5", Unknown)]),
        ("A.5.19 of the other standard", &[("A.5.19", WrongScheme)]),
        ("iso27001-2022/A.5.19", &[("iso27001-2022/A.5.19", Ok)]),
        ("iso42001/A.9.2", &[("iso42001/A.9.2", Unknown)]),
        (
            "guide/9.1 guide/10.1",
            &[("guide/9.1", Alias), ("guide/10.1", Unknown)],
        ),
        (
            "ORG.SEC.1 and org/whatever",
            &[("ORG.SEC.1", Ok), ("org/whatever", Ok)],
        ),
        (
            "Art. 73(2) and 12 of the AI Act",
            &[("73(2)", Ok), ("12", Ok)],
        ),
        ("Article 14(4) AI Act, Art. 17 GDPR", &[("14(4)", Ok)]),
        ("AI Act, Art. 73(7)", &[("73(7)", Unknown)]),
        ("Art. 6 of another law", &[]),
        (
            "Version 9.1 of 12.07.2026, 0.95, 99.2 %, v2.1, docs/a.md",
            &[],
        ),
        ("from 9.1 to 10.2", &[]),
        ("clause by agreement, 9.1", &[]),
        ("A. 9.2 B", &[]),
    ] {
        assert_eq!(iso(text), expected(ids), "{text}");
    }
}

#[test]
fn numbers_of_a_column_are_ids_of_the_scheme_that_is_asked_for() {
    let in_column = |text: &str, scheme: &str| found(text, scheme, true);
    assert_eq!(
        in_column("9.1; 10.3", "iso42001-2023"),
        expected(&[("9.1", Ok), ("10.3", Unknown)])
    );
    assert_eq!(
        in_column("9.1, 5, 10.1", "guide"),
        expected(&[("9.1", Alias), ("5", Alias), ("10.1", Unknown)])
    );
    assert_eq!(
        in_column("A.5.19 A.9.2", "iso27001-2022"),
        expected(&[("A.5.19", Ok), ("A.9.2", WrongScheme)])
    );
}

#[test]
fn each_says_what_it_stands_for_or_what_is_near() {
    let schemes = schemes();
    let scheme = schemes.catalogue("iso42001-2023").expect("a catalogue");
    let judge = Judge {
        schemes: &schemes,
        scheme,
    };
    let one = |text: &str| judge.mentions(text, false).remove(0);
    let alias = one("see guide/9.1");
    assert_eq!(alias.column, 5);
    assert_eq!(alias.real[0], "iso42001-2023/A.9.2");
    assert!(
        alias.says.contains("Human oversight mechanisms"),
        "{}",
        alias.says
    );
    let wrong = one("clause 8.6");
    assert_eq!(wrong.real[0], "iso42001-2023/8.1");
    assert!(
        wrong.says.contains("Third-party procedure"),
        "{}",
        wrong.says
    );
    let unknown = one("A.9.5");
    assert_eq!(unknown.nearest[0], "iso42001-2023/A.9.4");
    let other = one("A.5.19");
    assert_eq!(other.real, ["iso27001-2022/A.5.19"]);
}

/// A file with this content, read.
fn read_file(name: &str, content: &[u8], columns: &[&str]) -> anyhow::Result<Vec<Passage>> {
    read_below(name, content, (columns, None))
}

/// The same with the row of the headings.
fn read_below(
    name: &str,
    content: &[u8],
    (columns, header): (&[&str], Option<u32>),
) -> anyhow::Result<Vec<Passage>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    let columns: Vec<String> = columns.iter().map(|one| (*one).to_owned()).collect();
    let columns = &columns;
    read(&path, Shape { columns, header })
}

fn refused(name: &str, content: &[u8]) -> String {
    let refused = read_file(name, content, &[]);
    format!("{:#}", refused.expect_err(name))
}

/// The passages as place, whether numbers are ids there, and text.
fn shown(passages: Vec<Passage>) -> Vec<(String, bool, String)> {
    let shown = passages.into_iter().map(|one| {
        let (Content::Text(text) | Content::Formula(text)) = one.content;
        (one.place.to_string(), one.holds_ids, text)
    });
    shown.collect()
}

fn passage(place: &str, holds_ids: bool, text: &str) -> (String, bool, String) {
    (place.to_owned(), holds_ids, text.to_owned())
}

#[test]
fn a_text_is_read_by_lines_and_a_table_by_cells() {
    let text = read_file("plan.md", b"\xef\xbb\xbf# Plan\n\nA.9.2\n", &[]).expect("text");
    assert_eq!(text[2].place.at(1), "3:1");
    let csv = b"Ref,Control / Process,Note\r\n1,9.1,\"two\nlines\"\r\n2,=A1,\r\n";
    let cells = read_file("register.csv", csv, &[]).expect("a table");
    let shown: Vec<(String, bool)> = cells
        .iter()
        .map(|cell| (cell.place.to_string(), cell.holds_ids))
        .collect();
    assert_eq!(shown[1], ("line 2, Control / Process".to_owned(), true));
    assert!(!shown[0].1 && !shown[2].1);
    assert_eq!(cells[4].content, Content::Formula("=A1".to_owned()));
    assert_eq!(cells[4].place.to_string(), "line 4, Control / Process");
    let named = read_file("register.csv", csv, &["ref"]).expect("a table");
    assert!(named[0].holds_ids && !named[1].holds_ids);
    let semicolons = read_file("r.csv", b"Clause;Text\n9.1;a, b\n", &[]).expect("a table");
    assert_eq!((semicolons.len(), semicolons[0].holds_ids), (2, true));
}

#[test]
fn a_table_that_is_cut_off_or_of_another_kind_says_so() {
    for (name, content, part) in [
        ("a.csv", &b"a,b\n1,2\n3\n"[..], "line 3: 1 cells"),
        ("a.csv", b"a,b\n1,\"2\n3,4\n", "line 2: a quotation mark"),
        ("a.csv", b"a,b\n1,\xff\n", "line 2: no text in UTF-8"),
        ("a.txt", b"a\0b", "no text"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "97 to 2003"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.txt", b"\xff\xfea\0", "UTF-16"),
        ("a.xlsx", b"no workbook", "damaged"),
        ("a.xlsx", b"PK\x03\x04 and nothing more", "damaged"),
    ] {
        let said = refused(name, content);
        assert!(said.contains(part), "{name}: {said}");
    }
    let unknown = read_file("a.csv", b"a,b\n1,2\n", &["c"]).expect_err("no such column");
    let unknown = format!("{unknown:#}");
    assert!(unknown.contains("headings are: a, b"), "{unknown}");
    let long = format!("a\n{}\n", "x".repeat(1024 * 1024 + 1));
    assert!(refused("a.txt", long.as_bytes()).contains("line 2: more than"));
    assert!(refused("a.csv", long.as_bytes()).contains("a.csv!A2: more than"));
    let large = refused("a.txt", &vec![b'\n'; 32 * 1024 * 1024 + 1]);
    assert!(large.contains("at most 33554432 bytes"), "{large}");
}

/// A workbook of these parts.
fn workbook_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let options = SimpleFileOptions::default();
        writer.start_file(*name, options).expect("a part");
        writer.write_all(content).expect("its content");
    }
    writer.finish().expect("a file").into_inner()
}

const WORKBOOK: &[u8] = br#"<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="SoA" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
const RELATIONS: &[u8] = br#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;

const ROOT: &[u8] = br#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;

/// A workbook whose one sheet has these rows.
fn workbook(rows: &str) -> Vec<u8> {
    let sheet = format!(
        "<?xml version=\"1.0\"?><worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{rows}</sheetData></worksheet>"
    );
    workbook_of(&[
        ("_rels/.rels", ROOT),
        ("xl/workbook.xml", WORKBOOK),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

const ROWS: &str = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>Control</t></is></c><c r="B1" t="inlineStr"><is><t>Note</t></is></c></row>
<row r="2"><c r="A2"><v>9.1</v></c><c r="B2" t="inlineStr"><is><t>see A.9.5</t></is></c></row>
<row r="3"><c r="A3"><f>A2+1</f><v>10.1</v></c></row>
<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>A.9.2</t></is></c></row>"#;

#[test]
fn a_workbook_is_read_by_cells_however_far_away() {
    let cells = read_file("soa.xlsx", &workbook(ROWS), &[]).expect("a workbook");
    assert_eq!(
        shown(cells),
        [
            passage("SoA!A2", true, "9.1"),
            passage("SoA!B2", false, "see A.9.5"),
            passage("SoA!A3", true, "=A2+1"),
            passage("SoA!XFD1048576", false, "A.9.2"),
        ]
    );
}

#[test]
fn headings_are_no_data_and_may_stand_further_down() {
    let rows = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>Plan by clause 9.2</t></is></c></row>
<row r="3"><c r="A3" t="inlineStr"><is><t>Control (as A.9.5)</t></is></c></row>
<row r="4"><c r="A4"><v>9.1</v></c></row>"#;
    let expected = |first: &str, last: &str| {
        [
            passage(first, false, "Plan by clause 9.2"),
            passage(last, true, "9.1"),
        ]
    };
    let sheet = workbook(rows);
    let found = read_below("soa.xlsx", &sheet, (&[], Some(3))).expect("a workbook");
    assert_eq!(shown(found), expected("SoA!A1", "SoA!A4"));
    let text = b"Plan by clause 9.2\n\nControl (as A.9.5)\tNote\n9.1\t\n";
    for name in ["plan.csv", "plan.tsv", "plan.tab"] {
        let found = read_below(name, text, (&[], Some(3))).expect("a table");
        let heading = "line 4, Control (as A.9.5)";
        assert_eq!(
            shown(found),
            expected("line 1, Control (as A.9.5)", heading),
            "{name}"
        );
        let none = read_below(name, text, (&[], Some(2))).expect_err("an empty row");
        assert!(format!("{none:#}").contains("row 2"), "{none:#}");
    }
    let none = read_below("soa.xlsx", &sheet, (&[], Some(2))).expect_err("an empty row");
    assert!(format!("{none:#}").contains("row 2"), "{none:#}");
}

#[test]
fn tabs_separate_the_cells_of_a_csv_file_too() {
    let text = b"Ref\tClause\n1\t9.1\n";
    for name in ["a.csv", "a.tsv"] {
        let cells = read_file(name, text, &[]).expect("a table");
        assert_eq!(
            shown(cells),
            [
                passage("line 2, Ref", false, "1"),
                passage("line 2, Clause", true, "9.1"),
            ],
            "{name}"
        );
    }
}

#[test]
fn a_workbook_that_is_damaged_huge_or_another_says_so() {
    let whole = workbook(ROWS);
    for length in [whole.len() / 4, whole.len() / 2, whole.len() - 3] {
        let said = refused("soa.xlsx", &whole[..length]);
        assert!(said.contains("damaged or cut off"), "{length}: {said}");
    }
    let (kept, _) = ROWS.split_at(ROWS.len() - 40);
    let cut = workbook(kept);
    let said = refused("soa.xlsx", &cut);
    assert!(said.contains("SoA!") || said.contains("damaged"), "{said}");
    let zeros = vec![b' '; 129 * 1024 * 1024];
    let bomb = workbook_of(&[("xl/workbook.xml", &zeros)]);
    assert!(bomb.len() < 1024 * 1024, "{}", bomb.len());
    assert!(refused("soa.xlsx", &bomb).contains("unpacks to more than"));
    for (part, what) in [
        ("xl/workbook.bin", ".xlsb"),
        ("content.xml", ".ods"),
        ("a.txt", "no workbook"),
    ] {
        let said = refused("soa.xlsx", &workbook_of(&[(part, b"x")]));
        assert!(said.contains(what), "{said}");
    }
}
