//! `aimslog prove`: proofs in the standard forms, verified before they are written.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aimslog_client::file::replace_file;
use aimslog_client::{ClientError, EntryKey, Ledger, ProvenInclusion, clock, verifier};
use aimslog_proto::statement::evidence::{Options, verify};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Note, Policy, TlogProof};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::{Head, entry_key};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::saved::{read_policies, read_saved};
use crate::verb::runtime;

/// Fetch a proof, check it, and keep it: inclusion, consistency, a receipt, or an order.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog prove inclusion 3Jd0…k4 -o decision.tlog-proof --statement decision.cose
  aimslog prove consistency --since 2026-11.checkpoint
  aimslog prove receipt 3Jd0…k4 -o decision.receipt --checkpoint-out decision.checkpoint
  aimslog prove order 3Jd0…k4 8sQx…9A")]
pub(crate) struct Prove {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// That an entry is in the log: a C2SP tlog-proof
    Inclusion {
        /// Entry id, or index
        #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
        entry: EntryKey,
        /// Where to write the proof
        #[arg(short, long, value_name = "FILE.tlog-proof")]
        output: PathBuf,
        /// Write the entry (the statement) as well: whoever checks the proof needs it
        #[arg(long, value_name = "FILE")]
        statement: Option<PathBuf>,
    },
    /// That the log extends a head that you saved: nothing before it was changed or removed
    Consistency {
        /// The head, from `aimslog checkpoint --save`
        #[arg(long, value_name = "FILE")]
        since: PathBuf,
        /// The policy under which that head was saved, if it is another one by now; several allowed
        #[arg(long, value_name = "FILE")]
        since_policy: Vec<PathBuf>,
        /// Write the newer head, to keep in its place
        #[arg(long, value_name = "FILE")]
        checkpoint_out: Option<PathBuf>,
    },
    /// That an entry is in the log: a COSE receipt (RFC 9942)
    Receipt {
        /// Entry id, or index
        #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
        entry: EntryKey,
        /// Where to write the receipt
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Write the cosigned head as well: without it a receipt is one key's word
        #[arg(long, value_name = "FILE")]
        checkpoint_out: Option<PathBuf>,
        /// Write the entry (the statement) as well: whoever checks the receipt needs it
        #[arg(long, value_name = "FILE")]
        statement: Option<PathBuf>,
    },
    /// Which of two entries was logged first
    Order {
        /// Entry id, or index
        #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
        first: EntryKey,
        /// Entry id, or index
        #[arg(value_parser = entry_key, value_name = "ID|INDEX")]
        second: EntryKey,
    },
}

#[derive(Serialize)]
struct Proven {
    index: u64,
    head: Head,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Extended {
    since_size: u64,
    since_root: String,
    head: Head,
    hashes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Ordered {
    first: Place,
    second: Place,
    head: Head,
}

#[derive(Serialize)]
struct Place {
    entry: String,
    index: u64,
    leaf_hash: String,
    inclusion: Vec<String>,
}

impl Prove {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.any_ledger()?;
        runtime.block_on(self.act(&ledger, output))?;
        Ok(Exit::Ok)
    }

    async fn act(&self, ledger: &Ledger, output: Output) -> Result<()> {
        match &self.action {
            Action::Inclusion {
                entry,
                output: file,
                statement,
            } => inclusion(ledger, (*entry, file, statement.as_deref()), output).await,
            Action::Consistency {
                since,
                since_policy,
                checkpoint_out,
            } => {
                let since = (since.as_path(), since_policy.as_slice());
                consistency(ledger, since, checkpoint_out.as_deref(), output).await
            }
            Action::Receipt {
                entry,
                output: file,
                checkpoint_out,
                statement,
            } => {
                let files = [
                    Some(file.as_path()),
                    checkpoint_out.as_deref(),
                    statement.as_deref(),
                ];
                receipt(ledger, *entry, files, output).await
            }
            Action::Order { first, second } => order(ledger, [*first, *second], output).await,
        }
    }
}

async fn inclusion(
    ledger: &Ledger,
    (key, file, statement): (EntryKey, &Path, Option<&Path>),
    output: Output,
) -> Result<()> {
    let proven = ledger.inclusion_once_published(key).await?;
    let text = proof_file(&proven, ledger.policy())?;
    let mut written = vec![write(file, text.as_bytes())?];
    if let Some(path) = statement {
        written.push(write(path, &entry_bytes(ledger, key, &proven).await?)?);
    }
    let data = Proven {
        index: proven.proof.index().0,
        head: Head::of(&proven.head),
        written,
    };
    let text = format!(
        "in the log at index {} of {}, cosigned by {}\nwritten: {}\n\
         check it anywhere: aimslog verify {} --policy POLICY --entry {}",
        data.index,
        data.head.size,
        data.head.cosigned_by(),
        names(&data.written),
        file.display(),
        name_or(statement, "STATEMENT (--statement FILE writes it)"),
    );
    output.data(&data, text)
}

/// The text of the proof, read back and verified as a stranger would.
fn proof_file(proven: &ProvenInclusion, policy: &Policy) -> Result<String> {
    let note = Note::parse(proven.head.note().as_bytes())?;
    let text = TlogProof::new(proven.proof.clone(), note, None)?.to_string();
    TlogProof::parse(text.as_bytes())?
        .verify(proven.leaf, policy)
        .map_err(|error| UserError::not_verified(error.to_string()))?;
    Ok(text)
}

/// The bytes of an entry whose leaf hash was proven.
async fn entry_bytes(ledger: &Ledger, key: EntryKey, proven: &ProvenInclusion) -> Result<Vec<u8>> {
    let (bytes, leaf) = ledger.entry(key).await?;
    if leaf != proven.leaf {
        let why = "the entry that the ledger gave is not the one that it proved";
        return Err(UserError::not_verified(why));
    }
    Ok(bytes)
}

async fn consistency(
    ledger: &Ledger,
    (since, since_policy): (&Path, &[PathBuf]),
    checkpoint_out: Option<&Path>,
    output: Output,
) -> Result<()> {
    let earlier = read_policies(since_policy)?;
    let old = read_saved(since, ledger.policy(), &earlier)?;
    let (head, proof) = ledger.consistency(old.head()).await.map_err(|error| {
        let is_fork = matches!(error, ClientError::Fork(_));
        let error = anyhow::Error::new(error);
        if is_fork && old.cosigned().is_none() {
            return error.context(format!(
                "no policy given accepts {}, the log's own signature alone stands for it: name the \
                 policy of its time with --since-policy",
                since.display()
            ));
        }
        error
    })?;
    let mut written = Vec::new();
    if let Some(path) = checkpoint_out {
        written.push(write(path, head.note().as_bytes())?);
    }
    let data = Extended {
        since_size: old.head().size.0,
        since_root: old.head().root.hash().to_base64(),
        head: Head::of(&head),
        hashes: proof.hashes().iter().map(ToString::to_string).collect(),
        written,
    };
    let mut text = format!(
        "{}extends the head of {} entries in {}: nothing before it was changed or removed",
        data.head,
        data.since_size,
        since.display()
    );
    if !data.written.is_empty() {
        write!(text, "\nwritten: {}", names(&data.written))?;
    }
    output.data(&data, text)
}

async fn receipt(
    ledger: &Ledger,
    key: EntryKey,
    [file, checkpoint_out, statement_out]: [Option<&Path>; 3],
    output: Output,
) -> Result<()> {
    // The inclusion proof fixes which entry stands there, whoever answers the next calls.
    let proven = ledger.inclusion_once_published(key).await?;
    let statement = entry_bytes(ledger, key, &proven).await?;
    let (receipt, head) = ledger.unverified_receipt(key).await?;
    let options = Options {
        statement: Some(&statement),
        checkpoint: Some(head.note()),
        ..verifier::options_at(UnixSeconds(clock::unix_seconds()))
    };
    let report = verify(&receipt, ledger.policy(), &options);
    if !report.verdict.is_verified() {
        return Err(UserError::not_verified(report.to_string()));
    }
    let parts: [(Option<&Path>, &[u8]); 3] = [
        (file, &receipt),
        (checkpoint_out, head.note().as_bytes()),
        (statement_out, &statement),
    ];
    let mut written = Vec::new();
    for (path, bytes) in parts {
        if let Some(path) = path {
            written.push(write(path, bytes)?);
        }
    }
    let data = Proven {
        index: proven.proof.index().0,
        head: Head::of(&head),
        written,
    };
    let mut text = format!(
        "receipt for index {} of {}, checked with the head cosigned by {}\nwritten: {}",
        data.index,
        data.head.size,
        data.head.cosigned_by(),
        names(&data.written),
    );
    if let Some(file) = file {
        write!(
            text,
            "\ncheck it anywhere: aimslog verify {} --policy POLICY --entry {} --checkpoint {}",
            file.display(),
            name_or(statement_out, "STATEMENT (--statement FILE writes it)"),
            name_or(checkpoint_out, "HEAD (--checkpoint-out FILE writes it)"),
        )?;
    }
    if checkpoint_out.is_none() {
        text.push_str("\nkeep the head too (--checkpoint-out): alone a receipt is one key's word");
    }
    output.data(&data, text)
}

async fn order(ledger: &Ledger, keys: [EntryKey; 2], output: Output) -> Result<()> {
    let proven = ledger.order(keys).await?;
    let [first, second] = &proven.inclusions;
    let [a, b] = keys.map(name);
    let data = Ordered {
        first: place(&a, first),
        second: place(&b, second),
        head: Head::of(proven.head()),
    };
    let text = format!(
        "{}\nboth in the log of {} entries, cosigned by {}",
        sentence(&data.first, &data.second),
        data.head.size,
        data.head.cosigned_by()
    );
    output.data(&data, text)
}

fn place(entry: &str, proven: &ProvenInclusion) -> Place {
    Place {
        entry: entry.to_owned(),
        index: proven.proof.index().0,
        leaf_hash: proven.leaf.hash().to_base64(),
        inclusion: proven
            .proof
            .hashes()
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn sentence(first: &Place, second: &Place) -> String {
    let (earlier, later) = match first.index.cmp(&second.index) {
        std::cmp::Ordering::Equal => {
            return format!("both are the entry at index {}", first.index);
        }
        std::cmp::Ordering::Less => (first, second),
        std::cmp::Ordering::Greater => (second, first),
    };
    format!(
        "{} (index {}) was logged before {} (index {})",
        earlier.entry, earlier.index, later.entry, later.index
    )
}

fn name(key: EntryKey) -> String {
    match key {
        EntryKey::Id(id) => id.to_string(),
        EntryKey::Index(index) => format!("entry {index}"),
    }
}

fn name_or(file: Option<&Path>, otherwise: &str) -> String {
    file.map_or_else(|| otherwise.to_owned(), |file| file.display().to_string())
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(", ")
}

/// Writes a file, whole or not at all.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<PathBuf> {
    replace_file(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(entry: &str, index: u64) -> Place {
        Place {
            entry: entry.to_owned(),
            index,
            leaf_hash: String::new(),
            inclusion: Vec::new(),
        }
    }

    #[test]
    fn the_smaller_index_was_first_in_whatever_order_they_are_named() {
        let said = "a (index 3) was logged before b (index 9)";
        assert_eq!(sentence(&at("a", 3), &at("b", 9)), said);
        assert_eq!(sentence(&at("b", 9), &at("a", 3)), said);
        assert_eq!(
            sentence(&at("a", 3), &at("a", 3)),
            "both are the entry at index 3"
        );
    }

    #[test]
    fn entries_are_named_by_what_was_asked_for() {
        assert_eq!(name(entry_key("12").unwrap()), "entry 12");
        let id = aimslog_proto::statement::id::EntryId::of(b"entry").to_string();
        assert_eq!(name(entry_key(&id).unwrap()), id);
    }
}
