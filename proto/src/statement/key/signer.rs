//! Whoever signs: one Ed25519 key, wherever it lives.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::id::{EntryId, StatementId};
use super::{ApprovalDigest, KeyError, Possession, PublicKey, Signature};

const STATEMENT_ID_LABEL: &[u8] = b"aimslog-statement-id/v1";
/// What a key outside of memory signs to get a secret of its own. No statement, token, proof or
/// note begins like this, so the signature is never one that somebody else has seen.
const STATEMENT_ID_SECRET_MESSAGE: &[u8] = b"aimslog-statement-id-secret/v1\n";

/// Signs with one Ed25519 key, wherever that key lives: in memory, a token, a key service.
///
/// Signing may block, on a device or a network, and fail. Nobody needs to trust the result: what is
/// made of it is verified before it is handed on.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half. It does not change and costs nothing.
    fn public_key(&self) -> PublicKey;

    /// The signature over `message` (pure Ed25519, RFC 8032), or why there is none.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;

    /// Proof that the holder of this key wants it used as `possession` says.
    fn prove_possession(&self, possession: &Possession<'_>) -> Result<Signature, SignerError> {
        self.sign(&possession.message(self.public_key().thumbprint())?)
    }

    /// Approval of the statement with this digest.
    fn approve(&self, digest: &ApprovalDigest) -> Result<Signature, SignerError> {
        self.sign(&digest.message())
    }

    /// The secret behind [`Signer::derive_statement_id`]: always the same, and known to nobody
    /// without the key.
    ///
    /// A key in memory gives its seed; any other, what [`signed_secret`] gives.
    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError>;

    /// The unique id (`cti`) that this key derives for a record, so that the same record sent
    /// again by the same hand gets the same id, and nobody without the key can guess from the id
    /// what the record says.
    ///
    /// `HMAC-SHA-256(K, kind || 00 || subject || 00 || record)`, its first 16 bytes, where
    /// `K = HMAC-SHA-256(secret, "aimslog-statement-id/v1")` and the secret is that of
    /// [`Signer::statement_id_secret`]. `kind` is the kind with its version as in the content type,
    /// `record` the record in strict JSON before it is salted, followed by `00 || previous` for a
    /// later version: going back to what an earlier version said is a new one. Kind and subject hold
    /// no control character, and strict JSON neither.
    fn derive_statement_id(&self, record: &RecordIdentity<'_>) -> Result<StatementId, SignerError> {
        for (field, text) in [("kind", record.kind), ("subject", record.subject)] {
            if text.chars().any(char::is_control) {
                return Err(KeyError::ControlCharacter { field }.into());
            }
        }
        let secret = self.statement_id_secret()?;
        let derived = Zeroizing::new(hmac_sha256(&secret, &[STATEMENT_ID_LABEL]));
        let kind = record.kind.as_bytes();
        let subject = record.subject.as_bytes();
        let mut parts = vec![kind, &[0], subject, &[0], record.record];
        if let Some(previous) = record.previous {
            parts.extend([&[0][..], previous.as_bytes()]);
        }
        let mac = hmac_sha256(&derived, &parts);
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(mac) {
            *to = from;
        }
        Ok(StatementId::from_bytes(id))
    }
}

/// A secret of a key that only signs: the SHA-256 of its signature over a message that it signs for
/// nothing else.
///
/// It is known to nobody else because that signature never leaves this function, and always the same
/// because Ed25519 signatures are deterministic. It is signed twice, so that a device whose
/// signatures are not is found here.
pub fn signed_secret(signer: &dyn Signer) -> Result<Zeroizing<[u8; 32]>, SignerError> {
    let once = Zeroizing::new(signer.sign(STATEMENT_ID_SECRET_MESSAGE)?.0);
    let again = Zeroizing::new(signer.sign(STATEMENT_ID_SECRET_MESSAGE)?.0);
    if once != again {
        return Err(SignerError::NotDeterministic);
    }
    Ok(Zeroizing::new(Sha256::digest(once.as_slice()).into()))
}

/// Why a signer gave no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// What was to be signed is not allowed.
    #[error("cannot sign")]
    Key(
        #[source]
        #[from]
        KeyError,
    ),
    /// The token or service that holds the key failed.
    #[error("signing device failed")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The device signed the same message in two ways.
    #[error(
        "the signatures of the signing device are not those of RFC 8032: they differ each time"
    )]
    NotDeterministic,
}

/// What makes two submissions the same record; see [`Signer::derive_statement_id`].
#[derive(Clone, Copy)]
pub struct RecordIdentity<'a> {
    /// The kind with its version, for example `oversight_decision.v1`.
    pub kind: &'a str,
    /// The subject of the statement.
    pub subject: &'a str,
    /// The record in strict JSON.
    pub record: &'a [u8],
    /// For a later version of an entity: the entry that it follows.
    pub previous: Option<&'a EntryId>,
}

impl fmt::Debug for RecordIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordIdentity({} of {})", self.kind, self.subject)
    }
}

fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new(&hmac_key_block(key));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The key padded with zeros to the block of SHA-256, as HMAC does itself (RFC 2104 2).
fn hmac_key_block(key: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests;
