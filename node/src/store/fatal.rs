//! The one place where a failed write stops the process.
//!
//! After an I/O error on the write path nobody knows what is on the disk: a later sync may succeed
//! although the data of the failed one is gone (Rebello et al., "Can applications recover from
//! fsync failures?", ATC 2020). Recovery is the tested path, so the process stops and starts anew.

use std::{fmt, sync::Arc};

/// What happens after an error from which the process must not go on.
///
/// [`FatalHook::abort`] is the one for production. Tests install their own with
/// [`FatalHook::new`]; whoever reports must still treat the store as lost and refuse more work.
#[derive(Clone)]
pub struct FatalHook {
    report: Arc<dyn Fn(&FatalError) + Send + Sync>,
}

/// What failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what} failed; the node must stop")]
pub struct FatalError {
    /// The operation, as a lower-case phrase.
    pub what: &'static str,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl FatalHook {
    /// Logs the error with its causes and aborts the process, without running destructors.
    pub fn abort() -> Self {
        Self::new(|error| {
            let cause = error.source.as_ref() as &dyn std::error::Error;
            tracing::error!(what = error.what, cause, "stopping after a fatal error");
            std::process::abort();
        })
    }

    /// Calls `report` for every fatal error.
    pub fn new(report: impl Fn(&FatalError) + Send + Sync + 'static) -> Self {
        Self {
            report: Arc::new(report),
        }
    }

    /// Reports the error. Returns only under a test's hook.
    pub fn fire(&self, error: &FatalError) {
        (self.report)(error);
    }
}

impl FatalError {
    pub fn new(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            what,
            source: source.into(),
        }
    }
}

impl fmt::Debug for FatalHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FatalHook")
    }
}
