use super::*;
use crate::sheet::{CsvShape, Limits, read_csv};

const LIMITS: Limits = Limits {
    rows: 100,
    columns: 100,
    cell_bytes: 1000,
};

fn table(text: &str, header: Option<u32>) -> Result<Table, SheetError> {
    let shape = CsvShape {
        header,
        separator: None,
    };
    Table::new(read_csv("nc.csv", text, shape, LIMITS)?, header)
}

#[test]
fn columns_are_found_by_their_names() {
    let table = table("NC ID;Root  cause\nNC-1;\"late\"\n", None).unwrap();
    assert_eq!(table.column("nc id"), Some(0));
    assert_eq!(table.column(" root CAUSE"), Some(1));
    assert_eq!(table.column("Cause"), None);
    assert_eq!(table.place(1, table.rows[0].number), "nc.csv!B2");
}

#[test]
fn the_header_may_stand_further_down() {
    let text = "Register of nonconformities\n\n\"as of\n today\",2026\nA,B\n\n1,2\n";
    let found = table(text, Some(5)).unwrap();
    assert_eq!(found.column("B"), Some(1));
    let [row] = found.rows.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        found.row_place(row.number),
        "nc.csv!7",
        "the line of the file"
    );
    for empty in [2, 9] {
        let error = table(text, Some(empty)).unwrap_err();
        assert!(
            matches!(error, SheetError::NoHeader { row } if row == empty),
            "{error}"
        );
    }
    for text in ["", "\n,,\n"] {
        let error = table(text, None).unwrap_err();
        assert!(matches!(error, SheetError::Empty), "{error}");
    }
}

#[test]
fn columns_of_one_name_and_those_without_are_known() {
    let found = table("Owner,,owner ,Note,\n,,,,\na,b,c,d,\n", None).unwrap();
    assert_eq!(found.doubled("OWNER").unwrap(), ["nc.csv!A1", "nc.csv!C1"]);
    assert_eq!(found.doubled("Note"), None);
    assert_eq!(found.unnamed(), ["B (nc.csv!B3)"], "E holds nothing");
}
