//! The wall clock: its only home in the node. Everything else gets time passed in.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the node reads the wall clock; tests bring their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970-01-01T00:00:00Z; 0 for a clock before that.
    fn unix_millis(&self) -> u64;

    /// Whole seconds since 1970-01-01T00:00:00Z.
    fn unix_seconds(&self) -> u64 {
        self.unix_millis() / 1000
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is the home of the wall clock"
    )]
    fn unix_millis(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The clock that a node of this program runs by: that of the operating system.
///
/// Builds for development put it off by so many milliseconds as the environment variable
/// `AIMSLOGD_TEST_CLOCK_OFFSET_MS` says, so that tests can start real nodes with a wrong clock. A
/// release build does not look at it.
pub fn system() -> Arc<dyn Clock> {
    #[cfg(debug_assertions)]
    if let Some(offset_ms) = std::env::var("AIMSLOGD_TEST_CLOCK_OFFSET_MS")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        return Arc::new(ShiftedClock { offset_ms });
    }
    Arc::new(SystemClock)
}

/// The clock of the operating system, put off.
#[cfg(debug_assertions)]
#[derive(Debug)]
struct ShiftedClock {
    offset_ms: i64,
}

#[cfg(debug_assertions)]
impl Clock for ShiftedClock {
    fn unix_millis(&self) -> u64 {
        SystemClock
            .unix_millis()
            .saturating_add_signed(self.offset_ms)
    }
}

/// A clock that stands where it was put.
#[derive(Debug)]
pub struct FixedClock(std::sync::atomic::AtomicU64);

impl FixedClock {
    /// Stands at so many milliseconds since 1970.
    pub fn at_millis(millis: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(millis))
    }

    /// Moves it.
    pub fn set_millis(&self, millis: u64) {
        self.0.store(millis, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn unix_millis(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Whole seconds since 1970 by the clock of the operating system, as a plain function.
pub fn unix_seconds_now() -> u64 {
    SystemClock.unix_seconds()
}
