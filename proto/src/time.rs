//! Points in time of the protocol. Nothing here reads a clock.

use std::fmt;

/// Whole seconds since 1970-01-01T00:00:00Z, without leap seconds: claims, heads, cosignatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds: the registration time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The whole seconds, rounded down.
    pub const fn to_seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }
}

impl From<UnixMillis> for prost_types::Timestamp {
    fn from(time: UnixMillis) -> Self {
        Self {
            seconds: i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(time.0 % 1_000 * 1_000_000).unwrap_or(0),
        }
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
