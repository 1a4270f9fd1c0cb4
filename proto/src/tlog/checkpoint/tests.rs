use super::super::fixture::{ORIGIN, checkpoint, log_key, log_vkey, mutations, node_vkey, origin};
use super::super::hash::LeafHash;
use super::*;

const EMPTY: &str = "ledger.example.com/aims1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

#[test]
fn has_its_golden_bytes() {
    let empty = Checkpoint::new(origin(), TreeHead::EMPTY);
    assert_eq!(empty.to_string(), EMPTY);
    assert_eq!(Checkpoint::parse(EMPTY), Ok(empty));
    let signed = checkpoint().sign(&log_key()).unwrap();
    assert_eq!(signed.to_string(), include_str!("golden.checkpoint"));
    let verified = VerifiedCheckpoint::verify(signed.clone(), &log_vkey()).unwrap();
    assert_eq!(verified.checkpoint(), &checkpoint());
    assert_eq!(verified.head(), checkpoint().head());
    assert_eq!(verified.note(), &signed);
}

#[test]
fn keeps_extension_lines() {
    let text = format!("{EMPTY}one more\nand another\n");
    let parsed = Checkpoint::parse(&text).unwrap();
    assert_eq!(parsed.extensions(), ["one more", "and another"]);
    assert_eq!(parsed.to_string(), text);
}

#[test]
fn takes_sizes_to_the_end_of_64_bits() {
    let text = EMPTY.replace("\n0\n", "\n18446744073709551615\n");
    assert_eq!(
        Checkpoint::parse(&text).unwrap().head().size,
        TreeSize(u64::MAX)
    );
    let beyond = EMPTY.replace("\n0\n", "\n18446744073709551616\n");
    assert_eq!(Checkpoint::parse(&beyond), Err(CheckpointError::Size));
}

#[test]
fn refuses_malformed_texts() {
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(Checkpoint::parse(""), Err(CheckpointError::NoNewlineAtEnd));
    assert_eq!(
        Checkpoint::parse(EMPTY.trim_end()),
        Err(CheckpointError::NoNewlineAtEnd)
    );
    assert_eq!(
        Checkpoint::parse("a\n1\n"),
        Err(CheckpointError::TooFewLines)
    );
    for origin in ["", "a b", "a+b", &"a".repeat(256)] {
        let refused = Checkpoint::parse(&format!("{origin}\n1\n{hash}\n"));
        assert!(
            matches!(refused, Err(CheckpointError::Origin(_))),
            "{origin:?}"
        );
    }
    for size in [
        "", "-1", "+1", "01", "00", "1 ", " 1", "1.0", "0x1", "\u{661}",
    ] {
        let refused = Checkpoint::parse(&format!("a\n{size}\n{hash}\n"));
        assert_eq!(refused, Err(CheckpointError::Size), "{size:?}");
    }
    for root in [
        "",
        "AAAA",
        hash.trim_end_matches('='),
        &hash.replace("FU=", "FV="),
        &hash.to_lowercase(),
    ] {
        let refused = Checkpoint::parse(&format!("a\n1\n{root}\n"));
        let wrong = matches!(refused, Err(CheckpointError::Root(_)));
        assert!(wrong, "{root:?}");
    }
    for extension in ["\n", "a\n\n", "\nb\n", "tab\t\n", "return\r\n"] {
        let refused = Checkpoint::parse(&format!("a\n1\n{hash}\n{extension}"));
        assert_eq!(refused, Err(CheckpointError::Extension), "{extension:?}");
    }
}

#[test]
fn refuses_another_root_for_no_leaves() {
    let got = RootHash::from_hash(LeafHash::of(b"").hash());
    let text = Checkpoint::new(
        origin(),
        TreeHead {
            size: TreeSize(0),
            root: got,
        },
    )
    .to_string();
    assert_eq!(
        Checkpoint::parse(&text),
        Err(CheckpointError::RootOfNothing { got })
    );
}

#[test]
fn refuses_another_log_and_another_key() {
    let note = checkpoint().sign(&log_key()).unwrap();
    let other_key = SigningKey::from_bytes(&[2; 32]).verifying_key();
    let same_name = VerifierKey::ed25519(origin().key_name().clone(), &other_key);
    assert!(matches!(
        VerifiedCheckpoint::verify(note.clone(), &same_name),
        Err(CheckpointError::Note(NoteError::NoKnownKey))
    ));
    assert!(matches!(
        VerifiedCheckpoint::verify(note, &node_vkey(1)),
        Err(CheckpointError::OtherLog { .. })
    ));
    // The log's key on a checkpoint that names another origin.
    let text = checkpoint()
        .to_string()
        .replace(ORIGIN, "ledger.example.com/aims2");
    let mut foreign = Note::new(text.as_str()).unwrap();
    foreign
        .add(sign(&text, origin().key_name(), &log_key()))
        .unwrap();
    assert!(matches!(
        VerifiedCheckpoint::verify(foreign, &log_vkey()),
        Err(CheckpointError::OtherLog { .. })
    ));
}

#[test]
fn every_mutated_byte_is_refused_or_means_something_else() {
    let text = checkpoint().to_string();
    for mutant in mutations(text.as_bytes()) {
        let Ok(mutant) = str::from_utf8(&mutant) else {
            continue;
        };
        let Ok(parsed) = Checkpoint::parse(mutant) else {
            continue;
        };
        assert_ne!(parsed, checkpoint());
        assert_eq!(
            parsed.to_string(),
            mutant,
            "one checkpoint has one spelling"
        );
    }
    let signed = checkpoint().sign(&log_key()).unwrap().to_string();
    for mutant in mutations(signed.as_bytes()) {
        let Ok(note) = Note::parse(&mutant) else {
            continue;
        };
        assert!(VerifiedCheckpoint::verify(note, &log_vkey()).is_err());
    }
}
