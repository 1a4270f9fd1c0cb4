//! From records to finished statements, each signed once: what the outbox holds is what is sent.

use std::collections::BTreeMap;

use aimslog_client::author::{Author, ComposeError, Identity, Referred, Surroundings};
use aimslog_client::{EntryKey, FinishedStatement, Ledger, clock};
use aimslog_proto::aims::submission::Target;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::time::UnixSeconds;
use anyhow::Result;

use super::attachments::Attachments;
use super::{Desk, SigningOptions, known};
use crate::exit::UserError;
use crate::outbox::Kept;
use crate::output::Output;
use crate::records::{FileRecord, attachments_of};

/// How the records of a run are signed.
pub(super) struct Signing<'a> {
    pub(super) author: Author,
    pub(super) options: &'a SigningOptions,
    pub(super) attachments: &'a Attachments,
    /// Where statements are kept before they are sent.
    pub(super) desk: &'a Desk,
    pub(super) purpose: Purpose,
}

/// What the statements are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be sent, and kept before.
    Send,
    /// To be looked at: nothing of them is kept.
    Look,
}

/// A record that is signed and on its way.
pub(super) struct Signed {
    pub(super) record: FileRecord,
    /// Its place in the outbox.
    pub(super) id: StatementId,
    /// What the ledger gets.
    pub(super) statement: FinishedStatement,
    /// The index, where the outbox knows that it is in the log.
    pub(super) known: Option<u64>,
}

/// Signs every record that the outbox does not hold already. Links to records earlier in the run are
/// known as soon as those are signed, because an entry's id is the hash of its bytes.
pub(super) async fn sign_all(
    signing: &Signing<'_>,
    ledger: &Ledger,
    records: Vec<FileRecord>,
    output: Output,
) -> Result<Vec<Signed>> {
    let progress = output.progress(records.len(), "signing");
    let mut known = entities_of_amended(ledger, &records).await?;
    if let Some(path) = &signing.options.known {
        known.extend(known::read(path)?);
    }
    let mut all = Vec::with_capacity(records.len());
    for record in records {
        let signed = signing.sign(record, &known)?;
        if let Some(key) = &signed.record.submission.key {
            let referred = referred(&signed.statement.statement)?;
            known.insert(Target::Key(key.clone()), referred);
        }
        all.push(signed);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(all)
}

impl Signing<'_> {
    fn sign(&self, record: FileRecord, known: &BTreeMap<Target, Referred>) -> Result<Signed> {
        let resolve = |target: &Target| resolve(known, target);
        let id = self
            .author
            .statement_id(&record.submission, &resolve)
            .map_err(|error| refusal(&record, error))?;
        let signed = |record, statement, known| Signed {
            record,
            id,
            statement,
            known,
        };
        let kept = if self.options.again {
            None
        } else {
            self.desk.outbox.kept(id)?
        };
        match kept {
            Some(Kept::Logged { statement, index }) => {
                let statement = FinishedStatement {
                    statement,
                    disclosures: Vec::new(),
                    digest_only: Vec::new(),
                };
                Ok(signed(record, statement, Some(index)))
            }
            // An earlier run may have been without --sealed.
            Some(Kept::Pending(statement)) => {
                let statement = self.kept(id, &statement)?;
                Ok(signed(record, statement, None))
            }
            None => {
                let statement = self.kept(id, &self.finish(&record, &resolve)?)?;
                Ok(signed(record, statement, None))
            }
        }
    }

    fn finish(
        &self,
        record: &FileRecord,
        resolve: &dyn Fn(&Target) -> Option<Referred>,
    ) -> Result<FinishedStatement> {
        let identity = if self.options.again {
            Identity::Fresh(rand::random())
        } else {
            Identity::OfRecord
        };
        let mut surroundings = Surroundings {
            now: UnixSeconds(clock::unix_seconds()),
            salt: &mut rand::random,
            resolve,
        };
        let mut statement = self
            .author
            .finish(&record.submission, identity, &mut surroundings)
            .map_err(|error| refusal(record, error))?;
        statement.digest_only = attachments_of(&record.submission)
            .into_iter()
            .map(|attachment| attachment.digest)
            .filter(|digest| self.attachments.kept.contains(digest))
            .collect();
        Ok(statement)
    }

    /// Keeps a statement and returns what the ledger gets. The fields of a sealed record are kept
    /// first: once it is in the outbox it may get into the log, and nobody can make them again.
    fn kept(&self, id: StatementId, statement: &FinishedStatement) -> Result<FinishedStatement> {
        let to_send = if self.options.sealed {
            statement.clone().sealed()
        } else {
            statement.clone()
        };
        if self.purpose == Purpose::Send {
            if self.options.sealed && !statement.disclosures.is_empty() {
                self.desk.sealed.keep(statement)?;
            }
            self.desk.outbox.keep(id, &to_send)?;
        }
        Ok(to_send)
    }
}

fn resolve(known: &BTreeMap<Target, Referred>, target: &Target) -> Option<Referred> {
    match target {
        // An entry that nobody has looked up is its own entity: a first version, linked to.
        Target::Entry(id) => Some(known.get(target).copied().unwrap_or(Referred {
            entry: *id,
            entity: *id,
        })),
        Target::Key(_) => known.get(target).copied(),
    }
}

fn refusal(record: &FileRecord, error: ComposeError) -> anyhow::Error {
    match error {
        ComposeError::Violations(violations) => {
            let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
            UserError::usage(format!("{}: {}", record.name(), lines.join("\n")))
        }
        other => anyhow::Error::new(other).context(record.name()),
    }
}

/// An entry and the entity that it is a version of, read from its own header.
pub(super) fn referred(statement: &[u8]) -> Result<Referred> {
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
            // Asked for as a record of the reader's own, it need not be under a head yet.
            let record = ledger.record(EntryKey::Id(*id)).await?;
            known.insert(target.clone(), referred(&record.statement)?);
        }
    }
    Ok(known)
}
