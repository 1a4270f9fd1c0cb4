//! Goal: an evidence file that comes with an answer is as good as one that an auditor checks, and is of
//! one history with the heads that the client remembers.
//!
//! Method: a log service that lies, to the real client; the keys are those of all its nodes.

use aimslog_client::{ClientError, EvidenceRequest, FinishedStatement, Ledger, Outcome, Wait};
use aimslog_proto::pb::v1;
use aimslog_proto::tlog::{LeafHash, TreeSize};
use aimslog_tests::fake::{FakeLedger, Story, head_of};
use aimslog_tests::world::{World, receipt};

/// What a node says of a statement that it has logged, with a file to prove it.
fn accepted(statement: &FinishedStatement, index: usize, evidence: Vec<u8>) -> v1::Accepted {
    let leaf = LeafHash::of(&statement.statement);
    v1::Accepted {
        entry: Some(v1::EntryRef {
            index: index as u64,
            entry_id: statement.entry_id().as_bytes().to_vec(),
            leaf_hash: leaf.hash().as_bytes().to_vec(),
            registered_at: Some(<_>::default()),
            ..v1::EntryRef::default()
        }),
        already_logged: false,
        evidence,
    }
}

/// The world, its last record, and the true file over that record alone.
struct Scene {
    world: World,
    fake: FakeLedger,
    last: usize,
    evidence: Vec<u8>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let fake = FakeLedger::start(&world.cluster, world.honest()).await;
        let key = receipt(&world.forger.receipt, &head_of(&world.entries));
        Self {
            last: world.entries.len() - 1,
            evidence: world.evidence_of_last(key, &world.record),
            world,
            fake,
        }
    }

    async fn submit(&self, ledger: &Ledger, answer: v1::Accepted) -> Result<(), ClientError> {
        self.submit_to(self.world.honest(), ledger, answer).await
    }

    async fn submit_to(
        &self,
        story: Story,
        ledger: &Ledger,
        answer: v1::Accepted,
    ) -> Result<(), ClientError> {
        self.fake.tell(Story {
            accepted: Some(answer),
            ..story
        });
        let sent = std::slice::from_ref(&self.world.record);
        let outcomes = ledger.submit(sent, Wait::Receipt).await?;
        assert!(matches!(
            outcomes.as_slice(),
            [Outcome::Logged {
                evidence: Some(_),
                ..
            }]
        ));
        Ok(())
    }
}

#[tokio::test]
async fn a_wrong_file_with_the_answer_is_no_receipt() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let ledger = world.client(&scene.fake).await;
    let right = accepted(&world.record, scene.last, scene.evidence.clone());
    scene.submit(&ledger, right.clone()).await.unwrap();

    let head = head_of(&world.entries);
    let foreign = ed25519_dalek::SigningKey::from_bytes(&rand::random());
    let all = world.evidence(receipt(&world.forger.receipt, &head), &world.record);
    let unlogged = receipt(&world.forger.receipt, &head);
    let table = [
        ("no file", b"{}".to_vec(), "NOT VERIFIED"),
        ("over more than what was sent", all, "not over the records"),
        (
            "a receipt by another key",
            world.evidence_of_last(receipt(&foreign, &head), &world.record),
            "KEY_NOT_IN_CHAIN",
        ),
        (
            "a record that is not logged",
            world.evidence_of_last(unlogged, &world.unlogged),
            "NOT_UNDER_ROOT",
        ),
    ];
    for (name, evidence, expected) in table {
        let answer = v1::Accepted {
            evidence,
            ..right.clone()
        };
        match scene.submit(&ledger, answer).await {
            Err(ClientError::Unverified { why, .. }) => {
                assert!(why.contains(expected), "{name}: {why}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let elsewhere = accepted(&world.record, scene.last - 1, scene.evidence.clone());
    match scene.submit(&ledger, elsewhere).await {
        Err(ClientError::Unverified { why, .. }) => assert!(why.contains("another index"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// A quorum that colludes can make a file that verifies; who remembers a head sees that it is of another
/// history.
#[tokio::test]
async fn a_file_of_another_history_is_an_alarm() {
    let scene = Scene::new().await;
    let world = &scene.world;
    for larger in [false, true] {
        let mut other = world.with_other_entry(scene.last - 1);
        if larger {
            other.push(b"one more".to_vec());
        }
        let ledger = world.ledger_without_memory(&scene.fake);
        let sign = world.signed_by(&[2, 3]);
        let story = Story::of(&other, sign);
        scene.fake.tell(story.clone());
        let remembered = ledger.checkpoint().await.unwrap();
        assert_eq!(remembered.head().size, TreeSize(other.len() as u64));

        let right = accepted(&world.record, scene.last, scene.evidence.clone());
        let told = scene.submit_to(story.clone(), &ledger, right).await;
        assert!(
            matches!(told, Err(ClientError::Fork(_))),
            "{larger}: {told:?}"
        );
        scene.fake.tell(Story {
            evidence: scene.evidence.clone(),
            ..story
        });
        let asked = EvidenceRequest {
            entries: vec![world.record.entry_id()],
            under: Some(head_of(&world.entries).size),
            ..EvidenceRequest::default()
        };
        let told = ledger.evidence(&asked).await;
        assert!(
            matches!(told, Err(ClientError::Fork(_))),
            "{larger}: {told:?}"
        );
    }
}
