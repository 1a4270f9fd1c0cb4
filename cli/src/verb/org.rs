//! `aimslog org`: organisations, which the operators register, suspend and resume.

use aimslog_proto::system::{
    FirstAdministrator, Holder, Organization, OrganizationChange, OrganizationId, PrincipalId,
    prove_principal_key,
};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::statement::{Told, log_as_operators, named, origin};
use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::keys::KeyRef;
use crate::output::Output;

/// Register an organisation, suspend one, or resume it (operators).
#[derive(Debug, Args)]
pub(crate) struct Org {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register an organisation together with its first administrator's key
    ///
    /// The operator signs; every later change of the organisation's people is signed by its own
    /// administrators. Ids are public and opaque: no names of people.
    Add(Box<Add>),
    /// Refuse what an organisation signs from here on
    ///
    /// As many operators sign as genesis asks for. Records and registry statements of the organisation
    /// are refused (`ORGANIZATION_SUSPENDED`) until it is resumed, but for those that take a right
    /// away: to end an engagement, withdraw a role, revoke a principal, end a key for reading. All that
    /// it has logged stays and can be read and proven as before.
    #[command(after_help = "\
Example: aimslog org suspend acme --operator-key operator-1.seed --operator-key operator-2.seed")]
    Suspend(Standing),
    /// Take what a suspended organisation signs again
    ///
    /// As many operators sign as genesis asks for. What was refused in between is not logged by this:
    /// whoever was refused sends it again.
    #[command(after_help = "\
Example: aimslog org resume acme --operator-key operator-1.seed --operator-key operator-2.seed")]
    Resume(Standing),
}

#[derive(Debug, Args)]
struct Add {
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
}

#[derive(Debug, Args)]
struct Standing {
    /// The organisation's id
    id: String,
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
}

impl Org {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let approvals = Vec::new();
        let (standing, change, happened) = match &self.action {
            Action::Add(add) => return add.run(&context, output),
            Action::Suspend(standing) => {
                let change = OrganizationChange::Suspend { approvals };
                (standing, change, "is suspended")
            }
            Action::Resume(standing) => {
                let change = OrganizationChange::Resume { approvals };
                (standing, change, "is resumed")
            }
        };
        let record = Organization {
            organization: named(OrganizationId::new(&standing.id), "organisation id")?,
            change,
        };
        let told = Told {
            id: &standing.id,
            happened,
            key: None,
        };
        log_as_operators(&context, (record, &standing.operator_key), &told, output)
    }
}

impl Add {
    fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let key = context.open_key(&self.admin_key)?;
        let organization = named(OrganizationId::new(&self.id), "organisation id")?;
        let administrator = named(PrincipalId::new(&self.admin), "--admin")?;
        let origin = origin(context)?;
        let first = FirstAdministrator {
            possession: prove_principal_key(&origin, &organization, &administrator, key.as_ref())?,
            administrator,
            holder: named(Holder::new(&self.holder), "--holder")?,
            key: key.public_key(),
        };
        let record = Organization::register(organization, first);
        let told = Told {
            id: &self.id,
            happened: "is registered",
            key: Some(key.public_key().thumbprint()),
        };
        let operators = std::slice::from_ref(&self.operator_key);
        log_as_operators(context, (record, operators), &told, output)
    }
}
