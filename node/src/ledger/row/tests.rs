//! The rows of this state format, byte for byte: a change here is a change of the disk format.

mod described;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use aimslog_proto::{
    aims::entity::{Entity, EntityLink, Linking, Signing, Standing},
    limits::{ENTITY_SIGNINGS_MAX, ID_BYTES_MAX, LINKS_MAX, URI_BYTES_MAX, WORD_BYTES_MAX},
    statement::EntryId,
    tlog::LeafHash,
};

use super::*;
use crate::ledger::testing::hex;

fn frontier(leaves: u8) -> Frontier {
    let mut frontier = Frontier::EMPTY;
    for leaf in 0..leaves {
        frontier.push(LeafHash::of(&[leaf])).unwrap();
    }
    frontier
}

/// The bytes of a value, and the line of the documentation that describes them.
#[track_caller]
fn golden<V: Value + Debug + PartialEq>(value: &V, bytes: &str, line: &str) {
    let encoded = value.encode();
    assert_eq!(hex(&encoded), bytes.replace(' ', ""));
    described::walk(line, &encoded);
    assert_eq!(V::decode(&encoded).as_ref(), Ok(value));
    for cut in 0..encoded.len() {
        assert!(V::decode(&encoded[..cut]).is_err(), "cut at {cut}");
    }
    assert!(V::decode(&[&encoded[..], &[0]].concat()).is_err());
    let mut newer = encoded;
    newer[0] = 2;
    assert!(V::decode(&newer).is_err());
}

#[test]
fn core_and_registers() {
    let core = Core {
        level: 1,
        time_ms: 2,
        time_term: (3, 4),
        cluster: [0xc1; 32],
        frontier: Frontier::EMPTY,
        next_head: 5,
        trusted_head: None,
        thin_from: 6,
    };
    let text = format!(
        "01 00000001 0000000000000002 0000000000000003 0000000000000004 {} \
         00000008 0000000000000000 0000000000000005 00 0000000000000006",
        "c1".repeat(32),
    );
    golden(&core, &text, "| | | 03 core | ");

    let register = RegisterRow {
        entities: 7,
        frontier: frontier(3),
    };
    let peaks: String = register
        .frontier
        .peaks()
        .iter()
        .map(aimslog_proto::tlog::Hash::to_hex)
        .collect();
    golden(
        &register,
        &format!("01 0000000000000007 00000048 0000000000000003 {peaks}"),
        "| | 06 | organisation short, kind short | ",
    );
}

#[test]
fn entries() {
    let entry = EntryRow {
        statement: Bytes::from_static(b"st"),
        organization: "o".to_owned(),
        kind: "k".to_owned(),
        time_ms: 1,
        number: 2,
        version: 3,
        entity: Some(EntryId::from_bytes([0xee; 32])),
        state: "open".to_owned(),
        leaf_hash: [0xaa; 32],
    };
    let text = format!(
        "01 00000002 7374 00000001 6f 00000001 6b 0000000000000001 0000000000000002 00000003 \
         01 {} 00000004 6f70656e {}",
        "ee".repeat(32),
        "aa".repeat(32)
    );
    let line = "| `entries` | 01 | index u64 | ";
    golden(&entry, &text, line);
    let system = EntryRow {
        organization: String::new(),
        kind: "ledger.rules".to_owned(),
        number: 0,
        version: 0,
        entity: None,
        state: String::new(),
        ..entry
    };
    let text = format!(
        "01 00000002 7374 00000000 0000000c 6c65646765722e72756c6573 0000000000000001 \
         0000000000000000 00000000 00 00000000 {}",
        "aa".repeat(32)
    );
    golden(&system, &text, line);
}

#[test]
fn entities() {
    let signing = |state: &str, holder: &str| Signing {
        state: state.to_owned(),
        holder: holder.to_owned(),
    };
    let entity = EntityRow {
        entity: Entity {
            organization: "o".to_owned(),
            kind: "k".to_owned(),
            kind_version: 6,
            subject: "s".to_owned(),
            newest: EntryId::from_bytes([0xbb; 32]),
            state: "open".to_owned(),
            entered_by: BTreeSet::from(["h".to_owned()]),
            retracted: true,
            signings: BTreeSet::from([signing("a", "h"), signing("a", "i")]),
            round: 4,
            links: [(
                EntityLink {
                    relation: "r".to_owned(),
                    target: EntryId::from_bytes([0xcc; 32]),
                },
                5,
            )]
            .into(),
            grounds: [(
                EntityLink {
                    relation: "q".to_owned(),
                    target: EntryId::from_bytes([0xdd; 32]),
                },
                "in".to_owned(),
            )]
            .into(),
        },
        number: 1,
        versions: 2,
        newest_index: 3,
    };
    let text = format!(
        "01 00000001 6f 00000001 6b 00000006 0000000000000001 00000002 {} 0000000000000003 \
         00000001 73 00000004 6f70656e 01 00000001 00000001 68 \
         00000002 00000001 61 00000001 68 00000001 61 00000001 69 \
         00000004 00000001 00000001 72 {} 00000005 \
         00000001 00000001 71 {} 00000002 696e",
        "bb".repeat(32),
        "cc".repeat(32),
        "dd".repeat(32)
    );
    golden(&entity, &text, "| | 07 | entity id 32 | ");
    // The same pair twice, or out of order, is no encoding.
    let twice = text.replace("00000001 61 00000001 69", "00000001 61 00000001 68");
    assert!(EntityRow::decode(&unhex(&twice)).is_err());
}

/// As `limits.rs` says.
#[test]
fn the_largest_row_of_an_entity_stays_below_48_kib() {
    let text = |length: usize, number: usize| format!("{number:0>length$}");
    let word = |number| text(WORD_BYTES_MAX, number);
    let link = |number| EntityLink {
        relation: word(number),
        target: EntryId::from_bytes([0xcc; 32]),
    };
    let holder = |number| text(ID_BYTES_MAX, number);
    let signings = (0..ENTITY_SIGNINGS_MAX).map(|number| Signing {
        state: word(0),
        holder: holder(number),
    });
    let links = (0..LINKS_MAX).map(link);
    let row = EntityRow {
        entity: Entity {
            organization: text(ID_BYTES_MAX, 0),
            kind: word(0),
            kind_version: 1,
            subject: text(URI_BYTES_MAX, 0),
            newest: EntryId::from_bytes([0xbb; 32]),
            state: word(0),
            entered_by: [holder(0), holder(1)].into(),
            retracted: false,
            signings: signings.collect(),
            round: 4,
            links: links.clone().map(|link| (link, 5)).collect(),
            grounds: links
                .map(|link| (link, word(0)))
                .collect::<BTreeMap<_, _>>(),
        },
        number: 1,
        versions: 2,
        newest_index: 3,
    };
    let size = row.encode().len();
    assert!((32 * 1024..48 * 1024).contains(&size), "{size}");
    assert_eq!(EntityRow::decode(&row.encode()), Ok(row));
}

#[test]
fn those_that_link() {
    let standing = |state: &str, signed: &[&str]| Standing {
        state: state.to_owned(),
        signed: signed.iter().map(|&state| state.to_owned()).collect(),
        round: 7,
    };
    let counts = [(standing("a", &[]), 2), (standing("a", &["b", "c"]), 1)];
    let row = LinkingRow(Linking::new(counts.into()));
    let text = "01 00000002 00000001 61 00000000 00000007 0000000000000002 \
                00000001 61 00000002 00000001 62 00000001 63 00000007 0000000000000001";
    golden(
        &row,
        text,
        "| | 0b | entity id 32, kind short, relation short | ",
    );
    for (from, to) in [
        ("0000000000000002", "0000000000000000"),
        ("00000001 63", "00000001 62"),
    ] {
        assert!(
            LinkingRow::decode(&unhex(&text.replace(from, to))).is_err(),
            "{to}"
        );
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs
        .map(|pair| u8::from_str_radix(&pair, 16).unwrap())
        .collect()
}

#[test]
fn heads_cuts_and_policies() {
    let head = HeadRow {
        number: 1,
        size: 2,
        root: [0xaa; 32],
        time_ms: 3,
        note: Bytes::from_static(b"n"),
        receipt_iat: 4,
        receipt_signature: [0x55; 64],
        trusted: true,
        pinned: false,
    };
    let text = format!(
        "01 0000000000000001 0000000000000002 {} 0000000000000003 00000001 6e \
         0000000000000004 {} 01 00",
        "aa".repeat(32),
        "55".repeat(64)
    );
    golden(&head, &text, "| | 03 | head number u64 | ");

    let cut = CutRow {
        term: 1,
        leader: 2,
        raft_index: 3,
        time_ms: 4,
        root: [0xaa; 32],
    };
    let text = format!(
        "01 0000000000000001 0000000000000002 0000000000000003 0000000000000004 {}",
        "aa".repeat(32)
    );
    golden(&cut, &text, "| | 0a | size u64 | ");

    let corrupt = CorruptRow {
        size: 1,
        own: [0xaa; 32],
        published: [0xbb; 32],
    };
    golden(
        &corrupt,
        &format!(
            "01 0000000000000001 {} {}",
            "aa".repeat(32),
            "bb".repeat(32)
        ),
        "| | | 04 corrupt | ",
    );
}

#[test]
fn attachments() {
    let blob = BlobRow {
        total: 1,
        received: 2,
        complete: true,
        references: 3,
        expires_ms: 4,
    };
    golden(
        &blob,
        "01 0000000000000001 0000000000000002 01 0000000000000003 0000000000000004",
        "| | 08 | organisation short, digest 32 | ",
    );
}
