use super::super::fixture::{
    TIME, checkpoint, cosigned_by, log_key, mutations, node_key, node_name, node_vkey,
};
use super::super::note::{Note, NoteError};
use super::*;

/// A checkpoint of a public log of July 2026, cosigned by a public witness; as published by
/// both, found in the tests of the tlog-scales library.
const PUBLISHED: &str = "arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

\u{2014} arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
\u{2014} arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
\u{2014} transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
\u{2014} witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
\u{2014} remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
\u{2014} witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";

const PUBLISHED_KEYS: [&str; 4] = [
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
];

#[test]
fn verifies_a_published_checkpoint_with_its_cosignatures() {
    let note = Note::parse(PUBLISHED.as_bytes()).unwrap();
    assert_eq!(note.to_string(), PUBLISHED);
    let keys = PUBLISHED_KEYS.map(|key| key.parse::<VerifierKey>().unwrap());
    let verified = note.verify(&keys).unwrap();
    let times: Vec<_> = verified.signed_by().iter().map(|line| line.time).collect();
    let cosigned = Some(UnixSeconds(0x6a12_2120));
    assert_eq!(times, [None, cosigned, cosigned, cosigned]);
    assert_eq!(
        Checkpoint::parse(note.text()).unwrap().head().size.0,
        1_432_088_532
    );
    let other = PUBLISHED.replace("1432088532", "1432088533");
    for key in keys {
        let refused = Note::parse(other.as_bytes()).unwrap().verify(&[key]);
        assert!(matches!(refused, Err(NoteError::WrongSignature { .. })));
    }
}

#[test]
fn has_its_golden_bytes() {
    let text = checkpoint().to_string();
    let expected = format!("cosignature/v1\ntime {TIME}\n{text}");
    assert_eq!(message(UnixSeconds(TIME), &text), expected.as_bytes());
    assert_eq!(
        cosigned_by(&[1, 2, 3]).to_string(),
        include_str!("golden.checkpoint")
    );
}

#[test]
fn gives_the_time_that_was_signed() {
    let text = checkpoint().to_string();
    for time in [0, 1, TIME, TIME_MAX.0] {
        let line = sign(&text, UnixSeconds(time), &node_name(1), &node_key(1)).unwrap();
        assert_eq!(line.id, node_vkey(1).id());
        let key = node_key(1).verifying_key();
        assert_eq!(verify(&key, &text, line.signature()), Ok(UnixSeconds(time)));
    }
}

#[test]
fn signs_checkpoints_of_representable_times_alone() {
    let text = checkpoint().to_string();
    let beyond = UnixSeconds(TIME_MAX.0 + 1);
    let refused = sign(&text, beyond, &node_name(1), &node_key(1));
    assert_eq!(refused, Err(CosignError::TimeTooLarge { time: beyond }));
    for foreign in [
        "",
        "give me a signature\n",
        text.trim_end(),
        &format!("{text}\n"),
    ] {
        let refused = sign(foreign, UnixSeconds(TIME), &node_name(1), &node_key(1));
        assert!(
            matches!(refused, Err(CosignError::NotACheckpoint(_))),
            "{foreign:?}"
        );
    }
}

#[test]
fn refuses_other_lengths_times_texts_and_keys() {
    let text = checkpoint().to_string();
    let key = node_key(1).verifying_key();
    let line = sign(&text, UnixSeconds(TIME), &node_name(1), &node_key(1)).unwrap();
    let blob = line.signature();
    for length in 0..blob.len() {
        let refused = verify(&key, &text, &blob[..length]);
        assert_eq!(
            refused,
            Err(SignatureRefused::WrongLength {
                expected: 72,
                got: length
            })
        );
    }
    for at in 0..blob.len() {
        let mut changed = blob.to_vec();
        changed[at] ^= 1;
        assert!(verify(&key, &text, &changed).is_err(), "byte {at}");
    }
    let mut late = blob.to_vec();
    late[0] = 0x80;
    assert!(matches!(
        verify(&key, &text, &late),
        Err(SignatureRefused::TimeTooLarge { .. })
    ));
    assert_eq!(
        verify(&node_key(2).verifying_key(), &text, blob),
        Err(SignatureRefused::Mismatch)
    );
    for mutant in mutations(text.as_bytes()) {
        let Ok(mutant) = str::from_utf8(&mutant) else {
            continue;
        };
        assert_eq!(verify(&key, mutant, blob), Err(SignatureRefused::Mismatch));
    }
}

/// A plain signature over the same text is no cosignature, and the other way round: the log's
/// key cannot be made to cosign by handing over its signature with a time in front.
#[test]
fn plain_signature_is_no_cosignature() {
    let text = checkpoint().to_string();
    let plain = log_key().sign(text.as_bytes()).to_bytes();
    let blob = [TIME.to_be_bytes().as_slice(), &plain].concat();
    let key = log_key().verifying_key();
    assert_eq!(verify(&key, &text, &blob), Err(SignatureRefused::Mismatch));
    let line = sign(&text, UnixSeconds(TIME), &node_name(1), &node_key(1)).unwrap();
    let as_plain = verify_ed25519(
        &node_key(1).verifying_key(),
        text.as_bytes(),
        &line.signature()[8..],
    );
    assert_eq!(as_plain, Err(SignatureRefused::Mismatch));
}
