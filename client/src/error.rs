//! What can go wrong between a client and a ledger, and what the caller can do about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::tlog::TreeHead;

/// An error of a call to the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No endpoint could be reached, or none that could take the call. Nothing was stored.
    #[error("{}{}", unreachable_text(*no_majority), attempts_text(attempts))]
    Unreachable {
        /// What came of each endpoint at last, in the order of the configuration.
        attempts: Vec<Attempt>,
        /// Whether a node that answered said that it cannot reach a majority.
        no_majority: bool,
    },
    /// The call was cut off after it may have reached the ledger: send the same bytes again.
    #[error("the outcome is not known; sending the same bytes again is safe ({last})")]
    OutcomeUnknown {
        /// What the last attempt said.
        last: String,
    },
    /// The ledger refused the call, and will again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The endpoint, certificate or key that was configured cannot be used.
    #[error("{what}: {why}")]
    Configuration {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The answer does not verify. This is never a matter of trying again.
    #[error("the answer of {endpoint} does not verify: {why}")]
    Unverified {
        /// Which node gave it.
        endpoint: String,
        /// Which check failed.
        why: String,
    },
    /// The ledger has shown two heads that cannot be of one history. Keep the file and tell the
    /// certification body; trying again is no remedy.
    #[error(transparent)]
    Fork(#[from] Box<Fork>),
    /// The answer is well-formed gRPC but lacks a part that the protocol demands.
    #[error("the answer lacks {what}")]
    Malformed {
        /// The missing or malformed part.
        what: &'static str,
    },
    /// Reading or writing a file of the client failed.
    #[error("{path}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// What came of the last attempt at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its address.
    pub endpoint: String,
    /// What it said, or why it said nothing.
    pub why: String,
}

fn unreachable_text(no_majority: bool) -> &'static str {
    if no_majority {
        "no node could take the call, and one that answers sees no majority of the nodes"
    } else {
        "no node could take the call"
    }
}

/// One endpoint a line, each indented.
fn attempts_text(attempts: &[Attempt]) -> String {
    attempts.iter().fold(String::new(), |mut text, attempt| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\n  {}: {}", attempt.endpoint, attempt.why);
        text
    })
}

/// Two signed heads that cannot be of one history.
#[derive(Debug, thiserror::Error)]
#[error(
    "FORK: {endpoint} shows {shown}, which does not continue the remembered {remembered}{}",
    kept.as_ref().map(|path| format!("; both signed heads are kept in {}", path.display())).unwrap_or_default()
)]
pub struct Fork {
    /// Which node showed the other history.
    pub endpoint: String,
    /// The head that was remembered.
    pub remembered: TreeHead,
    /// The head that contradicts it.
    pub shown: TreeHead,
    /// Where both signed heads were kept.
    pub kept: Option<PathBuf>,
}

/// A refusal as it crossed gRPC: `google.rpc.ErrorInfo` and `BadRequest`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", refusal_text(self))]
pub struct Refusal {
    /// The gRPC code, e.g. `NotFound`.
    pub code: String,
    /// The stable reason, where the server gave one that this version knows.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// Further facts, e.g. the leader's address.
    pub metadata: BTreeMap<String, String>,
    /// Everything that is wrong with the request.
    pub violations: Vec<Violation>,
}

/// The violations, or where there are none, the message: that is made of the first of them.
fn refusal_text(refusal: &Refusal) -> String {
    match refusal.violations.as_slice() {
        [] => format!("{}: {}", reason_text(refusal.reason), refusal.message),
        [one] => one.to_string(),
        many => format!("{} rules are broken{}", many.len(), violations_text(many)),
    }
}

fn reason_text(reason: Option<Reason>) -> &'static str {
    reason.map_or("REFUSED", Reason::as_str)
}

/// One violation a line, each indented.
pub(crate) fn violations_text(violations: &[Violation]) -> String {
    violations
        .iter()
        .fold(String::new(), |mut text, violation| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "\n  {violation}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_says_why_and_every_violation_is_said_once() {
        let attempt = |endpoint: &str, why: &str| Attempt {
            endpoint: endpoint.to_owned(),
            why: why.to_owned(),
        };
        let attempts = vec![
            attempt("a:1", "no leader is known"),
            attempt("b:2", "refused"),
        ];
        let no_majority = true;
        let said = ClientError::Unreachable {
            attempts,
            no_majority,
        }
        .to_string();
        assert!(said.contains("no majority"), "{said}");
        assert!(
            said.ends_with("\n  a:1: no leader is known\n  b:2: refused"),
            "{said}"
        );

        let rule = |field: &str| Violation::new(Reason::InvalidRequest, field, "must not be empty");
        let mut refusal = Refusal {
            code: "InvalidArgument".to_owned(),
            reason: Some(Reason::InvalidRequest),
            message: rule("organization").to_string(),
            metadata: BTreeMap::new(),
            violations: vec![rule("organization")],
        };
        let said = refusal.to_string();
        assert_eq!(said.matches("organization").count(), 1, "{said}");
        refusal.violations.push(rule("kind"));
        let said = refusal.to_string();
        assert_eq!(said.matches("organization").count(), 1, "{said}");
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}
