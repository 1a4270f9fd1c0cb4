//! `aimslog cluster rotate-receipt-key`: another key for receipts while the cluster runs.
//!
//! Two records: the first names the new key beside the old one, upon which every voter gets it; the
//! second names it alone, once all of them have it. So whoever leads can always sign.

use std::path::PathBuf;
use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::system::{Keys, ReceiptKey};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::proof;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::agreed::{Agreed, Outcome, Steps, open_keys};
use crate::verb::cluster::nodes::{Nodes, leader_of};
use crate::verb::statement::origin;

/// Give the ledger another key for receipts while the cluster runs
///
/// Logs a record that names the new key beside the old one, waits until the node where it was made has
/// handed it to every other voter (over mutual TLS), logs the record that names it alone, and waits
/// until every voter has removed the file of the old one. Each record is signed by the operators.
/// Receipts that were signed before stay valid, and the policy stays as it is. Repeat the command if it
/// was cut off: it goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslogd rotate --config aimslogd.toml --key receipt   (on any one voter)
         aimslog cluster rotate-receipt-key --possession receipt.next.toml \\
           --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct RotateReceiptKey {
    /// What `aimslogd rotate` wrote about the new key
    #[arg(long, value_name = "FILE")]
    possession: PathBuf,
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
    /// Seconds that the voters may take, each time they are waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

#[derive(Serialize)]
struct Rotated {
    receipt_key: String,
    steps: Vec<String>,
}

impl RotateReceiptKey {
    pub(crate) async fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let new = proof::receipt(&self.possession, &origin(context)?)?;
        let thumbprint = new.key.thumbprint().to_string();
        let keys = open_keys(context, &self.operator_key)?;
        let endpoints = context.admin_endpoints()?;
        let cluster = Cluster::new(&endpoints)?;
        let nodes = Nodes::new(&endpoints)?;
        let patience = Duration::from_secs(self.wait);
        let agreed = Agreed::new(context, &keys, &format!("receipt-{thumbprint}"));
        let mut steps = Steps::new(output);
        let (_, in_force) = context.public_ledger()?.receipt_keys().await?;
        let named = |receipt: &ReceiptKey| receipt.key == new.key;
        let is_alone = in_force.receipt.iter().all(named);
        let beside = if in_force.receipt.iter().any(named) {
            Outcome::Before
        } else {
            let record = beside(&in_force, &new)?;
            agreed.log(&cluster, ("beside.cose", record), None).await?
        };
        steps.done(format!("the new key named beside the old one: {beside}"));
        let all_hold = |answered: &[StatusResponse]| {
            voters(
                answered,
                |status| status.receipt_keys.contains(&thumbprint),
                "has not got the new key",
            )
        };
        waited(nodes.until(patience, all_hold).await?)?;
        steps.done("every voter has it".to_owned());
        let alone = if is_alone {
            Outcome::Before
        } else {
            let record = Keys {
                receipt: vec![new],
                log: Vec::new(),
                approvals: Vec::new(),
            };
            agreed.log(&cluster, ("alone.cose", record), None).await?
        };
        steps.done(format!("the new key named alone: {alone}"));
        let only = |answered: &[StatusResponse]| {
            voters(
                answered,
                |status| status.receipt_keys == [thumbprint.clone()],
                "still keeps the old key",
            )
        };
        waited(nodes.until(patience, only).await?)?;
        steps.done("every voter has removed the file of the old one".to_owned());
        let text = format!("receipts are signed with key {thumbprint} from here on");
        let data = Rotated {
            receipt_key: thumbprint,
            steps: steps.said,
        };
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }
}

/// The record that names the new key beside the one that signs now. One that was to follow and never
/// came to sign is left out: it is retired by this.
fn beside(in_force: &Keys, new: &ReceiptKey) -> Result<Keys> {
    let signs = in_force.receipt.first();
    let signs = signs.ok_or_else(|| UserError::refused("the log names no receipt key"))?;
    Ok(Keys {
        receipt: vec![signs.clone(), new.clone()],
        log: Vec::new(),
        approvals: Vec::new(),
    })
}

/// Whether every voter says of its keys what is asked; otherwise who does not.
pub(super) fn voters(
    answered: &[StatusResponse],
    is_good: impl Fn(&StatusResponse) -> bool,
    what: &str,
) -> Result<(), String> {
    let Some(leader) = leader_of(answered.iter()) else {
        return Err("no node of the admin endpoints leads".to_owned());
    };
    let voters = || leader.members.iter().filter(|member| member.voter);
    let said = |id: u64| answered.iter().find(|status| status.node_id == id);
    // One that is down is the more urgent news: nobody can hand it anything.
    if let Some(silent) = voters().find(|voter| said(voter.node_id).is_none()) {
        let id = silent.node_id;
        return Err(format!("node {id} answered at none of the admin endpoints"));
    }
    let is_missing = |status: &&StatusResponse| !is_good(status);
    let mut missing = voters()
        .filter_map(|voter| said(voter.node_id))
        .filter(is_missing);
    match missing.next() {
        Some(status) => Err(format!("node {} {what}", status.node_id)),
        None => Ok(()),
    }
}

/// A voter that is down cannot be handed the key, and must not come to lead without it.
fn waited(judged: Result<(), String>) -> Result<()> {
    judged.map_err(|missing| {
        UserError::refused(format!(
            "{missing}; receipts go on under the keys that are named: see to that node (`aimslog cluster \
             status`) or replace it, and repeat the command"
        ))
    })
}

#[cfg(test)]
mod tests {
    use aimslog_proto::pb::admin::v1::Member;
    use aimslog_proto::statement::key::{Signature, SigningKey};

    use super::*;

    fn key(seed: u8) -> ReceiptKey {
        ReceiptKey {
            key: SigningKey::from_seed(&[seed; 32]).public_key(),
            possession: Signature([seed; 64]),
        }
    }

    #[test]
    fn the_key_that_signs_and_the_new_one_are_named_and_no_third() {
        let named = |keys: &[u8]| Keys {
            receipt: keys.iter().map(|seed| key(*seed)).collect(),
            log: Vec::new(),
            approvals: Vec::new(),
        };
        assert_eq!(beside(&named(&[1]), &key(3)).unwrap(), named(&[1, 3]));
        assert_eq!(beside(&named(&[1, 2]), &key(3)).unwrap(), named(&[1, 3]));
        beside(&named(&[]), &key(3)).unwrap_err();
    }

    #[test]
    fn every_voter_counts_and_no_learner() {
        let member = |node_id, voter| Member {
            node_id,
            voter,
            ..Member::default()
        };
        let says = |node_id, role: &str, keys: &[&str]| StatusResponse {
            node_id,
            role: role.to_owned(),
            members: vec![member(1, true), member(2, true), member(3, false)],
            receipt_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..StatusResponse::default()
        };
        let judge = |answered: &[StatusResponse]| {
            voters(
                answered,
                |status| status.receipt_keys.iter().any(|key| key == "new"),
                "lacks it",
            )
        };
        let both = [
            says(1, "leader", &["old", "new"]),
            says(2, "follower", &["old", "new"]),
            says(3, "learner", &[]),
        ];
        assert_eq!(judge(&both), Ok(()));
        let one = [says(1, "leader", &["new"]), says(2, "follower", &["old"])];
        assert_eq!(judge(&one), Err("node 2 lacks it".to_owned()));
        let silent = judge(&one[..1]).unwrap_err();
        assert!(silent.contains("node 2 answered at none"), "{silent}");
        assert!(judge(&one[1..]).unwrap_err().contains("leads"));
    }
}
