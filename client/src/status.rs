//! From a gRPC status to what the caller can act upon: the only place that reads `google.rpc`.

use std::collections::BTreeMap;
use std::time::Duration;

use aimslog_proto::reason::{Reason, Violation};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::error::Refusal;

/// A call waits so long for its allowance; what takes longer the caller is told.
const QUOTA_PATIENCE: Duration = Duration::from_secs(10);

/// What to do with a failed attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Try again, elsewhere or later; nothing was stored by this attempt.
    Retry {
        /// How long the node asks to be left alone.
        after: Option<Duration>,
        /// Its reason.
        reason: Option<Reason>,
    },
    /// Try again: the attempt may have been carried out, and repeating it is safe.
    RetryUnknown,
    /// Try the others at once: this node cannot, and another one may lead by now. Final where all of
    /// them say so.
    Elsewhere(Refusal),
    /// Final.
    Final(Refusal),
}

/// Every call of the public API may be repeated safely (a statement is its own idempotency key), so
/// only the blame matters here: refusals are final, anything else is tried elsewhere.
pub(crate) fn judge(status: &Status) -> Verdict {
    let refusal = refusal(status);
    match refusal.reason {
        Some(Reason::OutcomeUnknown) => return Verdict::RetryUnknown,
        Some(
            Reason::NotLeader
            | Reason::NoQuorum
            | Reason::StaleRegistry
            | Reason::NotInitialized
            | Reason::Amnesia
            | Reason::NodeRemoved
            | Reason::Corrupt
            | Reason::ShuttingDown
            | Reason::Overloaded,
        ) => {
            return Verdict::Retry {
                after: retry_delay(status),
                reason: refusal.reason,
            };
        }
        Some(Reason::QuotaExceeded) => {
            return match retry_delay(status) {
                // Less than a call has time for anyway.
                Some(after) if after <= QUOTA_PATIENCE => Verdict::Retry {
                    after: Some(after),
                    reason: refusal.reason,
                },
                _ => Verdict::Final(refusal),
            };
        }
        Some(Reason::DiskFull) => return Verdict::Elsewhere(refusal),
        Some(_) => return Verdict::Final(refusal),
        None => {}
    }
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::Aborted => Verdict::Retry {
            after: retry_delay(status),
            reason: None,
        },
        // Cut off by the transport or by a deadline on the way: it may have arrived.
        Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
            Verdict::RetryUnknown
        }
        _ => Verdict::Final(refusal),
    }
}

fn retry_delay(status: &Status) -> Option<Duration> {
    status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
}

/// The refusal that a status carries.
pub(crate) fn refusal(status: &Status) -> Refusal {
    let info = status.get_details_error_info();
    let metadata: BTreeMap<String, String> = info
        .as_ref()
        .map(|info| info.metadata.clone().into_iter().collect())
        .unwrap_or_default();
    let violations = status
        .get_details_bad_request()
        .map(|bad| {
            bad.field_violations
                .into_iter()
                .map(|broken| {
                    let reason = Reason::from_text(&broken.reason);
                    let reason = reason.unwrap_or(Reason::InvalidRequest);
                    Violation::new(reason, broken.field, broken.description)
                })
                .collect()
        })
        .unwrap_or_default();
    Refusal {
        code: format!("{:?}", status.code()),
        reason: info.and_then(|info| Reason::from_text(&info.reason)),
        message: status.message().to_owned(),
        metadata,
        violations,
    }
}

/// A violation from its message.
pub(crate) fn violation(message: aimslog_proto::pb::v1::Violation) -> Violation {
    let reason = Reason::from_text(&message.reason).unwrap_or(Reason::Internal);
    let mut violation = Violation::new(reason, message.field, message.rule);
    if !message.found.is_empty() {
        violation = violation.found(message.found);
    }
    if !message.nearest.is_empty() {
        violation = violation.nearest(message.nearest);
    }
    violation
}
