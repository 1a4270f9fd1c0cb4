//! What one principal and one organisation may take of this node: calls in a second, and bytes in a
//! day.
//!
//! Each is a bucket that holds the whole allowance and fills again evenly: whoever was quiet may
//! come with a burst. Only a caller who has proven its key is charged, so nobody uses up the
//! allowance of another. Whoever sends again what is logged has proven nothing, so evidence files of that
//! come out of buckets of their own, as large as those for calls. The buckets are in memory: a node that starts, or a leader that is new,
//! begins with full ones.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use tokio::time::Instant;

use crate::service::status::Failure;

/// A burst of calls may use the allowance of so long a time at once.
const BURST: Duration = Duration::from_secs(10);
/// Bytes are counted over this time.
const DAY: Duration = Duration::from_hours(24);
/// Buckets that are looked through at once for full ones, which need not be kept.
const SWEEP_EVERY: usize = 1_024;

/// How much each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowances {
    /// Statements and reads of one principal in a second, on average over ten.
    pub principal_per_second: u32,
    /// The same of one organisation.
    pub organization_per_second: u32,
    /// Bytes of statements, disclosures and attachments that an organisation has logged in a day.
    pub organization_bytes_per_day: u64,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            principal_per_second: 5_000,
            organization_per_second: 10_000,
            organization_bytes_per_day: 64 << 30,
        }
    }
}

/// What is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// Statements, or one for a read.
    pub calls: u64,
    /// Bytes to be logged.
    pub bytes: u64,
}

/// Who is charged.
#[derive(Debug, Clone, Copy)]
pub struct Charged<'a> {
    /// The principal's key.
    pub key: &'a Thumbprint,
    /// Its organisation.
    pub organization: &'a str,
}

/// An allowance that is used up; nothing was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UsedUp {
    limit: Limit,
    /// When there is enough again.
    after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    PrincipalCalls,
    OrganizationCalls,
    OrganizationBytes,
}

/// The buckets of a node.
#[derive(Debug)]
pub struct Quotas {
    allowances: Allowances,
    buckets: Mutex<Buckets>,
    /// For what is in the log already and is sent again for its evidence file.
    repeated: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    principals: HashMap<Thumbprint, Bucket>,
    organizations: HashMap<String, [Bucket; 2]>,
    since_sweep: usize,
}

/// When a bucket is full again; so much later than now as is missing from it.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Instant,
}

/// How much a bucket holds, and how long it takes to fill.
#[derive(Debug, Clone, Copy)]
struct Size {
    holds: u64,
    fills_in: Duration,
}

impl Size {
    fn calls(per_second: u32) -> Self {
        Self {
            holds: u64::from(per_second).saturating_mul(BURST.as_secs()),
            fills_in: BURST,
        }
    }
}

impl Bucket {
    /// The bucket after `amount` was taken out. What is larger than the bucket takes a full one.
    fn after(self, now: Instant, amount: u64, size: Size) -> Result<Self, Duration> {
        let full_at = self.full_at.max(now);
        let amount = u128::from(amount.min(size.holds));
        let nanos = size.fills_in.as_nanos() * amount / u128::from(size.holds.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let missing = full_at.duration_since(now) + cost;
        match missing.checked_sub(size.fills_in) {
            None | Some(Duration::ZERO) => Ok(Self {
                full_at: full_at + cost,
            }),
            Some(after) => Err(after),
        }
    }
}

impl Quotas {
    /// Full buckets of this size.
    pub fn new(allowances: Allowances) -> Self {
        Self {
            allowances,
            buckets: Mutex::default(),
            repeated: Mutex::default(),
        }
    }

    /// Takes what is charged from the principal's and the organisation's buckets, or nothing.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`], with the time after which there is enough.
    pub fn charge(&self, who: Charged<'_>, charge: Charge) -> Result<(), Failure> {
        self.charge_at(Instant::now(), who, charge)
            .map_err(|used_up| self.refusal(used_up, who))
    }

    /// Takes so many evidence files of what was sent again from the buckets that those who signed it have
    /// for that alone.
    ///
    /// # Errors
    /// As [`Quotas::charge`].
    pub fn charge_repeated(&self, who: Charged<'_>, calls: u64) -> Result<(), Failure> {
        let charge = Charge { calls, bytes: 0 };
        self.take(&self.repeated, Instant::now(), (who, charge))
            .map_err(|used_up| self.refusal(used_up, who))
    }

    fn charge_at(&self, now: Instant, who: Charged<'_>, charge: Charge) -> Result<(), UsedUp> {
        self.take(&self.buckets, now, (who, charge))
    }

    fn take(
        &self,
        buckets: &Mutex<Buckets>,
        now: Instant,
        (who, charge): (Charged<'_>, Charge),
    ) -> Result<(), UsedUp> {
        let used_up = |limit| move |after| UsedUp { limit, after };
        let full = Bucket { full_at: now };
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let principal = buckets.principals.get(who.key).copied().unwrap_or(full);
        let own = buckets.organizations.get(who.organization).copied();
        let [calls, bytes] = own.unwrap_or([full; 2]);
        let allowed = &self.allowances;
        let principal = principal
            .after(now, charge.calls, Size::calls(allowed.principal_per_second))
            .map_err(used_up(Limit::PrincipalCalls))?;
        let size = Size::calls(allowed.organization_per_second);
        let calls = calls
            .after(now, charge.calls, size)
            .map_err(used_up(Limit::OrganizationCalls))?;
        let size = Size {
            holds: allowed.organization_bytes_per_day,
            fills_in: DAY,
        };
        let bytes = bytes
            .after(now, charge.bytes, size)
            .map_err(used_up(Limit::OrganizationBytes))?;
        buckets.principals.insert(*who.key, principal);
        let organization = who.organization.to_owned();
        buckets.organizations.insert(organization, [calls, bytes]);
        buckets.sweep(now);
        Ok(())
    }

    fn refusal(&self, used_up: UsedUp, who: Charged<'_>) -> Failure {
        let allowed = &self.allowances;
        let organization = who.organization;
        let (limit, words) = match used_up.limit {
            Limit::PrincipalCalls => (
                "principal_requests_per_second",
                format!(
                    "this principal used up its {} statements and reads per second",
                    allowed.principal_per_second
                ),
            ),
            Limit::OrganizationCalls => (
                "organization_requests_per_second",
                format!(
                    "the organisation {organization} used up its {} statements and reads per second",
                    allowed.organization_per_second
                ),
            ),
            Limit::OrganizationBytes => (
                "organization_mib_per_day",
                format!(
                    "the organisation {organization} used up its {} MiB a day",
                    allowed.organization_bytes_per_day >> 20
                ),
            ),
        };
        let words = format!("{words}; nothing of this call was taken");
        // A caller who comes a moment too early would be refused once more.
        let after = used_up.after + Duration::from_millis(1);
        Failure::new(Reason::QuotaExceeded, words)
            .with("limit", limit)
            .retry_after(after)
    }
}

impl Buckets {
    /// Forgets full buckets from time to time: they say nothing.
    fn sweep(&mut self, now: Instant) {
        self.since_sweep += 1;
        if self.since_sweep >= SWEEP_EVERY {
            self.since_sweep = 0;
            self.principals.retain(|_, bucket| bucket.full_at > now);
            self.organizations
                .retain(|_, own| own.iter().any(|bucket| bucket.full_at > now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;

    const ALLOWED: Allowances = Allowances {
        principal_per_second: 2,
        organization_per_second: 3,
        organization_bytes_per_day: 86_400,
    };

    fn key(seed: u8) -> Thumbprint {
        SigningKey::from_seed(&[seed; 32]).public_key().thumbprint()
    }

    fn calls(calls: u64) -> Charge {
        Charge { calls, bytes: 0 }
    }

    fn bytes(bytes: u64) -> Charge {
        Charge { calls: 0, bytes }
    }

    #[test]
    fn a_principal_and_its_organisation_have_their_allowances_and_nobody_elses() {
        let quotas = Quotas::new(ALLOWED);
        let now = Instant::now();
        let (one, two) = (key(1), key(2));
        let who = |key, organization| Charged { key, organization };
        let charge = |at: Instant, who, what| quotas.charge_at(at, who, what);
        assert_eq!(charge(now, who(&one, "acme"), calls(20)), Ok(()));
        let refused = charge(now, who(&one, "acme"), calls(1)).unwrap_err();
        assert_eq!(refused.limit, Limit::PrincipalCalls);
        assert_eq!(refused.after, Duration::from_millis(500));
        // The other principal has the ten that the organisation has left.
        assert_eq!(charge(now, who(&two, "acme"), calls(10)), Ok(()));
        let refused = charge(now, who(&two, "acme"), calls(1)).unwrap_err();
        assert_eq!(refused.limit, Limit::OrganizationCalls);
        assert_eq!(charge(now, who(&two, "zeta"), calls(10)), Ok(()));
        // What was refused took nothing.
        let later = now + Duration::from_millis(500);
        assert_eq!(charge(later, who(&one, "acme"), calls(1)), Ok(()));
    }

    #[test]
    fn bytes_come_back_over_a_day_and_one_large_call_is_never_refused_for_ever() {
        let quotas = Quotas::new(ALLOWED);
        let now = Instant::now();
        let one = key(1);
        let who = Charged {
            key: &one,
            organization: "acme",
        };
        assert_eq!(quotas.charge_at(now, who, bytes(1_000_000)), Ok(()));
        let refused = quotas.charge_at(now, who, bytes(60)).unwrap_err();
        assert_eq!(refused.limit, Limit::OrganizationBytes);
        assert_eq!(refused.after, Duration::from_mins(1));
        let later = now + Duration::from_mins(1);
        assert_eq!(quotas.charge_at(later, who, bytes(60)), Ok(()));
        let failure = quotas.refusal(refused, who);
        assert_eq!(failure.reason(), Reason::QuotaExceeded);
    }

    #[test]
    fn what_is_sent_again_has_an_end_and_takes_nothing_from_those_who_signed_it() {
        let quotas = Quotas::new(ALLOWED);
        let one = key(1);
        let who = Charged {
            key: &one,
            organization: "acme",
        };
        quotas.charge_repeated(who, 20).unwrap();
        let refused = quotas.charge_repeated(who, 10).unwrap_err();
        assert_eq!(refused.reason(), Reason::QuotaExceeded);
        quotas.charge(who, calls(20)).unwrap();
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let quotas = Quotas::new(ALLOWED);
        let mut now = Instant::now();
        for round in 0..SWEEP_EVERY * 4 {
            let key = key(u8::try_from(round % 251).unwrap());
            let organization = format!("org-{round}");
            let who = Charged {
                key: &key,
                organization: &organization,
            };
            now += Duration::from_secs(1);
            quotas.charge_at(now, who, calls(1)).unwrap();
        }
        let held = quotas.buckets.lock().unwrap().organizations.len();
        assert!(held <= SWEEP_EVERY, "{held} buckets");
    }
}
