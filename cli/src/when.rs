//! Days, times and places of the log, as people type them.

use aimslog_proto::time::{UnixMillis, UnixSeconds};
use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use crate::exit::UserError;

/// Which end of a day a date stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// Its first second.
    First,
    /// Its last second.
    Last,
}

/// A day or an RFC 3339 time, in seconds. `what` names it in a refusal.
pub(crate) fn seconds(text: &str, (what, bound): (&str, Bound)) -> Result<UnixSeconds> {
    parse(text, bound).ok_or_else(|| UserError::usage(format!("{what} {text}: {TIME_RULE}")))
}

const TIME_RULE: &str = "a day such as 2027-03-01, or a time such as 2027-03-01T08:00:00Z";

fn parse(text: &str, bound: Bound) -> Option<UnixSeconds> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let time = match (day, bound) {
        (Ok(day), Bound::First) => Ok(day.midnight().assume_utc()),
        (Ok(day), Bound::Last) => Ok(day.with_time(last_second()).assume_utc()),
        (Err(_), _) => OffsetDateTime::parse(text, &Rfc3339),
    };
    let seconds = time.ok().map(OffsetDateTime::unix_timestamp);
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(UnixSeconds)
}

const fn last_second() -> Time {
    time::macros::time!(23:59:59)
}

/// One end of a range of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In front of this entry.
    Index(LeafIndex),
    /// Registered at this time or later, or, as the upper end, before it.
    Time(UnixMillis),
}

/// The lower end of a range: an index, or a day or time from which on.
pub(crate) fn lower_end(text: &str) -> Result<End, String> {
    end(text, Bound::First, 0)
}

/// The upper end of a range: an index in front of which it ends, or its last day or second.
pub(crate) fn upper_end(text: &str) -> Result<End, String> {
    // What belongs to it was registered before the next second.
    end(text, Bound::Last, 1)
}

fn end(text: &str, bound: Bound, seconds_more: u64) -> Result<End, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let index = text.parse();
        let index = index.map_err(|_too_large| format!("{text} is no index"))?;
        return Ok(End::Index(LeafIndex(index)));
    }
    let seconds = parse(text, bound).ok_or_else(|| format!("an index, or {TIME_RULE}"))?;
    let millis = seconds.0.saturating_add(seconds_more).saturating_mul(1_000);
    Ok(End::Time(UnixMillis(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_with_its_last_day() {
        assert_eq!(lower_end("17"), Ok(End::Index(LeafIndex(17))));
        assert_eq!(upper_end("17"), Ok(End::Index(LeafIndex(17))));
        let time = |seconds: u64| Ok(End::Time(UnixMillis(seconds * 1_000)));
        assert_eq!(lower_end("2027-01-15"), time(1_799_971_200));
        assert_eq!(upper_end("2027-01-15"), time(1_799_971_200 + 86_400));
        assert_eq!(lower_end("2027-01-15T08:00:00Z"), time(1_800_000_000));
        assert_eq!(upper_end("2027-01-15T08:00:00Z"), time(1_800_000_001));
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_one_is() {
        for bad in [
            "",
            "-1",
            "1x",
            "99999999999999999999",
            "2027-13-01",
            "yesterday",
            "1960-01-01",
        ] {
            let refused = lower_end(bad).unwrap_err();
            assert!(refused.contains("index"), "{bad}: {refused}");
        }
        let refused = seconds("soon", ("--claimed-from", Bound::First)).unwrap_err();
        assert!(
            refused.to_string().contains("--claimed-from soon"),
            "{refused}"
        );
    }
}
