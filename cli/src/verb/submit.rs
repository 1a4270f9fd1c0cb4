//! `aimslog submit` and `validate`: records in, places in the log out. Records are signed in [`sign`]
//! and sent in [`send`].

mod attachments;
mod foresee;
mod known;
mod options;
mod send;
mod sign;
mod told;
mod unsent;

use std::path::PathBuf;

use aimslog_client::ClientError;
use anyhow::Result;
use clap::Args;

use crate::args::Connection;
use crate::attach::read_given;
use crate::context::Context;
use crate::describe::counted;
use crate::exit::Exit;
use crate::outbox::Outbox;
use crate::output::Output;
use crate::records::FileRecord;
use crate::sealed::SealedFields;
use crate::verb::runtime;
use attachments::find_attachments;
use foresee::foresee;
use send::{Sending, store_attachments};
use sign::{Signing, sign_all};

pub(crate) use options::{AttachmentOptions, SigningOptions, Waiting};
pub(crate) use sign::Purpose;
pub(crate) use told::{ALREADY_LOGGED, LOGGED, REFUSED, Told, table};
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
        refuse_invalid(&records.invalid, Purpose::Send, output)?;
        tell_aliases(&records.valid, output);
        runtime()?.block_on(submit(&context, records.valid, &self.options, output))
    }
}

impl Validate {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let records = self.attachments.read(&self.files)?;
        refuse_invalid(&records.invalid, Purpose::Look, output)?;
        tell_aliases(&records.valid, output);
        let count = records.valid.len();
        if self.offline {
            let look = (Purpose::Look, output);
            self.signing.refuse_unsealable(&records.valid, look)?;
            let (_, given) = read_given(&self.attachments.attach)?;
            let rules = self.attachments.rules(&self.signing, &given);
            find_attachments(&records.valid, &rules, look)?;
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

/// Who is told what became of each part of a run.
pub(crate) type OnPart<'a> = &'a mut dyn FnMut(&[Told]) -> Result<()>;

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
    let sent = send_all(context, records, options, (&mut |_| Ok(()), output)).await?;
    output.data(&sent.told, table(&sent.told))?;
    sent.end(output)
}

/// Signs, stores attachments and sends. What became of each part is told as soon as the ledger has
/// acknowledged it.
pub(crate) async fn send_all(
    context: &Context,
    records: Vec<FileRecord>,
    options: &SubmitOptions,
    (on_part, output): (OnPart<'_>, Output),
) -> Result<Sent> {
    let send = (Purpose::Send, output);
    options.signing.refuse_unsealable(&records, send)?;
    let ledger = context.ledger()?;
    let desk = Desk::of(context);
    let (_, given) = read_given(&options.attachments.attach)?;
    let rules = options.attachments.rules(&options.signing, &given);
    let attachments = find_attachments(&records, &rules, send)?;
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
    let (told, cut_off) = sending.all(&signed, on_part).await;
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
    let told = look_ahead(
        context,
        records,
        (&command.signing, &command.attachments),
        output,
    )
    .await;
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

/// What the ledger would say of records if they were submitted now. Nothing is sent, and nothing kept.
pub(crate) async fn look_ahead(
    context: &Context,
    records: Vec<FileRecord>,
    (options, attached): (&SigningOptions, &AttachmentOptions),
    output: Output,
) -> Result<Vec<Told>> {
    let look = (Purpose::Look, output);
    options.refuse_unsealable(&records, look)?;
    let ledger = context.ledger()?;
    let desk = Desk::of(context);
    let (_, given) = read_given(&attached.attach)?;
    let rules = attached.rules(options, &given);
    let attachments = find_attachments(&records, &rules, look)?;
    let signing = Signing {
        author: options.author(context)?,
        options,
        attachments: &attachments,
        desk: &desk,
        purpose: Purpose::Look,
    };
    foresee(&signing, &ledger, records, output).await
}

impl Desk {
    fn of(context: &Context) -> Self {
        Self {
            outbox: Outbox::new(context.state_path("outbox")),
            sealed: SealedFields::of(context),
        }
    }
}
