//! Goal: the log key changes on every voter while records go in. Whoever holds the first policy file alone
//! still verifies the oldest and the newest evidence, the old key alone signs nothing that is taken, and a
//! key that the log does not name, or that one voter alone has, changes nothing and stalls nothing.
//!
//! Method: the built programs against a cluster of real processes, as operators run them; one voter is
//! restarted in the middle. A forger has the old log key and the cosigner keys of all nodes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use aimslog_client::{ClientError, FinishedStatement, Ledger, Outcome, Wait, clock, verifier};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::evidence::{EvidenceFile, Report};
use aimslog_proto::statement::key::SigningKey as StatementKey;
use aimslog_proto::system::{PolicyChange, PolicyTexts};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, Note, Origin, Policy, TreeHead, TreeSize};
use aimslog_tests::check::{check_log, evidence_of};
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::forger::Forger;
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::operator::{Operator, talk};
use aimslog_tests::people::{Hospital, system_record};

const PATIENCE: Duration = Duration::from_secs(30);

fn verified(file: &[u8], policy: &Policy) -> Report {
    verifier::verify(file, policy, UnixSeconds(clock::unix_seconds()))
}

fn must(ran: &Output, cluster: &Cluster) {
    assert!(ran.status.success(), "{}\n{}", talk(ran), cluster.logs());
}

fn refused(ran: &Output, code: i32, words: &str) {
    let said = talk(ran);
    assert_eq!(ran.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

fn policy_in(path: &Path) -> Policy {
    Policy::parse(&fs::read(path).unwrap()).unwrap()
}

fn key_file(cluster: &Cluster, position: usize, name: &str) -> PathBuf {
    cluster.nodes[position].folder.join("keys").join(name)
}

fn log_seeds(cluster: &Cluster) -> Vec<String> {
    let all = 0..cluster.nodes.len();
    all.map(|position| fs::read_to_string(key_file(cluster, position, "log.seed")).unwrap())
        .collect()
}

/// One more record, and evidence of it under a head that covers it.
async fn newest_evidence(ledger: &Ledger, hospital: &Hospital, number: u64) -> Vec<u8> {
    let statements = [hospital.decision(number)];
    let outcomes = ledger.submit(&statements, Wait::Committed).await.unwrap();
    let Outcome::Logged { entry, .. } = &outcomes[0] else {
        panic!("a valid record was answered with {:?}", outcomes[0]);
    };
    let size = TreeSize(entry.index.0 + 1);
    ledger.checkpoint_covering(size).await.unwrap();
    evidence_of(ledger, &[entry.entry_id]).await
}

fn head_of(file: &[u8]) -> (EvidenceFile, TreeHead) {
    let file = EvidenceFile::parse(file).unwrap();
    let note = Note::parse(file.head.checkpoint.as_bytes()).unwrap();
    let head = *Checkpoint::parse(note.text()).unwrap().head();
    (file, head)
}

fn words(proof: &Path) -> Vec<&str> {
    let proof = proof.to_str().unwrap();
    vec![
        "cluster",
        "rotate-log-key",
        "--wait",
        "30",
        "--possession",
        proof,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_key_changes_on_every_voter_while_records_go_in() {
    let mut cluster = Cluster::start(3).await;
    let first = cluster.policy();
    let first_file = Operator::new(&cluster);
    let operator = Operator::new(&cluster);
    let forger = Forger::of(&cluster);
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    let load = Load::start_unwatched(&cluster, &hospital, &history, 1, |_| true);
    Load::wait_for_progress(&history, 20, PATIENCE).await;
    let ledger = cluster.ledger_as(hospital.read_key());
    let oldest = newest_evidence(&ledger, &hospital, 1_000_000).await;
    let seeds = log_seeds(&cluster);
    let leader = cluster.leader().await;
    let (follower, away) = ((leader + 1) % 3, (leader + 2) % 3);

    let proof = a_key_of_one_voter_alone_changes_nothing(&cluster, &operator, follower).await;
    newest_evidence(&ledger, &hospital, 2_000_000).await;

    // One voter is restarted while the key is changed.
    let told = history.acknowledged();
    let changing = tokio::task::spawn_blocking(move || {
        let ran = operator.agree(&words(&proof), 1);
        (ran, operator, proof)
    });
    cluster.kill(away);
    Load::wait_for_progress(&history, 5, PATIENCE).await;
    cluster.start_node(away);
    let (ran, operator, proof) = changing.await.unwrap();
    must(&ran, &cluster);
    assert!(history.acknowledged() > told, "nothing went in meanwhile");
    every_voter_has_another(&cluster, &seeds);
    let again = operator.agree(&words(&proof), 1);
    must(&again, &cluster);
    assert!(
        talk(&again).contains("alone: done before"),
        "{}",
        talk(&again)
    );
    let text = fs::read_to_string(operator.file("policy-new.txt")).unwrap();
    cluster.hand_out_policy(&text);
    Load::wait_for_progress(&history, 10, PATIENCE).await;
    load.stop().await;
    for position in 0..3 {
        cluster.stop(position);
    }
    cluster.start_all();
    check_log(&cluster, &history, &hospital.read_key()).await;
    for position in 0..3 {
        cluster
            .wait_until(position, PATIENCE, |status| status.alarms.is_empty())
            .await;
    }

    let ledger = cluster.ledger_as(hospital.read_key());
    let newest = newest_evidence(&ledger, &hospital, 3_000_000).await;
    let last = policy_in(&operator.file("policy-new.txt"));
    for (what, evidence, policy) in [
        ("oldest under the first", &oldest, &first),
        ("newest under the first", &newest, &first),
        ("newest under the last", &newest, &last),
    ] {
        let report = verified(evidence, policy);
        assert!(report.verdict.is_verified(), "{what}: {report}");
    }
    two_keys_lead_over_and_one_goes_on(&newest, (&first, &last));
    the_old_key_signs_nothing(&operator, &forger, (&first, &last), &newest);
    let shown = first_file.run(&["policy", "show", "--chain", "-o", "walked.txt"]);
    must(&shown, &cluster);
    assert_eq!(
        fs::read_to_string(first_file.file("walked.txt")).unwrap(),
        text
    );
}

/// Each voter makes a next key of its own, so that the one which is named stays with the one that made it.
/// Gives the proof of that one, and leaves the others without.
async fn a_key_of_one_voter_alone_changes_nothing(
    cluster: &Cluster,
    operator: &Operator,
    maker: usize,
) -> PathBuf {
    let proofs: Vec<PathBuf> = (0..3)
        .map(|position| cluster.rotate(position, "log"))
        .collect();
    let proof = proofs[maker].clone();
    let before = log_seeds(cluster);
    let unnamed = switch(cluster, &proof).await;
    assert_eq!(unnamed, Some(Reason::UnknownKey), "no record has named it");
    let mut impatient = words(&proof);
    impatient[3] = "5";
    let alone = operator.agree(&impatient, 1);
    refused(&alone, 4, "has not got the new key");
    let alone = switch(cluster, &proof).await;
    assert_eq!(
        alone,
        Some(Reason::FailedPrecondition),
        "one of three has it"
    );
    assert_eq!(log_seeds(cluster), before);
    for position in (0..3).filter(|position| *position != maker) {
        assert!(
            cluster
                .log_of(position)
                .contains("the next log key has no place"),
            "{position}"
        );
        fs::remove_file(key_file(cluster, position, "log.next.seed")).unwrap();
    }
    proof
}

/// Sends the policy with the key of this proof, past the command; why it was refused.
async fn switch(cluster: &Cluster, proof: &Path) -> Option<Reason> {
    let info = cluster.ledger().unverified_info().await.unwrap();
    let before = PolicyTexts {
        publish: info.publish_policy,
        trust: info.trust_policy,
    };
    let seed = fs::read_to_string(proof.with_extension("seed")).unwrap();
    let new = StatementKey::parse_seed_file(&seed).unwrap().public_key();
    let new = new.to_log_key(&Origin::new(ORIGIN).unwrap());
    let policy = Policy::parse(before.publish.as_bytes()).unwrap();
    let old = &policy.logs()[0].key;
    let swap = |text: &str| text.replace(&old.to_string(), &new.to_string());
    let change = PolicyChange {
        predecessor: before.digest(),
        texts: PolicyTexts {
            publish: swap(&before.publish),
            trust: swap(&before.trust),
        },
        approvals: Vec::new(),
    };
    let seed = cluster.folder().join("operator-1/operator.seed");
    let seed = fs::read_to_string(seed).unwrap();
    let operator = StatementKey::parse_seed_file(&seed).unwrap();
    let statement = system_record(&change, &operator);
    let leader = cluster.leader().await;
    // The way of evidence takes records of the ledger as well, and is no way around.
    let beside = FinishedStatement {
        statement: system_record(&change, &operator),
        disclosures: Vec::new(),
        digest_only: Vec::new(),
    };
    let outcomes = cluster.ledger().submit(&[beside], Wait::Committed).await;
    let beside = match outcomes.unwrap().as_slice() {
        [Outcome::Refused { violations, .. }] => violations[0].reason,
        other => panic!("{other:?}"),
    };
    match cluster.admin_of(leader).submit_system(&statement).await {
        Ok(index) => panic!("the policy was logged at {index}"),
        Err(ClientError::Refused(refusal)) => {
            assert_eq!(refusal.reason, Some(beside));
            refusal.reason
        }
        Err(error) => panic!("{error}"),
    }
}

/// The same new key lies on all of them, alone, and was told to nobody else.
fn every_voter_has_another(cluster: &Cluster, before: &[String]) {
    let after = log_seeds(cluster);
    let is_new = |seed: &String| *seed == after[0] && *seed != before[0];
    assert!(after.iter().all(is_new));
    let secret = after[0].trim().rsplit(' ').next().unwrap();
    for position in 0..cluster.nodes.len() {
        assert!(!key_file(cluster, position, "log.next.seed").exists());
        let log = cluster.log_of(position);
        assert!(!log.contains(secret), "a key was logged");
    }
}

fn two_keys_lead_over_and_one_goes_on(newest: &[u8], (first, last): (&Policy, &Policy)) {
    let (file, _) = head_of(newest);
    let [step] = file.policy_steps.as_slice() else {
        panic!("one change of policy, {} steps", file.policy_steps.len());
    };
    let name = first.logs()[0].key.name();
    let by_log = |note: &Note| {
        let lines = note.signatures().iter();
        lines.filter(|line| line.name == *name).count()
    };
    let leading = Note::parse(step.checkpoint.as_bytes()).unwrap();
    assert_eq!(by_log(&leading), 2);
    first.check(&leading).unwrap();
    last.check(&leading).unwrap();
    let head = Note::parse(file.head.checkpoint.as_bytes()).unwrap();
    assert_eq!(by_log(&head), 1);
    first.check(&head).unwrap_err();
    last.check(&head).unwrap();
}

/// Also where every cosigner stands behind what it signs.
fn the_old_key_signs_nothing(
    operator: &Operator,
    forger: &Forger,
    (first, last): (&Policy, &Policy),
    newest: &[u8],
) {
    let (mut file, head) = head_of(newest);
    let forged = forger.note(head, &[1, 2, 3]);
    first.check(&forged).unwrap();
    last.check(&forged).unwrap_err();
    fs::write(operator.file("forged.checkpoint"), forged.to_string()).unwrap();
    let verify = operator.run(&["verify", "forged.checkpoint", "--policy", "policy-new.txt"]);
    assert_eq!(verify.status.code(), Some(1), "{verify:?}");
    file.head.checkpoint = forged.to_string();
    let evidence = file.print().unwrap();
    for (which, policy) in [("first", first), ("last", last)] {
        let report = verified(evidence.as_bytes(), policy);
        assert!(!report.verdict.is_verified(), "{which}: {report}");
    }
    let said = verified(evidence.as_bytes(), first).to_string();
    assert!(said.contains("the policy in force since entry"), "{said}");
}
