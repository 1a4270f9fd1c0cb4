//! Verifier keys: `name+keyid+base64(type || public key)`.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::super::{base64, cosignature};
use super::{KeyId, KeyName, KeyNameError, SignatureRefused};
use crate::limits::NOTE_KEY_BYTES_MAX;
use crate::time::UnixSeconds;

/// Bytes of an Ed25519 signature.
const ED25519_SIGNATURE_LEN: usize = 64;

/// The signature types of signed-note that we know by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SignatureType {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x04: Ed25519 over the time and the text, a cosignature.
    CosignatureV1,
    /// 0x06: ML-DSA-44 over the time and the tree, a cosignature. Kept, not checked.
    MlDsa44,
    /// Any other. Kept, not checked.
    Other(u8),
}

impl SignatureType {
    /// The type of a byte.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0x01 => Self::Ed25519,
            0x04 => Self::CosignatureV1,
            0x06 => Self::MlDsa44,
            other => Self::Other(other),
        }
    }

    /// The byte of the type.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            Self::MlDsa44 => 0x06,
            Self::Other(byte) => byte,
        }
    }
}

/// The public key inside a verifier key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A canonical Ed25519 key that is not of small order.
    Ed25519(VerifyingKey),
    /// The bytes of a key that we cannot use.
    Opaque(Vec<u8>),
}

impl KeyMaterial {
    /// The public key as bytes. Two keys are the same key if these are equal.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.as_bytes(),
            Self::Opaque(bytes) => bytes,
        }
    }
}

/// A name, a key id and a public key of some type.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    kind: SignatureType,
    material: KeyMaterial,
}

impl VerifierKey {
    /// The key that checks plain signatures (type 0x01) of `key` under `name`.
    pub fn ed25519(name: KeyName, key: &VerifyingKey) -> Self {
        Self::of(name, SignatureType::Ed25519, *key)
    }

    /// The key that checks cosignatures (type 0x04) of `key` under `name`.
    pub fn cosignature_v1(name: KeyName, key: &VerifyingKey) -> Self {
        Self::of(name, SignatureType::CosignatureV1, *key)
    }

    fn of(name: KeyName, kind: SignatureType, key: VerifyingKey) -> Self {
        let id = key_id(&name, kind, key.as_bytes());
        Self {
            name,
            id,
            kind,
            material: KeyMaterial::Ed25519(key),
        }
    }

    /// The name of the key.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key id.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The type of signature that it checks.
    pub const fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The public key.
    pub const fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// Checks what follows the key id on a signature line; a cosignature gives its time.
    pub fn verify(
        &self,
        text: &str,
        signature: &[u8],
    ) -> Result<Option<UnixSeconds>, SignatureRefused> {
        match (&self.material, self.kind) {
            (KeyMaterial::Ed25519(key), SignatureType::Ed25519) => {
                verify_ed25519(key, text.as_bytes(), signature)?;
                Ok(None)
            }
            (KeyMaterial::Ed25519(key), SignatureType::CosignatureV1) => {
                cosignature::verify(key, text, signature).map(Some)
            }
            _ => Err(SignatureRefused::UnknownType),
        }
    }
}

/// Checks an Ed25519 signature by the strict rule: no weak key, no small-order point, one form.
pub(in super::super) fn verify_ed25519(
    key: &VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureRefused> {
    let Ok(bytes) = <[u8; ED25519_SIGNATURE_LEN]>::try_from(signature) else {
        return Err(SignatureRefused::WrongLength {
            expected: ED25519_SIGNATURE_LEN,
            got: signature.len(),
        });
    };
    key.verify_strict(message, &Signature::from_bytes(&bytes))
        .map_err(|_opaque| SignatureRefused::Mismatch)
}

/// The first four bytes of SHA-256(name || LF || type || key).
fn key_id(name: &KeyName, kind: SignatureType, key: &[u8]) -> KeyId {
    let mut sha = Sha256::new();
    sha.update(name.as_str().as_bytes());
    sha.update([b'\n', kind.byte()]);
    sha.update(key);
    let [a, b, c, d, ..]: [u8; 32] = sha.finalize().into();
    KeyId::from_bytes([a, b, c, d])
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.kind.byte()], self.material.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, base64::encode(&typed))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    /// Reads a verifier key. Keys of types that we cannot check are kept as they are, with the
    /// key id that they state; for Ed25519 the id is recomputed and the key is checked.
    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(typed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Form);
        };
        let name = KeyName::new(name).map_err(VerifierKeyError::Name)?;
        let id = KeyId::from_hex(id).ok_or(VerifierKeyError::Form)?;
        let typed = base64::decode(typed.as_bytes()).ok_or(VerifierKeyError::Form)?;
        let Some((&kind, key)) = typed.split_first() else {
            return Err(VerifierKeyError::Form);
        };
        if key.is_empty() || key.len() > NOTE_KEY_BYTES_MAX {
            return Err(VerifierKeyError::KeyLength { got: key.len() });
        }
        let kind = SignatureType::from_byte(kind);
        let material = match kind {
            SignatureType::Ed25519 | SignatureType::CosignatureV1 => {
                let expected = key_id(&name, kind, key);
                if expected != id {
                    return Err(VerifierKeyError::WrongId { expected, got: id });
                }
                KeyMaterial::Ed25519(ed25519_key(key)?)
            }
            SignatureType::MlDsa44 | SignatureType::Other(_) => KeyMaterial::Opaque(key.to_vec()),
        };
        Ok(Self {
            name,
            id,
            kind,
            material,
        })
    }
}

/// A canonical Ed25519 public key that is not of small order.
///
/// A weak key would verify signatures that nobody made; a second encoding of one point would be
/// a second name for one key.
fn ed25519_key(bytes: &[u8]) -> Result<VerifyingKey, VerifierKeyError> {
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else {
        return Err(VerifierKeyError::KeyLength { got: bytes.len() });
    };
    match VerifyingKey::from_bytes(&bytes) {
        Ok(key) if !key.is_weak() && key.to_edwards().compress().to_bytes() == bytes => Ok(key),
        _ => Err(VerifierKeyError::InvalidKey),
    }
}

/// Why a text is not a verifier key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifierKeyError {
    /// Not `name+8 lower-case hexadecimal digits+base64`.
    #[error("not of the form name+keyid+base64")]
    Form,
    /// The name is not a key name.
    #[error("the name of the key is not valid")]
    Name(#[source] KeyNameError),
    /// The public key is empty, too long, or not the length of its type.
    #[error("the public key has the wrong length, {got} bytes")]
    KeyLength {
        /// Bytes found.
        got: usize,
    },
    /// The key id does not belong to name, type and key.
    #[error("the key id is {got}, expected {expected}")]
    WrongId {
        /// The id of name, type and key.
        expected: KeyId,
        /// The id in the text.
        got: KeyId,
    },
    /// Not a canonical Ed25519 point, or of small order.
    #[error("the public key is not a valid Ed25519 key")]
    InvalidKey,
}
