//! The ledger that the tables are played against.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aimslog_client::{EntryRef, FinishedStatement, Outcome, Wait};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::system::{PrincipalChange, PrincipalId, RevocationReason};

use crate::cluster::{Cluster, ORIGIN};
use crate::draft::{Draft, claim};
use crate::people::{Hospital, admission, principal, read_key, suspension, system_record};

/// Three nodes, two organisations, and a few entries to refer to.
#[derive(Debug)]
pub struct Scene {
    /// The nodes.
    pub cluster: Cluster,
    /// Position of the node that led when the scene was set.
    pub leader: usize,
    /// Position of another one.
    pub follower: usize,
    /// Who submits.
    pub hospital: Hospital,
    /// Somebody else.
    pub clinic: Hospital,
    /// The first operator's key.
    pub operator: Arc<SigningKey>,
    /// A key of the hospital that was revoked.
    pub revoked: Arc<SigningKey>,
    /// The key of an AI agent of the hospital, in the role of a submitter.
    pub agent: Arc<SigningKey>,
    /// A key of the hospital that only reads.
    pub reads: Arc<SigningKey>,
    /// An organisation that the operators have suspended.
    pub asleep: Hospital,
    /// A logged record of the hospital.
    pub logged: FinishedStatement,
    /// Its entry, which has a second version.
    pub first: EntryRef,
    /// That version.
    pub second: EntryRef,
    /// A logged record of the clinic.
    pub foreign: EntryRef,
    /// An entity of the hospital that was retracted: its first version and its last.
    pub retracted: [EntryRef; 2],
    numbers: AtomicU64,
}

impl Scene {
    /// Starts the cluster and logs what the tables refer to.
    pub async fn set() -> Self {
        let cluster = Cluster::start(3).await;
        let leader = cluster.leader().await;
        let follower = (leader + 1) % 3;
        let hospital = Hospital::register_at(&cluster, "hospital", leader).await;
        let clinic = Hospital::register_at(&cluster, "clinic", leader).await;
        let asleep = Hospital::register_at(&cluster, "asleep", leader).await;
        let [revoked, agent, reads] =
            [(); 3].map(|()| Arc::new(SigningKey::from_seed(&rand::random())));
        let silent = SigningKey::from_seed(&rand::random());
        let admit = |id, key| admission("hospital", (id, &["submitter"]), key);
        for (id, change) in [
            ("p-gone", admit("p-gone", &revoked)),
            ("p-gone", PrincipalChange::Revoke(RevocationReason::Left)),
            ("agent-1", acting_for("office-1", admit("agent-1", &agent))),
            ("p-reads", admit("p-reads", &silent)),
            ("p-reads", read_key("hospital", "p-reads", &reads)),
        ] {
            let record = principal("hospital", id, change);
            let statement = system_record(&record, &hospital.administrator);
            let admin = cluster.admin_of(leader);
            admin.submit_system(&statement).await.unwrap();
        }
        let seed = cluster.folder().join("operator-1/operator.seed");
        let seed = std::fs::read_to_string(seed).unwrap();
        let operator = Arc::new(SigningKey::parse_seed_file(&seed).unwrap());
        let suspension = system_record(&suspension("asleep"), &operator);
        let admin = cluster.admin_of(leader);
        admin.submit_system(&suspension).await.unwrap();
        let numbers = AtomicU64::new(1);
        let next = || numbers.fetch_add(1, Ordering::Relaxed);
        let logged = hospital.decision(next());
        let first = log(&cluster, logged.clone()).await;
        let clinics = clinic.decision(next());
        let foreign = log(&cluster, clinics).await;
        let later = |previous: &EntryRef, change: u64| {
            let mut draft = Draft::of(hospital.decision(next()), &hospital.key);
            let entity = previous.entry_id;
            follow(&mut draft, [entity, entity], change);
            finished(&draft)
        };
        let second = log(&cluster, later(&first, 0)).await;
        let gone = log(&cluster, hospital.decision(next())).await;
        let end = log(&cluster, later(&gone, 2)).await;
        let scene = Self {
            operator,
            cluster,
            leader,
            follower,
            hospital,
            clinic,
            revoked,
            agent,
            reads,
            asleep,
            logged,
            first,
            second,
            foreign,
            retracted: [gone, end],
            numbers,
        };
        scene.wait_until_served_everywhere().await;
        scene
    }

    /// Every node has applied and published all of it, and knows who may read.
    async fn wait_until_served_everywhere(&self) {
        let size = self.retracted[1].index.0 + 1;
        for position in 0..self.cluster.nodes.len() {
            let limit = Duration::from_secs(20);
            let there = self.cluster.wait_until(position, limit, |status| {
                status.tree_size >= size && status.published_size >= size
            });
            there.await;
            // Retried by the client until a read barrier has passed.
            let ledger = self.cluster.ledger_of(position);
            let ledger = ledger.reading_as(self.hospital.read_key(), ORIGIN);
            let key = aimslog_client::EntryKey::Index(self.first.index);
            ledger.record(key).await.unwrap();
        }
    }

    /// A number that no record of this scene has yet.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A good statement of the hospital, to be broken.
    pub fn draft(&self) -> Draft {
        Draft::of(self.hospital.decision(self.number()), &self.hospital.key)
    }

    /// A good statement of the hospital about one of its systems, to be broken.
    pub fn system_draft(&self) -> Draft {
        let finished = self.hospital.finish(&system_json(self.number()));
        Draft::of(finished, &self.hospital.key)
    }
}

/// The admission of an AI agent instead of a person.
fn acting_for(id: &str, change: PrincipalChange) -> PrincipalChange {
    let PrincipalChange::Admit(mut admission) = change else {
        panic!("{change:?} admits nobody");
    };
    admission.acts_for = Some(PrincipalId::new(id).unwrap());
    PrincipalChange::Admit(admission)
}

/// Names what the statement follows: entity and previous version.
pub fn follow(draft: &mut Draft, [entity, previous]: [EntryId; 2], change: u64) {
    for (key, id) in [(claim::ENTITY, entity), (claim::PREVIOUS, previous)] {
        draft.claims.set(key, |value| {
            value.bytes(id.as_bytes());
        });
    }
    draft.claims.set(claim::CHANGE, |value| {
        value.uint(change);
    });
}

/// A draft that nothing is wrong with.
pub fn finished(draft: &Draft) -> FinishedStatement {
    FinishedStatement {
        statement: draft.statement(),
        disclosures: draft.disclosures.clone(),
        digest_only: Vec::new(),
    }
}

async fn log(cluster: &Cluster, statement: FinishedStatement) -> EntryRef {
    let outcomes = cluster.ledger().submit(&[statement], Wait::Committed).await;
    match outcomes.unwrap().into_iter().next().unwrap() {
        Outcome::Logged { entry, .. } => entry,
        refused @ Outcome::Refused { .. } => panic!("{refused:?}"),
    }
}

/// A valid entry of the inventory as a submission file: a kind that is never sealed and has states.
fn system_json(number: u64) -> String {
    format!(
        r#"{{"meta":{{"kind":"ai_system"}},"record":{{"occurred_at":"2026-03-02T08:00:00Z",
        "actor":{{"id":"p-1","role":"system owner"}},"confidentiality":"INTERNAL",
        "personal_data":false,"system":"sys-test-1","system_version":"1.0",
        "name":"Test system {number}","description":"Does nothing.","purpose":"Tests",
        "use_context":"Tests","data_inputs":[{{"name":"none","description":"None",
        "counterpart":"nobody","personal_data":false}}],"data_outputs":[{{"name":"none",
        "description":"None","counterpart":"nobody","personal_data":false}}],
        "provider":{{"name":"Nobody","relation":"INTERNAL"}},
        "deployer":{{"name":"Nobody","relation":"INTERNAL"}},"organization_roles":["DEPLOYER"],"risk_class":"HIGH",
        "risk_class_reason":"It is only a test.","compliance_status":"IN_ASSESSMENT",
        "oversight_measures":["A person decides"],"lifecycle_stage":"DEVELOPMENT","owner":"p-1"}}}}"#
    )
}
