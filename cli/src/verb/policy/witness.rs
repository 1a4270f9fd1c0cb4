//! `aimslog policy add-witness` and `remove-witness`: whom verifiers know beside the nodes.
//!
//! A witness is known and not asked for. This ledger does not collect the cosignatures of outside
//! witnesses yet, so a policy that asks for one would leave verifiers without any head that counts.

use std::path::PathBuf;
use std::str::FromStr as _;

use aimslog_client::admin::Cluster;
use aimslog_proto::system::{PolicyChange, PolicyTexts};
use aimslog_proto::tlog::{Policy, VerifierKey};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::texts::{add_witness, in_force, remove_witness};
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::agreed::{Agreed, Outcome, open_keys};
use crate::verb::key::hex;
use crate::verb::prove::write;
use crate::verb::runtime;

/// Make an outside witness known to everybody who verifies (operators)
///
/// Logs a policy for verifiers that names the witness beside the nodes. Its cosignature is then
/// recognised and told (`held outside since`), and not asked for: a head counts without it as before.
/// Heads do not carry cosignatures of outside witnesses by themselves yet; a witness gives its own to
/// whoever asks it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog policy add-witness witness.example.org/w1+6fb4a2a0+BD... \\
           --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct AddWitness {
    /// The witness's verifier key (C2SP, type 04): NAME+ID+KEY
    #[arg(value_name = "NAME+VKEY")]
    witness: String,
    /// Its name in the policy [default: the name in the key]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// Take an outside witness out of the policy for verifiers (operators)
///
/// Only one that is known and not asked for. What it has cosigned is told as its cosignature no more
/// to those who have the newer policy.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog policy remove-witness witness.example.org/w1 \\
           --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct RemoveWitness {
    /// Its name in the policy, or the name of its key
    name: String,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
struct Change {
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
    /// Where to write the new policy, which everybody who verifies gets
    #[arg(long, value_name = "FILE", default_value = "policy-new.txt")]
    policy_out: PathBuf,
}

#[derive(Serialize)]
struct Changed {
    witness: String,
    index: u64,
    fingerprint: String,
    policy: PathBuf,
}

impl AddWitness {
    pub(super) fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let key = VerifierKey::from_str(&self.witness)
            .map_err(|error| UserError::usage(format!("NAME+VKEY: {error}")))?;
        let nodes = format!("{}/node/", context.service_id()?);
        if key.name().as_str().starts_with(&nodes) {
            return Err(UserError::usage(format!(
                "NAME+VKEY: {} is the name of a node, which is no outside witness",
                key.name()
            )));
        }
        let name = self.name.as_deref().unwrap_or_else(|| key.name().as_str());
        let edit = |trust: &str| add_witness(trust, (name, &key));
        self.change
            .make(context, (name, "is known as a witness"), edit, output)
    }
}

impl RemoveWitness {
    pub(super) fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let edit = |trust: &str| remove_witness(trust, &self.name);
        let told = (self.name.as_str(), "is no known witness any more");
        self.change.make(context, told, edit, output)
    }
}

impl Change {
    fn make(
        &self,
        context: &Context,
        (name, happened): (&str, &str),
        edit: impl Fn(&str) -> Result<String>,
        output: Output,
    ) -> Result<Exit> {
        let runtime = runtime()?;
        let keys = open_keys(context, &self.operator_key)?;
        let _entered = runtime.enter();
        let agreed = Agreed::new(context, &keys, "policy");
        let (texts, index) = runtime.block_on(changed(context, &agreed, edit))?;
        let policy = write(&self.policy_out, texts.trust.as_bytes())?;
        let fingerprint = Policy::parse(texts.trust.as_bytes())?.fingerprint();
        let text = format!(
            "{name} {happened}, by the record at index {index}\nthe new policy is in {}: give it to \
             everybody who verifies, and compare its fingerprint\nuntil then they go on with the one \
             that they have, which heads satisfy as well",
            policy.display()
        );
        let data = Changed {
            witness: name.to_owned(),
            index,
            fingerprint: hex(&fingerprint),
            policy,
        };
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }
}

/// The policies behind the change, and the record that made it. Two changes at once exclude each
/// other: each names what it replaces.
async fn changed(
    context: &Context,
    agreed: &Agreed<'_>,
    edit: impl Fn(&str) -> Result<String>,
) -> Result<(PolicyTexts, u64)> {
    let cluster = Cluster::new(&context.admin_endpoints()?)?;
    let before = in_force(context).await?;
    let texts = PolicyTexts {
        publish: before.publish.clone(),
        trust: edit(&before.trust)?,
    };
    let record = PolicyChange {
        predecessor: before.digest(),
        texts: texts.clone(),
        approvals: Vec::new(),
    };
    match agreed.log_anew(&cluster, record).await? {
        Outcome::Logged(index) => Ok((texts, index)),
        Outcome::Before => Err(UserError::refused("somebody else has changed the policy")),
    }
}
