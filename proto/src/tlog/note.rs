//! Signed notes (C2SP signed-note v1.0.0): a text, an empty line, and signature lines.
//!
//! ```text
//! This is an example message.
//!
//! — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
//! ```
//!
//! A verifier knows keys by name *and* key id. With each signature line of a note it does this:
//!
//! | the line's name and id | the signature | then |
//! | --- | --- | --- |
//! | both belong to a known key | verifies | the note is signed by that key |
//! | both belong to a known key | does not verify | the whole note is refused |
//! | anything else | not looked at | the line is ignored |
//!
//! A note on which no known key has signed is refused.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer, SigningKey};
use thiserror::Error;

use super::base64;
use super::hash::hex_digit;
use crate::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use crate::time::UnixSeconds;

mod vkey;

pub(super) use vkey::verify_ed25519;
pub use vkey::{KeyMaterial, SignatureType, VerifierKey, VerifierKeyError};

/// The name of a key: 1 to 255 bytes without white space, `+` and control characters.
///
/// 255 is what the length byte of an ML-DSA cosignature can say (tlog-cosignature).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Bytes of a name at most.
    pub const LEN_MAX: usize = 255;

    /// The name, checked.
    pub fn new(name: impl Into<String>) -> Result<Self, KeyNameError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::LEN_MAX {
            return Err(KeyNameError::Length { got: name.len() });
        }
        match name
            .chars()
            .find(|c| c.is_whitespace() || c.is_control() || *c == '+')
        {
            Some(found) => Err(KeyNameError::Character { found }),
            None => Ok(Self(name)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(name: &str) -> Result<Self, KeyNameError> {
        Self::new(name)
    }
}

/// Why a text is not a key name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyNameError {
    /// Empty or too long.
    #[error("a key name has 1 to 255 bytes, found {got}")]
    Length {
        /// Bytes found.
        got: usize,
    },
    /// White space, a control character or `+`.
    #[error("a key name has no {found:?}")]
    Character {
        /// The first such character.
        found: char,
    },
}

/// Four bytes that tell keys of one name apart. Not a fingerprint: far too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they stand before a signature.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// Reads eight lower-case hexadecimal digits.
    fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().map(hex_digit).collect::<Option<_>>()?;
        let (pairs, _) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| (high << 4) | low).collect();
        if digits.len() != 8 {
            return None;
        }
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One signature line. Nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Whose signature the line says it is.
    pub name: KeyName,
    /// Which of the signer's keys the line says it is.
    pub id: KeyId,
    /// What follows the key id: at least one byte.
    signature: Vec<u8>,
}

impl NoteSignature {
    /// A line of these parts; an empty signature is refused.
    pub fn new(name: KeyName, id: KeyId, signature: Vec<u8>) -> Result<Self, NoteError> {
        if signature.is_empty() {
            return Err(NoteError::MalformedSignature { line: 0 });
        }
        Ok(Self {
            name,
            id,
            signature,
        })
    }

    /// A line of a signature that was just made, which is never empty.
    pub(super) const fn of(name: KeyName, id: KeyId, signature: Vec<u8>) -> Self {
        Self {
            name,
            id,
            signature,
        }
    }

    /// The bytes after the key id.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Reads one line without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let blob = base64::decode(blob.as_bytes())?;
        let (id, signature) = blob.split_first_chunk::<4>()?;
        if signature.is_empty() {
            return None;
        }
        let name = KeyName::new(name).ok()?;
        Some(Self {
            name,
            id: KeyId(*id),
            signature: signature.to_vec(),
        })
    }
}

impl fmt::Display for NoteSignature {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.as_bytes().as_slice(), &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, base64::encode(&blob))
    }
}

/// A text and its signature lines, well-formed and unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A note of this text, without signatures yet. The text ends with a newline.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a signed note: UTF-8, no control character but newline, split at the last empty
    /// line, at least one signature line and nothing else behind it.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { got: bytes.len() });
        }
        let note = str::from_utf8(bytes).map_err(NoteError::NotUtf8)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoEmptyLine)?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoNewlineAtEnd)?;
        let mut signatures = Vec::new();
        for (line, content) in lines.split('\n').enumerate() {
            let signature = NoteSignature::parse(content);
            signatures.push(signature.ok_or(NoteError::MalformedSignature { line })?);
            check_count(signatures.len())?;
        }
        Ok(Self { text, signatures })
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line behind the others.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        check_count(self.signatures.len() + 1)?;
        self.signatures.push(signature);
        Ok(())
    }

    /// Verifies the note with `keys`: see the table of the module.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedNote, NoteError> {
        let mut signed_by = Vec::new();
        for line in &self.signatures {
            let known = keys
                .iter()
                .find(|key| *key.name() == line.name && key.id() == line.id);
            let Some(key) = known else { continue };
            match key.verify(&self.text, line.signature()) {
                Ok(time) => signed_by.push(VerifiedSignature {
                    key: key.clone(),
                    time,
                }),
                // A key of a type that we cannot check is as good as unknown.
                Err(SignatureRefused::UnknownType) => {}
                Err(refused) => {
                    let (name, id) = (line.name.clone(), line.id);
                    return Err(NoteError::WrongSignature { name, id, refused });
                }
            }
        }
        if signed_by.is_empty() {
            return Err(NoteError::NoKnownKey);
        }
        Ok(VerifiedNote {
            text: self.text.clone(),
            signed_by,
        })
    }
}

impl fmt::Display for Note {
    /// The whole note, as it is stored and sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str("\n")?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// A text that at least one of the given keys has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    text: String,
    signed_by: Vec<VerifiedSignature>,
}

impl VerifiedNote {
    /// The signed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One item for each line that verified, in the order of the lines; at least one.
    pub fn signed_by(&self) -> &[VerifiedSignature] {
        &self.signed_by
    }
}

/// A signature that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The key that signed.
    pub key: VerifierKey,
    /// The time that a cosignature states; plain signatures have none.
    pub time: Option<UnixSeconds>,
}

/// Signs `text` with a plain Ed25519 signature (type 0x01) under `name`.
pub fn sign(text: &str, name: &KeyName, key: &SigningKey) -> NoteSignature {
    let vkey = VerifierKey::ed25519(name.clone(), &key.verifying_key());
    NoteSignature {
        name: name.clone(),
        id: vkey.id(),
        signature: key.sign(text.as_bytes()).to_bytes().to_vec(),
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong { got: text.len() });
    }
    if !text.ends_with('\n') {
        return Err(NoteError::NoNewlineAtEnd);
    }
    match text.bytes().find(|byte| *byte < 0x20 && *byte != b'\n') {
        Some(found) => Err(NoteError::ControlCharacter { found }),
        None => Ok(()),
    }
}

fn check_count(signatures: usize) -> Result<(), NoteError> {
    if signatures > NOTE_SIGNATURES_MAX {
        return Err(NoteError::TooManySignatures {
            max: NOTE_SIGNATURES_MAX,
        });
    }
    Ok(())
}

/// Why bytes are not a note, or a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("a note has at most 131072 bytes, found {got}")]
    TooLong {
        /// Bytes found.
        got: usize,
    },
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// A control character other than newline.
    #[error("the note has the control character {found:#04x}")]
    ControlCharacter {
        /// The first such byte.
        found: u8,
    },
    /// No empty line between text and signatures.
    #[error("no empty line before the signatures")]
    NoEmptyLine,
    /// The text or the note does not end with a newline.
    #[error("no newline at the end")]
    NoNewlineAtEnd,
    /// A line behind the empty line that is not a signature.
    #[error("signature line {line} is malformed")]
    MalformedSignature {
        /// The line, counted from 0 behind the empty line.
        line: usize,
    },
    /// More signature lines than we look at.
    #[error("a note has at most {max} signatures")]
    TooManySignatures {
        /// The limit.
        max: usize,
    },
    /// A key that we know did not make the signature that bears its name and id.
    #[error("the signature of {name} ({id}) does not verify")]
    WrongSignature {
        /// The name on the line.
        name: KeyName,
        /// The key id on the line.
        id: KeyId,
        /// What is wrong with it.
        #[source]
        refused: SignatureRefused,
    },
    /// No signature is from a key that we know.
    #[error("no signature is from a known key")]
    NoKnownKey,
}

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureRefused {
    /// Not the length that the type asks for.
    #[error("the signature has {got} bytes, expected {expected}")]
    WrongLength {
        /// Bytes that the type asks for.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// A cosignature dated beyond 2^63 - 1.
    #[error("the cosignature is dated {time}, beyond 2^63 - 1")]
    TimeTooLarge {
        /// The time found.
        time: UnixSeconds,
    },
    /// The key did not make this signature over this text.
    #[error("the signature does not fit key and text")]
    Mismatch,
    /// A type of signature that we cannot check.
    #[error("the signature type of the key is unknown")]
    UnknownType,
}

#[cfg(test)]
mod tests;
