//! Keys, wherever they lie: in files, plain or encrypted, and in PKCS#11 tokens.
//!
//! A key is named by a [`KeyRef`] wherever the command line takes one, and opened by [`Keys`], which
//! asks for passphrases and PINs at most once in a run.

mod file;
mod passphrase;
mod secret;
mod token;
mod uri;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use aimslog_proto::statement::key::Signer;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use file::{
    Protection, ask_new, change_passphrase, decrypt, encrypt, generate, load_plain,
};
pub(crate) use passphrase::Passphrase;
pub(crate) use secret::SecretFiles;
use uri::{TokenUri, UriError};

/// Where a key lies: a file, or an object of a token, by its PKCS#11 URI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyRef {
    /// A seed file, plain or encrypted.
    File(PathBuf),
    /// A private key that a token does not give away.
    Token(TokenUri),
}

impl KeyRef {
    /// The same key, whatever folder a later command runs in.
    pub(crate) fn absolute(&self) -> Result<Self> {
        match self {
            Self::File(path) => {
                let path = std::path::absolute(path).with_context(|| path.display().to_string());
                Ok(Self::File(path?))
            }
            Self::Token(uri) => Ok(Self::Token(uri.clone())),
        }
    }

    /// What somebody needs beside it to sign.
    pub(crate) fn protection(&self) -> Result<Protection> {
        match self {
            Self::File(path) => file::protection(path),
            Self::Token(_) => Ok(Protection::Token),
        }
    }
}

impl From<PathBuf> for KeyRef {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

impl FromStr for KeyRef {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if uri::is_pkcs11(text) {
            text.parse().map(Self::Token)
        } else {
            Ok(Self::File(PathBuf::from(text)))
        }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Token(uri) => uri.fmt(f),
        }
    }
}

impl Serialize for KeyRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Opens keys. Each is opened once, so that nobody is asked twice for the same passphrase or PIN.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    secrets: SecretFiles,
    opened: Mutex<BTreeMap<KeyRef, Arc<dyn Signer>>>,
}

impl Keys {
    /// Passphrases and PINs come from these files, or from the terminal.
    pub(crate) fn new(secrets: SecretFiles) -> Self {
        Self {
            secrets,
            opened: Mutex::default(),
        }
    }

    /// The key. May ask at the terminal, and block on a token.
    pub(crate) fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>> {
        // A panic elsewhere leaves the map whole: entries are only ever added.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = opened.get(key) {
            return Ok(Arc::clone(signer));
        }
        let signer: Arc<dyn Signer> = match key {
            KeyRef::File(path) => Arc::new(file::load(path, &self.secrets)?),
            KeyRef::Token(uri) => Arc::new(token::TokenKey::open(uri, &self.secrets)?),
        };
        opened.insert(key.clone(), Arc::clone(&signer));
        Ok(signer)
    }

    /// Makes a new key in a token, under the name that the URI gives it.
    pub(crate) fn generate_in(&self, key: &KeyRef) -> Result<Arc<dyn Signer>> {
        let KeyRef::Token(uri) = key else {
            return Err(crate::exit::UserError::usage(
                "--in takes a PKCS#11 URI: pkcs11:token=NAME;object=LABEL?module-path=LIBRARY",
            ));
        };
        Ok(Arc::new(token::TokenKey::generate(uri, &self.secrets)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_and_a_uri_a_token() {
        let key: KeyRef = "keys/my.seed".parse().unwrap();
        assert_eq!(key, PathBuf::from("keys/my.seed").into());
        let text = "pkcs11:token=t;object=me?module-path=/lib/p11.so";
        let key: KeyRef = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.absolute().unwrap(), key);
        let KeyRef::File(file) = KeyRef::from(PathBuf::from("a")).absolute().unwrap() else {
            panic!("a file stays a file");
        };
        assert!(file.is_absolute());
        assert!("pkcs11:nonsense".parse::<KeyRef>().is_err());
    }

    #[test]
    fn a_key_is_opened_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.seed");
        let made = generate(&path, None).unwrap();
        let keys = Keys::default();
        let key = KeyRef::File(path.clone());
        assert_eq!(keys.open(&key).unwrap().public_key(), made.public_key());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(keys.open(&key).unwrap().public_key(), made.public_key());
        assert!(Keys::default().open(&key).is_err());
    }
}
