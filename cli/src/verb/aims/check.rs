//! `aimslog aims check`: a folder of starter records, before anything of it is submitted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aimslog_proto::aims::submission::Target;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::describe::counted;
use crate::exit::{Exit, UserError};
use crate::limited::{name_of, read_if_there};
use crate::output::Output;
use crate::parameters::{self, FILE_BYTES_MAX};
use crate::records::{Additions, FileRecord, read_records};
use crate::starter::{PARAMETERS, PLACEHOLDER};

/// Check a folder of starter records and its parameters.
///
/// Reads all forms of the folder (.yaml, .yml) and `parameters.toml`, and says what is wrong with its
/// line: what is still TBD, fields that the rules do not take, keys that stand twice, links to records
/// that are not there, parameters that there are not or that are out of bounds. Needs no ledger; what the
/// ledger would say is for `aimslog validate`. Attachments are not looked for. Ends with 2 where
/// something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog aims check aims
  aimslog aims check aims --json")]
pub(super) struct AimsCheck {
    /// The folder that `aims init` has written
    dir: PathBuf,
}

/// What is wrong, and where.
#[derive(Debug, Serialize)]
struct Finding {
    /// `file:line`, or the file.
    at: String,
    what: String,
    /// Nobody has said it yet.
    is_open: bool,
}

impl AimsCheck {
    pub(super) fn run(&self, output: Output) -> Result<Exit> {
        let files = self.forms()?;
        let records = read_records(&files, Additions::default())?;
        let (valid, invalid) = (records.valid.len(), records.invalid.len());
        let mut findings = Vec::new();
        for record in &records.invalid {
            for found in &record.violations {
                findings.push(Finding {
                    at: format!("{}:{}", name_of(&record.file), found.line),
                    what: found.violation.to_string(),
                    is_open: found.violation.found.as_deref() == Some(PLACEHOLDER),
                });
            }
        }
        findings.extend(names(&records.valid, invalid == 0));
        findings.extend(self.parameters()?);
        let open = findings.iter().filter(|finding| finding.is_open).count();
        let wrong = findings.len() - open;
        let data = serde_json::json!({
            "dir": self.dir, "files": files.len(), "records": valid + invalid, "valid": valid,
            "placeholders": open, "wrong": wrong, "findings": findings,
        });
        let mut lines: Vec<String> = findings
            .iter()
            .map(|finding| format!("{}: {}", finding.at, finding.what))
            .collect();
        lines.push(format!(
            "{} in {}, {valid} valid; {} to replace, {wrong} wrong",
            counted(valid + invalid, "record"),
            counted(files.len(), "file"),
            counted(open, PLACEHOLDER),
        ));
        output.data(&data, lines.join("\n"))?;
        Ok(if findings.is_empty() {
            Exit::Ok
        } else {
            Exit::Usage
        })
    }

    /// The forms, in the order of their names.
    fn forms(&self) -> Result<Vec<PathBuf>> {
        let about = || format!("cannot read {}", self.dir.display());
        let mut files = BTreeSet::new();
        for entry in fs::read_dir(&self.dir).with_context(about)? {
            let path = entry.with_context(about)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("yaml" | "yml")) {
                files.insert(path);
            }
        }
        if files.is_empty() {
            let dir = self.dir.display();
            return Err(UserError::usage(format!("{dir} holds no forms (.yaml)")));
        }
        Ok(files.into_iter().collect())
    }

    fn parameters(&self) -> Result<Vec<Finding>> {
        let path = self.dir.join(PARAMETERS);
        let wrong = |at: String, what: String| Finding {
            at,
            what,
            is_open: false,
        };
        let Some(bytes) = read_if_there(&path, FILE_BYTES_MAX, "a file of parameters")? else {
            let what = "is missing: `aimslog aims init` writes it".to_owned();
            return Ok(vec![wrong(PARAMETERS.to_owned(), what)]);
        };
        let Ok(text) = str::from_utf8(&bytes) else {
            return Ok(vec![wrong(
                PARAMETERS.to_owned(),
                "is no text in UTF-8".to_owned(),
            )]);
        };
        let found = parameters::check(text).into_iter();
        let found = found.map(|found| match found.line {
            Some(line) => wrong(format!("{PARAMETERS}:{line}"), found.what),
            None => wrong(PARAMETERS.to_owned(), found.what),
        });
        Ok(found.collect())
    }
}

/// Keys that stand twice, and links to keys that no earlier record has. Where records are refused, the
/// keys of those are not known, and nothing is said of links.
fn names(records: &[FileRecord], is_whole: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut keys: BTreeMap<&str, String> = BTreeMap::new();
    for record in records {
        let submission = &record.submission;
        let at = || place(record);
        for link in &submission.links {
            let Target::Key(key) = &link.target else {
                continue;
            };
            if is_whole && !keys.contains_key(key.as_str()) {
                findings.push(Finding {
                    at: at(),
                    what: format!("links to key:{key}, which no earlier record has"),
                    is_open: false,
                });
            }
        }
        let Some(key) = submission.key.as_deref() else {
            continue;
        };
        if let Some(other) = keys.insert(key, at()) {
            findings.push(Finding {
                at: at(),
                what: format!("the key {key} stands in {other} too"),
                is_open: false,
            });
        }
    }
    findings
}

/// The file and the number of the record in it.
fn place(record: &FileRecord) -> String {
    let file: &Path = &record.file;
    format!("{} record {}", name_of(file), record.number)
}
