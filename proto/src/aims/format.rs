//! Forms of text values.

use super::catalog::{ControlClaim, Schemes, is_own_id};
use super::schema::Format;
use crate::limits::{DECIMAL_DIGITS_MAX, TEXT_BYTES_MAX};
use crate::reason::{Reason, Violation};
use crate::statement::header::is_word;

/// Checks a text against its form; `path` is for the message.
pub(super) fn check(
    path: &str,
    format: Format,
    text: &str,
    schemes: &Schemes,
) -> Result<(), Violation> {
    if format == Format::Control {
        return check_control(path, text, schemes);
    }
    let (is_valid, rule) = match format {
        Format::Text => (
            is_text(text),
            "a text is 1 to 16384 bytes long and holds no control characters but line feed and tab",
        ),
        Format::Id => (is_id(text), "an id is `[a-z0-9][a-z0-9-]{0,62}`"),
        Format::Sha256 => (
            text.len() == 64 && text.bytes().all(is_lower_hex),
            "a SHA-256 digest is 64 lower-case hexadecimal digits",
        ),
        Format::Decimal => (
            is_decimal(text),
            "a decimal is digits without needless leading zero, with an optional minus and an optional fraction, 34 digits at most",
        ),
        Format::MediaType => (
            is_media_type(text),
            "a media type is `type/subtype` in lower case, without parameters",
        ),
        Format::EntryId => (
            is_entry_id(text),
            "an entry id is 32 bytes in base64url without padding, 43 characters",
        ),
        Format::Reference => (
            is_line(text, 256),
            "a reference is 1 to 256 characters on one line without space at the ends",
        ),
        Format::FileName => (
            is_line(text, 255) && !text.contains(['/', '\\']) && text != "." && text != "..",
            "a file name is 1 to 255 characters without path, and neither `.` nor `..`",
        ),
        Format::Control => return check_control(path, text, schemes),
    };
    if is_valid {
        return Ok(());
    }
    Err(Violation::new(Reason::InvalidField, path, rule).found(text))
}

/// Whether a text says that there is nothing to say yet.
pub fn is_placeholder(text: &str) -> bool {
    const PLACEHOLDERS: [&str; 13] = [
        "tbd",
        "t.b.d.",
        "tba",
        "tbc",
        "todo",
        "to do",
        "n/a",
        "na",
        "xxx",
        "sdf",
        "asdf",
        "placeholder",
        "lorem ipsum",
    ];
    let text = text.trim().to_lowercase();
    PLACEHOLDERS.contains(&text.as_str()) || !text.chars().any(char::is_alphanumeric)
}

fn check_control(path: &str, text: &str, schemes: &Schemes) -> Result<(), Violation> {
    let Some((scheme, id)) = text.split_once('/') else {
        let rule = "a control is `scheme/id`, for example `iso42001-2023/A.9.2`";
        return Err(Violation::new(Reason::InvalidField, path, rule).found(text));
    };
    if schemes.scheme(scheme).is_none() && is_word(scheme) && is_own_id(id) {
        // A catalogue that the organisation may have logged: the header names the control as well
        // (see `record`), and there the ledger judges it.
        return Ok(());
    }
    schemes.check(path, ControlClaim { scheme, id }).map(drop)
}

fn is_text(text: &str) -> bool {
    let is_allowed = |c: char| !c.is_control() || c == '\n' || c == '\t';
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.chars().all(is_allowed)
}

fn is_line(text: &str, chars_max: usize) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control)
}

/// Whether a text is an organisation, principal or system id.
pub(super) fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= crate::limits::ID_BYTES_MAX
        && text.bytes().next().is_some_and(is_allowed)
        && text.bytes().all(|byte| is_allowed(byte) || byte == b'-')
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let digits = whole.len() + fraction.map_or(0, str::len);
    let is_zero = unsigned.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    is_digits(whole)
        && fraction.is_none_or(is_digits)
        && (whole == "0" || !whole.starts_with('0'))
        && digits <= DECIMAL_DIGITS_MAX
        && !(is_zero && text.starts_with('-'))
}

fn is_media_type(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte)
        };
        part.bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && part.len() <= 127
            && part.bytes().all(is_allowed)
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| is_part(kind) && is_part(subtype))
}

fn is_entry_id(text: &str) -> bool {
    crate::statement::id::EntryId::parse(text).is_ok()
}

/// A point in time of a record, ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(i128);

impl Instant {
    /// Reads the strict form: RFC 3339 in UTC, `2026-11-02T08:15:00Z`, with a fraction of 3, 6 or 9
    /// digits only where it is not zero and as short as that allows.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fraction = match text.len() {
            20 => "",
            24 | 27 | 30 => text.get(19..)?.strip_prefix('.')?.strip_suffix('Z')?,
            _ => return None,
        };
        let is_shape = text
            .bytes()
            .enumerate()
            .take(19)
            .all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                10 => byte == b'T',
                13 | 16 => byte == b':',
                _ => byte.is_ascii_digit(),
            });
        let is_short = !fraction.ends_with("000") && fraction.bytes().all(|b| b.is_ascii_digit());
        // A leap second has no place on the time line that the order of times is checked on.
        let is_leap = text.get(17..19) == Some("60");
        if !is_shape || !is_short || is_leap || !text.ends_with('Z') {
            return None;
        }
        Self::parse_any(text).map(|(instant, _)| instant)
    }

    /// Reads any RFC 3339 time, and gives the strict form of it beside.
    pub(super) fn parse_any(text: &str) -> Option<(Self, String)> {
        use time::format_description::well_known::Rfc3339;
        let parsed = time::OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let utc = parsed.checked_to_offset(time::UtcOffset::UTC)?;
        let (date, time) = (utc.date(), utc.time());
        if !(1..=9999).contains(&date.year()) {
            return None;
        }
        let nanos = utc.nanosecond();
        let fraction = match nanos {
            0 => String::new(),
            _ if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
            _ if nanos % 1_000 == 0 => format!(".{:06}", nanos / 1_000),
            _ => format!(".{nanos:09}"),
        };
        let strict = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
        );
        Some((Self(utc.unix_timestamp_nanos()), strict))
    }
}

#[cfg(test)]
#[path = "format/tests.rs"]
mod tests;
