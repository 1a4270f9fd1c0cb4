//! Goal: one entry per statement, and no changed bit verifies. Method: the reference bytes of the
//! shape, golden bytes from a fixed seed, each byte mutated, `coset` in both directions.

use coset::TaggedCborSerializable as _;

use super::super::header::tests::{full, least};
use super::super::hex::{hex, unhex};
use super::super::key::SigningKey;
use super::*;
use crate::reason::Reason;
use zeroize::Zeroizing;

/// A statement of this shape made with other software, with its leaf hash and entry id.
const REFERENCE: &str = "\
    d28458f5a501270378326170706c69636174696f6e2f766e642e61696d736c6f672e6f76657273696768742d646563\
    6973696f6e2e76312b63626f72045820dd2fb4e18b5e1ce30c4633aaa5f681da79c3b32998cc5aa21b1149c37231a6\
    ac0fa401782568747470733a2f2f6f72672e6578616d706c652f61696d732f7375626d69747465722f636902782c75\
    726e3a61696d736c6f673a6f72672e6578616d706c653a73797374656d3a6372656469742d73636f726572061a6b03\
    82000750aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1078266170706c69636174696f6e2f766e642e61696d736c6f672e\
    73746174656d656e742b636f7365a0582684012f58204813494d137e1631bba301d5acab6e7bb7aa74ce1185d45656\
    5ef51d737677b20c584075241cd38c23c219694cd63f4ba9ab521f27604a78b4183caa64d32419498ed5f6d2792eef\
    eaceb7d8ddd79785d10f7fa030c9a43a96eae82f70e068a4fe9505";

fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn commitment() -> Vec<u8> {
    Commitment::build(&[LeafHash::of(b"a"), LeafHash::of(b"b")])
        .unwrap()
        .encode()
}

fn statement() -> Statement {
    sign(&least(), &commitment(), &signing_key()).unwrap()
}

/// An entry from parts: items that are encoded already.
fn assemble(items: [&[u8]; 4]) -> Vec<u8> {
    [ENTRY_PREFIX.as_slice(), &items.concat()].concat()
}

fn byte_string(bytes: &[u8]) -> Vec<u8> {
    Encoder::new().bytes(bytes).finish()
}

fn reason(error: &StatementError) -> Reason {
    error.violations()[0].reason
}

#[test]
fn reference_statement_has_its_hashes_and_its_signature() {
    let entry = unhex(REFERENCE);
    assert_eq!(entry.len(), 356);
    assert_eq!(
        hex(LeafHash::of(&entry).as_bytes()),
        "d7e5be49e7764f38d90f9da5461bf98f85e8724fc7e3f04bcb613c397f2a15f6"
    );
    assert_eq!(
        EntryId::of(&entry).to_string(),
        "g4smH-6GJ-bf4ndTujjTydNYc-oIsPumX2Pk3C1s1i8"
    );

    let item = cbor::parse_cose_sign1(&entry, KeyOrder::Sorted).unwrap();
    let [protected, unprotected, payload, signature] = item.tuple("statement").unwrap();
    assert_eq!(unprotected.bytes, [EMPTY_MAP]);
    let protected = protected.byte_string("protected").unwrap();
    cbor::parse(protected).unwrap();
    let payload = payload.byte_string("payload").unwrap();
    assert_eq!(Commitment::parse(payload).unwrap().count().number(), 12);
    let signature = Signature(signature.byte_array("signature").unwrap());
    let signed = sig_structure(protected, payload);
    assert_eq!(
        signing_key().public_key().verify(&signed, &signature),
        Ok(())
    );
    // Its header predates the profile: content type, audience and rules.
    assert!(matches!(
        UnverifiedStatement::parse(&entry),
        Err(StatementError::Header(_))
    ));
}

#[test]
fn signed_statement_has_golden_bytes_and_reads_back() {
    let statement = statement();
    let protected = least().encode().unwrap();
    let signature = signing_key()
        .sign(&sig_structure(&protected, &commitment()))
        .unwrap();
    let expected = assemble([
        &byte_string(&protected),
        &[EMPTY_MAP],
        &byte_string(&commitment()),
        &byte_string(signature.as_bytes()),
    ]);
    assert_eq!(hex(statement.bytes()), hex(&expected));
    assert_eq!(statement.entry_id(), EntryId::of(&expected));
    assert_eq!(statement.leaf_hash(), LeafHash::of(&expected));
    assert_eq!(statement.commitment().unwrap().count().number(), 2);
    assert_eq!(statement.payload(), commitment());
    assert_eq!(statement.key(), &signing_key().public_key());

    let unverified = UnverifiedStatement::parse(&expected).unwrap();
    assert_eq!(unverified.protected_bytes(), protected);
    assert_eq!(unverified.header(), &least());
    assert_eq!(
        unverified.clone().verify(statement.key()),
        Ok(statement.clone())
    );
    assert_eq!(statement.into_unverified(), unverified);
}

/// The id was computed by a second implementation, written from the formats alone.
#[test]
fn golden_entry_id_of_a_full_statement() {
    let statement = sign(&full(), &commitment(), &signing_key()).unwrap();
    assert_eq!(
        statement.entry_id().to_string(),
        "4JqUUP3Dm2YxZhZnU3mzDGZhRkzt3vERlJC1CQG9tqM"
    );
    assert!(
        (400..=1200).contains(&statement.bytes().len()),
        "{}",
        statement.bytes().len()
    );
}

#[test]
fn ledger_record_has_any_deterministic_payload() {
    let header = Header {
        content_type: ContentType::new(Family::Ledger, "policy", 1).unwrap(),
        ..least()
    };
    let statement = sign(&header, &[0xa1, 0x01, 0x02], &signing_key()).unwrap();
    assert_eq!(
        (statement.commitment(), statement.payload()),
        (None, &[0xa1, 0x01, 0x02][..])
    );
    let error = sign(&header, &[0xa1, 0x18, 0x01, 0x02], &signing_key()).unwrap_err();
    let SignError::Statement(error) = error else {
        panic!("{error}")
    };
    assert_eq!(reason(&error), Reason::CborNotCanonical);
}

#[test]
fn submitted_unprotected_header_is_dropped() {
    let entry = statement().bytes().to_vec();
    let plain = UnverifiedStatement::parse(&entry).unwrap();
    let item = cbor::parse_cose_sign1(&entry, KeyOrder::Sorted).unwrap();
    let [protected, _, payload, signature] = item.tuple("").unwrap();
    // A receipt and a certificate chain, in any order of keys.
    for unprotected in ["a0", "a1 19018a 81 4100", "a2 19018a 81 4100 1821 4101"] {
        let unprotected = unhex(unprotected);
        let sent = assemble([
            protected.bytes,
            &unprotected,
            payload.bytes,
            signature.bytes,
        ]);
        let submitted = UnverifiedStatement::parse_submitted(&sent).unwrap();
        assert_eq!(submitted, plain);
        assert_eq!(submitted.bytes(), entry);
        let strict = UnverifiedStatement::parse(&sent);
        assert_eq!(strict.is_ok(), unprotected == [EMPTY_MAP]);
    }
}

#[test]
fn refuses_each_malformed_part_by_its_reason() {
    let entry = statement().bytes().to_vec();
    let item = cbor::parse_cose_sign1(&entry, KeyOrder::Sorted).unwrap();
    let [protected, unprotected, payload, signature] =
        item.tuple("").unwrap().each_ref().map(|item| item.bytes);
    let untagged = &entry[1..];
    let other_tag = [&[0xd1], untagged].concat();
    let long_tag = [&[0xd8, 0x12], untagged].concat();
    let trailing = [&entry[..], &[0x00]].concat();
    let three = [&[0xd2, 0x83], protected, unprotected, payload].concat();
    let short_signature = byte_string(&[0; 63]);
    let large = byte_string(&vec![0; FOREIGN_STATEMENT_BYTES_MAX]);
    for (name, bytes, expected) in [
        ("empty", Vec::new(), Reason::CborMalformed),
        ("untagged", untagged.to_vec(), Reason::WrongTag),
        ("other tag", other_tag, Reason::WrongTag),
        ("long tag", long_tag, Reason::CborNotCanonical),
        ("trailing byte", trailing, Reason::CborMalformed),
        ("three items", three, Reason::CborMalformed),
        (
            "text payload",
            assemble([protected, unprotected, &[0x60], signature]),
            Reason::CborMalformed,
        ),
        (
            "detached",
            assemble([protected, unprotected, &[0xf6], signature]),
            Reason::DetachedPayload,
        ),
        (
            "undefined",
            assemble([protected, unprotected, &[0xf7], signature]),
            Reason::CborNotCanonical,
        ),
        (
            "empty payload",
            assemble([protected, unprotected, &[0x40], signature]),
            Reason::CborMalformed,
        ),
        (
            "unprotected array",
            assemble([protected, &[0x80], payload, signature]),
            Reason::CborMalformed,
        ),
        (
            "no header",
            assemble([&[0x40], unprotected, payload, signature]),
            Reason::CborMalformed,
        ),
        (
            "short signature",
            assemble([protected, unprotected, payload, &short_signature]),
            Reason::WrongSignature,
        ),
        (
            "too large",
            assemble([protected, unprotected, &large, signature]),
            Reason::StatementTooLarge,
        ),
    ] {
        let error = UnverifiedStatement::parse_submitted(&bytes).unwrap_err();
        assert_eq!(reason(&error), expected, "{name}: {error:?}");
        assert!(UnverifiedStatement::parse(&bytes).is_err(), "{name}");
    }
}

#[test]
fn accepts_the_other_algorithm_only_where_asked() {
    let header = Header {
        algorithm: Algorithm::Ed25519,
        ..least()
    };
    let statement = sign(&header, &commitment(), &signing_key()).unwrap();
    let error = UnverifiedStatement::parse(statement.bytes()).unwrap_err();
    assert_eq!(error, StatementError::AlgorithmNotAccepted { id: -19 });
    let both = [Algorithm::EdDsa, Algorithm::Ed25519];
    let accepted = UnverifiedStatement::parse_accepting(statement.bytes(), &both).unwrap();
    assert!(accepted.verify(statement.key()).is_ok());
}

#[test]
fn verifies_under_the_named_key_alone() {
    let other = SigningKey::from_seed(&[2; 32]);
    let unverified = statement().into_unverified();
    let error = unverified.verify(&other.public_key()).unwrap_err();
    assert_eq!(reason(&error), Reason::UnknownKey);
    let error = sign(&least(), &commitment(), &other).unwrap_err();
    assert!(matches!(
        error,
        SignError::Statement(StatementError::OtherKey { .. })
    ));

    // The right kid over the signature of another key.
    let forged = other
        .sign(&sig_structure(&least().encode().unwrap(), &commitment()))
        .unwrap();
    let mut entry = statement().bytes().to_vec();
    let at = entry.len() - 64;
    entry.splice(at.., *forged.as_bytes());
    let error = UnverifiedStatement::parse(&entry)
        .unwrap()
        .verify(&signing_key().public_key());
    assert_eq!(reason(&error.unwrap_err()), Reason::WrongSignature);
}

#[test]
fn no_changed_bit_verifies() {
    let key = signing_key().public_key();
    for entry in [
        statement(),
        sign(&full(), &commitment(), &signing_key()).unwrap(),
    ] {
        let entry = entry.bytes();
        for at in 0..entry.len() {
            for bit in 0..8 {
                let mut mutated = entry.to_vec();
                mutated[at] ^= 1 << bit;
                for parsed in [
                    UnverifiedStatement::parse(&mutated),
                    UnverifiedStatement::parse_submitted(&mutated),
                ] {
                    let verified = parsed.and_then(|statement| statement.verify(&key));
                    assert!(verified.is_err(), "byte {at} bit {bit}");
                }
            }
            assert!(
                UnverifiedStatement::parse(&entry[..at]).is_err(),
                "cut at {at}"
            );
        }
    }
}

#[test]
fn coset_verifies_what_we_sign() {
    let statement = sign(&full(), &commitment(), &signing_key()).unwrap();
    let theirs = coset::CoseSign1::from_tagged_slice(statement.bytes()).unwrap();
    let key = signing_key().public_key();
    theirs
        .verify_signature(b"", |signature, signed| {
            key.verify(signed, &Signature(signature.try_into().unwrap()))
        })
        .unwrap();
    assert_eq!(theirs.payload.as_deref(), Some(commitment().as_slice()));
    assert_eq!(theirs.protected.header.key_id, key.thumbprint().as_bytes());
    assert_eq!(theirs.to_tagged_vec().unwrap(), statement.bytes());
}

#[test]
fn we_verify_what_coset_signs() {
    use coset::cbor::value::Value;

    let wanted = least();
    let claims = vec![
        (1, Value::from(wanted.issuer.clone())),
        (2, Value::from(wanted.subject.clone())),
        (3, Value::from(wanted.audience.clone())),
        (6, Value::from(wanted.issued.0)),
        (7, Value::Bytes(wanted.id.as_bytes().to_vec())),
        (-70_010, Value::Bytes(wanted.rules.unwrap().to_vec())),
        (-70_017, Value::from(0)),
    ];
    let claims = claims
        .into_iter()
        .map(|(key, value)| (Value::from(key), value))
        .collect();
    let header = coset::HeaderBuilder::new()
        .algorithm(coset::iana::Algorithm::EdDSA)
        .content_type(wanted.content_type.to_string())
        .key_id(wanted.key.as_bytes().to_vec())
        .value(15, Value::Map(claims))
        .value(16, Value::from("application/vnd.aimslog.statement+cose"))
        .build();
    let theirs = coset::CoseSign1Builder::new()
        .protected(header)
        .payload(commitment())
        .create_signature(b"", |signed| {
            signing_key().sign(signed).unwrap().as_bytes().to_vec()
        })
        .build();
    let bytes = theirs.to_tagged_vec().unwrap();
    let parsed = UnverifiedStatement::parse(&bytes).unwrap();
    let verified = parsed.verify(&signing_key().public_key()).unwrap();
    assert_eq!(hex(verified.bytes()), hex(statement().bytes()));
}

#[test]
fn failing_signer_gives_no_statement() {
    #[derive(Debug)]
    struct Broken;

    impl Signer for Broken {
        fn public_key(&self) -> PublicKey {
            signing_key().public_key()
        }

        fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
            Ok(Signature([0; 64]))
        }

        fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
            signing_key().statement_id_secret()
        }
    }

    let error = sign(&least(), &commitment(), &Broken).unwrap_err();
    assert!(
        matches!(error, SignError::Statement(StatementError::Signature(_))),
        "{error:?}"
    );
}
