//! The outbox: finished statements are kept here before they are sent, so that a run that was cut
//! off sends the same bytes again, and the same record is not logged twice by accident.
//!
//! One file for each record, named by the id that the signing key derives from it. When the entry is
//! in the log its disclosures are dropped; what stays says where the record went.

use std::fs;
use std::io;
use std::path::PathBuf;

use aimslog_client::FinishedStatement;
use aimslog_client::file::replace_private_file;
use aimslog_proto::statement::id::StatementId;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::context::make_private;
use crate::exit::UserError;
use crate::verb::key::hex;

/// The outbox of one context.
#[derive(Debug)]
pub(crate) struct Outbox {
    folder: PathBuf,
}

/// A statement in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Not known to be in the log: to be sent.
    Pending(FinishedStatement),
    /// In the log, at this index.
    Logged { statement: Vec<u8>, index: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    statement: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    disclosures: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    digest_only: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

impl Outbox {
    /// The outbox in this folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, id: StatementId) -> PathBuf {
        self.folder.join(format!("{}.json", hex(id.as_bytes())))
    }

    /// What is kept for a record, if anything.
    pub(crate) fn kept(&self, id: StatementId) -> Result<Option<Kept>> {
        let path = self.path(id);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let malformed = || {
            UserError::usage(format!(
                "{} is damaged: remove it if the record may be signed anew",
                path.display()
            ))
        };
        let text: Text = serde_json::from_slice(&text).map_err(|_not_ours| malformed())?;
        text.parse().map(Some).ok_or_else(malformed)
    }

    /// Keeps a statement that is about to be sent.
    pub(crate) fn keep(&self, id: StatementId, statement: &FinishedStatement) -> Result<()> {
        self.write(
            id,
            &Text {
                statement: STANDARD.encode(&statement.statement),
                disclosures: statement
                    .disclosures
                    .iter()
                    .map(|part| STANDARD.encode(part))
                    .collect(),
                digest_only: statement
                    .digest_only
                    .iter()
                    .map(|part| STANDARD.encode(part))
                    .collect(),
                index: None,
            },
        )
    }

    /// Notes that a statement is in the log, and lets go of its content.
    pub(crate) fn logged(&self, id: StatementId, statement: &[u8], index: u64) -> Result<()> {
        let statement = STANDARD.encode(statement);
        let (disclosures, digest_only) = (Vec::new(), Vec::new());
        self.write(
            id,
            &Text {
                statement,
                disclosures,
                digest_only,
                index: Some(index),
            },
        )
    }

    /// Lets go of a statement that was refused.
    pub(crate) fn forget(&self, id: StatementId) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn write(&self, id: StatementId, text: &Text) -> Result<()> {
        let path = self.path(id);
        make_private(&self.folder)?;
        replace_private_file(&path, &serde_json::to_vec(text)?)
            .with_context(|| path.display().to_string())
    }
}

impl Text {
    fn parse(self) -> Option<Kept> {
        let decode = |text: String| STANDARD.decode(text).ok();
        let statement = decode(self.statement)?;
        if let Some(index) = self.index {
            return Some(Kept::Logged { statement, index });
        }
        let digests = self
            .digest_only
            .into_iter()
            .map(|text| decode(text)?.try_into().ok());
        Some(Kept::Pending(FinishedStatement {
            statement,
            disclosures: self
                .disclosures
                .into_iter()
                .map(decode)
                .collect::<Option<_>>()?,
            digest_only: digests.collect::<Option<_>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_pending_and_lets_go_of_content_when_logged() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(folder.path().join("outbox"));
        let id = StatementId::from_bytes([7; 16]);
        let statement = FinishedStatement {
            statement: vec![1, 2, 3],
            disclosures: vec![vec![4], vec![5, 6]],
            digest_only: vec![[9; 32]],
        };
        assert_eq!(outbox.kept(id).unwrap(), None);
        outbox.keep(id, &statement).unwrap();
        assert_eq!(outbox.kept(id).unwrap(), Some(Kept::Pending(statement)));
        outbox.logged(id, &[1, 2, 3], 42).unwrap();
        let logged = Kept::Logged {
            statement: vec![1, 2, 3],
            index: 42,
        };
        assert_eq!(outbox.kept(id).unwrap(), Some(logged));
        outbox.forget(id).unwrap();
        outbox.forget(id).unwrap();
        assert_eq!(outbox.kept(id).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(folder.path().to_owned());
        let id = StatementId::from_bytes([7; 16]);
        fs::write(outbox.path(id), "{\"statement\":\"%\"}").unwrap();
        let message = outbox.kept(id).unwrap_err().to_string();
        assert!(message.contains("0707"), "{message}");
    }
}
