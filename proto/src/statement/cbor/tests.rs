//! Goal: exactly one form is accepted per value. Method: RFC 8949 appendix A forms, every other
//! form by name, every byte mutated, and random values there and back.

use super::super::hex::unhex as hex;
use super::*;
use crate::reason::Reason;

#[test]
fn reads_and_writes_the_integers_of_rfc_8949_appendix_a() {
    for (number, bytes) in [
        (0, "00"),
        (10, "0a"),
        (23, "17"),
        (24, "1818"),
        (100, "1864"),
        (1000, "1903e8"),
        (1_000_000, "1a000f4240"),
        (1_000_000_000_000, "1b000000e8d4a51000"),
        (-1, "20"),
        (-10, "29"),
        (-100, "3863"),
        (-1000, "3903e7"),
        (i64::MAX, "1b7fffffffffffffff"),
        (i64::MIN, "3b7fffffffffffffff"),
    ] {
        let bytes = hex(bytes);
        assert_eq!(Encoder::new().int(number).finish(), bytes, "{number}");
        assert_eq!(parse(&bytes).unwrap().int("n"), Ok(number), "{number}");
    }
    let largest = hex("1bffffffffffffffff");
    assert_eq!(Encoder::new().uint(u64::MAX).finish(), largest);
    assert_eq!(parse(&largest).unwrap().uint("n"), Ok(u64::MAX));
    assert_eq!(parse(&largest).unwrap().as_int(), None);
    assert_eq!(parse(&hex("3bffffffffffffffff")).unwrap().as_int(), None);
}

fn refuses(table: &[(&str, &str, CborError)]) {
    for (name, bytes, error) in table {
        assert_eq!(parse(&hex(bytes)).as_ref(), Err(error), "{name}");
    }
}

#[test]
fn refuses_bytes_that_are_not_one_item() {
    let truncated = |offset| CborError::Truncated { offset };
    let reserved = |head| CborError::Reserved { offset: 0, head };
    refuses(&[
        ("empty", "", truncated(0)),
        ("half a head", "19 01", truncated(1)),
        ("short text", "62 61", truncated(1)),
        ("huge length", "5b ffffffffffffffff", truncated(9)),
        ("huge array", "9b ffffffffffffffff", truncated(9)),
        ("key without value", "a1 01", truncated(2)),
        (
            "two items",
            "00 00",
            CborError::Trailing {
                offset: 1,
                count: 1,
            },
        ),
        ("break", "ff", reserved(0xff)),
        ("reserved 28", "1c", reserved(0x1c)),
        ("reserved tag head", "df", reserved(0xdf)),
        ("not utf-8", "61 ff", CborError::NotUtf8 { offset: 0 }),
        ("surrogate", "63 eda080", CborError::NotUtf8 { offset: 0 }),
    ]);
}

#[test]
fn refuses_every_form_but_the_shortest() {
    let long = CborError::NotShortest { offset: 0 };
    let indefinite = CborError::Indefinite { offset: 0 };
    refuses(&[
        ("0 in 1 byte", "18 00", long.clone()),
        ("23 in 1 byte", "18 17", long.clone()),
        ("255 in 2 bytes", "19 00ff", long.clone()),
        ("65535 in 4 bytes", "1a 0000ffff", long.clone()),
        ("2^32-1 in 8 bytes", "1b 00000000ffffffff", long.clone()),
        ("long length", "58 01 00", long.clone()),
        ("long tag", "d8 12 00", long),
        ("indefinite bytes", "5f 41 00 ff", indefinite.clone()),
        ("indefinite text", "7f 61 61 ff", indefinite.clone()),
        ("indefinite array", "9f ff", indefinite.clone()),
        ("indefinite map", "bf ff", indefinite),
    ]);
}

#[test]
fn refuses_tags_floats_simple_values_and_unsorted_keys() {
    let simple = |head| CborError::Simple { offset: 0, head };
    refuses(&[
        ("tag", "c1 00", CborError::Tag { offset: 0, tag: 1 }),
        (
            "nested tag 18",
            "81 d2 00",
            CborError::Tag { offset: 1, tag: 18 },
        ),
        ("undefined", "f7", simple(0xf7)),
        ("simple 16", "f0", simple(0xf0)),
        ("simple 255", "f8 ff", simple(0xf8)),
        ("half", "f9 3c00", simple(0xf9)),
        ("single", "fa 3f800000", simple(0xfa)),
        ("double", "fb 3ff0000000000000", simple(0xfb)),
        (
            "duplicate key",
            "a2 01 00 01 00",
            CborError::DuplicateKey { offset: 3 },
        ),
        (
            "unsorted",
            "a2 02 00 01 00",
            CborError::KeyOrder { offset: 3 },
        ),
        (
            "length first",
            "a2 20 00 1901f4 00",
            CborError::KeyOrder { offset: 3 },
        ),
    ]);
}

#[test]
fn any_order_still_refuses_duplicates_at_every_depth() {
    assert!(parse_with(&hex("a2 02 00 01 00"), KeyOrder::Any).is_ok());
    let nested = hex("a1 01 a3 02 00 01 00 02 00");
    let error = parse_with(&nested, KeyOrder::Any).unwrap_err();
    assert_eq!(error, CborError::DuplicateKey { offset: 7 });
    assert_eq!(error.reason(), Reason::CborNotCanonical);
}

#[test]
fn nests_to_the_limit_and_no_deeper() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    assert!(parse(&nested(CBOR_DEPTH_MAX)).is_ok());
    let error = parse(&nested(CBOR_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(
        error,
        CborError::TooDeep {
            offset: CBOR_DEPTH_MAX
        }
    );
    assert!(parse(&nested(1_000_000)).is_err());
}

#[test]
fn takes_the_outer_tag_18_alone() {
    assert!(parse_cose_sign1(&hex("d2 80"), KeyOrder::Sorted).is_ok());
    let error = |bytes: &str| parse_cose_sign1(&hex(bytes), KeyOrder::Sorted).unwrap_err();
    assert_eq!(error("d1 80"), CborError::Tag { offset: 0, tag: 17 });
    assert_eq!(error("d2 d2 80"), CborError::Tag { offset: 1, tag: 18 });
    assert!(matches!(
        error("80"),
        CborError::WrongType {
            expected: "tag 18",
            ..
        }
    ));
    assert_eq!(error("d8 12 80"), CborError::NotShortest { offset: 0 });
}

#[test]
fn map_is_written_in_the_order_of_encoded_keys() {
    let mut map = MapEncoder::new();
    for key in [-70_010, 256, -1, 24, 1] {
        map.entry(key, |value| {
            value.null();
        });
    }
    map.optional(3, None::<u64>, |value, number| {
        value.uint(number);
    });
    let bytes = Encoder::new().map(map).finish();
    assert_eq!(bytes, hex("a5 01f6 1818f6 190100f6 20f6 3a00011179f6"));
    parse(&bytes).unwrap();
}

#[test]
fn fields_name_what_is_missing_and_what_is_unknown() {
    let bytes = hex("a3 01 00 02 6161 6178 00");
    let item = parse(&bytes).unwrap();
    let mut fields = item.fields("genesis").unwrap();
    assert_eq!(
        fields.required(1, "version").unwrap().uint("version"),
        Ok(0)
    );
    assert!(fields.optional(7).is_none());
    let missing = fields.required(3, "origin").unwrap_err();
    assert_eq!(
        missing,
        CborError::MissingKey {
            field: "genesis.origin".to_owned(),
            key: 3
        }
    );
    let unknown = fields.finish().unwrap_err();
    assert_eq!(
        unknown,
        CborError::UnknownKey {
            offset: 3,
            key: "2".to_owned()
        }
    );

    let wrong = item.text("genesis").unwrap_err();
    assert!(matches!(
        wrong,
        CborError::WrongType {
            expected: "text string",
            found: "map",
            ..
        }
    ));
}
