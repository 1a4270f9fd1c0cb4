//! How fast a node verifies, from what it says of itself.

use tokio::time::{Duration, Instant};

/// Entries per second that a node is taken to verify before it has shown what it can.
pub const RATE_DEFAULT: u64 = 2_000;

/// Shortest time between two looks that are compared: verification goes in stretches.
const GAP_MIN: Duration = Duration::from_millis(150);

/// The rate of late, and the look at the node from which the next one is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyRate {
    per_second: u64,
    before: Option<Look>,
}

/// How far a node was at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Entries that it had applied.
    pub applied: u64,
    /// Entries that it had verified.
    pub verified: u64,
    /// When.
    pub at: Instant,
}

impl Default for VerifyRate {
    fn default() -> Self {
        Self {
            per_second: RATE_DEFAULT,
            before: None,
        }
    }
}

impl VerifyRate {
    /// Entries per second.
    pub fn per_second(&self) -> u64 {
        self.per_second
    }

    /// The rate after another look at the node.
    ///
    /// A node that had work at both looks shows what it can. One that had none in between shows
    /// only that it can so much, and keeps the rate that it has.
    #[must_use]
    pub fn after(self, look: Look) -> Self {
        let Some(before) = self.before else {
            return Self {
                before: Some(look),
                ..self
            };
        };
        let elapsed = look.at.saturating_duration_since(before.at);
        if elapsed < GAP_MIN {
            return self;
        }
        let entries = u128::from(look.verified.saturating_sub(before.verified));
        let measured = entries.saturating_mul(1_000) / elapsed.as_millis().max(1);
        let measured = u64::try_from(measured).unwrap_or(u64::MAX);
        let busy = before.applied > before.verified && look.applied > look.verified;
        let per_second = if busy {
            self.per_second / 4 * 3 + measured / 4
        } else {
            // Quickly, for this is all that lets a leader take in more.
            self.per_second.max(self.per_second.midpoint(measured))
        };
        Self {
            per_second,
            before: Some(look),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 200 ms at a node that verifies so many entries in between.
    fn rate(looks: &[(u64, u64)]) -> u64 {
        let start = Instant::now();
        let mut rate = VerifyRate::default();
        for (number, (applied, verified)) in (0_u32..).zip(looks) {
            rate = rate.after(Look {
                applied: *applied,
                verified: *verified,
                at: start + Duration::from_millis(200) * number,
            });
        }
        rate.per_second()
    }

    #[test]
    fn only_a_busy_node_shows_that_it_is_slow() {
        let busy: Vec<(u64, u64)> = (0..40).map(|look| (100_000, look * 40)).collect();
        let idle: Vec<(u64, u64)> = (0..40).map(|look| (look * 40, look * 40)).collect();
        let fast: Vec<(u64, u64)> = (0..40).map(|look| (look * 2_000, look * 2_000)).collect();
        let rows = [
            ("never seen", vec![], RATE_DEFAULT..=RATE_DEFAULT),
            ("seen once", vec![(10, 0)], RATE_DEFAULT..=RATE_DEFAULT),
            ("busy and slow", busy, 190..=210),
            ("nothing to do", idle, RATE_DEFAULT..=RATE_DEFAULT),
            ("fast", fast, 9_500..=10_000),
            ("stands still", vec![(9_000, 5); 40], 0..=10),
        ];
        for (name, looks, expected) in rows {
            let found = rate(&looks);
            assert!(expected.contains(&found), "{name}: {found}");
        }
    }

    #[test]
    fn looks_that_follow_at_once_are_not_compared() {
        let at = Instant::now();
        let look = |verified, millis| Look {
            applied: 1_000,
            verified,
            at: at + Duration::from_millis(millis),
        };
        let rate = VerifyRate::default().after(look(0, 0)).after(look(256, 1));
        assert_eq!(rate.per_second(), RATE_DEFAULT);
        // 256 entries in 512 ms, counted from the first look: 500 a second.
        let rate = rate.after(look(256, 512));
        assert_eq!(rate.per_second(), RATE_DEFAULT / 4 * 3 + 500 / 4);
    }
}
