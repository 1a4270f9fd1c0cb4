//! Deadlines: every call has one, the caller's or ours.

use crate::limits_server::{CALL_DEADLINE_DEFAULT, CALL_DEADLINE_MAX};
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// Left for the answer to travel, so that a caller gets our reason and not its own timeout.
const MARGIN: Duration = Duration::from_millis(50);

/// When a call must be answered: `grpc-timeout` within our limit, or the default.
pub fn of(metadata: &MetadataMap) -> Instant {
    let asked = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(parse);
    let limit = asked
        .unwrap_or(CALL_DEADLINE_DEFAULT)
        .min(CALL_DEADLINE_MAX);
    // A very short deadline keeps half of itself.
    Instant::now() + limit.saturating_sub(MARGIN).max(limit / 2)
}

/// `grpc-timeout`: at most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_parse_as_the_grpc_specification_says() {
        assert_eq!(parse("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(parse("2M"), Some(Duration::from_mins(2)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("9n"), Some(Duration::from_nanos(9)));
        for bad in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "1 S",
            "123456789S",
            "1.5S",
            "1é",
            "é",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_is_the_callers_within_our_limit() {
        let after = |value: Option<&str>| {
            let mut metadata = MetadataMap::new();
            if let Some(value) = value {
                metadata.insert("grpc-timeout", value.parse().unwrap());
            }
            of(&metadata).duration_since(Instant::now())
        };
        assert_eq!(after(None), CALL_DEADLINE_DEFAULT.saturating_sub(MARGIN));
        assert_eq!(after(Some("2S")), Duration::from_millis(1_950));
        assert_eq!(after(Some("10m")), Duration::from_millis(5));
        assert_eq!(after(Some("9H")), CALL_DEADLINE_MAX.saturating_sub(MARGIN));
        assert_eq!(
            after(Some("nonsense")),
            CALL_DEADLINE_DEFAULT.saturating_sub(MARGIN)
        );
    }
}
