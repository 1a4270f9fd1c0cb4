//! A certification body reads what an organisation has engaged it for, and nothing else; each read is
//! in the log.
//!
//! Method: the built program at two desks, against a cluster of real processes.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use aimslog_client::{ClientError, clock};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::SigningKey;
use aimslog_tests::desk::{Desk, length, text};
use aimslog_tests::people::{Hospital, decision_json};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(20);
const REFUSED: i32 = 4;

/// The hospital's desk, with a certification body that is registered and has an auditor.
async fn desk() -> Desk {
    let desk = Desk::new().await;
    let certifier = Hospital::register(&desk.cluster, "certifier").await;
    for (file, key) in [
        ("certifier-admin.seed", &*certifier.administrator),
        ("auditor.seed", &SigningKey::from_seed(&[77; 32])),
        ("clerk.seed", &SigningKey::from_seed(&[78; 32])),
    ] {
        desk.write(file, key.to_seed_file().as_bytes());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(desk.file(file), mode).unwrap();
    }
    for (id, key, role) in [
        ("auditor-1", "auditor.seed", "certification_body_auditor"),
        ("clerk-1", "clerk.seed", "process_owner"),
    ] {
        let holder = format!("holder-{id}");
        desk.data(&[
            "--org",
            "certifier",
            "--key",
            "certifier-admin.seed",
            "principal",
            "add",
            id,
            "--principal-key",
            key,
            "--holder",
            &holder,
            "--role",
            role,
        ]);
    }
    desk
}

/// What a principal of the certification body runs, about the hospital.
fn as_body<'a>(key: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--key", key], arguments].concat()
}

fn said(output: &Output) -> String {
    let said = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(said).unwrap()
}

/// Runs what must be refused as if there were nothing.
fn sees_nothing(desk: &Desk, arguments: &[&str]) {
    let ran = desk.run(arguments);
    assert_eq!(
        ran.status.code(),
        Some(REFUSED),
        "{arguments:?}: {}",
        said(&ran)
    );
    assert!(
        said(&ran).contains("NOT_VISIBLE"),
        "{arguments:?}: {}",
        said(&ran)
    );
}

/// A time so many seconds from now, as people type it.
fn from_now(seconds: i64) -> String {
    let unix = clock::unix_seconds().saturating_add_signed(seconds);
    let days = unix / 86_400;
    let (year, month, day) = civil(days);
    let left = unix % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        left / 3_600,
        left / 60 % 60,
        left % 60
    )
}

/// Year, month and day of a day since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// The reads that the log tells of, once there are so many.
async fn reads(desk: &Desk, count: usize) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = desk.data(&["access", "list"]);
        if length(&listed, "/reads") >= count {
            return listed;
        }
        assert!(Instant::now() < deadline, "{listed}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// The hospital engages the certification body, from and to so many seconds from now.
fn grant(desk: &Desk, id: &str, (from, to): (i64, i64), scope: &[&str]) {
    let (from, to) = (from_now(from), from_now(to));
    let who = ["--key", "admin.seed", "engagement", "grant", id];
    let what = ["--body", "certifier", "--from", &from, "--to", &to];
    desk.data(&[&who[..], &what, scope].concat());
}

/// What the auditor is by the log, once a head covers an engagement.
async fn engaged(desk: &Desk) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let who = desk.data(&as_body("auditor.seed", &["whoami"]));
        if length(&who, "/engagements") > 0 {
            return who;
        }
        assert!(Instant::now() < deadline, "{who}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_reads_what_it_is_engaged_for_and_each_read_is_in_the_log() {
    let desk = desk().await;
    desk.write_decision("one.json", 1);
    desk.write(
        "two.json",
        decision_json(2)
            .replace("sys-test-1", "sys-test-2")
            .as_bytes(),
    );
    let one = desk.submit(&["submit", "one.json", "--wait", "receipt"]);
    let two = desk.submit(&["submit", "two.json", "--wait", "receipt"]);
    let (one, two) = (text(&one, "/entry_id"), text(&two, "/entry_id"));

    // Without an engagement there is nothing, whatever the role.
    sees_nothing(&desk, &as_body("auditor.seed", &["list"]));
    sees_nothing(
        &desk,
        &as_body("auditor.seed", &["disclose", one, "-o", "none.json"]),
    );

    let scope = [
        "--kind",
        "oversight_decision",
        "--subject",
        "system:sys-test-1",
    ];
    let fields = ["--field", "decision", "--field", "decided_at"];
    grant(&desk, "stage-1", (-60, 3_600), &[scope, fields].concat());
    let who = engaged(&desk).await;
    assert_eq!(
        text(&who, "/engagements/0/organization"),
        "hospital",
        "{who}"
    );

    // The one record, its fields only by a file that is journalled.
    let listed = desk.data(&as_body("auditor.seed", &["list"]));
    assert_eq!(length(&listed, "/records"), 1, "{listed}");
    assert_eq!(text(&listed, "/records/0/entry_id"), one, "{listed}");
    assert_eq!(length(&desk.data(&["access", "list"]), "/reads"), 0);
    sees_nothing(
        &desk,
        &as_body("auditor.seed", &["disclose", one, two, "-o", "both.json"]),
    );
    let hidden = [
        "disclose",
        one,
        "--fields",
        "justification",
        "-o",
        "hidden.json",
    ];
    sees_nothing(&desk, &as_body("auditor.seed", &hidden));
    // Whose role does not read under engagements sees none of it.
    sees_nothing(&desk, &as_body("clerk.seed", &["list"]));

    desk.data(&as_body(
        "auditor.seed",
        &["disclose", "--all", "-o", "audit.json"],
    ));
    let verified = desk.data(&["verify", "audit.json"]);
    let shown = verified.pointer("/records/0/fields").unwrap().to_string();
    assert!(
        shown.contains("decision") && shown.contains("decided_at"),
        "{verified}"
    );
    assert!(!shown.contains("justification"), "{verified}");

    let told = reads(&desk, 1).await;
    assert_eq!(length(&told, "/reads"), 1, "{told}");
    assert_eq!(text(&told, "/reads/0/engagement"), "stage-1");
    assert_eq!(text(&told, "/reads/0/body"), "certifier");
    assert_eq!(text(&told, "/reads/0/principal"), "auditor-1");

    // Ended, it shows nothing more; and the log can be repeated with all of it.
    desk.data(&["--key", "admin.seed", "engagement", "end", "stage-1"]);
    sees_nothing(&desk, &as_body("auditor.seed", &["list"]));
    let replayed = desk.data(&["registry", "replay"]);
    assert_eq!(text(&replayed, "/verdict"), "REPEATED", "{replayed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engagement_that_has_not_begun_or_is_over_shows_nothing() {
    let desk = desk().await;
    desk.write_decision("one.json", 1);
    desk.submit(&["submit", "one.json", "--wait", "receipt"]);
    for (id, from, to) in [("over", -7_200, -3_600), ("later", 3_600, 7_200)] {
        grant(&desk, id, (from, to), &[]);
    }
    sees_nothing(&desk, &as_body("auditor.seed", &["list"]));
    grant(&desk, "short", (-1, 3), &[]);
    let decisions = ["list", "--kind", "oversight_decision"];
    let listed = desk.data(&as_body("auditor.seed", &decisions));
    assert_eq!(length(&listed, "/records"), 1, "{listed}");
    let deadline = Instant::now() + PATIENCE;
    while desk
        .run(&as_body("auditor.seed", &["list"]))
        .status
        .success()
    {
        assert!(Instant::now() < deadline, "the engagement does not end");
        sleep(Duration::from_millis(200)).await;
    }
    sees_nothing(&desk, &as_body("auditor.seed", &["list"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_and_histories_show_what_the_engagement_is_about() {
    let desk = desk().await;
    desk.write_decision("one.json", 1);
    desk.write_decision("more.json", 3);
    desk.write(
        "two.json",
        decision_json(2)
            .replace("sys-test-1", "sys-test-2")
            .as_bytes(),
    );
    let one = desk.submit(&["submit", "one.json"]);
    let two = desk.submit(&["submit", "two.json"]);
    let (one, two) = (text(&one, "/entry_id"), text(&two, "/entry_id"));
    desk.submit(&["amend", one, "more.json", "--wait", "receipt"]);
    let show = as_body("auditor.seed", &["register", "show", "oversight_decision"]);
    let diff = ["register", "diff", "oversight_decision", "--from", "0"];
    let diff = as_body("auditor.seed", &diff);
    for arguments in [&show, &diff, &as_body("auditor.seed", &["history", one])] {
        sees_nothing(&desk, arguments);
    }

    // About one system: a part of the register, and nobody says how large the rest is.
    let scope = ["--subject", "system:sys-test-1"];
    let fields = ["--field", "request_reference"];
    grant(&desk, "part", (-60, 3_600), &[scope, fields].concat());
    engaged(&desk).await;
    let part = desk.data(&show);
    assert_eq!(length(&part, "/entities"), 1, "{part}");
    assert_eq!(text(&part, "/entities/0/entity"), one);
    assert_eq!(part.get("count_claim"), None, "{part}");
    assert!(text(&part, "/not_proven").contains("may be more"), "{part}");
    let part = desk.data(&diff);
    assert_eq!(length(&part, "/changes"), 1, "{part}");
    assert_eq!(part.get("unchanged_claim"), None, "{part}");
    // None of that shows a field, and none is told; a history shows some, and each is.
    assert_eq!(length(&desk.data(&["access", "list"]), "/reads"), 0);
    let history = desk.data(&as_body("auditor.seed", &["history", one]));
    assert_eq!(length(&history, "/versions"), 2, "{history}");
    assert_eq!(text(&history, "/versions/0/payload"), "by evidence file");
    assert_eq!(history["versions"][1]["fields_shown"], 1);
    let changes = &history["versions"][1]["changes"];
    assert_eq!(text(changes, "/fields/0/name"), "request_reference");
    assert_eq!(changes["is_complete"], false, "{history}");
    reads(&desk, 2).await;
    sees_nothing(&desk, &as_body("auditor.seed", &["history", two]));

    // All of a kind: all of the register, with its counts.
    let kind = ["--kind", "oversight_decision"];
    grant(&desk, "kind", (-60, 3_600), &[kind, fields].concat());
    let deadline = Instant::now() + PATIENCE;
    let whole = loop {
        let shown = desk.data(&show);
        if length(&shown, "/entities") == 2 {
            break shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(whole.pointer("/count_claim/versions"), Some(&3.into()));
    // Whose role does not read under engagements sees none of it.
    let clerk = as_body("clerk.seed", &["register", "show", "oversight_decision"]);
    sees_nothing(&desk, &clerk);
    desk.data(&["--key", "admin.seed", "engagement", "end", "kind"]);
    desk.data(&["--key", "admin.seed", "engagement", "end", "part"]);
    sees_nothing(&desk, &show);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_gets_the_attachments_of_fields_that_it_sees_and_follows_the_records() {
    let desk = desk().await;
    desk.write_decision("one.json", 1);
    let content = b"what was said before the decision";
    desk.write("scan.txt", content);
    let one = desk.submit(&[
        "submit", "one.json", "--attach", "scan.txt", "--wait", "receipt",
    ]);
    let one = text(&one, "/entry_id");
    let id = EntryId::parse(one).unwrap();
    let digest: [u8; 32] = Sha256::digest(content).into();
    let auditor = Arc::new(SigningKey::from_seed(&[77; 32]));
    let auditor = desk.cluster.ledger_as(auditor);
    let get = async || auditor.blob_of("hospital", &id, &digest).await;
    let is_hidden = |got: Result<Vec<u8>, ClientError>| {
        matches!(got, Err(ClientError::Refused(refusal))
            if refusal.reason == Some(Reason::NotVisible))
    };
    assert!(is_hidden(get().await), "without an engagement");
    let kind = ["--kind", "oversight_decision", "--field"];
    grant(
        &desk,
        "stage-1",
        (-60, 3_600),
        &[&kind[..], &["decision"]].concat(),
    );
    engaged(&desk).await;
    assert!(is_hidden(get().await), "of a field that is not shown");
    grant(
        &desk,
        "stage-2",
        (-60, 3_600),
        &[&kind[..], &["attachments"]].concat(),
    );
    let deadline = Instant::now() + PATIENCE;
    let got = loop {
        match get().await {
            Ok(got) => break got,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(got, content);
    let told = reads(&desk, 1).await;
    assert_eq!(length(&told, "/reads"), 1, "{told}");
    assert_eq!(text(&told, "/reads/0/engagement"), "stage-2");

    let follow = ["watch", "--from", "0", "--count", "1"];
    let followed = desk.data(&as_body("auditor.seed", &follow));
    assert_eq!(text(&followed, "/entry_id"), one, "{followed}");
    sees_nothing(&desk, &as_body("clerk.seed", &follow));
    for id in ["stage-1", "stage-2"] {
        desk.data(&["--key", "admin.seed", "engagement", "end", id]);
    }
    sees_nothing(&desk, &as_body("auditor.seed", &follow));
    assert!(is_hidden(get().await), "when it is over");
}
