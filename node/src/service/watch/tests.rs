//! What a watch reads at a time, and what of it an engaged body is shown.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::system::{EngagementChange, Grant, OrganizationId};
use aimslog_proto::time::UnixSeconds;

use super::*;
use crate::ledger::command::Item;
use crate::ledger::outcome::ItemOutcome;
use crate::ledger::payload;
use crate::ledger::testing::{Change, Engine, START_MS, World, item, public, signed};

const WORKER: u8 = 11;
const AUDITOR: u8 = 61;

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

fn sight(engine: &Engine, seed: u8) -> Sight {
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
        let sight = sight(engine, seed);
        let reaches = sight.reaches(organization);
        let read = stretch(&engine.rows, (&sight, organization), first).unwrap();
        (reaches, read.records)
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
    let sight = sight(&engine, WORKER);
    let (mut next, mut indices) = (first, Vec::new());
    loop {
        let read = stretch(&engine.rows, (&sight, "acme"), next).unwrap();
        let bytes: usize = read.records.iter().map(pb::Record::encoded_len).sum();
        assert!(bytes < 2 * WATCH_STRETCH_BYTES, "{bytes} bytes at once");
        indices.extend(
            read.records
                .iter()
                .map(|it| it.entry.as_ref().unwrap().index),
        );
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
