//! What a node verifies behind apply, where its own door has seen nothing.

use aimslog_proto::statement::{Commitment, EntryId};
use bytes::Bytes;

use super::*;
use crate::{
    ledger::{
        command::{Batch, Command, Item},
        testing::{START_MS, World, id_of, plan, signed_over},
    },
    raft::{EntryKind, LogEntry, Machine as _, Position},
    store::{
        fatal::FatalHook,
        state_db::{StateDb, StateOptions},
    },
};

const WORKER: u8 = 11;

/// A ledger on disk that was fed commands by a leader who lets everything through.
struct Fed {
    world: World,
    ledger: Arc<Ledger>,
    fields: Vec<Vec<u8>>,
    next: u64,
    _data: tempfile::TempDir,
}

impl Fed {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let hook = FatalHook::abort();
        let db = StateDb::open(data.path(), StateOptions::default(), hook).unwrap();
        let mut fed = Self {
            world: World::new(),
            ledger: Arc::new(Ledger::open(Arc::new(db)).unwrap()),
            fields: plan::fields(),
            next: 0,
            _data: data,
        };
        fed.run(&Command::Genesis(fed.world.genesis()));
        for record in fed.world.acme() {
            fed.log(record);
        }
        fed.log(plan::approver(&fed.world));
        fed
    }

    fn run(&mut self, command: &Command) {
        let entry = LogEntry {
            position: Position {
                term: 1,
                leader: 1,
                index: self.next,
            },
            kind: EntryKind::Command(command.encode()),
        };
        self.next += 1;
        self.ledger.apply(&[entry]).unwrap();
    }

    /// Logs a statement with the plan as its content, and gives its index.
    fn log(&mut self, statement: Bytes) -> u64 {
        let before = self.ledger.progress().borrow().tree.size.0;
        let payload = Some(payload::encode(&self.fields));
        self.run(&Command::Batch(Batch {
            time_ms: START_MS,
            items: vec![Item {
                statement,
                payload,
                attachments: Vec::new(),
            }],
        }));
        let after = self.ledger.progress().borrow().tree.size.0;
        assert_eq!(after, before + 1, "not logged");
        before
    }

    fn version(
        &self,
        (id, seed): (u64, u8),
        state: &str,
        follows: Option<(EntryId, EntryId)>,
    ) -> Bytes {
        let leaves: Vec<LeafHash> = self
            .fields
            .iter()
            .map(|bytes| LeafHash::of(bytes))
            .collect();
        let commitment = Commitment::build(&leaves).unwrap();
        let header = plan::version(&self.world, (id, seed), state, follows);
        signed_over(&header, seed, &commitment)
    }

    fn verify(&self, index: u64) -> Result<(), EntryFault> {
        let ledger = Arc::clone(&self.ledger);
        let own = OwnLedger::new(ledger, self.world.origin.clone(), Arc::default());
        own.verify_range(index, index + 1)
    }
}

#[test]
fn verifies_who_signs_a_state() {
    let mut fed = Fed::new();
    let draft = fed.version((1, WORKER), "draft", None);
    let entity = id_of(&draft);
    fed.log(draft);
    let active = fed.version((2, plan::APPROVER), "active", Some((entity, entity)));
    let newest = id_of(&active);
    let entered = fed.log(active);
    assert!(fed.verify(entered).is_ok());
    let amended = fed.version((3, plan::APPROVER), "active", Some((entity, newest)));
    let newest = id_of(&amended);
    let amended = fed.log(amended);
    assert!(fed.verify(amended).is_ok());

    let stays = fed.version((4, WORKER), "active", Some((entity, newest)));
    let draft = fed.version((5, WORKER), "draft", None);
    let entity = id_of(&draft);
    let enters = fed.version((6, WORKER), "active", Some((entity, entity)));
    let stays = fed.log(stays);
    fed.log(draft);
    let enters = fed.log(enters);
    for by_another in [stays, enters] {
        match fed.verify(by_another) {
            Err(EntryFault::Wrong { index, found }) => {
                assert_eq!(index, by_another);
                assert!(found.contains("OVERSIGHT-PLAN-ACTIVE-SIGNER"), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
}
