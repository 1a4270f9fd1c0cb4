//! Reading and writing the JSON text of an evidence file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{
    ENTRY_BYTES_MAX, EVIDENCE_BYTES_MAX, EVIDENCE_HEADS_MAX, EVIDENCE_RECORDS_MAX,
    EVIDENCE_STEPS_MAX, NOTE_BYTES_MAX, RECORD_FIELDS_MAX,
};
use crate::statement::key::Signature;
use crate::statement::receipt::{HeadReceipt, ReceiptError};
use crate::time::UnixMillis;
use crate::tlog::{Hash, LeafIndex, Origin};

/// What the member `format` says.
pub const FORMAT: &str = "aimslog-evidence/v1";

/// Why a text is not an evidence file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// More bytes than [`EVIDENCE_BYTES_MAX`].
    #[error("evidence file of {bytes} bytes, at most {EVIDENCE_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not JSON of the shape of an evidence file.
    #[error("not an evidence file")]
    Json(#[from] serde_json::Error),
    /// Another format, or another version of ours.
    #[error("format {found:?}, expected {FORMAT:?}")]
    Format {
        /// What the file says, shortened.
        found: String,
    },
    /// A member with a value that is not allowed.
    #[error("{member}: {rule}")]
    Value {
        /// Path of the member.
        member: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// The protected header of the receipt.
    #[error("head.receipt")]
    Receipt(#[from] ReceiptError),
}

/// An evidence file, parsed but not verified: nothing in it is to be believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceFile {
    /// Name of the log.
    pub origin: Origin,
    /// The head under which everything stands.
    pub head: FileHead,
    /// At least one, strictly ascending by index.
    pub records: Vec<FileRecord>,
    /// At least one, strictly ascending by index.
    pub chain: Vec<FileEntry>,
    /// Hashes of the multi-proof for all indices of records and chain.
    pub proof: Vec<Hash>,
    /// Other heads of the log.
    pub heads: Vec<OtherHead>,
    /// Changes of policy between the verifier's and the one that `head` satisfies.
    pub policy_steps: Vec<PolicyStep>,
}

/// A cosigned head with its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHead {
    /// The signed note, verbatim.
    pub checkpoint: String,
    /// What every receipt under it has in common.
    pub receipt: HeadReceipt,
}

/// A record as the file shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// Its position in the log.
    pub index: LeafIndex,
    /// The log entry.
    pub statement: Vec<u8>,
    /// The disclosures that are shown, strictly ascending by position.
    pub fields: Vec<FileField>,
    /// Hashes of the multi-proof for these fields under the commitment.
    pub field_proof: Vec<Hash>,
    /// The service's claim about when it took the entry in.
    pub registered_at: Option<UnixMillis>,
    /// The service's claim about the record's number in its register.
    pub register_number: Option<u64>,
}

/// One disclosed field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileField {
    /// Position in the field list of the kind.
    pub index: u32,
    /// The disclosure, verbatim.
    pub disclosure: String,
}

/// A system record of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its position in the log.
    pub index: LeafIndex,
    /// The log entry.
    pub statement: Vec<u8>,
}

/// Another head, consistent with the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherHead {
    /// The signed note, verbatim.
    pub checkpoint: String,
    /// Hashes of the consistency proof between it and the head of the file.
    pub consistency: Vec<Hash>,
}

/// A head that led over a change of policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStep {
    /// The signed note, verbatim; it satisfies the policy before and after. That of several changes may
    /// be the same one, which then leads over all of them.
    pub checkpoint: String,
    /// Position of the `ledger.policy` record.
    pub index: LeafIndex,
    /// Hashes of the record's inclusion proof under that head.
    pub proof: Vec<Hash>,
}

impl EvidenceFile {
    /// Reads a file strictly; the rules are those of the module's format table.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(EvidenceError::TooLarge { bytes: bytes.len() });
        }
        // The format is looked at first, so that a file of a later version is called that.
        let Format { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            let found = format.chars().take(64).collect();
            return Err(EvidenceError::Format { found });
        }
        let text: FileText = serde_json::from_slice(bytes)?;
        text.parse()
    }

    /// The text of the file, indented for people; [`EvidenceFile::parse`] reads it back.
    pub fn print(&self) -> Result<String, EvidenceError> {
        let mut text = serde_json::to_string_pretty(&FileText::of(self))?;
        text.push('\n');
        Ok(text)
    }

    /// All positions that the proof of the file is for, strictly ascending.
    pub fn indices(&self) -> Vec<LeafIndex> {
        let records = self.records.iter().map(|record| record.index);
        let mut indices: Vec<_> = records
            .chain(self.chain.iter().map(|entry| entry.index))
            .collect();
        indices.sort_unstable();
        indices
    }
}

#[derive(Deserialize)]
struct Format {
    format: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    format: String,
    origin: String,
    head: HeadText,
    records: Vec<RecordText>,
    chain: Vec<EntryText>,
    proof: Vec<String>,
    heads: Vec<OtherHeadText>,
    policy_steps: Vec<PolicyStepText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadText {
    checkpoint: String,
    receipt: ReceiptText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptText {
    protected: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordText {
    index: u64,
    statement: String,
    fields: Vec<FieldText>,
    field_proof: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registered_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    register_number: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    index: u32,
    disclosure: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    index: u64,
    statement: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherHeadText {
    checkpoint: String,
    consistency: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyStepText {
    checkpoint: String,
    index: u64,
    proof: Vec<String>,
}

impl FileText {
    fn parse(self) -> Result<EvidenceFile, EvidenceError> {
        let origin = Origin::new(&self.origin).map_err(|error| wrong("origin", error))?;
        count("records", self.records.len(), 1, EVIDENCE_RECORDS_MAX)?;
        count("chain", self.chain.len(), 1, EVIDENCE_RECORDS_MAX)?;
        count("heads", self.heads.len(), 0, EVIDENCE_HEADS_MAX)?;
        count(
            "policy_steps",
            self.policy_steps.len(),
            0,
            EVIDENCE_STEPS_MAX,
        )?;
        let records = each("records", self.records, RecordText::parse)?;
        let chain = each("chain", self.chain, EntryText::parse)?;
        ascending("records", records.iter().map(|record| record.index))?;
        ascending("chain", chain.iter().map(|entry| entry.index))?;
        let file = EvidenceFile {
            origin,
            head: self.head.parse()?,
            records,
            chain,
            proof: hashes("proof", &self.proof)?,
            heads: each("heads", self.heads, OtherHeadText::parse)?,
            policy_steps: each("policy_steps", self.policy_steps, PolicyStepText::parse)?,
        };
        ascending("records and chain together", file.indices().into_iter())?;
        Ok(file)
    }

    fn of(file: &EvidenceFile) -> Self {
        Self {
            format: FORMAT.to_owned(),
            origin: file.origin.to_string(),
            head: HeadText {
                checkpoint: file.head.checkpoint.clone(),
                receipt: ReceiptText {
                    protected: STANDARD.encode(file.head.receipt.protected()),
                    signature: STANDARD.encode(file.head.receipt.signature().as_bytes()),
                },
            },
            records: file.records.iter().map(RecordText::of).collect(),
            chain: file.chain.iter().map(EntryText::of).collect(),
            proof: print_hashes(&file.proof),
            heads: file.heads.iter().map(OtherHeadText::of).collect(),
            policy_steps: file.policy_steps.iter().map(PolicyStepText::of).collect(),
        }
    }
}

impl HeadText {
    fn parse(self) -> Result<FileHead, EvidenceError> {
        let protected = bytes(
            "head.receipt.protected",
            &self.receipt.protected,
            NOTE_BYTES_MAX,
        )?;
        let signature = bytes("head.receipt.signature", &self.receipt.signature, 64)?;
        let signature = <[u8; 64]>::try_from(signature)
            .map_err(|_other_length| wrong("head.receipt.signature", "64 bytes"))?;
        Ok(FileHead {
            checkpoint: note("head.checkpoint", self.checkpoint)?,
            receipt: HeadReceipt::from_parts(&protected, Signature(signature))?,
        })
    }
}

impl RecordText {
    fn parse(self, at: &str) -> Result<FileRecord, EvidenceError> {
        count(
            &format!("{at}.fields"),
            self.fields.len(),
            0,
            RECORD_FIELDS_MAX,
        )?;
        if !self.fields.is_sorted_by(|a, b| a.index < b.index) {
            return Err(wrong(format!("{at}.fields"), ASCENDING));
        }
        let fields = self.fields.into_iter();
        let fields = fields.map(|FieldText { index, disclosure }| FileField { index, disclosure });
        Ok(FileRecord {
            index: LeafIndex(self.index),
            statement: bytes(&format!("{at}.statement"), &self.statement, ENTRY_BYTES_MAX)?,
            fields: fields.collect(),
            field_proof: hashes(&format!("{at}.field_proof"), &self.field_proof)?,
            registered_at: self.registered_at_ms.map(UnixMillis),
            register_number: self.register_number,
        })
    }

    fn of(record: &FileRecord) -> Self {
        let fields = record.fields.iter().map(|field| FieldText {
            index: field.index,
            disclosure: field.disclosure.clone(),
        });
        Self {
            index: record.index.0,
            statement: STANDARD.encode(&record.statement),
            fields: fields.collect(),
            field_proof: print_hashes(&record.field_proof),
            registered_at_ms: record.registered_at.map(|time| time.0),
            register_number: record.register_number,
        }
    }
}

impl EntryText {
    fn parse(self, at: &str) -> Result<FileEntry, EvidenceError> {
        let statement = bytes(&format!("{at}.statement"), &self.statement, ENTRY_BYTES_MAX)?;
        Ok(FileEntry {
            index: LeafIndex(self.index),
            statement,
        })
    }

    fn of(entry: &FileEntry) -> Self {
        Self {
            index: entry.index.0,
            statement: STANDARD.encode(&entry.statement),
        }
    }
}

impl OtherHeadText {
    fn parse(self, at: &str) -> Result<OtherHead, EvidenceError> {
        Ok(OtherHead {
            checkpoint: note(&format!("{at}.checkpoint"), self.checkpoint)?,
            consistency: hashes(&format!("{at}.consistency"), &self.consistency)?,
        })
    }

    fn of(head: &OtherHead) -> Self {
        let consistency = print_hashes(&head.consistency);
        Self {
            checkpoint: head.checkpoint.clone(),
            consistency,
        }
    }
}

impl PolicyStepText {
    fn parse(self, at: &str) -> Result<PolicyStep, EvidenceError> {
        Ok(PolicyStep {
            checkpoint: note(&format!("{at}.checkpoint"), self.checkpoint)?,
            index: LeafIndex(self.index),
            proof: hashes(&format!("{at}.proof"), &self.proof)?,
        })
    }

    fn of(step: &PolicyStep) -> Self {
        let proof = print_hashes(&step.proof);
        Self {
            checkpoint: step.checkpoint.clone(),
            index: step.index.0,
            proof,
        }
    }
}

const ASCENDING: &str = "strictly ascending by index";

fn wrong(member: impl Into<String>, rule: impl std::fmt::Display) -> EvidenceError {
    EvidenceError::Value {
        member: member.into(),
        rule: rule.to_string(),
    }
}

fn count(member: &str, found: usize, least: usize, most: usize) -> Result<(), EvidenceError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(wrong(
            member,
            format_args!("{least} to {most} items, found {found}"),
        ))
    }
}

fn each<T, U>(
    member: &str,
    items: Vec<T>,
    parse: impl Fn(T, &str) -> Result<U, EvidenceError>,
) -> Result<Vec<U>, EvidenceError> {
    let items = items.into_iter().enumerate();
    items
        .map(|(position, item)| parse(item, &format!("{member}[{position}]")))
        .collect()
}

fn ascending(member: &str, indices: impl Iterator<Item = LeafIndex>) -> Result<(), EvidenceError> {
    if indices.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(wrong(member, ASCENDING))
    }
}

fn note(member: &str, text: String) -> Result<String, EvidenceError> {
    count(member, text.len(), 1, NOTE_BYTES_MAX)?;
    Ok(text)
}

fn bytes(member: &str, text: &str, most: usize) -> Result<Vec<u8>, EvidenceError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| wrong(member, error))?;
    count(member, bytes.len(), 1, most)?;
    Ok(bytes)
}

fn hashes(member: &str, texts: &[String]) -> Result<Vec<Hash>, EvidenceError> {
    let hash = |text: &String| Hash::from_base64(text).map_err(|error| wrong(member, error));
    texts.iter().map(hash).collect()
}

fn print_hashes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_base64).collect()
}
