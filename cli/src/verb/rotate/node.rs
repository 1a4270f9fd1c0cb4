//! `aimslog cluster rotate-node`: a new cosigner key of a node that runs.

use std::path::PathBuf;
use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::system::{Node, NodeChange, PolicyTexts};
use aimslog_proto::tlog::VerifierKey;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::proof::NodeProof;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::agreed::{Agreed, Outcome, Steps, open_keys};
use crate::verb::cluster::nodes::Nodes;
use crate::verb::policy::texts::{change, in_force, swap};
use crate::verb::prove::write;
use crate::verb::statement::origin;

/// Give a node another cosigner key while the cluster runs
///
/// Logs a record that names the node's new key and the policy in which it stands in the place of the
/// old one, both signed by the operators, and waits until the node signs with it and has removed the
/// file of the old one. The head that leads from one policy to the other is cosigned with both keys.
/// Records are taken all the while, and the node needs no restart. Repeat the command if it was cut
/// off: it goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslogd rotate --config aimslogd.toml      (on the machine of node 3; it writes the proof)
         aimslog cluster rotate-node 3 --possession cosigner.next.toml \\
           --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct RotateNode {
    /// Number of the node
    node: u64,
    /// What `aimslogd rotate` wrote about the new key
    #[arg(long, value_name = "FILE")]
    possession: PathBuf,
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
    /// Where to write the new policy, which everybody who verifies needs
    #[arg(long, value_name = "FILE", default_value = "policy-new.txt")]
    policy_out: PathBuf,
    /// Seconds that the node may take to sign with the new key
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

#[derive(Serialize)]
struct Rotated {
    node: u64,
    cosigner: String,
    steps: Vec<String>,
    policy: PathBuf,
}

impl RotateNode {
    pub(crate) async fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let node = self.node;
        let proof = NodeProof::read(&self.possession, &origin(context)?, node)?;
        let vkey = proof.cosigner.to_string();
        let keys = open_keys(context, &self.operator_key)?;
        let endpoints = context.admin_endpoints()?;
        let cluster = Cluster::new(&endpoints)?;
        let nodes = Nodes::new(&endpoints)?;
        let patience = Duration::from_secs(self.wait);
        let folder = format!(
            "rotate-{node}-{}",
            crate::verb::key::hex(proof.cosigner.id().as_bytes())
        );
        let agreed = Agreed::new(context, &keys, &folder);
        let mut steps = Steps::new(output);
        let now = named_now(&nodes.leader(patience).await?, node)?;
        // What cannot be put into the policy is refused before anything is changed.
        let next = policies(context, &proof.cosigner).await;
        next.map(drop).context("nothing was changed")?;
        let named = if now == vkey {
            Outcome::Before
        } else {
            let record = Node {
                change: NodeChange::Rotate {
                    id: proof.id,
                    cosigner: Box::new(proof.cosigner.clone()),
                    possession: proof.possession,
                },
                approvals: Vec::new(),
            };
            agreed.log(&cluster, ("rotate.cose", record), None).await?
        };
        steps.done(format!("the new key of node {node} named: {named}"));
        let (before, after) = policies(context, &proof.cosigner).await?;
        let (texts, outcome) = match after {
            Some(after) => {
                let outcome = change(&agreed, &cluster, (&before, &after)).await?;
                (after, outcome)
            }
            None => (before, Outcome::Before),
        };
        steps.done(format!(
            "policy names it in the place of the old one: {outcome}"
        ));
        let policy = write(&self.policy_out, texts.trust.as_bytes())?;
        let judge = |answered: &[StatusResponse]| taken_over(answered, node, &vkey);
        if let Err(missing) = nodes.until(patience, judge).await? {
            return Err(UserError::refused(format!(
                "{missing}; the records are logged and the other nodes make heads without it: see to the \
                 node (`aimslog cluster status`), and repeat the command to look again"
            )));
        }
        steps.done(format!(
            "node {node} signs with its new key, and the file of the old one is gone"
        ));
        let text = format!(
            "node {node} has another cosigner key\nthe new policy is in {}: give it to everybody who \
             verifies, and compare its fingerprint",
            policy.display()
        );
        let data = Rotated {
            node,
            cosigner: vkey,
            steps: steps.said,
            policy,
        };
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }
}

/// The key that the log names for a member.
fn named_now(leader: &StatusResponse, node: u64) -> Result<String> {
    let mut members = leader.members.iter();
    let found = members.find(|member| member.node_id == node);
    found.map(|member| member.cosigner.clone()).ok_or_else(|| {
        let ids = leader.members.iter().map(|member| member.node_id.to_string());
        let ids: Vec<String> = ids.collect();
        UserError::usage(format!(
            "NODE: node {node} is no member of the cluster; the members are {}; nothing was changed",
            ids.join(", ")
        ))
    })
}

/// The policies in force, and those with the key in the place of the node's old one; none follow where
/// it stands in both.
async fn policies(
    context: &Context,
    key: &VerifierKey,
) -> Result<(PolicyTexts, Option<PolicyTexts>)> {
    let before = in_force(context).await?;
    let has = |text: &String| text.contains(&key.to_string());
    if has(&before.publish) && has(&before.trust) {
        return Ok((before, None));
    }
    let name = key.name().as_str();
    let after = PolicyTexts {
        publish: swap(&before.publish, name, key)?,
        trust: swap(&before.trust, name, key)?,
    };
    Ok((before, Some(after)))
}

/// Whether the node says that it holds this key and no other; otherwise what is missing.
fn taken_over(answered: &[StatusResponse], node: u64, vkey: &str) -> Result<(), String> {
    let mut all = answered.iter();
    let Some(status) = all.find(|status| status.node_id == node) else {
        return Err(format!(
            "node {node} answered at none of the admin endpoints"
        ));
    };
    match status.cosigner_keys.as_slice() {
        [only] if only == vkey => Ok(()),
        keys if keys.iter().any(|key| key == vkey) => Err(format!(
            "node {node} has the new key and still keeps the old one, which the newest head may need"
        )),
        _ => Err(format!(
            "node {node} does not have the new key: it must lie where `aimslogd rotate` put it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use aimslog_proto::pb::admin::v1::Member;

    use super::*;

    #[test]
    fn a_node_has_taken_over_when_it_holds_the_new_key_alone() {
        let says = |keys: &[&str]| StatusResponse {
            node_id: 3,
            cosigner_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..StatusResponse::default()
        };
        assert_eq!(taken_over(&[says(&["new"])], 3, "new"), Ok(()));
        for (keys, words) in [
            (&["old"][..], "does not have the new key"),
            (&["old", "new"], "still keeps the old one"),
            (&[], "does not have the new key"),
        ] {
            let missing = taken_over(&[says(keys)], 3, "new").unwrap_err();
            assert!(missing.contains(words), "{keys:?}: {missing}");
        }
        let silent = taken_over(&[says(&["new"])], 2, "new").unwrap_err();
        assert!(silent.contains("at none of"), "{silent}");
    }

    #[test]
    fn only_a_member_has_a_key_to_change() {
        let leader = StatusResponse {
            members: vec![Member {
                node_id: 3,
                cosigner: "old".to_owned(),
                ..Member::default()
            }],
            ..StatusResponse::default()
        };
        assert_eq!(named_now(&leader, 3).unwrap(), "old");
        let refused = named_now(&leader, 4).unwrap_err().to_string();
        assert!(refused.contains("the members are 3"), "{refused}");
    }
}
