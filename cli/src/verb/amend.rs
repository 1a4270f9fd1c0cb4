//! `aimslog amend` and `aimslog retract`: new versions of what is in the log; nothing disappears.

use std::path::PathBuf;

use aimslog_client::{EntryKey, ListedRecord};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::record::Record;
use aimslog_proto::aims::submission::{Subject, Submission, SubmissionLink, Target};
use aimslog_proto::statement::disclosure::DisclosureSet;
use aimslog_proto::statement::header::{Area, Change, Header};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::json::Json;
use aimslog_proto::statement::statement::UnverifiedStatement;
use anyhow::Result;
use clap::Args;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::{entry_key, fields};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::records::{FileRecord, Lines};
use crate::sealed::SealedFields;
use crate::verb::runtime;
use crate::verb::submit::{
    AttachmentOptions, Purpose, SigningOptions, SubmitOptions, Waiting, refuse_invalid, submit,
    tell_aliases,
};

/// Log a new version of a record.
///
/// The new version carries all fields again. The old one stays: readers see both, in order.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  aimslog amend 17 decision.yaml\n  aimslog amend 3Jd0…k4 decision-corrected.json --correct"
)]
pub(crate) struct Amend {
    /// Entry id of the newest version, or its index
    #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
    entry: EntryKey,
    /// File of the one new record
    file: PathBuf,
    /// It corrects an error, rather than following a change of the facts
    #[arg(long)]
    correct: bool,
    #[command(flatten)]
    options: SubmitOptions,
}

/// Log that a record is retracted.
///
/// A new version with the same fields says so, and why. The retracted one stays in the log.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog retract 3Jd0…k4 --reason 'entered for the wrong system'")]
pub(crate) struct Retract {
    /// Entry id of the newest version, or its index
    #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
    entry: EntryKey,
    /// Why; it becomes the reason of the record's actor
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    signing: SigningOptions,
}

impl Amend {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let change = if self.correct {
            Change::Correct
        } else {
            Change::Amend
        };
        runtime()?.block_on(async {
            // Which states the record may be in depends on what it follows.
            let id = id_of(&context, self.entry).await?;
            let attachments = &self.options.attachments;
            let records = attachments.read_version(&self.file, (id, change))?;
            refuse_invalid(&records.invalid, Purpose::Send, output)?;
            tell_aliases(&records.valid, output);
            let Ok([record]) = <[FileRecord; 1]>::try_from(records.valid) else {
                return Err(UserError::usage("amend takes one new record"));
            };
            submit(&context, vec![record], &self.options, output).await
        })
    }
}

impl Retract {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        runtime()?.block_on(async {
            let id = id_of(&context, self.entry).await?;
            let mut listed = context.ledger()?.record(EntryKey::Id(id)).await?;
            let mut options = SubmitOptions {
                waiting: self.waiting.clone(),
                signing: self.signing.clone(),
                attachments: AttachmentOptions::known(),
            };
            // What was sealed is retracted sealed: its fields do not leave the house now either.
            if listed.disclosures.is_empty()
                && let Some(fields) = SealedFields::of(&context).disclosures(id)?
            {
                listed.disclosures = fields;
                options.signing.sealed = true;
            }
            let submission = self.retraction(&listed, id)?;
            let file = PathBuf::from(format!("retraction of {id}"));
            let record = FileRecord {
                file,
                number: 1,
                place: None,
                lines: Lines::new(),
                submission,
            };
            submit(&context, vec![record], &options, output).await
        })
    }

    /// The record as it was, retracted for this reason.
    fn retraction(&self, listed: &ListedRecord, id: EntryId) -> Result<Submission> {
        let statement = UnverifiedStatement::parse(&listed.statement)?;
        let header = statement.header();
        // Also of a copy that was kept here: what is signed again must be what was signed.
        fields(&statement, &listed.disclosures)?;
        let record = retracted(listed, header, &self.reason)?;
        let subject = header.evidence_subject().ok_or_else(|| {
            UserError::usage("only records are retracted, not records of the ledger itself")
        })?;
        let link = |link: &aimslog_proto::statement::header::Link| SubmissionLink {
            relation: link.relation.clone(),
            target: Target::Entry(link.target),
        };
        Ok(Submission {
            key: None,
            subject: match subject.area {
                Area::System => Subject::System(subject.id.to_owned()),
                Area::Aims => Subject::Aims(subject.id.to_owned()),
            },
            transition: header.transition.clone(),
            amends: Some((Target::Entry(id), Change::Retract)),
            links: header.links.iter().map(link).collect(),
            controls: header
                .controls
                .iter()
                .map(|control| (control.scheme.clone(), control.id.clone()))
                .collect(),
            aliases: Vec::new(),
            catalogues: Vec::new(),
            record,
        })
    }
}

/// The id of an entry. What stands at an index is proven: nobody is made to follow another record.
async fn id_of(context: &Context, key: EntryKey) -> Result<EntryId> {
    if let EntryKey::Id(id) = key {
        return Ok(id);
    }
    let ledger = context.ledger()?;
    let proven = ledger.inclusion_once_published(key).await?;
    let (bytes, leaf) = ledger.entry(key).await?;
    if leaf != proven.leaf {
        let why = "the entry that the ledger gave is not the one that it proved";
        return Err(UserError::not_verified(why));
    }
    Ok(EntryId::of(&bytes))
}

/// The fields of a record as they were disclosed, with the reason of its retraction.
fn retracted(listed: &ListedRecord, header: &Header, reason: &str) -> Result<Record> {
    let content_type = &header.content_type;
    let kind = RuleBundle::v1()
        .kind(content_type.kind(), content_type.version())
        .map_err(|violation| UserError::usage(violation.to_string()))?;
    if listed.disclosures.is_empty() {
        return Err(UserError::usage(
            "neither the ledger nor the state folder of this context holds the content of this record: \
             submit a version from your own copy, with `amends` and `\"change\": \"retract\"` in its meta",
        ));
    }
    let names: Vec<&str> = kind.field_names().collect();
    let set = DisclosureSet::parse(&listed.disclosures, &names)
        .map_err(|violations| UserError::not_verified(violations.to_string()))?;
    let values = set
        .as_slice()
        .iter()
        .map(|field| match (field.name(), field.value()) {
            (_, Json::Null) => None,
            ("actor", actor) => Some(with_reason(actor.clone(), reason)),
            (_, value) => Some(value.clone()),
        });
    Record::new(kind, values.collect()).map_err(|violations| {
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        UserError::usage(lines.join("\n"))
    })
}

/// `reason` is the last field of an actor.
fn with_reason(actor: Json, reason: &str) -> Json {
    match actor {
        Json::Object(mut fields) => {
            fields.retain(|(name, _)| name != "reason");
            fields.push(("reason".to_owned(), Json::Text(reason.to_owned())));
            Json::Object(fields)
        }
        other => other,
    }
}
