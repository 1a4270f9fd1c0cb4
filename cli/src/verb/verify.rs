//! `aimslog verify`: checks evidence offline, with the policy file and nothing else.

use std::fs;
use std::path::PathBuf;

use aimslog_client::{clock, verifier};
use aimslog_proto::statement::evidence::{Code, Options, Report, SavedHead, verify};
use aimslog_proto::statement::key::{PublicKey, Thumbprint};
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{Genesis, Payload as _};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Policy;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::{Context, read, read_policy};
use crate::describe::unmarked;
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::records::digest_of;
use crate::saved::{read_dated, read_policies};
use crate::verb::key::hex;

/// Check evidence offline: an evidence file, a .tlog-proof, a receipt or a checkpoint.
///
/// Needs no network and no configuration but the policy file, which you got from the ledger's
/// operator once and whose fingerprint you compared (`aimslog policy fingerprint`). One failing
/// record fails the file.
///
/// The answer is VERIFIED, VERIFIED WITH LIMITS (each is named), NOT VERIFIED or CANNOT TELL. It says
/// who logged what, when at the latest, and that nothing was changed since; never that a record is
/// true.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog verify audit.evidence.json --policy policy.txt
  aimslog verify audit.evidence.json --policy policy.txt --since last-year.checkpoint
  aimslog verify receipt.cbor --policy policy.txt --entry statement.cose --checkpoint head.txt")]
pub(crate) struct Verify {
    /// The file to check
    file: PathBuf,
    /// A checkpoint that you saved earlier (`aimslog checkpoint --save`): the file must show that the
    /// log extends it (`aimslog disclose --since`), or the answer is CANNOT TELL
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
    /// The policy under which that checkpoint was saved, if it is another one by now (the operators
    /// have replaced a node): keep all that you ever used
    #[arg(long, value_name = "FILE", requires = "since")]
    since_policy: Vec<PathBuf>,
    /// A file whose digest must be named in a record shown (an attachment, also one kept at home), or
    /// the answer is NOT VERIFIED
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// The log entry (statement) that a bare proof or receipt is for
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// The cosigned checkpoint that a bare receipt stands under
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Accept a receipt on the word of this receipt key alone, given as its thumbprint; the genesis of
    /// the ledger names the key (see --genesis)
    #[arg(long, value_name = "THUMBPRINT", requires = "genesis")]
    accept_receipt_key: Option<String>,
    /// The genesis statement of the ledger (genesis.cose), where a receipt key is accepted
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

/// A named file whose digest was looked for.
#[derive(Debug, Serialize)]
struct Attached {
    file: PathBuf,
    digest: String,
    /// Indices of the records that name the digest.
    records: Vec<u64>,
}

#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attached>,
}

impl Verify {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let policy = match &flags.policy {
            Some(path) => read_policy(path)?,
            None => Context::resolve(flags)?.policy()?,
        };
        let bytes = read(&self.file)?;
        let saved = self.saved_heads(&policy)?;
        let entry = self.entry.as_deref().map(read).transpose()?;
        let checkpoint = self
            .checkpoint
            .as_deref()
            .map(fs::read_to_string)
            .transpose();
        let checkpoint = checkpoint.context("cannot read the checkpoint")?;
        let receipt_key = self.receipt_key()?;
        let options = Options {
            saved_heads: &saved,
            statement: entry.as_deref(),
            checkpoint: checkpoint.as_deref(),
            receipt_key: receipt_key.as_ref(),
            ..verifier::options_at(UnixSeconds(clock::unix_seconds()))
        };
        let mut report = verify(&bytes, &policy, &options);
        let attachments = self.attachments(&report)?;
        for attached in attachments.iter().filter(|it| it.records.is_empty()) {
            let sentence = format!(
                "no record shown names the digest {} of {}",
                attached.digest,
                attached.file.display()
            );
            report.add(Code::AttachmentNotNamed, sentence);
        }
        let mut text = report.to_string();
        for attached in attachments.iter().filter(|it| !it.records.is_empty()) {
            text.push_str(&describe(attached));
        }
        output.data(
            &Verified {
                report: &report,
                attachments,
            },
            text,
        )?;
        Ok(if report.verdict.is_verified() {
            Exit::Ok
        } else {
            Exit::NotVerified
        })
    }

    fn saved_heads(&self, policy: &Policy) -> Result<Vec<SavedHead>> {
        let earlier = read_policies(&self.since_policy)?;
        self.since
            .iter()
            .map(|path| read_dated(path, policy, &earlier))
            .collect()
    }

    fn receipt_key(&self) -> Result<Option<PublicKey>> {
        let (Some(thumbprint), Some(genesis)) = (&self.accept_receipt_key, &self.genesis) else {
            return Ok(None);
        };
        let thumbprint = Thumbprint::parse(unmarked(thumbprint))
            .map_err(|error| UserError::usage(format!("--accept-receipt-key: {error}")))?;
        let malformed = |why: String| UserError::usage(format!("{}: {why}", genesis.display()));
        let statement = UnverifiedStatement::parse(&read(genesis)?)
            .map_err(|error| malformed(error.to_string()))?;
        let record =
            Genesis::decode(statement.payload()).map_err(|error| malformed(error.to_string()))?;
        if record.receipt_key.thumbprint() != thumbprint {
            return Err(malformed(
                "its receipt key has another thumbprint".to_owned(),
            ));
        }
        Ok(Some(record.receipt_key))
    }

    /// Looks for the digest of each `--with` file in the fields shown.
    fn attachments(&self, report: &Report) -> Result<Vec<Attached>> {
        self.with
            .iter()
            .map(|path| {
                let digest = hex(&digest_of(path)?);
                let records = report
                    .records
                    .iter()
                    .filter(|record| {
                        record
                            .fields
                            .iter()
                            .any(|field| names(&field.value, &digest))
                    })
                    .map(|record| record.index)
                    .collect();
                Ok(Attached {
                    file: path.clone(),
                    digest,
                    records,
                })
            })
            .collect()
    }
}

/// Whether a value names a digest anywhere.
fn names(value: &serde_json::Value, digest: &str) -> bool {
    match value {
        serde_json::Value::String(text) => text == digest,
        serde_json::Value::Array(items) => items.iter().any(|item| names(item, digest)),
        serde_json::Value::Object(fields) => fields.values().any(|item| names(item, digest)),
        _ => false,
    }
}

fn describe(attached: &Attached) -> String {
    let file = attached.file.display();
    let records: Vec<String> = attached.records.iter().map(u64::to_string).collect();
    format!(
        "\nattached {file}: its digest is named by the record at {}",
        records.join(", ")
    )
}
