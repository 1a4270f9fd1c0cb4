//! The records of a replacement: node admitted, node removed, policy changed.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use aimslog_client::admin::Cluster;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Signer;
use aimslog_proto::system::{Node, NodeChange, NodeEntry, NodeId, PolicyTexts};
use aimslog_proto::tlog::VerifierKey;
use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::context::{Context, read};
use crate::exit::UserError;
use crate::verb::agreed::{Agreed, Outcome};
use crate::verb::policy::texts::{change, in_force, names_key, swap};

/// What `aimslogd add-node` says of a new node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNode {
    /// Its number.
    pub(super) id: u64,
    /// `host:port` at which the other nodes reach it.
    pub(super) peer: String,
    /// Its cosigner key.
    pub(super) cosigner: String,
    /// The node in whose place it was made, where `add-node` was told.
    pub(super) replaces: Option<u64>,
    /// `host:port` for clients, for those who have to be told.
    pub(super) client: Option<String>,
    /// `host:port` for operators.
    pub(super) admin: Option<String>,
}

impl NewNode {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = String::from_utf8(read(path)?)?;
        let node: Self = toml::from_str(&text)
            .map_err(|error| UserError::usage(format!("{}: {error}", path.display())))?;
        node.entry()?;
        Ok(node)
    }

    /// Refuses a pair that cannot be: the node itself, and another than it was made for.
    pub(super) fn check_place(&self, old: u64) -> Result<()> {
        if self.id == old {
            return Err(UserError::usage(
                "a node id is never used twice: the new node needs its own",
            ));
        }
        match self.replaces {
            Some(meant) if meant != old => Err(UserError::usage(format!(
                "OLD: node {} was made in the place of node {meant} (`replaces` in NODE.toml), not of \
                 {old}; nothing was changed",
                self.id
            ))),
            _ => Ok(()),
        }
    }

    fn entry(&self) -> Result<NodeEntry> {
        let id = NodeId::new(self.id).ok_or_else(|| UserError::usage("a node id is above zero"))?;
        let cosigner = VerifierKey::from_str(&self.cosigner)
            .map_err(|error| UserError::usage(format!("cosigner: {error}")))?;
        Ok(NodeEntry {
            id,
            label: self.peer.clone(),
            cosigner,
        })
    }
}

/// Makes, keeps and sends the records.
pub(super) struct Records<'a>(Agreed<'a>);

impl<'a> Records<'a> {
    pub(super) fn new(context: &'a Context, keys: &'a [Arc<dyn Signer>], folder: &str) -> Self {
        Self(Agreed::new(context, keys, folder))
    }

    pub(super) async fn admit(&self, cluster: &Cluster, new: &NewNode) -> Result<Outcome> {
        let record = Node {
            change: NodeChange::Admit(Box::new(new.entry()?)),
            approvals: Vec::new(),
        };
        let done = Some(Reason::IdConflict);
        self.0.log(cluster, ("admit.cose", record), done).await
    }

    pub(super) async fn remove(&self, cluster: &Cluster, old: u64) -> Result<Outcome> {
        let id = NodeId::new(old).ok_or_else(|| UserError::usage("a node id is above zero"))?;
        let record = Node {
            change: NodeChange::Remove(id),
            approvals: Vec::new(),
        };
        let done = Some(Reason::NotFound);
        self.0.log(cluster, ("remove.cose", record), done).await
    }

    /// Whether an earlier run of the same pair, by this context, has signed a record.
    pub(super) fn were_begun(&self) -> bool {
        self.0.has("admit.cose")
    }

    /// Refuses a node that the policies in force do not name, before anything is changed.
    pub(super) async fn check_policy(&self, old: u64, new: &NewNode) -> Result<()> {
        let next = self.policies(old, new).await;
        next.map(drop).context("nothing was changed")
    }

    /// The policies with the new node's key in the place of the old one's, and whether they were
    /// logged now.
    pub(super) async fn policy(
        &self,
        cluster: &Cluster,
        old: u64,
        new: &NewNode,
    ) -> Result<(PolicyTexts, Outcome)> {
        let (before, texts) = self.policies(old, new).await?;
        let Some(texts) = texts else {
            return Ok((before, Outcome::Before));
        };
        let outcome = change(&self.0, cluster, (&before, &texts)).await?;
        Ok((texts, outcome))
    }

    /// The policies in force, and those that follow; none follow where the new node stands in them
    /// and the old one does not.
    async fn policies(
        &self,
        old: u64,
        new: &NewNode,
    ) -> Result<(PolicyTexts, Option<PolicyTexts>)> {
        let before = in_force(self.0.context).await?;
        let cosigner = &new.entry()?.cosigner;
        let old_name = format!("{}/node/{old}", self.0.context.service_id()?);
        if before.publish.contains(&cosigner.to_string()) && !names_key(&before.publish, &old_name)
        {
            return Ok((before, None));
        }
        let after = PolicyTexts {
            publish: swap(&before.publish, &old_name, cosigner)?,
            trust: swap(&before.trust, &old_name, cosigner)?,
        };
        Ok((before, Some(after)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aimslog_proto::tlog::KeyName;

    use super::*;

    #[test]
    fn a_new_node_is_read_strictly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key();
        let name = KeyName::new("ledger.example.com/aims1/node/4").unwrap();
        let cosigner = VerifierKey::cosignature_v1(name, &key).to_string();
        let good = format!("id = 4\npeer = \"10.0.0.4:7000\"\ncosigner = \"{cosigner}\"\n");
        fs::write(&path, &good).unwrap();
        let read = NewNode::read(&path).unwrap();
        assert_eq!(read.id, 4);
        read.check_place(2).unwrap();
        read.check_place(4).unwrap_err();
        let place = "client = \"10.0.0.4:7001\"\nadmin = \"10.0.0.4:7002\"\nreplaces = 2\n";
        fs::write(&path, format!("{good}{place}")).unwrap();
        let read = NewNode::read(&path).unwrap();
        read.check_place(2).unwrap();
        let refused = read.check_place(3).unwrap_err().to_string();
        assert!(refused.contains("in the place of node 2"), "{refused}");
        for bad in [
            good.replace("id = 4", "id = 0"),
            format!("{good}more = 1\n"),
        ] {
            fs::write(&path, &bad).unwrap();
            assert!(NewNode::read(&path).is_err(), "{bad}");
        }
    }
}
