//! Registry statements from the command line: made, signed by whom it takes, sent, and told.

use aimslog_client::admin::Cluster;
use aimslog_client::{FinishedStatement, Ledger, Outcome, Wait, clock};
use aimslog_proto::statement::Statement;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::system::{
    Making, OrganizationId, Payload, add_approval, approve_record, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{LeafIndex, Origin};
use anyhow::Result;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::runtime;

/// How long a signed administrative record may wait to be registered.
pub(super) const EXPIRES_AFTER_SECONDS: u64 = 3600;

/// A registry statement that was logged.
#[derive(Debug, Serialize)]
pub(super) struct Logged {
    /// What it is about.
    id: String,
    index: u64,
    entry_id: String,
    /// The key that it registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// What to tell of a statement once it is logged.
pub(super) struct Told<'a> {
    /// What it is about.
    pub(super) id: &'a str,
    /// What has become of that, as in `is registered`.
    pub(super) happened: &'a str,
    /// The key that it registers.
    pub(super) key: Option<Thumbprint>,
}

impl Told<'_> {
    pub(super) fn print(
        &self,
        statement: &Statement,
        index: LeafIndex,
        output: Output,
    ) -> Result<Exit> {
        let logged = Logged {
            id: self.id.to_owned(),
            index: index.0,
            entry_id: statement.entry_id().to_string(),
            key: self.key.map(|key| key.to_string()),
        };
        let mut text = format!("{} {} at index {}", self.id, self.happened, index.0);
        if let Some(key) = &logged.key {
            text = format!("{text}\nkey {key}");
        }
        output.data(&logged, text)?;
        Ok(Exit::Ok)
    }
}

/// The log that the context's policy is of.
pub(super) fn origin(context: &Context) -> Result<Origin> {
    let service = context.service_id()?;
    Origin::new(service).map_err(|error| UserError::usage(format!("the policy's log: {error}")))
}

/// The organisation of the context.
pub(super) fn organization(context: &Context) -> Result<OrganizationId> {
    named(OrganizationId::new(context.organization()?), "--org")
}

/// What was parsed, or what is wrong with which argument.
pub(super) fn named<T, E: std::fmt::Display>(parsed: Result<T, E>, what: &str) -> Result<T> {
    parsed.map_err(|error| UserError::usage(format!("{what}: {error}")))
}

/// Signs a record of the context's organisation with the key of the context, logs it and tells of it.
/// An administrator of an organisation is no operator: the record goes the way of evidence.
pub(super) fn log_as_administrator(
    context: &Context,
    record: &impl Payload,
    told: &Told<'_>,
    output: Output,
) -> Result<Exit> {
    let origin = origin(context)?;
    let statement = sign_record(record, &making(&origin), context.key()?.as_ref())?;
    let runtime = runtime()?;
    // Connections are made within a runtime, also those that open later.
    let _entered = runtime.enter();
    let ledger = context.ledger()?;
    let index = runtime.block_on(submit(&ledger, &statement))?;
    told.print(&statement, index, output)
}

/// Signs a record of the service with the first of these operators' keys, approves it with the
/// others, logs it and tells of it.
pub(super) fn log_as_operators<P: Payload>(
    context: &Context,
    (mut record, keys): (P, &[KeyRef]),
    told: &Told<'_>,
    output: Output,
) -> Result<Exit> {
    let origin = origin(context)?;
    let keys = keys
        .iter()
        .map(|key| context.open_key(key))
        .collect::<Result<Vec<_>>>()?;
    let Some((signer, others)) = keys.split_first() else {
        return Err(UserError::usage("--operator-key: an operator signs"));
    };
    // Each approves this one statement: its id and expiry are fixed before.
    let making = making(&origin);
    for other in others {
        let approval = approve_record(&record, &making, other.as_ref())?;
        record = add_approval(record, approval);
    }
    let statement = sign_record(&record, &making, signer.as_ref())?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let cluster = Cluster::new(&context.admin_endpoints()?)?;
    let index = runtime.block_on(cluster.submit_system(statement.bytes()))?;
    told.print(&statement, index, output)
}

/// Logs a statement and returns where; a refusal names every rule that it breaks.
pub(super) async fn submit(ledger: &Ledger, statement: &Statement) -> Result<LeafIndex> {
    let finished = FinishedStatement {
        statement: statement.bytes().to_vec(),
        disclosures: Vec::new(),
        digest_only: Vec::new(),
    };
    let outcomes = ledger.submit(&[finished], Wait::Committed).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Logged { entry, .. }) => Ok(entry.index),
        Some(Outcome::Refused { violations, .. }) => {
            let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
            Err(UserError::refused(lines.join("\n")))
        }
        None => Err(UserError::refused(
            "the ledger gave no answer for the record",
        )),
    }
}

/// A statement of now, with an id of its own.
pub(super) fn making(origin: &Origin) -> Making<'_> {
    let now = clock::unix_seconds();
    Making {
        origin,
        issued: UnixSeconds(now),
        expires: Some(UnixSeconds(now + EXPIRES_AFTER_SECONDS)),
        id: StatementId::from_bytes(rand::random()),
    }
}
