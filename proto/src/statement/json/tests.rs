//! Goal: one text for each value, and a clear refusal for every other text. Method: a table of
//! accepted and refused texts, `serde_json` as second reader, mutations, random values.

use proptest::prelude::*;

use super::*;

#[test]
fn accepts_the_one_text_of_each_value() {
    let deep = format!(
        "{}1{}",
        "[".repeat(VALUE_DEPTH_MAX),
        "]".repeat(VALUE_DEPTH_MAX)
    );
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "9007199254740991",
        "-9007199254740991",
        r#""""#,
        r#""\"\\\b\t\n\f\r\u0000\u001f/""#,
        "\"\u{7f}\u{e9}\u{2028}\u{1f600}\"",
        "[]",
        "{}",
        r#"[1,"a",[],{}]"#,
        r#"{"b":1,"a":{"c_2":null}}"#,
        &deep,
    ] {
        let value = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(value.to_string(), text);
        assert!(value.is_strict(), "{text}");
        assert_eq!(Json::parse_free(text.as_bytes()), Ok(value), "{text}");
        serde_json::from_str::<serde_json::Value>(text).unwrap();
    }
}

#[test]
fn refuses_what_is_not_json() {
    for (text, offset, rule) in [
        ("", 0, JsonRule::Truncated),
        ("nul", 3, JsonRule::Truncated),
        ("nulx", 0, JsonRule::Unexpected),
        ("[1", 2, JsonRule::Truncated),
        ("[1 1]", 3, JsonRule::Unexpected),
        ("[1,]", 3, JsonRule::Unexpected),
        ("[,1]", 1, JsonRule::Unexpected),
        (r#"{"a"}"#, 4, JsonRule::Unexpected),
        (r#"{"a":1,}"#, 7, JsonRule::Unexpected),
        ("{a:1}", 1, JsonRule::Unexpected),
        (r#""a"#, 2, JsonRule::Truncated),
        (r#""\"#, 1, JsonRule::Truncated),
        (r#""\x""#, 1, JsonRule::InvalidEscape),
        (r#""\u12""#, 1, JsonRule::InvalidEscape),
        (r#""\u+123""#, 1, JsonRule::InvalidEscape),
        (r#""\ud800""#, 1, JsonRule::InvalidEscape),
        (r#""\udc00""#, 1, JsonRule::InvalidEscape),
        (r#""\ud800\u0041""#, 1, JsonRule::InvalidEscape),
        ("\"\n\"", 1, JsonRule::ControlCharacter),
        ("1 1", 2, JsonRule::Trailing),
        ("-", 1, JsonRule::Truncated),
        ("-a", 1, JsonRule::Unexpected),
        ("+1", 0, JsonRule::Unexpected),
        ("NaN", 0, JsonRule::Unexpected),
        ("'a'", 0, JsonRule::Unexpected),
        ("\u{feff}1", 0, JsonRule::Unexpected),
    ] {
        let error = JsonError { offset, rule };
        assert_eq!(Json::parse_free(text.as_bytes()), Err(error), "{text}");
        assert_eq!(error.reason(), Reason::JsonMalformed, "{text}");
        assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_err(),
            "{text}"
        );
    }
    let error = Json::parse(b"\"\xff\"").unwrap_err();
    assert_eq!(
        error,
        JsonError {
            offset: 1,
            rule: JsonRule::NotUtf8
        }
    );
}

#[test]
fn refuses_every_other_text_of_a_value() {
    let deep = format!(
        "{}1{}",
        "[".repeat(VALUE_DEPTH_MAX + 1),
        "]".repeat(VALUE_DEPTH_MAX + 1)
    );
    for (text, offset, rule) in [
        (" 1", 0, JsonRule::WhiteSpace),
        ("1\n", 1, JsonRule::WhiteSpace),
        ("[1, 2]", 3, JsonRule::WhiteSpace),
        (r#"{"a" :1}"#, 4, JsonRule::WhiteSpace),
        ("1.0", 0, JsonRule::NotInteger),
        ("1e3", 0, JsonRule::NotInteger),
        ("0.5", 0, JsonRule::NotInteger),
        ("-0", 0, JsonRule::IntegerForm),
        ("01", 0, JsonRule::IntegerForm),
        ("9007199254740992", 0, JsonRule::IntegerRange),
        ("-9007199254740992", 0, JsonRule::IntegerRange),
        ("99999999999999999999", 0, JsonRule::IntegerRange),
        (r#""\/""#, 1, JsonRule::OtherEscape),
        (r#""\u0041""#, 1, JsonRule::OtherEscape),
        (r#""\u00e9""#, 1, JsonRule::OtherEscape),
        (r#""\u000a""#, 1, JsonRule::OtherEscape),
        (r#""\u001F""#, 1, JsonRule::OtherEscape),
        (r#""\ud83d\ude00""#, 1, JsonRule::OtherEscape),
        (r#"{"A":1}"#, 1, JsonRule::NameForm),
        (r#"{"reviewNote":1}"#, 1, JsonRule::NameForm),
        (r#"{"":1}"#, 1, JsonRule::NameForm),
        (r#"{"1a":1}"#, 1, JsonRule::NameForm),
        (r#"{"a":1,"a":1}"#, 7, JsonRule::DuplicateName),
        (r#"[{"b":{"a":1,"a":2}}]"#, 13, JsonRule::DuplicateName),
        (&deep, VALUE_DEPTH_MAX, JsonRule::TooDeep),
    ] {
        assert_eq!(
            Json::parse(text.as_bytes()),
            Err(JsonError { offset, rule }),
            "{text}"
        );
    }
    assert!(Json::parse("[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn free_text_becomes_strict_text() {
    let free = b" { \"reviewNote\" : [ 1 , \"\\u00e9\\/\\ud83d\\ude00\\u000a\" ] }\r\n";
    let value = Json::parse_free(free).unwrap();
    assert_eq!(
        value.to_string(),
        "{\"reviewNote\":[1,\"\u{e9}/\u{1f600}\\n\"]}"
    );
    // The name is for the converter to translate: as it is, the value is outside the profile.
    assert!(!value.is_strict());
    for refused in ["1.5", "{\"a\":1,\"a\":2}", "9007199254740992", "00"] {
        assert!(Json::parse_free(refused.as_bytes()).is_err(), "{refused}");
    }
}

#[test]
fn every_changed_byte_gives_another_value_or_none() {
    let text = r#"{"a":[1,-20,"x\n\u0001"],"b_c":{"d":true,"e":"é"},"f":null}"#;
    let value = Json::parse(text.as_bytes()).unwrap();
    for at in 0..text.len() {
        for byte in 0..=u8::MAX {
            let mut mutated = text.as_bytes().to_vec();
            mutated[at] = byte;
            if mutated != text.as_bytes() {
                assert_ne!(
                    Json::parse(&mutated),
                    Ok(value.clone()),
                    "byte {at} to {byte}"
                );
            }
        }
        assert!(Json::parse(&text.as_bytes()[..at]).is_err(), "cut at {at}");
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-INTEGER_MAX..=INTEGER_MAX).prop_map(Json::Integer),
        any::<String>().prop_map(Json::Text),
        "[\\x00-\\x1f\"\\\\/é]{0,8}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let fields = proptest::collection::btree_map("[a-z][a-z0-9_]{0,5}", inner.clone(), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Json::Array),
            fields.prop_map(|fields| Json::Object(fields.into_iter().rev().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_reads_back_and_serde_json_reads_the_same(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(Json::parse(text.as_bytes()), Ok(value.clone()));
        let second: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&second).unwrap();
        let again = Json::parse_free(pretty.as_bytes()).unwrap();
        let third: serde_json::Value = serde_json::from_str(&again.to_string()).unwrap();
        prop_assert_eq!(second, third);
    }

    #[test]
    fn any_bytes_never_panic_and_accepted_ones_are_canonical(bytes in any::<Vec<u8>>()) {
        if let Ok(value) = Json::parse(&bytes) {
            prop_assert_eq!(value.to_string().into_bytes(), bytes);
        }
    }
}
