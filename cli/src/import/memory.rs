//! What earlier imports have logged, by kind and key: so that a row that has not changed is not sent
//! again, one that has is not taken for a new thing, and rows of other tables can link to it.
//!
//! It belongs to one organisation on one ledger: a folder below `imports/` for each, named by what both
//! are. `imports.json` in it holds everything. One run at a time writes it, under a lock. While a run
//! goes on, what it has logged is added to `imports.new.jsonl`, a line for each record, which the next
//! start takes over: a run that is killed forgets nothing that the ledger has acknowledged, and a long
//! one does not write everything again and again.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aimslog_client::file::replace_private_file;
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Submission, Target};
use aimslog_proto::statement::id::EntryId;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::context::{Context, make_private};
use crate::exit::UserError;
use crate::verb::key::hex;

/// The memory of one context: a file in its state folder.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    known: BTreeMap<String, Known>,
    /// An earlier run did not come to its end: its last line may be cut off, and nothing is added to it.
    has_old_news: bool,
    /// Held for as long as a run may write; the system lets go of it where the run is killed.
    lock: Option<File>,
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
    /// The memory of the context's organisation on its ledger, to look at; none where the context does
    /// not say which these are.
    pub(crate) fn of(context: &Context) -> Result<Option<Self>> {
        path_of(context).map(Self::read).transpose()
    }

    /// The same to write to, for one run at a time.
    pub(crate) fn locked(context: &Context) -> Result<Option<Self>> {
        let Some(path) = path_of(context) else {
            return Ok(None);
        };
        let lock = lock(&path)?;
        let mut memory = Self::read(path)?;
        memory.lock = Some(lock);
        Ok(Some(memory))
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
        let mut memory = Self {
            path,
            known,
            has_old_news: false,
            lock: None,
        };
        let news = memory.news();
        match fs::read_to_string(&news) {
            // A line that was cut off stands for a record that the outbox still holds.
            Ok(text) => {
                let lines = text.lines().filter(|line| !line.is_empty());
                let lines = lines.map(serde_json::from_str);
                let whole = lines.map_while(|line: serde_json::Result<(String, Known)>| line.ok());
                memory.known.extend(whole);
                memory.has_old_news = true;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| news.display().to_string()),
        }
        Ok(memory)
    }

    /// Where what a run has logged is noted until it ends.
    fn news(&self) -> PathBuf {
        self.path.with_extension("new.jsonl")
    }

    /// Whether an earlier run did not come to its end: what it sent last may be logged and not known.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.has_old_news
    }

    /// Notes that a run begins to send: what is cut off from here on is not forgotten.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if std::mem::take(&mut self.has_old_news) {
            self.keep()?;
        }
        let news = self.news();
        append(&news, b"\n").with_context(|| format!("cannot write {}", news.display()))
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

    /// The entry that a record of this kind and key became.
    pub(crate) fn entry(&self, kind: &str, key: &str) -> Option<EntryId> {
        let known = self.known.get(&format!("{kind}/{key}"))?;
        EntryId::parse(&known.entry).ok()
    }

    /// Remembers what records became, and notes it on disk.
    pub(crate) fn learn<'s>(
        &mut self,
        logged: impl Iterator<Item = (&'s Submission, &'s str)>,
    ) -> Result<()> {
        if std::mem::take(&mut self.has_old_news) {
            self.keep()?;
        }
        let mut lines = Vec::new();
        for (submission, entry) in logged {
            let Some(name) = name(submission) else {
                continue;
            };
            let digest = digest(submission);
            let entry = entry.to_owned();
            let known = Known { digest, entry };
            serde_json::to_writer(&mut lines, &(&name, &known))?;
            lines.push(b'\n');
            self.known.insert(name, known);
        }
        let news = self.news();
        append(&news, &lines).with_context(|| format!("cannot write {}", news.display()))
    }

    /// Writes everything down at the end of a run.
    pub(crate) fn keep(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.known)?;
        replace_private_file(&self.path, &text)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        let news = self.news();
        match fs::remove_file(&news) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", news.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Where the memory of an organisation on a ledger lies.
fn path_of(context: &Context) -> Option<PathBuf> {
    let (policy, organization) = (context.policy().ok()?, context.organization().ok()?);
    let mut hasher = Sha256::new();
    for log in policy.logs() {
        hasher.update(format!("{}\n", log.key));
    }
    hasher.update(organization);
    let folder = hex(&hasher.finalize());
    let folder = context.state_path("imports").join(folder);
    Some(folder.join("imports.json"))
}

/// The lock of a memory. Another run that holds it is going on: it would send what this one sends.
fn lock(path: &Path) -> Result<File> {
    let about = || format!("cannot lock {}", path.display());
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .open(path.with_extension("lock"))
        .with_context(about)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(UserError::usage(
            "another import of this organisation is going on; wait for its end",
        )),
        Err(TryLockError::Error(error)) => Err(error).with_context(about),
    }
}

fn append(path: &Path, lines: &[u8]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(lines)?;
    Ok(file.sync_all()?)
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

    fn learn(memory: &mut Memory, submission: &Submission, entry: EntryId) {
        let entry = entry.to_string();
        memory
            .learn(std::iter::once((submission, entry.as_str())))
            .unwrap();
    }

    #[test]
    fn one_run_at_a_time_writes_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/imports.json");
        let held = lock(&path).unwrap();
        let refused = lock(&path).unwrap_err().to_string();
        assert!(refused.contains("another import"), "{refused}");
        drop(held);
        lock(&path).unwrap();
    }

    /// A run that is killed before the ledger has acknowledged anything may have logged something.
    #[test]
    fn a_run_that_has_begun_and_not_ended_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/imports.json");
        let mut memory = Memory::read(path.clone()).unwrap();
        assert!(!memory.is_unfinished());
        memory.begin().unwrap();
        assert!(Memory::read(path.clone()).unwrap().is_unfinished());
        let entry = EntryId::of(b"an entry");
        learn(&mut memory, &submission("a"), entry);
        let after = Memory::read(path.clone()).unwrap();
        assert_eq!(after.seen(&submission("a")), Seen::Same(entry));
        memory.keep().unwrap();
        assert!(!Memory::read(path).unwrap().is_unfinished());
    }

    #[test]
    fn a_row_is_new_then_the_same_then_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/imports.json");
        let mut memory = Memory::read(path.clone()).unwrap();
        let (one, other) = (submission("a"), submission("b"));
        let entry = EntryId::of(b"an entry");
        assert_eq!(memory.seen(&one), Seen::New);
        learn(&mut memory, &one, entry);
        memory.keep().unwrap();
        let memory = Memory::read(path.clone()).unwrap();
        assert_eq!(memory.seen(&one), Seen::Same(entry));
        assert_eq!(memory.seen(&other), Seen::Changed(entry));
        assert_eq!(memory.entry("ai_system", "NC-1"), Some(entry));
        assert_eq!(memory.entry("finding", "NC-1"), None);
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

    /// A run that is killed never comes to write everything down.
    #[test]
    fn what_a_run_has_logged_is_known_without_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/imports.json");
        let entries = [b"one", b"two"].map(|bytes| EntryId::of(bytes));
        let mut memory = Memory::read(path.clone()).unwrap();
        learn(&mut memory, &submission("a"), entries[0]);
        memory.keep().unwrap();
        learn(&mut memory, &submission("b"), entries[1]);
        let news = memory.news();
        let memory = Memory::read(path.clone()).unwrap();
        assert_eq!(memory.seen(&submission("b")), Seen::Same(entries[1]));
        // Cut off within a line: what stands before it counts.
        let text = fs::read_to_string(&news).unwrap();
        fs::write(&news, format!("{text}[\"ai_system/NC-2\",{{\"dig")).unwrap();
        let mut memory = Memory::read(path.clone()).unwrap();
        assert_eq!(memory.seen(&submission("b")), Seen::Same(entries[1]));
        learn(&mut memory, &submission("a"), entries[0]);
        let memory = Memory::read(path.clone()).unwrap();
        assert_eq!(memory.seen(&submission("a")), Seen::Same(entries[0]));
        let mut memory = Memory::read(path.clone()).unwrap();
        learn(&mut memory, &submission("b"), entries[1]);
        memory.keep().unwrap();
        assert!(!news.exists());
        let memory = Memory::read(path).unwrap();
        assert_eq!(memory.seen(&submission("b")), Seen::Same(entries[1]));
    }
}
