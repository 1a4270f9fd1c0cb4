//! `aimslog cluster replace`: a new node in the place of one that is gone.
//!
//! Each step looks whether it is done already, and each signed record is kept before it is sent, so
//! that the same command, repeated, goes on where it stopped.

mod members;
mod records;

use std::path::PathBuf;
use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_proto::pb::admin::v1::Member;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::agreed::{Steps, open_keys};
use crate::verb::prove::write;
use members::Members;
use records::{NewNode, Records};

/// Put a new node in the place of one that is gone
///
/// Admits the new node by a record that the operators sign, lets it catch up and get the keys of the
/// ledger from a voter, makes it a voter in the place of the old one, removes that one for ever, and
/// logs the policy in which the new key stands in the place of the old one. Records are taken all
/// the while. A node id is never used twice. Repeat the command if it was cut off: it goes on where
/// it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslogd add-node --from aimslog-cluster --node n4=10.0.0.4:7000 --id 4 --replaces 2
         (copy the folder n4 to its machine, start it, then)
         aimslog cluster replace 2 n4/node.toml --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct Replace {
    /// Number of the node that is gone
    old: u64,
    /// What `aimslogd add-node` wrote about the new node
    #[arg(value_name = "NODE.toml")]
    new: PathBuf,
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
    /// Where to write the new policy, which everybody who verifies needs
    #[arg(long, value_name = "FILE", default_value = "policy-new.txt")]
    policy_out: PathBuf,
    /// Seconds that the new node may take to catch up
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
}

#[derive(Serialize)]
struct Replaced {
    old: u64,
    new: u64,
    /// What goes into everybody's contexts.
    client_endpoint: Option<String>,
    admin_endpoint: Option<String>,
    steps: Vec<String>,
    policy: PathBuf,
}

impl Replace {
    pub(crate) async fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let new = NewNode::read(&self.new)?;
        new.check_place(self.old)?;
        let keys = open_keys(context, &self.operator_key)?;
        let endpoints = context.admin_endpoints()?;
        let cluster = Cluster::new(&endpoints)?;
        let members = Members::new(&endpoints, Duration::from_secs(self.wait))?;
        let folder = format!("replace-{}-{}", self.old, new.id);
        let records = Records::new(context, &keys, &folder);
        let mut steps = Steps::new(output);
        // Whoever the new node was made for, or whose records lie here, may have been taken out by a
        // run that was cut off.
        let begun = new.replaces.is_some() || records.were_begun();
        let gone = members.check_old(self.old, new.id, begun).await?;
        records.check_policy(self.old, &new).await?;
        // The operators' agreement comes first: without it nothing is changed.
        let admitted = records.admit(&cluster, &new).await?;
        steps.done(format!("node {} admitted: {admitted}", new.id));
        steps.done(members.learn(&cluster, &new).await?);
        steps.done(members.swap(&cluster, self.old, new.id).await?);
        let removed = records.remove(&cluster, self.old).await?;
        steps.done(format!("node {} removed for ever: {removed}", self.old));
        let (texts, outcome) = records.policy(&cluster, self.old, &new).await?;
        steps.done(format!(
            "policy names node {} instead of {}: {outcome}",
            new.id, self.old
        ));
        let policy = write(&self.policy_out, texts.trust.as_bytes())?;
        let text = format!(
            "node {} stands in the place of node {}\nthe new policy is in {}: give it to everybody \
             who verifies, and compare its fingerprint\n{}",
            new.id,
            self.old,
            policy.display(),
            addresses(self.old, gone.as_ref(), &new)
        );
        let data = Replaced {
            old: self.old,
            new: new.id,
            client_endpoint: new.client,
            admin_endpoint: new.admin,
            steps: steps.said,
            policy,
        };
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }
}

/// Who has to change which addresses, now that the members are others.
fn addresses(old: u64, gone: Option<&Member>, new: &NewNode) -> String {
    let place = gone.map_or_else(String::new, |member| {
        format!(" (peers reached it at {})", member.address)
    });
    let named = |address: &Option<String>| {
        let unknown = || format!("see nodes.txt of node {}", new.id);
        address.clone().unwrap_or_else(unknown)
    };
    format!(
        "the endpoints of node {old}{place} are gone; in their place come\n  \
           for clients    {client}: operators, enterprises and auditors put it into their contexts\n  \
           for operators  {admin}: operators put it into theirs\n\
         with `aimslog init NAME --force` and the whole list of endpoints, and into nodes.txt; the other \
         nodes have learned it from the log",
        client = named(&new.client),
        admin = named(&new.admin),
    )
}
