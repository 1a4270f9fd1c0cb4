//! The files that records name: where they are, and whether they are those that are named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aimslog_proto::limits;
use aimslog_proto::reason::{Reason, Violation};
use anyhow::{Context as _, Result};

use super::sign::Purpose;
use super::unsent::{Unsent, refuse};
use crate::broken::Broken;
use crate::exit::UserError;
use crate::output::Output;
use crate::records::{FileRecord, NamedAttachment, attachments_of, digest_of};
use crate::verb::key::hex;

/// Where attachments are looked for, and which of them stay at home.
#[derive(Debug)]
pub(super) struct AttachmentRules<'a> {
    /// The files given one by one, by their names.
    pub(super) given: &'a BTreeMap<String, PathBuf>,
    /// The folder given, if any; otherwise beside the record's file, and in `attachments/` there.
    pub(super) folder: Option<&'a Path>,
    /// Names of files whose digest alone is logged.
    pub(super) digest_only: &'a [String],
    /// All of them stay at home.
    pub(super) all_digest_only: bool,
    /// An earlier version names the same ones: nothing is looked for, nothing is stored again.
    pub(super) known: bool,
}

/// The attachments of some records: what is to be stored, and what stays at home.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    /// To be stored before the records are submitted, each once.
    pub(super) stored: BTreeMap<[u8; 32], PathBuf>,
    /// Kept at home: the ledger gets the digest alone.
    pub(super) kept: Vec<[u8; 32]>,
}

/// Finds the attachments that the records name and checks their digests and sizes. What is wrong is said
/// with the line at which the record names it.
pub(super) fn find_attachments(
    records: &[FileRecord],
    rules: &AttachmentRules<'_>,
    (purpose, output): (Purpose, Output),
) -> Result<Attachments> {
    refuse_unnamed(records, rules)?;
    let mut found = Attachments::default();
    let mut unsent = Vec::new();
    for record in records {
        let mut violations = Vec::new();
        for attachment in attachments_of(&record.submission) {
            let wrong = found.look_for(record, &attachment, rules)?;
            let at = |violation: Violation| {
                let place = record.place_of(&violation.field);
                Broken::from(&violation).written_at(place)
            };
            violations.extend(wrong.map(at));
        }
        if !violations.is_empty() {
            let record = record.name();
            unsent.push(Unsent { record, violations });
        }
    }
    refuse(&unsent, purpose, output)?;
    Ok(found)
}

impl Attachments {
    /// Takes an attachment up, or says what is wrong with it.
    fn look_for(
        &mut self,
        record: &FileRecord,
        attachment: &NamedAttachment,
        rules: &AttachmentRules<'_>,
    ) -> Result<Option<Violation>> {
        let NamedAttachment { name, digest, .. } = attachment;
        if rules.known {
            self.kept.push(*digest);
            return Ok(None);
        }
        let mut paths = candidates(record, rules, name).into_iter();
        let path = paths.find(|path| path.is_file());
        if rules.all_digest_only || rules.digest_only.contains(name) {
            self.kept.push(*digest);
            // What stays at home may have any size, and is checked where it is at hand.
            let checked = path.map(|path| check_file(&path, attachment));
            return Ok(checked.transpose()?.flatten());
        }
        let Some(path) = path else {
            let rule = format!(
                "the attachment {name} is not there; --attach and --attach-dir say where, --attach-digest \
                 {name} logs its digest alone"
            );
            let field = attachment.field("name");
            return Ok(Some(Violation::new(Reason::NotFound, field, rule)));
        };
        if let Some(wrong) = check_size(&path, attachment)? {
            return Ok(Some(wrong));
        }
        let wrong = check_file(&path, attachment)?;
        self.stored.insert(*digest, path);
        Ok(wrong)
    }
}

/// Names of `--attach-digest` that no record names.
fn refuse_unnamed(records: &[FileRecord], rules: &AttachmentRules<'_>) -> Result<()> {
    let named: BTreeSet<String> = records
        .iter()
        .flat_map(|record| attachments_of(&record.submission))
        .map(|attachment| attachment.name)
        .collect();
    let mut unknown = rules.digest_only.iter();
    let Some(name) = unknown.find(|name| !named.contains(*name)) else {
        return Ok(());
    };
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let named = if named.is_empty() {
        "none".to_owned()
    } else {
        named.join(", ")
    };
    Err(UserError::usage(format!(
        "--attach-digest {name}: no record names it; named are: {named}"
    )))
}

fn candidates(record: &FileRecord, rules: &AttachmentRules<'_>, name: &str) -> Vec<PathBuf> {
    if let Some(given) = rules.given.get(name) {
        return vec![given.clone()];
    }
    let folders = folders(rules.folder, &record.file).into_iter();
    folders.map(|folder| folder.join(name)).collect()
}

/// Where attachments of the records of a file are looked for: in the folder given, or else beside the
/// file and in `attachments/` there.
pub(super) fn folders(given: Option<&Path>, file: &Path) -> Vec<PathBuf> {
    if let Some(folder) = given {
        return vec![folder.to_owned()];
    }
    let beside = file.parent().unwrap_or_else(|| Path::new("."));
    vec![beside.to_owned(), beside.join("attachments")]
}

/// The file is the one that the record names, by digest and by size.
fn check_file(path: &Path, attachment: &NamedAttachment) -> Result<Option<Violation>> {
    let size = size_of(path)?;
    let wrong = |member: &str, rule: String| {
        Violation::new(Reason::BlobMismatch, attachment.field(member), rule)
    };
    if let Some(named) = attachment.size.filter(|named| *named != size) {
        let rule = format!("{} has {size} bytes", path.display());
        let wrong = wrong("size", rule).found(named);
        return Ok(Some(wrong.nearest(size.to_string())));
    }
    let digest = digest_of(path)?;
    Ok((digest != attachment.digest).then(|| {
        let rule = format!("{} has the digest {}", path.display(), hex(&digest));
        wrong("digest", rule).found(hex(&attachment.digest))
    }))
}

fn size_of(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path);
    Ok(metadata
        .with_context(|| format!("cannot read {}", path.display()))?
        .len())
}

/// Whether the ledger takes it.
fn check_size(path: &Path, attachment: &NamedAttachment) -> Result<Option<Violation>> {
    let size = size_of(path)?;
    Ok((size > limits::BLOB_BYTES_MAX).then(|| {
        let name = &attachment.name;
        let rule = format!(
            "{} has {size} bytes, at most {} are stored; --attach-digest {name} logs its digest alone",
            path.display(),
            limits::BLOB_BYTES_MAX,
        );
        Violation::new(Reason::BlobTooLarge, attachment.field("name"), rule)
    }))
}
