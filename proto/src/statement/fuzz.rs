//! What the fuzzers run on this module; not part of the API.

use super::cbor::{self, KeyOrder};
use super::commitment::{Commitment, FieldProof};
use super::disclosure::Disclosure;
use super::header::Header;
use super::id::EntryId;
use super::json::Json;
use super::key::{PublicKey, SigningKey, Thumbprint};
use super::statement::UnverifiedStatement;
use crate::tlog::hash::{Hash, LeafHash};

/// Strict CBOR is one item that spans all bytes; sorted input is accepted in any order too.
pub fn cbor(data: &[u8]) {
    if let Ok(item) = cbor::parse(data) {
        assert_eq!(item.bytes, data);
        assert_eq!(cbor::parse_with(data, KeyOrder::Any), Ok(item));
    }
    if let Ok(item) = cbor::parse_cose_sign1(data, KeyOrder::Any) {
        assert_eq!(item.bytes.len() + 1, data.len());
    }
}

/// A strict value has one text, and the free reader reads it the same.
pub fn json(data: &[u8]) {
    if let Ok(value) = Json::parse(data) {
        assert_eq!(value.to_string().as_bytes(), data);
        assert!(value.is_strict());
        assert_eq!(Json::parse_free(data), Ok(value));
    } else if let Ok(value) = Json::parse_free(data) {
        let text = value.to_string();
        assert_eq!(Json::parse_free(text.as_bytes()), Ok(value));
    }
}

/// A disclosure has one text for each salt, name and value.
pub fn disclosure(data: &[u8]) {
    if let Ok(disclosure) = Disclosure::parse(data) {
        let (salt, name) = (disclosure.salt(), disclosure.name());
        let again = Disclosure::new(salt, name, disclosure.value());
        assert_eq!(again.as_ref().map(Disclosure::bytes), Ok(data));
    }
}

/// A commitment has one form. Beyond that: the first byte is a number of fields, the second how
/// many of the next bytes are indices, the rest hashes. Only honest indices verify.
pub fn commitment(data: &[u8]) {
    if let Ok(commitment) = Commitment::parse(data) {
        assert_eq!(commitment.encode(), data);
    }
    let Some((&[count, shown], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let leaves: Vec<LeafHash> = (0..count).map(|field| LeafHash::of(&[field])).collect();
    let Ok(commitment) = Commitment::build(&leaves) else {
        assert_eq!(count, 0);
        return;
    };
    let Some((indices, hashes)) = rest.split_at_checked(usize::from(shown)) else {
        return;
    };
    let indices: Vec<u64> = indices.iter().copied().map(u64::from).collect();
    let claimed: Vec<LeafHash> = indices
        .iter()
        .map(|index| LeafHash::of(&index.to_be_bytes()[7..]))
        .collect();
    let (hashes, _) = hashes.as_chunks::<32>();
    let hashes = hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect();
    let proof = FieldProof {
        indices: indices.clone(),
        hashes,
    };
    let honest = FieldProof::build(&leaves, &indices);
    let verified = commitment.verify_fields(&proof, &claimed);
    assert_eq!(verified.is_ok(), honest.as_ref() == Ok(&proof));
    if let Ok(honest) = honest {
        assert_eq!(commitment.verify_fields(&honest, &claimed), Ok(()));
    }
}

/// A header has one form; one that is refused says why.
pub fn header(data: &[u8]) {
    match Header::decode(data) {
        Ok(header) => assert_eq!(header.encode().as_deref(), Ok(data)),
        Err(violations) => assert!(!violations.as_slice().is_empty()),
    }
}

/// A log entry has one form, which is what is kept of a submission; a key that did not sign it
/// never verifies it.
pub fn statement(data: &[u8]) {
    let stranger: PublicKey = SigningKey::from_seed(&[0xff; 32]).public_key();
    match UnverifiedStatement::parse_submitted(data) {
        Ok(submitted) => {
            let entry = UnverifiedStatement::parse(submitted.bytes());
            assert_eq!(entry.as_ref(), Ok(&submitted));
            assert!(submitted.verify(&stranger).is_err());
        }
        Err(error) => assert!(!error.violations().is_empty()),
    }
    if let Ok(entry) = UnverifiedStatement::parse(data) {
        assert_eq!(entry.bytes(), data);
    }
}

/// A key file, a COSE key, a thumbprint and an entry id have one form each.
pub fn key(data: &[u8]) {
    if let Ok(key) = PublicKey::from_cose_key(data) {
        assert_eq!(key.to_cose_key(), data);
    }
    let Some(text) = str::from_utf8(data).ok() else {
        return;
    };
    if let Ok(key) = SigningKey::parse_seed_file(text) {
        let file = key.to_seed_file();
        assert!(text == file.as_str() || format!("{text}\n") == file.as_str());
    }
    if let Ok(thumbprint) = Thumbprint::parse(text) {
        assert_eq!(thumbprint.to_string(), text);
    }
    if let Ok(id) = EntryId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
}
