//! Verifying offline: a policy and some bytes in, a report out. No network, no configuration.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::evidence::{self, Options, Report, SavedHead};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Policy;

/// Options of a verification at this time, with nothing else brought along: the field lists are
/// those of the rule bundles that this version knows.
pub fn options_at(now: UnixSeconds) -> Options<'static> {
    const NONE: &[SavedHead] = &[];
    Options {
        now,
        saved_heads: NONE,
        field_lists: RuleBundle::v1(),
        statement: None,
        checkpoint: None,
        receipt_key: None,
    }
}

/// Verifies an evidence file, `.tlog-proof`, receipt or checkpoint under a policy. Never fails:
/// whatever is wrong is in the report.
pub fn verify(bytes: &[u8], policy: &Policy, now: UnixSeconds) -> Report {
    evidence::verify(bytes, policy, &options_at(now))
}
