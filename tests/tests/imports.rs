//! Goal: a register gets into the ledger whole or not at all, once, however often and from wherever the
//! import is run.
//!
//! Method: the built program against a cluster of real processes, with CSV files of few or many rows, a
//! run that is killed, and a terminal at which somebody is asked.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aimslog_tests::desk::{Desk, length, text};
use aimslog_tests::terminal::answer;
use serde_json::Value;

/// Rows of the run that is killed.
const MANY: usize = 1000;
const HEADER: &str = "NC ID,Date,Requirement / Process,Finding,Root Cause,Correction,Corrective Action,Owner,\
                      Due Date,Status,Effectiveness Check\n";
const LIKE: [&str; 6] = [
    "--like",
    "nc",
    "--set",
    "source=AUDIT",
    "--set",
    "grade=MINOR",
];

/// A nonconformity without an action.
fn row(number: usize, finding: &str) -> String {
    format!("NC-{number},2026-03-02,7.2,{finding},,,,p-105,2026-04-30,Open,\n")
}

fn register(rows: &[String]) -> Vec<u8> {
    (HEADER.to_owned() + &rows.concat()).into_bytes()
}

/// Imports without asking, and returns exit code, data and talk.
fn import(desk: &Desk, file: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let arguments = [&["import", file, "--yes", "--json"], more].concat();
    let ran = desk.run(&arguments);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let data = match ran.stdout.as_slice() {
        // A run that cannot be begun says why, and has no data.
        [] => Value::Null,
        data => serde_json::from_slice(data)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ran:?}")),
    };
    (ran.status.code(), data, said)
}

/// How many records of a kind the ledger lists.
fn listed(desk: &Desk, kind: &str) -> usize {
    length(
        &desk.data(&["list", "--kind", kind, "--limit", "5000"]),
        "/records",
    )
}

/// The files with this name below a folder.
fn found(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(found(&path, name));
        } else if path.file_name().is_some_and(|file| file == name) {
            files.push(path);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_goes_on_and_knows_what_it_has_logged() {
    let desk = Desk::new().await;
    let mut rows: Vec<String> = (0..MANY).map(|n| row(n, "Two had no training")).collect();
    desk.write("nc.csv", &register(&rows));
    let arguments = [&["import", "nc.csv", "--yes"], &LIKE[..]].concat();
    let mut killed = desk
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let leader = desk.cluster.leader().await;
    desk.cluster
        .wait_until(leader, Duration::from_mins(2), |status| {
            status.tree_size > 150
        })
        .await;
    killed.kill().unwrap();
    let ended = killed.wait().unwrap();
    assert_eq!(ended.signal(), Some(9), "it was over before it was killed");
    assert!(found(&desk.file("home"), "imports.json").is_empty());
    assert_eq!(found(&desk.file("home"), "imports.new.jsonl").len(), 1);

    // A row that has been logged and is edited now is no new thing.
    let whole = rows.clone();
    rows[0] = row(0, "Three had no training");
    desk.write("nc.csv", &register(&rows));
    let (code, data, said) = import(&desk, "nc.csv", &LIKE);
    assert_eq!(code, Some(2), "{said}");
    let refused = data["records"][0]["violations"].to_string();
    assert!(refused.contains("--changed amend"), "{refused}");

    desk.write("nc.csv", &register(&whole));
    let (code, data, said) = import(&desk, "nc.csv", &LIKE);
    assert_eq!(code, Some(0), "{said}");
    let count = |name: &str| usize::try_from(data[name].as_u64().unwrap()).unwrap();
    assert_eq!(count("logged") + count("already_logged"), MANY);
    assert!(
        count("logged") > 0 && count("already_logged") >= 64,
        "{said}"
    );
    assert_eq!(listed(&desk, "nonconformity"), MANY);
    assert!(found(&desk.file("home"), "imports.new.jsonl").is_empty());
    let (code, data, _) = import(&desk, "nc.csv", &LIKE);
    assert_eq!((code, &data["already_logged"]), (Some(0), &MANY.into()));
}

/// The blocks of the page about imports.
fn documented(language: &str) -> Vec<String> {
    let page = include_str!("../../docs/import.md");
    let start = format!("```{language}\n");
    let parts = page.split(&start).skip(1);
    parts
        .map(|part| part.split_once("\n```").unwrap().0.to_owned() + "\n")
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_link_to_earlier_imports_and_what_the_ledger_would_refuse_is_told_first() {
    let desk = Desk::new().await;
    let (mappings, registers) = (documented("toml"), documented("csv"));
    for number in 0..2 {
        desk.write(&format!("{number}.toml"), mappings[number].as_bytes());
        desk.write(&format!("{number}.csv"), registers[number].as_bytes());
    }
    let (first, second) = (["--mapping", "0.toml"], ["--mapping", "1.toml"]);
    let (code, _, said) = import(&desk, "1.csv", &second);
    assert_eq!(code, Some(2), "what it links to is not there yet: {said}");
    let (code, data, said) = import(&desk, "0.csv", &first);
    assert_eq!(code, Some(0), "{said}");
    let nonconformity = text(&data, "/records/0/entry_id").to_owned();

    // One of the rows links to an entry that there is not: the other is not sent either.
    let mut actions = registers[1].clone();
    actions.push_str("CA-2,NC-9,2026-03-09,Train,p-105,2026-04-30,No lapse\n");
    actions.push_str("CA-3,NC-2,2026-03-09,Widen,p-105,2026-04-30,No gap\n");
    desk.write("2.csv", actions.as_bytes());
    let nowhere = "A".repeat(43);
    let known = format!(r#"{{"NC-9":{{"entry":"{nowhere}","entity":"{nowhere}"}}}}"#);
    desk.write("keys.json", known.as_bytes());
    let known = [&second[..], &["--known", "keys.json"]].concat();
    let (code, data, said) = import(&desk, "2.csv", &known);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("nothing was sent"), "{said}");
    assert_eq!(data["records"][1]["status"], "refused", "{data}");
    assert_eq!(listed(&desk, "corrective_action"), 0);
    let skip = [&known[..], &["--skip-invalid"]].concat();
    let (code, data, said) = import(&desk, "2.csv", &skip);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        (&data["logged"], &data["left_out"]),
        (&2.into(), &1.into()),
        "{data}"
    );
    let seen = desk.data(&["get", text(&data, "/records/0/entry_id")]);
    assert!(seen.to_string().contains(&nonconformity), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_rows_are_new_versions_where_that_is_asked_for() {
    let desk = Desk::new().await;
    let with_action = |finding: &str| {
        format!(
            "NC-1,2026-03-02,7.2,{finding},Dates,Trained,Remind,p-105,2026-04-30,Open,No lapse\n"
        )
    };
    desk.write(
        "nc.csv",
        &register(&[with_action("Two had none"), row(2, "A gap")]),
    );
    let (code, data, said) = import(&desk, "nc.csv", &LIKE);
    assert_eq!((code, &data["logged"]), (Some(0), &3.into()), "{said}");
    let first = text(&data, "/records/0/entry_id").to_owned();
    desk.write(
        "nc.csv",
        &register(&[
            with_action("Three had none"),
            row(2, "A gap"),
            row(3, "New"),
        ]),
    );
    let (code, _, said) = import(&desk, "nc.csv", &LIKE);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(
        listed(&desk, "nonconformity"),
        2,
        "nothing is half-imported"
    );
    let amend = [&LIKE[..], &["--changed", "amend"]].concat();
    let (code, data, said) = import(&desk, "nc.csv", &amend);
    assert_eq!(code, Some(0), "{said}");
    for (name, count) in [("logged", 2), ("amended", 1), ("already_logged", 2)] {
        assert_eq!(data[name], count, "{name}: {data}");
    }
    // The run has waited for a head over what it logged: whoever looks next finds it.
    let amended = data["records"][0]["index"].as_u64().unwrap();
    assert!(data["published_size"].as_u64().unwrap() > amended, "{data}");
    let history = desk.data(&["history", &first]);
    assert!(
        history
            .to_string()
            .contains(text(&data, "/records/0/entry_id")),
        "{history}"
    );
    // The same once more sends nothing, and a change of the new version is a third one.
    let (code, data, _) = import(&desk, "nc.csv", &amend);
    assert_eq!(
        (code, &data["logged"], &data["already_logged"]),
        (Some(0), &0.into(), &4.into())
    );
    desk.write("nc.csv", &register(&[with_action("Four had none")]));
    let (code, data, said) = import(&desk, "nc.csv", &amend);
    assert_eq!((code, &data["amended"]), (Some(0), &1.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_at_a_terminal_is_asked_and_no_is_no() {
    let desk = Desk::new().await;
    desk.write("nc.csv", &register(&[row(1, "A gap"), row(2, "A lapse")]));
    let ask = |said: &str| {
        let command = desk.command(&[&["import", "nc.csv"], &LIKE[..]].concat());
        answer(command, ("send 2 records? [y/N] ", said))
    };
    for no in ["n", "", "maybe"] {
        let answered = ask(no);
        assert!(answered.status.success(), "{no}: {answered:?}");
        assert_eq!(answered.stdout, "nothing was sent\n", "{no}");
        assert!(answered.screen.contains("whole:"), "{}", answered.screen);
    }
    assert_eq!(listed(&desk, "nonconformity"), 0);
    let answered = ask("yes");
    assert!(answered.status.success(), "{answered:?}");
    assert!(
        answered.stdout.contains("2 records: 2 logged"),
        "{answered:?}"
    );
    assert_eq!(listed(&desk, "nonconformity"), 2);
    // Nothing is left to send, and so nobody is asked.
    let ran = desk.run(&[&["import", "nc.csv"], &LIKE[..]].concat());
    assert!(ran.status.success(), "{ran:?}");
}
