//! Records that operators agree on: signed by one, approved by the others, kept before they are sent,
//! and sent again as they are: sending the same bytes twice logs them once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aimslog_client::admin::Cluster;
use aimslog_client::file::replace_file;
use aimslog_client::{ClientError, clock};
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::{Signer, Thumbprint};
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{Making, Payload, add_approval, approve_record, sign_record};
use aimslog_proto::time::UnixSeconds;
use anyhow::{Context as _, Result};

use super::statement::{EXPIRES_AFTER_SECONDS, origin};
use crate::context::Context;
use crate::exit::UserError;
use crate::keys::KeyRef;
use crate::output::Output;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At this index.
    Logged(u64),
    /// By an earlier run, or another operator.
    Before,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Logged(index) => write!(f, "logged at index {index}"),
            Self::Before => f.write_str("done before"),
        }
    }
}

/// What a command of several steps has done, told as it goes.
pub(crate) struct Steps {
    output: Output,
    pub(crate) said: Vec<String>,
}

impl Steps {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            said: Vec::new(),
        }
    }

    pub(crate) fn done(&mut self, step: String) {
        self.output.say(&step);
        self.said.push(step);
    }
}

/// Opens the keys of operators.
pub(crate) fn open_keys(context: &Context, keys: &[KeyRef]) -> Result<Vec<Arc<dyn Signer>>> {
    keys.iter().map(|key| context.open_key(key)).collect()
}

/// Makes, keeps and sends the records of one undertaking.
pub(crate) struct Agreed<'a> {
    pub(crate) context: &'a Context,
    keys: &'a [Arc<dyn Signer>],
    folder: PathBuf,
}

impl<'a> Agreed<'a> {
    /// Signed by the first of these keys, approved by the others, kept in this folder of the context.
    pub(crate) fn new(context: &'a Context, keys: &'a [Arc<dyn Signer>], folder: &str) -> Self {
        Self {
            context,
            keys,
            folder: context.state_path(folder),
        }
    }

    /// Whether an earlier run by this context has signed this record.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    /// Logs a record; `done` is the refusal of one whose content is in force already, if that can be.
    pub(crate) async fn log<P: Payload>(
        &self,
        cluster: &Cluster,
        (file, record): (&str, P),
        done: Option<Reason>,
    ) -> Result<Outcome> {
        let statement = self.kept(file, record, clock::unix_seconds())?;
        Self::send(cluster, &statement, done).await
    }

    /// Logs a record that is not kept: one that cannot be logged twice, as it names what it replaces.
    pub(crate) async fn log_anew<P: Payload>(
        &self,
        cluster: &Cluster,
        record: P,
    ) -> Result<Outcome> {
        let statement = self.signed(record, clock::unix_seconds())?;
        Self::send(cluster, &statement, None).await
    }

    async fn send(cluster: &Cluster, statement: &[u8], done: Option<Reason>) -> Result<Outcome> {
        match cluster.submit_system(statement).await {
            Ok(index) => Ok(Outcome::Logged(index.0)),
            Err(ClientError::Refused(refusal)) if done.is_some() && refusal.reason == done => {
                Ok(Outcome::Before)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The signed record: the one kept by an earlier run if it can still be registered and says the
    /// same, otherwise a new one, which is kept before it is sent.
    fn kept<P: Payload>(&self, file: &str, record: P, now: u64) -> Result<Vec<u8>> {
        let path = self.folder.join(file);
        match fs::read(&path) {
            Ok(bytes) if self.is_still_good(&bytes, &record, now) => return Ok(bytes),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| path.display().to_string());
            }
            _ => {}
        }
        let statement = self.signed(record, now)?;
        replace_file(&path, &statement).with_context(|| path.display().to_string())?;
        Ok(statement)
    }

    /// The record as a statement of now, with every operator behind it whose key was given.
    fn signed<P: Payload>(&self, mut record: P, now: u64) -> Result<Vec<u8>> {
        let (signer, others) = self
            .keys
            .split_first()
            .ok_or_else(|| UserError::usage("--operator-key is needed"))?;
        let origin = origin(self.context)?;
        let making = Making {
            origin: &origin,
            issued: UnixSeconds(now),
            expires: Some(UnixSeconds(now.saturating_add(EXPIRES_AFTER_SECONDS))),
            id: StatementId::from_bytes(rand::random()),
        };
        // Each approves this one statement: its id and expiry are fixed before.
        for other in others {
            let approval = approve_record(&record, &making, other.as_ref())?;
            record = add_approval(record, approval);
        }
        let statement = sign_record(&record, &making, signer.as_ref())?;
        Ok(statement.bytes().to_vec())
    }

    /// Whether a kept record lives, says the same, and has every operator behind it whose key was
    /// given now: one that was refused for lack of a second operator must not be sent again.
    fn is_still_good<P: Payload>(&self, bytes: &[u8], record: &P, now: u64) -> bool {
        let Ok(statement) = UnverifiedStatement::parse(bytes) else {
            return false;
        };
        let header = statement.header();
        let Ok(kept) = P::decode(statement.payload()) else {
            return false;
        };
        let approved = kept.approvals().iter().map(|approval| approval.operator);
        let behind: BTreeSet<Thumbprint> = approved.chain([header.key]).collect();
        let mut keys = self.keys.iter().map(|key| key.public_key().thumbprint());
        header.expires.is_some_and(|expires| expires.0 > now)
            && kept.encode_unapproved() == record.encode_unapproved()
            && keys.all(|key| behind.contains(&key))
    }
}
