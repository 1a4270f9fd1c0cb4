//! Ed25519 keys: public keys and their thumbprints, secret keys, and what they sign beside
//! statements.
//!
//! A key is named by its COSE key thumbprint (RFC 9679): SHA-256 over the deterministic COSE key
//! `{1: 1, -1: 6, -2: x}`, for Ed25519 the bytes `A3 01 01 20 06 21 58 20` and the 32 bytes of `x`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::cbor::{self, CborError, Encoder, MapEncoder};
use crate::reason::Reason;
use crate::tlog::note::{KeyMaterial, SignatureType};
use crate::tlog::{Origin, VerifierKey};

mod approval;
mod seed;
mod signer;

pub use approval::{ApprovalDigest, Approved};
pub use seed::SigningKey;
pub use signer::{RecordIdentity, Signer, SignerError, signed_secret};

/// The COSE algorithm id of `EdDSA`, which we emit.
pub const ALG_EDDSA: i64 = -8;
/// The fully specified COSE algorithm id of `Ed25519`, accepted where the policy lists it.
pub const ALG_ED25519: i64 = -19;

const POSSESSION_LABEL: &[u8] = b"aimslog-pop/v1\n";

/// Why bytes or text are not a key, or a signature is not one of it. It never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are no point of the curve.
    #[error("not an ed25519 public key")]
    NotAPoint,
    /// The point is not written in its canonical form.
    #[error("ed25519 public key is not in its canonical form")]
    NotCanonical,
    /// The point has a small order: it has signatures that verify for almost any message.
    #[error("ed25519 public key is weak")]
    Weak,
    /// A COSE key that is not deterministic CBOR of the expected shape.
    #[error("cose key")]
    Cbor(
        #[source]
        #[from]
        CborError,
    ),
    /// A COSE key with another type, curve or algorithm, or a `kid` that is not its thumbprint.
    #[error("cose key: {parameter} is not the one of an ed25519 key")]
    CoseParameter {
        /// Which parameter.
        parameter: &'static str,
    },
    /// Not the text of a thumbprint: 43 characters of base64url without padding.
    #[error("a thumbprint is 43 characters of base64url without padding")]
    ThumbprintText,
    /// Not the text of a seed file.
    #[error(
        "a key file is one line: {} and 44 characters of base64",
        seed::FILE_HEADER
    )]
    SeedFile,
    /// A service id, subject, kind or sub that holds a separator.
    #[error("{field} holds a control character")]
    ControlCharacter {
        /// Which part.
        field: &'static str,
    },
    /// The signature does not verify under the key.
    #[error("signature does not verify under key {key}")]
    WrongSignature {
        /// Whose key.
        key: Thumbprint,
    },
}

impl KeyError {
    /// The stable reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::WrongSignature { .. } => Reason::WrongSignature,
            Self::Cbor(error) => error.reason(),
            _ => Reason::InvalidKey,
        }
    }
}

/// The RFC 9679 thumbprint of a public key; it is the `kid` of what the key signs.
///
/// Text: 43 characters of base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the text form; there is one text for each thumbprint.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        decode_32(text).map(Self).ok_or(KeyError::ThumbprintText)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// 32 bytes in base64url without padding.
pub(super) fn decode_32(text: &str) -> Option<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    <[u8; 32]>::try_from(bytes.as_slice()).ok()
}

/// An Ed25519 signature; whether it verifies is not known from having one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// An Ed25519 public key: a canonical point that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032 5.1.5; refuses other forms of a point, and weak points.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(bytes) else {
            return Err(KeyError::NotAPoint);
        };
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    /// The 32 bytes of RFC 8032 5.1.5.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key as one that signs checkpoints of this log (plain signatures, type 0x01).
    pub fn to_log_key(&self, origin: &Origin) -> VerifierKey {
        VerifierKey::ed25519(origin.key_name().clone(), &self.0)
    }

    /// The key inside a verifier key that checks plain signatures; `None` for any other.
    pub fn of_log_key(key: &VerifierKey) -> Option<Self> {
        match (key.signature_type(), key.material()) {
            (SignatureType::Ed25519, KeyMaterial::Ed25519(key)) => {
                Self::from_bytes(key.as_bytes()).ok()
            }
            _ => None,
        }
    }

    /// The RFC 9679 thumbprint.
    pub fn thumbprint(&self) -> Thumbprint {
        let mut key = MapEncoder::new();
        self.write_required(&mut key);
        Thumbprint(Sha256::digest(Encoder::new().map(key).finish()).into())
    }

    /// The COSE key `{1: 1, 2: thumbprint, 3: -8, -1: 6, -2: x}`, deterministic.
    pub fn to_cose_key(&self) -> Vec<u8> {
        let mut key = MapEncoder::new();
        self.write_required(&mut key);
        key.entry(2, |value| {
            value.bytes(self.thumbprint().as_bytes());
        });
        key.entry(3, |value| {
            value.int(ALG_EDDSA);
        });
        Encoder::new().map(key).finish()
    }

    /// Reads exactly what [`PublicKey::to_cose_key`] writes.
    pub fn from_cose_key(bytes: &[u8]) -> Result<Self, KeyError> {
        let item = cbor::parse(bytes)?;
        let mut fields = item.fields("cose_key")?;
        let wrong = |parameter| KeyError::CoseParameter { parameter };
        if fields.required(1, "kty")?.uint("kty")? != 1 {
            return Err(wrong("kty"));
        }
        if fields.required(3, "alg")?.int("alg")? != ALG_EDDSA {
            return Err(wrong("alg"));
        }
        if fields.required(-1, "crv")?.uint("crv")? != 6 {
            return Err(wrong("crv"));
        }
        let key = Self::from_bytes(&fields.required(-2, "x")?.byte_array("x")?)?;
        if fields.required(2, "kid")?.byte_string("kid")? != key.thumbprint().as_bytes() {
            return Err(wrong("kid"));
        }
        fields.finish()?;
        Ok(key)
    }

    /// Succeeds if `signature` over `message` was made with this key, by the strict rules
    /// (RFC 8032 5.1.7 with canonical `S` and no small-order points).
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let parsed = ed25519_dalek::Signature::from_bytes(&signature.0);
        match self.0.verify_strict(message, &parsed) {
            Ok(()) => Ok(()),
            // The cause is opaque by design of the signature crate: it says nothing more.
            Err(_) => Err(KeyError::WrongSignature {
                key: self.thumbprint(),
            }),
        }
    }

    /// Succeeds if `proof` shows that the holder of this key wants it used as `possession` says.
    pub fn verify_possession(
        &self,
        possession: &Possession<'_>,
        proof: &Signature,
    ) -> Result<(), KeyError> {
        self.verify(&possession.message(self.thumbprint())?, proof)
    }

    /// Succeeds if `approval` by this key is over the statement with this digest.
    pub fn verify_approval(
        &self,
        digest: &ApprovalDigest,
        approval: &Signature,
    ) -> Result<(), KeyError> {
        self.verify(&digest.message(), approval)
    }

    fn write_required(&self, key: &mut MapEncoder) {
        key.entry(1, |value| {
            value.uint(1);
        });
        key.entry(-1, |value| {
            value.uint(6);
        });
        key.entry(-2, |value| {
            value.bytes(self.as_bytes());
        });
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

/// What a new key is to be used for; its holder signs this (proof of possession), so that nobody
/// registers a key that is not theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Possession<'a> {
    /// The service id of the ledger, so that a proof counts in one ledger alone.
    pub service: &'a str,
    /// The subject of the record that registers the key.
    pub subject: &'a str,
}

impl Possession<'_> {
    /// `"aimslog-pop/v1\n" || service || "\n" || subject || "\n" || thumbprint`.
    fn message(&self, key: Thumbprint) -> Result<Vec<u8>, KeyError> {
        // A line feed inside a part would let one message be read as another.
        for (field, text) in [("service", self.service), ("subject", self.subject)] {
            if text.chars().any(char::is_control) {
                return Err(KeyError::ControlCharacter { field });
            }
        }
        let service = self.service.as_bytes();
        let subject = self.subject.as_bytes();
        Ok([
            POSSESSION_LABEL,
            service,
            b"\n",
            subject,
            b"\n",
            key.as_bytes(),
        ]
        .concat())
    }
}

#[cfg(test)]
mod tests;
