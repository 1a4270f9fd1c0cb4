//! Goal: the program keeps its promises to a submitter: a run that is killed goes on where it was,
//! nothing is logged twice by accident, and what stays at home can be shown later.
//!
//! Method: the built program against a cluster of real processes, from an empty folder.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use aimslog_tests::desk::{Desk, length, text};
use aimslog_tests::people::decision_json;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Records of the run that is killed.
const MANY: u64 = 1500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_goes_on_where_it_was_and_logs_nothing_twice() {
    let desk = Desk::new().await;
    let mut lines = String::new();
    for number in 0..MANY {
        writeln!(lines, "{}", decision_json(number).replace('\n', " ")).unwrap();
    }
    desk.write("many.jsonl", lines.as_bytes());
    let mut killed = desk
        .command(&["submit", "many.jsonl"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let leader = desk.cluster.leader().await;
    desk.cluster
        .wait_until(leader, Duration::from_mins(1), |status| {
            status.tree_size > 100
        })
        .await;
    killed.kill().unwrap();
    let ended = killed.wait().unwrap();
    assert_eq!(ended.signal(), Some(9), "it was over before it was killed");

    let told = desk.data(&["submit", "many.jsonl"]);
    let told = told.as_array().unwrap();
    assert_eq!(told.len() as u64, MANY);
    let count = |status: &str| {
        told.iter()
            .filter(|one| text(one, "/status") == status)
            .count()
    };
    let (logged, already) = (count("logged"), count("already logged"));
    assert_eq!((logged + already) as u64, MANY);
    assert!(
        logged > 0 && already > 0,
        "{logged} logged, {already} before"
    );
    let all = ["--kind", "oversight_decision", "--limit", "5000"];
    let listed = desk.list(&all, told.len()).await;
    assert_eq!(length(&listed, "/records") as u64, MANY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_a_sealed_record_stay_at_home_and_are_disclosed_from_there() {
    let desk = Desk::new().await;
    desk.write_decision("decision.json", 1);
    let told = desk.submit(&["submit", "decision.json", "--sealed"]);
    let id = text(&told, "/entry_id").to_owned();
    let kept = text(&told, "/fields_kept").to_owned();

    let seen = desk.data(&["get", &id]);
    assert_eq!(text(&seen, "/payload"), "sealed");
    assert!(length(&seen, "/fields") > 10, "{seen}");
    let two = ["disclose", &id, "--fields", "decision,decided_at", "-o"];
    desk.data(&[&two[..], &["two.evidence.json"]].concat());
    let report = desk.data(&["verify", "two.evidence.json"]);
    assert_eq!(length(&report, "/records/0/fields"), 2);
    desk.data(&["disclose", &id, "-o", "all.evidence.json"]);
    let report = desk.data(&["verify", "all.evidence.json"]);
    assert_eq!(
        length(&report, "/records/0/fields") as u64,
        report
            .pointer("/records/0/fields_total")
            .unwrap()
            .as_u64()
            .unwrap()
    );

    // A retraction says no more to the ledger than the record did.
    let retracted = desk.submit(&["retract", &id, "--reason", "entered twice"]);
    let seen = desk.data(&["get", text(&retracted, "/entry_id")]);
    assert_eq!(text(&seen, "/payload"), "sealed");
    // A refusal is one node's word: what was sealed is moved aside, and never deleted for it.
    let refused = desk.run(&[
        "amend",
        &id,
        "decision.json",
        "--sealed",
        "--again",
        "--json",
    ]);
    assert_eq!(refused.status.code(), Some(4));
    let told: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let aside = text(&told, "/0/fields_kept");
    assert!(aside.contains("/sealed/refused/"), "{aside}");
    assert!(fs::metadata(aside).unwrap().len() > 0);
    // The ledger has nothing to show without the copy.
    fs::remove_file(kept).unwrap();
    desk.data(&["disclose", &id, "-o", "none.evidence.json"]);
    let report = desk.data(&["verify", "none.evidence.json"]);
    assert_eq!(length(&report, "/records/0/fields"), 0);

    let system = r#"{"meta":{"kind":"ai_system"},"record":{}}"#;
    desk.write("system.json", system.as_bytes());
    let refused = desk.run(&["submit", "system.json", "--sealed"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_goes_back_to_an_earlier_one_is_logged_and_repeated_is_not() {
    let desk = Desk::new().await;
    desk.write_decision("one.json", 1);
    desk.write_decision("two.json", 2);
    let first = desk.submit(&["submit", "one.json"]);
    let second = desk.submit(&["amend", text(&first, "/entry_id"), "two.json"]);
    let back = ["amend", text(&second, "/entry_id"), "one.json", "--correct"];
    let third = desk.submit(&back);
    assert_eq!(text(&third, "/status"), "logged");
    assert_ne!(third["entry_id"], first["entry_id"]);
    let again = desk.submit(&back);
    assert_eq!(text(&again, "/status"), "already logged");
    assert_eq!(again["index"], third["index"]);
    // An old version is amended by nobody, and the answer names the newest.
    let old = desk.run(&["amend", text(&first, "/entry_id"), "two.json", "--again"]);
    let said = String::from_utf8_lossy(&old.stdout).into_owned();
    assert_eq!(old.status.code(), Some(4), "{said}");
    assert!(said.contains(text(&third, "/entry_id")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proof_can_be_fetched_for_what_was_logged_before() {
    let desk = Desk::new().await;
    desk.write_decision("decision.json", 1);
    let first = desk.submit(&["submit", "decision.json"]);
    assert_eq!(first.get("evidence"), None);
    let wait = [
        "submit",
        "decision.json",
        "--wait",
        "receipt",
        "--evidence-dir",
        "proofs",
    ];
    let again = desk.submit(&wait);
    assert_eq!(text(&again, "/status"), "already logged");
    let report = desk.data(&["verify", text(&again, "/evidence")]);
    assert_eq!(report["records"][0]["entry_id"], first["entry_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_are_stored_or_stay_at_home_at_any_size() {
    let desk = Desk::new().await;
    let (small, large) = (b"a small attachment".to_vec(), vec![7; 5 << 20]);
    let naming = |file: &str, content: &[u8], number: u64| {
        let digest = Sha256::digest(content);
        let digest = digest
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let list = format!(
            r#""attachments":[{{"name":"{file}","digest":"{digest}","size":{},
            "media_type":"application/octet-stream"}}],"justification""#,
            content.len()
        );
        decision_json(number).replace("\"justification\"", &list)
    };
    desk.write("small.txt", &small);
    desk.write("large.bin", &large);
    desk.write("stored.json", naming("small.txt", &small, 1).as_bytes());
    desk.write("home.json", naming("large.bin", &large, 2).as_bytes());

    let stored = desk.submit(&["submit", "stored.json"]);
    let too_large = desk.run(&["submit", "home.json"]);
    assert_eq!(too_large.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&too_large.stderr).contains("--attach-digest large.bin"));
    let home = desk.submit(&["submit", "home.json", "--attach-digest", "large.bin"]);
    let unknown = desk.run(&["submit", "stored.json", "--attach-digest", "smal.txt"]);
    assert_eq!(unknown.status.code(), Some(2));

    let id = text(&home, "/entry_id");
    desk.data(&["disclose", id, "-o", "home.evidence.json"]);
    desk.data(&["verify", "home.evidence.json", "--with", "large.bin"]);
    let other = desk.run(&["verify", "home.evidence.json", "--with", "small.txt"]);
    assert_eq!(other.status.code(), Some(1));
    // A retraction needs neither file at hand.
    for file in ["small.txt", "large.bin"] {
        fs::remove_file(desk.file(file)).unwrap();
    }
    for record in [&stored, &home] {
        desk.submit(&[
            "retract",
            text(record, "/entry_id"),
            "--reason",
            "wrong patient",
        ]);
    }
}

/// What the administrator says about a record that somebody else has logged in another run.
const VERDICT: &str = r"
meta:
  kind: rule_verdict
  links:
    - [record, key:decision-1]
record:
  occurred_at: 2026-03-03T08:00:00Z
  actor: { id: admin-1, role: administrator }
  confidentiality: INTERNAL
  personal_data: false
  rule: R24
  rule_title: Decisions name reviewer, time and context
  rules_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  audited: hospital
  tree_size: 5
  root: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  as_of: 2026-03-03T08:00:00Z
  examined_count: 1
  withheld_count: 0
  result: PASS
  verdict_digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  program: aimslog
  evaluated_at: 2026-03-03T08:00:00Z
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_records_reach_over_runs_and_over_who_signs() {
    let desk = Desk::new().await;
    let named = |meta: &str| decision_json(1).replacen("\"meta\":{", meta, 1);
    desk.write(
        "one.json",
        named(r#""meta":{"key":"decision-1","#).as_bytes(),
    );
    let one = desk.submit(&["submit", "one.json", "--known", "known.json"]);
    assert_eq!(text(&one, "/status"), "logged");

    desk.write("verdict.yaml", VERDICT.as_bytes());
    let submit = ["--key", "admin.seed", "submit", "verdict.yaml"];
    let ran = desk.run(&submit);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("key:decision-1"), "{said}");
    // Looked at or sent, with the file the link leads there.
    let look = ["--key", "admin.seed", "validate", "verdict.yaml"];
    let told = desk.data(&[&look[..], &["--known", "known.json"]].concat());
    assert_eq!(text(&told, "/0/status"), "valid");
    let told = desk.submit(&[&submit[..], &["--known", "known.json"]].concat());
    assert_eq!(text(&told, "/status"), "logged");

    // A later version in a third run, and one of that in a fourth: the entity is known as well.
    for (file, earlier, key) in [
        ("two.json", "decision-1", "decision-1b"),
        ("three.json", "decision-1b", "decision-1c"),
    ] {
        let meta =
            format!(r#""meta":{{"key":"{key}","amends":"key:{earlier}","change":"correct","#);
        desk.write(file, named(&meta).as_bytes());
        let told = desk.submit(&["submit", file, "--known", "known.json"]);
        assert_eq!(text(&told, "/status"), "logged", "{told}");
    }
    let known: Value = serde_json::from_slice(&fs::read(desk.file("known.json")).unwrap()).unwrap();
    assert_eq!(known["decision-1c"]["entity"], known["decision-1"]["entry"]);
    assert_eq!(known["decision-1"]["entry"], one["entry_id"]);
}
