//! Why something was refused: stable reasons, and the violations that carry them.
//!
//! A [`Reason`] is part of the protocol: it travels as `google.rpc.ErrorInfo.reason` and in the
//! outcome of a command, so its text never changes once released. New reasons may be added.

use std::fmt;

/// A stable reason for a refusal; [`Reason::as_str`] is its text on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes are not one well-formed CBOR item.
    CborMalformed,
    /// Well-formed CBOR that is not in the one form we accept (head too long, order, tag, float).
    CborNotCanonical,
    /// The bytes are not one well-formed JSON value.
    JsonMalformed,
    /// JSON outside the strict profile (white space, float, other escape, duplicate key).
    JsonNotCanonical,
    /// The outermost CBOR tag is not 18, `COSE_Sign1`.
    WrongTag,
    /// The payload of a statement is missing from it.
    DetachedPayload,
    /// The signature algorithm is not one that the ledger accepts.
    UnknownAlgorithm,
    /// A header label, header parameter or claim that is not defined for this profile.
    UnknownHeader,
    /// A header parameter or claim that must be there is not.
    MissingHeader,
    /// A header parameter or claim has the wrong type, length or value.
    InvalidHeader,
    /// The signature does not verify.
    WrongSignature,
    /// The public key is not a valid key for its algorithm.
    InvalidKey,
    /// No such key is registered for the issuer.
    UnknownKey,
    /// The key was registered but is not valid any more.
    RevokedKey,
    /// The signer may not sign this kind of statement.
    NotPermitted,
    /// The operators have suspended the organisation: until they resume it, it reads, and takes rights back.
    OrganizationSuspended,
    /// The key is registered for another purpose: a key for reading signs no statement.
    KeyPurpose,
    /// The key is registered already: a key stands for one thing, once and for ever.
    KeyInUse,
    /// The proof of possession is not by the key that is to be registered, or for something else.
    WrongPossession,
    /// The organisation would be left without an administrator.
    LastAdministrator,
    /// Fewer operators would be left than genesis asks for.
    LastOperator,
    /// Fewer operators stand behind the statement than genesis asks for.
    TooFewOperators,
    /// An engagement about records of another organisation than the one that grants it.
    ForeignRecords,
    /// The issuer or the subject does not belong to the organisation of the key.
    WrongIssuer,
    /// The statement is addressed to another ledger.
    WrongAudience,
    /// `exp` had passed when the statement was to be registered.
    Expired,
    /// The claimed signing time lies too far ahead.
    IssuedInFuture,
    /// No such kind of record.
    UnknownKind,
    /// The kind exists, this version of it does not.
    UnknownVersion,
    /// A field name that the frozen list of the kind does not contain.
    UnknownField,
    /// A field of the frozen list that is not there.
    MissingField,
    /// A field that is there twice.
    DuplicateField,
    /// A field that stands at the index of another one.
    SwappedField,
    /// The value of a field breaks a rule of its kind.
    InvalidField,
    /// The header says something else than a disclosure, or than a record that it goes on or counts for.
    HeaderMismatch,
    /// A salt is malformed, too short or too long.
    InvalidSalt,
    /// Two disclosures of one record have the same salt.
    DuplicateSalt,
    /// The disclosures do not hash to the commitment of the statement.
    CommitmentMismatch,
    /// A proof does not lead to the root that it was checked against.
    InvalidProof,
    /// A control id that its catalogue does not contain.
    UnknownControl,
    /// A catalogue, or a version of one, that the rule bundle does not contain.
    UnknownCatalogue,
    /// The entry that a link names is not in the log.
    MissingLinkTarget,
    /// `previous` is not the newest version of the entity.
    VersionConflict,
    /// A state change that the life cycle of the kind does not allow.
    InvalidTransition,
    /// What must be true of a version in this state is not: the rule names the guard.
    GuardFailed,
    /// The statement was made under rules that are not accepted any more.
    RulesOutdated,
    /// The statement is larger than the limit.
    StatementTooLarge,
    /// A disclosure is larger than the limit.
    DisclosureTooLarge,
    /// The disclosures of a record together are larger than the limit.
    RecordTooLarge,
    /// More statements or bytes in one call than the limit.
    BatchTooLarge,
    /// More results asked for in one call than the limit.
    PageTooLarge,
    /// The attachment is larger than the limit.
    BlobTooLarge,
    /// The attachment does not have the digest that it was announced with.
    BlobMismatch,
    /// The request itself is malformed (an identifier, a range, a missing part).
    InvalidRequest,
    /// The same record is in the log already. Never an error of ours: `Accepted.already_logged` says it.
    AlreadyLogged,
    /// The unique id of the statement was used before with other bytes.
    IdConflict,
    /// A proof was asked for at an index or a size that no published head covers.
    BeyondTree,
    /// There is no such thing.
    NotFound,
    /// The caller has shown no valid identity.
    Unauthenticated,
    /// The node does not lead; the metadata names the leader where it is known.
    NotLeader,
    /// The node cannot reach a majority.
    NoQuorum,
    /// The node has not heard from a leader lately, so it does not know who may read.
    StaleRegistry,
    /// The outcome is not known in time: send the same bytes again.
    OutcomeUnknown,
    /// More is waiting than can be answered soon; nothing of this was taken. Try again after `RetryInfo`.
    Overloaded,
    /// The principal or its organisation used up its allowance; nothing of the call was taken. Try again after `RetryInfo`.
    QuotaExceeded,
    /// Too little room on the disks of a majority, or of the leader with nobody to lead in its place; nothing was stored.
    DiskFull,
    /// The node must not take part: its memory of its own votes and signatures is incomplete.
    Amnesia,
    /// Two answers that contradict each other were seen; the node keeps both, and its alarm names them.
    Fork,
    /// The data of the node contradict what it must hold.
    Corrupt,
    /// The request is not possible in the present state of the cluster.
    FailedPrecondition,
    /// The node is shutting down.
    ShuttingDown,
    /// The record does not exist or is not for the caller: the two look alike.
    NotVisible,
    /// No published head of that size was kept.
    HeadNotFound,
    /// No head has been published yet.
    NoHead,
    /// The cluster has no genesis yet.
    NotInitialized,
    /// The cluster has a genesis already.
    AlreadyInitialized,
    /// The change would leave too few voters to go on.
    WouldLoseQuorum,
    /// The operators have removed the node for ever: it takes no part and answers nothing.
    NodeRemoved,
    /// An error of ours; the log of the node has the cause.
    Internal,
}

impl Reason {
    /// The text on the wire, for example `VERSION_CONFLICT`.
    pub const fn as_str(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Every reason, in the order of their declaration.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(reason, _)| *reason)
    }

    /// The reason with this text on the wire.
    pub fn from_text(text: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(reason, _)| *reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One broken rule: which field, which rule, what was found and what would have been near it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {field}: {rule}{}{}", tail(" (found ", found.as_deref()), tail(" (nearest ", nearest.as_deref()))]
pub struct Violation {
    /// The stable reason.
    pub reason: Reason,
    /// Path of the field, for example `header.15.iss` or `justification`.
    pub field: String,
    /// The rule in words.
    pub rule: String,
    /// What was found instead, shortened by [`Violation::found`].
    pub found: Option<String>,
    /// The nearest valid value, where there is one.
    pub nearest: Option<String>,
}

/// Everything that is wrong with one thing; at least one violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The violations, in the order in which they were found.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// The reason of the first one, by which callers who look at one alone decide.
    pub fn reason(&self) -> Option<Reason> {
        self.0.first().map(|violation| violation.reason)
    }

    /// The violations themselves.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

impl From<Vec<Violation>> for Violations {
    fn from(violations: Vec<Violation>) -> Self {
        Self(violations)
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// Longest text that [`Violation::found`] keeps, in characters.
const FOUND_CHARS_MAX: usize = 120;
/// Longest text that a rule or a nearest value keeps, in characters: some name what stands in a
/// catalogue or in a life cycle, and a refusal has its place in an answer and in the log of a node.
const RULE_CHARS_MAX: usize = 1_500;

impl Violation {
    /// A violation without `found` and `nearest`; a rule that is too long is cut.
    pub fn new(reason: Reason, field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            reason,
            field: field.into(),
            rule: cut(rule.into(), RULE_CHARS_MAX),
            found: None,
            nearest: None,
        }
    }

    /// The rule with what was found and what would have been near it, for messages that name the field
    /// and the reason elsewhere.
    pub fn sentence(&self) -> String {
        let found = tail(" (found ", self.found.as_deref());
        let nearest = tail(" (nearest ", self.nearest.as_deref());
        format!("{}{found}{nearest}", self.rule)
    }

    /// The same under this rule, cut where it is too long.
    #[must_use]
    pub fn with_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = cut(rule.into(), RULE_CHARS_MAX);
        self
    }

    /// The same, with what was found: control characters escaped, long text cut.
    #[must_use]
    pub fn found(mut self, found: impl fmt::Display) -> Self {
        let text = found.to_string();
        let mut kept: String = text
            .chars()
            .take(FOUND_CHARS_MAX)
            .flat_map(char::escape_debug)
            .collect();
        if text.chars().nth(FOUND_CHARS_MAX).is_some() {
            kept.push_str("...");
        }
        self.found = Some(kept);
        self
    }

    /// The same, with the nearest valid value, cut where it is too long.
    #[must_use]
    pub fn nearest(mut self, nearest: impl Into<String>) -> Self {
        self.nearest = Some(cut(nearest.into(), RULE_CHARS_MAX));
        self
    }
}

fn cut(mut text: String, chars_max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(chars_max) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn tail(before: &str, text: Option<&str>) -> String {
    text.map(|text| format!("{before}{text})"))
        .unwrap_or_default()
}

/// Every reason with its text, in the order of declaration: `as_str` indexes it.
const TABLE: [(Reason, &str); 79] = [
    (Reason::CborMalformed, "CBOR_MALFORMED"),
    (Reason::CborNotCanonical, "CBOR_NOT_CANONICAL"),
    (Reason::JsonMalformed, "JSON_MALFORMED"),
    (Reason::JsonNotCanonical, "JSON_NOT_CANONICAL"),
    (Reason::WrongTag, "WRONG_TAG"),
    (Reason::DetachedPayload, "DETACHED_PAYLOAD"),
    (Reason::UnknownAlgorithm, "UNKNOWN_ALGORITHM"),
    (Reason::UnknownHeader, "UNKNOWN_HEADER"),
    (Reason::MissingHeader, "MISSING_HEADER"),
    (Reason::InvalidHeader, "INVALID_HEADER"),
    (Reason::WrongSignature, "WRONG_SIGNATURE"),
    (Reason::InvalidKey, "INVALID_KEY"),
    (Reason::UnknownKey, "UNKNOWN_KEY"),
    (Reason::RevokedKey, "REVOKED_KEY"),
    (Reason::NotPermitted, "NOT_PERMITTED"),
    (Reason::OrganizationSuspended, "ORGANIZATION_SUSPENDED"),
    (Reason::KeyPurpose, "KEY_PURPOSE"),
    (Reason::KeyInUse, "KEY_IN_USE"),
    (Reason::WrongPossession, "WRONG_POSSESSION"),
    (Reason::LastAdministrator, "LAST_ADMINISTRATOR"),
    (Reason::LastOperator, "LAST_OPERATOR"),
    (Reason::TooFewOperators, "TOO_FEW_OPERATORS"),
    (Reason::ForeignRecords, "FOREIGN_RECORDS"),
    (Reason::WrongIssuer, "WRONG_ISSUER"),
    (Reason::WrongAudience, "WRONG_AUDIENCE"),
    (Reason::Expired, "EXPIRED"),
    (Reason::IssuedInFuture, "ISSUED_IN_FUTURE"),
    (Reason::UnknownKind, "UNKNOWN_KIND"),
    (Reason::UnknownVersion, "UNKNOWN_VERSION"),
    (Reason::UnknownField, "UNKNOWN_FIELD"),
    (Reason::MissingField, "MISSING_FIELD"),
    (Reason::DuplicateField, "DUPLICATE_FIELD"),
    (Reason::SwappedField, "SWAPPED_FIELD"),
    (Reason::InvalidField, "INVALID_FIELD"),
    (Reason::HeaderMismatch, "HEADER_MISMATCH"),
    (Reason::InvalidSalt, "INVALID_SALT"),
    (Reason::DuplicateSalt, "DUPLICATE_SALT"),
    (Reason::CommitmentMismatch, "COMMITMENT_MISMATCH"),
    (Reason::InvalidProof, "INVALID_PROOF"),
    (Reason::UnknownControl, "UNKNOWN_CONTROL"),
    (Reason::UnknownCatalogue, "UNKNOWN_CATALOGUE"),
    (Reason::MissingLinkTarget, "MISSING_LINK_TARGET"),
    (Reason::VersionConflict, "VERSION_CONFLICT"),
    (Reason::InvalidTransition, "INVALID_TRANSITION"),
    (Reason::GuardFailed, "GUARD_FAILED"),
    (Reason::RulesOutdated, "RULES_OUTDATED"),
    (Reason::StatementTooLarge, "STATEMENT_TOO_LARGE"),
    (Reason::DisclosureTooLarge, "DISCLOSURE_TOO_LARGE"),
    (Reason::RecordTooLarge, "RECORD_TOO_LARGE"),
    (Reason::BatchTooLarge, "BATCH_TOO_LARGE"),
    (Reason::PageTooLarge, "PAGE_TOO_LARGE"),
    (Reason::BlobTooLarge, "BLOB_TOO_LARGE"),
    (Reason::BlobMismatch, "BLOB_MISMATCH"),
    (Reason::InvalidRequest, "INVALID_REQUEST"),
    (Reason::AlreadyLogged, "ALREADY_LOGGED"),
    (Reason::IdConflict, "ID_CONFLICT"),
    (Reason::BeyondTree, "BEYOND_TREE"),
    (Reason::NotFound, "NOT_FOUND"),
    (Reason::Unauthenticated, "UNAUTHENTICATED"),
    (Reason::NotLeader, "NOT_LEADER"),
    (Reason::NoQuorum, "NO_QUORUM"),
    (Reason::StaleRegistry, "STALE_REGISTRY"),
    (Reason::OutcomeUnknown, "OUTCOME_UNKNOWN"),
    (Reason::Overloaded, "OVERLOADED"),
    (Reason::QuotaExceeded, "QUOTA_EXCEEDED"),
    (Reason::DiskFull, "DISK_FULL"),
    (Reason::Amnesia, "AMNESIA"),
    (Reason::Fork, "FORK"),
    (Reason::Corrupt, "CORRUPT"),
    (Reason::FailedPrecondition, "FAILED_PRECONDITION"),
    (Reason::ShuttingDown, "SHUTTING_DOWN"),
    (Reason::NotVisible, "NOT_VISIBLE"),
    (Reason::HeadNotFound, "HEAD_NOT_FOUND"),
    (Reason::NoHead, "NO_HEAD"),
    (Reason::NotInitialized, "NOT_INITIALIZED"),
    (Reason::AlreadyInitialized, "ALREADY_INITIALIZED"),
    (Reason::WouldLoseQuorum, "WOULD_LOSE_QUORUM"),
    (Reason::NodeRemoved, "NODE_REMOVED"),
    (Reason::Internal, "INTERNAL"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_declaration_order_and_reads_back() {
        for (position, reason) in Reason::all().enumerate() {
            assert_eq!(reason as usize, position, "{reason}");
            assert_eq!(Reason::from_text(reason.as_str()), Some(reason));
            let upper = |c: char| c.is_ascii_uppercase() || c == '_';
            assert!(reason.as_str().chars().all(upper), "{reason}");
        }
        assert_eq!(Reason::all().count(), Reason::Internal as usize + 1);
        assert_eq!(Reason::from_text("OUTCOME"), None);
    }

    #[test]
    fn violation_prints_all_it_knows_and_cuts_hostile_text() {
        let violation = Violation::new(Reason::UnknownField, "justificaton", "not in the list")
            .found("a\nb".repeat(400))
            .nearest("justification");
        let text = violation.to_string();
        assert!(
            text.starts_with("UNKNOWN_FIELD: justificaton: not in the list (found a\\nb"),
            "{text}"
        );
        assert!(text.ends_with("...) (nearest justification)"), "{text}");
        assert!(text.chars().count() < 400);

        let long = "\u{e4}".repeat(9_000);
        let violation = Violation::new(Reason::InvalidField, "f", long.clone()).nearest(long);
        assert_eq!(violation.rule.chars().count(), RULE_CHARS_MAX + 3);
        assert_eq!(
            violation.nearest.as_ref().map(|text| text.chars().count()),
            Some(RULE_CHARS_MAX + 3)
        );
    }

    /// Reasons with their meanings, as the doc comments of the enum give them.
    fn documented() -> Vec<(String, String)> {
        let source = include_str!("reason.rs");
        let (_, body) = source.split_once("pub enum Reason {").expect("the enum");
        let (body, _) = body.split_once("\n}").expect("its end");
        let mut rows = Vec::new();
        let mut meaning: Vec<&str> = Vec::new();
        for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("///") {
                meaning.push(text.trim());
            } else {
                rows.push((line.trim_end_matches(',').to_owned(), meaning.join(" ")));
                meaning.clear();
            }
        }
        rows
    }

    #[test]
    fn table_in_the_proto_file_agrees() {
        let text = include_str!("../aimslog/v1/errors.proto");
        let mut table: Vec<(&str, String)> = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("// ")) {
            let is_reason = line.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            match (is_reason, line.strip_prefix("  "), table.last_mut()) {
                (true, _, _) => table.push((line, String::new())),
                (false, Some(more), Some((_, meaning))) if meaning.is_empty() => {
                    meaning.push_str(more);
                }
                (false, Some(more), Some((_, meaning))) => {
                    meaning.push(' ');
                    meaning.push_str(more);
                }
                _ => {}
            }
        }
        let names: Vec<String> = Reason::all().map(|reason| format!("{reason:?}")).collect();
        let documented = documented();
        assert_eq!(
            documented
                .iter()
                .map(|row| row.0.clone())
                .collect::<Vec<_>>(),
            names
        );
        let expected: Vec<(&str, String)> = Reason::all()
            .map(Reason::as_str)
            .zip(documented.into_iter().map(|row| row.1))
            .collect();
        assert_eq!(table, expected);
    }
}
