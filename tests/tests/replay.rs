//! The whole log of a ledger that many wrote to at once, repeated from its entries alone: every
//! decision, the registry and the root come out again, and a changed entry does not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aimslog_client::{Entries, EntryRef, FinishedStatement, Ledger, Outcome, RecordFilter, Wait};
use aimslog_proto::aims::replay::{Content, Replay};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::system::{OrganizationId, PrincipalChange, PrincipalId, RevocationReason};
use aimslog_proto::tlog::{LeafIndex, TreeHead, TreeSize};
use aimslog_tests::desk::{Desk, text};
use aimslog_tests::draft::Draft;
use aimslog_tests::people::{admission, principal, system_record};
use aimslog_tests::refusals::scene::{finished, follow};
use tokio::task::JoinSet;

/// Entries of the load; races come on top.
const RECORDS: u64 = 2_000;
/// Statements in one call.
const BATCH: u64 = 50;
/// Principals whose keys are taken back while they submit.
const LEAVING: u64 = 4;
/// Second versions that are sent at once.
const RIVALS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_entries_and_their_races_repeat_every_decision() {
    let desk = Desk::new().await;
    let cluster = &desk.cluster;
    let load = submit_all(&desk);
    let leaving = let_principals_go(&desk);
    let rivals = race_for_one_version(&desk);
    let ((), (), last) = tokio::join!(load, leaving, rivals);
    let (entries, head) = whole_log(&desk, last).await;
    assert!(entries.len() as u64 > RECORDS, "{}", entries.len());

    // Every node has the same log, and it repeats with and without the fields.
    for position in 0..cluster.nodes.len() {
        let ledger = cluster.ledger_of(position);
        let ledger = ledger.reading_as(desk.hospital.read_key(), aimslog_tests::cluster::ORIGIN);
        ledger.checkpoint_covering(head.size).await.unwrap();
        assert_eq!(log_of(&ledger, head.size).await, entries, "{position}");
    }
    let fields = fields_of_all(&desk).await;
    for shown in [&fields, &BTreeMap::new()] {
        let mut replay = Replay::new();
        for (index, entry) in (0..).map(LeafIndex).zip(&entries) {
            let content = shown.get(&index);
            let content = content.map_or(Content::NotShown, |fields| Content::Shown(fields));
            assert_eq!(replay.push(entry, content), Ok(()), "{index:?}");
        }
        assert_eq!(replay.tree().head(), head);
        let counts = replay.counts();
        assert_eq!(counts.content, shown.len() as u64);
        assert_eq!(counts.content + counts.content_not_checked, counts.evidence);
        assert_leavers_have_left(&replay);
    }
    assert!(fields.len() as u64 > RECORDS);
    program_says_the_same(&desk, head);
}

async fn submit_all(desk: &Desk) {
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let (ledger, hospital) = (desk.cluster.ledger(), desk.hospital.clone());
        callers.spawn(async move {
            let share = RECORDS / 4;
            let first = caller * share;
            for start in (first..first + share).step_by(BATCH.try_into().unwrap()) {
                let records = hospital.decisions(start..start + BATCH);
                for outcome in ledger.submit(&records, Wait::Committed).await.unwrap() {
                    logged(outcome);
                }
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}

/// Each submits until it is refused, while the administrator revokes its key: what was logged stands
/// in front of the revocation, what was refused would have stood behind it.
async fn let_principals_go(desk: &Desk) {
    for number in 0..LEAVING {
        let id = leaver(number);
        let key = Arc::new(SigningKey::from_seed(&rand::random()));
        let admit = admission("hospital", (&id, &["submitter"]), &key);
        register(desk, &id, admit).await;
        let revoked = AtomicBool::new(false);
        let submitting = async {
            let ledger = desk.cluster.ledger();
            let mut newest = None;
            for step in 0.. {
                let was_revoked = revoked.load(Ordering::SeqCst);
                let number = 1_000_000 + number * 10_000 + step;
                let mut draft = Draft::of(desk.hospital.decision(number), &desk.hospital.key);
                draft.sign_as(&key);
                match submit(&ledger, finished(&draft)).await {
                    Outcome::Logged { entry, .. } => {
                        assert!(!was_revoked, "logged after its key was revoked");
                        newest = Some(entry.index);
                    }
                    Outcome::Refused { violations, .. } => {
                        assert_eq!(violations[0].reason, Reason::RevokedKey);
                        return newest;
                    }
                }
            }
            unreachable!("the loop has no end")
        };
        let revoking = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let index = register(desk, &id, PrincipalChange::Revoke(RevocationReason::Left)).await;
            revoked.store(true, Ordering::SeqCst);
            index
        };
        let (newest, index) = tokio::join!(submitting, revoking);
        assert!(
            newest.is_some_and(|newest| newest < index),
            "{newest:?} {index:?}"
        );
    }
}

/// One of them is the next version, and the others are told which one.
async fn race_for_one_version(desk: &Desk) -> LeafIndex {
    let first = submit(&desk.cluster.ledger(), desk.hospital.decision(3_000_000)).await;
    let first = logged(first).entry_id;
    let mut rivals = JoinSet::new();
    for number in 0..RIVALS {
        let ledger = desk.cluster.ledger();
        let decision = desk.hospital.decision(3_000_001 + number);
        let mut draft = Draft::of(decision, &desk.hospital.key);
        follow(&mut draft, [first, first], 0);
        rivals.spawn(async move { submit(&ledger, finished(&draft)).await });
    }
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    while let Some(outcome) = rivals.join_next().await {
        match outcome.unwrap() {
            Outcome::Logged { entry, .. } => winners.push(entry),
            Outcome::Refused { violations, .. } => losers.push(violations),
        }
    }
    let [winner] = winners.as_slice() else {
        panic!("{} versions follow one", winners.len());
    };
    for violations in &losers {
        assert_eq!(violations[0].reason, Reason::VersionConflict);
        let newest = winner.entry_id.to_string();
        let told = violations
            .iter()
            .any(|one| one.nearest.as_ref() == Some(&newest));
        assert!(told, "{violations:?}");
    }
    winner.index
}

/// All entries under the newest head, which covers at least `last`, and that head.
async fn whole_log(desk: &Desk, last: LeafIndex) -> (Vec<Vec<u8>>, TreeHead) {
    let ledger = desk.cluster.ledger_as(desk.hospital.read_key());
    let marker = logged(submit(&ledger, desk.hospital.decision(4_000_000)).await);
    let size = TreeSize(marker.index.0.max(last.0) + 1);
    let head = *ledger.checkpoint_covering(size).await.unwrap().head();
    (log_of(&ledger, head.size).await, head)
}

async fn log_of(ledger: &Ledger, size: TreeSize) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let mut next = Some(LeafIndex(0));
    while let Some(start) = next {
        let page = ledger
            .unverified_entries(start, Entries::All)
            .await
            .unwrap();
        entries.extend(page.entries.into_iter().map(|(_, entry)| entry));
        next = page.next;
    }
    entries.truncate(usize::try_from(size.0).unwrap());
    entries
}

async fn fields_of_all(desk: &Desk) -> BTreeMap<LeafIndex, Vec<Vec<u8>>> {
    let ledger = desk.cluster.ledger_as(desk.hospital.read_key());
    let filter = RecordFilter {
        organization: "hospital".to_owned(),
        kind: Some("oversight_decision".to_owned()),
        ..RecordFilter::default()
    };
    let (mut fields, mut page) = (BTreeMap::new(), None);
    loop {
        let found = ledger.list(&filter, page.as_deref()).await.unwrap();
        let records = found.records.into_iter();
        fields.extend(records.map(|record| (record.entry.index, record.disclosures)));
        page = found.next;
        if page.is_none() {
            return fields;
        }
    }
}

fn assert_leavers_have_left(replay: &Replay) {
    let hospital = OrganizationId::new("hospital").unwrap();
    for number in 0..LEAVING {
        let id = PrincipalId::new(&leaver(number)).unwrap();
        let row = replay.registry().principal(&hospital, &id).unwrap();
        let revoked = row.retired_at.unwrap();
        assert!(row.is_valid_at(revoked));
        assert!(!row.is_valid_at(LeafIndex(revoked.0 + 1)));
    }
}

/// The program repeats it online and from a file, and finds the entry that was changed.
fn program_says_the_same(desk: &Desk, head: TreeHead) {
    let online = desk.data(&["registry", "replay", "--content", "--save", "entries.jsonl"]);
    assert_eq!(text(&online, "/verdict"), "REPEATED");
    let evidence = online.pointer("/content_judged").unwrap().as_u64().unwrap();
    assert!(evidence > RECORDS, "{online}");
    desk.data(&["checkpoint", "--save", "head.checkpoint"]);
    let from_file = |name: &str| {
        desk.run(&[
            "registry",
            "replay",
            "--from",
            name,
            "--checkpoint",
            "head.checkpoint",
            "--json",
        ])
    };
    let good = from_file("entries.jsonl");
    let words = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        good.status.success() && words.contains("\"REPEATED\""),
        "{words}"
    );
    assert!(words.contains(&head.root.hash().to_base64()), "{words}");

    let lines = fs::read_to_string(desk.file("entries.jsonl")).unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    // Two entries that are good in themselves, one in the place of the other.
    let swapped = lines[100].replace("\"index\":100", "\"index\":101");
    lines[101] = &swapped;
    desk.write("changed.jsonl", lines.join("\n").as_bytes());
    let changed = from_file("changed.jsonl");
    let words = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert_eq!(changed.status.code(), Some(1), "{words}");
    assert!(
        words.contains("\"index\": 101") && words.contains("ID_CONFLICT"),
        "{words}"
    );

    let shown = desk.data(&["registry", "show"]);
    let principals = shown.pointer("/organizations/0/principals").unwrap();
    let principals = principals.as_array().unwrap();
    assert_eq!(principals.len() as u64, 2 + LEAVING, "{shown}");
}

fn leaver(number: u64) -> String {
    format!("p-leaving-{number}")
}

async fn register(desk: &Desk, id: &str, change: PrincipalChange) -> LeafIndex {
    let record = principal("hospital", id, change);
    let statement = system_record(&record, &desk.hospital.administrator);
    let leader = desk.cluster.leader().await;
    let admin = desk.cluster.admin_of(leader);
    admin.submit_system(&statement).await.unwrap()
}

async fn submit(ledger: &Ledger, statement: FinishedStatement) -> Outcome {
    let outcomes = ledger.submit(&[statement], Wait::Committed).await.unwrap();
    outcomes.into_iter().next().unwrap()
}

fn logged(outcome: Outcome) -> EntryRef {
    match outcome {
        Outcome::Logged { entry, .. } => entry,
        refused @ Outcome::Refused { .. } => panic!("{refused:?}"),
    }
}
