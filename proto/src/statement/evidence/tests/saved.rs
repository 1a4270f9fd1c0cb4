//! Saved heads: the input must show that the log extends each of them, however good it is otherwise.

use super::policy::{next_texts, switched_world};
use super::*;
use crate::tlog::{Note, TlogProof};

fn since(saved: &[SavedHead]) -> Options<'_> {
    Options {
        saved_heads: saved,
        ..options()
    }
}

fn saved(world: &World, size: u64) -> [SavedHead; 1] {
    [SavedHead {
        head: world.head(size),
        saved_at: UnixSeconds(START + 20),
        quorum: true,
    }]
}

#[test]
fn a_file_that_leaves_a_saved_head_out_cannot_tell() {
    let world = World::standard();
    let file = world.file().print().unwrap();
    for reached in [5, 7, 9] {
        let report = verify(file.as_bytes(), &trust(), &since(&saved(&world, reached)));
        assert_eq!(report.verdict, Verdict::Verified, "{reached}: {report}");
    }
    for left_out in [6, 8] {
        let report = verify(file.as_bytes(), &trust(), &since(&saved(&world, left_out)));
        assert_eq!(report.verdict, Verdict::CannotTell, "{left_out}: {report}");
        assert_eq!(codes(&report), [Code::SavedHeadNotReached]);
        assert_eq!(report.records.len(), 3, "what holds is told all the same");
    }
    let [first, second] = [6, 7].map(|size| saved(&world, size)[0]);
    let report = verify(file.as_bytes(), &trust(), &since(&[second, first]));
    assert_eq!(codes(&report), [Code::SavedHeadNotReached]);
}

#[test]
fn another_head_reaches_back_only_with_its_consistency_proof() {
    let world = World::standard();
    let mut file = world.file();
    file.heads = vec![world.other_head(6, START + 40)];
    let saved = saved(&world, 6);
    let check =
        |file: &EvidenceFile| verify(file.print().unwrap().as_bytes(), &trust(), &since(&saved));
    assert_eq!(check(&file).verdict, Verdict::Verified);
    file.heads[0].consistency = world.other_head(7, START + 40).consistency;
    let found = codes(&check(&file));
    assert!(found.contains(&Code::OtherHeadWrong), "{found:?}");
    assert!(found.contains(&Code::SavedHeadNotReached), "{found:?}");
}

/// Whoever uses the newer policy still relates the head saved under the one before; what its cosigners
/// say of time counts for nothing.
#[test]
fn a_head_saved_under_an_earlier_policy_is_reached() {
    let (world, mut file) = switched_world();
    let next = Policy::parse(next_texts().trust.as_bytes()).unwrap();
    let check = |file: &EvidenceFile, saved: &[SavedHead]| {
        verify(file.print().unwrap().as_bytes(), &next, &since(saved))
    };
    let mut saved = saved(&world, 4);
    saved[0].quorum = false;
    assert_eq!(
        codes(&check(&file, &saved)),
        [Code::SavedHeadNotReached, Code::HeldByNobodyOutside]
    );
    file.heads = vec![world.other_head(4, START + 40)];
    let older = Note::parse(file.heads[0].checkpoint.as_bytes()).unwrap();
    assert!(next.check(&older).is_err());
    for saved in [&saved[..], &[]] {
        let report = check(&file, saved);
        assert_eq!(codes(&report), [Code::HeldByNobodyOutside], "{report}");
        assert_eq!(report.records[0].time.after, None);
    }
    // A head after the change needs the policy after the change.
    let mut late = file.clone();
    late.heads = vec![world.other_head(10, START + 210)];
    assert!(codes(&check(&late, &[])).contains(&Code::OtherHeadWrong));

    saved[0].head.root = world.head(7).root;
    let report = check(&file, &saved);
    let fork = report
        .findings
        .iter()
        .find(|found| found.code == Code::Fork);
    let sentence = &fork.unwrap().sentence;
    assert!(sentence.contains("the policy of its time"), "{sentence}");
}

#[test]
fn neither_checkpoint_nor_proof_nor_receipt_passes_without_the_saved_head() {
    let world = World::standard();
    let receipt = world
        .receipt(9, START + 100)
        .assemble(&world.inclusion(LeafIndex(6), 9));
    let checkpoint = world.full_checkpoint(9, START + 100);
    let cosigners = [seed::NODE + 1, seed::NODE + 2, seed::WITNESS];
    let note = world.checkpoint(9, START + 100, &cosigners);
    let proof = TlogProof::new(world.inclusion(LeafIndex(6), 9), note, None)
        .unwrap()
        .to_string();
    let accepted = key(seed::RECEIPT).public_key();
    let inputs: [(&str, &[u8], Option<&str>); 4] = [
        ("checkpoint", checkpoint.as_bytes(), None),
        ("proof", proof.as_bytes(), None),
        ("receipt", &receipt, Some(&checkpoint)),
        ("bare receipt", &receipt, None),
    ];
    for (name, bytes, checkpoint) in inputs {
        for (size, reached) in [(5, false), (9, name != "bare receipt")] {
            let saved = saved(&world, size);
            let with = Options {
                statement: Some(&world.entries[6]),
                checkpoint,
                receipt_key: Some(&accepted),
                ..since(&saved)
            };
            let report = verify(bytes, &trust(), &with);
            assert_eq!(report.verdict.is_verified(), reached, "{name}: {report}");
            let missing = codes(&report).contains(&Code::SavedHeadNotReached);
            assert_eq!(missing, !reached, "{name} {size}: {report}");
        }
    }
}
