//! Goal: the bytes never change unnoticed, and no damaged byte passes. Method: golden bytes, round
//! trips, every single-bit mutation and every truncation of one value of each sort.

use super::*;

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn position() -> Position {
    Position {
        term: 3,
        leader: 2,
        index: 0x0102,
    }
}

fn members() -> Members {
    Members {
        voters: vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
        members: BTreeMap::from([
            (
                1,
                Member {
                    addr: "a:1".into(),
                    name: "o/node/1".into(),
                },
            ),
            (
                3,
                Member {
                    addr: "c:3".into(),
                    name: "o/node/3".into(),
                },
            ),
        ]),
    }
}

fn records() -> Vec<Record> {
    vec![
        Record {
            position: position(),
            kind: RecordKind::Blank,
        },
        Record {
            position: position(),
            kind: RecordKind::Command(Bytes::from_static(b"cmd")),
        },
        Record {
            position: position(),
            kind: RecordKind::Members(members()),
        },
    ]
}

#[test]
fn keys_sort_as_indices_do() {
    assert_eq!(log_key(0x0102), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert!(log_key(255) < log_key(256));
    assert_eq!(log_index(&log_key(u64::MAX)).unwrap(), u64::MAX);
    assert!(log_index(b"short").is_err());
}

#[test]
fn bytes_are_the_golden_ones() {
    let p = "000000000000000300000000000000020000000000000102";
    let m = concat!(
        "00000002",
        "0000000200000000000000010000000000000002",
        "0000000200000000000000020000000000000003",
        "00000002",
        "000000000000000100000003613a31000000086f2f6e6f64652f31",
        "000000000000000300000003633a33000000086f2f6e6f64652f33",
    );
    let golden = |fields: String| {
        let body = format!("01{fields}");
        let bytes: Vec<u8> = (0..body.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(body.get(at..at + 2).unwrap(), 16).unwrap())
            .collect();
        format!("{body}{:08x}", crc32c::crc32c(&bytes))
    };
    let records = records();
    assert_eq!(hex(&records[0].encode()), golden(format!("{p}00")));
    assert_eq!(
        hex(&records[1].encode()),
        golden(format!("{p}0100000003636d64"))
    );
    assert_eq!(hex(&records[2].encode()), golden(format!("{p}02{m}")));
    assert_eq!(hex(&position().encode()), golden(p.into()));
    let vote = Vote {
        term: 7,
        node: 3,
        committed: true,
    };
    assert_eq!(
        hex(&vote.encode()),
        golden("0000000000000007000000000000000301".into())
    );
    let identity = Identity {
        cluster_id: [0xab; 32],
        node_id: 9,
        incarnation: 4,
    };
    let fields = format!("{}00000000000000090000000000000004", "ab".repeat(32));
    assert_eq!(hex(&identity.encode()), golden(fields));
    let stored = StoredMembers {
        position: Some(position()),
        members: members(),
    };
    assert_eq!(hex(&stored.encode()), golden(format!("01{p}{m}")));
}

#[test]
fn checksum_is_crc32c() {
    // RFC 3720 B.4: 32 bytes of zeros.
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
}

#[test]
fn values_come_back_as_they_were() {
    for record in records() {
        assert_eq!(
            Record::decode(&Bytes::from(record.encode())).unwrap(),
            record
        );
    }
    let vote = Vote {
        term: u64::MAX,
        node: 0,
        committed: false,
    };
    assert_eq!(Vote::decode(&vote.encode()).unwrap(), vote);
    assert_eq!(Position::decode(&position().encode()).unwrap(), position());
    let identity = Identity {
        cluster_id: [1; 32],
        node_id: 2,
        incarnation: 3,
    };
    assert_eq!(Identity::decode(&identity.encode()).unwrap(), identity);
    for position in [None, Some(position())] {
        let stored = StoredMembers {
            position,
            members: members(),
        };
        assert_eq!(StoredMembers::decode(&stored.encode()).unwrap(), stored);
    }
}

#[test]
fn rejects_every_flipped_bit_and_every_truncation() {
    let check = |bytes: Vec<u8>, decodes: &dyn Fn(&[u8]) -> bool| {
        assert!(decodes(&bytes));
        for len in 0..bytes.len() {
            assert!(
                !decodes(&bytes[..len]),
                "accepted {len} of {} bytes",
                bytes.len()
            );
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!decodes(&damaged), "accepted with bit {bit} flipped");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(!decodes(&longer));
    };
    for record in records() {
        check(record.encode(), &|b| {
            Record::decode(&Bytes::copy_from_slice(b)).is_ok()
        });
    }
    check(
        Vote {
            term: 1,
            node: 2,
            committed: true,
        }
        .encode(),
        &|b| Vote::decode(b).is_ok(),
    );
    check(position().encode(), &|b| Position::decode(b).is_ok());
    let identity = Identity {
        cluster_id: [1; 32],
        node_id: 2,
        incarnation: 3,
    };
    check(identity.encode(), &|b| Identity::decode(b).is_ok());
    let stored = StoredMembers {
        position: Some(position()),
        members: members(),
    };
    check(stored.encode(), &|b| StoredMembers::decode(b).is_ok());
}

#[test]
fn rejects_what_a_valid_checksum_covers_but_no_reader_knows() {
    let resealed = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = records()[1].encode();
        bytes.truncate(bytes.len() - CRC_LEN);
        edit(&mut bytes);
        let crc = crc32c::crc32c(&bytes).to_be_bytes();
        bytes.extend_from_slice(&crc);
        Record::decode(&Bytes::from(bytes))
    };
    let error = resealed(&|b| b[0] = 2).unwrap_err();
    assert_eq!(error, CodecError::Version { found: 2 });
    let error = resealed(&|b| b[25] = 9).unwrap_err();
    assert_eq!(
        error,
        CodecError::Tag {
            what: "kind of entry",
            found: 9
        }
    );
    let error = resealed(&|b| b[29] = 200).unwrap_err();
    assert_eq!(
        error,
        CodecError::Truncated {
            len: 3,
            needed: 197
        }
    );
    let error = resealed(&|b| b.push(0)).unwrap_err();
    assert_eq!(error, CodecError::Trailing { extra: 1 });
}
