//! `aimslog submit` and `validate`: records in, places in the log out. Records are signed in [`sign`]
//! and sent in [`send`].

mod foresee;
mod known;
mod send;
mod sign;
mod told;
mod unsent;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aimslog_client::author::Author;
use aimslog_client::{ClientError, Wait};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::header::{Change, Origin};
use aimslog_proto::statement::id::EntryId;
use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::args::Connection;
use crate::attach::read_given;
use crate::broken::Broken;
use crate::context::Context;
use crate::describe::counted;
use crate::exit::Exit;
use crate::outbox::Outbox;
use crate::output::Output;
use crate::records::{
    Additions, AttachmentRules, FileRecord, Records, find_attachments, read_records,
};
use crate::sealed::SealedFields;
use crate::verb::runtime;
use foresee::foresee;
use send::{Sending, store_attachments};
use sign::{Purpose, Signing, sign_all};
use told::REFUSED;
use unsent::{Unsent, refuse};

pub(crate) use told::{ALREADY_LOGGED, LOGGED, Told, table};
pub(crate) use unsent::refuse_invalid;

/// Submit records to the ledger.
///
/// A file holds records in YAML (`---` between two; `aimslog template` makes the form) or in JSON (one, or
/// one a line); `-` is standard input. Each record has two parts: `meta` names kind, subject, links and
/// controls, `record` holds the fields. Everything is checked before anything is sent, and what is wrong
/// is named with its line. Records are signed, kept in the outbox, then sent: a run that was
/// cut off is repeated by the same command, and no record is logged twice by accident.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog submit decision.yaml
  aimslog submit policy.yaml --attach policy.pdf
  aimslog submit inventory.jsonl audit.jsonl --attach-dir files/ --wait receipt
  aimslog submit findings.yaml --known keys.json
  my-export | aimslog submit -")]
pub(crate) struct Submit {
    /// Files of records, or - for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: SubmitOptions,
}

/// What `submit` and `amend` have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubmitOptions {
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    #[command(flatten)]
    pub(crate) signing: SigningOptions,
    #[command(flatten)]
    pub(crate) attachments: AttachmentOptions,
}

/// When to be content.
#[derive(Debug, Clone, Args)]
pub(crate) struct Waiting {
    /// What to wait for: on the disks of a majority, or also under a published head with the
    /// evidence file
    #[arg(long, value_enum, default_value = "committed")]
    wait: WaitFor,
    /// Folder to write evidence files into, with --wait receipt
    #[arg(long, value_name = "DIR", default_value = ".")]
    evidence_dir: PathBuf,
}

/// How records are signed.
#[derive(Debug, Clone, Args)]
pub(crate) struct SigningOptions {
    /// Log records again that were logged before; a run that was cut off is continued without it
    #[arg(long)]
    again: bool,
    /// Send statements without their fields (kinds that allow it): the fields stay in the state folder
    /// of the context, in the only copy that there is, and `disclose` shows them later
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Keys of records of other runs, which `key:NAME` may name as well; what this run logs is added.
    /// The file is made where there is none
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Who recorded it
    #[arg(long, value_enum, default_value = "person")]
    origin: RecordedBy,
    /// For an AI agent: the principal for whom it acts
    #[arg(long, value_name = "ID", required_if_eq("origin", "ai-agent"))]
    on_behalf_of: Option<String>,
}

/// Where the attachments are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AttachmentOptions {
    /// File that belongs to the one record: its name, digest, media type and size are filled in;
    /// several allowed
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// Folder of the attachments [default: beside the record's file, or attachments/ there]
    #[arg(long, value_name = "DIR")]
    attach_dir: Option<PathBuf>,
    /// Keep this attachment (by its name) at home and log its digest alone
    #[arg(long, value_name = "NAME")]
    attach_digest: Vec<String>,
    /// The attachments were dealt with by the version before: nobody looks for them again.
    #[arg(skip)]
    known: bool,
}

impl AttachmentOptions {
    /// Those of a version whose predecessor names the same.
    pub(crate) fn known() -> Self {
        Self {
            known: true,
            ..Self::default()
        }
    }
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
    signing: SigningOptions,
    #[command(flatten)]
    attachments: AttachmentOptions,
}

/// What a context keeps of what it submits.
struct Desk {
    outbox: Outbox,
    sealed: SealedFields,
}

impl Submit {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let records = self.options.attachments.read(&self.files)?;
        refuse_invalid(&records.invalid, output)?;
        tell_aliases(&records.valid, output);
        runtime()?.block_on(submit(&context, records.valid, &self.options, output))
    }
}

impl Validate {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let records = self.attachments.read(&self.files)?;
        refuse_invalid(&records.invalid, output)?;
        tell_aliases(&records.valid, output);
        self.signing.refuse_unsealable(&records.valid, output)?;
        let count = records.valid.len();
        if self.offline {
            let (_, given) = read_given(&self.attachments.attach)?;
            find_attachments(
                &records.valid,
                &self.attachments.rules(&self.signing, &given),
            )?;
            let data = serde_json::json!({ "records": count, "invalid": [] });
            output.data(&data, format!("{} valid", counted(count, "record")))?;
            return Ok(Exit::Ok);
        }
        let context = Context::resolve(flags)?;
        runtime()?.block_on(validate(&context, records.valid, self, output))
    }
}

/// Says what became of ids that stand for others: what is signed is not what was written.
pub(crate) fn tell_aliases(records: &[FileRecord], output: Output) {
    for record in records {
        for alias in &record.submission.aliases {
            let controls = alias.controls.join(", ");
            output.say(format!(
                "{}: {} ({}) is logged as {controls}",
                record.name(),
                alias.given,
                alias.title
            ));
        }
    }
}

/// What became of the records of a run.
pub(crate) struct Sent {
    pub(crate) told: Vec<Told>,
    /// Why it did not come to its end, if it did not: what is pending waits in the outbox.
    pub(crate) cut_off: Option<anyhow::Error>,
}

/// Signs, stores attachments, sends, and prints where each record ended up.
pub(crate) async fn submit(
    context: &Context,
    records: Vec<FileRecord>,
    options: &SubmitOptions,
    output: Output,
) -> Result<Exit> {
    let sent = send_all(context, records, options, output).await?;
    output.data(&sent.told, table(&sent.told))?;
    sent.end(output)
}

/// Signs, stores attachments and sends.
pub(crate) async fn send_all(
    context: &Context,
    records: Vec<FileRecord>,
    options: &SubmitOptions,
    output: Output,
) -> Result<Sent> {
    options.signing.refuse_unsealable(&records, output)?;
    let ledger = context.ledger()?;
    let desk = Desk::of(context);
    let (_, given) = read_given(&options.attachments.attach)?;
    let rules = options.attachments.rules(&options.signing, &given);
    let attachments = find_attachments(&records, &rules)?;
    let signing = Signing {
        author: options.signing.author(context)?,
        options: &options.signing,
        attachments: &attachments,
        desk: &desk,
        purpose: Purpose::Send,
    };
    let signed = sign_all(&signing, &ledger, records, output).await?;
    store_attachments(context, &ledger, (&attachments, &signed), output).await?;
    let sending = Sending {
        ledger: &ledger,
        desk: &desk,
        waiting: &options.waiting,
        output,
    };
    let (told, cut_off) = sending.all(&signed).await;
    if let Some(path) = &options.signing.known {
        known::keep(path, &signed, &told)?;
    }
    Ok(Sent { told, cut_off })
}

impl Sent {
    /// How a run ended whose outcome has been printed.
    pub(crate) fn end(self, output: Output) -> Result<Exit> {
        if let Some(error) = self.cut_off {
            output.say(
                "cut off; what is pending waits in the outbox, and the same command continues",
            );
            return Err(error);
        }
        let refused = self.told.iter().any(|told| told.status == REFUSED);
        Ok(if refused { Exit::Refused } else { Exit::Ok })
    }
}

async fn validate(
    context: &Context,
    records: Vec<FileRecord>,
    command: &Validate,
    output: Output,
) -> Result<Exit> {
    let ledger = context.ledger()?;
    let desk = Desk::of(context);
    let options = &command.signing;
    let (_, given) = read_given(&command.attachments.attach)?;
    let rules = command.attachments.rules(options, &given);
    let attachments = find_attachments(&records, &rules)?;
    let signing = Signing {
        author: options.author(context)?,
        options,
        attachments: &attachments,
        desk: &desk,
        purpose: Purpose::Look,
    };
    let told = foresee(&signing, &ledger, records, output).await;
    let told = told.map_err(|error| match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => {
            error.context("the ledger was not asked; --offline checks what needs none")
        }
        _ => error,
    })?;
    let refused = told.iter().any(|told| told.status == REFUSED);
    output.data(&told, table(&told))?;
    Ok(if refused { Exit::Refused } else { Exit::Ok })
}

impl Desk {
    fn of(context: &Context) -> Self {
        Self {
            outbox: Outbox::new(context.state_path("outbox")),
            sealed: SealedFields::of(context),
        }
    }
}

impl AttachmentOptions {
    /// The records of some files, the one with what is attached to it.
    pub(crate) fn read(&self, files: &[PathBuf]) -> Result<Records> {
        let (given, _) = read_given(&self.attach)?;
        let added = Additions {
            attached: &given,
            amends: None,
        };
        read_records(files, added)
    }

    /// The one record of a file, as the next version of an entry.
    pub(crate) fn read_version(&self, file: &Path, amends: (EntryId, Change)) -> Result<Records> {
        let (given, _) = read_given(&self.attach)?;
        let added = Additions {
            attached: &given,
            amends: Some(amends),
        };
        read_records(&[file.to_owned()], added)
    }

    fn rules<'a>(
        &'a self,
        signing: &SigningOptions,
        given: &'a BTreeMap<String, PathBuf>,
    ) -> AttachmentRules<'a> {
        AttachmentRules {
            given,
            folder: self.attach_dir.as_deref(),
            digest_only: &self.attach_digest,
            all_digest_only: signing.sealed,
            known: self.known,
        }
    }
}

impl Waiting {
    fn wait(&self) -> Wait {
        match self.wait {
            WaitFor::Committed => Wait::Committed,
            WaitFor::Receipt => Wait::Receipt,
        }
    }
}

impl SigningOptions {
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

    /// Only some kinds may be logged without their fields.
    fn refuse_unsealable(&self, records: &[FileRecord], output: Output) -> Result<()> {
        if !self.sealed {
            return Ok(());
        }
        let bundle = RuleBundle::v1();
        let allowed = |record: &FileRecord| {
            let record = &record.submission.record;
            let kind = bundle.kind(record.kind(), record.version());
            kind.is_ok_and(Kind::is_sealed_allowed)
        };
        let sealable: Vec<&str> = bundle
            .kinds()
            .filter(|kind| kind.is_sealed_allowed())
            .map(Kind::name)
            .collect();
        let rule = format!("--sealed is for these kinds: {}", sealable.join(", "));
        let unsent = records.iter().filter(|record| !allowed(record));
        let unsent = unsent.map(|record| Unsent {
            record: record.name(),
            violations: vec![Broken::from(
                &Violation::new(Reason::MissingField, "disclosures", rule.clone())
                    .found(record.submission.record.kind()),
            )],
        });
        refuse(&unsent.collect::<Vec<_>>(), output)
    }
}
