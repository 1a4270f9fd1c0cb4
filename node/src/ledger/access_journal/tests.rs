//! The journal of reads on real files, under several threads, with writes that fail.

use super::frames::{frame, read_frame};
use super::*;
use aimslog_proto::system::{EngagementId, OrganizationId, PrincipalId};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafIndex;
use std::ops::Range;

fn reads(range: Range<u64>) -> Vec<AccessRead> {
    let read = |index| AccessRead {
        organization: OrganizationId::new("hospital").unwrap(),
        engagement: EngagementId::new("audit-2026").unwrap(),
        principal: PrincipalId::new("auditor-1").unwrap(),
        entry: LeafIndex(index),
        time: UnixSeconds(1_800_000_000 + index),
    };
    range.map(read).collect()
}

fn shared(range: Range<u64>) -> Vec<Arc<AccessRead>> {
    reads(range).into_iter().map(Arc::new).collect()
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_start_until_the_log_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = AccessJournal::open(folder.path()).unwrap();
    assert!(journal.oldest().is_empty());
    let many = ACCESS_READS_MAX as u64 + 3;
    journal.append(&reads(0..many)).unwrap();
    journal.append(&reads(many..many + 2)).unwrap();
    journal.arrived().await;
    drop(journal);
    let journal = AccessJournal::open(folder.path()).unwrap();
    assert_eq!(journal.oldest(), reads(0..ACCESS_READS_MAX as u64));
    journal.logged(ACCESS_READS_MAX).unwrap();
    assert_eq!(journal.oldest(), reads(ACCESS_READS_MAX as u64..many + 2));
    journal.logged(5).unwrap();
    assert_eq!(journal.waiting_for(Instant::now()), None);
    drop(journal);
    let journal = AccessJournal::open(folder.path()).unwrap();
    assert!(journal.oldest().is_empty());
}

#[tokio::test]
async fn a_torn_or_rotten_end_is_cut_off_and_nothing_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(JOURNAL_FILE);
    let whole = [frame(&shared(0..3)), frame(&shared(3..4))].concat();
    let first = frame(&shared(0..3)).len();
    for length in first..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert_eq!(journal.oldest(), reads(0..3), "{length}");
        journal.append(&reads(9..10)).unwrap();
        drop(journal);
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert_eq!(journal.oldest().len(), 4, "{length}");
    }
    for place in first..whole.len() {
        let mut rotten = whole.clone();
        rotten[place] ^= 0x20;
        let found = read_frames(&rotten);
        assert_eq!(found.reads, reads(0..3), "{place}");
        assert_eq!((found.end, found.damaged), (first, Vec::new()), "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_for_how_long_the_log_has_taken_nothing_of_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let journal = AccessJournal::open(folder.path()).unwrap();
    tokio::time::advance(OVERDUE).await;
    assert_eq!(journal.waiting_for(Instant::now()), None);
    journal.append(&reads(0..1)).unwrap();
    tokio::time::advance(OVERDUE).await;
    journal.append(&reads(1..3)).unwrap();
    assert_eq!(journal.waiting_for(Instant::now()), Some(OVERDUE));
    journal.logged(1).unwrap();
    assert_eq!(journal.waiting_for(Instant::now()), Some(Duration::ZERO));
}

#[tokio::test]
async fn the_file_shrinks_although_something_always_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(JOURNAL_FILE);
    let journal = AccessJournal::open(folder.path()).unwrap();
    let batch = LOGGED_IN_FILE_MAX as u64 / 2;
    journal.append(&reads(0..1)).unwrap();
    for round in 0..6 {
        journal
            .append(&reads(round * batch + 1..(round + 1) * batch + 1))
            .unwrap();
        journal.logged(LOGGED_IN_FILE_MAX / 2).unwrap();
    }
    let length = std::fs::metadata(&path).unwrap().len();
    let most = frames(&shared(0..2 * batch)).len() as u64;
    assert!(length <= most, "{length} bytes, {most} at most");
    journal
        .append(&reads(6 * batch + 1..6 * batch + 3))
        .unwrap();
    drop(journal);
    let journal = AccessJournal::open(folder.path()).unwrap();
    let last: Vec<AccessRead> = journal
        .lock()
        .pending
        .iter()
        .rev()
        .take(3)
        .map(|read| AccessRead::clone(read))
        .collect();
    let mut expected = reads(6 * batch..6 * batch + 3);
    expected.reverse();
    assert_eq!(last, expected);
}

/// Frames of the file.
fn frames_in(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut count) = (bytes.as_slice(), 0);
    while let Some((_, behind)) = read_frame(rest) {
        (rest, count) = (behind, count + 1);
    }
    count
}

#[tokio::test]
async fn who_comes_during_a_sync_shares_the_next_one_and_blocks_nobody_who_only_asks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(JOURNAL_FILE);
    let journal = Arc::new(AccessJournal::open(folder.path()).unwrap());
    journal.append(&reads(0..1)).unwrap();
    // Whoever syncs has the disk.
    let syncing = journal.disk();
    let readers: Vec<_> = (1..9)
        .map(|number| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || journal.append(&reads(number..number + 1)))
        })
        .collect();
    while journal.lock().arriving.len() < readers.len() {
        std::thread::yield_now();
    }
    assert_eq!(
        journal.oldest(),
        reads(0..1),
        "what is not on disk is not told"
    );
    assert!(journal.waiting_for(Instant::now()).is_some());
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    drop(syncing);
    for reader in readers {
        reader.join().unwrap().unwrap();
    }
    assert_eq!(journal.oldest().len(), 9);
    assert_eq!(frames_in(&path), 2, "one write for all who waited");
    drop(journal);
    let journal = AccessJournal::open(folder.path()).unwrap();
    let mut kept = journal.oldest();
    kept.sort_by_key(|read| read.entry);
    assert_eq!(kept, reads(0..9));
}

#[tokio::test]
async fn a_write_that_fails_is_told_to_everybody_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(AccessJournal::open(folder.path()).unwrap());
    let mut disk = journal.disk();
    // A file that takes nothing.
    disk.file = File::open(folder.path().join(JOURNAL_FILE)).unwrap();
    let readers: Vec<_> = (0..3)
        .map(|number| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || journal.append(&reads(number..number + 1)))
        })
        .collect();
    while journal.lock().arriving.len() < readers.len() {
        std::thread::yield_now();
    }
    drop(disk);
    for reader in readers {
        let told = reader.join().unwrap();
        assert!(matches!(told, Err(JournalError::Io { .. })), "{told:?}");
    }
    assert!(journal.oldest().is_empty());
    assert!(journal.lock().arriving.is_empty());
    let told = journal.append(&reads(5..6)).unwrap_err();
    assert!(matches!(told, JournalError::Torn { .. }), "{told:?}");
}

#[tokio::test]
async fn it_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let journal = AccessJournal::open(folder.path()).unwrap();
    journal.append(&reads(0..PENDING_MAX as u64)).unwrap();
    let refused = journal.append(&reads(0..1)).unwrap_err();
    assert!(matches!(refused, JournalError::Full { .. }), "{refused:?}");
}

#[tokio::test]
async fn whole_frames_behind_damage_are_kept_and_the_damage_is_counted_and_set_aside() {
    let parts = [0..3, 3..4, 4..6].map(|range| frame(&shared(range)));
    let (first, second) = (parts[0].len(), parts[1].len());
    let whole = parts.concat();
    // The length in front of a frame, its sum, and each byte of its body.
    for place in first..first + second {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL_FILE);
        let mut rotten = whole.clone();
        rotten[place] ^= 0x20;
        std::fs::write(&path, &rotten).unwrap();
        let kept = [reads(0..3), reads(4..6)].concat();
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert_eq!(
            (journal.oldest(), journal.damaged()),
            (kept.clone(), 1),
            "{place}"
        );
        let aside = std::fs::read(folder.path().join(DAMAGED_FILE)).unwrap();
        assert_eq!(aside, rotten[first..first + second], "{place}");
        journal.append(&reads(9..10)).unwrap();
        drop(journal);
        let journal = AccessJournal::open(folder.path()).unwrap();
        let expected = [kept, reads(9..10)].concat();
        assert_eq!(
            (journal.oldest(), journal.damaged()),
            (expected, 0),
            "{place}"
        );
    }
}

#[tokio::test]
async fn damage_at_the_beginning_and_a_torn_end_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let parts = [0..3, 3..4, 4..6].map(|range| frame(&shared(range)));
    let mut rotten = parts.concat();
    rotten[0] ^= 0x80;
    rotten.truncate(rotten.len() - 1);
    std::fs::write(folder.path().join(JOURNAL_FILE), &rotten).unwrap();
    let journal = AccessJournal::open(folder.path()).unwrap();
    assert_eq!((journal.oldest(), journal.damaged()), (reads(3..4), 1));
    let aside = std::fs::read(folder.path().join(DAMAGED_FILE)).unwrap();
    assert_eq!(aside.len(), parts[0].len());
}

#[tokio::test]
async fn an_empty_journal_whose_place_in_the_folder_is_not_certain_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = AccessJournal::open(folder.path()).unwrap();
    journal.append(&reads(0..1)).unwrap();
    journal.disk().is_torn = true;
    // Its folder can be synced no more.
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert!(journal.logged(1).is_err());
    let refused = journal.append(&reads(1..2)).unwrap_err();
    assert!(matches!(refused, JournalError::Torn { .. }), "{refused:?}");
}
