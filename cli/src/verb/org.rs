//! `aimslog org` and `aimslog principal`: who takes part.

use aimslog_client::admin::Cluster;
use aimslog_client::{Entries, FinishedStatement, Ledger, Outcome, Wait, clock};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::Statement;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::Signer;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{
    Admission, Holder, Making, Organization, OrganizationId, Principal, PrincipalChange,
    PrincipalId, Role, principal_subject, prove_principal_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{LeafIndex, Origin, TreeSize};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::runtime;

/// How long a signed administrative record may wait to be registered.
const EXPIRES_AFTER_SECONDS: u64 = 3600;

/// Register an organisation (operators).
#[derive(Debug, Args)]
pub(crate) struct Org {
    #[command(subcommand)]
    action: OrgAction,
}

#[derive(Debug, Subcommand)]
enum OrgAction {
    /// Register an organisation together with its first administrator's key
    ///
    /// The operator signs; every later change of the organisation's people is signed by its own
    /// administrators. Ids are public and opaque: no names of people.
    Add {
        /// The organisation's id: a-z, 0-9 and '-'
        id: String,
        /// Key of the first administrator, a file or PKCS#11 URI: it proves that it wants to be it
        #[arg(long, value_name = "KEY")]
        admin_key: KeyRef,
        /// Principal id of the first administrator
        #[arg(long, default_value = "admin-1", value_name = "ID")]
        admin: String,
        /// Pseudonym of the person behind it, for rules that need two people
        #[arg(long, default_value = "holder-1", value_name = "ID")]
        holder: String,
        /// Key of the operator, a file or PKCS#11 URI
        #[arg(long, value_name = "KEY")]
        operator_key: KeyRef,
    },
}

/// Register a person, process or AI agent of your organisation (administrators).
#[derive(Debug, Args)]
pub(crate) struct PrincipalCommand {
    #[command(subcommand)]
    action: PrincipalAction,
}

#[derive(Debug, Subcommand)]
enum PrincipalAction {
    /// Register a principal, or give one a new key
    ///
    /// Signed by an administrator of the organisation: the key of the context, or --key.
    Add {
        /// The principal's id: a-z, 0-9 and '-'
        id: String,
        /// Key of the principal, a file or PKCS#11 URI: it proves that it wants to be it
        #[arg(long, value_name = "KEY")]
        principal_key: KeyRef,
        /// Pseudonym of the person behind it, for rules that need two people
        #[arg(long, value_name = "ID")]
        holder: String,
        /// A role of the rule bundle, such as submitter; several allowed. A wrong one lists them all
        #[arg(long, value_name = "ROLE")]
        role: Vec<String>,
        /// It is an AI agent, and acts for this principal, without whom it can log nothing
        #[arg(long, value_name = "ID")]
        acts_for: Option<String>,
    },
}

#[derive(Serialize)]
struct Registered {
    id: String,
    index: u64,
    entry_id: String,
    key: String,
}

impl Org {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let OrgAction::Add {
            id,
            admin_key,
            admin,
            holder,
            operator_key,
        } = &self.action;
        let context = Context::resolve(flags)?;
        let origin = origin(&context)?;
        let key = context.open_key(admin_key)?;
        let organization = named(OrganizationId::new(id), "organisation id")?;
        let administrator = named(PrincipalId::new(admin), "--admin")?;
        let record = Organization {
            possession: prove_principal_key(&origin, &organization, &administrator, key.as_ref())?,
            organization,
            administrator,
            holder: named(Holder::new(holder), "--holder")?,
            key: key.public_key(),
        };
        let operator = context.open_key(operator_key)?;
        let statement = sign_record(&record, &making(&origin), operator.as_ref())?;
        register(&context, &statement, id, key.as_ref(), output)
    }
}

impl PrincipalCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let PrincipalAction::Add {
            id,
            principal_key,
            holder,
            role,
            acts_for,
        } = &self.action;
        let context = Context::resolve(flags)?;
        let origin = origin(&context)?;
        let organization = named(OrganizationId::new(context.organization()?), "--org")?;
        let principal = named(PrincipalId::new(id), "principal id")?;
        let key = context.open_key(principal_key)?;
        let mut roles = role
            .iter()
            .map(|role| {
                named(RuleBundle::v1().role(role), "--role")?;
                named(Role::new(role), "--role")
            })
            .collect::<Result<Vec<_>>>()?;
        roles.sort();
        roles.dedup();
        let parsed = |id: &String| named(PrincipalId::new(id), "--acts-for");
        let admission = Admission {
            holder: named(Holder::new(holder), "--holder")?,
            key: key.public_key(),
            possession: prove_principal_key(&origin, &organization, &principal, key.as_ref())?,
            roles,
            acts_for: acts_for.as_ref().map(parsed).transpose()?,
        };
        let change = PrincipalChange::Admit(Box::new(admission));
        let record = Principal {
            organization,
            principal,
            change,
        };
        let statement = sign_record(&record, &making(&origin), context.key()?.as_ref())?;
        let finished = FinishedStatement {
            statement: statement.bytes().to_vec(),
            disclosures: Vec::new(),
            digest_only: Vec::new(),
        };
        // An administrator of an organisation is no operator: the record goes the way of evidence.
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let outcomes = runtime.block_on(ledger.submit(&[finished], Wait::Committed))?;
        match outcomes.into_iter().next() {
            Some(Outcome::Logged { entry, .. }) => {
                let exit = report(&statement, entry.index, id, key.as_ref(), output)?;
                if let Some(target) = acts_for {
                    let found = is_registered(&ledger, (&context, entry.index), target);
                    if !runtime.block_on(found)? {
                        output.say(format!(
                            "note: no principal {target} was added to {}; unless it is its \
                             administrator, the agent can log nothing until there is one",
                            context.organization()?
                        ));
                    }
                }
                Ok(exit)
            }
            Some(Outcome::Refused { violations, .. }) => {
                let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
                Err(UserError::refused(lines.join("\n")))
            }
            None => Err(UserError::refused(
                "the ledger gave no answer for the record",
            )),
        }
    }
}

/// Whether the organisation has added such a principal before the entry at `before`. Registering an agent does not depend on it: every
/// record of the agent does.
async fn is_registered(
    ledger: &Ledger,
    (context, before): (&Context, LeafIndex),
    id: &str,
) -> Result<bool> {
    // Entries are shown under a published head.
    let size = TreeSize(before.0.saturating_add(1));
    ledger.checkpoint_covering(size).await?;
    let organization = named(OrganizationId::new(context.organization()?), "--org")?;
    let principal = named(PrincipalId::new(id), "--acts-for")?;
    let wanted = principal_subject(&origin(context)?, &organization, &principal);
    let mut next = Some(LeafIndex(0));
    while let Some(start) = next {
        let page = ledger.unverified_entries(start, Entries::System).await?;
        let is_wanted = |entry: &[u8]| {
            UnverifiedStatement::parse(entry)
                .is_ok_and(|statement| statement.header().subject == wanted)
        };
        if page.entries.iter().any(|(_, entry)| is_wanted(entry)) {
            return Ok(true);
        }
        next = page.next;
    }
    Ok(false)
}

fn origin(context: &Context) -> Result<Origin> {
    let service = context.service_id()?;
    Origin::new(service).map_err(|error| UserError::usage(format!("the policy's log: {error}")))
}

fn making(origin: &Origin) -> Making<'_> {
    let now = clock::unix_seconds();
    Making {
        origin,
        issued: UnixSeconds(now),
        expires: Some(UnixSeconds(now + EXPIRES_AFTER_SECONDS)),
        id: StatementId::from_bytes(rand::random()),
    }
}

fn named<T, E: std::fmt::Display>(parsed: Result<T, E>, what: &str) -> Result<T> {
    parsed.map_err(|error| UserError::usage(format!("{what}: {error}")))
}

fn register(
    context: &Context,
    statement: &Statement,
    id: &str,
    key: &dyn Signer,
    output: Output,
) -> Result<Exit> {
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let cluster = Cluster::new(&context.admin_endpoints()?)?;
    let index = runtime.block_on(cluster.submit_system(statement.bytes()))?;
    report(statement, index, id, key, output)
}

fn report(
    statement: &Statement,
    index: LeafIndex,
    id: &str,
    key: &dyn Signer,
    output: Output,
) -> Result<Exit> {
    let registered = Registered {
        id: id.to_owned(),
        index: index.0,
        entry_id: statement.entry_id().to_string(),
        key: key.public_key().thumbprint().to_string(),
    };
    let text = format!(
        "{id} is registered at index {}\nkey {}",
        registered.index, registered.key
    );
    output.data(&registered, text)?;
    Ok(Exit::Ok)
}
