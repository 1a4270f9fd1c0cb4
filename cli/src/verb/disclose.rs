//! `aimslog disclose`: one evidence file over many records, for whoever is to check them.

mod download;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aimslog_client::trust::{KeptHead, SignedHead};
use aimslog_client::{EntryKey, Ledger, ListedRecord, RecordFilter, clock, verifier};
use aimslog_proto::limits::EVIDENCE_RECORDS_MAX;
use aimslog_proto::pb::v1::PayloadStatus;
use aimslog_proto::statement::evidence::{
    EvidenceFile, Options, OtherHead, Report, Verdict, verify,
};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, LeafIndex, Note, TreeSize};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::args::Connection;
use crate::context::Context;
use crate::describe::{Head, counted, entry_id};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::saved::{read_dated, read_saved};
use crate::sealed::SealedFields;
use crate::verb::list::{field_name, kind_name, records};
use crate::verb::runtime;
use download::{Parts, Plan};

/// Write one evidence file over many records: what an auditor gets.
///
/// The file holds the records, the fields that you choose to show, and all that is needed to check
/// them offline with nothing but the policy file. It is verified before it is kept. A run that was
/// cut off is continued by the same command: what has arrived lies in FILE.part.
///
/// Of another organisation (--org) that has engaged yours you get the fields that the engagement shows,
/// and the log tells that organisation of the read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog disclose 3Jd0…k4 -o decision.evidence.json
  aimslog disclose --register nonconformity --since last-audit.checkpoint -o audit.evidence.json
  aimslog disclose --system sys-7f3a --fields system,decision,decided_at -o decisions.evidence.json")]
pub(crate) struct Disclose {
    #[command(flatten)]
    selection: Selection,
    /// Show these fields alone; the others stay hidden, and are provably there
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = field_name)]
    fields: Vec<String>,
    /// Where to write the evidence file
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Which records: by name, or all to which every condition applies.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Selection {
    /// Entry ids
    #[arg(value_parser = entry_id, value_name = "ID")]
    ids: Vec<EntryId>,
    /// All records of this kind
    #[arg(long, value_name = "KIND", value_parser = kind_name, conflicts_with = "ids")]
    register: Option<String>,
    /// All records about this AI system
    #[arg(long, value_name = "ID", conflicts_with = "ids")]
    system: Option<String>,
    /// All records logged after the head in this file (`aimslog checkpoint --save`); the evidence
    /// file then also proves that the log extends it
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    since: Option<PathBuf>,
    /// All records of the organisation; those of its principals stand in every file, in its chain of
    /// keys
    #[arg(long, conflicts_with_all = ["ids", "register", "system", "since"])]
    all: bool,
}

/// Who asks whom about whose records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asker {
    service: String,
    organization: Option<String>,
    key: String,
}

impl Asker {
    fn of(context: &Context) -> Result<Self> {
        Ok(Self {
            service: context.service_id()?,
            organization: context.organization().ok().map(str::to_owned),
            key: context.key()?.public_key().thumbprint().to_string(),
        })
    }
}

/// What was asked for, by which a later run knows whether it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    asker: Asker,
    ids: Vec<String>,
    register: Option<String>,
    system: Option<String>,
    since: Option<u64>,
    fields: Vec<String>,
}

#[derive(Serialize)]
struct Disclosed {
    file: PathBuf,
    bytes: usize,
    records: usize,
    verdict: Verdict,
    head: Head,
    /// Some records were read under an engagement, which shows what it grants.
    engaged: bool,
    findings: Vec<String>,
}

impl Disclose {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        runtime()?.block_on(self.disclose(&context, output))
    }

    async fn disclose(&self, context: &Context, output: Output) -> Result<Exit> {
        let ledger = context.ledger()?;
        let since = match &self.selection.since {
            Some(path) => Some(read_saved(path, ledger.policy(), &[])?),
            None => None,
        };
        let parts = Parts::of(&self.output);
        let question = self.question(Asker::of(context)?, since.as_ref());
        let plan = if let Some(plan) = parts.resume(&question)? {
            plan
        } else {
            let entries = self
                .select(context, &ledger, since.as_ref(), output)
                .await?;
            let plan = Plan::new(question, &entries, pin(&ledger, &entries).await?);
            parts.begin(&plan)?;
            plan
        };
        let file = parts.download(&ledger, &plan, output).await?;
        let sealed = SealedFields::of(context);
        let (file, head) = self
            .complete(&ledger, &sealed, (file, since.as_ref()))
            .await?;
        let report = self.check(&ledger, &file)?;
        if !report.verdict.is_verified() {
            parts.reject()?;
            return Err(UserError::not_verified(format!(
                "the file that came does not verify and is kept apart in {}\n{report}",
                parts.file().display()
            )));
        }
        if let Err(why) = plan.request()?.answered_by(&report) {
            parts.reject()?;
            return Err(UserError::not_verified(format!(
                "{why}; the file that came is kept apart in {}",
                parts.file().display()
            )));
        }
        parts.finish(&file)?;
        let disclosed = Disclosed {
            file: self.output.clone(),
            bytes: file.len(),
            records: report.records.len(),
            verdict: report.verdict,
            head: Head::of(&head),
            engaged: plan.request()?.engaged,
            findings: report.findings.iter().map(ToString::to_string).collect(),
        };
        output.data(&disclosed, text(&disclosed)?)?;
        Ok(Exit::Ok)
    }

    fn question(&self, asker: Asker, since: Option<&KeptHead>) -> Question {
        let mut fields = self.fields.clone();
        fields.sort();
        fields.dedup();
        Question {
            asker,
            ids: self.selection.ids.iter().map(ToString::to_string).collect(),
            register: self.selection.register.clone(),
            system: self.selection.system.clone(),
            since: since.map(|head| head.head().size.0),
            fields,
        }
    }

    /// The entries that were asked for, with the largest index where it is known.
    async fn select(
        &self,
        context: &Context,
        ledger: &Ledger,
        since: Option<&KeptHead>,
        output: Output,
    ) -> Result<Entries> {
        if !self.selection.ids.is_empty() {
            let ids: BTreeSet<EntryId> = self.selection.ids.iter().copied().collect();
            let mut engaged = false;
            for id in &ids {
                // What cannot be said of a record here is said of its evidence file.
                let record = ledger.record(EntryKey::Id(*id)).await;
                engaged |= record.is_ok_and(|record| is_engaged(&record));
            }
            return Ok(Entries::new(ids.into_iter().collect(), 0)?.engaged(engaged));
        }
        let filter = RecordFilter {
            organization: context.organization()?.to_owned(),
            kind: self.selection.register.clone(),
            system: self.selection.system.clone(),
            start: since.map(|head| LeafIndex(head.head().size.0)),
            ..RecordFilter::default()
        };
        let bar = output.spinner("{spinner} looking for records: {pos}");
        let count = |found: usize| bar.set_position(u64::try_from(found).unwrap_or(u64::MAX));
        let found = records(ledger, &filter, usize::MAX, count).await?;
        bar.finish_and_clear();
        // The ledger's own records stand in the chain of every evidence file.
        let found: Vec<_> = found
            .into_iter()
            .filter(|record| !record.is_of_ledger())
            .collect();
        let covering = found
            .iter()
            .map(|record| record.entry.index.0.saturating_add(1))
            .max();
        let ids = found.iter().map(|record| record.entry.entry_id).collect();
        let engaged = found.iter().any(is_engaged);
        Ok(Entries::new(ids, covering.unwrap_or(0))?.engaged(engaged))
    }

    /// The file with what the ledger does not have, and the head that it stands under: the fields of
    /// sealed records, and the saved head, which the ledger need not have kept.
    async fn complete(
        &self,
        ledger: &Ledger,
        sealed: &SealedFields,
        (file, since): (Vec<u8>, Option<&KeptHead>),
    ) -> Result<(Vec<u8>, SignedHead)> {
        let mut parsed = EvidenceFile::parse(&file)
            .map_err(|error| UserError::not_verified(format!("the evidence file: {error}")))?;
        let head = ledger.relate_head(&parsed.head.checkpoint).await;
        let head = head.context("the evidence file")?;
        let mut changed = sealed.open(&mut parsed, &self.fields)?;
        if let Some(since) = since.filter(|since| since.head().size != head.head().size) {
            let size = head.head().size;
            let (_, proof) = ledger.consistency_between(since.head(), size).await?;
            let other = OtherHead {
                checkpoint: since.note().to_owned(),
                consistency: proof.hashes().to_vec(),
            };
            add_head(&mut parsed, since.head().size, other);
            changed = true;
        }
        if !changed {
            return Ok((file, head));
        }
        let text = parsed.print().context("the evidence file")?;
        Ok((text.into_bytes(), head))
    }

    fn check(&self, ledger: &Ledger, file: &[u8]) -> Result<Report> {
        let policy = ledger.policy();
        let saved = self.selection.since.iter();
        let saved = saved
            .map(|path| read_dated(path, policy, &[]))
            .collect::<Result<Vec<_>>>()?;
        let options = Options {
            saved_heads: &saved,
            ..verifier::options_at(UnixSeconds(clock::unix_seconds()))
        };
        Ok(verify(file, policy, &options))
    }
}

/// Entries to disclose: at least one, and no more than a file may hold.
#[derive(Debug)]
struct Entries {
    ids: Vec<EntryId>,
    /// A head of this size covers all of them; 0 where that is not known.
    covering: u64,
    /// The ledger says that some of them are read under an engagement.
    engaged: bool,
}

fn is_engaged(record: &ListedRecord) -> bool {
    record.payload == PayloadStatus::Withheld
}

impl Entries {
    fn new(ids: Vec<EntryId>, covering: u64) -> Result<Self> {
        match ids.len() {
            0 => Err(UserError::usage(
                "the ledger has no record that was asked for",
            )),
            count if count > EVIDENCE_RECORDS_MAX => Err(UserError::usage(format!(
                "{count} records were asked for, and a file holds at most {EVIDENCE_RECORDS_MAX}: \
                 ask for one --register or --system at a time, or --since a head"
            ))),
            _ => Ok(Self {
                ids,
                covering,
                engaged: false,
            }),
        }
    }

    fn engaged(self, engaged: bool) -> Self {
        Self { engaged, ..self }
    }
}

/// The head to prove under, which stays the same however often the download is continued.
async fn pin(ledger: &Ledger, entries: &Entries) -> Result<TreeSize> {
    if entries.covering > 0 {
        let head = ledger
            .checkpoint_covering(TreeSize(entries.covering))
            .await?;
        return Ok(head.head().size);
    }
    let mut size = TreeSize(0);
    for id in &entries.ids {
        let proven = ledger.inclusion_once_published(EntryKey::Id(*id)).await?;
        size = size.max(proven.head.head().size);
    }
    Ok(size)
}

/// Puts a head of this size among the others, which are ascending by size.
fn add_head(file: &mut EvidenceFile, size: TreeSize, other: OtherHead) {
    let size_of = |other: &OtherHead| {
        let note = Note::parse(other.checkpoint.as_bytes()).ok()?;
        Some(Checkpoint::parse(note.text()).ok()?.head().size)
    };
    file.heads.retain(|known| size_of(known) != Some(size));
    let place = file
        .heads
        .iter()
        .position(|known| size_of(known) > Some(size));
    file.heads.insert(place.unwrap_or(file.heads.len()), other);
}

fn text(disclosed: &Disclosed) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{}: {} under the head of {} entries",
        disclosed.verdict.words(),
        counted(disclosed.records, "record"),
        disclosed.head.size
    )?;
    for finding in &disclosed.findings {
        writeln!(text, "  {finding}")?;
    }
    if disclosed.engaged {
        writeln!(
            text,
            "  under an engagement: the fields that it grants; the log tells of this read"
        )?;
    }
    let file = Path::new(&disclosed.file).display();
    write!(
        text,
        "written: {file} ({} bytes)\ncheck it anywhere: aimslog verify {file} --policy POLICY",
        disclosed.bytes
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        disclose: Disclose,
    }

    fn parse(line: &str) -> Result<Disclose, clap::Error> {
        let line = format!("disclose {line} -o f.json");
        Alone::try_parse_from(line.split_whitespace()).map(|alone| alone.disclose)
    }

    #[test]
    fn records_are_named_or_conditions_given_and_never_both() {
        let id = EntryId::of(b"entry");
        for good in [
            format!("{id}"),
            "--all".to_owned(),
            "--register finding --system sys-1".to_owned(),
            "--since head.txt --register finding".to_owned(),
        ] {
            assert!(parse(&good).is_ok(), "{good}");
        }
        for bad in [
            String::new(),
            "--fields decision".to_owned(),
            format!("{id} --all"),
            format!("{id} --register finding"),
            "--all --system sys-1".to_owned(),
            "--register nothing-like-it".to_owned(),
            "--all --fields nosuchfield".to_owned(),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
        let said = parse("").expect_err("nothing is selected").to_string();
        for way in ["<ID>", "--register", "--system", "--since", "--all"] {
            assert!(said.contains(way), "{way}: {said}");
        }
    }

    #[test]
    fn the_order_of_fields_asks_no_other_question() {
        let ask = |fields: &str| {
            let disclose = parse(&format!("--all --fields {fields}")).unwrap();
            let asker = Asker {
                service: "ledger.example/a".to_owned(),
                organization: None,
                key: "k".to_owned(),
            };
            disclose.question(asker, None)
        };
        assert_eq!(ask("decision,system"), ask("system,decision,decision"));
        assert_ne!(ask("decision"), ask("system"));
    }

    #[test]
    fn a_file_holds_at_least_one_and_no_more_than_the_limit() {
        assert!(Entries::new(Vec::new(), 0).is_err());
        let id = EntryId::of(b"entry");
        assert!(Entries::new(vec![id; EVIDENCE_RECORDS_MAX], 1).is_ok());
        let error = Entries::new(vec![id; EVIDENCE_RECORDS_MAX + 1], 1).expect_err("too many");
        assert!(error.to_string().contains("10001"), "{error}");
    }
}
