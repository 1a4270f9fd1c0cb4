//! What a verification found, for people and for programs.

use serde::{Serialize, Serializer};

use super::render::time;

/// The answer for a whole file. One failing record fails the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Everything that the input says was checked and holds.
    Verified,
    /// Everything was checked and holds; each limit says what weakens it.
    VerifiedWithLimits,
    /// Something is wrong; each failure says what.
    NotVerified,
    /// Nothing is known to be wrong, but something needed for an answer is missing.
    CannotTell,
}

impl Verdict {
    /// How people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::VerifiedWithLimits => "VERIFIED WITH LIMITS",
            Self::NotVerified => "NOT VERIFIED",
            Self::CannotTell => "CANNOT TELL",
        }
    }

    /// Whether the content may be relied on, with its limits.
    pub const fn is_verified(self) -> bool {
        matches!(self, Self::Verified | Self::VerifiedWithLimits)
    }
}

/// What a finding does to the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// VERIFIED WITH LIMITS at best.
    Limit,
    /// CANNOT TELL at best.
    Missing,
    /// NOT VERIFIED.
    Failure,
}

/// Stable codes of limits and failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Code {
    /// The input is no evidence file, proof, receipt or checkpoint, or a malformed one.
    InputMalformed,
    /// The file has a format that this program does not know.
    FormatUnknown,
    /// The policy is for another log.
    PolicyOfOtherLog,
    /// No log key of the policy has signed the checkpoint.
    LogKeyUnknown,
    /// The checkpoint is malformed, a signature on it by a known key is wrong, or the log key in force
    /// has not signed it.
    CheckpointWrong,
    /// The checkpoint does not have the cosignatures that the policy asks for.
    QuorumNotReached,
    /// A change of policy that does not hold.
    PolicyStepWrong,
    /// The policy is none of those that the log has had up to the checkpoint, says the file.
    PolicyNotInChain,
    /// The receipt is not one for this log, size and root.
    ReceiptWrong,
    /// A receipt without a cosigned checkpoint: a holder of the receipt key said so, no more.
    ReceiptKeyOnly,
    /// The entry that the proof or receipt is for was not given.
    StatementMissing,
    /// The entries of the file do not lead to the root of the checkpoint.
    NotUnderRoot,
    /// Genesis is not in the chain.
    GenesisMissing,
    /// The chain does not lead to the signer of an entry.
    KeyNotInChain,
    /// A system record of the chain breaks a rule.
    ChainRefused,
    /// A record that is no Signed Statement of ours.
    StatementMalformed,
    /// The signature of a record is wrong.
    StatementWrongSignature,
    /// The signer may not sign this record.
    SignerNotAllowed,
    /// The kind or its version is not known to this program, so its fields cannot be named.
    KindUnknown,
    /// The disclosed fields are not those that the statement commits to.
    FieldsWrong,
    /// Another head of the file is not one of this log's history.
    OtherHeadWrong,
    /// The log has shown two histories: the checkpoint contradicts a head that you saved.
    Fork,
    /// Nothing in the input shows that the log extends a head that you saved.
    SavedHeadNotReached,
    /// A receipt without a checkpoint, whose key you said to accept.
    ReceiptKeyAccepted,
    /// The key that signed the receipt is not known, so its signature was not checked; the
    /// cosigned checkpoint of the same size and root was.
    ReceiptKeyUnknown,
    /// The entry is in the log; who signed it was not checked, for want of a chain.
    SignerNotChecked,
    /// One operator decides alone.
    TrialOperators,
    /// Nobody outside the cluster has held a head that covers the record.
    HeldByNobodyOutside,
    /// No field of the record is shown.
    NoFieldsShown,
    /// A cosignature is dated ahead of the clock of this machine.
    DatedAhead,
    /// The policy asks for no cosignature: whoever holds the log's key can show two histories.
    NoQuorumAsked,
    /// A file that was given is named by no record shown.
    AttachmentNotNamed,
}

impl Code {
    /// What it does to the verdict.
    pub const fn weight(self) -> Weight {
        match self {
            Self::ReceiptKeyAccepted
            | Self::ReceiptKeyUnknown
            | Self::SignerNotChecked
            | Self::TrialOperators
            | Self::HeldByNobodyOutside
            | Self::NoFieldsShown
            | Self::DatedAhead
            | Self::NoQuorumAsked => Weight::Limit,
            Self::FormatUnknown
            | Self::PolicyOfOtherLog
            | Self::LogKeyUnknown
            | Self::ReceiptKeyOnly
            | Self::StatementMissing
            | Self::SavedHeadNotReached
            | Self::GenesisMissing
            | Self::KeyNotInChain
            | Self::KindUnknown => Weight::Missing,
            Self::InputMalformed
            | Self::CheckpointWrong
            | Self::QuorumNotReached
            | Self::PolicyStepWrong
            | Self::PolicyNotInChain
            | Self::ReceiptWrong
            | Self::NotUnderRoot
            | Self::ChainRefused
            | Self::StatementMalformed
            | Self::StatementWrongSignature
            | Self::SignerNotAllowed
            | Self::FieldsWrong
            | Self::OtherHeadWrong
            | Self::AttachmentNotNamed
            | Self::Fork => Weight::Failure,
        }
    }
}

/// One limit or failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable code.
    pub code: Code,
    /// What it means here, in a sentence.
    pub sentence: String,
    /// The index of the entry that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// What was verified.
    pub input: Input,
    /// The log, once the checkpoint was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadReport>,
    /// How many operators must agree, of how many, once genesis was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operators: Option<OperatorsReport>,
    /// The entry that a proof or receipt is for, once it was found to be in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryReport>,
    /// One per record that was verified, by index.
    pub records: Vec<RecordReport>,
    /// How many records the file has.
    pub records_total: usize,
    /// All limits, missing things and failures.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds what a reader found beside the input, e.g. about a file that it should name. The verdict
    /// follows.
    pub fn add(&mut self, code: Code, sentence: impl Into<String>) {
        let mut findings = Findings(std::mem::take(&mut self.findings));
        findings.add(code, sentence);
        (self.verdict, self.findings) = findings.conclude();
    }

    /// A report before anything was found.
    pub(super) const fn empty(input: Input) -> Self {
        Self {
            verdict: Verdict::CannotTell,
            input,
            head: None,
            operators: None,
            entry: None,
            records: Vec::new(),
            records_total: 0,
            findings: Vec::new(),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives references to what it serializes"
)]
fn seconds<S: Serializer>(seconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*seconds))
}

#[expect(
    clippy::ref_option,
    reason = "serde gives references to what it serializes"
)]
fn maybe_seconds<S: Serializer>(seconds: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    seconds.map(time).serialize(serializer)
}

#[expect(
    clippy::ref_option,
    reason = "serde gives references to what it serializes"
)]
fn maybe_millis<S: Serializer>(millis: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    millis
        .map(|millis| time(millis / 1000))
        .serialize(serializer)
}

/// What kind of input was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Input {
    /// An evidence file.
    EvidenceFile,
    /// A C2SP tlog-proof.
    TlogProof,
    /// A COSE receipt.
    Receipt,
    /// A checkpoint.
    Checkpoint,
    /// None of these.
    Unknown,
}

/// A head that the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadReport {
    /// Name of the log.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// Root of its tree, base64.
    pub root: String,
    /// The cosigners of the policy that signed it.
    pub cosigners: Vec<CosignerReport>,
}

/// A cosignature that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CosignerReport {
    /// Name of the key.
    pub name: String,
    /// When it cosigned, Unix seconds; in JSON RFC 3339, as every time here.
    #[serde(serialize_with = "seconds")]
    pub time: u64,
    /// Whether it is no node of the ledger.
    pub outside: bool,
}

/// How many operators must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OperatorsReport {
    /// So many.
    pub required: u64,
    /// Of so many at the founding; operators admit and revoke each other since.
    pub of: u64,
}

/// An entry that is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryReport {
    /// Its position.
    pub index: u64,
    /// How many entries the head has under which it is.
    pub size: u64,
    /// Its entry id.
    pub entry_id: String,
}

/// A record that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordReport {
    /// Its position in the log.
    pub index: u64,
    /// How many entries the head has under which it was verified.
    pub size: u64,
    /// Its entry id.
    pub entry_id: String,
    /// Kind and version, `oversight_decision.v1`.
    pub kind: String,
    /// The subject of the statement.
    pub subject: String,
    /// When it was logged, as far as cosigned heads bound it.
    pub time: TimeBracket,
    /// When the signer says to have signed it, Unix seconds.
    #[serde(serialize_with = "seconds")]
    pub signed_at_claim: u64,
    /// When the ledger says to have taken it in, Unix milliseconds.
    #[serde(
        rename = "registered_at_claim",
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_millis"
    )]
    pub registered_at_ms_claim: Option<u64>,
    /// Its number in its register, the ledger's claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register_number_claim: Option<u64>,
    /// Who signed it.
    pub signer: SignerReport,
    /// The fields that are shown.
    pub fields: Vec<FieldReport>,
    /// How many fields the record has.
    pub fields_total: u64,
    /// Who outside holds a head that covers it.
    pub held_outside: HeldOutside,
    /// What it does not show.
    pub does_not_show: Vec<String>,
}

/// Bounds of the time at which a record was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TimeBracket {
    /// Later than the newest head of the file that does not cover it, Unix seconds.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_seconds"
    )]
    pub after: Option<u64>,
    /// Not later than the oldest head of the file that covers it, Unix seconds; absent where the
    /// policy asks for no cosignature.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_seconds"
    )]
    pub not_later_than: Option<u64>,
}

/// Who signed a record, by the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerReport {
    /// The organisation.
    pub organization: String,
    /// The principal.
    pub principal: String,
    /// The pseudonym of who stands behind it.
    pub holder: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// For an AI agent, for whom it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_for: Option<String>,
    /// The principal on whose behalf the statement says it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Thumbprint of the key.
    pub key: String,
    /// The entry that registered the key; it was valid when it signed.
    pub registered_at_index: u64,
    /// How the key stands under the head of the file, as far as the file shows.
    pub key_now: KeyNow,
}

/// A key under the head of an evidence file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KeyNow {
    /// No later entry of the file retires it. One that the file leaves out would.
    NotRetiredHere,
    /// A later entry gave the principal another key.
    Rotated {
        /// That entry.
        at_index: u64,
    },
    /// A later entry revoked the principal.
    Revoked {
        /// That entry.
        at_index: u64,
        /// Why, as its administrator says.
        reason: &'static str,
    },
}

/// A disclosed field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldReport {
    /// Position in the field list.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its value in JSON; `null` is an absent field.
    pub value: serde_json::Value,
}

/// Since when and by whom outside the cluster the record is held fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HeldOutside {
    /// By nobody: until then its history is the operator's word.
    Nobody,
    /// By a witness that cosigned a head that covers it.
    Witness {
        /// Name of the witness.
        name: String,
        /// When it cosigned, Unix seconds; in JSON RFC 3339, as every time here.
        #[serde(serialize_with = "seconds")]
        since: u64,
    },
    /// By you: you saved a head that covers it.
    SavedHead {
        /// When you saved it, Unix seconds.
        #[serde(serialize_with = "seconds")]
        since: u64,
        /// Size of that head.
        size: u64,
    },
}

/// Findings as they are made; the verdict follows from them.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding about the whole input.
    pub(super) fn add(&mut self, code: Code, sentence: impl Into<String>) {
        self.0.push(Finding {
            code,
            sentence: sentence.into(),
            index: None,
        });
    }

    /// Adds a finding about one entry.
    pub(super) fn add_at(&mut self, code: Code, index: u64, sentence: impl Into<String>) {
        self.0.push(Finding {
            code,
            sentence: sentence.into(),
            index: Some(index),
        });
    }

    /// Whether anything worse than a limit was found.
    pub(super) fn fail(&self) -> bool {
        self.0
            .iter()
            .any(|finding| finding.code.weight() != Weight::Limit)
    }

    /// The verdict and the findings behind it.
    pub(super) fn conclude(self) -> (Verdict, Vec<Finding>) {
        let has = |weight| self.0.iter().any(|finding| finding.code.weight() == weight);
        let verdict = if has(Weight::Failure) {
            Verdict::NotVerified
        } else if has(Weight::Missing) {
            Verdict::CannotTell
        } else if has(Weight::Limit) {
            Verdict::VerifiedWithLimits
        } else {
            Verdict::Verified
        };
        (verdict, self.0)
    }
}
