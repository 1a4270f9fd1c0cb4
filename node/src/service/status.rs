//! From domain errors to gRPC status: the only place where one for clients and operators is made.
//!
//! Every status carries `google.rpc.ErrorInfo` with a stable reason and the domain `aimslog`, every
//! refused request a `BadRequest` with one field violation per broken rule, and what is worth
//! repeating a `RetryInfo`. The message is for the caller; causes go to the log of the node.

use aimslog_proto::reason::{Reason, Violation};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The domain of every reason.
pub const DOMAIN: &str = "aimslog";
/// Most violations that a status carries; results of a batch carry theirs in the response.
const VIOLATIONS_MAX: usize = 32;

/// One broken rule, as it travels in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Broken {
    field: String,
    /// The text of a reason; another node may know more of them than this one.
    reason: String,
    rule: String,
}

/// A call that failed: one reason, and what the caller needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    reason: Reason,
    message: String,
    fields: Vec<Broken>,
    metadata: Vec<(Cow<'static, str>, String)>,
    /// When to come again, where that is known; the reason decides where it is not.
    retry: Option<Duration>,
}

impl Failure {
    /// A failure for `reason`, in words for the caller.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            fields: Vec::new(),
            metadata: Vec::new(),
            retry: None,
        }
    }

    /// A malformed request: one field that breaks a rule.
    pub fn field(reason: Reason, field: &str, rule: &str) -> Self {
        Self::violations(&[Violation::new(reason, field, rule)])
    }

    /// A request that breaks rules; the first one gives the reason.
    pub fn violations(violations: &[Violation]) -> Self {
        let fields = violations
            .iter()
            .map(|violation| Broken {
                field: violation.field.clone(),
                reason: violation.reason.as_str().to_owned(),
                rule: violation.sentence(),
            })
            .collect();
        let (reason, message) = match violations.first() {
            Some(first) => (first.reason, first.to_string()),
            None => (Reason::InvalidRequest, "the request was refused".to_owned()),
        };
        Self {
            reason,
            message,
            fields,
            metadata: Vec::new(),
            retry: None,
        }
    }

    /// An error of ours: the cause goes to the log, the caller learns only that it happened.
    pub fn internal(what: &'static str, cause: &dyn std::error::Error) -> Self {
        tracing::error!(cause = %Chain(cause), "{what}");
        Self::new(
            Reason::Internal,
            "an error inside the node; its log has the cause",
        )
    }

    /// What another node refused, with its reason and all that it says to it; a status without one of
    /// ours is an error there.
    pub fn relayed(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let told = info.and_then(|info| Some((Reason::from_text(&info.reason)?, &info.metadata)));
        match told {
            Some((reason, facts)) => {
                let facts = facts.iter();
                let fields = details.bad_request().map(|bad| &bad.field_violations);
                let fields = fields.into_iter().flatten();
                Self {
                    fields: fields
                        .map(|broken| Broken {
                            field: broken.field.clone(),
                            reason: broken.reason.clone(),
                            rule: broken.description.clone(),
                        })
                        .collect(),
                    metadata: facts
                        .map(|(key, value)| (Cow::Owned(key.clone()), value.clone()))
                        .collect(),
                    retry: details.retry_info().and_then(|info| info.retry_delay),
                    ..Self::new(reason, status.message())
                }
            }
            // It may have been done before the answer was lost.
            None => Self::new(
                Reason::OutcomeUnknown,
                "the leader's answer was lost; send again",
            ),
        }
    }

    /// The same, with one more fact for programs.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl std::fmt::Display) -> Self {
        self.metadata.push((Cow::Borrowed(key), value.to_string()));
        self
    }

    /// The same, to be repeated after this time.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry = Some(delay);
        self
    }

    /// Its reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

/// An error and its causes, joined by colons.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> = failure
            .metadata
            .into_iter()
            .map(|(key, value)| (key.into_owned(), value))
            .collect();
        details.set_error_info(failure.reason.as_str(), DOMAIN, metadata);
        let fields: Vec<FieldViolation> = failure
            .fields
            .into_iter()
            .take(VIOLATIONS_MAX)
            .map(|broken| FieldViolation {
                reason: broken.reason,
                ..FieldViolation::new(broken.field, broken.rule)
            })
            .collect();
        if !fields.is_empty() {
            details.set_bad_request(fields);
        }
        if let Some(delay) = failure.retry.or_else(|| retry_delay(failure.reason)) {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(code(failure.reason), failure.message, details)
    }
}

/// When it makes sense to try again, where it does at all.
fn retry_delay(reason: Reason) -> Option<Duration> {
    let millis = match code(reason) {
        Code::Unavailable | Code::DeadlineExceeded => 200,
        // Half of what the queue holds is answered by then.
        Code::ResourceExhausted if reason == Reason::Overloaded => 1_000,
        Code::ResourceExhausted if reason == Reason::QuotaExceeded => 1_000,
        Code::ResourceExhausted if reason == Reason::DiskFull => 10_000,
        _ => return None,
    };
    Some(Duration::from_millis(millis))
}

/// The canonical code of a reason. `UNKNOWN` is given to none; a test says so.
pub fn code(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        malformed if is_malformed(malformed) => Code::InvalidArgument,
        R::UnknownKey
        | R::RevokedKey
        | R::KeyPurpose
        | R::NotPermitted
        | R::TooFewOperators
        | R::ForeignRecords
        | R::WrongIssuer => Code::PermissionDenied,
        R::Expired
        | R::MissingLinkTarget
        | R::VersionConflict
        | R::InvalidTransition
        | R::GuardFailed
        | R::RulesOutdated
        | R::OrganizationSuspended
        | R::LastAdministrator
        | R::LastOperator
        | R::FailedPrecondition
        | R::WouldLoseQuorum => Code::FailedPrecondition,
        R::AlreadyLogged | R::IdConflict | R::KeyInUse | R::AlreadyInitialized => {
            Code::AlreadyExists
        }
        R::BeyondTree => Code::OutOfRange,
        R::NotFound | R::NotVisible | R::HeadNotFound => Code::NotFound,
        R::Unauthenticated => Code::Unauthenticated,
        R::NotLeader
        | R::NoQuorum
        | R::NoHead
        | R::NotInitialized
        | R::StaleRegistry
        | R::Amnesia
        | R::NodeRemoved
        | R::ShuttingDown => Code::Unavailable,
        R::OutcomeUnknown => Code::DeadlineExceeded,
        R::Overloaded | R::QuotaExceeded | R::DiskFull => Code::ResourceExhausted,
        R::Fork | R::Corrupt => Code::DataLoss,
        R::Internal => Code::Internal,
        _ => Code::Unknown,
    }
}

/// Whether it is about the bytes of the request, whatever the state of the ledger.
fn is_malformed(reason: Reason) -> bool {
    use Reason as R;
    matches!(
        reason,
        R::CborMalformed
            | R::CborNotCanonical
            | R::JsonMalformed
            | R::JsonNotCanonical
            | R::WrongTag
            | R::DetachedPayload
            | R::UnknownAlgorithm
            | R::UnknownHeader
            | R::MissingHeader
            | R::InvalidHeader
            | R::WrongSignature
            | R::WrongPossession
            | R::InvalidKey
            | R::WrongAudience
            | R::IssuedInFuture
            | R::UnknownKind
            | R::UnknownVersion
            | R::UnknownField
            | R::MissingField
            | R::DuplicateField
            | R::SwappedField
            | R::InvalidField
            | R::HeaderMismatch
            | R::InvalidSalt
            | R::DuplicateSalt
            | R::CommitmentMismatch
            | R::InvalidProof
            | R::UnknownControl
            | R::UnknownCatalogue
            | R::StatementTooLarge
            | R::DisclosureTooLarge
            | R::RecordTooLarge
            | R::BatchTooLarge
            | R::PageTooLarge
            | R::BlobTooLarge
            | R::BlobMismatch
            | R::InvalidRequest
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_and_travels_in_the_status() {
        for reason in Reason::all() {
            assert_ne!(code(reason), Code::Unknown, "{reason} has no code");
            assert_ne!(code(reason), Code::Ok, "{reason}");
            let status = Status::from(Failure::new(reason, "words").with("leader", 3));
            assert_eq!(status.code(), code(reason));
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!(info.reason, reason.as_str());
            assert_eq!(info.domain, DOMAIN);
            assert_eq!(info.metadata.get("leader").map(String::as_str), Some("3"));
        }
    }

    #[test]
    fn violations_become_field_violations_within_the_cap() {
        let violations: Vec<Violation> = (0..100)
            .map(|n| Violation::new(Reason::InvalidField, format!("record.f{n}"), "rule"))
            .collect();
        let status = Status::from(Failure::violations(&violations));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let fields = &details.bad_request().unwrap().field_violations;
        assert_eq!(fields.len(), VIOLATIONS_MAX);
        assert_eq!(fields[0].field, "record.f0");
    }

    #[test]
    fn a_relayed_refusal_keeps_all_it_says_and_a_lost_answer_is_an_unknown_outcome() {
        let violation = Violation::new(Reason::UnknownKey, "header.kid", "a known key").found("x");
        let told = Status::from(Failure::violations(&[violation]));
        let relayed = Status::from(Failure::relayed(&told));
        assert_eq!(relayed.code(), told.code());
        assert_eq!(relayed.message(), told.message());
        let fields = |status: &Status| {
            let details = status.get_error_details();
            let fields = details.bad_request().unwrap().field_violations.clone();
            let words = fields
                .into_iter()
                .map(|broken| (broken.field, broken.reason, broken.description));
            words.collect::<Vec<_>>()
        };
        assert_eq!(fields(&relayed), fields(&told));
        let [(field, reason, rule)] = &fields(&told)[..] else {
            panic!("one violation is one field violation")
        };
        assert_eq!(
            (field.as_str(), reason.as_str(), rule.as_str()),
            ("header.kid", "UNKNOWN_KEY", "a known key (found x)")
        );
        let mut details = ErrorDetails::new();
        let facts = HashMap::from([("newest".to_owned(), "7".to_owned())]);
        details.set_error_info(Reason::VersionConflict.as_str(), DOMAIN, facts.clone());
        details.set_retry_info(Some(Duration::from_secs(3)));
        let told = Status::with_error_details(Code::FailedPrecondition, "words", details);
        let relayed = Status::from(Failure::relayed(&told)).get_error_details();
        assert_eq!(relayed.error_info().unwrap().metadata, facts);
        let delay = relayed.retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_secs(3)));
        let lost = Failure::relayed(&Status::unavailable("connection reset"));
        assert_eq!(lost.reason(), Reason::OutcomeUnknown);
    }

    #[test]
    fn only_what_may_pass_by_itself_is_worth_a_retry() {
        for reason in Reason::all() {
            let status = Status::from(Failure::new(reason, "words"));
            let retry = status.get_error_details().retry_info().is_some();
            let passing = matches!(
                code(reason),
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
            );
            assert_eq!(retry, passing, "{reason}");
        }
    }

    #[test]
    fn internal_errors_do_not_show_their_cause() {
        let cause = std::io::Error::other("secret path");
        let status = Status::from(Failure::internal("test", &cause));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
    }
}
