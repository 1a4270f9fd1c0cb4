//! The machine on a real database: against the engine in memory, over reopening and snapshots.

use super::*;
use crate::{
    ledger::{
        command::Batch,
        digest::state_digest,
        evidence_file::{EvidenceRequest, FieldChoice, RequestedRecord, Signers, evidence_file},
        reader,
        testing::{Engine, START_MS, World, item, signed},
    },
    store::{fatal::FatalHook, state_db::StateOptions},
};
use aimslog_proto::{
    statement::{UnverifiedStatement, evidence::EvidenceFile},
    tlog::LeafIndex,
};

fn open(data: &Path) -> Ledger {
    let db = StateDb::open(data, StateOptions::default(), FatalHook::abort()).unwrap();
    Ledger::open(Arc::new(db)).unwrap()
}

fn entry(index: u64, command: &Command) -> LogEntry {
    LogEntry {
        position: Position {
            term: 1,
            leader: 1,
            index,
        },
        kind: EntryKind::Command(command.encode()),
    }
}

/// Genesis, an organisation, two records, a cut and a published head.
fn commands(world: &World) -> Vec<Command> {
    let mut engine = Engine::empty();
    let batch = |statements: Vec<Bytes>| {
        let items = statements.into_iter().map(item).collect();
        Command::Batch(Batch {
            time_ms: START_MS,
            items,
        })
    };
    let mut commands = vec![
        Command::Genesis(world.genesis()),
        batch(world.acme().to_vec()),
        batch(vec![
            signed(&world.header(11, 1), 11),
            signed(&world.header(11, 2), 11),
        ]),
        Command::Cut {
            time_ms: START_MS + 1,
        },
    ];
    for command in &commands {
        engine.run(command);
    }
    let head = engine.core().frontier.head();
    commands.push(Command::Publish(world.publish(head.size.0, head.root, 2)));
    commands
}

fn digest(ledger: &Ledger) -> [u8; 32] {
    ledger.view(|view| state_digest(view)).unwrap()
}

#[test]
fn the_database_holds_what_memory_holds_and_after_reopening_too() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let mut engine = Engine::empty();
    let ledger = open(data.path());
    let mut last = None;
    for (index, command) in (0..).zip(commands(&world)) {
        let outcomes = ledger.apply(&[entry(index, &command)]).unwrap();
        assert_eq!(Outcome::decode(&outcomes[0]).unwrap(), engine.run(&command));
        last = Some(Position {
            term: 1,
            leader: 1,
            index,
        });
    }
    let blank = Position {
        term: 2,
        leader: 1,
        index: 5,
    };
    let membership = Position {
        term: 2,
        leader: 1,
        index: 6,
    };
    let outcomes = ledger
        .apply(&[
            LogEntry {
                position: blank,
                kind: EntryKind::Blank,
            },
            LogEntry {
                position: membership,
                kind: EntryKind::Membership(Bytes::from_static(b"three")),
            },
        ])
        .unwrap();
    assert_eq!(outcomes, [Bytes::new(), Bytes::new()]);
    assert!(last < Some(blank));
    let expected = Applied {
        last: Some(membership),
        membership: Bytes::from_static(b"three"),
    };
    assert_eq!(ledger.sync().unwrap(), expected);
    let progress = ledger.progress().borrow().clone();
    assert_eq!(progress.tree, engine.core().frontier.head());
    assert_eq!(progress.head.unwrap().tree, progress.tree);
    assert_eq!(progress.cut.unwrap().position.index, 3);
    for (key, value) in engine.rows.iter() {
        assert_eq!(
            ledger.view(|view| view.row(key)).unwrap().as_ref(),
            Some(value)
        );
    }
    let before = digest(&ledger);
    drop(ledger);
    let ledger = open(data.path());
    assert_eq!(digest(&ledger), before);
    assert_eq!(ledger.applied().unwrap(), expected);
    assert_eq!(*ledger.progress().borrow(), progress);
    assert_eq!(ledger.registry().last_index(), Some(LeafIndex(3)));
}

#[test]
fn one_call_or_many_make_the_same_state() {
    let world = World::new();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, many] = [open(folders[0].path()), open(folders[1].path())];
    let entries: Vec<_> = (0..)
        .zip(commands(&world))
        .map(|(index, command)| entry(index, &command))
        .collect();
    let together = one.apply(&entries).unwrap();
    let apart: Vec<_> = entries
        .iter()
        .flat_map(|entry| many.apply(std::slice::from_ref(entry)).unwrap())
        .collect();
    assert_eq!(together, apart);
    assert_eq!(digest(&one), digest(&many));
}

#[test]
fn a_snapshot_is_taken_over_only_where_it_belongs() {
    let world = World::new();
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let source = open(folders[0].path());
    let entries: Vec<_> = (0..)
        .zip(commands(&world))
        .map(|(index, command)| entry(index, &command))
        .collect();
    source.apply(&entries).unwrap();
    let target = open(folders[1].path());
    let copy = folders[1].path().join("copy");
    let applied = source.checkpoint(&copy).unwrap();
    let wrong = Applied {
        membership: Bytes::from_static(b"x"),
        ..applied.clone()
    };
    assert!(target.install(&copy, &wrong).is_err());
    target.install(&copy, &applied).unwrap();
    assert_eq!(digest(&target), digest(&source));
    assert_eq!(
        target.progress().borrow().tree,
        source.progress().borrow().tree
    );

    // A node never goes back behind a head that it knows.
    let older = open(folders[2].path());
    older.apply(&entries[..2]).unwrap();
    let behind = folders[1].path().join("behind");
    let applied = older.checkpoint(&behind).unwrap();
    let error = target.install(&behind, &applied).unwrap_err();
    assert!(
        matches!(
            error.downcast_ref(),
            Some(InstallError::Behind {
                expected: 6,
                found: 4
            })
        ),
        "{error}"
    );
}

#[test]
fn an_unreadable_command_stops_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let ledger = open(data.path());
    let position = Position {
        term: 1,
        leader: 1,
        index: 0,
    };
    let unknown = EntryKind::Command(Bytes::from_static(&[1, 99]));
    let error = ledger
        .apply(&[LogEntry {
            position,
            kind: unknown,
        }])
        .unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(ApplyError::Command { .. })),
        "{error}"
    );
    assert_eq!(ledger.applied().unwrap(), Applied::default());
}

#[test]
fn an_evidence_file_is_complete_and_its_proof_leads_to_the_head() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    let ledger = open(data.path());
    let entries: Vec<_> = (0..)
        .zip(commands(&world))
        .map(|(index, command)| entry(index, &command))
        .collect();
    ledger.apply(&entries).unwrap();
    let registry = ledger.registry();
    let file = ledger
        .view(|view| {
            let head = reader::largest_head(view)?.unwrap();
            let rows = [4, 5].map(|index| {
                let row = reader::entry(view, LeafIndex(index)).unwrap().unwrap();
                (LeafIndex(index), row)
            });
            let request = EvidenceRequest {
                signers: Signers::UntilHead,
                records: &[&rows[0], &rows[1]].map(|(index, entry)| RequestedRecord {
                    index: *index,
                    entry,
                    signer: UnverifiedStatement::parse(&entry.statement)
                        .unwrap()
                        .header()
                        .key,
                    fields: FieldChoice::None,
                }),
                head: &head,
                since: None,
            };
            evidence_file(view, &registry, &request)
        })
        .unwrap();
    let chain: Vec<u64> = file.chain.iter().map(|entry| entry.index.0).collect();
    assert_eq!(chain, [0, 1, 2, 3]);
    let text = file.print().unwrap();
    assert_eq!(EvidenceFile::parse(text.as_bytes()).unwrap(), file);
    let tree = ledger.progress().borrow().tree;
    let proof = aimslog_proto::tlog::MultiProof::new(file.indices(), tree.size, file.proof.clone())
        .unwrap();
    let statements = file
        .chain
        .iter()
        .map(|e| &e.statement)
        .chain(file.records.iter().map(|r| &r.statement));
    let leaves: Vec<_> = statements
        .map(|bytes| aimslog_proto::tlog::LeafHash::of(bytes))
        .collect();
    proof.verify(&leaves, &tree).unwrap();
}
