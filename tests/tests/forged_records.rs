//! Goal: a record is what was asked for and what its signer committed to, whoever hands it over.
//!
//! Method: an evidence service that lies (`aimslog_tests::fake`), to the real client and to the built
//! program.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::process::{Command, Output};
use std::sync::Arc;

use aimslog_client::file::replace_private_file;
use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, EntryKey, FinishedStatement, Ledger, Wait};
use aimslog_proto::pb::v1;
use aimslog_proto::tlog::{LeafHash, LeafIndex};
use aimslog_tests::cluster::{Cluster, program};
use aimslog_tests::fake::{FakeLedger, Story};
use aimslog_tests::forger::Forger;
use aimslog_tests::people::Hospital;
use tempfile::TempDir;

/// A node that has two records to give, and always gives the second, or what is made of it.
struct World {
    cluster: Cluster,
    hospital: Hospital,
    asked: FinishedStatement,
    given: FinishedStatement,
    fake: FakeLedger,
    story: Story,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::prepare(3);
        let (hospital, _) = Hospital::unregistered(&cluster, "hospital");
        let (asked, given) = (hospital.decision(1), hospital.decision(2));
        let entries = [asked.statement.clone(), given.statement.clone()];
        let forger = Forger::of(&cluster);
        let sign = Arc::new(move |head| forger.note(head, &[1, 2]).to_string());
        let story = Story {
            instead: LeafIndex(1),
            ..Story::of(&entries, sign)
        };
        let fake = FakeLedger::start(&cluster, story.clone()).await;
        Self {
            cluster,
            hospital,
            asked,
            given,
            fake,
            story,
        }
    }

    fn give(&self, record: v1::Record) {
        self.fake.tell(Story {
            record: Some(record),
            ..self.story.clone()
        });
    }

    fn ledger(&self) -> Ledger {
        let endpoints = self.cluster.endpoints([self.fake.port].into_iter());
        Ledger::new(&endpoints, self.cluster.policy(), HeadMemory::in_memory()).unwrap()
    }

    /// The program, of somebody who has nothing but a key.
    fn run(&self, folder: &TempDir, words: &[&str]) -> Output {
        let seed = folder.path().join("reader.seed");
        let text = self.hospital.key.to_seed_file();
        replace_private_file(&seed, text.as_bytes()).unwrap();
        let public = self.cluster.folder().join("public");
        let mut command = Command::new(program("aimslog"));
        command
            .args(words)
            .current_dir(folder.path())
            .env("AIMSLOG_HOME", folder.path().join("home"))
            .env("AIMSLOG_ENDPOINT", format!("127.0.0.1:{}", self.fake.port))
            .env("AIMSLOG_CA", public.join("client-ca.pem"))
            .env("AIMSLOG_POLICY", public.join("policy.txt"))
            .env("AIMSLOG_KEY", seed)
            .env("AIMSLOG_ORG", "hospital");
        command.output().unwrap()
    }
}

fn entry_of(statement: &FinishedStatement) -> v1::EntryRef {
    let leaf = LeafHash::of(&statement.statement);
    v1::EntryRef {
        index: 1,
        entry_id: statement.entry_id().as_bytes().to_vec(),
        leaf_hash: leaf.hash().as_bytes().to_vec(),
        registered_at: Some(<_>::default()),
        ..v1::EntryRef::default()
    }
}

fn record_of(statement: &FinishedStatement) -> v1::Record {
    v1::Record {
        entry: Some(entry_of(statement)),
        statement: statement.statement.clone(),
        payload_status: v1::PayloadStatus::Present.into(),
        disclosures: statement.disclosures.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_record_and_other_fields_are_refused() {
    let world = World::new().await;
    let (asked, given) = (world.asked.entry_id(), world.given.entry_id());
    world.give(record_of(&world.given));
    let ledger = world.ledger();
    ledger.record(EntryKey::Id(given)).await.unwrap();
    ledger.record(EntryKey::Index(LeafIndex(1))).await.unwrap();
    for key in [EntryKey::Id(asked), EntryKey::Index(LeafIndex(0))] {
        let told = ledger.record(key).await;
        assert!(
            matches!(told, Err(ClientError::Unverified { .. })),
            "{told:?}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let got = world.run(&folder, &["get", &asked.to_string()]);
    assert_eq!(got.status.code(), Some(1), "{got:?}");

    // The right statement with the fields of another: nobody is made to sign them.
    world.give(v1::Record {
        disclosures: world.asked.disclosures.clone(),
        ..record_of(&world.given)
    });
    let told = ledger.record(EntryKey::Id(given)).await;
    assert!(
        matches!(told, Err(ClientError::Unverified { .. })),
        "{told:?}"
    );
    let id = given.to_string();
    let retracted = world.run(&folder, &["retract", &id, "--reason", "an error"]);
    assert_eq!(retracted.status.code(), Some(1), "{retracted:?}");
    let said = String::from_utf8_lossy(&retracted.stderr);
    assert!(said.contains("commits to"), "{said}");
}

#[tokio::test]
async fn a_receipt_that_was_waited_for_is_there() {
    let world = World::new().await;
    let accepted = v1::Accepted {
        entry: Some(entry_of(&world.given)),
        already_logged: false,
        evidence: Vec::new(),
    };
    world.fake.tell(Story {
        accepted: Some(accepted),
        ..world.story.clone()
    });
    let ledger = world.ledger();
    let sent = std::slice::from_ref(&world.given);
    ledger.submit(sent, Wait::Committed).await.unwrap();
    let told = ledger.submit(sent, Wait::Receipt).await;
    assert!(
        matches!(told, Err(ClientError::Malformed { .. })),
        "{told:?}"
    );
}
