//! What earlier imports have logged, by kind and key: so that a row that has not changed is not sent
//! again, and one that has is not taken for a new thing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use aimslog_client::file::replace_private_file;
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Submission, Target};
use aimslog_proto::statement::id::EntryId;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::exit::UserError;
use crate::verb::key::hex;

/// The memory of one context: a file in its state folder.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    known: BTreeMap<String, Known>,
}

/// What is known of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// SHA-256 of what the row gave.
    digest: String,
    /// The entry that it became.
    entry: String,
}

/// A row against the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Not imported before, or without a key to know it by.
    New,
    /// Imported as this entry, and the same.
    Same(EntryId),
    /// Imported as this entry, and changed since.
    Changed(EntryId),
}

impl Memory {
    pub(crate) fn of(context: &Context) -> Result<Self> {
        Self::read(context.state_path("imports.json"))
    }

    fn read(path: PathBuf) -> Result<Self> {
        let known = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|_not_ours| {
                UserError::usage(format!(
                    "{} is damaged: remove it, and rows that have changed since an earlier import are \
                     logged as new records",
                    path.display()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, known })
    }

    /// Whether a record was imported before.
    pub(crate) fn seen(&self, submission: &Submission) -> Seen {
        let known = name(submission).and_then(|name| self.known.get(&name));
        let entry = known.and_then(|known| EntryId::parse(&known.entry).ok());
        match (known, entry) {
            (Some(known), Some(entry)) if known.digest == digest(submission) => Seen::Same(entry),
            (Some(_), Some(entry)) => Seen::Changed(entry),
            _ => Seen::New,
        }
    }

    /// Remembers what a record became.
    pub(crate) fn learn(&mut self, submission: &Submission, entry: &str) {
        if let Some(name) = name(submission) {
            let digest = digest(submission);
            let entry = entry.to_owned();
            self.known.insert(name, Known { digest, entry });
        }
    }

    /// Writes it down.
    pub(crate) fn keep(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.known)?;
        replace_private_file(&self.path, &text)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn name(submission: &Submission) -> Option<String> {
    let key = submission.key.as_deref()?;
    Some(format!("{}/{key}", submission.record.kind()))
}

/// What a row gives: everything but the version that it follows.
fn digest(submission: &Submission) -> String {
    let mut hasher = Sha256::new();
    let kind = RuleBundle::v1().kind(submission.record.kind(), submission.record.version());
    if let Ok(kind) = kind {
        hasher.update(submission.record.canonical_bytes(kind));
    }
    let subject = &submission.subject;
    hasher.update(format!("\n{}:{}\n", subject.class(), subject.id()));
    for link in &submission.links {
        let target = match &link.target {
            Target::Entry(id) => id.to_string(),
            Target::Key(key) => format!("key:{key}"),
        };
        hasher.update(format!("{} {target}\n", link.relation));
    }
    for (scheme, id) in &submission.controls {
        hasher.update(format!("{scheme}/{id}\n"));
    }
    hasher.update(submission.transition.as_deref().unwrap_or_default());
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::aims::submission::parse;

    fn submission(title: &str) -> Submission {
        let text = include_str!("../../demo/agent/new-system.json");
        let mut submission = parse(RuleBundle::v1(), text.as_bytes()).unwrap();
        submission.key = Some("NC-1".to_owned());
        submission.transition = Some(title.to_owned());
        submission
    }

    #[test]
    fn a_row_is_new_then_the_same_then_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/imports.json");
        let mut memory = Memory::read(path.clone()).unwrap();
        let (one, other) = (submission("a"), submission("b"));
        let entry = EntryId::of(b"an entry");
        assert_eq!(memory.seen(&one), Seen::New);
        memory.learn(&one, &entry.to_string());
        memory.keep().unwrap();
        let memory = Memory::read(path.clone()).unwrap();
        assert_eq!(memory.seen(&one), Seen::Same(entry));
        assert_eq!(memory.seen(&other), Seen::Changed(entry));
        let nameless = Submission { key: None, ..one };
        assert_eq!(memory.seen(&nameless), Seen::New);
        fs::write(&path, "{").unwrap();
        assert!(
            Memory::read(path)
                .unwrap_err()
                .to_string()
                .contains("damaged")
        );
    }
}
