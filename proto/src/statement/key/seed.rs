//! Secret keys in memory, and the text of the file that holds one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{KeyError, PublicKey, Signature, Signer, SignerError};

/// First part of the line of a seed file: names content and version.
pub(super) const FILE_HEADER: &str = "aimslog-ed25519-seed/v1";

/// An Ed25519 secret key in memory; wiped when dropped, and never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of this seed (RFC 8032 5.1.5). The caller wipes its own copy.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads the text of a seed file: `aimslog-ed25519-seed/v1 <base64>`, with or without a line
    /// end.
    pub fn parse_seed_file(text: &str) -> Result<Self, KeyError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let encoded = line
            .strip_prefix(FILE_HEADER)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or(KeyError::SeedFile)?;
        // The decoder reports its own errors with bytes of the input: they are secret, so dropped.
        let Ok(bytes) = STANDARD.decode(encoded).map(Zeroizing::new) else {
            return Err(KeyError::SeedFile);
        };
        let Ok(mut seed) = <[u8; 32]>::try_from(bytes.as_slice()) else {
            return Err(KeyError::SeedFile);
        };
        let key = Self::from_seed(&seed);
        seed.zeroize();
        Ok(key)
    }

    /// The text of the seed file of this key, with a line end. It is the secret.
    pub fn to_seed_file(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(self.0.as_bytes()));
        // Built in one allocation: growing would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(FILE_HEADER.len() + 46));
        for part in [FILE_HEADER, " ", encoded.as_str(), "\n"] {
            text.push_str(part);
        }
        text
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl Signer for SigningKey {
    fn public_key(&self) -> PublicKey {
        Self::public_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature(self.0.sign(message).to_bytes()))
    }

    /// The seed.
    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        Ok(Zeroizing::new(self.0.to_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public_key().thumbprint())
    }
}
