//! Standard Base64 (RFC 4648 section 4) in its one canonical form.
//!
//! The engine refuses missing padding, stray bits and white space, so a text has one decoding and
//! a decoding one text: two signed texts never differ only in how a hash is spelled.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
