//! A download that can be cut off: `FILE.part` holds the bytes so far, `FILE.part.json` the request
//! that they answer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aimslog_client::file::replace_private_file;
use aimslog_client::{ClientError, EvidenceRequest, Ledger};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::TreeSize;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{Entries, Question};
use crate::output::Output;

/// What is being downloaded: the question, and the answer's frame, which stays the same until the
/// file is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    question: Question,
    tree_size: u64,
    /// Some of them are read under an engagement.
    engaged: bool,
    entries: Vec<String>,
}

impl Plan {
    pub(super) fn new(question: Question, entries: &Entries, under: TreeSize) -> Self {
        Self {
            question,
            tree_size: under.0,
            engaged: entries.engaged,
            entries: entries.ids.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn request(&self) -> Result<EvidenceRequest> {
        let entries = self.entries.iter().map(|id| EntryId::parse(id));
        Ok(EvidenceRequest {
            entries: entries.collect::<Result<_, _>>()?,
            fields: self.question.fields.clone(),
            engaged: self.engaged,
            since: None,
            under: Some(TreeSize(self.tree_size)),
        })
    }
}

/// The files of one download.
#[derive(Debug)]
pub(super) struct Parts {
    whole: PathBuf,
    part: PathBuf,
    sidecar: PathBuf,
}

impl Parts {
    pub(super) fn of(whole: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = whole.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            whole: whole.to_owned(),
            part: with(".part"),
            sidecar: with(".part.json"),
        }
    }

    /// Where the bytes are while the file is not whole.
    pub(super) fn file(&self) -> &Path {
        &self.part
    }

    /// The plan of a run that was cut off, if it was asked the same.
    pub(super) fn resume(&self, question: &Question) -> Result<Option<Plan>> {
        let text = match fs::read(&self.sidecar) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| name(&self.sidecar)),
        };
        // A sidecar that cannot be read is of no use, and what lies beside it neither.
        let plan: Option<Plan> = serde_json::from_slice(&text).ok();
        Ok(plan.filter(|plan| plan.question == *question && plan.request().is_ok()))
    }

    /// Begins from nothing. The plan is on disk before the first byte is.
    pub(super) fn begin(&self, plan: &Plan) -> Result<()> {
        // As every file that is written: folders that are missing are made.
        if let Some(folder) = self.part.parent() {
            fs::create_dir_all(folder).with_context(|| name(folder))?;
        }
        let file = File::create(&self.part).with_context(|| name(&self.part))?;
        file.sync_all()?;
        replace_private_file(&self.sidecar, &serde_json::to_vec_pretty(plan)?)
            .with_context(|| name(&self.sidecar))
    }

    /// Downloads what is missing and returns the whole file.
    pub(super) async fn download(
        &self,
        ledger: &Ledger,
        plan: &Plan,
        output: Output,
    ) -> Result<Vec<u8>> {
        let mut part = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.part)
            .with_context(|| name(&self.part))?;
        let offset = part.metadata()?.len();
        if offset > 0 {
            output.say(format!("continuing at byte {offset}"));
        }
        let bar = output.spinner("{spinner} {bytes} of evidence, {bytes_per_sec}");
        bar.set_position(offset);
        let mut keep = |piece: &[u8]| {
            part.write_all(piece)?;
            bar.inc(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            Ok(())
        };
        let done = ledger
            .download_unverified_evidence(&plan.request()?, offset, &mut keep)
            .await;
        bar.finish_and_clear();
        part.sync_all()?;
        match done {
            Ok(_) => fs::read(&self.part).with_context(|| name(&self.part)),
            Err(error) => {
                if matches!(error, ClientError::Refused(_)) {
                    // It would be refused again, e.g. because the head is no longer kept.
                    self.reject()?;
                } else {
                    output.say("cut off; the same command continues");
                }
                Err(error.into())
            }
        }
    }

    /// Puts the verified file in its place.
    pub(super) fn finish(&self, file: &[u8]) -> Result<()> {
        let mut part = File::create(&self.part).with_context(|| name(&self.part))?;
        part.write_all(file)?;
        part.sync_all()?;
        fs::rename(&self.part, &self.whole).with_context(|| name(&self.whole))?;
        remove(&self.sidecar)
    }

    /// Leaves the bytes for whoever wants to see what is wrong; the next run begins from nothing.
    pub(super) fn reject(&self) -> Result<()> {
        remove(&self.sidecar)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| name(path))
        }
        _ => Ok(()),
    }
}

fn name(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verb::disclose::Asker;

    fn question(fields: &[&str]) -> Question {
        Question {
            asker: Asker {
                service: "ledger.example/a".to_owned(),
                organization: None,
                key: "k".to_owned(),
            },
            ids: Vec::new(),
            register: Some("finding".to_owned()),
            system: None,
            since: None,
            fields: fields.iter().map(ToString::to_string).collect(),
        }
    }

    fn plan(fields: &[&str]) -> Plan {
        let entries = Entries::new(vec![EntryId::of(b"entry")], 1).unwrap();
        Plan::new(question(fields), &entries, TreeSize(12))
    }

    #[test]
    fn a_run_that_was_cut_off_is_continued_by_the_same_question_alone() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::of(&folder.path().join("new/folder/audit.evidence.json"));
        assert_eq!(parts.resume(&question(&[])).unwrap(), None);
        parts.begin(&plan(&[])).unwrap();
        assert_eq!(parts.resume(&question(&[])).unwrap(), Some(plan(&[])));
        assert_eq!(parts.resume(&question(&["decision"])).unwrap(), None);
        fs::write(&parts.sidecar, b"{ cut off").unwrap();
        assert_eq!(parts.resume(&question(&[])).unwrap(), None);
    }

    #[test]
    fn a_finished_file_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("audit.evidence.json");
        let parts = Parts::of(&whole);
        parts.begin(&plan(&[])).unwrap();
        parts.finish(b"whole").unwrap();
        assert_eq!(fs::read(&whole).unwrap(), b"whole");
        assert!(!parts.part.exists() && !parts.sidecar.exists());
    }

    #[test]
    fn a_rejected_file_is_kept_apart_and_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::of(&folder.path().join("audit.evidence.json"));
        parts.begin(&plan(&[])).unwrap();
        parts.reject().unwrap();
        assert!(parts.file().exists());
        assert_eq!(parts.resume(&question(&[])).unwrap(), None);
    }

    #[test]
    fn a_plan_asks_for_the_head_that_it_was_made_for() {
        let request = plan(&["decision"]).request().unwrap();
        assert_eq!(request.under, Some(TreeSize(12)));
        assert_eq!(request.entries, [EntryId::of(b"entry")]);
        assert_eq!(request.fields, ["decision"]);
    }
}
