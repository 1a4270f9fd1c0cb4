//! Goal: what an enterprise hands to its auditor, and what the auditor keeps, works as the quick starts
//! say, typed literally.
//!
//! Method: the built program against a cluster of real processes, from an empty folder.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeSet;

use aimslog_tests::desk::{Desk, length, text};
use serde_json::Value;

/// Registers a reviewer, who signs nothing here.
fn add_principal(desk: &Desk, id: &str) -> u64 {
    let seed = format!("{id}.seed");
    desk.data(&["key", "generate", "-o", &seed]);
    let add = ["principal", "add", id, "--principal-key", &seed];
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

    let listed = desk.data(&["list"]);
    assert_eq!(length(&listed, "/records"), 4, "{listed}");
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
    let alone = desk
        .command(&["validate", &inventory, "--attach-dir", &files])
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
