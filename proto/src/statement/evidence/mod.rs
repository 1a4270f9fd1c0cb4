//! The evidence file, `.evidence.json`: one or many records with all that is needed to check them
//! offline, given nothing but the policy file.
//!
//! # Format
//!
//! One JSON object, UTF-8, at most [`crate::limits::EVIDENCE_BYTES_MAX`] bytes. White space and the order of members are
//! free; unknown members, members that stand twice, and missing ones are errors. Byte strings are
//! standard base64 with padding. Nothing in the file is hashed or signed as JSON: what is signed
//! stands in it verbatim.
//!
//! | member | content |
//! |---|---|
//! | `format` | `"aimslog-evidence/v1"` |
//! | `origin` | name of the log |
//! | `head` | `{"checkpoint", "receipt"}`: the cosigned checkpoint (C2SP signed note, verbatim text) under which everything in the file stands, and `{"protected", "signature"}`, the part of a COSE receipt that is the same for every entry under that head |
//! | `records` | 1 to 10,000, strictly ascending by index: `{"index", "statement", "fields", "field_proof", "registered_at_ms"?, "register_number"?}` |
//! | `records[].statement` | base64 of the log entry: the Signed Statement with tag 18 and empty unprotected header |
//! | `records[].fields` | `[{"index", "disclosure"}]`, strictly ascending: position in the field list of the kind, and the disclosure's bytes as a string, itself the JSON array `[salt, name, value]` |
//! | `records[].field_proof` | base64 hashes of 32 bytes: the multi-proof of these fields under the commitment in the statement (bottom level first, left to right); empty where all fields are shown or none |
//! | `records[].registered_at_ms`, `.register_number` | claims of the service, not covered by the proof |
//! | `chain` | 1 to 10,000, strictly ascending by index: `{"index", "statement"}`, the system records that lead from genesis (index 0) to the signers of the records |
//! | `proof` | base64 hashes: one multi-proof for the indices of `records` and `chain` together under `head` |
//! | `heads` | 0 to 64, strictly ascending by size: `{"checkpoint", "consistency"}`: other cosigned checkpoints of the log, each with the base64 hashes of its consistency proof with `head` (from the smaller to the larger). One that does not cover a record says after when it was logged, one that does says not later than when |
//! | `policy_steps` | 0 to 1,024: `{"checkpoint", "index", "proof"}`, strictly ascending: heads that led over changes of policy. The checkpoint satisfies the policy before and after, or is that of several changes in a row and satisfies the policy before the first and after the last; `proof` is the inclusion proof in it of the `ledger.policy` record at `index`, which stands in `chain` with those of all changes |
//!
//! # Checking
//!
//! [`verify`] recomputes everything: checkpoint against policy, one root for all entries, genesis
//! and the chain through [`crate::system::registry`], each statement's signature with the key that
//! the chain gives, each field against the commitment and the frozen field list of the kind.

mod build;
mod chain;
mod file;
mod heads;
mod input;
mod record;
mod render;
mod report;
mod verdict;
mod walk;

pub use build::{Held, ShowError, Shown};
pub use file::{
    EvidenceError, EvidenceFile, FORMAT, FileEntry, FileField, FileHead, FileRecord, OtherHead,
    PolicyStep,
};
pub use render::printable;
pub use report::{
    Code, CosignerReport, EntryReport, FieldReport, Finding, HeadReport, HeldOutside, Input,
    KeyNow, OperatorsReport, RecordReport, Report, SignerReport, TimeBracket, Verdict, Weight,
};
pub use verdict::{FieldLists, Options, SavedHead, verify};
pub use walk::{PolicyWalk, WalkError, walk_policies};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
