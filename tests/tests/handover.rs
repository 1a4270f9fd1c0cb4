//! Goal: what an enterprise hands to its auditor, and what the auditor keeps, works as the quick starts
//! say, typed literally.
//!
//! Method: the built program against a cluster of real processes, from an empty folder.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeSet;
use std::fs;

use aimslog_tests::desk::{Desk, length, text};
use serde_json::Value;

/// Registers a reviewer, who signs nothing here.
fn add_principal(desk: &Desk, id: &str) -> u64 {
    let seed = format!("{id}.seed");
    desk.data(&["key", "generate", "-o", &seed]);
    let add = [
        "principal",
        "add",
        id,
        "--principal-key",
        &seed,
        "--key",
        "admin.seed",
    ];
    let told = desk.data(&[&add[..], &["--holder", "holder-7", "--role", "submitter"]].concat());
    told["index"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_principals_stand_in_the_chain_and_in_nobodys_way() {
    let desk = Desk::new().await;
    add_principal(&desk, "reviewer-7");
    desk.write_decision("one.json", 1);
    desk.submit(&["submit", "one.json", "--wait", "receipt"]);
    desk.data(&["checkpoint", "--save", "last.checkpoint"]);
    let index = add_principal(&desk, "reviewer-8");
    desk.write_decision("two.json", 2);
    desk.submit(&["submit", "two.json"]);

    let listed = desk.list(&[], 5).await;
    assert_eq!(length(&listed, "/records"), 5, "{listed}");
    desk.data(&["disclose", "--all", "-o", "all.evidence.json"]);
    let report = desk.data(&["verify", "all.evidence.json"]);
    assert_eq!(length(&report, "/records"), 2, "{report}");
    let since = ["--since", "last.checkpoint"];
    desk.data(&[&["disclose", "-o", "new.evidence.json"], &since[..]].concat());
    let report = desk.data(&[&["verify", "new.evidence.json"], &since[..]].concat());
    assert_eq!(length(&report, "/records"), 1, "{report}");

    // One of them by itself can be looked at, by its index and by its id.
    let shown = desk.data(&["get", &index.to_string()]);
    assert_eq!(text(&shown, "/header/kind"), "ledger.principal.v1");
    assert_eq!(shown["place"]["index"], index);
    let not_proven = shown["not_proven"].to_string();
    assert!(not_proven.contains("chain of every"), "{not_proven}");
    let id = text(&shown, "/entry_id");
    assert_eq!(desk.data(&["get", id])["entry_id"], shown["entry_id"]);
    let refused = desk.run(&["disclose", id, "-o", "principal.evidence.json"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

fn demo_data(name: &str) -> String {
    format!("{}/../cli/demo/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn statuses(told: &Value) -> BTreeSet<&str> {
    let all = told.as_array().unwrap().iter();
    all.map(|one| text(one, "/status")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_validate_takes_is_what_submit_takes() {
    let desk = Desk::new().await;
    let (inventory, files) = (demo_data("01-inventory.jsonl"), demo_data("attachments"));
    // Versions and links of this run, and attachments that nobody has stored yet.
    let run = |verb: &str| desk.data(&[verb, &inventory, "--attach-dir", &files]);
    let validated = run("validate");
    assert_eq!(statuses(&validated), ["valid"].into(), "{validated}");
    assert_eq!(
        validated[0].get("entry_id"),
        None,
        "it is not the one to come"
    );
    let submitted = run("submit");
    assert_eq!(statuses(&submitted), ["logged"].into(), "{submitted}");
    let again = run("validate");
    assert_eq!(statuses(&again), ["already logged"].into(), "{again}");
    assert_eq!(again[0]["entry_id"], submitted[0]["entry_id"]);

    // What submit refuses, validate refuses.
    let oversight = demo_data("02-oversight.jsonl");
    for verb in ["validate", "submit"] {
        let refused = desk.run(&[verb, &oversight]);
        assert_eq!(refused.status.code(), Some(2), "{verb}: {refused:?}");
    }
    // Decisions about systems go in one run with the systems.
    let submitted = desk.data(&["submit", &inventory, &oversight]);
    assert_eq!(statuses(&submitted), ["already logged", "logged"].into());
    // An audit takes more hands than one.
    let audit = demo_data("03-audit.jsonl");
    let all = [&inventory, &oversight, &audit].map(String::as_str);
    let submit = [&["submit"], &all[..], &["--attach-dir", &files, "--json"]].concat();
    let refused = desk.run(&submit);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let told: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let expected = ["already logged", "logged", "refused"];
    assert_eq!(statuses(&told), expected.into(), "{told}");

    let alone = desk
        .command(&["validate", &inventory, "--attach-dir", &files, "--again"])
        .env("AIMSLOG_ENDPOINT", "127.0.0.1:1")
        .env("AIMSLOG_TIMEOUT", "2")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stderr);
    assert_eq!(alone.status.code(), Some(3), "{said}");
    assert!(said.contains("--offline"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_follow_an_entry_named_by_its_index() {
    let desk = Desk::new().await;
    desk.write_decision("one.json", 1);
    desk.write_decision("two.json", 2);
    let first = desk.submit(&["submit", "one.json", "--wait", "receipt"]);
    let index = first["index"].to_string();
    let second = desk.submit(&["amend", &index, "two.json", "--wait", "receipt"]);
    let index = second["index"].to_string();
    desk.submit(&["retract", &index, "--reason", "entered twice"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_somebody_keeps_is_not_lost_by_keeping_another() {
    let desk = Desk::new().await;
    let save = ["checkpoint", "--save", "kept/head.checkpoint"];
    let read = |name: &str| fs::read_to_string(desk.file(name)).unwrap();
    let first = desk.data(&save);
    let (size, note) = (
        first["head"]["size"].as_u64().unwrap(),
        read("kept/head.checkpoint"),
    );
    desk.write_decision("one.json", 1);
    desk.submit(&["submit", "one.json", "--wait", "receipt"]);
    let second = desk.data(&save);
    let aside = format!("kept/head.checkpoint.{size}");
    assert_eq!(text(&second, "/saved_before"), aside);
    assert_eq!(read(&aside), note);
    let note = read("kept/head.checkpoint");
    // The same head again changes nothing, not even since when it is held.
    let held_since = fs::metadata(desk.file("kept/head.checkpoint"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(desk.data(&save).get("saved_before"), None);
    let unchanged = fs::metadata(desk.file("kept/head.checkpoint")).unwrap();
    assert_eq!(
        (read("kept/head.checkpoint"), unchanged.modified().unwrap()),
        (note, held_since)
    );

    desk.write("notes.txt", b"not a head");
    let refused = desk.run(&["checkpoint", "--save", "notes.txt"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(read("notes.txt"), "not a head");
    desk.data(&["checkpoint", "--save", "notes.txt", "--force"]);
    assert_eq!(read("notes.txt"), read("kept/head.checkpoint"));

    let report = desk.data(&["verify", "notes.txt"]);
    assert_eq!(text(&report, "/findings/0/code"), "HELD_BY_NOBODY_OUTSIDE");
    desk.data(&["disclose", "--all", "-o", "new/folder/all.evidence.json"]);
    let file = "new/folder/all.evidence.json";
    let held = desk.data(&["verify", file, "--since", "notes.txt"]);
    assert_eq!(length(&held, "/records"), 1, "{held}");
}

/// An exit code that a script reads says what the words say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_and_exit_codes_agree() {
    let desk = Desk::new().await;
    desk.write_decision("one.json", 1);
    desk.submit(&["submit", "one.json"]);
    desk.data(&["disclose", "--all", "-o", "all.evidence.json"]);
    desk.write("other.pdf", b"named by nobody");
    let unrelated = desk.run(&["verify", "all.evidence.json", "--with", "other.pdf"]);
    let said = String::from_utf8_lossy(&unrelated.stdout);
    assert_eq!(unrelated.status.code(), Some(1), "{said}");
    assert!(said.starts_with("NOT VERIFIED\n"), "{said}");
    assert!(said.contains("wrong ATTACHMENT_NOT_NAMED"), "{said}");

    for words in [
        &["verify", "all.evidence.json"][..],
        &["prove", "consistency"],
        &["disclose", "-o", "since.evidence.json"],
    ] {
        let ran = desk.run(&[words, &["--since", "one.json"]].concat());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains("one.json is no checkpoint"), "{said}");
    }
    // Who operates or checks needs no key.
    let doctor = desk
        .command(&["doctor"])
        .env_remove("AIMSLOG_KEY")
        .env_remove("AIMSLOG_ORG")
        .output()
        .unwrap();
    assert!(doctor.status.success(), "{doctor:?}");
    let keyless = desk.command(&["doctor"]).env_remove("AIMSLOG_KEY").output();
    assert_eq!(keyless.unwrap().status.code(), Some(2));
}

/// Programs read why a command failed in one shape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_json_where_data_are() {
    let desk = Desk::new().await;
    let failed = |words: &[&str]| {
        let ran = desk.run(&[words, &["--json"]].concat());
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let line = said.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(line).unwrap();
        let code = ran.status.code().map(Value::from);
        assert_eq!(error["error"].get("exit_code").cloned(), code, "{said}");
        (ran.stdout, error)
    };
    let (_, usage) = failed(&["disclose", "-o", "all.evidence.json"]);
    assert_eq!(text(&usage, "/error/reason"), "USAGE");
    assert!(text(&usage, "/error/message").contains("--all"), "{usage}");
    let (_, refused) = failed(&["get", "999"]);
    assert_eq!(refused["error"]["exit_code"], 4, "{refused}");
    assert_ne!(text(&refused, "/error/reason"), "REFUSED");

    let decision = aimslog_tests::people::decision_json(1).replace("APPROVE", "MAYBE");
    desk.write("wrong.json", decision.as_bytes());
    let (told, error) = failed(&["submit", "wrong.json"]);
    assert_eq!(text(&error, "/error/reason"), "USAGE");
    let told: Value = serde_json::from_slice(&told).unwrap();
    let field = text(&told, "/invalid/0/violations/0/field");
    assert!(field.contains("decision"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_of_the_quick_start_logs_for_whom_it_acts() {
    let desk = Desk::new().await;
    add_principal(&desk, "reviewer-7");
    let agent = |id: &str, acts_for: &str| {
        let seed = format!("{id}.seed");
        desk.data(&["key", "generate", "-o", &seed]);
        let add = [
            "principal",
            "add",
            id,
            "--principal-key",
            &seed,
            "--holder",
            "holder-7",
            "--key",
            "admin.seed",
        ];
        let role = ["--role", "submitter", "--acts-for", acts_for];
        let ran = desk.run(&[&add[..], &role].concat());
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    assert_eq!(agent("triage-agent", "reviewer-7"), "");
    let said = agent("lost-agent", "nobody-1");
    assert!(said.contains("no principal nobody-1"), "{said}");

    desk.write_decision("decision.json", 1);
    let system = demo_data("agent/new-system.json");
    let submit = |file: &str, key: &str, person: &str| {
        let origin = ["--origin", "ai-agent", "--on-behalf-of", person];
        desk.run(&[&["submit", file, "--key", key], &origin[..]].concat())
    };
    let logged = submit(&system, "triage-agent.seed", "reviewer-7");
    assert!(logged.status.success(), "{logged:?}");
    let refused = submit(&system, "lost-agent.seed", "nobody-1");
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    // What a person decides is no agent's to sign.
    let decided = submit("decision.json", "triage-agent.seed", "reviewer-7");
    assert_eq!(decided.status.code(), Some(4), "{decided:?}");
    let told = String::from_utf8_lossy(&decided.stdout).into_owned();
    assert!(
        told.contains("an AI agent never signs oversight_decision"),
        "{told}"
    );
}
