//! Reading records from files and standard input, and the attachments that they name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aimslog_client::form::{Draft, Notation, read_drafts};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Located, RecordError, Submission, locate};
use aimslog_proto::limits;
use aimslog_proto::reason::Violation;
use aimslog_proto::statement::header::Change;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::json::Json;
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::attach::{Given, attach};
use crate::exit::UserError;
use crate::limited::read_input;

/// Most bytes of a file of records.
const FILE_BYTES_MAX: u64 = limits::SUBMISSION_FILE_BYTES_MAX as u64;

/// A record and where it was read.
#[derive(Debug, Clone)]
pub(crate) struct FileRecord {
    /// The file, or `-` for standard input.
    pub(crate) file: PathBuf,
    /// Its position among the records of the file, from 1.
    pub(crate) number: usize,
    /// What messages call it instead, where it does not stand in the file as a record.
    pub(crate) place: Option<String>,
    /// The lines of the file at which it names its attachments, by paths.
    pub(crate) lines: Lines,
    /// The record.
    pub(crate) submission: Submission,
}

/// Lines of a file by paths such as `record.attachments[0].digest`.
pub(crate) type Lines = BTreeMap<String, usize>;

impl FileRecord {
    /// How messages call it: `file:number`, with its key where it has one.
    pub(crate) fn name(&self) -> String {
        let place = match &self.place {
            Some(place) => place.clone(),
            None => format!("{}:{}", self.file.display(), self.number),
        };
        match &self.submission.key {
            Some(key) => format!("{place} ({key})"),
            None => place,
        }
    }

    /// Where a field of an attachment is written: `file:line`, or what the record is called where it
    /// does not stand in the file as a record.
    pub(crate) fn place_of(&self, field: &str) -> String {
        let line = locate(field, None, |path| self.lines.get(path));
        match (&self.place, line) {
            (None, Some(line)) => format!("{}:{line}", self.file.display()),
            _ => self.name(),
        }
    }
}

/// A record that cannot be submitted as it stands.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// The file.
    pub(crate) file: PathBuf,
    /// Line of the file where the record begins.
    pub(crate) line: usize,
    /// Everything that is wrong with it, each with its line.
    pub(crate) violations: Vec<Located>,
}

/// All records of some files, in order, with all that is wrong with any of them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The valid ones.
    pub(crate) valid: Vec<FileRecord>,
    /// The others.
    pub(crate) invalid: Vec<Invalid>,
}

/// What the command line adds to what stands in a file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Additions<'a> {
    /// Files that belong to the one record that there is.
    pub(crate) attached: &'a [Given],
    /// The entry that the record is the next version of.
    pub(crate) amends: Option<(EntryId, Change)>,
}

/// Reads files of records, in JSON or YAML; `-` is standard input.
pub(crate) fn read_records(files: &[PathBuf], added: Additions<'_>) -> Result<Records> {
    let mut records = Records::default();
    for file in files {
        let bytes = read_input(file, FILE_BYTES_MAX, "a file of records")?;
        let extension = file.extension().and_then(|extension| extension.to_str());
        let notation = Notation::of(extension, &bytes);
        let drafts = read_drafts(RuleBundle::v1(), notation, &bytes);
        if drafts.is_empty() {
            return Err(UserError::usage(format!(
                "{} holds no record",
                file.display()
            )));
        }
        if !added.attached.is_empty() && (drafts.len() > 1 || files.len() > 1) {
            return Err(UserError::usage(
                "--attach is for a run of one record; where there are more, each names its own files",
            ));
        }
        for (number, draft) in (1..).zip(drafts) {
            match draft.and_then(|draft| finish(draft, added)) {
                Ok((submission, lines)) => {
                    records.valid.push(FileRecord {
                        file: file.clone(),
                        number,
                        place: None,
                        lines,
                        submission,
                    });
                }
                Err(error) => records.invalid.push(Invalid {
                    file: file.clone(),
                    line: error.line,
                    violations: error.violations,
                }),
            }
        }
    }
    Ok(records)
}

fn finish(mut draft: Draft<'_>, added: Additions<'_>) -> Result<(Submission, Lines), RecordError> {
    let line = draft.line;
    let lines = attachment_lines(&draft);
    if let Some(amends) = added.amends {
        amend(&mut draft.json, amends);
    }
    let located = |violation: Violation| {
        let own = locate(&violation.field, None, |path| lines.get(path).copied());
        let line = own.unwrap_or(line);
        Located { line, violation }
    };
    attach(&mut draft.json, added.attached).map_err(|found| RecordError {
        line,
        violations: found.into_iter().map(located).collect(),
    })?;
    let submission = draft.read(RuleBundle::v1())?;
    Ok((submission, lines))
}

/// Where a record names its attachments, and what it says of each.
fn attachment_lines(draft: &Draft<'_>) -> Lines {
    let list = draft.json.field("record");
    let list = list.and_then(|record| record.field("attachments"));
    let Some(Json::Array(named)) = list else {
        return Lines::new();
    };
    let count = named.len().min(limits::ATTACHMENTS_MAX);
    let members = ["", ".name", ".digest", ".size"];
    let paths = (0..count)
        .flat_map(|index| members.map(|member| format!("record.attachments[{index}]{member}")));
    let lines = paths.filter_map(|path| {
        let line = draft.line_of(&path)?;
        Some((path, line))
    });
    lines.collect()
}

/// Says in the wrapper what it is the next version of, before its state is judged.
fn amend(wrapper: &mut Json, (entry, change): (EntryId, Change)) {
    let Json::Object(parts) = wrapper else { return };
    let meta = parts.iter_mut().find(|(name, _)| name == "meta");
    // Of a wrapper without one, the reader says what is wrong.
    let Some((_, Json::Object(meta))) = meta else {
        return;
    };
    let change = match change {
        Change::Amend => "amend",
        Change::Correct => "correct",
        Change::Retract => "retract",
    };
    meta.retain(|(name, _)| name != "amends" && name != "change");
    for (name, value) in [("amends", entry.to_string()), ("change", change.to_owned())] {
        meta.push((name.to_owned(), Json::Text(value)));
    }
}

/// A file that a record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedAttachment {
    /// Its position in the list of the record.
    pub(crate) index: usize,
    /// Its name, without a path.
    pub(crate) name: String,
    /// Its SHA-256, as the record says.
    pub(crate) digest: [u8; 32],
    /// Its size in bytes, as the record says.
    pub(crate) size: Option<u64>,
}

impl NamedAttachment {
    /// The path of something that the record says of it.
    pub(crate) fn field(&self, member: &str) -> String {
        format!("record.attachments[{}].{member}", self.index)
    }
}

/// The attachments that a record names.
pub(crate) fn attachments_of(submission: &Submission) -> Vec<NamedAttachment> {
    let kind = RuleBundle::v1().kind(submission.record.kind(), submission.record.version());
    let Ok(kind) = kind else { return Vec::new() };
    let list = submission
        .record
        .fields(kind)
        .find(|(name, _)| *name == "attachments");
    let Some((_, Some(Json::Array(items)))) = list else {
        return Vec::new();
    };
    let items = items.iter().enumerate();
    items
        .filter_map(|(index, item)| named(index, item))
        .collect()
}

fn named(index: usize, item: &Json) -> Option<NamedAttachment> {
    let (Json::Text(name), Json::Text(digest)) = (item.field("name")?, item.field("digest")?)
    else {
        return None;
    };
    Some(NamedAttachment {
        index,
        name: name.clone(),
        digest: digest_of_hex(digest)?,
        size: match item.field("size") {
            Some(Json::Integer(size)) => u64::try_from(*size).ok(),
            _ => None,
        },
    })
}

fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// SHA-256 of a file of any size.
pub(crate) fn digest_of(path: &Path) -> Result<[u8; 32]> {
    let about = || format!("cannot read {}", path.display());
    let mut file = fs::File::open(path).with_context(about)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut piece).with_context(about)?;
        match piece.get(..length) {
            Some([]) | None => return Ok(hasher.finalize().into()),
            Some(read) => hasher.update(read),
        }
    }
}
