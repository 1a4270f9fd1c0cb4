//! Goal: a key outside of memory derives ids as stable and as secret as one in memory, and what
//! fails there is said. Method: signers around a key of a fixed seed.

use std::sync::atomic::{AtomicU8, Ordering};

use super::super::super::header::{ContentType, Family};
use super::super::super::hex::hex;
use super::super::{Approved, SigningKey};
use super::*;

/// A key that gives signatures and nothing else, as a token does.
#[derive(Debug)]
struct Token(SigningKey);

impl Signer for Token {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        self.0.sign(message)
    }

    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        signed_secret(self)
    }
}

/// A device that signs differently each time.
#[derive(Debug)]
struct Hedged(SigningKey, AtomicU8);

impl Signer for Hedged {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let mut signature = self.0.sign(message)?;
        signature.0[0] ^= self.1.fetch_add(1, Ordering::Relaxed);
        Ok(signature)
    }

    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        signed_secret(self)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no card in the reader")]
struct NoCard;

/// A device that is gone.
#[derive(Debug)]
struct Gone(SigningKey);

impl Signer for Gone {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, SignerError> {
        Err(SignerError::Device(Box::new(NoCard)))
    }

    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        signed_secret(self)
    }
}

const RECORD: RecordIdentity<'_> = RecordIdentity {
    kind: "finding.v1",
    subject: "urn:aimslog:o:system:s",
    record: b"{\"a\":1}",
    previous: None,
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

#[test]
fn a_key_that_only_signs_derives_the_same_id_each_time() {
    let token = Token(key(1));
    let id = token.derive_statement_id(&RECORD).unwrap();
    assert_eq!(token.derive_statement_id(&RECORD).unwrap(), id);
    // Made by an independent implementation.
    assert_eq!(hex(id.as_bytes()), "24f17cc802c5c571dd16acdc2024bad1");
    let by_seed = key(1).derive_statement_id(&RECORD).unwrap();
    assert_ne!(id, by_seed, "the seed is not known there");
    assert_ne!(Token(key(2)).derive_statement_id(&RECORD).unwrap(), id);
}

#[test]
fn the_secret_is_not_the_signature_that_anybody_could_verify() {
    let secret = Token(key(1)).statement_id_secret().unwrap();
    let signature = key(1).sign(STATEMENT_ID_SECRET_MESSAGE).unwrap();
    assert!(!signature.0.windows(32).any(|part| part == *secret));
    for begun in [POSSESSION, APPROVAL, STATEMENT, TOKEN] {
        assert!(!STATEMENT_ID_SECRET_MESSAGE.starts_with(begun));
    }
}

/// How everything else that a key signs begins: proofs of possession, approvals, the array of a
/// `Sig_structure`, the JSON header of a token in base64url.
const POSSESSION: &[u8] = super::super::POSSESSION_LABEL;
const APPROVAL: &[u8] = super::super::approval::APPROVAL_LABEL;
const STATEMENT: &[u8] = &[0x84];
const TOKEN: &[u8] = b"eyJ";

#[test]
fn a_device_that_signs_differently_each_time_is_found() {
    let hedged = Hedged(key(1), AtomicU8::new(1));
    let error = hedged.derive_statement_id(&RECORD).unwrap_err();
    assert!(matches!(error, SignerError::NotDeterministic), "{error:?}");
}

#[test]
fn a_failing_device_is_an_error_with_its_cause() {
    let gone: &dyn Signer = &Gone(key(1));
    let digest = ApprovalDigest::of(&Approved {
        audience: "ledger.example.com/a",
        content_type: &ContentType::new(Family::Ledger, "rules", 1).unwrap(),
        id: StatementId::from_bytes([1; 16]),
        expires: None,
        payload: b"payload",
    });
    let possession = Possession {
        service: "ledger.example.com/a",
        subject: "urn:aimslog:o",
    };
    for error in [
        gone.derive_statement_id(&RECORD).unwrap_err(),
        gone.approve(&digest).unwrap_err(),
        gone.prove_possession(&possession).unwrap_err(),
        crate::token::mint(gone, "ledger.example.com/a", 0, 60).unwrap_err(),
    ] {
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), "no card in the reader");
    }
}
