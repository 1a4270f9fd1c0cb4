use ed25519_dalek::SigningKey;

use super::super::cosignature;
use super::super::fixture::{
    ORIGIN, TIME, checkpoint, cosigned_by, log_key, log_vkey, mutations, node_key, node_name,
    node_vkey, policy,
};
use super::super::note::{NoteSignature, sign};
use super::PolicyParseError as E;
use super::*;
use crate::limits::POLICY_BYTES_MAX;

fn parse(text: &str) -> Result<Policy, PolicyParseError> {
    Policy::parse(text.as_bytes())
}

/// Lines for one log and nodes a, b, c, d; behind them whatever the test is about.
fn with(rest: &str) -> Result<Policy, PolicyParseError> {
    let mut text = format!("log {}\n", log_vkey());
    for (name, node) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        let line = format!(
            "witness {name} {}
",
            node_vkey(node)
        );
        text.push_str(&line);
    }
    parse(&format!("{text}{rest}"))
}

fn accepts(rest: &str, nodes: &[u8]) -> bool {
    match with(rest).unwrap().check(&cosigned_by(nodes)) {
        Ok(_) => true,
        Err(PolicyError::NoQuorum { got, .. }) => {
            assert_eq!(got.len(), nodes.len());
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn has_its_golden_bytes() {
    let policy = policy();
    assert_eq!(
        str::from_utf8(policy.as_bytes()),
        Ok(include_str!("golden.policy"))
    );
    assert_eq!(Policy::parse(policy.as_bytes()), Ok(policy.clone()));
    assert_eq!(policy.to_canonical_bytes(), policy.as_bytes());
    let expected: [u8; 32] = Sha256::digest(include_bytes!("golden.policy")).into();
    assert_eq!(policy.fingerprint(), expected);
    assert_eq!(policy.logs()[0].key, log_vkey());
    assert_eq!(policy.groups()[0].threshold, 2);
    assert_eq!(
        policy.quorum().map(PolicyName::as_bytes),
        Some(b"nodes".as_slice())
    );
}

#[test]
fn accepts_two_of_three_and_says_who_and_when() {
    let checked = policy().check(&cosigned_by(&[3, 1])).unwrap();
    assert_eq!(checked.head(), checkpoint().head());
    assert_eq!(checked.log(), &log_vkey());
    assert_eq!(checked.checkpoint().checkpoint(), &checkpoint());
    let who: Vec<_> = checked
        .cosigners()
        .iter()
        .map(|c| (c.name.clone(), c.time.0))
        .collect();
    assert_eq!(who, [(node_name(1), TIME + 1), (node_name(3), TIME + 3)]);
    assert_eq!(
        policy()
            .check(&cosigned_by(&[1, 2, 3]))
            .unwrap()
            .cosigners()
            .len(),
        3
    );
    for too_few in [&[][..], &[1], &[2], &[3]] {
        let refused = policy().check(&cosigned_by(too_few));
        assert!(
            matches!(refused, Err(PolicyError::NoQuorum { .. })),
            "{too_few:?}"
        );
    }
}

type Rule = fn(&[u8]) -> bool;

#[test]
fn groups_count_as_written() {
    let subsets: Vec<Vec<u8>> = (0..16_u8)
        .map(|set| (1..=4).filter(|node| set >> (node - 1) & 1 == 1).collect())
        .collect();
    let cases: [(&str, Rule); 7] = [
        ("quorum none\n", |_| true),
        ("quorum c\n", |nodes| nodes.contains(&3)),
        ("group g any a b c d\nquorum g\n", |nodes| !nodes.is_empty()),
        ("group g all a b c d\nquorum g\n", |nodes| nodes.len() == 4),
        ("group g 3 a b c d\nquorum g\n", |nodes| nodes.len() >= 3),
        (
            "group ab any a b\ngroup cd all c d\ngroup g all ab cd\nquorum g\n",
            |nodes| {
                (nodes.contains(&1) || nodes.contains(&2))
                    && nodes.contains(&3)
                    && nodes.contains(&4)
            },
        ),
        (
            "group nodes 2 a b c\ngroup trust all nodes d\nquorum trust\n",
            |nodes| nodes.contains(&4) && nodes.len() >= 3,
        ),
    ];
    for (rest, rule) in cases {
        for nodes in &subsets {
            assert_eq!(accepts(rest, nodes), rule(nodes), "{rest:?} with {nodes:?}");
        }
    }
}

#[test]
fn one_wrong_cosignature_refuses_the_note_beyond_the_quorum() {
    let mut note = cosigned_by(&[1, 2]);
    let mut blob = cosignature::sign(note.text(), UnixSeconds(TIME), &node_name(3), &node_key(3))
        .unwrap()
        .signature()
        .to_vec();
    blob[20] ^= 1;
    let line = NoteSignature::new(node_name(3), node_vkey(3).id(), blob).unwrap();
    note.add(line.clone()).unwrap();
    assert!(matches!(
        policy().check(&note),
        Err(PolicyError::Cosignature(_))
    ));
    // The same bytes under an unknown id are nobody's signature and are ignored.
    let mut note = cosigned_by(&[1, 2]);
    let unknown = NoteSignature::new(
        node_name(3),
        KeyId::from_bytes([0; 4]),
        line.signature().to_vec(),
    );
    note.add(unknown.unwrap()).unwrap();
    assert_eq!(policy().check(&note).unwrap().cosigners().len(), 2);
}

#[test]
fn one_cosigner_counts_once_and_by_its_earliest_time() {
    let mut note = cosigned_by(&[2]);
    for time in [TIME + 900, TIME - 900] {
        let line = cosignature::sign(note.text(), UnixSeconds(time), &node_name(2), &node_key(2));
        note.add(line.unwrap()).unwrap();
    }
    let refused = policy().check(&note);
    assert_eq!(
        refused,
        Err(PolicyError::NoQuorum {
            count: 1,
            needed: 2,
            got: vec![node_name(2)],
            strangers: Vec::new(),
        })
    );
    let checked = with("quorum b\n").unwrap().check(&note).unwrap();
    assert_eq!(checked.cosigners()[0].time, UnixSeconds(TIME - 900));
}

#[test]
fn needs_the_logs_signature_and_origin() {
    let text = checkpoint().to_string();
    let cosign = |note: &mut Note| {
        for node in [1, 2, 3] {
            let line = cosignature::sign(
                note.text(),
                UnixSeconds(TIME),
                &node_name(node),
                &node_key(node),
            );
            note.add(line.unwrap()).unwrap();
        }
    };
    let mut unsigned = Note::new(text.as_str()).unwrap();
    cosign(&mut unsigned);
    assert_eq!(
        policy().check(&unsigned),
        Err(PolicyError::Log(NoteError::NoKnownKey))
    );
    let thief = SigningKey::from_bytes(&[9; 32]);
    let mut stolen = Note::new(text.as_str()).unwrap();
    stolen.add(sign(&text, log_vkey().name(), &thief)).unwrap();
    cosign(&mut stolen);
    assert_eq!(
        policy().check(&stolen),
        Err(PolicyError::Log(NoteError::NoKnownKey))
    );
    let text = text.replace(ORIGIN, "ledger.example.com/aims2");
    let mut foreign = Note::new(text.as_str()).unwrap();
    foreign
        .add(sign(&text, log_vkey().name(), &log_key()))
        .unwrap();
    cosign(&mut foreign);
    assert!(matches!(
        policy().check(&foreign),
        Err(PolicyError::UnknownLog { .. })
    ));
    let text = "not a checkpoint\n";
    let mut other = Note::new(text).unwrap();
    other
        .add(sign(text, log_vkey().name(), &log_key()))
        .unwrap();
    assert!(matches!(
        policy().check(&other),
        Err(PolicyError::Checkpoint(_))
    ));
}

#[test]
fn policy_without_logs_accepts_nothing() {
    let policy = parse("quorum none\n").unwrap();
    assert!(matches!(
        policy.check(&cosigned_by(&[1])),
        Err(PolicyError::UnknownLog { .. })
    ));
}

#[test]
fn reads_comments_tabs_urls_and_foreign_bytes() {
    let text = [
        b"# trust \xff\xfe\n\n \t \n\tlog\t".as_slice(),
        format!("{}   https://ledger.example.com/aims1 \n", log_vkey()).as_bytes(),
        b" # indented\nwitness \xff\xfe ",
        format!("{} https://w.example\n", node_vkey(1)).as_bytes(),
        b"group \xe2\x84\xaa any \xff\xfe\nquorum  \xe2\x84\xaa\n# end\n",
    ]
    .concat();
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.as_bytes(), text);
    assert_eq!(policy.witnesses()[0].name.as_bytes(), b"\xff\xfe");
    assert_eq!(
        policy.logs()[0].url.as_deref(),
        Some(b"https://ledger.example.com/aims1".as_slice())
    );
    assert!(policy.check(&cosigned_by(&[1])).is_ok());
    let canonical = Policy::parse(&policy.to_canonical_bytes()).unwrap();
    assert_ne!(canonical.fingerprint(), policy.fingerprint());
    assert_eq!(canonical.to_canonical_bytes(), policy.to_canonical_bytes());
    assert_eq!(canonical.groups(), policy.groups());
}

fn name(name: &str) -> PolicyName {
    PolicyName(name.as_bytes().to_vec())
}

#[test]
fn refuses_malformed_lines() {
    let cases = [
        ("", E::NoNewlineAtEnd),
        ("quorum none", E::NoNewlineAtEnd),
        ("\n", E::NoQuorumLine),
        ("quorum none\nquorum none\n", E::SecondQuorum { line: 2 }),
        ("quorum\n", E::UnknownLine { line: 1 }),
        ("Quorum none\n", E::UnknownLine { line: 1 }),
        ("quorum none extra\n", E::UnknownLine { line: 1 }),
        ("group g any\n", E::UnknownLine { line: 1 }),
        (
            "log \u{fc}\n",
            E::Key {
                line: 1,
                source: VerifierKeyError::Form,
            },
        ),
        (
            "\nlog x\n",
            E::Key {
                line: 2,
                source: VerifierKeyError::Form,
            },
        ),
        (
            "quorum none\r\n",
            E::ControlCharacter {
                line: 1,
                found: b'\r',
            },
        ),
        (
            "#\u{7f}\n",
            E::ControlCharacter {
                line: 1,
                found: 0x7f,
            },
        ),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
    let not_text = Policy::parse(b"log \xff\n");
    assert_eq!(not_text, Err(E::UnknownLine { line: 1 }));
}

#[test]
fn refuses_names_that_are_taken_unknown_or_counted_twice() {
    let unknown = |text: &str| E::UnknownName {
        line: 6,
        name: name(text),
    };
    let cases = [
        ("quorum x\n", unknown("x")),
        ("group g any e\nquorum g\n", unknown("e")),
        ("group g any none\nquorum g\n", unknown("none")),
        ("group g any g\nquorum g\n", unknown("g")),
        (
            "group g any a a\nquorum g\n",
            E::MemberTwice {
                line: 6,
                name: name("a"),
            },
        ),
        (
            "group g any a b\ngroup h any c b\nquorum g\n",
            E::MemberTwice {
                line: 7,
                name: name("b"),
            },
        ),
        (
            "group a any b\nquorum a\n",
            E::NameTaken {
                line: 6,
                name: name("a"),
            },
        ),
        (
            "group none any b\nquorum a\n",
            E::NameTaken {
                line: 6,
                name: name("none"),
            },
        ),
    ];
    for (rest, error) in cases {
        assert_eq!(with(rest), Err(error), "{rest:?}");
    }
}

#[test]
fn refuses_thresholds_that_are_no_count_of_members() {
    for threshold in ["0", "3", "01", "-1", "+1", "ALL", "18446744073709551616"] {
        let refused = with(&format!("group g {threshold} a b\nquorum g\n"));
        assert_eq!(
            refused,
            Err(E::Threshold {
                line: 6,
                members: 2
            }),
            "{threshold:?}"
        );
    }
    let missing = with("group g a b\nquorum g\n");
    assert_eq!(
        missing,
        Err(E::Threshold {
            line: 6,
            members: 1
        })
    );
}

#[test]
fn refuses_keys_that_do_not_belong() {
    let twice = with(&format!("witness e {}\nquorum none\n", node_vkey(1)));
    assert_eq!(twice, Err(E::DuplicateKey { line: 6 }));
    // The same public key under another name and id is the same key.
    let other_name = KeyName::new("other.example").unwrap();
    let renamed = VerifierKey::cosignature_v1(other_name.clone(), &node_key(1).verifying_key());
    let twice = with(&format!("witness e {renamed}\nquorum none\n"));
    assert_eq!(twice, Err(E::DuplicateKey { line: 6 }));
    // Not even once as a log and once as a cosigner.
    let both = VerifierKey::cosignature_v1(other_name.clone(), &log_key().verifying_key());
    let twice = with(&format!("witness e {both}\nquorum none\n"));
    assert_eq!(twice, Err(E::DuplicateKey { line: 6 }));
    let plain = VerifierKey::ed25519(other_name, &node_key(9).verifying_key());
    let kind = SignatureType::Ed25519;
    let refused = with(&format!("witness e {plain}\nquorum none\n"));
    assert_eq!(refused, Err(E::KeyType { line: 6, kind }));
    let kind = SignatureType::CosignatureV1;
    let refused = with(&format!("log {}\nquorum none\n", node_vkey(9)));
    assert_eq!(refused, Err(E::KeyType { line: 6, kind }));
}

#[test]
fn limits_bytes_and_items() {
    let many = |count: u8| {
        let keys: Vec<VerifierKey> = (1..=count).map(node_vkey).collect();
        Policy::threshold(&log_vkey(), &keys, 1)
    };
    assert!(many(64).is_ok());
    assert_eq!(many(65), Err(PolicyParseError::TooMany { line: 66 }));
    let comment = format!("#{}\nquorum none\n", "a".repeat(POLICY_BYTES_MAX));
    assert!(matches!(
        parse(&comment),
        Err(PolicyParseError::TooLong { .. })
    ));
}

#[test]
fn constructor_refuses_what_a_policy_cannot_say() {
    let two = [1, 2].map(node_vkey);
    for threshold in [0, 3] {
        let refused = Policy::threshold(&log_vkey(), &two, threshold);
        assert!(matches!(refused, Err(PolicyParseError::Threshold { .. })));
    }
    assert!(Policy::threshold(&log_vkey(), &[], 0).is_err());
    assert!(Policy::threshold(&log_vkey(), &[node_vkey(1), node_vkey(1)], 1).is_err());
    assert!(Policy::threshold(&node_vkey(1), &two, 1).is_err());
}

#[test]
fn every_mutated_byte_is_refused_or_keeps_its_own_bytes() {
    let good = policy();
    for mutant in mutations(good.as_bytes()) {
        let Ok(parsed) = Policy::parse(&mutant) else {
            continue;
        };
        assert_eq!(parsed.as_bytes(), mutant);
        assert_ne!(parsed.fingerprint(), good.fingerprint());
        let canonical = parsed.to_canonical_bytes();
        let again = Policy::parse(&canonical).unwrap();
        assert_eq!(again.to_canonical_bytes(), canonical);
    }
}
