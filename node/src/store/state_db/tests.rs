//! The database against the contract that its documentation states.

use std::sync::Arc;

use super::*;

fn open(data: &Path) -> StateDb {
    StateDb::open(data, StateOptions::default(), FatalHook::abort()).unwrap()
}

fn put(db: &StateDb, key: &Key, value: &[u8]) {
    db.write(&Writes::from([(key.clone(), Some(value.to_vec()))]))
        .unwrap();
}

fn read(db: &StateDb, key: &Key) -> Option<Vec<u8>> {
    db.view(|view| view.row(key)).unwrap()
}

#[test]
fn keeps_rows_over_reopening_and_removes_them() {
    let data = tempfile::tempdir().unwrap();
    let key = codec::entry(7);
    put(&open(data.path()), &key, b"seven");
    let db = open(data.path());
    assert_eq!(read(&db, &key).as_deref(), Some(b"seven".as_slice()));
    db.write(&Writes::from([(key.clone(), None)])).unwrap();
    assert_eq!(read(&db, &key), None);
}

#[test]
fn scans_a_range_in_both_directions_and_stops_at_its_ends() {
    let data = tempfile::tempdir().unwrap();
    let db = open(data.path());
    for index in 0..600 {
        put(&db, &codec::entry(index), &index.to_be_bytes());
    }
    put(&db, &codec::payload(3), b"other family");
    let range = Range::of(&codec::entry(0))
        .starting_at(&codec::entry(254))
        .ending_before(&codec::entry(258));
    // `of` a whole key holds that row alone, so the table prefix is what a listing starts from.
    assert!(db.view(|view| view.scan(&range, 9)).unwrap().is_empty());
    let table = Key {
        family: Family::Entries,
        bytes: vec![1],
    };
    let range = Range::of(&table)
        .starting_at(&codec::entry(254))
        .ending_before(&codec::entry(258));
    let indices = |range: &Range, limit| -> Vec<u64> {
        let rows = db.view(|view| view.scan(range, limit)).unwrap();
        rows.iter()
            .filter_map(|(key, _)| codec::trailing_u64(key))
            .collect()
    };
    assert_eq!(indices(&range, 9), [254, 255, 256, 257]);
    assert_eq!(indices(&range, 2), [254, 255]);
    assert_eq!(indices(&range.clone().newest_first(), 3), [257, 256, 255]);
    assert_eq!(indices(&Range::of(&table), 1000).len(), 600);
}

#[test]
fn a_view_does_not_see_later_writes() {
    let data = tempfile::tempdir().unwrap();
    let db = open(data.path());
    let key = codec::entry(1);
    db.view(|view| {
        put(&db, &key, b"later");
        assert_eq!(view.row(&key)?, None);
        Ok::<_, StateError>(())
    })
    .unwrap();
    assert!(read(&db, &key).is_some());
}

#[test]
fn a_checkpoint_replaces_the_state_of_another_node() {
    let data = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let key = codec::entry(1);
    let (db, target) = (open(data.path()), open(other.path()));
    put(&db, &key, b"copied");
    put(&target, &key, b"before");
    let copy = other.path().join("incoming");
    let found = db.checkpoint(&copy, |view| view.row(&key)).unwrap();
    assert_eq!(found.as_deref(), Some(b"copied".as_slice()));
    put(&db, &key, b"after the checkpoint");
    assert!(
        fs::read_dir(&copy)
            .unwrap()
            .all(|file| file.unwrap().file_type().unwrap().is_file())
    );

    let refused = target.replace(&copy, |_| {
        Err::<(), _>(StateError::Missing { what: "test" })
    });
    assert!(matches!(refused, Err(StateError::Missing { what: "test" })));
    assert_eq!(read(&target, &key).as_deref(), Some(b"before".as_slice()));

    target
        .replace(&copy, |view| view.row(&key).map(drop))
        .unwrap();
    assert_eq!(read(&target, &key).as_deref(), Some(b"copied".as_slice()));
    drop(target);
    assert_eq!(
        read(&open(other.path()), &key).as_deref(),
        Some(b"copied".as_slice())
    );
}

#[test]
fn a_replacement_cut_short_leaves_the_old_or_the_new_state() {
    let key = codec::entry(1);
    for new_arrived in [false, true] {
        let data = tempfile::tempdir().unwrap();
        put(&open(data.path()), &key, b"old");
        let state = data.path().join("state");
        fs::rename(&state, old_folder(&state)).unwrap();
        if new_arrived {
            let elsewhere = tempfile::tempdir_in(data.path()).unwrap();
            put(&open(elsewhere.path()), &key, b"new");
            fs::rename(elsewhere.path().join("state"), &state).unwrap();
        }
        let expected: &[u8] = if new_arrived { b"new" } else { b"old" };
        assert_eq!(read(&open(data.path()), &key).as_deref(), Some(expected));
        assert!(!old_folder(&state).exists());
    }
}

#[test]
fn refuses_a_folder_of_another_format() {
    let data = tempfile::tempdir().unwrap();
    let db = open(data.path());
    put(&db, &codec::single(Single::Format), &99_u32.to_be_bytes());
    drop(db);
    let error = StateDb::open(data.path(), StateOptions::default(), FatalHook::abort());
    assert!(matches!(error, Err(StateError::Format { found: 99 })));
}

#[test]
fn a_failed_replacement_poisons_the_database() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let fired = Arc::new(AtomicBool::new(false));
    let hook = {
        let fired = Arc::clone(&fired);
        FatalHook::new(move |_| fired.store(true, Ordering::SeqCst))
    };
    let db = StateDb::open(data.path(), StateOptions::default(), hook).unwrap();
    let copy = elsewhere.path().join("copy");
    db.checkpoint(&copy, |_| Ok(())).unwrap();
    let result = db.replace(&copy, |_| {
        // The copy vanishes between the check and the swap.
        fs::rename(&copy, elsewhere.path().join("gone")).unwrap();
        Ok::<_, StateError>(())
    });
    assert!(matches!(result, Err(StateError::Poisoned)));
    assert!(fired.load(Ordering::SeqCst));
    assert!(matches!(
        db.write(&Writes::new()),
        Err(StateError::Poisoned)
    ));
    assert!(matches!(
        db.view(|_| Ok::<_, StateError>(())),
        Err(StateError::Poisoned)
    ));
}
