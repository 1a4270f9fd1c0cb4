//! Goal: a field has one form, and a record every field of its list once, in order. Method: golden
//! bytes, each rule broken by name, each byte mutated.

use super::*;

const NAMES: [&str; 3] = ["system", "decision", "justification"];

fn salt(byte: u8) -> Salt {
    Salt::new(&[byte; 16]).unwrap()
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn record() -> Vec<Disclosure> {
    vec![
        Disclosure::new(&salt(1), "system", &text("sys-7f3a")).unwrap(),
        Disclosure::new(&salt(2), "decision", &text("OVERRIDE")).unwrap(),
        Disclosure::new(&salt(3), "justification", &Json::Null).unwrap(),
    ]
}

fn reasons(result: Result<DisclosureSet, Violations>) -> Vec<(Reason, String)> {
    let violations = result.unwrap_err().into_vec();
    violations
        .into_iter()
        .map(|violation| (violation.reason, violation.field))
        .collect()
}

#[test]
fn writes_salt_name_and_value_as_one_array() {
    let record = record();
    assert_eq!(
        record[0].bytes(),
        br#"["AQEBAQEBAQEBAQEBAQEBAQ","system","sys-7f3a"]"#
    );
    assert_eq!(
        record[2].bytes(),
        br#"["AwMDAwMDAwMDAwMDAwMDAw","justification",null]"#
    );
    assert!(record[2].is_absent() && !record[0].is_absent());
    assert_eq!(record[0].leaf_hash(), LeafHash::of(record[0].bytes()));
    for disclosure in &record {
        assert_eq!(
            Disclosure::parse(disclosure.bytes()).as_ref(),
            Ok(disclosure)
        );
        let shown = format!("{disclosure:?} {:?}", disclosure.salt());
        assert!(
            !shown.contains("7f3a") && !shown.contains("AQEB"),
            "{shown}"
        );
    }
}

#[test]
fn refuses_every_other_form_by_its_rule() {
    let salt = "AQEBAQEBAQEBAQEBAQEBAQ";
    for (bytes, reason) in [
        (String::new(), Reason::JsonMalformed),
        ("{}".to_owned(), Reason::JsonMalformed),
        ("[]".to_owned(), Reason::JsonMalformed),
        (format!(r#"["{salt}","a"]"#), Reason::JsonMalformed),
        (format!(r#"["{salt}","a",1,2]"#), Reason::JsonMalformed),
        (r#"[1,"a",1]"#.to_owned(), Reason::JsonMalformed),
        (format!(r#"["{salt}",1,1]"#), Reason::JsonMalformed),
        (format!(r#"["{salt}", "a",1]"#), Reason::JsonNotCanonical),
        (format!(r#"["{salt}","a",1.0]"#), Reason::JsonNotCanonical),
        (
            format!(r#"["{salt}","a",{{"b":1,"b":1}}]"#),
            Reason::JsonNotCanonical,
        ),
        (format!(r#"["{salt}","A",1]"#), Reason::UnknownField),
        (format!(r#"["{salt}","",1]"#), Reason::UnknownField),
        (format!(r#"["{salt}","a",[null]]"#), Reason::InvalidField),
        (
            format!(r#"["{salt}","a",{{"b":null}}]"#),
            Reason::InvalidField,
        ),
        (format!(r#"["{salt}==","a",1]"#), Reason::InvalidSalt),
        (
            r#"["AQEBAQEBAQEBAQEBAQEBAR","a",1]"#.to_owned(),
            Reason::InvalidSalt,
        ),
        (
            r#"["AQEBAQEBAQEBAQEBAQEB+/","a",1]"#.to_owned(),
            Reason::InvalidSalt,
        ),
        (
            r#"["AQEBAQEBAQEBAQEBAQEB","a",1]"#.to_owned(),
            Reason::InvalidSalt,
        ),
        (
            format!(r#"["{}","a",1]"#, "A".repeat(44)),
            Reason::InvalidSalt,
        ),
        (
            format!(r#"["{salt}","a","{}"]"#, "x".repeat(65_536)),
            Reason::DisclosureTooLarge,
        ),
    ] {
        let shown: String = bytes.chars().take(60).collect();
        assert_eq!(
            Disclosure::parse(bytes.as_bytes()).unwrap_err().reason(),
            reason,
            "{shown}"
        );
    }
}

#[test]
fn value_may_be_eight_deep_and_no_deeper() {
    let nested = |depth| (0..depth).fold(Json::Integer(1), |value, _| Json::Array(vec![value]));
    assert!(Disclosure::new(&salt(1), "a", &nested(8)).is_ok());
    assert_eq!(
        Disclosure::new(&salt(1), "a", &nested(9)),
        Err(DisclosureError::Value)
    );
    let text = format!(r#"["AQEBAQEBAQEBAQEBAQEBAQ","a",{}]"#, nested(9));
    let error = Disclosure::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.reason(), Reason::JsonMalformed);
}

#[test]
fn salt_has_16_to_32_bytes() {
    for length in 0..40 {
        let valid = (16..=32).contains(&length);
        assert_eq!(Salt::new(&vec![7; length]).is_ok(), valid, "{length}");
    }
    let long = Salt::new(&[7; 32]).unwrap();
    assert!(Disclosure::new(&long, "a", &Json::Bool(true)).is_ok());
}

#[test]
fn set_takes_the_whole_list_in_order() {
    let set = DisclosureSet::new(record(), &NAMES).unwrap();
    let bytes: Vec<&[u8]> = set.as_slice().iter().map(Disclosure::bytes).collect();
    assert_eq!(DisclosureSet::parse(&bytes, &NAMES), Ok(set.clone()));
    assert_eq!(set.leaf_hashes().len(), 3);
    assert_eq!(set.field("decision").unwrap().value(), &text("OVERRIDE"));
    assert!(set.field("other").is_none());
}

#[test]
fn set_names_missing_unknown_doubled_and_swapped_fields_and_salts() {
    let named = |reason, name: &str| (reason, format!("record.{name}"));

    let mut swapped = record();
    swapped.swap(0, 1);
    let expected = [
        named(Reason::SwappedField, "decision"),
        named(Reason::SwappedField, "system"),
    ];
    assert_eq!(reasons(DisclosureSet::new(swapped, &NAMES)), expected);

    let mut doubled = record();
    doubled[2] = Disclosure::new(&salt(9), "decision", &text("STOP")).unwrap();
    let expected = [
        named(Reason::DuplicateField, "decision"),
        named(Reason::MissingField, "justification"),
    ];
    assert_eq!(reasons(DisclosureSet::new(doubled, &NAMES)), expected);

    let mut unknown = record();
    unknown[2] = Disclosure::new(&salt(1), "justificaton", &Json::Null).unwrap();
    let result = DisclosureSet::new(unknown, &NAMES);
    let nearest = result.as_ref().unwrap_err().as_slice()[0].nearest.clone();
    assert_eq!(nearest.as_deref(), Some("justification"));
    let expected = [
        named(Reason::UnknownField, "justificaton"),
        named(Reason::MissingField, "justification"),
        named(Reason::DuplicateSalt, "justificaton"),
    ];
    assert_eq!(reasons(result), expected);

    let mut short = record();
    short.pop();
    let expected = [named(Reason::MissingField, "justification")];
    assert_eq!(reasons(DisclosureSet::new(short, &NAMES)), expected);
    assert!(!reasons(DisclosureSet::new(Vec::new(), &NAMES)).is_empty());

    let second = record().remove(1);
    let broken: [&[u8]; 3] = [b"[", second.bytes(), b"{} "];
    let expected = [
        named(Reason::JsonMalformed, "system"),
        named(Reason::JsonNotCanonical, "justification"),
    ];
    assert_eq!(reasons(DisclosureSet::parse(&broken, &NAMES)), expected);

    // One that cannot be read hides nothing of the others, and is not missing besides.
    let mut mixed: Vec<Vec<u8>> = record()
        .iter()
        .map(|field| field.bytes().to_vec())
        .collect();
    mixed[0] = b"[".to_vec();
    mixed.push(mixed[2].clone());
    mixed.push(b"{".to_vec());
    let expected = [
        named(Reason::JsonMalformed, "system"),
        (Reason::JsonMalformed, "disclosures[4]".to_owned()),
        named(Reason::DuplicateField, "justification"),
        named(Reason::DuplicateSalt, "justification"),
    ];
    assert_eq!(reasons(DisclosureSet::parse(&mixed, &NAMES)), expected);
}

#[test]
fn set_is_limited_in_bytes_and_fields() {
    let filler = text(&"x".repeat(60_000));
    let names: Vec<String> = (0..257).map(|index| format!("f{index}")).collect();
    let disclosure = |index: u8, value| {
        Disclosure::new(&salt(index), &names[usize::from(index)], value).unwrap()
    };
    let large: Vec<Disclosure> = (0..5).map(|index| disclosure(index, &filler)).collect();
    let expected = [(Reason::RecordTooLarge, "disclosures".to_owned())];
    assert_eq!(reasons(DisclosureSet::new(large, &names[..5])), expected);
    let bytes = vec![b"x".as_slice(); RECORD_FIELDS_MAX + 1];
    assert_eq!(reasons(DisclosureSet::parse(&bytes, &names)), expected);
}

#[test]
fn every_changed_byte_gives_another_disclosure_or_none() {
    let bytes = br#"["AQEBAQEBAQEBAQEBAQEBAQ","system",{"a":["\n",-10]}]"#;
    let disclosure = Disclosure::parse(bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut mutated = bytes.to_vec();
            mutated[at] ^= 1 << bit;
            if let Ok(other) = Disclosure::parse(&mutated) {
                let same = other.salt() == disclosure.salt()
                    && other.name() == disclosure.name()
                    && other.value() == disclosure.value();
                assert!(
                    !same && other.leaf_hash() != disclosure.leaf_hash(),
                    "byte {at}"
                );
            }
        }
    }
}
