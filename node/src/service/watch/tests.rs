//! What a watch reads at a time, and what of it an engaged body is shown.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::system::{EngagementChange, Grant, OrganizationId, Role, RoleChange};
use aimslog_proto::time::UnixSeconds;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::ledger::command::Item;
use crate::ledger::outcome::ItemOutcome;
use crate::ledger::payload;
use crate::ledger::testing::{Change, Engine, START_MS, World, item, public, signed};
use crate::service::slots::{Places, Slots};

const WORKER: u8 = 11;
const AUDITOR: u8 = 61;
/// Of the same organisation as whoever signs the records.
const COLLEAGUE: u8 = 12;

fn log(engine: &mut Engine, item: Item) -> u64 {
    match engine.batch(vec![item]).remove(0) {
        ItemOutcome::Logged(logged) => logged.index,
        other => panic!("{other:?}"),
    }
}

/// A ledger with so many decisions of so many bytes each, and an auditor of a body; the first index.
fn scene(count: u64, bytes: usize) -> (World, Engine, u64) {
    let world = World::new();
    let mut engine = Engine::with_acme(&world);
    let auditor = Change::Admit {
        name: "auditor",
        seed: AUDITOR,
        roles: &["certification_body_auditor"],
        acts_for: None,
    };
    log(&mut engine, item(world.organization("certifier", 60)));
    log(&mut engine, item(world.principal("certifier", auditor, 60)));
    let first = engine.core().frontier.size().0;
    for id in 0..count {
        let payload = Some(payload::encode(&[vec![b'x'; bytes]]));
        let statement = signed(&world.header(WORKER, id), WORKER);
        log(
            &mut engine,
            Item {
                payload,
                ..item(statement)
            },
        );
    }
    (world, engine, first)
}

/// The record that registers the colleague with these roles.
fn colleague(world: &World, roles: &[&str]) -> bytes::Bytes {
    let change = Change::Admit {
        name: "colleague",
        seed: COLLEAGUE,
        roles,
        acts_for: None,
    };
    world.principal("acme", change, 10)
}

fn sees(engine: &Engine, seed: u8) -> Sight {
    let next = LeafIndex(engine.core().frontier.size().0);
    let registry = &engine.registry;
    let row = registry.principal_at(&public(seed).thumbprint(), next);
    let moment = (next, UnixSeconds(START_MS / 1000 + 10));
    Sight::of(Arc::clone(registry), RuleBundle::v1(), row.unwrap(), moment)
}

#[test]
fn an_engaged_body_is_shown_the_statements_that_it_is_engaged_for_and_no_fields() {
    let (world, mut engine, first) = scene(2, 9);
    let seen = |engine: &Engine, seed, organization: &str| {
        let sight = sees(engine, seed);
        let reaches = sight.reaches(organization);
        let read = stretch(&engine.rows, (&sight, organization), first).unwrap();
        let records: Vec<_> = read.records.into_iter().map(|(_, record)| record).collect();
        (reaches, records)
    };
    assert_eq!(seen(&engine, AUDITOR, "acme"), (false, Vec::new()));
    let grant = Grant {
        body: OrganizationId::new("certifier").unwrap(),
        kinds: Some(vec!["oversight_decision".to_owned()]),
        subjects: None,
        fields: None,
        claimed_from: None,
        claimed_to: None,
        valid_from: UnixSeconds(START_MS / 1000),
        valid_to: UnixSeconds(START_MS / 1000 + 100),
    };
    let grant = EngagementChange::Grant(Box::new(grant));
    log(&mut engine, item(world.engagement("audit", grant, 101)));
    let (reaches, records) = seen(&engine, AUDITOR, "acme");
    assert!(reaches);
    let statuses = records.iter().map(pb::Record::payload_status);
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [pb::PayloadStatus::Withheld; 2]
    );
    assert!(records.iter().all(|record| record.disclosures.is_empty()));
    // What the body has of its own is not among what it follows.
    assert_eq!(seen(&engine, AUDITOR, "certifier").1, []);
    let (_, own) = seen(&engine, WORKER, "acme");
    let fields = own.iter().filter(|record| !record.disclosures.is_empty());
    assert_eq!(fields.count(), 2);
    let end = world.engagement("audit", EngagementChange::End, 102);
    log(&mut engine, item(end));
    assert_eq!(seen(&engine, AUDITOR, "acme"), (false, Vec::new()));
}

#[test]
fn no_more_is_read_than_is_taken_soon() {
    let large = WATCH_STRETCH_BYTES / 4;
    let (_, engine, first) = scene(12, large);
    let sight = sees(&engine, WORKER);
    let (mut next, mut indices) = (first, Vec::new());
    loop {
        let read = stretch(&engine.rows, (&sight, "acme"), next).unwrap();
        let records = read.records.iter().map(|(_, record)| record);
        let bytes: usize = records.clone().map(pb::Record::encoded_len).sum();
        assert!(bytes < 2 * WATCH_STRETCH_BYTES, "{bytes} bytes at once");
        indices.extend(records.map(|it| it.entry.as_ref().unwrap().index));
        next = read.next;
        if !read.more {
            break;
        }
    }
    assert_eq!(indices, (first..first + 12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_ends_the_stream_and_is_not_kept() {
    let (sender, _held) = mpsc::channel(1);
    let outlet = Outlet {
        sender,
        failed: Arc::default(),
    };
    assert!(outlet.send(pb::Record::default()).await.unwrap());
    let refused = outlet.send(pb::Record::default()).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::Overloaded);
    let (sender, gone) = mpsc::channel(1);
    drop(gone);
    let outlet = Outlet { sender, ..outlet };
    assert!(!outlet.send(pb::Record::default()).await.unwrap());
}

/// A ledger that can change while it is followed, and how often it was read.
#[derive(Clone)]
struct Live {
    engine: Arc<Mutex<Engine>>,
    reads: Arc<AtomicUsize>,
    progress: watch::Sender<LedgerProgress>,
    tasks: TaskTracker,
    seed: u8,
}

impl Live {
    fn new(engine: Engine, seed: u8) -> Self {
        Self {
            engine: Arc::new(Mutex::new(engine)),
            reads: Arc::default(),
            progress: watch::Sender::new(LedgerProgress::unfounded()),
            tasks: TaskTracker::new(),
            seed,
        }
    }

    /// Follows the decisions of `acme` from this index on.
    fn watch(&self, from: u64) -> ChunkStream<pb::WatchResponse> {
        let reader = Reader {
            organization: "acme".to_owned(),
            principal: "p".to_owned(),
            key: public(self.seed).thumbprint(),
        };
        let slots = Slots::new(Places {
            what: "watches",
            all: 1,
            of_organization: 1,
            of_principal: 1,
        });
        let slot = slots.take(&reader).unwrap();
        let followed = Followed {
            reader,
            organization: "acme".to_owned(),
            start: from,
        };
        let tasks = (&self.tasks, &CancellationToken::new());
        watch(self.clone(), tasks, (followed, slot)).unwrap()
    }
}

impl Source for Live {
    fn sight(&self, _reader: &Reader) -> Result<Sight, Failure> {
        Ok(sees(&self.engine.lock().unwrap(), self.seed))
    }

    async fn stretch(
        &self,
        sight: Sight,
        organization: String,
        from: u64,
    ) -> Result<Stretch, Failure> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let engine = self.engine.lock().unwrap();
        match stretch(&engine.rows, (&sight, &organization), from) {
            Ok(stretch) => Ok(stretch),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn progress(&self) -> watch::Receiver<LedgerProgress> {
        self.progress.subscribe()
    }
}

/// The places in the log of so many records.
async fn take(stream: &mut ChunkStream<pb::WatchResponse>, count: usize) -> Vec<u64> {
    let index = |response: Result<pb::WatchResponse, Status>| {
        let record = response.unwrap().record.unwrap();
        record.entry.unwrap().index
    };
    stream.take(count).map(index).collect().await
}

#[tokio::test(start_paused = true)]
async fn an_engagement_that_ends_in_the_middle_of_a_stretch_ends_what_is_shown_of_it() {
    let (world, mut engine, first) = scene(10, 9);
    let grant = Grant {
        body: OrganizationId::new("certifier").unwrap(),
        kinds: None,
        subjects: None,
        fields: None,
        claimed_from: None,
        claimed_to: None,
        valid_from: UnixSeconds(START_MS / 1000),
        valid_to: UnixSeconds(START_MS / 1000 + 100),
    };
    let grant = EngagementChange::Grant(Box::new(grant));
    log(&mut engine, item(world.engagement("audit", grant, 101)));
    let live = Live::new(engine, AUDITOR);
    let mut stream = live.watch(first);
    assert_eq!(take(&mut stream, 2).await, [first, first + 1]);
    let end = world.engagement("audit", EngagementChange::End, 102);
    log(&mut live.engine.lock().unwrap(), item(end));
    // One record lies ready, and one may be on its way to where it was.
    let rest: Vec<_> = stream.collect().await;
    let (refused, before) = rest.split_last().unwrap();
    assert_eq!(refused.as_ref().unwrap_err().code(), tonic::Code::NotFound);
    assert!(before.len() <= 2, "{} records", before.len());
    assert!(before.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_withdrawn_in_the_middle_of_a_stretch_shows_no_more_than_the_others_do() {
    let (world, mut engine, first) = scene(10, 9);
    log(
        &mut engine,
        item(colleague(&world, &["process_owner", "submitter"])),
    );
    let live = Live::new(engine, COLLEAGUE);
    let mut stream = live.watch(first);
    assert_eq!(take(&mut stream, 2).await, [first, first + 1]);
    let owner = RoleChange::Withdraw(Role::new("process_owner").unwrap());
    let withdrawn = world.role("colleague", owner, (71, 10));
    log(&mut live.engine.lock().unwrap(), item(withdrawn));
    // The stream goes on, for what the colleague signs itself, until its life is over.
    let rest: Vec<_> = stream.collect().await;
    assert!(rest.len() <= 2, "{} records", rest.len());
    assert!(rest.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_on_for_a_reader_who_has_gone_away() {
    let (world, mut engine, first) = scene(3 * WATCH_STRETCH as u64, 9);
    log(&mut engine, item(colleague(&world, &["submitter"])));
    let live = Live::new(engine, COLLEAGUE);
    drop(live.watch(first));
    live.tasks.close();
    live.tasks.wait().await;
    assert_eq!(live.reads.load(Ordering::Relaxed), 1);
}
