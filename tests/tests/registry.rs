//! Goal: who may do what is changed from the command line against a live cluster, holds from its place
//! in the log on, and comes out of the log alone again.
//!
//! Method: the built program at a desk beside three nodes; what the log says is repeated at the end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::path::Path;
use std::time::Duration;

use aimslog_tests::desk::{Desk, length, text};
use aimslog_tests::people::{Hospital, decision_json};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// A desk, and what its administrator and its operator type.
struct Office {
    desk: Desk,
    numbers: std::cell::Cell<u64>,
}

impl Office {
    /// What the administrator's command tells.
    fn administer(&self, arguments: &[&str]) -> Value {
        self.desk
            .data(&[arguments, &["--key", "admin.seed"]].concat())
    }

    /// The operator's.
    fn operate(&self, arguments: &[&str]) -> Value {
        let ran = self.operator(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    fn operator(&self, arguments: &[&str]) -> std::process::Command {
        self.operator_number(1, arguments)
    }

    fn operator_number(&self, number: u16, arguments: &[&str]) -> std::process::Command {
        let folder = self.desk.cluster.folder();
        let folder = folder.join(format!("operator-{number}"));
        let nodes = self.desk.cluster.nodes.iter();
        let endpoints: Vec<String> = nodes
            .map(|node| format!("127.0.0.1:{}", node.admin))
            .collect();
        let mut command = self.desk.command(&[arguments, &["--json"]].concat());
        command
            .arg("--operator-key")
            .arg(folder.join("operator.seed"))
            .env("AIMSLOG_ADMIN_ENDPOINT", endpoints.join(","))
            .env("AIMSLOG_ADMIN_CA", folder.join("client-ca.pem"))
            .env("AIMSLOG_ADMIN_CERT", folder.join("admin.pem"))
            .env("AIMSLOG_ADMIN_CERT_KEY", folder.join("admin.key"));
        command
    }

    /// Submits a decision nobody has submitted yet, with this key: where it stands, or the refusal.
    fn decide(&self, key: &str) -> Result<u64, String> {
        self.cite(key, "")
    }

    /// The same with more in its `meta`.
    fn cite(&self, key: &str, meta: &str) -> Result<u64, String> {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        let file = format!("decision-{number}.json");
        let subject = "\"subject\":\"sys-test-1\"";
        let decision = decision_json(number).replace(subject, &format!("{subject}{meta}"));
        self.desk.write(&file, decision.as_bytes());
        let ran = self.desk.run(&["submit", &file, "--key", key, "--json"]);
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        if !ran.status.success() {
            assert_eq!(ran.status.code(), Some(4), "{ran:?}");
            return Err(told);
        }
        let told: Value = serde_json::from_str(&told).unwrap();
        Ok(told.pointer("/0/index").and_then(Value::as_u64).unwrap())
    }

    /// Whether records can be listed with this key.
    fn reads(&self, key: &str) -> bool {
        self.desk.run(&["list", "--key", key]).status.success()
    }

    fn seed(&self, name: &str) {
        self.desk.data(&["key", "generate", "-o", name]);
    }

    /// The refusal of an administrator's command.
    fn refused(&self, arguments: &[&str], reason: &str) {
        let ran = self
            .desk
            .run(&[arguments, &["--key", "admin.seed"]].concat());
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(4), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

fn index(told: &Value) -> u64 {
    told["index"].as_u64().unwrap()
}

fn refused_for(outcome: Result<u64, String>, reason: &str) {
    match outcome {
        Err(told) => assert!(told.contains(reason), "{told}"),
        Ok(index) => panic!("logged at {index} instead of {reason}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_change_from_the_command_line_and_come_out_of_the_log_again() {
    let desk = Desk::new().await;
    Hospital::register(&desk.cluster, "certifier").await;
    let office = Office {
        desk,
        numbers: std::cell::Cell::new(0),
    };
    keys_change(&office);
    roles_change(&office);
    catalogues_change(&office);
    let suspended = the_operators_suspend(&office);
    engagements_change(&office);
    operators_change(&office);
    the_log_says_so(&office, suspended).await;
}

fn keys_change(office: &Office) {
    for name in ["one.seed", "two.seed", "read.seed", "spare.seed"] {
        office.seed(name);
    }
    let add = ["principal", "add", "clerk", "--principal-key", "one.seed"];
    let more = ["--holder", "holder-3", "--role", "submitter"];
    office.administer(&[&add[..], &more[..]].concat());
    office.decide("one.seed").unwrap();
    office.refused(&[&add[..], &more[..]].concat(), "ID_CONFLICT");

    let rotate = ["principal", "rotate", "clerk", "--new-key", "two.seed"];
    let rotated = index(&office.administer(&rotate));
    refused_for(office.decide("one.seed"), "REVOKED_KEY");
    assert!(office.decide("two.seed").unwrap() > rotated);
    office.refused(&rotate, "KEY_IN_USE");

    assert!(office.reads("two.seed"));
    office.administer(&["principal", "auth-key", "clerk", "--new-key", "read.seed"]);
    assert!(office.reads("read.seed") && !office.reads("two.seed"));
    refused_for(office.decide("read.seed"), "KEY_PURPOSE");
    office.decide("two.seed").unwrap();

    let temp = ["principal", "add", "temp", "--principal-key", "spare.seed"];
    office.administer(&[&temp[..], &more[..]].concat());
    office.administer(&["principal", "revoke", "temp", "--reason", "left"]);
    refused_for(office.decide("spare.seed"), "REVOKED_KEY");
    let last = ["principal", "revoke", "admin-1", "--reason", "mistake"];
    office.refused(&last, "LAST_ADMINISTRATOR");
}

fn roles_change(office: &Office) {
    office.administer(&["role", "withdraw", "clerk", "submitter"]);
    refused_for(office.decide("two.seed"), "NOT_PERMITTED");
    office.administer(&["role", "grant", "clerk", "process_owner"]);
    office.decide("two.seed").unwrap();
    let last = ["role", "withdraw", "admin-1", "administrator"];
    office.refused(&last, "LAST_ADMINISTRATOR");
    let typo = office.desk.run(&["role", "grant", "clerk", "procesowner"]);
    let said = String::from_utf8_lossy(&typo.stderr).into_owned();
    assert_eq!(typo.status.code(), Some(2), "{said}");
    assert!(said.contains("process_owner"), "{said}");
}

fn catalogues_change(office: &Office) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let example = |file: &str| examples.join(file).to_str().unwrap().to_owned();
    let standard = example("iso27001-2022.toml");
    let own = std::fs::read_to_string(example("own-controls.toml")).unwrap();
    office.desk.write("own.toml", own.as_bytes());
    let own = ["control", "add", "own.toml"];

    let foreign =
        ",\"controls\":[\"iso27001-2022/A.5.19\",\"A.9.2\"],\"catalogues\":[\"iso27001-2022\"]";
    refused_for(office.cite("two.seed", foreign), "UNKNOWN_CATALOGUE");
    office.administer(&["control", "add", &standard]);
    office.cite("two.seed", foreign).unwrap();
    let missing = foreign.replace("A.5.19", "A.5.38");
    refused_for(office.cite("two.seed", &missing), "UNKNOWN_CONTROL");

    office.administer(&own);
    office.refused(&own, "VERSION_CONFLICT");
    let unknown = ",\"controls\":[\"org/ORG.SEC.9\"]";
    refused_for(office.cite("two.seed", unknown), "ORG.SEC.3");
    let several = ",\"controls\":[\"org/ORG.SEC.1\",\"guide/9.1\",\"eu-ai-act-2024/Art.14\"]";
    office.cite("two.seed", several).unwrap();
    let stale = format!(
        ",\"controls\":[],\"catalogues\":[\"org@{}\"]",
        "0".repeat(64)
    );
    refused_for(office.cite("two.seed", &stale), "UNKNOWN_CATALOGUE");
    let by_clerk = office
        .desk
        .run(&["control", "add", &standard, "--key", "two.seed"]);
    let said = String::from_utf8_lossy(&by_clerk.stderr).into_owned();
    assert_eq!(by_clerk.status.code(), Some(4), "{said}");
    assert!(said.contains("NOT_PERMITTED"), "{said}");
}

/// Where the suspension that is left stands.
fn the_operators_suspend(office: &Office) -> u64 {
    office.administer(&["role", "grant", "clerk", "monitor"]);
    let engage = ["engagement", "grant", "stage-0", "--body", "certifier"];
    let time = ["--from", "2027-01-01", "--to", "2027-01-31"];
    office.administer(&[&engage[..], &time[..]].concat());
    office.operate(&["org", "suspend", "hospital"]);
    // A suspended organisation takes rights away, and gives none.
    office.administer(&["engagement", "end", "stage-0"]);
    office.administer(&["role", "withdraw", "clerk", "monitor"]);
    let again = ["engagement", "grant", "stage-9", "--body", "certifier"];
    office.refused(&[&again[..], &time[..]].concat(), "ORGANIZATION_SUSPENDED");
    refused_for(office.decide("two.seed"), "ORGANIZATION_SUSPENDED");
    let grant = ["role", "grant", "clerk", "monitor"];
    office.refused(&grant, "ORGANIZATION_SUSPENDED");
    assert!(office.reads("read.seed"), "reads still work");
    office.operate(&["org", "resume", "hospital"]);
    office.decide("two.seed").unwrap();
    index(&office.operate(&["org", "suspend", "certifier"]))
}

/// One operator must agree here, so that one can admit, and the last one cannot go.
fn operators_change(office: &Office) {
    let refused = |number: u16, arguments: &[&str], reason: &str| {
        let ran = office.operator_number(number, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(4), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    };
    let first = ["operator", "revoke", "operator-1", "--reason", "left"];
    refused(1, &first, "LAST_OPERATOR");
    let folder = office.desk.cluster.add_operator(2);
    let key = folder.join("operator.seed");
    let key = key.to_str().unwrap();
    let add = ["operator", "add", "operator-2", "--new-key", key];
    let suspend = ["org", "suspend", "hospital"];
    refused(2, &suspend, "UNKNOWN_KEY");
    office.operate(&add);
    refused(1, &add, "ID_CONFLICT");
    let by_second = |arguments: &[&str]| {
        let ran = office.operator_number(2, arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    // Both are in the chain of what the organisation has logged.
    by_second(&suspend);
    by_second(&["org", "resume", "hospital"]);
    by_second(&first);
    refused(1, &suspend, "REVOKED_KEY");
}

fn engagements_change(office: &Office) {
    let grant = ["engagement", "grant", "stage-1", "--body", "certifier"];
    let time = ["--from", "2027-03-01", "--to", "2027-03-31"];
    let kinds = ["--kind", "finding", "--kind", "internal_audit"];
    office.administer(&[&grant[..], &time[..], &kinds[..]].concat());
    let whole = ["engagement", "grant", "stage-2", "--body", "certifier"];
    office.administer(&[&whole[..], &time[..]].concat());
    office.administer(&["engagement", "end", "stage-2"]);
    office.refused(&["engagement", "end", "stage-2"], "NOT_FOUND");
    let nobody = ["engagement", "grant", "stage-3", "--body", "nobody"];
    office.refused(&[&nobody[..], &time[..]].concat(), "NOT_FOUND");
}

/// The registry under the first head that covers the last changes.
async fn shown_with(desk: &Desk, has_all: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = desk.data(&["registry", "show"]);
        if has_all(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn the_log_says_so(office: &Office, suspended: u64) {
    let desk = &office.desk;
    let shown = shown_with(desk, |shown| {
        shown
            .pointer("/organizations/1/engagements/2/ended_at")
            .is_some()
            && shown.pointer("/operators/0/name") == Some(&Value::from("operator-2"))
    })
    .await;
    let replayed = desk.data(&["registry", "replay"]);
    assert_eq!(text(&replayed, "/verdict"), "REPEATED");
    let organizations = shown["organizations"].as_array().unwrap();
    let of = |id: &str| organizations.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(of("certifier")["suspended_at"], suspended);
    assert_eq!(length(&shown, "/operators"), 1, "{shown}");
    assert_eq!(text(&shown, "/operators/0/name"), "operator-2");
    let hospital = of("hospital");
    assert!(hospital["suspended_at"].is_null(), "{hospital}");
    let principals = hospital["principals"].as_array().unwrap();
    let principal = |id: &str| principals.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(principal("clerk")["roles"][0], "process_owner");
    assert!(principal("clerk")["read_key"]["retired_at"].is_null());
    assert_eq!(principal("temp")["revoked"]["reason"], "left");
    assert_eq!(length(hospital, "/engagements"), 3);
    let [first, second] = ["stage-1", "stage-2"].map(|id| {
        let engagements = hospital["engagements"].as_array().unwrap();
        engagements.iter().find(|one| one["id"] == id).unwrap()
    });
    assert_eq!(first["body"], "certifier");
    assert_eq!(first["valid_to"], "2027-03-31T23:59:59Z");
    assert!(first["ended_at"].is_null() && second["ended_at"].is_u64());
    assert_eq!(length(hospital, "/catalogues"), 2);
    assert_eq!(text(hospital, "/catalogues/0/scheme"), "iso27001-2022");
    assert_eq!(length(hospital, "/catalogues/0/controls"), 93);
    assert_eq!(text(hospital, "/catalogues/1/controls/0"), "ORG.SEC.1");
    // Evidence of the rotated clerk verifies offline with the chain that it comes with.
    desk.data(&["disclose", "--all", "-o", "all.evidence.json"]);
    let report = desk.data(&["verify", "all.evidence.json"]);
    assert_eq!(length(&report, "/records"), 7, "{report}");
    // The key that signed, as it was then and as it is now.
    let mut states: Vec<&str> = report["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| text(record, "/signer/key_now/state"))
        .collect();
    states.sort_unstable();
    assert_eq!(states[5..], ["NOT_RETIRED_HERE", "ROTATED"], "{report}");
    assert!(
        states[..6].iter().all(|state| *state == "NOT_RETIRED_HERE"),
        "{report}"
    );
    let people = desk.run(&["registry", "show"]);
    let people = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(
        people.contains("engagement stage-1: certifier reads"),
        "{people}"
    );
}
