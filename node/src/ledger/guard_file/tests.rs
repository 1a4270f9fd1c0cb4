//! A torn, failed or rotten write costs that write and never an earlier one.

use std::sync::{Arc, Mutex};

use super::*;
use crate::ledger::guard_record::{GuardedVote, Identity};

const IDENTITY: Identity = Identity {
    cluster: [7; 32],
    node: 1,
};

fn voted(term: u64) -> GuardRecord {
    let vote = GuardedVote {
        term,
        voted_for: Some(1),
    };
    GuardRecord {
        incarnation: 1,
        vote,
        ..GuardRecord::fresh(IDENTITY)
    }
}

/// What the next write does.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// The first bytes reach the disk, and the caller hears of a failure or never again.
    Torn(usize),
    /// Everything reaches the disk, and the caller hears of a failure.
    PersistedButReported,
}

#[derive(Debug, Clone)]
struct FakeDisk(Arc<Mutex<([Vec<u8>; 2], Fault)>>);

impl FakeDisk {
    fn with(record: GuardRecord) -> Self {
        let first = Slot {
            sequence: 0,
            record,
        }
        .encode()
        .to_vec();
        Self(Arc::new(Mutex::new((
            [first, vec![0; SLOT_LEN]],
            Fault::None,
        ))))
    }

    fn fault(&self, fault: Fault) {
        self.0.lock().unwrap().1 = fault;
    }
}

impl SlotStore for FakeDisk {
    fn read_slots(&self) -> io::Result<[Vec<u8>; 2]> {
        Ok(self.0.lock().unwrap().0.clone())
    }

    fn write_slot(&mut self, slot: SlotNumber, bytes: &[u8; SLOT_LEN]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let kept = match disk.1 {
            Fault::Torn(kept) => kept,
            Fault::None | Fault::PersistedButReported => SLOT_LEN,
        };
        let at = usize::from(slot == SlotNumber::Second);
        disk.0[at][..kept].copy_from_slice(&bytes[..kept]);
        match disk.1 {
            Fault::None => Ok(()),
            Fault::Torn(_) | Fault::PersistedButReported => Err(io::Error::other("disk fault")),
        }
    }
}

#[test]
fn newest_record_comes_back_after_every_number_of_writes() {
    let disk = FakeDisk::with(voted(0));
    for term in 1..20 {
        let mut file = GuardFile::open(disk.clone()).unwrap();
        file.write(voted(term)).unwrap();
        assert_eq!(
            *GuardFile::open(disk.clone()).unwrap().record(),
            voted(term)
        );
    }
}

#[test]
fn torn_write_at_every_prefix_keeps_the_record_before() {
    for writes in 1..4 {
        for kept in 0..SLOT_LEN {
            let disk = FakeDisk::with(voted(0));
            let mut file = GuardFile::open(disk.clone()).unwrap();
            for term in 1..=writes {
                file.write(voted(term)).unwrap();
            }
            disk.fault(Fault::Torn(kept));
            assert!(file.write(voted(writes + 1)).is_err());
            let found = *GuardFile::open(disk).unwrap().record();
            assert_eq!(
                found,
                voted(writes),
                "after {writes} writes, {kept} bytes kept"
            );
        }
    }
}

#[test]
fn fault_table() {
    // (fault, record that the restart finds)
    let rows = [
        (Fault::Torn(0), voted(1)),
        (Fault::PersistedButReported, voted(2)),
    ];
    for (fault, expected) in rows {
        let disk = FakeDisk::with(voted(0));
        let mut file = GuardFile::open(disk.clone()).unwrap();
        file.write(voted(1)).unwrap();
        disk.fault(fault);
        assert!(file.write(voted(2)).is_err(), "{fault:?}");
        // The caller was told of a failure, so it stops; the open file takes nothing more, even
        // from a disk that works again.
        disk.fault(Fault::None);
        assert!(
            matches!(file.write(voted(3)), Err(GuardFileError::Poisoned)),
            "{fault:?}"
        );
        assert_eq!(*file.record(), voted(1), "{fault:?}");
        assert_eq!(
            *GuardFile::open(disk).unwrap().record(),
            expected,
            "{fault:?}"
        );
    }
}

#[test]
fn rotten_byte_falls_back_to_the_other_slot_or_refuses() {
    let disk = FakeDisk::with(voted(0));
    GuardFile::open(disk.clone())
        .unwrap()
        .write(voted(1))
        .unwrap();
    let slots = disk.read_slots().unwrap();
    for at in 0..SLOT_LEN {
        let mut second = slots.clone();
        second[1][at] ^= 0x20;
        assert_eq!(newest_slot(&second).unwrap().record, voted(0), "byte {at}");
        let mut first = slots.clone();
        first[0][at] ^= 0x20;
        assert_eq!(newest_slot(&first).unwrap().record, voted(1), "byte {at}");
        let mut both = second;
        both[0][at] ^= 0x20;
        assert!(
            matches!(newest_slot(&both), Err(GuardFileError::Unreadable { .. })),
            "byte {at}"
        );
    }
}

#[test]
fn slot_in_the_wrong_place_does_not_count() {
    let slot = |sequence, term| {
        Slot {
            sequence,
            record: voted(term),
        }
        .encode()
        .to_vec()
    };
    assert_eq!(
        newest_slot(&[slot(4, 1), slot(6, 2)]).unwrap().record,
        voted(1)
    );
    assert!(newest_slot(&[slot(5, 1), slot(6, 2)]).is_err());
}

#[test]
fn newer_format_is_never_passed_over() {
    let mut newer = Slot {
        sequence: 1,
        record: voted(9),
    }
    .encode();
    newer[11] = 2;
    let crc = crc32c::crc32c(&newer[..SLOT_LEN - 4]);
    newer[SLOT_LEN - 4..].copy_from_slice(&crc.to_be_bytes());
    let old = Slot {
        sequence: 0,
        record: voted(1),
    }
    .encode()
    .to_vec();
    assert!(matches!(
        newest_slot(&[old, newer.to_vec()]),
        Err(GuardFileError::Newer { .. })
    ));
}

#[test]
fn file_on_disk_is_created_once_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("guard");
    assert!(DiskSlots::open(folder.path()).unwrap().is_none());
    let store = DiskSlots::create(&dir, voted(1)).unwrap();
    let mut file = GuardFile::open(store).unwrap();
    for term in 2..5 {
        file.write(voted(term)).unwrap();
    }
    let store = DiskSlots::open(&dir).unwrap().unwrap();
    assert_eq!(*GuardFile::open(store).unwrap().record(), voted(4));
    assert!(
        DiskSlots::create(&dir, voted(9)).is_err(),
        "an existing guard is never replaced"
    );
    assert_eq!(
        std::fs::metadata(dir.join(GUARD_FILE)).unwrap().len(),
        FILE_LEN
    );
}

#[test]
fn truncated_file_falls_back_or_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskSlots::create(folder.path(), voted(1)).unwrap();
    GuardFile::open(store).unwrap().write(voted(2)).unwrap();
    let path = folder.path().join(GUARD_FILE);
    let reopen = || DiskSlots::open(folder.path()).unwrap().unwrap();
    let length = |length| {
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length)
    };
    length(SLOT_STRIDE + 10).unwrap();
    assert_eq!(*GuardFile::open(reopen()).unwrap().record(), voted(1));
    length(10).unwrap();
    assert!(GuardFile::open(reopen()).is_err());
    length(0).unwrap();
    assert!(GuardFile::open(reopen()).is_err());
}
