//! The verifier's policy is not the one that the checkpoint satisfies.

use std::fmt::Write as _;

use super::*;
use crate::statement::evidence::testing::{log_vkey, node_vkey, note_key, policies};
use crate::system::{PolicyChange, PolicyTexts};
use crate::tlog::VerifierKey;

/// The policy of nodes 2, 3 and 4, all of them.
pub(super) fn next_texts() -> PolicyTexts {
    let mut text = format!("log {}\n", log_vkey());
    for id in 2..=4 {
        writeln!(text, "witness n{id} {}", node_vkey(id)).unwrap();
    }
    text += "group nodes 2 n2 n3 n4\nquorum nodes\n";
    PolicyTexts {
        publish: text.clone(),
        trust: text,
    }
}

#[test]
fn policy_with_other_keys_is_named() {
    let file = World::standard().file();
    let replaced = |from: VerifierKey, to: VerifierKey| {
        let text = policies().trust.replace(&from.to_string(), &to.to_string());
        Policy::parse(text.as_bytes()).unwrap()
    };
    let stranger = note_key(77).verifying_key();
    let other_log_key = replaced(
        log_vkey(),
        VerifierKey::ed25519(log_vkey().name().clone(), &stranger),
    );
    let report = check(&file, &other_log_key);
    assert_eq!(codes(&report), [Code::LogKeyUnknown]);
    assert_eq!(report.verdict, Verdict::CannotTell);

    let other_node = replaced(
        node_vkey(1),
        VerifierKey::cosignature_v1(node_vkey(1).name().clone(), &stranger),
    );
    let report = check(&file, &other_node);
    assert_eq!(codes(&report), [Code::QuorumNotReached]);
    assert_eq!(report.verdict, Verdict::NotVerified);
    let said = report.to_string();
    for part in ["cosigned by", "does not name", "the policy of its time"] {
        assert!(said.contains(part), "{said}");
    }

    let name = crate::tlog::KeyName::new("ledger.example/other").unwrap();
    let other_log = replaced(log_vkey(), VerifierKey::ed25519(name, &stranger));
    let report = check(&file, &other_log);
    assert_eq!(codes(&report), [Code::PolicyOfOtherLog]);
    assert_eq!(report.verdict, Verdict::CannotTell);
}

/// A file under the policy that follows the verifier's own, with the way to it.
fn switched() -> EvidenceFile {
    switched_world().1
}

/// The same with the log that it is of.
pub(super) fn switched_world() -> (World, EvidenceFile) {
    let mut world = World::standard();
    let change = PolicyChange {
        predecessor: policies().digest(),
        texts: next_texts(),
        approvals: Vec::new(),
    };
    let at = world.agreed(change, (seed::OPERATOR_A, seed::OPERATOR_B));
    let switch = world
        .checkpoint(
            10,
            START + 200,
            &[seed::NODE + 2, seed::NODE + 3, seed::WITNESS],
        )
        .to_string();
    let proof = world.inclusion(at, 10).hashes().to_vec();
    world.finding(9, seed::REVIEWER);
    let mut file = world.file_with(vec![world.record(5, Shown::All)], &[0, 1, 2, 3, 9]);
    let cosigners = [seed::NODE + 3, seed::NODE + 4];
    file.head.checkpoint = world.checkpoint(11, START + 300, &cosigners).to_string();
    file.policy_steps = vec![PolicyStep {
        checkpoint: switch,
        index: at,
        proof,
    }];
    (world, file)
}

#[test]
fn verifier_walks_to_the_newest_policy() {
    let file = switched();
    let report = check(&file, &trust());
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits, "{report}");
    assert_eq!(codes(&report), [Code::HeldByNobodyOutside]);
    let new = Policy::parse(next_texts().trust.as_bytes()).unwrap();
    assert!(check(&file, &new).verdict.is_verified());
}

#[test]
fn steps_lead_to_the_newest_policy_without_a_file() {
    let file = switched();
    let new = Policy::parse(next_texts().trust.as_bytes()).unwrap();
    let walked = walk_policies(&file.policy_steps, &file.chain, &trust());
    assert_eq!(walked, Ok(vec![new.clone()]));
    // The head that leads over satisfies the newest policy as well.
    let walked = walk_policies(&file.policy_steps, &file.chain, &new);
    assert_eq!(walked, Ok(vec![new.clone()]));
    assert_eq!(walk_policies(&[], &file.chain, &new), Ok(Vec::new()));
    let elsewhere = walk_policies(&file.policy_steps, &[], &trust()).unwrap_err();
    assert!(
        elsewhere.to_string().contains("not in the chain"),
        "{elsewhere}"
    );
}

/// The reader's own policy names keys that the log has retired since.
#[test]
fn a_head_by_retired_keys_alone_is_refused_whatever_policy_the_reader_has() {
    let (world, mut file) = switched_world();
    let new = Policy::parse(next_texts().trust.as_bytes()).unwrap();
    let cosigners = [seed::NODE + 1, seed::NODE + 2, seed::WITNESS];
    file.head.checkpoint = world.checkpoint(11, START + 300, &cosigners).to_string();
    for (name, policy) in [("the first", trust()), ("the newest", new)] {
        let report = check(&file, &policy);
        assert_eq!(report.verdict, Verdict::NotVerified, "{name}: {report}");
        assert_eq!(codes(&report), [Code::QuorumNotReached], "{name}: {report}");
    }
    let said = check(&file, &trust()).to_string();
    assert!(said.contains("the policy in force since entry 9"), "{said}");
    // What was cosigned in front of the change stays as it was.
    let before = World::standard().file();
    assert!(check(&before, &trust()).verdict.is_verified());
}

#[test]
fn broken_way_to_the_newest_policy_is_refused() {
    type Change = fn(&mut EvidenceFile);
    let table: [(&str, Change, Code); 4] = [
        ("no way", |f| f.policy_steps.clear(), Code::QuorumNotReached),
        (
            "proof cut",
            |f| f.policy_steps[0].proof.clear(),
            Code::PolicyStepWrong,
        ),
        (
            "another record",
            |f| f.policy_steps[0].index = LeafIndex(3),
            Code::PolicyStepWrong,
        ),
        (
            "head of the new alone",
            |f| {
                f.policy_steps[0].checkpoint = f.head.checkpoint.clone();
            },
            Code::PolicyStepWrong,
        ),
    ];
    for (name, change, code) in table {
        let mut file = switched();
        change(&mut file);
        let report = check(&file, &trust());
        assert_eq!(codes(&report), [code], "{name}: {report}");
        assert_eq!(report.verdict, Verdict::NotVerified);
    }
}
