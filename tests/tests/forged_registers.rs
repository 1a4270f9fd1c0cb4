//! Goal: a register, what changed in it and a history are of one story that is proven, or are refused.
//!
//! Method: an evidence service that lies (`aimslog_tests::fake`), to the real client.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fmt::Debug;
use std::sync::Arc;

use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, EntryKey, FinishedStatement, Ledger};
use aimslog_proto::pb::v1;
use aimslog_proto::tlog::{LeafHash, LeafIndex, MultiPlan, TreeSize};
use aimslog_tests::cluster::Cluster;
use aimslog_tests::fake::{FakeLedger, Story};
use aimslog_tests::forger::Forger;
use aimslog_tests::people::Hospital;

const KIND: &str = "oversight_decision";

/// A node whose log has three decisions, each an entity with one version.
struct World {
    cluster: Cluster,
    decisions: Vec<FinishedStatement>,
    fake: FakeLedger,
    story: Story,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::prepare(3);
        let (hospital, _) = Hospital::unregistered(&cluster, "hospital");
        let decisions = hospital.decisions(0..3);
        let entries = decisions.iter().map(|it| it.statement.clone());
        let entries: Vec<Vec<u8>> = entries.collect();
        let forger = Forger::of(&cluster);
        let sign = Arc::new(move |head| forger.note(head, &[1, 2]).to_string());
        let story = Story::of(&entries, sign);
        let fake = FakeLedger::start(&cluster, story.clone()).await;
        Self {
            cluster,
            decisions,
            fake,
            story,
        }
    }

    /// Nobody who remembers what was said before.
    fn ledger(&self) -> Ledger {
        let endpoints = self.cluster.endpoints([self.fake.port].into_iter());
        Ledger::new(&endpoints, self.cluster.policy(), HeadMemory::in_memory()).unwrap()
    }

    fn version(&self, place: u64) -> v1::RegisterVersion {
        let decision = &self.decisions[usize::try_from(place).unwrap()];
        let id = decision.entry_id().as_bytes().to_vec();
        v1::RegisterVersion {
            entry: Some(v1::EntryRef {
                index: place,
                entry_id: id.clone(),
                leaf_hash: LeafHash::of(&decision.statement).hash().as_bytes().to_vec(),
                registered_at: Some(<_>::default()),
                register_number: place + 1,
            }),
            statement: decision.statement.clone(),
            entity_id: id,
            version: 1,
            state: String::new(),
        }
    }

    fn proof(&self, places: &[u64]) -> v1::PageProof {
        let indices = places.iter().copied().map(LeafIndex).collect();
        let plan = MultiPlan::new(indices, TreeSize(3)).unwrap();
        let proof = plan.build(&self.story.read(plan.nodes())).unwrap();
        let hashes = proof.hashes().iter();
        v1::PageProof {
            head: Some(self.story.signed(3)),
            hashes: hashes.map(|hash| hash.as_bytes().to_vec()).collect(),
        }
    }

    /// The register in front of entry 2.
    fn register(&self) -> v1::ListRegisterResponse {
        v1::ListRegisterResponse {
            entities: vec![self.version(0), self.version(1)],
            at: 2,
            count: Some(count(2)),
            proof: Some(self.proof(&[0, 1])),
            next_page_token: String::new(),
        }
    }

    async fn tell_register(
        &self,
        register: v1::ListRegisterResponse,
        organization: &str,
    ) -> Result<usize, ClientError> {
        self.fake.tell(Story {
            register: Some(register),
            ..self.story.clone()
        });
        let ledger = self.ledger();
        let mut walk = ledger.register(organization, KIND, Some(LeafIndex(2)));
        let mut seen = 0;
        while let Some(page) = walk.page().await? {
            seen += page.len();
        }
        Ok(seen)
    }
}

fn count(entities: u64) -> v1::RegisterCount {
    v1::RegisterCount {
        entities,
        versions: entities,
    }
}

/// Why an answer was not believed.
#[track_caller]
fn why<T: Debug>(told: Result<T, ClientError>) -> String {
    match told {
        Err(ClientError::Unverified { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_with_a_hole_or_without_a_proof_is_refused() {
    let world = World::new().await;
    let told = world.tell_register(world.register(), "hospital").await;
    assert_eq!(told.unwrap(), 2);
    let changed = |change: &dyn Fn(&mut v1::ListRegisterResponse)| {
        let mut register = world.register();
        change(&mut register);
        register
    };
    let number = |at: usize, number: u64| {
        changed(&|it| it.entities[at].entry.as_mut().unwrap().register_number = number)
    };
    let first_alone = |it: &mut v1::ListRegisterResponse| {
        it.entities.pop();
        it.proof = Some(world.proof(&[0]));
    };
    let table = [
        ("came behind number 1", number(1, 3)),
        ("came behind number 0", number(0, 2)),
        ("holds more", changed(&first_alone)),
        ("holds more", changed(&|it| it.count = Some(count(3)))),
        ("another place", changed(&|it| it.at = 3)),
        (
            "the entries of a page",
            changed(&|it| it.proof.as_mut().unwrap().hashes[0][0] ^= 1),
        ),
        (
            "the entries of a page",
            changed(&|it| {
                // The first decision stands at 0.
                it.entities.truncate(1);
                it.count = Some(count(1));
                it.entities[0].entry.as_mut().unwrap().index = 1;
                it.proof = Some(world.proof(&[1]));
            }),
        ),
        (
            "does not hash to its entry id",
            changed(&|it| it.entities[0].statement = world.version(2).statement),
        ),
        (
            "behind the place",
            changed(&|it| {
                it.entities.push(world.version(2));
                it.count = Some(count(3));
                it.proof = Some(world.proof(&[0, 1, 2]));
            }),
        ),
    ];
    for (part, register) in table {
        let why = why(world.tell_register(register, "hospital").await);
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_of_somebody_else_or_under_no_head_is_refused() {
    let world = World::new().await;
    let changed = |change: &dyn Fn(&mut v1::ListRegisterResponse)| {
        let mut register = world.register();
        change(&mut register);
        register
    };
    let other = why(world.tell_register(world.register(), "clinic").await);
    assert!(other.contains("another organisation"), "{other}");
    // A head that too few have cosigned proves nothing.
    let forger = Forger::of(&world.cluster);
    let alone = forger.note(world.story.head(3), &[1]).to_string();
    let alone = changed(&|it| {
        let head = it.proof.as_mut().unwrap().head.as_mut().unwrap();
        head.checkpoint.clone_from(&alone);
    });
    let _refused = why(world.tell_register(alone, "hospital").await);
    let none = changed(&|it| it.proof = None);
    let told = world.tell_register(none, "hospital").await;
    assert!(
        matches!(told, Err(ClientError::Malformed { .. })),
        "{told:?}"
    );
    // Whoever may see a part cannot know what is left out, and is not told that it is all.
    let part = changed(&|it| {
        it.entities.pop();
        it.proof = Some(world.proof(&[0]));
        it.count = None;
    });
    assert_eq!(world.tell_register(part, "hospital").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_fit_the_counts_and_the_places() {
    let world = World::new().await;
    let honest = || v1::DiffRegisterResponse {
        changes: [1, 2]
            .map(|place| v1::RegisterChange {
                after: Some(world.version(place)),
                before: None,
                before_withheld: false,
            })
            .into(),
        to: 3,
        count_from: Some(count(1)),
        count_to: Some(count(3)),
        proof: Some(world.proof(&[1, 2])),
        next_page_token: String::new(),
    };
    let tell = async |diff: v1::DiffRegisterResponse| {
        world.fake.tell(Story {
            diff: Some(diff),
            ..world.story.clone()
        });
        let ledger = world.ledger();
        let places = (LeafIndex(1), Some(LeafIndex(3)));
        let page = ledger.register_diff("hospital", KIND, places).page().await;
        page.map(|page| page.map_or(0, |page| page.len()))
    };
    assert_eq!(tell(honest()).await.unwrap(), 2);
    let mut grown = honest();
    grown.count_to = Some(count(4));
    let mut hidden = honest();
    hidden.changes.pop();
    hidden.proof = Some(world.proof(&[1]));
    let mut before = honest();
    before.changes[0].after = Some(world.version(0));
    before.proof = Some(world.proof(&[0, 2]));
    let mut turned = honest();
    turned.changes.reverse();
    let mut elsewhere = honest();
    elsewhere.to = 2;
    for (part, diff) in [
        ("grew from 1 to 4", grown),
        ("1 entities were opened", hidden),
        ("did not happen since", before),
        ("out of order", turned),
        ("another place", elsewhere),
    ] {
        let why = why(tell(diff).await);
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_of_the_entity_that_was_asked_for_and_has_its_end() {
    let world = World::new().await;
    let asked = EntryKey::Id(world.decisions[0].entry_id());
    let record = v1::Record {
        entry: world.version(0).entry,
        statement: world.decisions[0].statement.clone(),
        payload_status: v1::PayloadStatus::Sealed.into(),
        disclosures: Vec::new(),
    };
    let history = |place: u64, count: u32| v1::GetHistoryResponse {
        versions: vec![v1::HistoryVersion {
            version: Some(world.version(place)),
            payload_status: v1::PayloadStatus::Sealed.into(),
        }],
        at: 3,
        count: Some(count),
        proof: Some(world.proof(&[place])),
        next_page_token: String::new(),
    };
    let tell = async |history: v1::GetHistoryResponse| {
        world.fake.tell(Story {
            history: Some(history),
            record: Some(record.clone()),
            ..world.story.clone()
        });
        let ledger = world.ledger();
        let page = ledger.history("hospital", asked, None).page().await;
        page.map(|page| page.map_or(0, |page| page.len()))
    };
    assert_eq!(tell(history(0, 1)).await.unwrap(), 1);
    let mut wrong_proof = history(0, 1);
    wrong_proof.proof = Some(world.proof(&[1]));
    for (part, history) in [
        ("another entity", history(1, 1)),
        ("has more", history(0, 2)),
        ("the entries of a page", wrong_proof),
    ] {
        let why = why(tell(history).await);
        assert!(why.contains(part), "{part}: {why}");
    }
}
