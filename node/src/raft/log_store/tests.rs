//! Goal: the contract that openraft states for its stores. Method: its own suite on our real store
//! on disk, and the order of guard and database that the suite does not know.

use std::sync::{Mutex, atomic::AtomicUsize};

use openraft::{
    StorageError,
    storage::RaftLogStorageExt,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use super::*;
use crate::{
    raft::{
        GuardError,
        adapter::StateMachine,
        snapshot::SnapshotStore,
        testing::{Collector, MemoryGuard, panicking},
    },
    store::raft_codec::{Identity, Vote},
};

struct OnDisk;

const IDENTITY: Identity = Identity {
    cluster_id: [1; 32],
    node_id: 1,
    incarnation: 0,
};

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let db = RaftDb::create(&dir.path().join("raft"), IDENTITY, panicking()).unwrap();
        // The suite saves votes in orders that no election has, so this guard takes all.
        let log = LogStore::new(db, Arc::new(AnyVote), panicking());
        let (snapshots, current) = SnapshotStore::open(&dir.path().join("snapshots")).unwrap();
        let machine = Collector::open(dir.path());
        Ok((
            dir,
            log,
            StateMachine::new(machine, snapshots, current, panicking()),
        ))
    }
}

struct AnyVote;

impl VoteGuard for AnyVote {
    fn vote_stored(&self, _: &Vote) -> Result<(), GuardError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_storage_suite() {
    Suite::test_all(OnDisk).await.unwrap();
}

/// Looks into the database at the moment at which it is asked.
struct Watching {
    db: RaftDb,
    seen: Mutex<Vec<(Vote, Option<Vote>)>>,
    refuse: bool,
}

impl VoteGuard for Watching {
    fn vote_stored(&self, vote: &Vote) -> Result<(), GuardError> {
        self.seen.lock().unwrap().push((*vote, self.db.vote()));
        if self.refuse {
            Err(GuardError::Io(io::ErrorKind::StorageFull.into()))
        } else {
            Ok(())
        }
    }
}

#[tokio::test]
async fn the_guard_hears_of_a_vote_once_it_is_stored_and_its_refusal_is_fatal() {
    for refuse in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let db = RaftDb::create(dir.path(), IDENTITY, panicking()).unwrap();
        let guard = Arc::new(Watching {
            db: db.clone(),
            seen: Mutex::default(),
            refuse,
        });
        let fired = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fired);
        let fatal = FatalHook::new(move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
        let watching = Arc::clone(&guard) as Arc<dyn VoteGuard>;
        let mut log = LogStore::new(db.clone(), watching, fatal);
        let vote = Vote {
            term: 5,
            node: 1,
            committed: false,
        };
        let saved = log.save_vote(&raft_vote_of(vote)).await;
        assert_eq!(saved.is_err(), refuse);
        assert_eq!(*guard.seen.lock().unwrap(), [(vote, Some(vote))]);
        assert_eq!(db.vote(), Some(vote));
        assert_eq!(
            fired.load(std::sync::atomic::Ordering::SeqCst),
            usize::from(refuse)
        );
    }
}

#[tokio::test]
async fn a_read_for_replication_stays_below_the_message_limit() {
    let dir = tempfile::tempdir().unwrap();
    let db = RaftDb::create(dir.path(), IDENTITY, panicking()).unwrap();
    let mut log = LogStore::new(db, Arc::new(MemoryGuard::default()), panicking());
    let command = crate::raft::type_config::CommandBytes(bytes::Bytes::from(vec![1; 1 << 20]));
    let entries = (0..10).map(|index| Entry {
        log_id: log_id_of(crate::raft::Position {
            term: 1,
            leader: 1,
            index,
        }),
        payload: openraft::EntryPayload::Normal(command.clone()),
    });
    log.blocking_append(entries.collect::<Vec<_>>())
        .await
        .unwrap();
    let mut reader = log.get_log_reader().await;
    let read = reader.limited_get_log_entries(0, 10).await.unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(reader.try_get_log_entries(0..10).await.unwrap().len(), 10);
    // The same in pages, for applying.
    let stream = reader.entries_stream(1..9).await;
    let paged: Vec<Entry> = stream.try_collect().await.unwrap();
    let indices: Vec<u64> = paged.iter().map(|entry| entry.log_id.index).collect();
    assert_eq!(indices, (1..9).collect::<Vec<_>>());
}
