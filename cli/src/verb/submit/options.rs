//! What the commands that send records have in common on the command line: how records are signed, where
//! their attachments are, and what is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aimslog_client::Wait;
use aimslog_client::author::Author;
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::aims::submission::Target;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::header::{Change, Origin};
use aimslog_proto::statement::id::EntryId;
use anyhow::Result;
use clap::{Args, ValueEnum};

use super::attachments::{AttachmentRules, folders};
use super::known;
use super::sign::Purpose;
use super::unsent::{Unsent, refuse};
use crate::attach::{Shelf, read_given};
use crate::broken::Broken;
use crate::context::Context;
use crate::output::Output;
use crate::records::{Additions, FileRecord, Records, read_records};

/// When to be content.
#[derive(Debug, Clone, Args)]
pub(crate) struct Waiting {
    /// What to wait for: on the disks of a majority, or also under a published head with the
    /// evidence file
    #[arg(long, value_enum, default_value = "committed")]
    wait: WaitFor,
    /// Folder to write evidence files into, with --wait receipt
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) evidence_dir: PathBuf,
}

/// How records are signed.
#[derive(Debug, Clone, Args)]
pub(crate) struct SigningOptions {
    /// Log records again that were logged before; a run that was cut off is continued without it. Not
    /// for an import, which knows its rows by their keys
    #[arg(long)]
    pub(crate) again: bool,
    /// Send statements without their fields (kinds that allow it): the fields stay in the state folder
    /// of the context, in the only copy that there is, and `disclose` shows them later
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Keys of records of other runs, which `key:NAME` may name as well; what this run logs is added.
    /// The file is made where there is none
    #[arg(long, value_name = "FILE")]
    pub(super) known: Option<PathBuf>,
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
    /// File that belongs to the one record (of an import: that a row names): its name, digest, media
    /// type and size are filled in; several allowed
    #[arg(long, value_name = "FILE")]
    pub(super) attach: Vec<PathBuf>,
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

    /// What the records of a table may name as their files.
    pub(crate) fn shelf(&self, table: &Path) -> Result<Shelf> {
        Shelf::new(&self.attach, folders(self.attach_dir.as_deref(), table))
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

    pub(super) fn rules<'a>(
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
    pub(super) fn wait(&self) -> Wait {
        match self.wait {
            WaitFor::Committed => Wait::Committed,
            WaitFor::Receipt => Wait::Receipt,
        }
    }
}

impl SigningOptions {
    /// The keys of the file of `--known`.
    pub(crate) fn known_keys(&self) -> Result<BTreeSet<String>> {
        let Some(path) = &self.known else {
            return Ok(BTreeSet::new());
        };
        let known = known::read(path)?.into_keys();
        let keys = known.filter_map(|target| match target {
            Target::Key(key) => Some(key),
            Target::Entry(_) => None,
        });
        Ok(keys.collect())
    }

    pub(super) fn author(&self, context: &Context) -> Result<Author> {
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
    pub(super) fn refuse_unsealable(
        &self,
        records: &[FileRecord],
        (purpose, output): (Purpose, Output),
    ) -> Result<()> {
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
        refuse(&unsent.collect::<Vec<_>>(), purpose, output)
    }
}
