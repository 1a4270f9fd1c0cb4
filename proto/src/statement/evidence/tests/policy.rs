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
    assert_eq!(walked, Ok(vec![(LeafIndex(9), new.clone())]));
    // The head that leads over satisfies the newest policy as well, and leads its holder nowhere.
    let walked = walk_policies(&file.policy_steps, &file.chain, &new);
    assert_eq!(walked, Ok(Vec::new()));
    assert_eq!(walk_policies(&[], &file.chain, &new), Ok(Vec::new()));
    let nothing = walk_policies(&file.policy_steps, &[], &trust());
    assert_eq!(nothing, Err(WalkError::NoGenesis));
    let elsewhere = walk_policies(&file.policy_steps, &file.chain[..4], &trust());
    assert_eq!(elsewhere, Err(WalkError::StepsWrong));
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

/// The witness of the first policies is known no more from entry 9 on, and its key is in other hands.
fn without_witness() -> (World, EvidenceFile) {
    let mut world = World::standard();
    let publish = policies().publish;
    let change = PolicyChange {
        predecessor: policies().digest(),
        texts: PolicyTexts {
            trust: publish.clone(),
            publish,
        },
        approvals: Vec::new(),
    };
    world.agreed(change, (seed::OPERATOR_A, seed::OPERATOR_B));
    world.finding(9, seed::REVIEWER);
    let file = world.file_with(vec![world.record(10, Shown::All)], &[0, 1, 2, 3, 9]);
    (world, file)
}

#[test]
fn nobody_is_told_what_a_retired_key_says_of_a_head() {
    let (world, mut file) = without_witness();
    // The thief dates itself back, beside the nodes whose keys are in force.
    let stolen = [seed::WITNESS, seed::NODE + 1, seed::NODE + 2];
    file.head.checkpoint = world.checkpoint(11, START + 300, &stolen).to_string();
    let report = check(&file, &trust());
    assert_eq!(report.verdict, Verdict::VerifiedWithLimits, "{report}");
    assert_eq!(codes(&report), [Code::HeldByNobodyOutside], "{report}");
    assert_eq!(report.records[0].held_outside, HeldOutside::Nobody);
    assert_eq!(report.records[0].time.not_later_than, None, "{report}");
    let named: Vec<String> = report
        .head
        .as_ref()
        .unwrap()
        .cosigners
        .iter()
        .map(|cosigner| cosigner.name.clone())
        .collect();
    assert_eq!(named, [1, 2].map(|id| node_vkey(id).name().to_string()));
    assert!(!report.to_string().contains("witness.example"), "{report}");
    // Whoever asks for nodes alone is told when they saw it.
    let time = check(&file, &publish()).records[0].time;
    assert_eq!(time.not_later_than, Some(START + 302));

    // The same under another head of the file.
    let stolen_early = world.checkpoint(10, START + 5, &stolen).to_string();
    let mut other = file.clone();
    other.heads = vec![OtherHead {
        checkpoint: stolen_early,
        ..world.other_head(10, START + 5)
    }];
    let report = check(&other, &trust());
    assert_eq!(codes(&report), [Code::HeldByNobodyOutside], "{report}");
    assert_eq!(report.records[0].time.after, None, "{report}");
    // In front of the change its word counts.
    other.heads = vec![world.other_head(9, START + 70)];
    let report = check(&other, &trust());
    assert_eq!(report.records[0].time.after, Some(START + 70), "{report}");
}

#[test]
fn a_file_that_fails_tells_nothing_of_cosigners() {
    let (_, mut file) = without_witness();
    file.chain.pop();
    let report = check(&file, &trust());
    assert_eq!(report.verdict, Verdict::NotVerified, "{report}");
    assert_eq!(report.head.unwrap().cosigners, []);
}

/// A file from before the verifier's policy came into force.
#[test]
fn a_file_without_the_verifiers_policy_leads_nowhere_from_it() {
    let mut file = switched();
    let mut later = next_texts();
    later.trust = later
        .trust
        .replace(&node_vkey(3).to_string(), &node_vkey(5).to_string());
    let later = Policy::parse(later.trust.as_bytes()).unwrap();
    let report = check(&file, &later);
    assert_eq!(codes(&report), [Code::PolicyNotInChain], "{report}");
    assert_eq!(report.verdict, Verdict::NotVerified);
    let said = report.to_string();
    for part in ["none of the 2", "the policy of its time", "cosigned by"] {
        assert!(said.contains(part), "{said}");
    }
    // The chain itself says whether it is complete.
    file.chain.remove(0);
    let report = check(&file, &later);
    assert_eq!(codes(&report), [Code::GenesisMissing], "{report}");
}
