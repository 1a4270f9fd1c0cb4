//! Goal: what an enterprise hands to its auditor, and what the auditor keeps, works as the quick starts
//! say, typed literally.
//!
//! Method: the built program against a cluster of real processes, from an empty folder.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use aimslog_tests::desk::{Desk, length, text};

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
