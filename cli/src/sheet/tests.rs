use super::*;

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
        (16_383, "XFD"),
        (u32::MAX, "MWLQKWV"),
    ] {
        assert_eq!(letters(column), expected);
    }
}

#[test]
fn what_is_no_text_in_utf_8_is_refused_with_its_line() {
    assert_eq!(text_of(b"\xef\xbb\xbfA,B").unwrap(), "A,B");
    let error = text_of(b"A,B\n1,\xe9\n").unwrap_err();
    assert!(matches!(error, SheetError::NotUtf8 { line: 2 }), "{error}");
    let error = text_of(b"a\0b").unwrap_err().to_string();
    assert!(error.contains("this is no text"), "{error}");
}
