//! Reading records from files and standard input, and the attachments that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aimslog_client::form::{Draft, Notation, read_drafts};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Located, RecordError, Submission};
use aimslog_proto::limits;
use aimslog_proto::statement::header::Change;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::json::Json;
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::attach::{Given, attach};
use crate::exit::UserError;
use crate::verb::key::hex;

/// A record and where it was read.
#[derive(Debug)]
pub(crate) struct FileRecord {
    /// The file, or `-` for standard input.
    pub(crate) file: PathBuf,
    /// Its position among the records of the file, from 1.
    pub(crate) number: usize,
    /// What messages call it instead, where it does not stand in the file as a record.
    pub(crate) place: Option<String>,
    /// The record.
    pub(crate) submission: Submission,
}

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
        let bytes = read_input(file)?;
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
                Ok(submission) => {
                    records.valid.push(FileRecord {
                        file: file.clone(),
                        number,
                        place: None,
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

fn finish(mut draft: Draft<'_>, added: Additions<'_>) -> Result<Submission, RecordError> {
    let line = draft.line;
    if let Some(amends) = added.amends {
        amend(&mut draft.json, amends);
    }
    attach(&mut draft.json, added.attached).map_err(|found| RecordError {
        line,
        violations: found
            .into_iter()
            .map(|violation| Located { line, violation })
            .collect(),
    })?;
    draft.read(RuleBundle::v1())
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

fn read_input(file: &Path) -> Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limits::SUBMISSION_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        io::stdin()
            .lock()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A file that a record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedAttachment {
    /// Its name, without a path.
    pub(crate) name: String,
    /// Its SHA-256, as the record says.
    pub(crate) digest: [u8; 32],
    /// Its size in bytes, as the record says.
    pub(crate) size: Option<u64>,
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
    items.iter().filter_map(named).collect()
}

fn named(item: &Json) -> Option<NamedAttachment> {
    let (Json::Text(name), Json::Text(digest)) = (item.field("name")?, item.field("digest")?)
    else {
        return None;
    };
    Some(NamedAttachment {
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

/// Where attachments are looked for, and which of them stay at home.
#[derive(Debug)]
pub(crate) struct AttachmentRules<'a> {
    /// The files given one by one, by their names.
    pub(crate) given: &'a BTreeMap<String, PathBuf>,
    /// The folder given, if any; otherwise beside the record's file, and in `attachments/` there.
    pub(crate) folder: Option<&'a Path>,
    /// Names of files whose digest alone is logged.
    pub(crate) digest_only: &'a [String],
    /// All of them stay at home.
    pub(crate) all_digest_only: bool,
    /// An earlier version names the same ones: nothing is looked for, nothing is stored again.
    pub(crate) known: bool,
}

/// The attachments of some records: what is to be stored, and what stays at home.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    /// To be stored before the records are submitted, each once.
    pub(crate) stored: BTreeMap<[u8; 32], PathBuf>,
    /// Kept at home: the ledger gets the digest alone.
    pub(crate) kept: Vec<[u8; 32]>,
}

/// Finds the attachments that the records name and checks their digests and sizes.
pub(crate) fn find_attachments(
    records: &[FileRecord],
    rules: &AttachmentRules<'_>,
) -> Result<Attachments> {
    let mut found = Attachments::default();
    let mut problems = Vec::new();
    for record in records {
        for attachment in attachments_of(&record.submission) {
            if rules.known {
                found.kept.push(attachment.digest);
                continue;
            }
            let path = candidates(record, rules, &attachment.name)
                .into_iter()
                .find(|p| p.is_file());
            if rules.all_digest_only || rules.digest_only.contains(&attachment.name) {
                found.kept.push(attachment.digest);
                // What stays at home may have any size, and is checked where it is at hand.
                if let Some(path) = path {
                    problems.extend(check_file(&path, &attachment)?);
                }
                continue;
            }
            match path {
                Some(path) => {
                    problems.extend(check_size(&path, &attachment)?);
                    problems.extend(check_file(&path, &attachment)?);
                    found.stored.insert(attachment.digest, path);
                }
                None => problems.push(format!(
                    "{}: the attachment {} is not there; --attach and --attach-dir say where, \
                     --attach-digest {} logs its digest alone",
                    record.name(),
                    attachment.name,
                    attachment.name
                )),
            }
        }
    }
    let named: BTreeSet<String> = records
        .iter()
        .flat_map(|record| attachments_of(&record.submission))
        .map(|attachment| attachment.name)
        .collect();
    let unknown = rules
        .digest_only
        .iter()
        .filter(|name| !named.contains(*name));
    problems.extend(unknown.map(|name| {
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        format!(
            "--attach-digest {name}: no record names it; named are: {}",
            if named.is_empty() {
                "none".to_owned()
            } else {
                named.join(", ")
            }
        )
    }));
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(UserError::usage(problems.join("\n")))
    }
}

fn candidates(record: &FileRecord, rules: &AttachmentRules<'_>, name: &str) -> Vec<PathBuf> {
    if let Some(given) = rules.given.get(name) {
        return vec![given.clone()];
    }
    if let Some(folder) = rules.folder {
        return vec![folder.join(name)];
    }
    let beside = record.file.parent().unwrap_or_else(|| Path::new("."));
    vec![beside.join(name), beside.join("attachments").join(name)]
}

/// The file is the one that the record names, by digest and by size.
fn check_file(path: &Path, attachment: &NamedAttachment) -> Result<Option<String>> {
    let size = size_of(path)?;
    if let Some(named) = attachment.size.filter(|named| *named != size) {
        return Ok(Some(format!(
            "{} has {size} bytes, the record names {named}",
            path.display()
        )));
    }
    let digest = digest_of(path)?;
    Ok((digest != attachment.digest).then(|| {
        format!(
            "{} has the digest {}, the record names {}",
            path.display(),
            hex(&digest),
            hex(&attachment.digest)
        )
    }))
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

fn size_of(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path);
    Ok(metadata
        .with_context(|| format!("cannot read {}", path.display()))?
        .len())
}

/// Whether the ledger takes it.
fn check_size(path: &Path, attachment: &NamedAttachment) -> Result<Option<String>> {
    let size = size_of(path)?;
    Ok((size > limits::BLOB_BYTES_MAX).then(|| {
        format!(
            "{} has {size} bytes, at most {} are stored; --attach-digest {} logs its digest alone",
            path.display(),
            limits::BLOB_BYTES_MAX,
            attachment.name
        )
    }))
}
