//! The only place of this crate that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 on a machine whose clock stands before it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one home of the wall clock in this crate"
)]
pub fn unix_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Whole seconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub fn unix_seconds() -> u64 {
    unix_millis() / 1000
}
