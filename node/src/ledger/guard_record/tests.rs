//! The bytes of a slot are golden, and nothing but what was written is ever read.

use aimslog_proto::time::UnixMillis;
use proptest::prelude::*;

use super::*;

fn head(size: u64, root: u8) -> TreeHead {
    TreeHead {
        size: TreeSize(size),
        root: RootHash::from_hash(Hash::from_bytes([root; 32])),
    }
}

fn cut(index: u64, size: u64, root: u8) -> CutNote {
    let position = Position {
        term: 3,
        leader: 2,
        index,
    };
    CutNote {
        position,
        time: UnixMillis(0),
        tree: head(size, root),
    }
}

fn record() -> GuardRecord {
    GuardRecord {
        identity: Identity {
            cluster: [0xc1; 32],
            node: 2,
        },
        incarnation: 4,
        vote: GuardedVote {
            term: 5,
            voted_for: Some(3),
        },
        signed: Some(SignedCut {
            position: Position {
                term: 3,
                leader: 2,
                index: 77,
            },
            head: head(1000, 0xaa),
        }),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[test]
fn slot_bytes_are_golden() {
    let slot = Slot {
        sequence: 9,
        record: record(),
    };
    let expected = [
        "61696d7367756172",
        "00000001",
        "0000000000000009",
        &"c1".repeat(32),
        "0000000000000002",
        "0000000000000004",
        "0000000000000005",
        "0000000000000003",
        "0000000000000003",
        "0000000000000002",
        "000000000000004d",
        "00000000000003e8",
        &"aa".repeat(32),
        "01",
        "eee7c631",
    ];
    assert_eq!(hex(&slot.encode()), expected.concat());
}

#[test]
fn slots_come_back() {
    let fresh = GuardRecord::fresh(record().identity);
    let unsigned = GuardRecord {
        signed: None,
        ..record()
    };
    for record in [record(), fresh, unsigned] {
        for sequence in [0, 1, u64::MAX] {
            let slot = Slot { sequence, record };
            assert_eq!(Slot::decode(&slot.encode()), Ok(slot));
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = Slot {
        sequence: 9,
        record: record(),
    }
    .encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes;
            flipped[at] ^= 1 << bit;
            assert!(Slot::decode(&flipped).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_torn_prefix_is_refused() {
    let old = Slot {
        sequence: 8,
        record: GuardRecord {
            incarnation: 3,
            ..record()
        },
    }
    .encode();
    let new = Slot {
        sequence: 10,
        record: record(),
    }
    .encode();
    for kept in 0..SLOT_LEN {
        assert_eq!(
            Slot::decode(&new[..kept]),
            Err(SlotError::Length { found: kept })
        );
        for before in [old, [0; SLOT_LEN]] {
            let torn: Vec<u8> = [&new[..kept], &before[kept..]].concat();
            // A tear before the first differing byte leaves the old slot whole.
            match Slot::decode(&torn) {
                Ok(slot) => assert_eq!(slot.encode(), before, "kept {kept}"),
                Err(_) => assert!(torn != before || before == [0; SLOT_LEN], "kept {kept}"),
            }
        }
    }
}

#[test]
fn refuses_what_it_would_not_write() {
    // The checksum is right, so only the meaning is wrong.
    let reseal = |mut bytes: [u8; SLOT_LEN]| {
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    let unsigned = GuardRecord {
        signed: None,
        ..record()
    };
    let mut ghost = Slot {
        sequence: 1,
        record: unsigned,
    }
    .encode();
    ghost[100] = 1;
    assert_eq!(Slot::decode(&reseal(ghost)), Err(SlotError::Impossible));
    let mut flag = Slot {
        sequence: 1,
        record: record(),
    }
    .encode();
    flag[148] = 2;
    assert_eq!(Slot::decode(&reseal(flag)), Err(SlotError::Impossible));
    let mut newer = Slot {
        sequence: 1,
        record: record(),
    }
    .encode();
    newer[11] = 2;
    assert_eq!(
        Slot::decode(&reseal(newer)),
        Err(SlotError::Version { found: 2 })
    );
    assert_eq!(Slot::decode(&[0; SLOT_LEN]), Err(SlotError::Blank));
}

#[test]
fn never_signs_backwards() {
    let signed = record();
    let refused = [
        ("smaller", cut(78, 999, 0xaa)),
        ("same size, other root", cut(78, 1000, 0xab)),
        ("earlier cut", cut(76, 1000, 0xaa)),
        ("earlier cut, larger tree", cut(76, 1001, 0xac)),
    ];
    for (what, cut) in refused {
        assert!(signed.cosigning(&cut).is_err(), "{what}");
    }
    for (what, cut) in [("again", cut(77, 1000, 0xaa)), ("larger", cut(78, 1001, 1))] {
        let next = signed.cosigning(&cut).expect(what);
        assert_eq!(
            next.signed.map(|signed| signed.head),
            Some(cut.tree),
            "{what}"
        );
    }
    let older_term = CutNote {
        position: Position {
            term: 2,
            leader: 1,
            index: 99,
        },
        ..cut(1, 2000, 1)
    };
    assert!(signed.cosigning(&older_term).is_err());
}

#[test]
fn never_votes_backwards() {
    let vote = |term, voted_for| GuardedVote { term, voted_for };
    let held = record();
    for older in [vote(4, Some(9)), vote(5, None), vote(5, Some(2))] {
        assert!(held.voted(older).is_err(), "{older:?}");
    }
    for newer in [vote(5, Some(3)), vote(5, Some(4)), vote(6, None)] {
        assert_eq!(held.voted(newer).expect("newer").vote, newer);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_pass(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Slot::decode(&bytes).is_err());
    }

    /// Whatever is offered in whatever order, the record only ever grows.
    #[test]
    fn signed_heads_only_grow(offers in proptest::collection::vec((0u64..6, 0u64..6, 0u8..3), 0..40)) {
        let mut held = GuardRecord::fresh(record().identity);
        for (index, size, root) in offers {
            let Ok(next) = held.cosigning(&cut(index, size, root)) else { continue };
            let (before, after) = (held.signed, next.signed.unwrap());
            if let Some(before) = before {
                prop_assert!(after.head.size >= before.head.size);
                prop_assert!(after.head.size > before.head.size || after.head == before.head);
                prop_assert!(after.position.index >= before.position.index);
            }
            held = next;
        }
    }
}
