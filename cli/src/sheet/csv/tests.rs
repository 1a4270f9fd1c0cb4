//! Goal: a CSV file is read as spreadsheets write it, and one that is cut off or lacks a quotation mark
//! is refused at its line.

use super::*;
use crate::sheet::CELLS_MAX;

const LIMITS: Limits = Limits {
    rows: 1000,
    columns: 100,
    cell_bytes: 1000,
};

fn read(text: &str) -> Result<Sheet, SheetError> {
    read_csv("nc.csv", text, CsvShape::default(), LIMITS)
}

/// The rows with their lines, each cell as it is told.
fn rows(text: &str) -> Vec<(u32, Vec<String>)> {
    let sheet = read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let rows = sheet.rows.into_iter();
    rows.map(|row| {
        let cells = row.cells.values();
        (
            row.number,
            cells.map(|cell| cell.words().to_owned()).collect(),
        )
    })
    .collect()
}

fn row(line: u32, cells: &[&str]) -> (u32, Vec<String>) {
    (line, cells.iter().map(|cell| (*cell).to_owned()).collect())
}

#[test]
fn separators_are_told_apart() {
    for text in [
        "NC ID,Finding\nNC-1,\"late, twice\"\n",
        "NC ID;Finding\r\nNC-1;late, twice\r\n",
        "NC ID\tFinding\nNC-1\tlate, twice",
        "\n\"NC ID\";\"Finding\"\rNC-1;\"late, twice\"\r",
    ] {
        let found = rows(text);
        assert_eq!(found[1].1, ["NC-1", "late, twice"], "{text:?}");
    }
    assert_eq!(rows("A\nx\n"), [row(1, &["A"]), row(2, &["x"])]);
    let quoted = rows("\"a,b,c\";\"d\"\n1;2\n");
    assert_eq!(
        quoted[0].1,
        ["a,b,c", "d"],
        "commas in quotation marks separate nothing"
    );
}

#[test]
fn each_row_has_the_line_of_the_file_at_which_it_begins() {
    let text = "\n\nA,B\r\n\"one\r\ntwo\",=1+1\n,\n\n\"a \"\"b\"\" c\" ,5\" pipe\n";
    assert_eq!(
        rows(text),
        [
            row(3, &["A", "B"]),
            row(4, &["one\ntwo", "=1+1"]),
            row(8, &["a \"b\" c", "5\" pipe"]),
        ]
    );
    let formula = &read(text).unwrap().rows[1].cells[&1];
    assert_eq!(*formula, Cell::Formula("=1+1".to_owned()));
}

#[test]
fn a_quotation_mark_that_is_not_closed_is_refused_where_it_is_opened() {
    for (text, expected) in [
        ("A,B\n1,\"two", "line 2: a quotation mark is opened"),
        (
            "A,B\n1,\"two\n3,four\n5,six\n",
            "line 2: a quotation mark is opened",
        ),
        ("A,B\n\n1,2\n3,\"", "line 4: a quotation mark is opened"),
        // The next mark in the file closes it, and text stands behind.
        (
            "A,B\n1,\"two\n3,four\n5,\"six\"\n",
            "line 4: text stands behind",
        ),
        ("A,B\n1,\"two\"x\n", "line 2: text stands behind"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let error = read("A,B\n1,\"two\n3,four\n5,\"six\"\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("opened at line 2"), "{error}");
}

#[test]
fn files_that_are_cut_off_or_too_large_are_refused() {
    for (text, expected) in [
        ("A,B\n1,2\n\n3", "line 4: 1 cells, and the header has 2"),
        ("A,B\n1,2,3\n", "line 2: 3 cells"),
        (" <html><table>", "this is XML or HTML"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let wide = "x,".repeat(100) + "x\n";
    let error = read(&wide).unwrap_err();
    assert!(
        matches!(error, SheetError::TooManyColumns { .. }),
        "{error}"
    );
    let error = read(&",".repeat(20_000)).unwrap_err();
    assert!(
        matches!(error, SheetError::TooManyColumns { .. }),
        "{error}"
    );
    let error = read(&format!("A\n{}\n", "x".repeat(1001))).unwrap_err();
    assert!(error.to_string().starts_with("nc.csv!A2"), "{error}");
    let error = read(&"x\n".repeat(1001)).unwrap_err();
    assert!(matches!(error, SheetError::TooManyRows { .. }), "{error}");
    let limits = Limits {
        rows: usize::MAX,
        ..LIMITS
    };
    let many = "x\n".repeat(CELLS_MAX + 1);
    let error = read_csv("a", &many, CsvShape::default(), limits).unwrap_err();
    assert!(matches!(error, SheetError::TooManyCells), "{error}");
}

#[test]
fn what_stands_above_the_header_is_no_part_of_the_table() {
    let text = "Register; as of today; and more\n\nA,B\n1,2\n";
    let shape = CsvShape {
        header: Some(3),
        separator: None,
    };
    let sheet = read_csv("nc.csv", text, shape, LIMITS).unwrap();
    assert_eq!(sheet.rows[1].cells.len(), 2, "{sheet:?}");
    let error = read(text).unwrap_err();
    assert!(
        matches!(error, SheetError::Ragged { line: 3, .. }),
        "{error}"
    );
}

/// Whatever stands in a file, it is read or refused: bytes that mean something, in all orders.
#[test]
fn every_short_text_is_read_or_refused() {
    const LETTERS: [char; 6] = ['"', ',', '\n', '\r', 'a', ' '];
    let count = LETTERS.len();
    for number in 0..count.pow(6) {
        let mut rest = number;
        let mut text = String::new();
        for _ in 0..6 {
            text.push(LETTERS[rest % count]);
            rest /= count;
        }
        if let Ok(sheet) = read(&text) {
            let lines = text.replace("\r\n", "\n").matches(['\n', '\r']).count() + 1;
            let last = sheet.rows.last().map_or(0, |row| row.number as usize);
            assert!(last <= lines, "{text:?}: {sheet:?}");
        }
    }
}
