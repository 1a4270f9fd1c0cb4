//! Goal: each header has one form, and a wrong one is refused with everything that is wrong.
//! Method: golden bytes, a table with one broken rule per row, each byte mutated, random headers.

use proptest::prelude::*;

use super::super::cbor::{Encoder, MapEncoder};
use super::super::hex::hex;
use super::super::key::SigningKey;
use super::*;
use crate::limits::HEADER_LIST_MAX;
use crate::reason::Reason;

/// A header with every claim.
pub(in crate::statement) fn full() -> Header {
    let entry = |byte| EntryId::from_bytes([byte; 32]);
    Header {
        algorithm: Algorithm::EdDsa,
        content_type: ContentType::new(Family::Evidence, "oversight_decision", 1).unwrap(),
        key: SigningKey::from_seed(&[1; 32]).public_key().thumbprint(),
        issuer: "https://ledger.example/aims1/o/acme".to_owned(),
        subject: "urn:aimslog:acme:system:sys-7f3a".to_owned(),
        audience: "ledger.example/aims1".to_owned(),
        expires: Some(UnixSeconds(1_795_996_800)),
        issued: UnixSeconds(1_795_392_000),
        id: StatementId::from_bytes([0xaa; 16]),
        rules: Some([0x0a; 32]),
        catalogues: vec![CatalogRef {
            scheme: "acme-controls".to_owned(),
            digest: [0x0b; 32],
        }],
        revision: Some(Revision {
            entity: entry(1),
            previous: entry(2),
            change: Change::Correct,
        }),
        transition: Some("closed".to_owned()),
        links: vec![
            Link {
                relation: "finding".to_owned(),
                target: entry(3),
                origin: None,
            },
            Link {
                relation: "nonconformity".to_owned(),
                target: entry(4),
                origin: Some("other.example/log".to_owned()),
            },
        ],
        origin: Some(Origin::AiAgent),
        on_behalf_of: Some("p-113".to_owned()),
        controls: vec![ControlRef {
            scheme: "iso42001-2023".to_owned(),
            id: "A.9.2".to_owned(),
        }],
    }
}

/// A first version with the claims that evidence must have, and no others.
pub(in crate::statement) fn least() -> Header {
    Header {
        expires: None,
        catalogues: Vec::new(),
        revision: None,
        transition: None,
        links: Vec::new(),
        origin: Some(Origin::Person),
        on_behalf_of: None,
        controls: Vec::new(),
        ..full()
    }
}

fn reasons(bytes: &[u8]) -> Vec<(Reason, String)> {
    let violations = Header::decode(bytes).unwrap_err().into_vec();
    violations
        .into_iter()
        .map(|violation| (violation.reason, violation.field))
        .collect()
}

#[test]
fn least_header_has_golden_bytes() {
    let kid = hex(least().key.as_bytes());
    let text = |text: &str| hex(text.as_bytes());
    let expected = [
        "a5",
        "01 27",
        "03 7832",
        &text("application/vnd.aimslog.oversight_decision.v1+json"),
        "04 5820",
        &kid,
        "0f a7",
        "01 7823",
        &text("https://ledger.example/aims1/o/acme"),
        "02 7820",
        &text("urn:aimslog:acme:system:sys-7f3a"),
        "03 74",
        &text("ledger.example/aims1"),
        "06 1a6b038200",
        "07 50",
        &"aa".repeat(16),
        "3a00011179 5820",
        &"0a".repeat(32),
        "3a00011180 00",
        "10 7826",
        &text("application/vnd.aimslog.statement+cose"),
    ];
    let expected: String = expected.concat().split(' ').collect();
    let header = Header {
        issued: UnixSeconds(0x6b03_8200),
        ..least()
    };
    assert_eq!(hex(&header.encode().unwrap()), expected);
}

#[test]
fn headers_read_back() {
    let ledger = Header {
        content_type: ContentType::new(Family::Ledger, "genesis", 1).unwrap(),
        rules: None,
        origin: None,
        ..least()
    };
    for header in [full(), least(), ledger] {
        let bytes = header.encode().unwrap();
        assert_eq!(Header::decode(&bytes), Ok(header));
        cbor_is_deterministic(&bytes);
    }
}

fn cbor_is_deterministic(bytes: &[u8]) {
    let value: ciborium_value::Value = ciborium_value::read(bytes);
    assert_eq!(ciborium_value::write(&value), bytes);
}

/// The CBOR reader under `coset`, as a second reader of our bytes.
mod ciborium_value {
    pub(super) use coset::cbor::value::Value;

    pub(super) fn read(bytes: &[u8]) -> Value {
        coset::cbor::de::from_reader(bytes).unwrap()
    }

    pub(super) fn write(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        coset::cbor::ser::into_writer(value, &mut bytes).unwrap();
        bytes
    }
}

fn link(relation: &str) -> Link {
    Link {
        relation: relation.to_owned(),
        target: EntryId::from_bytes([9; 32]),
        origin: None,
    }
}

/// The field that is named, and the change that breaks its rule.
type Row = (&'static str, fn(&mut Header));

/// Each row breaks one rule of the full header, and that field alone is named.
fn names(rows: &[Row]) {
    for (field, change) in rows {
        let mut header = full();
        change(&mut header);
        let violations = header.encode().unwrap_err().into_vec();
        let fields: Vec<&str> = violations.iter().map(|found| &*found.field).collect();
        assert_eq!(fields, [*field]);
    }
}

#[test]
fn names_the_text_or_time_that_breaks_a_rule() {
    names(&[
        ("header.iss", |header| header.issuer.clear()),
        ("header.iss", |header| header.issuer = "http://a".to_owned()),
        ("header.iss", |header| {
            header.issuer = "https://a b".to_owned();
        }),
        ("header.iss", |header| header.issuer += &"x".repeat(512)),
        ("header.sub", |header| {
            header.subject = "urn:aimslog:".to_owned();
        }),
        ("header.sub", |header| header.subject.push('\u{e9}')),
        ("header.aud", |header| header.audience.clear()),
        ("header.aud", |header| header.audience = "a+b".to_owned()),
        ("header.aud", |header| header.audience = "x".repeat(256)),
        ("header.exp", |header| header.expires = Some(header.issued)),
        ("header.exp", |header| {
            header.expires = Some(UnixSeconds(u64::MAX));
        }),
        ("header.transition", |header| {
            header.transition = Some("Closed".to_owned());
        }),
        ("header.on_behalf_of", |header| {
            header.on_behalf_of = Some("p 1".to_owned());
        }),
    ]);
    let issued = UnixSeconds(u64::MAX);
    let header = Header {
        issued,
        expires: None,
        ..full()
    };
    assert_eq!(
        header.encode().unwrap_err().as_slice()[0].field,
        "header.iat"
    );
}

#[test]
fn names_the_list_that_breaks_a_rule_and_what_evidence_lacks() {
    names(&[
        ("header.rules", |header| header.rules = None),
        ("header.origin", |header| header.origin = None),
        ("header.links", |header| {
            header.links = vec![link("finding"); 2];
        }),
        ("header.links", |header| header.links = vec![link("")]),
        ("header.links", |header| {
            header.links = (0..33).map(|number| link(&format!("r{number}"))).collect();
        }),
        ("header.links", |header| {
            header.links[1].origin = Some(String::new());
        }),
        ("header.controls", |header| {
            header.controls[0].id = "a b".to_owned();
        }),
        ("header.controls", |header| {
            header.controls[0].scheme.clear();
        }),
        ("header.catalogues", |header| {
            header.catalogues[0].scheme = "x".repeat(65);
        }),
    ]);
}

/// The least header as maps of encoded entries, to be broken.
fn raw(change: impl FnOnce(&mut Vec<(i64, Vec<u8>)>, &mut Vec<(i64, Vec<u8>)>)) -> Vec<u8> {
    let header = least();
    let bytes = header.encode().unwrap();
    let item = super::super::cbor::parse(&bytes).unwrap();
    let entries = |item: &super::super::cbor::Item<'_>| -> Vec<(i64, Vec<u8>)> {
        let entries = item.map("").unwrap().iter();
        entries
            .map(|(key, value)| (key.as_int().unwrap(), value.bytes.to_vec()))
            .collect()
    };
    let claims = item
        .fields("")
        .unwrap()
        .required(15, "claims")
        .unwrap()
        .clone();
    let (mut outer, mut inner) = (entries(&item), entries(&claims));
    change(&mut outer, &mut inner);
    let encode = |entries: &[(i64, Vec<u8>)]| {
        let mut map = MapEncoder::new();
        for (key, value) in entries {
            map.entry(*key, |encoder| {
                encoder.raw(value);
            });
        }
        Encoder::new().map(map).finish()
    };
    if let Some((_, value)) = outer
        .iter_mut()
        .find(|(key, value)| *key == 15 && value[0] >= 0xa0)
    {
        *value = encode(&inner);
    }
    encode(&outer)
}

#[test]
fn names_all_missing_and_unknown_parameters_at_once() {
    let missing = |field: &str| (Reason::MissingHeader, field.to_owned());
    let unknown = |field: &str| (Reason::UnknownHeader, field.to_owned());

    let none = Encoder::new().map(MapEncoder::new()).finish();
    let expected = [
        "header.alg",
        "header.content_type",
        "header.kid",
        "header.typ",
        "header.claims",
    ];
    assert_eq!(reasons(&none), expected.map(missing));

    let broken = raw(|outer, claims| {
        outer.retain(|(key, _)| *key != 4);
        outer.push((2, vec![0x81, 0x0f]));
        outer.push((33, vec![0x40]));
        claims.clear();
        claims.push((5, vec![0x00]));
        claims.push((-70_020, vec![0x00]));
        claims.push((-70_013, [vec![0x58, 0x20], vec![0; 32]].concat()));
    });
    let expected = [
        unknown("header.label 2"),
        unknown("header.label 33"),
        missing("header.kid"),
        unknown("header.claim 5"),
        unknown("header.claim -70020"),
        missing("header.iss"),
        missing("header.sub"),
        missing("header.aud"),
        missing("header.iat"),
        missing("header.cti"),
        missing("header.rules"),
        missing("header.origin"),
        missing("header.entity"),
        missing("header.change"),
    ];
    assert_eq!(reasons(&broken), expected);
}

#[test]
fn refuses_wrong_types_and_values() {
    let rows: [(i64, i64, &[u8], Reason, &str); 14] = [
        (1, 0, &[0x26], Reason::UnknownAlgorithm, "header.alg"),
        (
            1,
            0,
            &[0x67, b'E', b'd', b'2', b'5', b'5', b'1', b'9'],
            Reason::UnknownAlgorithm,
            "header.alg",
        ),
        (
            3,
            0,
            &[0x18, 0x32],
            Reason::InvalidHeader,
            "header.content_type",
        ),
        (4, 0, &[0x41, 0x00], Reason::InvalidHeader, "header.kid"),
        (15, 0, &[0x80], Reason::InvalidHeader, "header.claims"),
        (16, 0, &[0x61, 0x61], Reason::InvalidHeader, "header.typ"),
        (15, 1, &[0x41, 0x61], Reason::InvalidHeader, "header.iss"),
        (15, 6, &[0x20], Reason::InvalidHeader, "header.iat"),
        (15, 6, &[0x61, 0x31], Reason::InvalidHeader, "header.iat"),
        (15, 7, &[0x41, 0x00], Reason::InvalidHeader, "header.cti"),
        (
            15,
            -70_010,
            &[0x41, 0x00],
            Reason::InvalidHeader,
            "header.rules",
        ),
        (15, -70_017, &[0x03], Reason::InvalidHeader, "header.origin"),
        (15, -70_016, &[0x80], Reason::InvalidHeader, "header.links"),
        (
            15,
            -70_019,
            &[0x81, 0x81, 0x61, 0x61],
            Reason::InvalidHeader,
            "header.controls",
        ),
    ];
    for (label, claim, value, reason, field) in rows {
        let broken = raw(|outer, claims| {
            let (map, key) = if claim == 0 {
                (outer, label)
            } else {
                (claims, claim)
            };
            map.retain(|(found, _)| *found != key);
            map.push((key, value.to_vec()));
        });
        assert_eq!(
            reasons(&broken),
            [(reason, field.to_owned())],
            "{label} {claim}"
        );
    }
}

#[test]
fn refuses_malformed_cbor_and_other_order() {
    let bytes = full().encode().unwrap();
    assert_eq!(reasons(&bytes[1..])[0].0, Reason::CborMalformed);
    let unsorted = [0xa2, 0x03, 0x00, 0x01, 0x27];
    assert_eq!(
        reasons(&unsorted),
        [(Reason::CborNotCanonical, "header".to_owned())]
    );
    assert_eq!(
        reasons(&[0x80]),
        [(Reason::InvalidHeader, "header".to_owned())]
    );
}

#[test]
fn every_changed_byte_gives_another_header_or_none() {
    let header = full();
    let bytes = header.encode().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut mutated = bytes.clone();
            mutated[at] ^= 1 << bit;
            if let Ok(other) = Header::decode(&mutated) {
                assert_ne!(other, header, "byte {at} bit {bit}");
                assert_eq!(other.encode(), Ok(mutated), "byte {at} bit {bit}");
            }
        }
        assert!(Header::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

fn any_link() -> impl Strategy<Value = Link> {
    (
        "[a-z0-9][a-z0-9._-]{0,20}",
        any::<[u8; 32]>(),
        proptest::option::of("[!-*,-~]{1,40}"),
    )
        .prop_map(|(relation, target, origin)| Link {
            relation,
            target: EntryId::from_bytes(target),
            origin,
        })
}

proptest! {
    #[test]
    fn any_valid_header_reads_back(
        links in proptest::collection::btree_set(any_link(), 0..=HEADER_LIST_MAX),
        audience in "[!-*,-~]{1,255}",
        issued in 0_u64..253_402_300_799,
        transition in proptest::option::of("[a-z0-9][a-z0-9._-]{0,63}"),
        id in any::<[u8; 16]>(),
    ) {
        let header = Header {
            links: links.into_iter().collect(),
            audience,
            issued: UnixSeconds(issued),
            expires: Some(UnixSeconds(issued + 1)),
            transition,
            id: StatementId::from_bytes(id),
            ..full()
        };
        let bytes = header.encode().unwrap();
        prop_assert_eq!(Header::decode(&bytes), Ok(header));
    }

    #[test]
    fn any_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), Ok(bytes));
        }
    }
}
