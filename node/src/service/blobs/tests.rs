//! Who gets an attachment of an organisation: its own readers, and an engaged body by the record and the
//! field that name it.

use std::sync::Arc;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::disclosure::{Disclosure, Salt};
use aimslog_proto::statement::{EntryId, Json};
use aimslog_proto::system::{EngagementChange, Grant, OrganizationId};
use aimslog_proto::time::UnixSeconds;

use super::*;
use crate::ledger::command::{Command, Item};
use crate::ledger::outcome::ItemOutcome;
use crate::ledger::payload;
use crate::ledger::testing::{Change, Engine, START_MS, World, hex, id_of, item, public, signed};

const WORKER: u8 = 11;
/// Of the body that is engaged.
const AUDITOR: u8 = 61;
/// Of a body that is not.
const STRANGER: u8 = 71;
const FILE: &[u8] = b"scan of the minutes";
const OTHER: &[u8] = b"a drawing";

/// A ledger on which `acme` has logged a decision whose field `attachments` names `FILE`, and whose field
/// `method` names `OTHER`.
struct Scene {
    world: World,
    engine: Engine,
    record: EntryId,
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn field(seed: u8, name: &str, value: &Json) -> Vec<u8> {
    let salt = Salt::new(&[seed; 16]).unwrap();
    let disclosure = Disclosure::new(&salt, name, value).unwrap();
    disclosure.bytes().to_vec()
}

fn naming(bytes: &[u8]) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    Json::Array(vec![Json::Object(vec![
        ("digest".to_owned(), text(&hex(&digest(bytes)))),
        ("media_type".to_owned(), text("application/pdf")),
        ("name".to_owned(), text("file.pdf")),
        (
            "size".to_owned(),
            Json::Integer(i64::try_from(bytes.len()).unwrap()),
        ),
    ])])
}

impl Scene {
    fn set() -> Self {
        let world = World::new();
        let mut engine = Engine::with_acme(&world);
        let auditor = |seed| Change::Admit {
            name: "auditor",
            seed,
            roles: &["certification_body_auditor"],
            acts_for: None,
        };
        for record in [
            world.organization("certifier", 60),
            world.principal("certifier", auditor(AUDITOR), 60),
            world.organization("other", 70),
            world.principal("other", auditor(STRANGER), 70),
        ] {
            log(&mut engine, item(record));
        }
        for bytes in [FILE, OTHER] {
            engine.run(&Command::Blob(BlobChunk {
                time_ms: START_MS,
                organization: "acme".to_owned(),
                digest: digest(bytes),
                offset: 0,
                total: bytes.len() as u64,
                bytes: Bytes::from_static(bytes),
            }));
        }
        let statement = signed(&world.header(WORKER, 1), WORKER);
        let record = id_of(&statement);
        let fields = [
            field(1, "attachments", &naming(FILE)),
            field(2, "decision", &Json::Text("stopped".to_owned())),
            field(3, "method", &naming(OTHER)),
        ];
        let item = Item {
            payload: Some(payload::encode(&fields)),
            attachments: vec![digest(FILE), digest(OTHER)],
            ..item(statement)
        };
        log(&mut engine, item);
        Self {
            world,
            engine,
            record,
        }
    }

    /// Lets the body read, as changed.
    fn engage(&mut self, id: u8, change: impl Fn(&mut Grant)) {
        let mut grant = Grant {
            body: OrganizationId::new("certifier").unwrap(),
            kinds: None,
            subjects: None,
            fields: None,
            claimed_from: None,
            claimed_to: None,
            valid_from: UnixSeconds(START_MS / 1000),
            valid_to: UnixSeconds(START_MS / 1000 + 1_000),
        };
        change(&mut grant);
        let name = format!("audit-{id}");
        let grant = EngagementChange::Grant(Box::new(grant));
        log(
            &mut self.engine,
            item(self.world.engagement(&name, grant, id)),
        );
    }

    fn sight(&self, seed: u8) -> Sight {
        let next = LeafIndex(self.engine.core().frontier.size().0);
        let registry = &self.engine.registry;
        let row = registry.principal_at(&public(seed).thumbprint(), next);
        let moment = (next, UnixSeconds(START_MS / 1000 + 10));
        Sight::of(Arc::clone(registry), RuleBundle::v1(), row.unwrap(), moment)
    }

    /// What this reader gets: the bytes, and the engagements under which it was journalled.
    fn get(&self, seed: u8, request: pb::GetBlobRequest) -> Result<(Vec<u8>, Vec<String>), Reason> {
        let sight = self.sight(seed);
        let reason = |failure: ReadFailure| match failure {
            ReadFailure::Refused(failure) => failure.reason(),
            other @ ReadFailure::State(_) => panic!("{other:?}"),
        };
        let asked = Asked::new(&sight, request).map_err(|failure| failure.reason())?;
        let (content, reads) = content(&self.engine.rows, &sight, &asked).map_err(reason)?;
        let engagements = reads.iter().map(|read| read.engagement.to_string());
        Ok((content, engagements.collect()))
    }

    fn of(&self, bytes: &[u8]) -> pb::GetBlobRequest {
        pb::GetBlobRequest {
            organization: "acme".to_owned(),
            digest: digest(bytes).to_vec(),
            entry_id: self.record.as_bytes().to_vec(),
        }
    }
}

fn log(engine: &mut Engine, item: Item) {
    let outcome = engine.batch(vec![item]).remove(0);
    assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
}

#[test]
fn an_engaged_body_gets_what_a_field_names_that_it_sees_and_each_engagement_is_told() {
    let mut scene = Scene::set();
    let hidden = Err(Reason::NotVisible);
    assert_eq!(scene.get(AUDITOR, scene.of(FILE)), hidden);
    let names = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect::<Vec<_>>());
    scene.engage(101, |grant| grant.fields = names(&["decision"]));
    assert_eq!(scene.get(AUDITOR, scene.of(FILE)), hidden, "another field");
    scene.engage(102, |grant| grant.fields = names(&["attachments"]));
    let got = scene.get(AUDITOR, scene.of(FILE)).unwrap();
    assert_eq!(got, (FILE.to_vec(), vec!["audit-102".to_owned()]));
    assert_eq!(
        scene.get(AUDITOR, scene.of(OTHER)),
        hidden,
        "of a hidden field"
    );
    scene.engage(103, |_| {});
    let (bytes, told) = scene.get(AUDITOR, scene.of(OTHER)).unwrap();
    assert_eq!(
        (bytes.as_slice(), told.as_slice()),
        (OTHER, &["audit-103".to_owned()][..])
    );
    let (_, told) = scene.get(AUDITOR, scene.of(FILE)).unwrap();
    assert_eq!(told, ["audit-102", "audit-103"]);
    assert_eq!(scene.get(STRANGER, scene.of(FILE)), hidden);
    for id in [102, 103] {
        let end = scene
            .world
            .engagement(&format!("audit-{id}"), EngagementChange::End, id + 50);
        log(&mut scene.engine, item(end));
    }
    assert_eq!(
        scene.get(AUDITOR, scene.of(FILE)),
        hidden,
        "when it is over"
    );
}

#[test]
fn kind_subject_and_time_of_an_engagement_hold_for_attachments_too() {
    let bounds: [fn(&mut Grant); 4] = [
        |grant| grant.kinds = Some(vec!["finding".to_owned()]),
        |grant| grant.subjects = Some(vec!["urn:aimslog:acme:system:none".to_owned()]),
        |grant| grant.claimed_from = Some(UnixSeconds(u64::from(u32::MAX))),
        |grant| grant.claimed_to = Some(UnixSeconds(1)),
    ];
    for bound in bounds {
        let mut scene = Scene::set();
        scene.engage(101, bound);
        assert_eq!(scene.get(AUDITOR, scene.of(FILE)), Err(Reason::NotVisible));
    }
}

#[test]
fn a_body_names_the_record_and_no_other_one_will_do() {
    let mut scene = Scene::set();
    let other = signed(&scene.world.header(WORKER, 2), WORKER);
    let payload = Some(payload::encode(&[field(4, "decision", &Json::Null)]));
    log(
        &mut scene.engine,
        Item {
            payload,
            ..item(other.clone())
        },
    );
    scene.engage(101, |_| {});
    let with = |entry_id: Vec<u8>| {
        let request = pb::GetBlobRequest {
            entry_id,
            ..scene.of(FILE)
        };
        scene.get(AUDITOR, request)
    };
    assert_eq!(with(Vec::new()), Err(Reason::InvalidRequest));
    assert_eq!(with(vec![7; 32]), Err(Reason::NotVisible));
    assert_eq!(
        with(id_of(&other).as_bytes().to_vec()),
        Err(Reason::NotVisible)
    );
    let genesis = reader::entry(&scene.engine.rows, LeafIndex(0));
    let genesis = id_of(&genesis.unwrap().unwrap().statement);
    assert_eq!(with(genesis.as_bytes().to_vec()), Err(Reason::NotVisible));
    // Its own organisation needs none, and nobody is told.
    let request = pb::GetBlobRequest {
        entry_id: Vec::new(),
        ..scene.of(FILE)
    };
    assert_eq!(scene.get(WORKER, request), Ok((FILE.to_vec(), Vec::new())));
}
