use super::*;

const EMPTY_BASE64: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn separates_empty_leaf_node_and_empty_tree() {
    let leaf = LeafHash::of(b"");
    assert_eq!(
        leaf.hash().to_hex(),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(RootHash::EMPTY.to_string(), EMPTY_BASE64);
    assert_eq!(
        RootHash::EMPTY.as_bytes().as_slice(),
        Sha256::digest(b"").as_slice()
    );
    let zero = Hash::from_bytes([0; 32]);
    let expected = Sha256::digest([&[1_u8][..], &[0; 64]].concat());
    assert_eq!(
        Hash::node(&zero, &zero).as_bytes().as_slice(),
        expected.as_slice()
    );
    // An entry that looks like a node hashes to something else.
    assert_ne!(LeafHash::of(&[0; 64]).hash(), Hash::node(&zero, &zero));
}

#[test]
fn reads_back_both_text_forms() {
    let hash = LeafHash::of(b"entry").hash();
    assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(Hash::from_hex(&hash.to_hex()), Ok(hash));
    assert_eq!(Hash::try_from(hash.as_bytes().as_slice()), Ok(hash));
}

#[test]
fn refuses_every_other_spelling_of_a_hash() {
    let not_base64 = [
        ("no padding", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"),
        (
            "stray bits in the last digit",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
        ),
        (
            "url alphabet",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
        ),
        (
            "space behind",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= ",
        ),
        (
            "newline within",
            "47DEQpj8HBSa+/TImW+5\nJCeuQeRkm5NMpJWZG3hSuFU=",
        ),
    ];
    for (case, text) in not_base64 {
        assert_eq!(Hash::from_base64(text), Err(HashError::NotBase64), "{case}");
    }
    assert_eq!(
        Hash::from_base64(""),
        Err(HashError::WrongLength { got: 0 })
    );
    assert_eq!(
        Hash::from_base64("AAAA"),
        Err(HashError::WrongLength { got: 3 })
    );
    let hex = RootHash::EMPTY.hash().to_hex();
    assert_eq!(Hash::from_hex(&hex.to_uppercase()), Err(HashError::NotHex));
    assert_eq!(Hash::from_hex(hex.split_at(1).1), Err(HashError::NotHex));
    assert_eq!(
        Hash::from_hex(hex.split_at(2).1),
        Err(HashError::WrongLength { got: 31 })
    );
}
