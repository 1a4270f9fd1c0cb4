//! The keys of the first release, byte for byte: a change here is a change of the disk format.

use super::*;

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row per key")]
fn keys_have_their_golden_bytes() {
    let digest = [0xd1; 32];
    let d = "d1".repeat(32);
    let place = RegisterPlace {
        organization: "o",
        kind: "k",
        number: 5,
        version: 2,
    };
    let control = Control {
        scheme: "s",
        id: "A.1",
    };
    let table = [
        (single(Single::Format), Family::Meta, "0100".to_owned()),
        (single(Single::Applied), Family::Meta, "0101".to_owned()),
        (single(Single::Membership), Family::Meta, "0102".to_owned()),
        (single(Single::Core), Family::Meta, "0103".to_owned()),
        (single(Single::Corrupt), Family::Meta, "0104".to_owned()),
        (system(1), Family::Meta, "020000000000000001".to_owned()),
        (head(1), Family::Meta, "030000000000000001".to_owned()),
        (
            head_by_size(2, 1),
            Family::Meta,
            "0400000000000000020000000000000001".to_owned(),
        ),
        (
            head_by_time(2, 1),
            Family::Meta,
            "0500000000000000020000000000000001".to_owned(),
        ),
        (register("o", "k"), Family::Meta, "06016f016b".to_owned()),
        (entity(&digest), Family::Meta, format!("07{d}")),
        (blob("o", &digest), Family::Meta, format!("08016f{d}")),
        (
            blob_expiry(3, "o", &digest),
            Family::Meta,
            format!("090000000000000003016f{d}"),
        ),
        (
            blob_expiry_from(3),
            Family::Meta,
            "090000000000000003".to_owned(),
        ),
        (cut(4), Family::Meta, "0a0000000000000004".to_owned()),
        (
            linking(&digest, ("k", "r")),
            Family::Meta,
            format!("0b{d}016b0172"),
        ),
        (entry(258), Family::Entries, "010000000000000102".to_owned()),
        (
            payload(258),
            Family::Payloads,
            "010000000000000102".to_owned(),
        ),
        (
            chunk("o", &digest, 7),
            Family::Payloads,
            format!("02016f{d}0000000000000007"),
        ),
        (tile(1, 2), Family::Tiles, "01010000000000000002".to_owned()),
        (
            tile_root(1, 2),
            Family::Tiles,
            "02010000000000000002".to_owned(),
        ),
        (by_id(&digest), Family::Index, format!("01{d}")),
        (
            by_cti("", &[0xc0; 16]),
            Family::Index,
            format!("0200{}", "c0".repeat(16)),
        ),
        (
            by_number(place),
            Family::Index,
            "03016f016b000000000000000500000002".to_owned(),
        ),
        (
            by_subject("o", "urn:x", 1),
            Family::Index,
            "04016f000575726e3a780000000000000001".into(),
        ),
        (
            by_control("o", control, 1),
            Family::Index,
            "05016f017303412e310000000000000001".into(),
        ),
        (
            by_signer("o", &digest, 1),
            Family::Index,
            format!("06016f{d}0000000000000001"),
        ),
        (
            by_time("o", 9, 1),
            Family::Index,
            "07016f00000000000000090000000000000001".into(),
        ),
        (
            by_link(9, "r", 1),
            Family::Index,
            "08000000000000000901720000000000000001".into(),
        ),
        (
            by_kind("o", "k", 1),
            Family::Index,
            "09016f016b0000000000000001".into(),
        ),
    ];
    for (key, family, golden) in table {
        assert_eq!((key.family, hex(&key.bytes)), (family, golden));
    }
}

#[test]
fn byte_order_is_the_order_of_the_numbers() {
    let sizes = [0, 1, 255, 256, 65_535, 1 << 40, u64::MAX];
    for pair in sizes.windows(2) {
        assert!(entry(pair[0]).bytes < entry(pair[1]).bytes);
        assert!(head_by_size(pair[0], u64::MAX).bytes < head_by_size(pair[1], 0).bytes);
    }
}

#[test]
fn one_text_is_never_the_prefix_of_another() {
    let short = register("a", "bc").bytes;
    let long = register("ab", "c").bytes;
    assert!(!long.starts_with(&short) && !short.starts_with(&long));
}

#[test]
fn families_keep_their_names() {
    let names = Family::ALL.map(Family::name);
    assert_eq!(names, ["meta", "entries", "payloads", "tiles", "index"]);
}

#[test]
fn reads_the_index_that_a_key_ends_with() {
    assert_eq!(trailing_u64(&by_link(9, "r", 77).bytes), Some(77));
    assert_eq!(trailing_u64(&[1, 2, 3]), None);
}
