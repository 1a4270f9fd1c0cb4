//! Which texts may stand in a header. None of them is free text: names stand in disclosures.

use crate::limits::{ID_BYTES_MAX, ORIGIN_BYTES_MAX, URI_BYTES_MAX, WORD_BYTES_MAX};

/// Whether `text` is an id of an organisation, principal or system: `[a-z0-9][a-z0-9-]{0,62}`.
pub(super) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= ID_BYTES_MAX
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

/// Whether `text` is the name of a kind, without family and version: `[a-z][a-z0-9_-]{0,62}`.
pub(crate) fn is_kind(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= ID_BYTES_MAX
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| plain(byte) || matches!(byte, b'-' | b'_'))
}

/// Whether `text` is a relation, a state or a scheme: `[a-z0-9][a-z0-9._-]{0,63}`.
pub(crate) fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= WORD_BYTES_MAX
        && text.bytes().next().is_some_and(plain)
        && text
            .bytes()
            .all(|byte| plain(byte) || matches!(byte, b'.' | b'-' | b'_'))
}

/// Whether `text` may be the id of a control: 1 to 64 visible ASCII characters.
pub(super) fn is_control_id(text: &str) -> bool {
    is_visible(text, WORD_BYTES_MAX)
}

/// Whether `text` may be the origin of a log: 1 to 255 visible ASCII characters without `+`.
pub(super) fn is_origin(text: &str) -> bool {
    is_visible(text, ORIGIN_BYTES_MAX) && !text.contains('+')
}

/// Whether `text` begins with `prefix`, goes on, and is at most 512 visible ASCII characters.
pub(super) fn is_uri(text: &str, prefix: &str) -> bool {
    is_visible(text, URI_BYTES_MAX)
        && text
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
}

fn is_visible(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
