//! Goal: only complete and undamaged snapshots are ever seen. Method: real folders; each way in
//! which a stream can be wrong; leftovers at start.

use super::*;
use crate::raft::{Machine, testing::Collector};

struct Made {
    dir: tempfile::TempDir,
    store: SnapshotStore,
    snapshot: SnapshotDir,
}

fn made() -> Made {
    let dir = tempfile::tempdir().unwrap();
    let (store, none) = SnapshotStore::open(&dir.path().join("snapshots")).unwrap();
    assert!(none.is_none());
    let machine = Collector::open(dir.path());
    let snapshot = store.build(|path| machine.checkpoint(path)).unwrap();
    snapshot.keep();
    Made {
        dir,
        store,
        snapshot,
    }
}

/// All chunks of a snapshot: file, offset, bytes.
fn chunks(snapshot: &SnapshotDir) -> Vec<(u32, u64, Vec<u8>)> {
    let mut chunks = Vec::new();
    for (number, entry) in (0_u32..).zip(&snapshot.manifest().files) {
        let bytes = fs::read(snapshot.path().join(&entry.name)).unwrap();
        let mut offset = 0;
        for part in bytes.chunks(CHUNK_BYTES) {
            chunks.push((number, offset, part.to_vec()));
            offset += part.len() as u64;
        }
    }
    chunks
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_received_snapshot_equals_the_sent_one() {
    let Made {
        dir: _dir,
        store,
        snapshot,
    } = made();
    let mut stage = store.stage(snapshot.manifest().clone()).unwrap();
    for (file, offset, data) in chunks(&snapshot) {
        stage.write(file, offset, &data).unwrap();
    }
    let received = stage.finish().unwrap();
    assert_eq!(received.manifest(), snapshot.manifest());
    assert_eq!(chunks(&received), chunks(&snapshot));
    let copy = store.copy_for_install(&received).unwrap();
    assert_eq!(names(&copy), ["1.sst", "empty", "state"]);
}

#[test]
fn rejects_every_wrong_stream_and_leaves_nothing_behind() {
    type Chunks = Vec<(u32, u64, Vec<u8>)>;
    type Edit = fn(&mut Chunks);
    let table: [(&str, Edit); 7] = [
        ("a flipped bit", |c| c[0].2[5] ^= 1),
        ("a chunk missing", |c| drop(c.remove(1))),
        ("a chunk doubled", |c| c.insert(1, c[0].clone())),
        ("two chunks swapped", |c| c.swap(0, 1)),
        ("a longer file", |c| c[2].2.push(0)),
        ("another file number", |c| c[0].0 = 1),
        ("the end missing", |c| drop(c.pop())),
    ];
    for (name, edit) in table {
        let Made {
            dir,
            store,
            snapshot,
        } = made();
        let mut chunks = chunks(&snapshot);
        edit(&mut chunks);
        let mut stage = store.stage(snapshot.manifest().clone()).unwrap();
        let written = chunks
            .iter()
            .try_for_each(|(file, offset, data)| stage.write(*file, *offset, data));
        let finished = written.and_then(|()| stage.finish().map(|_| ()));
        assert!(finished.is_err(), "{name} was accepted");
        assert_eq!(
            names(&dir.path().join("snapshots")),
            ["empty"],
            "{name} left something"
        );
    }
}

#[test]
fn rejects_names_that_leave_the_folder() {
    let Made {
        dir: _dir,
        store,
        snapshot: _snapshot,
    } = made();
    for name in [
        "../x",
        "a/b",
        "",
        ".",
        "..",
        ".hidden",
        MANIFEST,
        "a\0",
        &"x".repeat(65),
    ] {
        let file = FileEntry {
            name: name.to_owned(),
            len: 0,
            sha256: [0; 32],
        };
        let manifest = Manifest {
            applied: Applied::default(),
            files: vec![file],
        };
        let refused = store.stage(manifest);
        assert!(
            matches!(refused, Err(SnapshotError::Name { .. })),
            "{name:?} was accepted"
        );
    }
}

#[test]
fn the_manifest_comes_back_and_rejects_every_flipped_bit() {
    let Made {
        dir: _dir,
        store: _store,
        snapshot,
    } = made();
    let bytes = snapshot.manifest().encode();
    assert_eq!(&Manifest::decode(&bytes).unwrap(), snapshot.manifest());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&damaged).is_err());
    }
}

#[test]
fn start_removes_what_is_unfinished_and_keeps_what_is_complete() {
    let Made {
        dir,
        store,
        snapshot,
    } = made();
    let root = dir.path().join("snapshots");
    let path = snapshot.path().to_owned();
    drop((snapshot, store));
    fs::create_dir(root.join("staging-1-1")).unwrap();
    fs::create_dir(root.join("7-1.5")).unwrap();
    fs::write(root.join("7-1.5").join(MANIFEST), b"half").unwrap();
    let (_store, newest) = SnapshotStore::open(&root).unwrap();
    assert_eq!(newest.unwrap().path(), path);
    assert_eq!(names(&root), ["empty"]);
}

#[test]
fn a_snapshot_goes_with_its_last_handle_once_it_is_replaced() {
    let Made {
        dir: _dir,
        store: _store,
        snapshot,
    } = made();
    let path = snapshot.path().to_owned();
    let sending = snapshot.clone();
    snapshot.retire();
    assert!(path.exists(), "still being sent");
    drop(sending);
    assert!(!path.exists());
}
