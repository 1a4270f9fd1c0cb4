//! `aimslog operator`: who operates the ledger, beside those and in the place of those of genesis.

use aimslog_proto::limits::OPERATOR_NAME_BYTES_MAX;
use aimslog_proto::system::{NewKey, OperatorChange, OperatorRecord, prove_operator_key};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::principal::Reason;
use super::statement::{Told, log_as_operators, origin};
use crate::args::Connection;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;

/// Admit an operator of the ledger, change the key of one, or take it back (operators).
///
/// Signed by as many operators as genesis asks for; that number never changes. `registry show` lists
/// the operators.
#[derive(Debug, Args)]
pub(crate) struct OperatorCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Admit one more operator
    ///
    /// From the next entry on it signs and approves what operators decide. For the admin listeners of
    /// the nodes it needs a certificate too: `aimslogd add-operator` makes both. A name is never used
    /// twice.
    #[command(after_help = "\
Example: aimslogd add-operator --from aimslog-cluster --number 3     (where authority/ is kept)
         aimslog operator add operator-3 --new-key operator-3/operator.seed \\
           --operator-key op1.seed --operator-key op2.seed")]
    Add(NewKeyOf),
    /// Give an operator another key; the old one signs and approves nothing more
    ///
    /// What the old key has signed and the log has taken stays valid.
    #[command(after_help = "\
Example: aimslog key generate -o op1-2.seed --encrypt
         aimslog operator rotate operator-1 --new-key op1-2.seed \\
           --operator-key op1.seed --operator-key op2.seed")]
    Rotate(NewKeyOf),
    /// Take an operator's key back, for ever
    ///
    /// What it has signed stays valid. As many operators stay as must agree: admit another one first.
    /// The certificate of the admin listeners is not taken back by this: it shows whoever has it how
    /// the cluster is and lets it send what others have signed, until it ends or the nodes get another
    /// authority.
    #[command(after_help = "\
Example: aimslog operator revoke operator-1 --reason left \\
           --operator-key op2.seed --operator-key op3.seed")]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct NewKeyOf {
    /// What the operator is called: a function, not a person
    name: String,
    /// The new key, a file or PKCS#11 URI: it proves that it wants to be this operator's
    #[arg(long, value_name = "KEY")]
    new_key: KeyRef,
    #[command(flatten)]
    operators: Operators,
}

#[derive(Debug, Args)]
struct Revoke {
    /// What the operator is called
    name: String,
    /// Why, for whoever reads what it has signed
    #[arg(long, value_enum, value_name = "REASON")]
    reason: Reason,
    #[command(flatten)]
    operators: Operators,
}

#[derive(Debug, Args)]
struct Operators {
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
}

impl OperatorCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        match &self.action {
            Action::Add(new) => new.log(
                &context,
                (OperatorChange::Admit, "is an operator of the ledger"),
                output,
            ),
            Action::Rotate(new) => new.log(
                &context,
                (
                    OperatorChange::Rotate,
                    "has a new key, and the old one is retired,",
                ),
                output,
            ),
            Action::Revoke(revoke) => revoke.log(&context, output),
        }
    }
}

impl NewKeyOf {
    fn log(
        &self,
        context: &Context,
        (change, happened): (fn(NewKey) -> OperatorChange, &str),
        output: Output,
    ) -> Result<Exit> {
        let name = checked(&self.name)?;
        let key = context.open_key(&self.new_key)?;
        let new = NewKey {
            key: key.public_key(),
            possession: prove_operator_key(&origin(context)?, &name, key.as_ref())?,
        };
        let told = Told {
            id: &self.name,
            happened,
            key: Some(key.public_key().thumbprint()),
        };
        self.operators
            .log(context, (name, change(new)), &told, output)
    }
}

impl Revoke {
    fn log(&self, context: &Context, output: Output) -> Result<Exit> {
        let change = OperatorChange::Revoke(self.reason.code());
        let told = Told {
            id: &self.name,
            happened: "is no operator any more",
            key: None,
        };
        self.operators
            .log(context, (checked(&self.name)?, change), &told, output)
    }
}

impl Operators {
    fn log(
        &self,
        context: &Context,
        (name, change): (String, OperatorChange),
        told: &Told<'_>,
        output: Output,
    ) -> Result<Exit> {
        let record = OperatorRecord {
            name,
            change,
            approvals: Vec::new(),
        };
        log_as_operators(context, (record, &self.operator_key), told, output)
    }
}

/// A name that a record can carry.
fn checked(name: &str) -> Result<String> {
    if name.is_empty() || name.len() > OPERATOR_NAME_BYTES_MAX {
        return Err(UserError::usage(format!(
            "NAME: 1 to {OPERATOR_NAME_BYTES_MAX} bytes, found {}",
            name.len()
        )));
    }
    Ok(name.to_owned())
}
