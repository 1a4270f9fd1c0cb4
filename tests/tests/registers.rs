//! Goal: a register, what changed in it and the history of an entity are what was logged, at every place
//! of the log, and a list is what its filters say.
//!
//! Method: the built program against a cluster of real processes, after a history whose answers are known.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::time::Duration;

use aimslog_client::{EntryKey, RecordFilter};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use aimslog_tests::desk::{Desk, length, text};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(20);

/// A nonconformity; what its analysis has found comes with the state.
fn nonconformity(reference: &str, state: &str, system: &str) -> String {
    let mut record = json!({
        "occurred_at": "2026-08-03T05:00:00Z",
        "actor": {"id": "p-105", "role": "process owner"},
        "confidentiality": "INTERNAL",
        "personal_data": false,
        "system": system,
        "nonconformity_reference": reference,
        "status": state,
        "title": "Constant values from the gateway",
        "description": "The gateway delivered the same values for 20 minutes.",
        "source": "INCIDENT",
        "source_reference": "INC-2026-09",
        "grade": "MINOR",
        "requirements": ["iso42001-2023/A.6.2.6"],
        "detected_at": "2026-08-03T04:10:00Z",
        "containment": "Assistant switched off, manual triage.",
        "contained_at": "2026-08-03T04:25:00Z",
        "owner": "p-105",
        "due_at": "2026-09-30T12:00:00Z",
    });
    if state != "OPEN" {
        record["cause_method"] = json!("FAULT_TREE");
        record["root_cause"] = json!("The gateway repeats the last value.");
        record["extent"] = json!("One gateway of three.");
        record["similar_checks"] = json!([{"place": "The other two", "found": true}]);
    }
    let meta = json!({
        "kind": "nonconformity",
        "subject": system,
        "controls": ["10.2", "A.6.2.6"],
    });
    json!({"meta": meta, "record": record}).to_string()
}

/// A place of the log: index and entry id.
#[derive(Debug, Clone)]
struct Logged {
    index: u64,
    id: String,
}

impl Logged {
    fn of(told: &Value) -> Self {
        Self {
            index: told.pointer("/index").and_then(Value::as_u64).unwrap(),
            id: text(told, "/entry_id").to_owned(),
        }
    }
}

/// What was logged, in this order.
struct History {
    first: Logged,
    second: Logged,
    analysed: Logged,
    decision: Logged,
    third: Logged,
    retracted: Logged,
}

impl History {
    /// Three nonconformities: the first is analysed, the second retracted; and a decision in between.
    async fn log(desk: &Desk) -> Self {
        for (file, reference, state, system) in [
            ("first.json", "NC-1", "OPEN", "sys-test-1"),
            ("second.json", "NC-2", "OPEN", "sys-test-2"),
            ("analysed.json", "NC-1", "ANALYSED", "sys-test-1"),
            ("third.json", "NC-3", "OPEN", "sys-test-1"),
        ] {
            desk.write(file, nonconformity(reference, state, system).as_bytes());
        }
        desk.write_decision("decision.json", 1);
        let submit = |arguments: &[&str]| Logged::of(&desk.submit(arguments));
        let first = submit(&["submit", "first.json"]);
        let second = submit(&["submit", "second.json"]);
        let analysed = submit(&["amend", &first.id, "analysed.json"]);
        let decision = submit(&["submit", "decision.json"]);
        let third = submit(&["submit", "third.json"]);
        let retracted = submit(&["retract", &second.id, "--reason", "the same as NC-1"]);
        let all = Self {
            first,
            second,
            analysed,
            decision,
            third,
            retracted,
        };
        let ledger = desk.cluster.ledger_as(desk.hospital.read_key());
        let covered = TreeSize(all.retracted.index + 1);
        ledger.checkpoint_covering(covered).await.unwrap();
        all
    }
}

/// The register of nonconformities, once the node that answers has a head that covers the place.
async fn show(desk: &Desk, place: &[&str]) -> Value {
    let arguments = [&["register", "show", "nonconformity"], place].concat();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = desk.data(&arguments);
        if !place.is_empty() || length(&shown, "/entities") >= 3 {
            return shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Number, version, state and index of each entity.
fn entities(shown: &Value) -> Vec<(u64, u64, &str, u64)> {
    let entities = shown["entities"].as_array().unwrap();
    let number = |entity: &Value, field: &str| entity[field].as_u64().unwrap();
    entities
        .iter()
        .map(|entity| {
            (
                number(entity, "number"),
                number(entity, "version"),
                text(entity, "/state"),
                number(entity, "index"),
            )
        })
        .collect()
}

fn counted(shown: &Value, pointer: &str) -> (u64, u64) {
    let count = shown.pointer(pointer).unwrap();
    let number = |field: &str| count[field].as_u64().unwrap();
    (number("entities"), number("versions"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_is_what_was_logged_up_to_its_place() {
    let desk = Desk::new().await;
    let log = History::log(&desk).await;
    let now = show(&desk, &[]).await;
    assert_eq!(
        entities(&now),
        [
            (1, 2, "analysed", log.analysed.index),
            (2, 2, "retracted", log.retracted.index),
            (3, 1, "open", log.third.index)
        ]
    );
    assert_eq!(counted(&now, "/count_claim"), (3, 5));
    assert_eq!(text(&now, "/entities/0/entity"), log.first.id);
    assert!(
        text(&now, "/not_proven").contains("ledger's claim"),
        "{now}"
    );

    let in_front = |logged: &Logged| ["--at".to_owned(), logged.index.to_string()];
    for (at, expected, count) in [
        (&log.first, vec![], (0, 0)),
        (&log.second, vec![(1, 1, "open", log.first.index)], (1, 1)),
        (
            &log.third,
            vec![
                (1, 2, "analysed", log.analysed.index),
                (2, 1, "open", log.second.index),
            ],
            (2, 3),
        ),
    ] {
        let place = in_front(at);
        let shown = show(&desk, &place.each_ref().map(String::as_str)).await;
        assert_eq!(entities(&shown), expected, "{place:?}");
        assert_eq!(counted(&shown, "/count_claim"), count, "{place:?}");
        assert_eq!(shown["at"].as_u64(), Some(at.index));
    }
    let said = desk.run(&["register", "show", "nonconformity"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("3 entities, 5 versions"), "{said}");
    assert!(said.contains("not proven: that this is all"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_register_can_answer_says_why() {
    let desk = Desk::new().await;
    History::log(&desk).await;
    for (arguments, code, told) in [
        (
            &["register", "show", "nonconformity", "--at", "100000"][..],
            4,
            "BEYOND_TREE",
        ),
        (&["register", "show", "nonconformty"], 2, "nonconformity"),
        (
            &["register", "show", "nonconformity", "--at", "soon"],
            2,
            "--at",
        ),
        (
            &[
                "register",
                "diff",
                "nonconformity",
                "--from",
                "9",
                "--to",
                "3",
            ],
            2,
            "--from",
        ),
        (
            &["register", "diff", "nonconformity", "--from", "100000"],
            4,
            "BEYOND_TREE",
        ),
        (
            &["--org", "clinic", "register", "show", "nonconformity"],
            4,
            "NOT_VISIBLE",
        ),
    ] {
        let ran = desk.run(arguments);
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}

/// What became of which number, with the states before and after.
fn changes(diff: &Value) -> Vec<(&str, u64, Option<&str>, &str)> {
    let changes = diff["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|change| {
            (
                text(change, "/became"),
                change["number"].as_u64().unwrap(),
                change.pointer("/before/state").and_then(Value::as_str),
                text(change, "/after/state"),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_between_two_places_is_told_once() {
    let desk = Desk::new().await;
    let log = History::log(&desk).await;
    show(&desk, &[]).await;
    let diff = |from: u64, to: Option<u64>| {
        let (from, to) = (from.to_string(), to.map(|to| to.to_string()));
        let mut arguments = vec!["register", "diff", "nonconformity", "--from", &from];
        arguments.extend(to.iter().flat_map(|to| ["--to", to.as_str()]));
        desk.data(&arguments)
    };
    let since = diff(log.analysed.index, None);
    assert_eq!(
        changes(&since),
        [
            ("changed", 1, Some("open"), "analysed"),
            ("opened", 3, None, "open"),
            ("retracted", 2, Some("open"), "retracted"),
        ]
    );
    assert_eq!(since["unchanged_claim"], 0);
    assert_eq!(counted(&since, "/count_from_claim"), (2, 2));
    assert_eq!(counted(&since, "/count_to_claim"), (3, 5));
    let tail = diff(log.third.index, Some(log.retracted.index));
    assert_eq!(changes(&tail), [("opened", 3, None, "open")]);
    assert_eq!(tail["unchanged_claim"], 2);
    let nothing = diff(log.decision.index, Some(log.third.index));
    assert_eq!(changes(&nothing), []);
    assert_eq!(nothing["unchanged_claim"], 2);
    let all = diff(0, None);
    assert_eq!((&all["opened"], &all["retracted"]), (&json!(2), &json!(1)));
    assert_eq!(counted(&all, "/count_from_claim"), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_says_who_signed_what_and_what_it_changed() {
    let desk = Desk::new().await;
    let log = History::log(&desk).await;
    let told = desk.data(&["history", &log.analysed.id]);
    assert_eq!(text(&told, "/entity"), log.first.id);
    assert_eq!(length(&told, "/versions"), 2);
    assert_eq!(told["count_claim"], 2);
    let [first, second] = told["versions"].as_array().unwrap().as_slice() else {
        panic!("two versions: {told}");
    };
    assert_eq!(text(first, "/change"), "opened");
    assert_eq!(first.get("changes"), None);
    assert_eq!(text(second, "/change"), "amend");
    assert_eq!(text(second, "/previous"), log.first.id);
    assert_eq!(
        (text(second, "/state_from"), text(second, "/state")),
        ("open", "analysed")
    );
    for version in [first, second] {
        assert_eq!(text(version, "/signer/principal"), "office-1");
        assert_eq!(text(version, "/signer/holder"), "holder-2");
        assert_eq!(length(version, "/controls"), 2);
    }
    assert_eq!(second.pointer("/changes/is_complete"), Some(&json!(true)));
    let changed = second
        .pointer("/changes/fields")
        .unwrap()
        .as_array()
        .unwrap();
    let names: Vec<&str> = changed.iter().map(|field| text(field, "/name")).collect();
    let analysis = ["cause_method", "extent", "root_cause", "similar_checks"];
    assert_eq!(names, [&analysis[..], &["status"]].concat());
    assert_eq!(changed[4]["from"], "OPEN");
    assert_eq!(changed[4]["to"], "ANALYSED");
    assert_eq!(changed[0]["from"], Value::Null);

    // By index, and as it was.
    let by_index = desk.data(&["history", &log.retracted.index.to_string()]);
    assert_eq!(text(&by_index, "/entity"), log.second.id);
    assert_eq!(text(&by_index, "/versions/1/change"), "retract");
    let at = log.analysed.index.to_string();
    let early = desk.data(&["history", &log.analysed.id, "--at", &at]);
    assert_eq!(length(&early, "/versions"), 1);
    let said = desk.run(&["history", &log.first.id]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("open -> analysed"), "{said}");
    assert!(said.contains("status: \"OPEN\" -> \"ANALYSED\""), "{said}");
    for (arguments, code, told) in [
        (
            &["history", "3"][..],
            4,
            "records of the ledger itself have none",
        ),
        (&["history", "0"], 4, "NOT_VISIBLE"),
        (
            &["history", &log.first.id, "--at", "1"],
            4,
            "no version of the entity",
        ),
        (
            &["history", &log.first.id, "--at", "100000"],
            4,
            "BEYOND_TREE",
        ),
    ] {
        let ran = desk.run(arguments);
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_version_is_compared_only_where_its_fields_are_kept() {
    let desk = Desk::new().await;
    desk.write_decision("one.json", 1);
    desk.write_decision("two.json", 2);
    let first = desk.submit(&["submit", "one.json", "--sealed"]);
    let id = text(&first, "/entry_id");
    let second = desk.submit(&["amend", id, "two.json"]);
    let told = desk.data(&["history", text(&second, "/entry_id")]);
    assert_eq!(text(&told, "/versions/0/payload"), "sealed");
    let complete = told.pointer("/versions/1/changes/is_complete");
    assert_eq!(complete, Some(&json!(true)), "{told}");
    assert_eq!(length(&told, "/versions/1/changes/fields"), 2, "{told}");
    std::fs::remove_file(text(&first, "/fields_kept")).unwrap();
    let told = desk.data(&["history", id]);
    assert_eq!(told["versions"][0]["fields_shown"], 0);
    let changes = &told["versions"][1]["changes"];
    assert_eq!(changes["is_complete"], false, "{told}");
    assert_eq!(length(changes, "/fields"), 0, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_what_its_filters_say() {
    let desk = Desk::new().await;
    let log = History::log(&desk).await;
    let list = |filters: &[&str]| -> Vec<u64> {
        let listed = desk.data(&[&["list"], filters].concat());
        let records = listed["records"].as_array().unwrap().clone();
        let index = |record: &Value| record["index"].as_u64().unwrap();
        records.iter().map(index).collect()
    };
    let nonconformities = [
        &log.first,
        &log.second,
        &log.analysed,
        &log.third,
        &log.retracted,
    ];
    let nonconformities = nonconformities.map(|logged| logged.index);
    assert_eq!(list(&["--kind", "nonconformity"]), nonconformities);
    assert_eq!(list(&["--control", "10.2"]), nonconformities);
    assert_eq!(
        list(&["--control", "iso42001-2023/A.6.2.6"]),
        nonconformities
    );
    let none = Vec::<u64>::new();
    let second = [log.second.index, log.retracted.index];
    assert_eq!(list(&["--control", "10.1"]), none);
    assert_eq!(list(&["--subject", "system:sys-test-2"]), second);
    assert_eq!(
        list(&["--system", "sys-test-2", "--control", "10.2"]),
        second
    );
    let (from, to) = (log.second.index.to_string(), log.third.index.to_string());
    let range = ["--kind", "nonconformity", "--from", &from, "--to", &to];
    assert_eq!(list(&range), [log.second.index, log.analysed.index]);
    let signed = ["--principal", "office-1", "--kind", "oversight_decision"];
    assert_eq!(list(&signed), [log.decision.index]);
    assert_eq!(
        list(&["--principal", "admin-1", "--kind", "nonconformity"]),
        none
    );
    assert_eq!(
        list(&["--kind", "nonconformity", "--from", "2000-01-01"]),
        nonconformities
    );
    assert_eq!(
        list(&["--kind", "nonconformity", "--to", "2000-01-01"]),
        none
    );
    for (arguments, code, told) in [
        (&["list", "--principal", "nobody"][..], 4, "principal"),
        (&["list", "--control", "A.9.5"], 2, "A.9.4"),
        (&["list", "--from", "soon"], 2, "an index, or a day"),
        (&["list", "--from", "9", "--to", "3"], 4, "end_index"),
        (&["list", "--subject", "office:1"], 2, "--subject"),
    ] {
        let ran = desk.run(arguments);
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}

/// More entities and versions than a page has, read while the log grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_of_several_pages_stays_at_its_place_while_the_log_grows() {
    let desk = Desk::new().await;
    let ledger = desk.cluster.ledger_as(desk.hospital.read_key());
    let template = desk
        .hospital
        .submission(&aimslog_tests::people::decision_json(1));
    let many = |count: usize| -> Vec<_> {
        (0..count)
            .map(|_| desk.hospital.finish_again(&template))
            .collect()
    };
    for _ in 0..3 {
        let outcomes = ledger
            .submit(&many(400), aimslog_client::Wait::Committed)
            .await;
        outcomes.unwrap();
    }
    let head = ledger.checkpoint_covering(TreeSize(1_204)).await.unwrap();
    let at = LeafIndex(head.head().size.0);
    let mut register = ledger.register("hospital", "oversight_decision", Some(at));
    let first = register.page().await.unwrap().unwrap();
    assert_eq!(first.len(), 1_000);
    ledger
        .submit(&many(5), aimslog_client::Wait::Committed)
        .await
        .unwrap();
    let mut seen = first.len();
    while let Some(page) = register.page().await.unwrap() {
        assert!(page.iter().all(|entity| entity.entry.index < at));
        seen += page.len();
    }
    assert_eq!(seen, 1_200);
    assert_eq!(register.count().unwrap().entities, 1_200);
    assert!(register.page().await.unwrap().is_none());
    let mut diff = ledger.register_diff("hospital", "oversight_decision", (LeafIndex(0), Some(at)));
    let mut opened = 0;
    while let Some(page) = diff.page().await.unwrap() {
        opened += page.iter().filter(|change| change.is_opened()).count();
    }
    assert_eq!(opened, 1_200);
    // What was logged a moment ago is waited for, and what was never logged is not there.
    let newest = RecordFilter {
        organization: "hospital".to_owned(),
        start: Some(at),
        ..RecordFilter::default()
    };
    let newest = ledger
        .list(&newest, None)
        .await
        .unwrap()
        .records
        .pop()
        .unwrap();
    let mut history = ledger.history("hospital", EntryKey::Id(newest.entry.entry_id), None);
    assert_eq!(history.page().await.unwrap().unwrap().len(), 1);
    let nobody = EntryKey::Id(EntryId::from_bytes([9; 32]));
    let told = ledger.history("hospital", nobody, None).page().await;
    let told = told.unwrap_err();
    assert!(
        told.to_string().contains(Reason::NotVisible.as_str()),
        "{told}"
    );
}
