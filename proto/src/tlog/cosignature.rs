//! Ed25519 cosignatures (C2SP tlog-cosignature v1.0.1, type 0x04).
//!
//! A cosigner states: as of this time, the largest tree of this log that I saw, consistent with
//! all before it, has this size and root. What follows the key id on the line is the time (u64,
//! big endian) and 64 bytes of signature over:
//!
//! ```text
//! cosignature/v1
//! time 1763935200
//! <the checkpoint text>
//! ```
//!
//! The message does not name the cosigner, so a cosigner's key is used for nothing else.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{KeyName, NoteSignature, SignatureRefused, VerifierKey, verify_ed25519};
use crate::time::UnixSeconds;

/// The latest time that a cosignature may state: 2^63 - 1.
pub const TIME_MAX: UnixSeconds = UnixSeconds(u64::MAX >> 1);

/// Bytes behind the key id: the time and the signature.
const LEN: usize = 8 + 64;

/// The bytes that a cosigner signs, for a time and a checkpoint text with its last newline.
pub fn message(time: UnixSeconds, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// Cosigns a checkpoint text at `time`, under `name`.
///
/// Anything that is not a checkpoint, and a time beyond [`TIME_MAX`], is refused: the key must
/// not sign bytes that somebody else chose.
pub fn sign(
    text: &str,
    time: UnixSeconds,
    name: &KeyName,
    key: &SigningKey,
) -> Result<NoteSignature, CosignError> {
    Checkpoint::parse(text).map_err(CosignError::NotACheckpoint)?;
    if time > TIME_MAX {
        return Err(CosignError::TimeTooLarge { time });
    }
    let signature = key.sign(&message(time, text)).to_bytes();
    let blob = [time.0.to_be_bytes().as_slice(), &signature].concat();
    let id = VerifierKey::cosignature_v1(name.clone(), &key.verifying_key()).id();
    Ok(NoteSignature::of(name.clone(), id, blob))
}

/// Checks time and signature over `text` and returns the time.
pub fn verify(
    key: &VerifyingKey,
    text: &str,
    blob: &[u8],
) -> Result<UnixSeconds, SignatureRefused> {
    let wrong = SignatureRefused::WrongLength {
        expected: LEN,
        got: blob.len(),
    };
    let Some((time, signature)) = blob.split_first_chunk::<8>() else {
        return Err(wrong);
    };
    if blob.len() != LEN {
        return Err(wrong);
    }
    let time = UnixSeconds(u64::from_be_bytes(*time));
    if time > TIME_MAX {
        return Err(SignatureRefused::TimeTooLarge { time });
    }
    verify_ed25519(key, &message(time, text), signature)?;
    Ok(time)
}

/// Why nothing was cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CosignError {
    /// The text is not a checkpoint.
    #[error("only checkpoints are cosigned")]
    NotACheckpoint(#[source] CheckpointError),
    /// The time lies beyond [`TIME_MAX`].
    #[error("a cosignature cannot be dated {time}, beyond 2^63 - 1")]
    TimeTooLarge {
        /// The time asked for.
        time: UnixSeconds,
    },
}

#[cfg(test)]
mod tests;
