//! `aimslog get`: one record, and what of it is proven.

use std::fmt::Write as _;
use std::path::PathBuf;

use aimslog_client::{
    ClientError, EntryKey, EvidenceRequest, Ledger, ListedRecord, ProvenInclusion, clock, verifier,
};
use aimslog_proto::pb::v1::PayloadStatus;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::evidence::{RecordReport, printable};
use aimslog_proto::statement::header::Family;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::time::UnixSeconds;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::{Claims, Field, Head, entry_key, fields, payload, time};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::sealed::SealedFields;
use crate::verb::prove::write;
use crate::verb::runtime;

/// Show one record: who says what, and which part of it is proven.
///
/// Entry, fields, place in the log and signer are checked here, against the policy. What only the
/// ledger says (registration time, register number) is called its claim. To prove the record to
/// somebody else, see `disclose`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aimslog get 3Jd0…k4\n  aimslog get 17 --statement 17.cose")]
pub(crate) struct Get {
    /// Entry id, or index
    #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
    entry: EntryKey,
    /// Write the entry's bytes (the signed statement) to this file
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,
}

#[derive(Serialize)]
struct Shown {
    entry_id: String,
    header: Claims,
    /// `present`, `sealed`, `erased`, `public`, or `not_visible`.
    payload: &'static str,
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    /// Signer and bracket of time, as an evidence file proves them.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven: Option<RecordReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims_of_the_ledger: Option<LedgerClaims>,
    not_proven: Vec<&'static str>,
}

#[derive(Serialize)]
struct Place {
    index: u64,
    head: Head,
}

/// What stands in no leaf.
#[derive(Serialize)]
struct LedgerClaims {
    index: u64,
    registered_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    register_number: Option<u64>,
}

impl Get {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let (shown, bytes) =
            runtime.block_on(look_up(&ledger, &SealedFields::of(&context), self.entry))?;
        if let Some(file) = &self.statement {
            write(file, &bytes)?;
        }
        output.data(&shown, text(&shown)?)?;
        Ok(Exit::Ok)
    }
}

async fn look_up(
    ledger: &Ledger,
    sealed: &SealedFields,
    key: EntryKey,
) -> Result<(Shown, Vec<u8>)> {
    let mut record = match ledger.record(key).await {
        Err(error) if has_reason(&error, Reason::NotVisible) => None,
        other => Some(other?),
    };
    // Not a record of the reader: the entry itself, which holds no personal data.
    let bytes = match &record {
        Some(record) => record.statement.clone(),
        None => ledger.entry(key).await?.0,
    };
    let id = EntryId::of(&bytes);
    // The fields of a sealed record are here or nowhere; they are checked like any.
    if let Some(record) = &mut record
        && record.disclosures.is_empty()
    {
        record.disclosures = sealed.disclosures(id)?.unwrap_or_default();
    }
    let inclusion = match ledger.inclusion(EntryKey::Id(id)).await {
        Err(error) if has_reason(&error, Reason::BeyondTree) => None,
        other => Some(other?),
    };
    check_index(key, inclusion.as_ref())?;
    let statement = UnverifiedStatement::parse(&bytes).context("the entry")?;
    let is_of_ledger = statement.header().content_type.family() == Family::Ledger;
    let proven = match (&record, &inclusion) {
        (Some(record), Some(inclusion)) if !is_of_ledger => {
            Some(prove(ledger, record, inclusion).await?)
        }
        _ => None,
    };
    let signer = if proven.is_some() {
        Signer::Proven
    } else if is_of_ledger {
        Signer::InEveryChain
    } else {
        Signer::NotChecked
    };
    let shown = Shown {
        entry_id: id.to_string(),
        header: Claims::of(statement.header()),
        payload: record
            .as_ref()
            .map_or("not_visible", |record| payload(record.payload)),
        fields: record.as_ref().map_or_else(
            || Ok(Vec::new()),
            |record| fields(&statement, &record.disclosures),
        )?,
        not_proven: not_proven(inclusion.is_some(), signer),
        place: inclusion.map(|proven| Place {
            index: proven.proof.index().0,
            head: Head::of(&proven.head),
        }),
        proven,
        claims_of_the_ledger: record.as_ref().map(claims_of),
    };
    Ok((shown, bytes))
}

fn has_reason(error: &ClientError, reason: Reason) -> bool {
    matches!(error, ClientError::Refused(refusal) if refusal.reason == Some(reason))
}

/// Asked for by its index, the entry must stand at that index.
fn check_index(key: EntryKey, inclusion: Option<&ProvenInclusion>) -> Result<()> {
    match (key, inclusion) {
        (EntryKey::Index(index), Some(proven)) if proven.proof.index() != index => {
            Err(UserError::not_verified(format!(
                "the entry that the ledger gave for index {index} stands at {}",
                proven.proof.index()
            )))
        }
        _ => Ok(()),
    }
}

/// Signer and time of a record, from its evidence file.
async fn prove(
    ledger: &Ledger,
    record: &ListedRecord,
    inclusion: &ProvenInclusion,
) -> Result<RecordReport> {
    let id = record.entry.entry_id;
    let request = EvidenceRequest {
        entries: vec![id],
        engaged: record.payload == PayloadStatus::Withheld,
        under: Some(inclusion.head.head().size),
        ..EvidenceRequest::default()
    };
    let file = ledger.evidence(&request).await?;
    let now = UnixSeconds(clock::unix_seconds());
    let report = verifier::verify(&file, ledger.policy(), now);
    let record = report
        .records
        .into_iter()
        .find(|record| record.entry_id == id.to_string());
    record.ok_or_else(|| UserError::not_verified("the evidence file is of another record"))
}

fn claims_of(record: &ListedRecord) -> LedgerClaims {
    LedgerClaims {
        index: record.entry.index.0,
        registered_at: time(record.entry.registered_at.0 / 1000),
        register_number: Some(record.entry.register_number).filter(|number| *number > 0),
    }
}

/// What is known of who signed the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signer {
    /// An evidence file proves it.
    Proven,
    /// It is a record of the ledger itself, which has no evidence file of its own.
    InEveryChain,
    /// It is a record of somebody else, or under no head yet.
    NotChecked,
}

fn not_proven(has_place: bool, signer: Signer) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !has_place {
        missing.push("its place: no published head covers it yet");
    }
    match signer {
        Signer::Proven => {}
        Signer::InEveryChain => missing.push(
            "who signed it: a record of the ledger itself stands in the chain of every evidence file \
             that needs it, and is checked there",
        ),
        Signer::NotChecked => {
            missing.push("who signed it: the header names a key, the chain to it was not checked");
        }
    }
    missing.push("that it is true");
    missing
}

fn text(shown: &Shown) -> Result<String> {
    let mut text = format!("entry {}\n", shown.entry_id);
    header(&mut text, &shown.header)?;
    let copy = if shown.payload == "sealed" && !shown.fields.is_empty() {
        ", from the copy that is kept here"
    } else {
        ""
    };
    writeln!(text, "fields ({}{copy})", shown.payload)?;
    for field in &shown.fields {
        let value = match &field.value {
            serde_json::Value::Null => "(absent)".to_owned(),
            value => printable(&value.to_string()),
        };
        writeln!(text, "  {}: {value}", field.name)?;
    }
    writeln!(text, "proven")?;
    writeln!(text, "  the bytes are those of the entry id")?;
    if !shown.fields.is_empty() {
        writeln!(
            text,
            "  the fields are all those that the statement commits to, unchanged"
        )?;
    }
    if let Some(place) = &shown.place {
        writeln!(
            text,
            "  in the log at index {} of {}, cosigned by {}",
            place.index,
            place.head.size,
            place.head.cosigned_by()
        )?;
    }
    if let Some(proven) = &shown.proven {
        writeln!(text, "  signed by {}", proven.signer)?;
        writeln!(text, "  logged {}", proven.time)?;
        writeln!(text, "  held outside {}", proven.held_outside)?;
    }
    if let Some(claims) = &shown.claims_of_the_ledger {
        writeln!(text, "claimed by the ledger alone")?;
        writeln!(text, "  registered at {}", claims.registered_at)?;
        if let Some(number) = claims.register_number {
            writeln!(text, "  number {number} of its register")?;
        }
    }
    writeln!(text, "not proven\n  {}", shown.not_proven.join("\n  "))?;
    Ok(text)
}

fn header(text: &mut String, header: &Claims) -> Result<()> {
    let mut line = |name: &str, value: &str| writeln!(text, "  {name:<14} {}", printable(value));
    line("kind", &header.kind)?;
    line("about", &header.subject)?;
    line("issuer", &header.issuer)?;
    line(
        "signed at",
        &format!("{}, says the signer", header.signed_at),
    )?;
    line("key", &header.key)?;
    if let Some(origin) = header.origin {
        line("made by", origin)?;
    }
    if let Some(principal) = &header.on_behalf_of {
        line("on behalf of", principal)?;
    }
    if let Some(version) = &header.version {
        line("change", version.change)?;
        line("entity", &version.entity)?;
        line("previous", &version.previous)?;
    }
    if let Some(transition) = &header.transition {
        line("transition", transition)?;
    }
    for link in &header.links {
        line("link", &format!("{} {}", link.relation, link.target))?;
    }
    for control in &header.controls {
        line("control", control)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aimslog_proto::tlog::LeafIndex;

    use super::*;

    #[test]
    fn what_is_missing_is_said_and_truth_is_never_claimed() {
        assert_eq!(not_proven(true, Signer::Proven), ["that it is true"]);
        assert_eq!(not_proven(false, Signer::NotChecked).len(), 3);
        let of_ledger = not_proven(true, Signer::InEveryChain);
        assert!(of_ledger[0].contains("chain of every"), "{of_ledger:?}");
    }

    #[test]
    fn an_entry_without_a_head_is_not_refused_for_its_index() {
        assert!(check_index(EntryKey::Index(LeafIndex(3)), None).is_ok());
    }
}
