//! Sending what is signed, and writing down what became of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use aimslog_client::file::replace_file;
use aimslog_client::{EvidenceRequest, FinishedStatement, Ledger, Outcome, Wait};
use aimslog_proto::limits::BLOB_BYTES_MAX;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::TreeSize;
use anyhow::{Context as _, Error, Result};
use indicatif::ProgressBar;

use super::attachments::Attachments;
use super::sign::Signed;
use super::told::{ALREADY_LOGGED, LOGGED, PENDING, REFUSED, Told};
use super::{Desk, OnPart, Waiting};
use crate::broken::Broken;
use crate::context::Context;
use crate::limited::read_limited;
use crate::output::Output;
use crate::records::attachments_of;

/// How many statements are sent in one request: few enough that progress is seen.
const SENT_AT_ONCE: usize = 64;

/// Stores the attachments of the records that are not known to be in the log.
pub(super) async fn store_attachments(
    context: &Context,
    ledger: &Ledger,
    (attachments, signed): (&Attachments, &[Signed]),
    output: Output,
) -> Result<()> {
    let needed: BTreeSet<[u8; 32]> = signed
        .iter()
        .filter(|signed| signed.known.is_none())
        .flat_map(|signed| attachments_of(&signed.record.submission))
        .map(|attachment| attachment.digest)
        .collect();
    let progress = output.progress(needed.len(), "attachments");
    for digest in needed {
        if let Some(path) = attachments.stored.get(&digest) {
            // It was measured before; a file that has grown since is another one.
            let content = read_limited(path, BLOB_BYTES_MAX, "an attachment that is stored")?;
            ledger.put_blob(context.organization()?, &content).await?;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

/// What it takes to send.
pub(super) struct Sending<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) desk: &'a Desk,
    pub(super) waiting: &'a Waiting,
    pub(super) output: Output,
}

impl Sending<'_> {
    /// Sends all of them in order, and tells of each part what became of it. Where that is cut off, the
    /// rest is pending, and the error says why.
    pub(super) async fn all(
        &self,
        signed: &[Signed],
        on_part: OnPart<'_>,
    ) -> (Vec<Told>, Option<Error>) {
        let progress = self.output.progress(signed.len(), "records");
        let mut told = Vec::with_capacity(signed.len());
        let mut cut_off = None;
        for part in signed.chunks(SENT_AT_ONCE) {
            let before = told.len();
            let sent = self.part(part, &mut told, &progress).await;
            // What is acknowledged is told, also of a part that was cut off.
            let noted = on_part(told.get(before..).unwrap_or_default());
            if let Err(error) = sent.and(noted) {
                cut_off = Some(error);
                break;
            }
        }
        progress.finish_and_clear();
        let rest = signed.iter().skip(told.len());
        told.extend(rest.map(|signed| {
            let status = if signed.known.is_some() {
                ALREADY_LOGGED
            } else {
                PENDING
            };
            Told::of(signed, status)
        }));
        (told, cut_off)
    }

    async fn part(
        &self,
        part: &[Signed],
        told: &mut Vec<Told>,
        progress: &ProgressBar,
    ) -> Result<()> {
        let to_send: Vec<FinishedStatement> = part
            .iter()
            .filter(|signed| signed.known.is_none())
            .map(|signed| signed.statement.clone())
            .collect();
        let outcomes = self.ledger.submit(&to_send, self.waiting.wait()).await?;
        let mut outcomes = outcomes.into_iter();
        for signed in part {
            let outcome = if signed.known.is_none() {
                outcomes.next()
            } else {
                None
            };
            told.push(self.settle(signed, outcome).await?);
            progress.inc(1);
        }
        Ok(())
    }

    /// Writes down what became of a record, in the outbox and for the person.
    async fn settle(&self, signed: &Signed, outcome: Option<Outcome>) -> Result<Told> {
        let mut told = Told::of(signed, ALREADY_LOGGED);
        let mut given = None;
        match outcome {
            None => {}
            Some(Outcome::Logged {
                entry,
                already,
                evidence,
            }) => {
                let statement = &signed.statement.statement;
                self.desk
                    .outbox
                    .logged(signed.id, statement, entry.index.0)?;
                told.status = if already { ALREADY_LOGGED } else { LOGGED };
                told.index = Some(entry.index.0);
                given = evidence;
            }
            Some(Outcome::Refused {
                violations,
                newest_version,
            }) => {
                self.desk.outbox.forget(signed.id)?;
                self.desk.sealed.set_aside(signed.statement.entry_id())?;
                told.status = REFUSED;
                told.fields_kept = self.desk.sealed.path_of(signed.statement.entry_id());
                told.violations = violations
                    .iter()
                    .map(|v| explain(v, newest_version))
                    .collect();
                return Ok(told);
            }
        }
        told.fields_kept = self.desk.sealed.path_of(signed.statement.entry_id());
        if let (Wait::Receipt, Some(index)) = (self.waiting.wait(), told.index) {
            told.evidence = Some(self.evidence(signed, index, given).await?);
        }
        Ok(told)
    }

    /// The evidence file of a record, on disk. A run that was cut off after the record was logged
    /// fetches what it missed.
    async fn evidence(
        &self,
        signed: &Signed,
        index: u64,
        given: Option<Vec<u8>>,
    ) -> Result<PathBuf> {
        let entry = signed.statement.entry_id();
        let path = self
            .waiting
            .evidence_dir
            .join(format!("{entry}.evidence.json"));
        let file = match given {
            Some(file) => file,
            None if path.exists() => return Ok(path),
            None => {
                let size = TreeSize(index.saturating_add(1));
                let head = self.ledger.checkpoint_covering(size).await?;
                let request = EvidenceRequest {
                    entries: vec![entry],
                    under: Some(head.head().size),
                    ..EvidenceRequest::default()
                };
                self.ledger.evidence(&request).await?
            }
        };
        replace_file(&path, &file).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn explain(violation: &Violation, newest: Option<EntryId>) -> Broken {
    match (violation.reason, newest) {
        (Reason::VersionConflict, Some(newest)) => Broken::advised(
            violation,
            format!("the newest version is {newest}: amend that one"),
        ),
        (Reason::IdConflict, _) => Broken::advised(
            violation,
            "this key has logged this record before: --again logs it once more",
        ),
        _ => Broken::from(violation),
    }
}
