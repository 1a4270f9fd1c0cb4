//! `aimslog role`: what a principal may do, granted and withdrawn.

use aimslog_proto::system::{PrincipalId, RoleChange, RoleRecord};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::principal::role_of;
use super::statement::{Told, log_as_administrator, named, organization};
use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;

/// Grant a principal of your organisation a role, or withdraw one (administrators).
#[derive(Debug, Args)]
pub(crate) struct RoleCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Grant a principal a role from here on
    ///
    /// Signed by an administrator of the organisation: the key of the context, or --key. The
    /// principal keeps its key and its other roles.
    #[command(after_help = "Example: aimslog role grant reviewer-7 internal_auditor")]
    Grant(Of),
    /// Withdraw a role of a principal
    ///
    /// What the principal has logged in the role stays valid. The last administrator keeps that role.
    #[command(after_help = "Example: aimslog role withdraw reviewer-7 internal_auditor")]
    Withdraw(Of),
}

#[derive(Debug, Args)]
struct Of {
    /// The principal's id
    id: String,
    /// A role of the rule bundle; a wrong one lists them all
    role: String,
}

impl RoleCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let (Action::Grant(of) | Action::Withdraw(of)) = &self.action;
        let role = role_of(&of.role, "role")?;
        let context = Context::resolve(flags)?;
        let (change, happened) = match &self.action {
            Action::Grant(_) => (RoleChange::Grant(role), format!("has the role {}", of.role)),
            Action::Withdraw(_) => {
                let happened = format!("has no longer the role {}", of.role);
                (RoleChange::Withdraw(role), happened)
            }
        };
        let record = RoleRecord {
            organization: organization(&context)?,
            principal: named(PrincipalId::new(&of.id), "principal id")?,
            change,
        };
        let told = Told {
            id: &of.id,
            happened: &happened,
            key: None,
        };
        log_as_administrator(&context, &record, &told, output)
    }
}
