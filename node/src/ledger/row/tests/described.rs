//! What `docs/format.md` says of the rows: its table is read, and walked over their bytes.

use crate::store::codec::bytes::Reader;

/// Walks the value of the row whose line in the table begins like this over all of `bytes`.
pub(super) fn walk(row: &str, bytes: &[u8]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    let document = std::fs::read_to_string(path).unwrap();
    let lines = document.lines();
    let found: Vec<&str> = lines.filter_map(|line| line.strip_prefix(row)).collect();
    let [value] = found.as_slice() else {
        panic!("{row}: {found:?}");
    };
    let value = value.strip_suffix(" |").unwrap();
    let value = value.split(';').next().unwrap_or_default();
    // Its name, if it has one, stands in front of the first field.
    let fields = match value.split_once(": ") {
        Some((name, fields)) if !name.contains(',') => fields,
        _ => value,
    };
    let mut reader = Reader::new(bytes);
    assert_eq!(reader.u8("version").unwrap(), 1);
    walk_fields(&mut reader, fields);
    assert!(reader.finish().is_ok(), "{row}: more than {fields}");
}

/// `NAME TYPE`, `NAME option TYPE`, or `count u32 of NAMES (FIELDS)`, with commas between them.
fn walk_fields(reader: &mut Reader<'_>, fields: &str) {
    for field in split(fields) {
        if let Some(list) = field.strip_prefix("count u32 of ") {
            let element = list.split_once(" (").unwrap().1;
            let element = element.strip_suffix(')').unwrap();
            for _ in 0..reader.u32("count").unwrap() {
                walk_fields(reader, element);
            }
            continue;
        }
        let named = field.split(" (").next().unwrap_or_default();
        let (name, kind) = named.rsplit_once(' ').unwrap();
        if name.ends_with(" option") && !reader.flag("option").unwrap() {
            continue;
        }
        let what = "a field of the table";
        match kind {
            "bytes" => drop(reader.bytes(what, usize::MAX).unwrap()),
            "flag" => assert!(reader.flag(what).is_ok(), "{field}"),
            "u32" => assert!(reader.u32(what).is_ok(), "{field}"),
            "u64" => assert!(reader.u64(what).is_ok(), "{field}"),
            digits => {
                let size = digits.parse().unwrap_or_else(|_| panic!("{field}"));
                assert!(reader.take(what, size).is_ok(), "{field}");
            }
        }
    }
}

/// The parts between commas that stand in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default().trim());
    parts
}
