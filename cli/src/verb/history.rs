//! `aimslog history`: all versions of one entity.

mod fields;
mod text;

use std::collections::BTreeMap;

use aimslog_client::{
    EntryKey, EvidenceRequest, History as Versions, HistoryVersion, Ledger, clock, verifier,
};
use aimslog_proto::pb::v1::PayloadStatus;
use aimslog_proto::statement::evidence::{RecordReport, SignerReport, TimeBracket};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::{Head, Link, change, entry_key, kind, payload, time};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::sealed::SealedFields;
use crate::verb::runtime;
use fields::{Changes, Shown as ShownFields};

/// Versions in one evidence file: with fields of the largest size it stays a small part of what one may
/// have.
const VERSIONS_PER_FILE: usize = 100;

/// Show all versions of an entity: who signed each, and what it changed.
///
/// Every version is checked here: bytes, signature, signer, place in the log and, where they are shown,
/// fields. Each names the version before it, so that none in the middle can be missing where you may see
/// all of them; that the last one is the newest is the ledger's claim. Values are shown where you may read
/// them; what is sealed, erased or withheld is said to be. Under an engagement the log tells the
/// organisation of the read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog history 3Jd0…k4
  aimslog history 17 --at 1200 --json")]
pub(crate) struct History {
    /// Entry id, or index, of any version
    #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
    entry: EntryKey,
    /// The versions in front of this entry [default: all under the newest head]
    #[arg(long, value_name = "INDEX")]
    at: Option<u64>,
}

#[derive(Serialize)]
struct Shown {
    organization: String,
    entity: String,
    kind: String,
    number_claim: u64,
    /// In front of this entry.
    at: u64,
    versions: Vec<Told>,
    /// How many there are, as the ledger says; absent where the reader may not see all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    count_claim: Option<u32>,
    /// Which head proves the entries.
    head: Head,
    not_proven: &'static str,
}

#[derive(Serialize)]
struct Told {
    version: u32,
    index: u64,
    entry_id: String,
    kind: String,
    /// `opened`, `amend`, `correct` or `retract`.
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    /// The state before, where that version is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_from: Option<String>,
    state: String,
    signed_at_claim: String,
    registered_at_claim: String,
    /// As far as cosigned heads bound it.
    logged: TimeBracket,
    signer: SignerReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    controls: Vec<String>,
    payload: &'static str,
    fields_shown: usize,
    fields_total: u64,
    /// What differs from the version shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
}

const CLAIM: &str = "that the last version is the newest one there is the ledger's claim";
const PART: &str =
    "this is what your role or engagement shows: there may be versions that it does not";

impl History {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let organization = context.organization()?;
        let shown = runtime.block_on(self.look_up(&ledger, (&context, organization), output))?;
        output.data(&shown, text::of(&shown)?)?;
        Ok(Exit::Ok)
    }

    async fn look_up(
        &self,
        ledger: &Ledger,
        (context, organization): (&Context, &str),
        output: Output,
    ) -> Result<Shown> {
        let mut history = ledger.history(organization, self.entry, self.at.map(LeafIndex));
        let versions = read(&mut history, output).await?;
        let at = history.at().context("the history has no page")?;
        let Some(first) = versions.first().map(|first| &first.version) else {
            return Err(UserError::refused(format!(
                "no version of the entity stands in front of entry {at}, or none that you may see"
            )));
        };
        let head = history.head().context("the history has no page")?;
        let (number, entity) = (first.entry.register_number, first.entity.to_string());
        let kind = first.header.content_type.kind().to_owned();
        let reports = prove(ledger, (&versions, head.head().size), output).await?;
        Ok(Shown {
            organization: organization.to_owned(),
            entity,
            kind,
            number_claim: number,
            at: at.0,
            versions: shown(&SealedFields::of(context), &versions, reports)?,
            count_claim: history.count(),
            head: Head::of(head),
            not_proven: if history.count().is_some() {
                CLAIM
            } else {
                PART
            },
        })
    }
}

async fn read(history: &mut Versions<'_>, output: Output) -> Result<Vec<HistoryVersion>> {
    let bar = output.spinner("{spinner} reading the history: {pos} versions");
    let mut versions = Vec::new();
    while let Some(page) = history.page().await? {
        versions.extend(page);
        bar.set_position(u64::try_from(versions.len()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
    Ok(versions)
}

/// Signer, time and fields of each version, from evidence files under one head.
async fn prove(
    ledger: &Ledger,
    (versions, under): (&[HistoryVersion], TreeSize),
    output: Output,
) -> Result<BTreeMap<String, RecordReport>> {
    let bar = output.progress(versions.len(), "versions");
    let mut reports = BTreeMap::new();
    for some in versions.chunks(VERSIONS_PER_FILE) {
        let id = |version: &HistoryVersion| -> EntryId { version.version.entry.entry_id };
        let request = EvidenceRequest {
            entries: some.iter().map(id).collect(),
            engaged: some
                .iter()
                .any(|version| version.payload == PayloadStatus::Withheld),
            under: Some(under),
            ..EvidenceRequest::default()
        };
        let file = ledger.evidence(&request).await?;
        let now = UnixSeconds(clock::unix_seconds());
        let report = verifier::verify(&file, ledger.policy(), now);
        reports
            .extend((report.records.into_iter()).map(|record| (record.entry_id.clone(), record)));
        bar.inc(u64::try_from(some.len()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
    Ok(reports)
}

/// The versions with what each changed.
fn shown(
    sealed: &SealedFields,
    versions: &[HistoryVersion],
    mut reports: BTreeMap<String, RecordReport>,
) -> Result<Vec<Told>> {
    let mut shown = Vec::with_capacity(versions.len());
    let mut before: Option<(String, ShownFields)> = None;
    for version in versions {
        let id = version.version.entry.entry_id.to_string();
        let report = reports
            .remove(&id)
            .ok_or_else(|| UserError::not_verified("the evidence file is of other records"))?;
        let fields = ShownFields::of(sealed, version, &report)?;
        let state = version.version.state.clone();
        let changes = before.as_ref().map(|(_, before)| before.compare(&fields));
        let state_from = before.map(|(state, _)| state);
        shown.push(told(version, report, (state_from, changes, &fields)));
        before = Some((state, fields));
    }
    Ok(shown)
}

fn told(
    version: &HistoryVersion,
    report: RecordReport,
    (state_from, changes, fields): (Option<String>, Option<Changes>, &ShownFields),
) -> Told {
    let HistoryVersion {
        version,
        payload: status,
    } = version;
    let header = &version.header;
    let revision = header.revision;
    let links = header.links.iter().map(|link| Link {
        relation: link.relation.clone(),
        target: link.target.to_string(),
    });
    let controls = header.controls.iter();
    Told {
        version: version.version,
        index: report.index,
        kind: kind(&header.content_type),
        change: revision.map_or("opened", |revision| change(revision.change)),
        previous: revision.map(|revision| revision.previous.to_string()),
        state_from,
        state: version.state.clone(),
        signed_at_claim: time(header.issued.0),
        registered_at_claim: time(version.entry.registered_at.0 / 1000),
        logged: report.time,
        signer: report.signer,
        links: links.collect(),
        controls: controls
            .map(|control| format!("{} {}", control.scheme, control.id))
            .collect(),
        payload: payload(*status),
        fields_shown: fields.len(),
        fields_total: report.fields_total,
        entry_id: report.entry_id,
        changes,
    }
}
