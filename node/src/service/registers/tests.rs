//! Pages of registers, of what changed in them, and of histories, by who asks.

use std::sync::Arc;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::header::{Change as Differs, Revision};
use aimslog_proto::statement::{EntryId, Header};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Hash, LeafHash, MultiProof, TreeHead};

use super::*;
use crate::ledger::command::{Command, Item};
use crate::ledger::outcome::{ItemOutcome, Outcome};
use crate::ledger::payload;
use crate::ledger::testing::counting::CountingRows;
use crate::ledger::testing::{Change, Engine, World, id_of, item, public, signed};
use crate::service::filter::Query;
use crate::service::history::{self, HistoryQuery};
use crate::service::records;
use crate::store::codec;

mod pages;

const WORKER: u8 = 11;
/// Sees what it has signed, and nothing else.
const WRITER: u8 = 12;
/// Sees nothing of its organisation.
const BOSS: u8 = 10;
/// Of an organisation that nobody has engaged.
const RIVAL: u8 = 60;
const KIND: &str = "oversight_decision";

/// A ledger, and the versions of its decisions as they were logged: (number, version, index, signer).
struct Scene {
    world: World,
    engine: Engine,
    logged: Vec<(u64, u32, u64, u8)>,
    first: u64,
}

impl Scene {
    /// Five decisions by turns of both, the first of which get more versions; all under a head.
    fn set() -> Self {
        let world = World::new();
        let mut engine = Engine::with_acme(&world);
        let admit = Change::Admit {
            name: "writer",
            seed: WRITER,
            roles: &["submitter"],
            acts_for: None,
        };
        for record in [
            world.principal("acme", admit, BOSS),
            world.organization("rival", RIVAL),
        ] {
            let outcome = engine.submit(record);
            assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        }
        let mut scene = Self {
            world,
            first: engine.core().frontier.size().0,
            engine,
            logged: Vec::new(),
        };
        let mut entities: Vec<(EntryId, EntryId, u32)> = Vec::new();
        // Number of the entity that is continued; one more than there are opens one.
        let order = [
            (1, WORKER),
            (2, WRITER),
            (3, WORKER),
            (1, WRITER),
            (4, WRITER),
            (2, WORKER),
            (1, WORKER),
            (5, WORKER),
        ];
        for (place, (number, signer)) in (0_u64..).zip(order) {
            let header = scene.world.header(signer, 100 + place);
            let at = usize::try_from(number).unwrap() - 1;
            let header = match entities.get(at) {
                None => header,
                Some((entity, previous, _)) => Header {
                    revision: Some(Revision {
                        entity: *entity,
                        previous: *previous,
                        change: Differs::Amend,
                    }),
                    ..header
                },
            };
            let statement = signed(&header, signer);
            let id = id_of(&statement);
            let payload = Some(payload::encode(&[b"a field"]));
            let item = Item {
                payload,
                ..item(statement)
            };
            let outcome = scene.engine.batch(vec![item]).remove(0);
            assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
            match entities.get_mut(at) {
                None => entities.push((id, id, 1)),
                Some(entity) => (entity.1, entity.2) = (id, entity.2 + 1),
            }
            let index = scene.first + place;
            scene.logged.push((number, entities[at].2, index, signer));
        }
        let head = scene.engine.core().frontier.head();
        let publish = scene.world.publish(head.size.0, head.root, 2);
        let outcome = scene.engine.run(&Command::Publish(publish));
        assert!(matches!(outcome, Outcome::Published { .. }), "{outcome:?}");
        scene
    }

    fn head(&self) -> TreeHead {
        self.engine.core().frontier.head()
    }

    fn sight(&self, seed: u8) -> Sight {
        let next = LeafIndex(self.head().size.0);
        let registry = &self.engine.registry;
        let row = registry.principal_at(&public(seed).thumbprint(), next);
        let moment = (next, UnixSeconds(1_800_000_000));
        Sight::of(Arc::clone(registry), RuleBundle::v1(), row.unwrap(), moment)
    }

    /// The newest versions in front of `at`, by number.
    fn newest(&self, at: u64) -> Vec<(u64, u32, u64, u8)> {
        let before = self.logged.iter().filter(|(_, _, index, _)| *index < at);
        let mut newest: Vec<(u64, u32, u64, u8)> = Vec::new();
        for version in before {
            match newest.iter_mut().find(|known| known.0 == version.0) {
                Some(known) => *known = *version,
                None => newest.push(*version),
            }
        }
        newest
    }

    fn check_proof(&self, proof: Option<&pb::PageProof>, shown: &[&pb::RegisterVersion]) {
        let proof = proof.unwrap();
        let mut leaves: Vec<(LeafIndex, LeafHash)> = shown
            .iter()
            .map(|version| {
                let index = LeafIndex(version.entry.as_ref().unwrap().index);
                (index, LeafHash::of(&version.statement))
            })
            .collect();
        leaves.sort_unstable();
        leaves.dedup();
        if leaves.is_empty() {
            assert!(proof.hashes.is_empty());
            return;
        }
        let (indices, leaves): (Vec<_>, Vec<_>) = leaves.into_iter().unzip();
        let hash = |bytes: &Vec<u8>| Hash::try_from(bytes.as_slice()).unwrap();
        let hashes = proof.hashes.iter().map(hash).collect();
        let proof = MultiProof::new(indices, self.head().size, hashes).unwrap();
        assert_eq!(proof.verify(&leaves, &self.head()), Ok(()));
    }

    /// Every page of a register.
    fn list(
        &self,
        seed: u8,
        request: &pb::ListRegisterRequest,
    ) -> Result<Vec<pb::ListRegisterResponse>, ReadFailure> {
        let sight = self.sight(seed);
        let mut pages: Vec<pb::ListRegisterResponse> = Vec::new();
        loop {
            let token = pages.last().map(|page| page.next_page_token.clone());
            let request = pb::ListRegisterRequest {
                page_token: token.unwrap_or_else(|| request.page_token.clone()),
                ..request.clone()
            };
            let query = RegisterQuery::new(&sight, request)?;
            let page = list(&self.engine.rows, &self.engine.registry, (&query, &sight))?;
            self.check_proof(
                page.proof.as_ref(),
                &page.entities.iter().collect::<Vec<_>>(),
            );
            let is_last = page.next_page_token.is_empty();
            pages.push(page);
            if is_last {
                return Ok(pages);
            }
        }
    }

    fn diff(
        &self,
        seed: u8,
        request: &pb::DiffRegisterRequest,
    ) -> Result<Vec<pb::DiffRegisterResponse>, ReadFailure> {
        let sight = self.sight(seed);
        let mut pages: Vec<pb::DiffRegisterResponse> = Vec::new();
        loop {
            let token = pages.last().map(|page| page.next_page_token.clone());
            let request = pb::DiffRegisterRequest {
                page_token: token.unwrap_or_default(),
                ..request.clone()
            };
            let query = DiffQuery::new(&sight, request)?;
            let page = diff(&self.engine.rows, &self.engine.registry, (&query, &sight))?;
            let shown = page.changes.iter();
            let shown = shown.flat_map(|change| [&change.after, &change.before]);
            let shown: Vec<&pb::RegisterVersion> = shown.flatten().collect();
            self.check_proof(page.proof.as_ref(), &shown);
            let is_last = page.next_page_token.is_empty();
            pages.push(page);
            if is_last {
                return Ok(pages);
            }
        }
    }

    fn history(
        &self,
        seed: u8,
        request: &pb::GetHistoryRequest,
    ) -> Result<Vec<pb::GetHistoryResponse>, ReadFailure> {
        let sight = self.sight(seed);
        let mut pages: Vec<pb::GetHistoryResponse> = Vec::new();
        loop {
            let token = pages.last().map(|page| page.next_page_token.clone());
            let request = pb::GetHistoryRequest {
                page_token: token.unwrap_or_default(),
                ..request.clone()
            };
            let query = HistoryQuery::new(request)?;
            let page = history::page(&self.engine.rows, &self.engine.registry, (&query, &sight))?;
            let shown = page.versions.iter();
            let shown: Vec<_> = shown
                .filter_map(|version| version.version.as_ref())
                .collect();
            self.check_proof(page.proof.as_ref(), &shown);
            let is_last = page.next_page_token.is_empty();
            pages.push(page);
            if is_last {
                return Ok(pages);
            }
        }
    }
}

fn register() -> pb::ListRegisterRequest {
    pb::ListRegisterRequest {
        organization: "acme".to_owned(),
        kind: KIND.to_owned(),
        ..pb::ListRegisterRequest::default()
    }
}

fn changes() -> pb::DiffRegisterRequest {
    pb::DiffRegisterRequest {
        organization: "acme".to_owned(),
        kind: KIND.to_owned(),
        ..pb::DiffRegisterRequest::default()
    }
}

fn history_of(index: u64) -> pb::GetHistoryRequest {
    pb::GetHistoryRequest {
        key: Some(pb::get_history_request::Key::Index(index)),
        ..pb::GetHistoryRequest::default()
    }
}

/// Number, version and index.
fn place(version: &pb::RegisterVersion) -> (u64, u32, u64) {
    let entry = version.entry.as_ref().unwrap();
    (entry.register_number, version.version, entry.index)
}

#[track_caller]
fn reason<T: std::fmt::Debug>(told: Result<T, ReadFailure>) -> Reason {
    match told {
        Err(ReadFailure::Refused(failure)) => failure.reason(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_register_comes_in_pages_as_it_stood_at_every_place() {
    let scene = Scene::set();
    let size = scene.head().size.0;
    for at in 0..=size {
        let expected: Vec<_> = scene
            .newest(at)
            .iter()
            .map(|it| (it.0, it.1, it.2))
            .collect();
        for page_size in [0, 1, 2, 3] {
            let request = pb::ListRegisterRequest {
                at: Some(at),
                page_size,
                ..register()
            };
            let pages = scene.list(WORKER, &request).unwrap();
            let found: Vec<_> = pages
                .iter()
                .flat_map(|page| &page.entities)
                .map(place)
                .collect();
            assert_eq!(found, expected, "at {at}");
            let versions = scene.logged.iter().filter(|it| it.2 < at).count() as u64;
            let entities = expected.len() as u64;
            for page in &pages {
                assert_eq!(page.count, Some(pb::RegisterCount { entities, versions }));
                assert_eq!(page.at, at);
                assert!(page_size == 0 || page.entities.len() <= page_size as usize);
            }
            let full = page_size.max(1) as usize;
            let needed = if page_size == 0 {
                1
            } else {
                expected.len().div_ceil(full).max(1)
            };
            assert_eq!(pages.len(), needed, "at {at}, by {page_size}");
        }
    }
    let newest = scene.list(WORKER, &register()).unwrap();
    assert_eq!(newest[0].at, size);
    let none = pb::ListRegisterRequest {
        kind: "finding".to_owned(),
        ..register()
    };
    assert_eq!(scene.list(WORKER, &none).unwrap()[0].entities, []);
}

#[test]
fn what_changed_between_two_places_comes_once_with_both_sides() {
    let scene = Scene::set();
    let size = scene.head().size.0;
    for (from, to) in (0..=size).flat_map(|from| (from..=size).map(move |to| (from, to))) {
        let (before, after) = (scene.newest(from), scene.newest(to));
        let mut expected: Vec<_> = after
            .iter()
            .filter(|version| version.2 >= from)
            .map(|after| {
                let before = before.iter().find(|before| before.0 == after.0);
                (
                    (after.0, after.1, after.2),
                    before.map(|it| (it.0, it.1, it.2)),
                )
            })
            .collect();
        expected.sort_by_key(|(after, _)| after.2);
        for page_size in [0, 1] {
            let request = pb::DiffRegisterRequest {
                from,
                to: Some(to),
                page_size,
                ..changes()
            };
            let pages = scene.diff(WORKER, &request).unwrap();
            let found = pages.iter().flat_map(|page| &page.changes);
            let found: Vec<_> = found
                .map(|it| {
                    (
                        place(it.after.as_ref().unwrap()),
                        it.before.as_ref().map(place),
                    )
                })
                .collect();
            assert_eq!(found, expected, "{from} to {to}");
            let count = pages[0].count_to.unwrap().entities;
            assert_eq!(count, after.len() as u64);
            assert_eq!(pages[0].count_from.unwrap().entities, before.len() as u64);
        }
    }
}

#[test]
fn a_history_is_found_by_any_of_its_versions() {
    let scene = Scene::set();
    let expected: Vec<_> = scene.logged.iter().filter(|it| it.0 == 1).collect();
    for named in &expected {
        for page_size in [0, 1, 2] {
            let request = pb::GetHistoryRequest {
                page_size,
                ..history_of(named.2)
            };
            let pages = scene.history(WORKER, &request).unwrap();
            let found = pages.iter().flat_map(|page| &page.versions);
            let found: Vec<_> = found
                .map(|it| place(it.version.as_ref().unwrap()))
                .collect();
            let expected: Vec<_> = expected.iter().map(|it| (it.0, it.1, it.2)).collect();
            assert_eq!(found, expected);
            assert!(pages.iter().all(|page| page.count == Some(3)));
        }
    }
    let early = pb::GetHistoryRequest {
        at: Some(expected[0].2),
        ..history_of(expected[2].2)
    };
    let early = scene.history(WORKER, &early).unwrap();
    assert_eq!((early[0].versions.len(), early[0].count), (0, Some(0)));
    let record_of_ledger = scene.history(WORKER, &history_of(4));
    assert_eq!(reason(record_of_ledger), Reason::InvalidRequest);
}

#[test]
fn whoever_sees_a_part_is_told_of_that_part_alone() {
    let scene = Scene::set();
    let size = scene.head().size.0;
    let pages = scene.list(WRITER, &register()).unwrap();
    let found: Vec<_> = pages
        .iter()
        .flat_map(|page| &page.entities)
        .map(place)
        .collect();
    let newest = scene.newest(size);
    let signed: Vec<_> = newest.iter().filter(|it| it.3 == WRITER).collect();
    let signed: Vec<_> = signed.iter().map(|it| (it.0, it.1, it.2)).collect();
    assert_eq!(found, signed);
    assert_eq!(pages[0].count, None);
    // In front of the second version of number 1, which the writer signed, stands one of the worker.
    let request = pb::DiffRegisterRequest {
        from: scene.first + 1,
        to: Some(scene.first + 4),
        ..changes()
    };
    let told = scene.diff(WRITER, &request).unwrap();
    let told: Vec<_> = told.iter().flat_map(|page| &page.changes).collect();
    let told: Vec<_> = told
        .iter()
        .map(|it| {
            (
                place(it.after.as_ref().unwrap()).0,
                it.before.is_some(),
                it.before_withheld,
            )
        })
        .collect();
    assert_eq!(told, [(2, false, false), (1, false, true)]);
    let history = scene.history(WRITER, &history_of(scene.first + 3)).unwrap();
    assert_eq!((history[0].versions.len(), history[0].count), (1, None));
    let of_worker = scene.history(WRITER, &history_of(scene.first));
    assert_eq!(reason(of_worker), Reason::NotVisible);

    let blind = scene.list(BOSS, &register()).unwrap();
    assert_eq!((blind[0].entities.len(), blind[0].count), (0, None));
    let unseen = scene.history(BOSS, &history_of(scene.first));
    assert_eq!(reason(unseen), Reason::NotVisible);
    assert_eq!(reason(scene.list(RIVAL, &register())), Reason::NotVisible);
    assert_eq!(reason(scene.diff(RIVAL, &changes())), Reason::NotVisible);
    assert_eq!(
        reason(scene.history(RIVAL, &history_of(scene.first))),
        Reason::NotVisible
    );
    assert_eq!(
        reason(scene.history(WORKER, &history_of(1 << 40))),
        Reason::NotVisible
    );
}

#[test]
fn a_place_that_no_head_covers_is_refused() {
    let scene = Scene::set();
    let behind = scene.head().size.0 + 1;
    let mut beyond = register();
    beyond.at = Some(behind);
    assert_eq!(reason(scene.list(WORKER, &beyond)), Reason::BeyondTree);
    let mut to = changes();
    to.to = Some(behind);
    assert_eq!(reason(scene.diff(WORKER, &to)), Reason::BeyondTree);
    let mut from = changes();
    from.from = behind;
    assert_eq!(reason(scene.diff(WORKER, &from)), Reason::BeyondTree);
    let mut history = history_of(scene.first);
    history.at = Some(behind);
    assert_eq!(reason(scene.history(WORKER, &history)), Reason::BeyondTree);
    // A version that no head covers yet, of an entity that one does.
    let mut scene = scene;
    let newest = scene.newest(behind)[0];
    let entry = |index| reader::entry(&scene.engine.rows, LeafIndex(index));
    let id = |index| id_of(&entry(index).unwrap().unwrap().statement);
    let (first, previous) = (id(scene.first), id(newest.2));
    let later = Header {
        revision: Some(Revision {
            entity: first,
            previous,
            change: Differs::Amend,
        }),
        ..scene.world.header(WORKER, 500)
    };
    let outcome = scene.engine.submit(signed(&later, WORKER));
    let ItemOutcome::Logged(logged) = outcome else {
        panic!("{outcome:?}");
    };
    let unpublished = scene.history(WORKER, &history_of(logged.index));
    assert_eq!(reason(unpublished), Reason::BeyondTree);
    let published = history_of(scene.first);
    let sight = scene.sight(WORKER);
    let query = HistoryQuery::new(published).unwrap();
    let (rows, registry) = (&scene.engine.rows, &scene.engine.registry);
    let page = history::page(rows, registry, (&query, &sight)).unwrap();
    assert_eq!(page.versions.len(), 3);
}

#[test]
fn sizes_kinds_and_tokens_are_checked_with_their_field() {
    let scene = Scene::set();
    let sight = scene.sight(WORKER);
    let mut first = register();
    first.page_size = 1;
    let query = RegisterQuery::new(&sight, first).unwrap();
    let page = list(&scene.engine.rows, &scene.engine.registry, (&query, &sight));
    let token = page.unwrap().next_page_token;
    let told = |change: &dyn Fn(&mut pb::ListRegisterRequest)| {
        let mut request = register();
        change(&mut request);
        RegisterQuery::new(&sight, request).unwrap_err().to_string()
    };
    let mut backwards = changes();
    (backwards.from, backwards.to) = (3, Some(2));
    let backwards = DiffQuery::new(&sight, backwards).unwrap_err();
    let nothing = HistoryQuery::new(pb::GetHistoryRequest::default()).unwrap_err();
    let table = [
        ("from", backwards.to_string()),
        ("key", nothing.to_string()),
        ("page_size", told(&|it| it.page_size = 1_001)),
        ("kind", told(&|it| it.kind = "x".repeat(65))),
        ("kind", told(&|it| it.kind = String::new())),
        ("page_token", told(&|it| it.page_token = "1-2-3".to_owned())),
        (
            "page_token",
            told(&|it| {
                (it.kind, it.page_token) = ("finding".to_owned(), token.clone());
            }),
        ),
        (
            "page_token",
            told(&|it| (it.at, it.page_token) = (Some(2), token.clone())),
        ),
    ];
    for (field, told) in table {
        assert!(told.contains(field), "{field}: {told}");
    }
    // Another page size is no other request.
    let mut rest = register();
    (rest.page_token, rest.page_size) = (token, 100);
    let rest = scene.list(WORKER, &rest).unwrap();
    assert_eq!(rest[0].entities.len(), 4);
}

#[test]
fn records_of_the_ledger_itself_form_no_register() {
    let scene = Scene::set();
    let sight = scene.sight(WORKER);
    for kind in ["ledger.policy", "ledger.principal", "ledger."] {
        let (mut shown, mut changed) = (register(), changes());
        (shown.kind, changed.kind) = (kind.to_owned(), kind.to_owned());
        let refused = [
            RegisterQuery::new(&sight, shown).unwrap_err(),
            DiffQuery::new(&sight, changed).unwrap_err(),
        ];
        for refused in refused {
            assert_eq!(refused.reason(), Reason::InvalidRequest);
            let told = refused.to_string();
            assert!(told.contains("kind") && told.contains("ledger.*"), "{told}");
        }
    }
}

#[test]
fn without_a_head_there_is_no_register_to_show() {
    let world = World::new();
    let engine = Engine::with_acme(&world);
    let registry = &engine.registry;
    let row = registry.principal_at(&public(WORKER).thumbprint(), LeafIndex(9));
    let moment = (LeafIndex(9), UnixSeconds(1));
    let sight = Sight::of(Arc::clone(registry), RuleBundle::v1(), row.unwrap(), moment);
    let query = RegisterQuery::new(&sight, register()).unwrap();
    let told = list(&engine.rows, registry, (&query, &sight));
    assert_eq!(reason(told), Reason::NoHead);
}
