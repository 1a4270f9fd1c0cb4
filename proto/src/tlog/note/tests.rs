use super::super::fixture::{log_key, log_vkey, mutations, node_vkey, origin};
use super::*;

/// The example of the signed-note specification.
const SPEC_VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The two signers of golang.org/x/mod `sumdb/note/note_test.go`.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TWO_SIGNERS: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n\
    \u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

fn note(text: &str) -> Note {
    Note::parse(text.as_bytes()).unwrap()
}

#[test]
fn verifies_the_example_of_the_specification() {
    let spec = note(SPEC_NOTE);
    assert_eq!(spec.text(), "This is an example message.\n");
    assert_eq!(spec.to_string(), SPEC_NOTE);
    let verified = spec.verify(&[key(SPEC_VKEY)]).unwrap();
    assert_eq!(verified.text(), spec.text());
    assert_eq!(
        verified.signed_by()[0].key.name().as_str(),
        "example.com/foo"
    );
    assert_eq!(key(SPEC_VKEY).to_string(), SPEC_VKEY);
}

#[test]
fn verifies_two_signers_together_and_alone() {
    let two = note(TWO_SIGNERS);
    assert_eq!(two.to_string(), TWO_SIGNERS);
    let signers = |keys: &[VerifierKey]| two.verify(keys).unwrap().signed_by().len();
    assert_eq!(signers(&[key(PETER), key(ENOCH)]), 2);
    assert_eq!(signers(&[key(ENOCH)]), 1);
    assert_eq!(two.verify(&[key(SPEC_VKEY)]), Err(NoteError::NoKnownKey));
    assert_eq!(two.verify(&[]), Err(NoteError::NoKnownKey));
}

#[test]
fn makes_the_golden_note() {
    let text = "one line\n\nand one behind an empty line\n";
    let mut signed = Note::new(text).unwrap();
    signed
        .add(sign(text, origin().key_name(), &log_key()))
        .unwrap();
    assert_eq!(signed.to_string(), include_str!("golden.note"));
    assert_eq!(note(&signed.to_string()), signed);
    assert!(signed.verify(&[log_vkey()]).is_ok());
    assert_eq!(
        format!("{}\n{}\n", log_vkey(), node_vkey(1)),
        include_str!("golden.vkeys")
    );
}

#[test]
fn known_key_that_fails_refuses_the_whole_note() {
    let wrong = TWO_SIGNERS.replace("rwz+eBzm", "rwz+eBzn");
    let refused = note(&wrong).verify(&[key(PETER), key(ENOCH)]);
    assert!(matches!(refused, Err(NoteError::WrongSignature { .. })));
    // Not looked at by somebody who does not know that key.
    assert!(note(&wrong).verify(&[key(PETER)]).is_ok());
}

#[test]
fn name_alone_or_id_alone_is_an_unknown_key() {
    let other_name = TWO_SIGNERS.replace("PeterNeumann", "PeterNeuman");
    assert_eq!(
        note(&other_name).verify(&[key(PETER)]),
        Err(NoteError::NoKnownKey)
    );
    let other_id = TWO_SIGNERS.replace("x08go/ZJ", "x08gpPZJ");
    assert_eq!(
        note(&other_id).verify(&[key(PETER)]),
        Err(NoteError::NoKnownKey)
    );
}

#[test]
fn repeated_signature_must_verify_each_time() {
    let line = TWO_SIGNERS
        .lines()
        .find(|line| line.contains("Peter"))
        .unwrap();
    let twice = format!("{TWO_SIGNERS}{line}\n");
    assert_eq!(
        note(&twice)
            .verify(&[key(PETER)])
            .unwrap()
            .signed_by()
            .len(),
        2
    );
    let spoiled = format!("{TWO_SIGNERS}{}\n", line.replace("KE6R", "KE6S"));
    assert!(matches!(
        note(&spoiled).verify(&[key(PETER)]),
        Err(NoteError::WrongSignature { .. })
    ));
}

#[test]
fn refuses_notes_without_their_parts() {
    let (text, line) = SPEC_NOTE.split_once("\n\n").unwrap();
    let line = line.trim_end();
    let parse = |note: &str| Note::parse(note.as_bytes());
    assert_eq!(parse(""), Err(NoteError::NoEmptyLine));
    assert_eq!(parse(text), Err(NoteError::NoEmptyLine));
    assert_eq!(
        parse(&format!("{text}\n{line}\n")),
        Err(NoteError::NoEmptyLine)
    );
    assert_eq!(
        parse(&format!("{text}\n\n{line}")),
        Err(NoteError::NoNewlineAtEnd)
    );
    assert_eq!(
        parse(&format!("{text}\n\n")),
        Err(NoteError::NoNewlineAtEnd)
    );
    assert_eq!(
        parse(&format!("{text}\n\n{line}\n\n")),
        Err(NoteError::NoNewlineAtEnd)
    );
    assert_eq!(Note::new("no newline"), Err(NoteError::NoNewlineAtEnd));
    let not_utf8 = [b"\xff".as_slice(), SPEC_NOTE.as_bytes()].concat();
    assert!(matches!(Note::parse(&not_utf8), Err(NoteError::NotUtf8(_))));
    for control in *b"\r\t\0\x1f" {
        let spoiled = SPEC_NOTE.replace("is an", &format!("is{}an", char::from(control)));
        assert_eq!(
            parse(&spoiled),
            Err(NoteError::ControlCharacter { found: control })
        );
    }
}

#[test]
fn refuses_malformed_signature_lines() {
    let line = SPEC_NOTE.lines().last().unwrap();
    let cases = [
        ("nothing", String::new()),
        ("text behind", format!("{line}\nmore")),
        ("hyphen for the dash", line.replace('\u{2014}', "-")),
        ("two spaces", line.replace("foo ", "foo  ")),
        ("space behind", format!("{line} ")),
        ("no name", line.replace("example.com/foo", "")),
        ("plus in the name", line.replace("/foo", "+foo")),
        (
            "no-break space in the name",
            line.replace("/foo", "\u{a0}foo"),
        ),
        ("no padding", line.trim_end_matches('=').to_owned()),
        ("id without signature", "\u{2014} name AAAAAA==".to_owned()),
        ("three bytes", "\u{2014} name AAAA".to_owned()),
    ];
    for (case, lines) in cases {
        let refused = Note::parse(format!("text\n\n{lines}\n").as_bytes());
        let malformed = matches!(refused, Err(NoteError::MalformedSignature { .. }));
        // An empty line in the place of the signature moves the end of the text.
        assert!(
            malformed || lines.is_empty() && refused.is_err(),
            "{case}: {refused:?}"
        );
    }
}

#[test]
fn splits_at_the_last_empty_line() {
    let two_parts = note(&format!("first\n\n{SPEC_NOTE}"));
    assert_eq!(two_parts.text(), "first\n\nThis is an example message.\n");
    let bare = SPEC_NOTE.replace("This is an example message.", "");
    assert_eq!(note(&bare).text(), "\n");
}

#[test]
fn limits_bytes_and_signatures() {
    let line = SPEC_NOTE.lines().last().unwrap();
    let sixteen = format!(
        "text\n\n{}",
        format!("{line}\n").repeat(NOTE_SIGNATURES_MAX)
    );
    let mut full = note(&sixteen);
    let seventeen = format!("{sixteen}{line}\n");
    let refused = Err(NoteError::TooManySignatures {
        max: NOTE_SIGNATURES_MAX,
    });
    assert_eq!(Note::parse(seventeen.as_bytes()), refused);
    assert_eq!(full.add(full.signatures()[0].clone()), refused.map(drop));
    let room = NOTE_BYTES_MAX - SPEC_NOTE.len();
    let largest = format!("{}{SPEC_NOTE}", "a".repeat(room));
    assert!(Note::parse(largest.as_bytes()).is_ok());
    let larger = format!("a{largest}");
    assert!(matches!(
        Note::parse(larger.as_bytes()),
        Err(NoteError::TooLong { .. })
    ));
    assert!(matches!(Note::new(larger), Err(NoteError::TooLong { .. })));
}

#[test]
fn key_names_have_1_to_255_bytes_of_the_right_kind() {
    assert!(KeyName::new("a".repeat(255)).is_ok());
    assert_eq!(
        KeyName::new("a".repeat(256)),
        Err(KeyNameError::Length { got: 256 })
    );
    assert_eq!(KeyName::new(""), Err(KeyNameError::Length { got: 0 }));
    for found in [
        ' ', '+', '\t', '\n', '\0', '\u{7f}', '\u{a0}', '\u{2003}', '\u{3000}', '\u{85}',
    ] {
        let refused = KeyName::new(format!("a{found}b"));
        assert_eq!(refused, Err(KeyNameError::Character { found }));
    }
    assert!(KeyName::new("prüfer.example/ai").is_ok());
}

#[test]
fn refuses_malformed_verifier_keys() {
    let (head, base64) = SPEC_VKEY.rsplit_once('+').unwrap();
    let parse = |text: &str| text.parse::<VerifierKey>();
    for form in [
        "",
        "name",
        "name+00000000",
        head,
        &SPEC_VKEY.replace("530d903a", "530D903A"),
        &SPEC_VKEY.replace("530d903a", "530d903"),
        &SPEC_VKEY.replace("530d903a", "530d903a0"),
        &format!("{SPEC_VKEY}="),
        &format!("{SPEC_VKEY}\n"),
        "name+00000000+",
    ] {
        assert_eq!(parse(form), Err(VerifierKeyError::Form), "{form:?}");
    }
    assert!(matches!(
        parse(&format!("+530d903a+{base64}")),
        Err(VerifierKeyError::Name(_))
    ));
    assert!(matches!(
        parse(&SPEC_VKEY.replace("530d", "530e")),
        Err(VerifierKeyError::WrongId { .. })
    ));
    assert_eq!(
        parse("name+00000000+AQ=="),
        Err(VerifierKeyError::KeyLength { got: 0 })
    );
}

/// A weak key and a second encoding of a point are no keys, whatever their id.
#[test]
fn refuses_weak_and_non_canonical_ed25519_keys() {
    let mut identity = [0; 32];
    identity[0] = 1;
    // y = p + 1, the identity once more; and y = p + 3, a point of full order twice encoded.
    let mut identity_again = [0xff; 32];
    identity_again[0] = 0xee;
    identity_again[31] = 0x7f;
    let mut twice = identity_again;
    twice[0] = 0xf0;
    for bytes in [identity, [0; 32], identity_again, twice] {
        for kind in [1_u8, 4] {
            let mut sha = <sha2::Sha256 as sha2::Digest>::new();
            sha2::Digest::update(&mut sha, [b"name\n".as_slice(), &[kind], &bytes].concat());
            let id: [u8; 32] = sha2::Digest::finalize(sha).into();
            let id = KeyId::from_bytes([id[0], id[1], id[2], id[3]]);
            let text = format!(
                "name+{id}+{}",
                base64::encode(&[&[kind], bytes.as_slice()].concat())
            );
            assert_eq!(
                text.parse::<VerifierKey>(),
                Err(VerifierKeyError::InvalidKey)
            );
        }
    }
}

#[test]
fn keeps_keys_of_unknown_types_and_ignores_their_signatures() {
    for (kind, byte) in [
        (SignatureType::MlDsa44, 6),
        (SignatureType::Other(0xff), 0xff),
    ] {
        let text = format!(
            "example.com/foo+530d903a+{}",
            base64::encode(&[byte, 1, 2, 3])
        );
        let opaque = key(&text);
        assert_eq!(opaque.signature_type(), kind);
        assert_eq!(opaque.signature_type().byte(), byte);
        assert_eq!(opaque.material(), &KeyMaterial::Opaque(vec![1, 2, 3]));
        assert_eq!(opaque.to_string(), text);
        assert_eq!(
            note(SPEC_NOTE).verify(&[opaque]),
            Err(NoteError::NoKnownKey)
        );
    }
}

#[test]
fn every_mutated_byte_of_a_note_is_refused_or_means_something_else() {
    let good = note(TWO_SIGNERS);
    for mutant in mutations(TWO_SIGNERS.as_bytes()) {
        let Ok(parsed) = Note::parse(&mutant) else {
            continue;
        };
        assert_ne!(parsed, good);
        assert_eq!(
            parsed.to_string().as_bytes(),
            mutant,
            "one note has one spelling"
        );
        let both = parsed.verify(&[key(PETER), key(ENOCH)]);
        assert!(both.is_err() || both.unwrap().signed_by().len() < 2);
    }
}

#[test]
fn every_mutated_byte_of_a_key_is_refused_or_means_something_else() {
    for text in [
        SPEC_VKEY.to_owned(),
        node_vkey(1).to_string(),
        "a+00000000+Bgo=".to_owned(),
    ] {
        for mutant in mutations(text.as_bytes()) {
            let parsed = str::from_utf8(&mutant)
                .ok()
                .and_then(|text| text.parse().ok());
            let Some(parsed): Option<VerifierKey> = parsed else {
                continue;
            };
            assert_ne!(parsed, key(&text));
            assert_eq!(parsed.to_string().as_bytes(), mutant);
        }
    }
}
