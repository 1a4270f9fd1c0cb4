//! Goal: one key has one form and one name, and no signature is taken for another. Method: RFC
//! vectors, every low-order and non-canonical point, golden bytes from fixed seeds.

use super::super::header::{ContentType, Family};
use super::super::hex::{hex, unhex};
use super::super::id::{EntryId, StatementId};
use super::*;
use crate::time::UnixSeconds;

fn point(text: &str) -> [u8; 32] {
    unhex(text).try_into().unwrap()
}

/// RFC 8032 7.1, test 1.
#[test]
fn signs_as_in_rfc_8032() {
    let seed = point("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SigningKey::from_seed(&seed);
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(hex(key.public_key().as_bytes()), public);
    let signature = key.sign(b"").unwrap();
    assert_eq!(
        hex(signature.as_bytes()),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555\
         fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    );
    assert_eq!(key.public_key().verify(b"", &signature), Ok(()));
    let error = key.public_key().verify(b"x", &signature).unwrap_err();
    assert_eq!(error.reason(), Reason::WrongSignature);
}

#[test]
fn thumbprint_is_the_hash_of_the_required_cose_parameters() {
    let key = SigningKey::from_seed(&[1; 32]).public_key();
    let mut input = vec![0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20];
    input.extend_from_slice(key.as_bytes());
    assert_eq!(
        key.thumbprint().as_bytes(),
        &<[u8; 32]>::from(Sha256::digest(input))
    );
    // The kid of the reference statement, made by an independent implementation.
    assert_eq!(
        hex(key.thumbprint().as_bytes()),
        "dd2fb4e18b5e1ce30c4633aaa5f681da79c3b32998cc5aa21b1149c37231a6ac"
    );
    let text = key.thumbprint().to_string();
    assert_eq!(Thumbprint::parse(&text), Ok(key.thumbprint()));
    assert_eq!(
        Thumbprint::parse(&format!("{text}=")),
        Err(KeyError::ThumbprintText)
    );
}

/// RFC 9679 6, an EC2 key: the construction that ours follows with the parameters of OKP keys.
#[test]
fn thumbprint_construction_gives_the_published_vector() {
    let x = point("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d");
    let y = point("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c");
    let mut key = MapEncoder::new();
    for (parameter, coordinate) in [(-3, y), (-2, x)] {
        key.entry(parameter, |value| {
            value.bytes(&coordinate);
        });
    }
    for (parameter, number) in [(-1, 1), (1, 2)] {
        key.entry(parameter, |value| {
            value.uint(number);
        });
    }
    let thumbprint = Sha256::digest(Encoder::new().map(key).finish());
    assert_eq!(
        hex(&thumbprint),
        "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
    );
}

/// All eight points of small order, canonical and not, and points with `y` not below the prime.
#[test]
fn refuses_weak_and_non_canonical_points() {
    let small_order = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for bytes in small_order {
        assert_eq!(
            PublicKey::from_bytes(&point(bytes)),
            Err(KeyError::Weak),
            "{bytes}"
        );
    }
    // y = p, p + 1 and p + 3 in place of 0, 1 and 3; and the zero x with a sign.
    for bytes in [
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let error = PublicKey::from_bytes(&point(bytes)).unwrap_err();
        assert!(
            matches!(error, KeyError::NotCanonical | KeyError::NotAPoint),
            "{bytes}: {error}"
        );
        assert_eq!(error.reason(), Reason::InvalidKey);
    }
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    assert_eq!(PublicKey::from_bytes(&off_curve), Err(KeyError::NotAPoint));
}

#[test]
fn cose_key_has_one_form() {
    let key = SigningKey::from_seed(&[1; 32]).public_key();
    let bytes = key.to_cose_key();
    let golden = format!(
        "a50101025820{}0327200621 5820{}",
        hex(key.thumbprint().as_bytes()),
        hex(key.as_bytes())
    );
    assert_eq!(hex(&bytes), golden.replace(' ', ""));
    assert_eq!(PublicKey::from_cose_key(&bytes), Ok(key));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut mutated = bytes.clone();
            mutated[at] ^= 1 << bit;
            assert!(
                PublicKey::from_cose_key(&mutated).is_err(),
                "byte {at} bit {bit}"
            );
        }
    }
}

#[test]
fn seed_file_reads_back_and_secrets_are_never_printed() {
    let key = SigningKey::from_seed(&[7; 32]);
    let text = key.to_seed_file();
    let encoded = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_eq!(
        text.as_str(),
        format!("aimslog-ed25519-seed/v1 {encoded}\n")
    );
    for good in [text.as_str(), text.trim_end()] {
        let again = SigningKey::parse_seed_file(good).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }
    for bad in [
        "",
        "aimslog-ed25519-seed/v1",
        "aimslog-ed25519-seed/v2 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "aimslog-ed25519-seed/v1  BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "aimslog-ed25519-seed/v1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        "aimslog-ed25519-seed/v1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=",
        "aimslog-ed25519-seed/v1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n",
        "aimslog-ed25519-seed/v1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw==",
    ] {
        let error = SigningKey::parse_seed_file(bad).unwrap_err();
        assert_eq!(error, KeyError::SeedFile, "{bad}");
        assert!(!format!("{error:?} {error}").contains("BwcH"));
    }
    let shown = format!("{key:?}");
    assert!(!shown.contains("BwcH") && !shown.contains("07"), "{shown}");
}

#[test]
fn possession_counts_for_one_ledger_subject_and_key() {
    let key = SigningKey::from_seed(&[1; 32]);
    let other = SigningKey::from_seed(&[2; 32]);
    let possession = Possession {
        service: "ledger.example/a",
        subject: "urn:aimslog:ledger.example/a:org/o",
    };
    let proof = key.prove_possession(&possession).unwrap();
    let public = key.public_key();
    assert_eq!(public.verify_possession(&possession, &proof), Ok(()));
    let mut message =
        b"aimslog-pop/v1\nledger.example/a\nurn:aimslog:ledger.example/a:org/o\n".to_vec();
    message.extend_from_slice(public.thumbprint().as_bytes());
    assert_eq!(public.verify(&message, &proof), Ok(()));

    let wrong = Err(KeyError::WrongSignature {
        key: public.thumbprint(),
    });
    for bad in [
        Possession {
            service: "ledger.example/b",
            ..possession
        },
        Possession {
            subject: "urn:aimslog:ledger.example/a:org/p",
            ..possession
        },
    ] {
        assert_eq!(public.verify_possession(&bad, &proof), wrong);
    }
    assert!(
        other
            .public_key()
            .verify_possession(&possession, &proof)
            .is_err()
    );
    let shifted = Possession {
        service: "ledger.example/a\nx",
        ..possession
    };
    let error = KeyError::ControlCharacter { field: "service" };
    assert_eq!(public.verify_possession(&shifted, &proof), Err(error));
    assert!(key.prove_possession(&shifted).is_err());
}

#[test]
fn approval_is_over_the_labelled_digest_of_one_statement() {
    let key = SigningKey::from_seed(&[3; 32]);
    let genesis = ContentType::new(Family::Ledger, "genesis", 1).unwrap();
    let keys = ContentType::new(Family::Ledger, "keys", 1).unwrap();
    let approved = Approved {
        audience: "ledger.example/a",
        content_type: &genesis,
        id: StatementId::from_bytes([9; 16]),
        expires: None,
        payload: b"payload",
    };
    let digest = ApprovalDigest::of(&approved);
    let approval = key.approve(&digest).unwrap();
    let public = key.public_key();
    assert_eq!(public.verify_approval(&digest, &approval), Ok(()));
    let array = [
        b"\x86\x73aimslog-approval/v2".as_slice(),
        b"\x70ledger.example/a",
        b"\x78\x2eapplication/vnd.aimslog.ledger.genesis.v1+cbor",
        &[0x50; 1],
        &[9; 16],
        b"\xf6",
        b"\x47payload",
    ];
    let message = [
        b"aimslog-approval/v2\n".as_slice(),
        &Sha256::digest(array.concat()),
    ]
    .concat();
    assert_eq!(public.verify(&message, &approval), Ok(()));
    for other in [
        Approved {
            audience: "ledger.example/b",
            ..approved
        },
        Approved {
            content_type: &keys,
            ..approved
        },
        Approved {
            id: StatementId::from_bytes([8; 16]),
            ..approved
        },
        Approved {
            expires: Some(UnixSeconds(0)),
            ..approved
        },
        Approved {
            payload: b"other",
            ..approved
        },
    ] {
        let digest = ApprovalDigest::of(&other);
        assert!(
            public.verify_approval(&digest, &approval).is_err(),
            "{other:?}"
        );
    }
}

#[test]
fn statement_id_depends_on_key_kind_subject_record_and_previous_version() {
    let key = SigningKey::from_seed(&[1; 32]);
    let (one, two) = (EntryId::from_bytes([1; 32]), EntryId::from_bytes([2; 32]));
    let record = RecordIdentity {
        kind: "finding.v1",
        subject: "urn:aimslog:o:system:s",
        record: b"{\"a\":1}",
        previous: None,
    };
    let id = key.derive_statement_id(&record).unwrap();
    assert_eq!(key.derive_statement_id(&record).unwrap(), id);
    assert_eq!(hex(id.as_bytes()), "53991e8ed3219c185c52afd5108a4d14");
    let differing = [
        RecordIdentity {
            kind: "finding.v2",
            ..record
        },
        RecordIdentity {
            subject: "urn:aimslog:o:system:t",
            ..record
        },
        RecordIdentity {
            record: b"{\"a\":2}",
            ..record
        },
        RecordIdentity {
            previous: Some(&one),
            ..record
        },
        RecordIdentity {
            previous: Some(&two),
            ..record
        },
    ];
    let mut ids = vec![id];
    for other in differing {
        let other = key.derive_statement_id(&other).unwrap();
        assert!(!ids.contains(&other));
        ids.push(other);
    }
    assert_ne!(
        SigningKey::from_seed(&[2; 32])
            .derive_statement_id(&record)
            .unwrap(),
        id
    );
    let shifted = RecordIdentity {
        kind: "finding.v1\0",
        ..record
    };
    let error = key.derive_statement_id(&shifted).unwrap_err();
    assert!(
        matches!(
            error,
            SignerError::Key(KeyError::ControlCharacter { field: "kind" })
        ),
        "{error:?}"
    );
}
