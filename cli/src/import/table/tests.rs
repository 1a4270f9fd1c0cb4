use super::*;

fn csv(text: &str) -> Result<Table, TableError> {
    read_csv(Path::new("folder/nc.csv"), text.as_bytes(), None)
}

#[test]
fn separators_are_told_apart_and_cells_have_places() {
    for text in [
        "NC ID,Finding\nNC-1,\"late, twice\"\n",
        "NC ID;Finding\r\nNC-1;late, twice\r\n",
        "\u{feff}NC ID\tFinding\nNC-1\tlate, twice",
    ] {
        let table = csv(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let finding = table.column("finding").unwrap();
        assert_eq!(
            table.rows[0].cells[&finding],
            Cell::Text("late, twice".to_owned())
        );
        assert_eq!(table.place(finding, table.rows[0].number), "nc.csv!B2");
    }
    let table = csv("A\nx\n").unwrap();
    assert_eq!(table.rows.len(), 1);
}

#[test]
fn texts_over_several_lines_and_formulas_are_known() {
    let table = csv("A,B\n\"one\r\ntwo\",=1+1\n,\n").unwrap();
    assert_eq!(table.rows.len(), 1);
    assert_eq!(table.rows[0].cells[&0], Cell::Text("one\ntwo".to_owned()));
    assert_eq!(table.rows[0].cells[&1], Cell::Formula("=1+1".to_owned()));
}

#[test]
fn the_header_may_stand_further_down() {
    let text = "Register of nonconformities\n\"as of\",2026\nA,B\n1,2\n";
    let table = read_csv(Path::new("x.csv"), text.as_bytes(), Some(3)).unwrap();
    assert_eq!(table.column("B"), Some(1));
    assert_eq!(table.rows.len(), 1);
    let error = read_csv(Path::new("x.csv"), text.as_bytes(), Some(9)).unwrap_err();
    assert!(matches!(error, TableError::NoHeader { row: 9 }), "{error}");
}

#[test]
fn files_that_are_cut_off_or_no_table_are_refused() {
    for (text, expected) in [
        ("A,B\n1,2\n3", "nc.csv!3: 1 cells, and the header has 2"),
        ("A,B\n1,2,3\n", "nc.csv!2: 3 cells"),
        ("A,B\n1,\"two", "a quotation mark is not closed"),
        ("", "no row holds anything"),
        ("\n,,\n", "no row holds anything"),
    ] {
        let error = csv(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let error = read_csv(Path::new("x"), b"A,B\n1,\xe9\n", None).unwrap_err();
    assert!(matches!(error, TableError::NotUtf8 { line: 2 }), "{error}");
    let wide = ",".repeat(600) + "\n";
    assert!(matches!(csv(&wide), Err(TableError::TooManyColumns { .. })));
    let long = format!("A\n{}\n", "x".repeat(CELL_BYTES_MAX + 1));
    assert!(matches!(csv(&long), Err(TableError::CellTooLarge { .. })));
    let many = "A\n".to_owned() + &"x\n".repeat(ROWS_MAX + 1);
    assert!(matches!(csv(&many), Err(TableError::TooManyRows)));
}

#[test]
fn columns_have_letters() {
    for (column, expected) in [
        (0, "A"),
        (25, "Z"),
        (26, "AA"),
        (51, "AZ"),
        (52, "BA"),
        (701, "ZZ"),
        (702, "AAA"),
    ] {
        assert_eq!(letters(column), expected);
    }
}
