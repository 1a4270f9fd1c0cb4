//! Goal: what was acknowledged survives every crash, and damage is never taken for data. Method: a
//! real database on disk; kill -9 of a child process in mid-append against a model; copies of the
//! folder of an open database (which is what a kill leaves), damaged and opened.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use super::*;
use crate::store::{fatal::FatalHook, raft_codec::RecordKind};

const IDENTITY: Identity = Identity {
    cluster_id: [7; 32],
    node_id: 3,
    incarnation: 0,
};

fn at(term: u64, index: u64) -> Position {
    Position {
        term,
        leader: 1,
        index,
    }
}

/// The one entry that may stand at this index in this term.
fn record(term: u64, index: u64) -> Record {
    let body = format!("{term}.{index} ").repeat(40);
    Record {
        position: at(term, index),
        kind: RecordKind::Command(Bytes::from(body)),
    }
}

fn no_fatal() -> FatalHook {
    FatalHook::new(|error| panic!("{error}: {}", error.source))
}

fn create(path: &Path) -> RaftDb {
    RaftDb::create(path, IDENTITY, no_fatal()).unwrap()
}

/// Appends and waits for the sync.
fn append(db: &RaftDb, records: Vec<Record>) {
    let (done, synced) = mpsc::channel();
    db.append(records, Box::new(move |result| done.send(result).unwrap()))
        .unwrap();
    synced.recv().unwrap().unwrap();
}

fn all(db: &RaftDb) -> Vec<Record> {
    db.reader().read(0, u64::MAX, u64::MAX).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn everything_comes_back_after_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    assert_eq!(db.identity().incarnation, 1);
    append(&db, (0..10).map(|i| record(1, i)).collect());
    let vote = Vote {
        term: 4,
        node: 2,
        committed: true,
    };
    db.save_vote(vote).await.unwrap();
    db.purge(at(1, 2)).await.unwrap();
    db.truncate_after(Some(at(1, 7))).unwrap();
    db.save_committed(Some(at(1, 6))).unwrap();
    db.save_ages(b"note".to_vec()).unwrap();
    let before = all(&db);
    db.close();
    let db = RaftDb::open(dir.path(), no_fatal()).unwrap();
    assert_eq!(
        db.identity(),
        Identity {
            incarnation: 2,
            ..IDENTITY
        }
    );
    assert_eq!(all(&db), before);
    assert_eq!(before, (3..8).map(|i| record(1, i)).collect::<Vec<_>>());
    assert_eq!(
        db.ends(),
        Ends {
            purged: Some(at(1, 2)),
            last: Some(at(1, 7))
        }
    );
    assert_eq!(db.vote(), Some(vote));
    assert_eq!(db.committed(), Some(at(1, 6)));
    assert_eq!(db.ages().unwrap().as_deref(), Some(&b"note"[..]));
    assert_eq!(*db.flushed().borrow(), Some(at(1, 7)));
}

#[test]
fn refuses_to_create_over_or_open_without_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let missing = RaftDb::open(&dir.path().join("none"), no_fatal());
    assert!(matches!(missing, Err(RaftDbError::Missing { .. })));
    create(dir.path()).close();
    let again = RaftDb::create(dir.path(), IDENTITY, no_fatal());
    assert!(matches!(again, Err(RaftDbError::Exists { .. })));
}

#[test]
fn refuses_a_hole_when_appending() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    append(&db, vec![record(1, 0)]);
    let hole = db.append(
        vec![record(1, 2)],
        Box::new(|_| panic!("acknowledged a hole")),
    );
    assert!(matches!(
        hole,
        Err(RaftDbError::Hole {
            expected: 1,
            found: Some(2)
        })
    ));
}

#[test]
fn entries_are_readable_before_they_are_synced_and_acknowledged_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    let order = Arc::new(Mutex::new(Vec::new()));
    let (done, finished) = mpsc::channel();
    for index in 0..200 {
        let (order, done, flushed) = (Arc::clone(&order), done.clone(), db.flushed());
        let synced: Synced = Box::new(move |result| {
            result.unwrap();
            assert!(flushed.borrow().is_some_and(|p| p.index >= index));
            order.lock().unwrap().push(index);
            done.send(()).unwrap();
        });
        db.append(vec![record(1, index)], synced).unwrap();
        assert_eq!(
            db.reader().read(index, index + 1, 1).unwrap(),
            [record(1, index)]
        );
    }
    for _ in 0..200 {
        finished.recv().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
}

#[test]
fn reads_are_cut_at_the_byte_limit_but_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    append(&db, (0..50).map(|i| record(1, i)).collect());
    let weight = record(1, 0).weight() as u64;
    let reader = db.reader();
    assert_eq!(reader.read(0, 50, 1).unwrap().len(), 1);
    assert_eq!(reader.read(0, 50, weight * 3).unwrap().len(), 3);
    assert_eq!(reader.read_memory(0, 50, weight * 3).unwrap().len(), 3);
    assert_eq!(reader.read(48, 90, u64::MAX).unwrap().len(), 2);
    assert!(reader.read(50, 60, u64::MAX).unwrap().is_empty());
}

#[test]
fn entries_beyond_the_memory_come_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    let large = |index| Record {
        position: at(1, index),
        kind: RecordKind::Command(Bytes::from(vec![
            u8::try_from(index % 251).unwrap();
            1 << 20
        ])),
    };
    for index in 0..20 {
        append(&db, vec![large(index)]);
    }
    let reader = db.reader();
    assert!(reader.read_memory(0, 20, u64::MAX).is_none());
    let read = reader.read(0, 20, u64::MAX).unwrap();
    assert!(read.iter().enumerate().all(|(i, r)| *r == large(i as u64)));
    assert_eq!(reader.read(0, 20, 2 << 20).unwrap().len(), 2);
    assert!(db.log_bytes() >= 20 << 20);
    let upto = db.purge_point(8 << 20).unwrap();
    assert!((10..=12).contains(&upto), "would purge up to {upto}");
    assert_eq!(db.purge_point(30 << 20), None);
}

#[test]
fn flushed_never_covers_what_a_truncation_took_away() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    append(&db, (0..10).map(|i| record(1, i)).collect());
    for round in 2..50 {
        let (done, synced) = mpsc::channel();
        let synced_at_all: Synced = Box::new(move |result| done.send(result).unwrap());
        db.append(vec![record(round - 1, 10)], synced_at_all)
            .unwrap();
        db.truncate_after(Some(at(1, 4))).unwrap();
        assert!(db.flushed().borrow().is_none_or(|p| p.index <= 4));
        synced.recv().unwrap().unwrap();
        assert!(db.flushed().borrow().is_none_or(|p| p.index <= 4));
        append(&db, (5..10).map(|i| record(1, i)).collect());
        assert_eq!(*db.flushed().borrow(), Some(at(1, 9)));
    }
}

#[tokio::test]
async fn purge_beyond_the_end_leaves_an_empty_log_that_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = create(dir.path());
    append(&db, (0..5).map(|i| record(1, i)).collect());
    db.purge(at(3, 20)).await.unwrap();
    assert_eq!(
        db.ends(),
        Ends {
            purged: Some(at(3, 20)),
            last: Some(at(3, 20))
        }
    );
    append(&db, vec![record(3, 21)]);
    db.close();
    let db = RaftDb::open(dir.path(), no_fatal()).unwrap();
    assert_eq!(all(&db), [record(3, 21)]);
}

#[test]
fn an_interrupted_purge_is_finished_and_a_real_hole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    create(&dir.path().join("a")).close();
    // What the crash between the note of a purge and the removal leaves, and the same without note.
    for (name, purged, ok) in [("noted", Some(at(1, 4)), true), ("unnoted", None, false)] {
        let path = dir.path().join(name);
        let db = create(&path);
        append(&db, (0..10).map(|i| record(1, i)).collect());
        db.close();
        let raw = options::open(&path, false).unwrap();
        if let Some(purged) = purged {
            raw.put_cf(family(&raw, META).unwrap(), KEY_PURGED, purged.encode())
                .unwrap();
        } else {
            remove(&raw, 0, 5).unwrap();
        }
        drop(raw);
        let opened = RaftDb::open(&path, no_fatal());
        assert_eq!(opened.is_ok(), ok, "{name}");
        match opened {
            Ok(db) => assert_eq!(all(&db), (5..10).map(|i| record(1, i)).collect::<Vec<_>>()),
            Err(error) => {
                assert!(matches!(
                    error,
                    RaftDbError::Hole {
                        expected: 0,
                        found: Some(5)
                    }
                ));
            }
        }
    }
}

#[test]
fn refuses_another_format_and_damaged_values() {
    type Damage = fn(&DB);
    let table: [(&str, Damage); 4] = [
        ("format 2", |db| {
            db.put_cf(family(db, META).unwrap(), KEY_FORMAT, 2_u32.to_be_bytes())
                .unwrap();
        }),
        ("no identity", |db| {
            db.delete_cf(family(db, META).unwrap(), KEY_IDENTITY)
                .unwrap();
        }),
        ("damaged vote", |db| {
            db.put_cf(family(db, META).unwrap(), KEY_VOTE, b"?????")
                .unwrap();
        }),
        ("damaged entry", |db| {
            db.put_cf(family(db, LOG).unwrap(), log_key(0), b"?????")
                .unwrap();
        }),
    ];
    for (name, damage) in table {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).close();
        let raw = options::open(dir.path(), false).unwrap();
        damage(&raw);
        drop(raw);
        let error = RaftDb::open(dir.path(), no_fatal()).unwrap_err();
        let fits = match name {
            "format 2" => matches!(error, RaftDbError::Format { found: 2 }),
            "no identity" => matches!(error, RaftDbError::Absent { what: "identity" }),
            "damaged vote" => matches!(error, RaftDbError::Damaged { what: "vote", .. }),
            _ => matches!(error, RaftDbError::Damaged { what: "entry", .. }),
        };
        assert!(fits, "{name}: {error:?}");
    }
}

/// The WAL of a copied folder: the file with the most bytes.
fn wal(dir: &Path) -> PathBuf {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap()
}

type WalDamage<'a> = Box<dyn Fn(&mut Vec<u8>) + 'a>;

/// Pins how the recovery mode treats synced records. Bit rot refuses to open; a torn tail opens
/// without the torn record; a file cut short at a record's end opens as well, which no mode
/// notices and for which the guard file exists.
#[test]
fn damaged_wal_is_refused_and_a_torn_tail_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let db = create(&source);
    let mut sizes = Vec::new();
    for index in 0..100 {
        append(&db, vec![record(1, index)]);
        sizes.push(wal(&source).metadata().unwrap().len());
    }
    let end = sizes[99];
    let flip = |bytes: &mut Vec<u8>, at: u64| bytes[usize::try_from(at).unwrap()] ^= 0x10;
    let table: [(&str, WalDamage<'_>, Option<usize>); 5] = [
        ("nothing", Box::new(|_| {}), Some(100)),
        (
            "one bit in the middle",
            Box::new(|b| flip(b, sizes[49] + 60)),
            None,
        ),
        (
            "one bit in the last record",
            Box::new(|b| flip(b, end - 9)),
            None,
        ),
        (
            "last record torn",
            Box::new(|b| b.truncate(usize::try_from(end - 30).unwrap())),
            Some(99),
        ),
        (
            "ten records gone",
            Box::new(|b| b.truncate(usize::try_from(sizes[89]).unwrap())),
            Some(90),
        ),
    ];
    for (name, damage, expected) in table {
        let target = dir.path().join(name);
        copy(&source, &target);
        let file = wal(&target);
        let mut bytes = fs::read(&file).unwrap();
        assert_eq!(bytes.len() as u64, end);
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let opened = RaftDb::open(&target, no_fatal());
        let found = opened.as_ref().ok().map(|db| all(db).len());
        assert_eq!(found, expected, "{name}: {:?}", opened.err());
    }
}

#[test]
fn an_error_of_the_disk_stops_everything_that_follows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    create(&path).close();
    let fired = Arc::new(Mutex::new(0));
    let count = Arc::clone(&fired);
    let db = RaftDb::open(&path, FatalHook::new(move |_| *count.lock().unwrap() += 1)).unwrap();
    append(&db, vec![record(1, 0)]);
    // The next WAL cannot be made once its folder is gone, so a switch to it fails.
    fs::remove_dir_all(&path).unwrap();
    let flushed = db.shared.db.flush_cf(family(&db.shared.db, LOG).unwrap());
    assert!(
        flushed.is_err(),
        "the database must notice that its folder is gone"
    );
    let (done, synced) = mpsc::channel();
    let answer: Synced = Box::new(move |result| done.send(result).unwrap());
    db.append(vec![record(1, 1)], answer).unwrap();
    assert!(synced.recv().unwrap().is_err());
    assert_eq!(*fired.lock().unwrap(), 1);
    assert_eq!(*db.flushed().borrow(), Some(at(1, 0)));
    let later = (0..100).any(|_| {
        std::thread::yield_now();
        db.append(vec![], Box::new(|result| assert!(result.is_err())))
            .is_err()
    });
    assert!(
        later
            || db
                .thread
                .0
                .lock()
                .unwrap()
                .as_ref()
                .is_some_and(JoinHandle::is_finished)
    );
}

const CHILD: &str = "AIMSLOG_TEST_RAFT_DB_CHILD";

/// What the parent was told by the child before it killed it.
#[derive(Default)]
struct Told {
    /// Index to term.
    acknowledged: BTreeMap<u64, u64>,
    vote: u64,
    lines: usize,
}

impl Told {
    fn hear(&mut self, line: &str) {
        match line.get(..2) {
            Some("a ") => {
                let (index, term) = (number_after(line, 1), number_after(line, 2));
                self.acknowledged.insert(index, term);
            }
            // From here on those entries may be gone, whether or not the child got to it.
            Some("c ") => self
                .acknowledged
                .retain(|index, _| *index <= number_after(line, 1)),
            Some("v ") => self.vote = number_after(line, 1),
            _ => return,
        }
        self.lines += 1;
    }
}

fn number_after(line: &str, at: usize) -> u64 {
    line.split(' ').nth(at).unwrap().parse().unwrap()
}

/// Kills a process in mid-append, again and again, and compares with what it had acknowledged.
#[test]
fn acknowledged_entries_and_votes_survive_kill_9() {
    if let Some(path) = std::env::var_os(CHILD) {
        return child(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    create(&path).close();
    let mut told = Told::default();
    for round in 0..8 {
        let name = std::thread::current().name().unwrap().to_owned();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let before = told.lines;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while told.lines < before + 60 + round * 37 {
            told.hear(&lines.next().expect("the child ended by itself").unwrap());
        }
        child.kill().unwrap();
        // What it had written before it died, it had said.
        lines
            .map_while(Result::ok)
            .filter(|line| line.ends_with('.'))
            .for_each(|line| {
                told.hear(&line);
            });
        child.wait().unwrap();
        let db = RaftDb::open(&path, no_fatal()).unwrap();
        let entries: BTreeMap<u64, Record> = all(&db)
            .into_iter()
            .map(|record| (record.position.index, record))
            .collect();
        for (index, term) in &told.acknowledged {
            assert_eq!(
                entries.get(index),
                Some(&record(*term, *index)),
                "round {round}"
            );
        }
        assert!(db.vote().map_or(0, |vote| vote.term) >= told.vote);
        assert_eq!(db.identity().incarnation, 2 + 2 * round as u64 + 1);
        db.close();
    }
    assert!(told.acknowledged.len() > 100);
}

/// Appends, truncates and votes until it is killed, and says what is acknowledged.
fn child(path: &Path) {
    fn say(words: &str) {
        let mut out = io::stdout().lock();
        out.write_all(format!("{words} .\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
    let db = RaftDb::open(path, no_fatal()).unwrap();
    let mut term = db.vote().map_or(1, |vote| vote.term + 1);
    let mut next = db.ends().last.map_or(0, |last| last.index + 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for step in 0_u64.. {
        if step % 23 == 22 && next > 5 {
            // All acknowledgements before the cut are said before it.
            append(&db, vec![]);
            let last = db
                .reader()
                .read(next - 4, next - 3, 1)
                .unwrap()
                .remove(0)
                .position;
            say(&format!("c {}", last.index));
            db.truncate_after(Some(last)).unwrap();
            next = last.index + 1;
            term += 1;
        }
        if step % 17 == 16 {
            let vote = Vote {
                term,
                node: 1,
                committed: false,
            };
            runtime.block_on(db.save_vote(vote)).unwrap();
            say(&format!("v {term}"));
        }
        let count = 1 + step % 5;
        for index in next..next + count {
            let synced: Synced = Box::new(move |result| {
                result.unwrap();
                say(&format!("a {index} {term}"));
            });
            db.append(vec![record(term, index)], synced).unwrap();
        }
        next += count;
        if step % 3 == 0 {
            append(&db, vec![]);
        }
    }
}
