//! Proofs, receipts and checkpoints by themselves.

use super::*;
use crate::statement::evidence::testing::witness_vkey;
use crate::tlog::TlogProof;

fn with<'a>(world: &'a World, checkpoint: Option<&'a str>) -> Options<'a> {
    Options {
        statement: Some(&world.entries[6]),
        checkpoint,
        ..options()
    }
}

#[test]
fn bare_receipt_is_a_form_and_not_trust() {
    let world = World::standard();
    let receipt = world
        .receipt(9, START + 100)
        .assemble(&world.inclusion(LeafIndex(6), 9));
    let bare = verify(&receipt, &trust(), &with(&world, None));
    assert_eq!(bare.verdict, Verdict::CannotTell);
    assert_eq!(codes(&bare), [Code::ReceiptKeyOnly]);
    assert_eq!(bare.entry, None);

    let unnamed = verify(&receipt, &trust(), &options());
    assert_eq!(codes(&unnamed), [Code::StatementMissing]);

    let accepted = key(seed::RECEIPT).public_key();
    let with_key = Options {
        receipt_key: Some(&accepted),
        ..with(&world, None)
    };
    let report = verify(&receipt, &trust(), &with_key);
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits, "{report}");
    assert_eq!(
        codes(&report),
        [Code::ReceiptKeyAccepted, Code::SignerNotChecked]
    );

    let other = key(seed::SERVICE).public_key();
    let with_key = Options {
        receipt_key: Some(&other),
        ..with(&world, None)
    };
    assert_eq!(
        codes(&verify(&receipt, &trust(), &with_key)),
        [Code::ReceiptWrong]
    );
}

#[test]
fn receipt_counts_with_the_checkpoint_of_its_size_and_root() {
    let world = World::standard();
    let receipt = world
        .receipt(9, START + 100)
        .assemble(&world.inclusion(LeafIndex(6), 9));
    let checkpoint = world.full_checkpoint(9, START + 100);
    let report = verify(&receipt, &trust(), &with(&world, Some(&checkpoint)));
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits, "{report}");
    assert_eq!(
        codes(&report),
        [Code::ReceiptKeyUnknown, Code::SignerNotChecked]
    );
    assert_eq!(
        report.entry.map(|entry| (entry.index, entry.size)),
        Some((6, 9))
    );

    let smaller = world.full_checkpoint(8, START + 90);
    let report = verify(&receipt, &trust(), &with(&world, Some(&smaller)));
    assert_eq!(codes(&report), [Code::ReceiptWrong]);

    let other = Options {
        statement: Some(&world.entries[5]),
        ..with(&world, Some(&checkpoint))
    };
    assert_eq!(
        codes(&verify(&receipt, &trust(), &other)),
        [Code::ReceiptWrong]
    );
}

#[test]
fn no_flipped_byte_of_a_receipt_verifies() {
    let world = World::standard();
    let receipt = world
        .receipt(9, START + 100)
        .assemble(&world.inclusion(LeafIndex(6), 9));
    let accepted = key(seed::RECEIPT).public_key();
    let with_key = Options {
        receipt_key: Some(&accepted),
        ..with(&world, None)
    };
    for position in 0..receipt.len() {
        let mut changed = receipt.clone();
        changed[position] ^= 0x01;
        let report = verify(&changed, &trust(), &with_key);
        assert!(!report.verdict.is_verified(), "{position}: {report}");
    }
}

#[test]
fn tlog_proof_needs_its_entry_and_says_that_the_signer_is_open() {
    let world = World::standard();
    let note = world.checkpoint(
        9,
        START + 100,
        &[seed::NODE + 1, seed::NODE + 2, seed::WITNESS],
    );
    let proof = TlogProof::new(world.inclusion(LeafIndex(6), 9), note, None)
        .unwrap()
        .to_string();
    let report = verify(proof.as_bytes(), &trust(), &with(&world, None));
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits, "{report}");
    assert_eq!(codes(&report), [Code::SignerNotChecked]);
    assert_eq!(
        codes(&verify(proof.as_bytes(), &trust(), &options())),
        [Code::StatementMissing]
    );
    let other = Options {
        statement: Some(&world.entries[5]),
        ..options()
    };
    assert_eq!(
        codes(&verify(proof.as_bytes(), &trust(), &other)),
        [Code::NotUnderRoot]
    );
}

#[test]
fn checkpoint_is_checked_against_the_policy() {
    let world = World::standard();
    let note = world.full_checkpoint(9, START + 100);
    let report = verify(note.as_bytes(), &trust(), &options());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    assert_eq!(report.head.map(|head| head.cosigners.len()), Some(3));
    let few = world
        .checkpoint(9, START + 100, &[seed::NODE + 1, seed::WITNESS])
        .to_string();
    assert_eq!(
        codes(&verify(few.as_bytes(), &trust(), &options())),
        [Code::QuorumNotReached]
    );
    let wrong = note.replacen("\n9\n", "\n8\n", 1);
    assert_eq!(
        codes(&verify(wrong.as_bytes(), &trust(), &options())),
        [Code::CheckpointWrong]
    );
    assert_eq!(witness_vkey().name().as_str(), "witness.example/w");
}

#[test]
fn other_bytes_are_no_input() {
    for bytes in [&b""[..], b"hello", b"[]", b"\x00\x01"] {
        let report = verify(bytes, &trust(), &options());
        assert_eq!(codes(&report), [Code::InputMalformed]);
        assert_eq!(
            (report.verdict, report.input),
            (Verdict::NotVerified, Input::Unknown)
        );
    }
}
