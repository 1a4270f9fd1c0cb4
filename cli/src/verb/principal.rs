//! `aimslog principal`: the people, processes and agents of an organisation, and their keys.

use aimslog_client::{Entries, Ledger};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{
    Admission, Holder, NewKey, Principal, PrincipalChange, PrincipalId, RevocationReason, Role,
    principal_subject, prove_principal_key, prove_read_key, sign_record,
};
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::statement::{Told, log_as_administrator, making, named, organization, origin, submit};
use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::runtime;

/// Register people, processes and AI agents of your organisation, and their keys (administrators).
///
/// Signed by an administrator of the organisation: the key of the context, or --key.
#[derive(Debug, Args)]
pub(crate) struct PrincipalCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(Add),
    Rotate(Rotate),
    Revoke(Revoke),
    AuthKey(AuthKey),
}

/// Register a person, process or AI agent as a principal of your organisation
///
/// Signed by an administrator of the organisation: the key of the context, or --key. An id is never
/// used twice; `principal rotate` gives a principal a new key, `role grant` another role.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog key generate -o reviewer.seed
         aimslog principal add reviewer-7 --principal-key reviewer.seed --holder holder-7 \\
           --role process_owner")]
struct Add {
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
}

/// Give a principal a new key; the old one signs nothing more
///
/// Id, holder and roles stay. What the old key has signed and the log has taken stays valid; what it
/// signed and the log has not taken yet is refused from here on. An administrator's own key is
/// rotated by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog key generate -o reviewer-2.seed
         aimslog principal rotate reviewer-7 --new-key reviewer-2.seed")]
struct Rotate {
    /// The principal's id
    id: String,
    /// The new key, a file or PKCS#11 URI: it proves that it wants to be the principal's
    #[arg(long, value_name = "KEY")]
    new_key: KeyRef,
}

/// Take a principal's keys back, for ever
///
/// What it has logged stays valid. The last administrator of an organisation cannot be revoked. An
/// id that was revoked is never used again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog principal revoke reviewer-7 --reason left")]
struct Revoke {
    /// The principal's id
    id: String,
    /// Why, for whoever reads its earlier records
    #[arg(long, value_enum, value_name = "REASON")]
    reason: Reason,
}

/// Give a principal a key that reads and signs nothing, or take it back
///
/// Read tokens are signed by it and no longer by the key that signs statements, which can then be
/// kept away from where records are read. A second one replaces the first.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["new_key", "end"]),
    after_help = "\
Example: aimslog key generate -o reviewer-read.seed
         aimslog principal auth-key reviewer-7 --new-key reviewer-read.seed
         aimslog principal auth-key reviewer-7 --end"
)]
struct AuthKey {
    /// The principal's id
    id: String,
    /// The key for reading, a file or PKCS#11 URI: it proves that it wants to be the principal's
    #[arg(long, value_name = "KEY")]
    new_key: Option<KeyRef>,
    /// Take the key for reading back: the key that signs statements reads again
    #[arg(long)]
    end: bool,
}

/// Why a principal or an operator is revoked.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Reason {
    /// Somebody else may have the key
    KeyCompromised,
    /// Nobody has the key any more
    KeyLost,
    /// The person has left, or has another task
    Left,
    /// The process or agent is out of service
    OutOfService,
    /// It should not have been registered
    Mistake,
}

impl PrincipalCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        match &self.action {
            Action::Add(add) => add.run(&context, output),
            Action::Rotate(rotate) => rotate.run(&context, output),
            Action::Revoke(revoke) => revoke.run(&context, output),
            Action::AuthKey(auth) => auth.run(&context, output),
        }
    }
}

impl Add {
    fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let origin = origin(context)?;
        let organization = organization(context)?;
        let principal = named(PrincipalId::new(&self.id), "principal id")?;
        let key = context.open_key(&self.principal_key)?;
        let roles = self.role.iter().map(|role| role_of(role, "--role"));
        let mut roles = roles.collect::<Result<Vec<_>>>()?;
        roles.sort();
        roles.dedup();
        let parsed = |id: &String| named(PrincipalId::new(id), "--acts-for");
        let admission = Admission {
            holder: named(Holder::new(&self.holder), "--holder")?,
            key: key.public_key(),
            possession: prove_principal_key(&origin, &organization, &principal, key.as_ref())?,
            roles,
            acts_for: self.acts_for.as_ref().map(parsed).transpose()?,
        };
        let record = Principal {
            organization,
            principal,
            change: PrincipalChange::Admit(Box::new(admission)),
        };
        let statement = sign_record(&record, &making(&origin), context.key()?.as_ref())?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let index = runtime.block_on(submit(&ledger, &statement))?;
        let told = Told {
            id: &self.id,
            happened: "is registered",
            key: Some(key.public_key().thumbprint()),
        };
        let exit = told.print(&statement, index, output)?;
        if let Some(target) = &self.acts_for
            && !runtime.block_on(is_registered(&ledger, (context, index), target))?
        {
            output.say(format!(
                "note: no principal {target} was added to {}; unless it is its administrator, the \
                 agent can log nothing until there is one",
                context.organization()?
            ));
        }
        Ok(exit)
    }
}

impl Rotate {
    fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let organization = organization(context)?;
        let principal = named(PrincipalId::new(&self.id), "principal id")?;
        let key = context.open_key(&self.new_key)?;
        let new = NewKey {
            key: key.public_key(),
            possession: prove_principal_key(
                &origin(context)?,
                &organization,
                &principal,
                key.as_ref(),
            )?,
        };
        let record = Principal {
            organization,
            principal,
            change: PrincipalChange::Rotate(new),
        };
        let told = Told {
            id: &self.id,
            happened: "has a new key, and the old one is retired,",
            key: Some(key.public_key().thumbprint()),
        };
        log_as_administrator(context, &record, &told, output)
    }
}

impl Revoke {
    fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let record = Principal {
            organization: organization(context)?,
            principal: named(PrincipalId::new(&self.id), "principal id")?,
            change: PrincipalChange::Revoke(self.reason.code()),
        };
        let told = Told {
            id: &self.id,
            happened: "is revoked",
            key: None,
        };
        log_as_administrator(context, &record, &told, output)
    }
}

impl AuthKey {
    fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let organization = organization(context)?;
        let principal = named(PrincipalId::new(&self.id), "principal id")?;
        let key = self.new_key.as_ref().map(|key| context.open_key(key));
        let key = key.transpose()?;
        let (change, happened) = match &key {
            Some(key) => {
                let origin = origin(context)?;
                let new = NewKey {
                    key: key.public_key(),
                    possession: prove_read_key(&origin, &organization, &principal, key.as_ref())?,
                };
                (PrincipalChange::ReadKey(new), "has a key for reading")
            }
            None => (PrincipalChange::EndReadKey, "has no key for reading"),
        };
        let record = Principal {
            organization,
            principal,
            change,
        };
        let told = Told {
            id: &self.id,
            happened,
            key: key.map(|key| key.public_key().thumbprint()),
        };
        log_as_administrator(context, &record, &told, output)
    }
}

impl Reason {
    pub(super) const fn code(self) -> RevocationReason {
        match self {
            Self::KeyCompromised => RevocationReason::KeyCompromised,
            Self::KeyLost => RevocationReason::KeyLost,
            Self::Left => RevocationReason::Left,
            Self::OutOfService => RevocationReason::OutOfService,
            Self::Mistake => RevocationReason::Mistake,
        }
    }
}

/// A role of the rule bundle; a wrong one is told with all that there are.
pub(super) fn role_of(role: &str, what: &str) -> Result<Role> {
    named(RuleBundle::v1().role(role), what)?;
    named(Role::new(role), what)
}

/// Whether the organisation has added such a principal before the entry at `before`. Registering an
/// agent does not depend on it: every record of the agent does.
async fn is_registered(
    ledger: &Ledger,
    (context, before): (&Context, LeafIndex),
    id: &str,
) -> Result<bool> {
    // Entries are shown under a published head.
    let size = TreeSize(before.0.saturating_add(1));
    ledger.checkpoint_covering(size).await?;
    let principal = named(PrincipalId::new(id), "--acts-for")?;
    let wanted = principal_subject(&origin(context)?, &organization(context)?, &principal);
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
