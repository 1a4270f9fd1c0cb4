//! `aimslog submit`, `validate`, `amend` and `retract`: records in, places in the log out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aimslog_client::author::{Author, ComposeError, Identity, Referred, Surroundings};
use aimslog_client::{EntryKey, FinishedStatement, Ledger, Outcome, Wait, clock};
use aimslog_proto::aims::submission::Target;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::header::Origin;
use aimslog_proto::statement::id::{EntryId, StatementId};
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::time::UnixSeconds;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::outbox::{Kept, Outbox};
use crate::output::Output;
use crate::records::{
    AttachmentRules, Attachments, FileRecord, Invalid, find_attachments, read_records,
};
use crate::verb::runtime;

/// How many statements are sent in one request: few enough that progress is seen.
const SENT_AT_ONCE: usize = 64;

/// Submit records to the ledger.
///
/// A file holds one record, or one a line (JSON lines); `-` is standard input. Each record is
/// `{"meta": {...}, "record": {...}}`; `meta` names kind, subject, links and controls. Everything is
/// checked before anything is sent. Records are signed, kept in the outbox, then sent: a run that was
/// cut off is repeated by the same command, and no record is logged twice by accident.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog submit decision.json
  aimslog submit inventory.jsonl audit.jsonl --attach-dir files/ --wait receipt
  my-export | aimslog submit -")]
pub(crate) struct Submit {
    /// Files of records, or - for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: SubmitOptions,
}

/// What `submit` and `amend` have in common.
#[derive(Debug, Args)]
pub(crate) struct SubmitOptions {
    /// What to wait for: on the disks of a majority, or also under a published head with the
    /// evidence file
    #[arg(long, value_enum, default_value = "committed")]
    wait: WaitFor,
    /// Folder to write evidence files into, with --wait receipt
    #[arg(long, value_name = "DIR", default_value = ".")]
    evidence_dir: PathBuf,
    /// Log records again that were logged before
    #[arg(long)]
    again: bool,
    /// Send statements without their disclosures, which stay here (kinds that allow it)
    #[arg(long)]
    sealed: bool,
    /// Folder of the attachments [default: beside the record's file, or attachments/ there]
    #[arg(long, value_name = "DIR")]
    attach_dir: Option<PathBuf>,
    /// Keep this attachment (by its name) at home and log its digest alone
    #[arg(long, value_name = "NAME")]
    attach_digest: Vec<String>,
    /// Who recorded it
    #[arg(long, value_enum, default_value = "person")]
    origin: RecordedBy,
    /// For an AI agent: the principal for whom it acts
    #[arg(long, value_name = "ID", required_if_eq("origin", "ai-agent"))]
    on_behalf_of: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WaitFor {
    Committed,
    Receipt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecordedBy {
    Person,
    System,
    AiAgent,
}

/// Check records without storing anything.
///
/// Says everything that `submit` would refuse here, and, unless --offline is given, asks the ledger
/// what it would answer now.
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Files of records, or - for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Ask no ledger
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    options: SubmitOptions,
}

/// Where a record ended up.
#[derive(Debug, Serialize)]
struct Told {
    record: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    status: &'static str,
    entry_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<String>,
}

/// A record that is signed and on its way.
struct Signed {
    record: FileRecord,
    id: StatementId,
    statement: FinishedStatement,
    /// The index, where the outbox knows that it is in the log.
    known: Option<u64>,
}

/// How the records of a run are signed.
struct Signing<'a> {
    author: Author,
    options: &'a SubmitOptions,
    attachments: &'a Attachments,
}

impl Submit {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let records = read_records(&self.files)?;
        refuse_invalid(&records.invalid, output)?;
        runtime()?.block_on(submit(&context, records.valid, &self.options, output))
    }
}

impl Validate {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let records = read_records(&self.files)?;
        refuse_invalid(&records.invalid, output)?;
        let count = records.valid.len();
        if self.offline {
            let data = serde_json::json!({ "records": count, "violations": [] });
            output.data(&data, format!("{count} records are valid"))?;
            return Ok(Exit::Ok);
        }
        let context = Context::resolve(flags)?;
        runtime()?.block_on(validate(&context, records.valid, &self.options, output))
    }
}

/// Nothing is sent where one record of the run is invalid: all of them are named at once.
fn refuse_invalid(invalid: &[Invalid], output: Output) -> Result<()> {
    if invalid.is_empty() {
        return Ok(());
    }
    for record in invalid {
        for violation in &record.violations {
            output.say(format!(
                "{}:{}: {violation}",
                record.file.display(),
                record.line
            ));
        }
    }
    Err(UserError::usage(format!(
        "{} records are invalid; nothing was sent",
        invalid.len()
    )))
}

/// Signs, stores attachments, sends, and prints where each record ended up.
pub(crate) async fn submit(
    context: &Context,
    records: Vec<FileRecord>,
    options: &SubmitOptions,
    output: Output,
) -> Result<Exit> {
    let ledger = context.ledger()?;
    let outbox = Outbox::new(context.state_path("outbox"));
    let attachments = find_attachments(&records, &options.attachment_rules())?;
    let signing = Signing {
        author: options.author(context)?,
        options,
        attachments: &attachments,
    };
    let signed = sign_all(&signing, &ledger, records, Some(&outbox)).await?;
    store_attachments(context, &ledger, &attachments, output).await?;
    let told = send_all(&ledger, &outbox, signed, options, output).await?;
    let refused = told.iter().filter(|told| told.status == "refused").count();
    output.data(&told, table(&told))?;
    Ok(if refused > 0 { Exit::Refused } else { Exit::Ok })
}

async fn validate(
    context: &Context,
    records: Vec<FileRecord>,
    options: &SubmitOptions,
    output: Output,
) -> Result<Exit> {
    let ledger = context.ledger()?;
    let attachments = find_attachments(&records, &options.attachment_rules())?;
    let signing = Signing {
        author: options.author(context)?,
        options,
        attachments: &attachments,
    };
    let signed = sign_all(&signing, &ledger, records, None).await?;
    let statements: Vec<FinishedStatement> = signed
        .iter()
        .map(|signed| signed.statement.clone())
        .collect();
    let answers = ledger.validate(&statements).await?;
    let mut told = Vec::new();
    for (signed, violations) in signed.into_iter().zip(answers) {
        told.push(Told {
            record: signed.record.name(),
            key: signed.record.submission.key,
            status: if violations.is_empty() {
                "valid"
            } else {
                "refused"
            },
            entry_id: signed.statement.entry_id().to_string(),
            index: None,
            evidence: None,
            violations: violations.iter().map(ToString::to_string).collect(),
        });
    }
    let refused = told.iter().any(|told| told.status == "refused");
    output.data(&told, table(&told))?;
    Ok(if refused { Exit::Refused } else { Exit::Ok })
}

impl SubmitOptions {
    fn attachment_rules(&self) -> AttachmentRules<'_> {
        AttachmentRules {
            folder: self.attach_dir.as_deref(),
            digest_only: &self.attach_digest,
            all_digest_only: self.sealed,
        }
    }

    fn author(&self, context: &Context) -> Result<Author> {
        Ok(Author {
            key: context.key()?,
            organization: context.organization()?.to_owned(),
            service_id: context.service_id()?,
            origin: match self.origin {
                RecordedBy::Person => Origin::Person,
                RecordedBy::System => Origin::System,
                RecordedBy::AiAgent => Origin::AiAgent,
            },
            on_behalf_of: self.on_behalf_of.clone(),
        })
    }
}

/// Signs every record that the outbox does not hold already. Links to records earlier in the run are
/// known as soon as those are signed, because an entry's id is the hash of its bytes.
async fn sign_all(
    signing: &Signing<'_>,
    ledger: &Ledger,
    records: Vec<FileRecord>,
    outbox: Option<&Outbox>,
) -> Result<Vec<Signed>> {
    let Signing {
        author,
        options,
        attachments,
    } = signing;
    let mut known = entities_of_amended(ledger, &records).await?;
    let mut signed = Vec::with_capacity(records.len());
    for record in records {
        let derived = author.statement_id(&record.submission)?;
        let kept = match outbox {
            Some(outbox) if !options.again => outbox.kept(derived)?,
            _ => None,
        };
        let (statement, index) = match kept {
            Some(Kept::Logged { statement, index }) => {
                let (disclosures, digest_only) = (Vec::new(), Vec::new());
                (
                    FinishedStatement {
                        statement,
                        disclosures,
                        digest_only,
                    },
                    Some(index),
                )
            }
            Some(Kept::Pending(statement)) => (statement, None),
            None => {
                let identity = if options.again {
                    Identity::Fresh(rand::random())
                } else {
                    Identity::OfRecord
                };
                let mut statement = finish(author, &record, identity, &known)?;
                statement.digest_only = kept_at_home(&record, attachments);
                (
                    if options.sealed {
                        statement.sealed()
                    } else {
                        statement
                    },
                    None,
                )
            }
        };
        let id = if options.again {
            id_of(&statement)?
        } else {
            derived
        };
        if let (Some(outbox), None) = (outbox, index) {
            outbox.keep(id, &statement)?;
        }
        if let Some(key) = &record.submission.key {
            let referred = referred(&statement.statement)?;
            known.insert(Target::Key(key.clone()), referred);
        }
        signed.push(Signed {
            record,
            id,
            statement,
            known: index,
        });
    }
    Ok(signed)
}

fn finish(
    author: &Author,
    record: &FileRecord,
    identity: Identity,
    known: &BTreeMap<Target, Referred>,
) -> Result<FinishedStatement> {
    let mut surroundings = Surroundings {
        now: UnixSeconds(clock::unix_seconds()),
        salt: &mut rand::random,
        resolve: &|target| match target {
            Target::Entry(id) => Some(known.get(target).copied().unwrap_or(Referred {
                entry: *id,
                entity: *id,
            })),
            Target::Key(_) => known.get(target).copied(),
        },
    };
    author
        .finish(&record.submission, identity, &mut surroundings)
        .map_err(|error| match error {
            ComposeError::Violations(violations) => {
                let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
                UserError::usage(format!("{}: {}", record.name(), lines.join("\n")))
            }
            other => anyhow::Error::new(other).context(record.name()),
        })
}

fn kept_at_home(record: &FileRecord, attachments: &Attachments) -> Vec<[u8; 32]> {
    crate::records::attachments_of(&record.submission)
        .into_iter()
        .map(|attachment| attachment.digest)
        .filter(|digest| attachments.kept.contains(digest))
        .collect()
}

fn id_of(statement: &FinishedStatement) -> Result<StatementId> {
    Ok(UnverifiedStatement::parse(&statement.statement)?
        .header()
        .id)
}

/// An entry and the entity that it is a version of, read from its own header.
fn referred(statement: &[u8]) -> Result<Referred> {
    let parsed = UnverifiedStatement::parse(statement)?;
    let entry = parsed.entry_id();
    let entity = parsed
        .header()
        .revision
        .as_ref()
        .map_or(entry, |revision| revision.entity);
    Ok(Referred { entry, entity })
}

/// For every record that amends an entry of the log: the entity that the entry is a version of.
async fn entities_of_amended(
    ledger: &Ledger,
    records: &[FileRecord],
) -> Result<BTreeMap<Target, Referred>> {
    let mut known = BTreeMap::new();
    for record in records {
        if let Some((target @ Target::Entry(id), _)) = &record.submission.amends {
            let (statement, _) = ledger.entry(EntryKey::Id(*id)).await?;
            known.insert(target.clone(), referred(&statement)?);
        }
    }
    Ok(known)
}

async fn store_attachments(
    context: &Context,
    ledger: &Ledger,
    attachments: &Attachments,
    output: Output,
) -> Result<()> {
    let progress = output.progress(attachments.stored.len(), "attachments");
    for path in attachments.stored.values() {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        ledger.put_blob(context.organization()?, &content).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

async fn send_all(
    ledger: &Ledger,
    outbox: &Outbox,
    signed: Vec<Signed>,
    options: &SubmitOptions,
    output: Output,
) -> Result<Vec<Told>> {
    let wait = match options.wait {
        WaitFor::Committed => Wait::Committed,
        WaitFor::Receipt => Wait::Receipt,
    };
    let progress = output.progress(signed.len(), "records");
    let mut told = Vec::with_capacity(signed.len());
    let mut rest = signed.into_iter().peekable();
    while rest.peek().is_some() {
        let part: Vec<Signed> = rest.by_ref().take(SENT_AT_ONCE).collect();
        let to_send: Vec<FinishedStatement> = part
            .iter()
            .filter(|signed| signed.known.is_none())
            .map(|signed| signed.statement.clone())
            .collect();
        let mut outcomes = ledger.submit(&to_send, wait).await?.into_iter();
        for signed in part {
            let outcome = if signed.known.is_none() {
                outcomes.next()
            } else {
                None
            };
            told.push(settle(outbox, signed, outcome, options)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(told)
}

/// Writes down what became of a record, in the outbox and for the person.
fn settle(
    outbox: &Outbox,
    signed: Signed,
    outcome: Option<Outcome>,
    options: &SubmitOptions,
) -> Result<Told> {
    let entry_id = signed.statement.entry_id();
    let mut told = Told {
        record: signed.record.name(),
        key: signed.record.submission.key,
        status: "already logged",
        entry_id: entry_id.to_string(),
        index: signed.known,
        evidence: None,
        violations: Vec::new(),
    };
    match outcome {
        None => {}
        Some(Outcome::Logged {
            entry,
            already,
            evidence,
        }) => {
            outbox.logged(signed.id, &signed.statement.statement, entry.index.0)?;
            told.status = if already { "already logged" } else { "logged" };
            told.index = Some(entry.index.0);
            told.evidence = evidence
                .map(|file| write_evidence(&options.evidence_dir, entry_id, &file))
                .transpose()?;
        }
        Some(Outcome::Refused {
            violations,
            newest_version,
        }) => {
            outbox.forget(signed.id)?;
            told.status = "refused";
            told.violations = violations
                .iter()
                .map(|v| explain(v, newest_version))
                .collect();
        }
    }
    Ok(told)
}

fn explain(violation: &Violation, newest: Option<EntryId>) -> String {
    match (violation.reason, newest) {
        (Reason::VersionConflict, Some(newest)) => {
            format!("{violation}; the newest version is {newest}: amend that one")
        }
        (Reason::IdConflict, _) => format!(
            "{violation}; this key has logged this record before: --again logs it once more"
        ),
        _ => violation.to_string(),
    }
}

fn write_evidence(folder: &Path, entry: EntryId, file: &[u8]) -> Result<PathBuf> {
    let path = folder.join(format!("{entry}.evidence.json"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, file))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn table(told: &[Told]) -> String {
    let mut lines = Vec::new();
    for told in told {
        let index = told
            .index
            .map_or_else(String::new, |index| format!(" at index {index}"));
        lines.push(format!(
            "{:<14} {}{index}  {}",
            told.status, told.entry_id, told.record
        ));
        lines.extend(
            told.violations
                .iter()
                .map(|violation| format!("    {violation}")),
        );
        if let Some(path) = &told.evidence {
            lines.push(format!("    evidence in {}", path.display()));
        }
    }
    lines.join("\n")
}
