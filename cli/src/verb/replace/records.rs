//! The records of a replacement: node admitted, node removed, policy changed. Signed once, kept, and
//! sent again as they are: sending the same bytes twice logs them once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use aimslog_client::ClientError;
use aimslog_client::admin::Cluster;
use aimslog_client::file::replace_file;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::{Signer, Thumbprint};
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::system::{
    Making, Node, NodeChange, NodeEntry, NodeId, Payload, PolicyChange, PolicyTexts, add_approval,
    approve_record, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Origin, Policy, VerifierKey};
use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::context::{Context, read};
use crate::exit::UserError;

/// How long a signed record may wait to be registered.
const EXPIRES_AFTER_SECONDS: u64 = 3600;

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

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// At this index.
    Logged(u64),
    /// By an earlier run, or another operator.
    Before,
}

/// Makes, keeps and sends the records.
pub(super) struct Records<'a> {
    context: &'a Context,
    keys: &'a [Arc<dyn Signer>],
    folder: PathBuf,
}

impl<'a> Records<'a> {
    pub(super) fn new(context: &'a Context, keys: &'a [Arc<dyn Signer>], folder: PathBuf) -> Self {
        Self {
            context,
            keys,
            folder,
        }
    }

    pub(super) async fn admit(
        &self,
        cluster: &Cluster,
        new: &NewNode,
        now: u64,
    ) -> Result<Outcome> {
        let record = Node {
            change: NodeChange::Admit(Box::new(new.entry()?)),
            approvals: Vec::new(),
        };
        let statement = self.kept("admit.cose", record, now)?;
        send(cluster, &statement, Some(Reason::IdConflict)).await
    }

    pub(super) async fn remove(&self, cluster: &Cluster, old: u64, now: u64) -> Result<Outcome> {
        let id = NodeId::new(old).ok_or_else(|| UserError::usage("a node id is above zero"))?;
        let record = Node {
            change: NodeChange::Remove(id),
            approvals: Vec::new(),
        };
        let statement = self.kept("remove.cose", record, now)?;
        send(cluster, &statement, Some(Reason::NotFound)).await
    }

    /// Whether an earlier run of the same pair, by this context, has signed a record.
    pub(super) fn were_begun(&self) -> bool {
        self.folder.join("admit.cose").exists()
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
        let record = PolicyChange {
            predecessor: before.digest(),
            texts: texts.clone(),
            approvals: Vec::new(),
        };
        let statement = self.kept("policy.cose", record, aimslog_client::clock::unix_seconds())?;
        let outcome = send(cluster, &statement, None).await?;
        Ok((texts, outcome))
    }

    /// The policies in force, and those that follow; none follow where the new node stands in them
    /// and the old one does not.
    async fn policies(
        &self,
        old: u64,
        new: &NewNode,
    ) -> Result<(PolicyTexts, Option<PolicyTexts>)> {
        let ledger = self.context.public_ledger()?;
        let info = ledger.unverified_info().await?;
        let before = PolicyTexts {
            publish: info.publish_policy,
            trust: info.trust_policy,
        };
        let cosigner = &new.entry()?.cosigner;
        let old_name = format!("{}/node/{old}", self.context.service_id()?);
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

    /// The signed record: the one kept by an earlier run if it can still be registered and says the
    /// same, otherwise a new one, which is kept before it is sent.
    fn kept<P: Payload>(&self, file: &str, record: P, now: u64) -> Result<Vec<u8>> {
        let path = self.folder.join(file);
        match fs::read(&path) {
            Ok(bytes) if self.is_still_good(&bytes, &record, now) => return Ok(bytes),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| path.display().to_string());
            }
            _ => {}
        }
        let (signer, others) = self
            .keys
            .split_first()
            .ok_or_else(|| UserError::usage("--operator-key is needed"))?;
        let origin = Origin::new(self.context.service_id()?)
            .map_err(|error| UserError::usage(format!("the policy's log: {error}")))?;
        let making = Making {
            origin: &origin,
            issued: UnixSeconds(now),
            expires: Some(UnixSeconds(now.saturating_add(EXPIRES_AFTER_SECONDS))),
            id: StatementId::from_bytes(rand::random()),
        };
        // Each approves this one statement: its id and expiry are fixed before.
        let mut record = record;
        for other in others {
            let approval = approve_record(&record, &making, other.as_ref())?;
            record = add_approval(record, approval);
        }
        let statement = sign_record(&record, &making, signer.as_ref())?;
        replace_file(&path, statement.bytes()).with_context(|| path.display().to_string())?;
        Ok(statement.bytes().to_vec())
    }

    /// Whether a kept record lives, says the same, and has every operator behind it whose key was
    /// given now: one that was refused for lack of a second operator must not be sent again.
    fn is_still_good<P: Payload>(&self, bytes: &[u8], record: &P, now: u64) -> bool {
        let Ok(statement) = UnverifiedStatement::parse(bytes) else {
            return false;
        };
        let header = statement.header();
        let Ok(kept) = P::decode(statement.payload()) else {
            return false;
        };
        let approved = kept.approvals().iter().map(|approval| approval.operator);
        let behind: BTreeSet<Thumbprint> = approved.chain([header.key]).collect();
        let mut keys = self.keys.iter().map(|key| key.public_key().thumbprint());
        header.expires.is_some_and(|expires| expires.0 > now)
            && kept.encode_unapproved() == record.encode_unapproved()
            && keys.all(|key| behind.contains(&key))
    }
}

/// Sends a record; `done` is the refusal of one whose content is in force already, if that can be.
async fn send(cluster: &Cluster, statement: &[u8], done: Option<Reason>) -> Result<Outcome> {
    match cluster.submit_system(statement).await {
        Ok(index) => Ok(Outcome::Logged(index.0)),
        Err(ClientError::Refused(refusal)) if done.is_some() && refusal.reason == done => {
            Ok(Outcome::Before)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a witness line of the policy has a key of this name.
fn names_key(text: &str, name: &str) -> bool {
    Policy::parse(text.as_bytes()).is_ok_and(|policy| {
        let mut witnesses = policy.witnesses().iter();
        witnesses.any(|witness| witness.key.name().as_str() == name)
    })
}

/// A policy text with another key in the place of the key named `old`. A witness that is called
/// like its key is called like the new one from then on; everything else stays as it is.
fn swap(text: &str, old: &str, new: &VerifierKey) -> Result<String> {
    let mut renamed: Option<String> = None;
    let mut found = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if let [kind, name, key, ..] = words.as_mut_slice()
            && kind == "witness"
            && VerifierKey::from_str(key).is_ok_and(|key| key.name().as_str() == old)
        {
            found = true;
            *key = new.to_string();
            if name == old {
                renamed = Some(new.name().to_string());
            }
        }
        if let Some(renamed) = &renamed
            && words
                .first()
                .is_some_and(|kind| ["witness", "group", "quorum"].contains(&kind.as_str()))
        {
            for word in words.iter_mut().skip(1).filter(|word| *word == old) {
                word.clone_from(renamed);
            }
        }
        lines.push(words.join(" "));
    }
    if !found {
        return Err(UserError::usage(format!(
            "OLD: the policy in force has no key of {old}"
        )));
    }
    let text = format!("{}\n", lines.join("\n"));
    Policy::parse(text.as_bytes())
        .map_err(|error| UserError::usage(format!("the new policy would be none: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use aimslog_proto::statement::evidence::EvidenceFile;
    use aimslog_proto::system::Genesis;

    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../../../../proto/tests/golden/evidence-v1.json");

    fn genesis() -> Genesis {
        let file = EvidenceFile::parse(GOLDEN).unwrap();
        let first = UnverifiedStatement::parse(&file.chain[0].statement).unwrap();
        Genesis::decode(first.payload()).unwrap()
    }

    #[test]
    fn swaps_the_key_of_one_witness_and_nothing_else() {
        let genesis = genesis();
        let [first, second, third] = [0, 1, 2].map(|at| genesis.nodes[at].cosigner.clone());
        let policy = Policy::threshold(&genesis.log_key, &[first.clone(), second.clone()], 2);
        let text = String::from_utf8(policy.unwrap().as_bytes().to_vec()).unwrap();
        let swapped = swap(&text, second.name().as_str(), &third).unwrap();
        let expected = Policy::threshold(&genesis.log_key, &[first, third.clone()], 2).unwrap();
        assert_eq!(swapped.as_bytes(), expected.as_bytes());
        assert!(!names_key(&swapped, second.name().as_str()));
        assert!(names_key(&swapped, third.name().as_str()));
    }

    #[test]
    fn a_witness_with_a_name_of_its_own_keeps_it() {
        let genesis = genesis();
        let second = genesis.nodes[1].cosigner.clone();
        let other = VerifierKey::cosignature_v1(
            aimslog_proto::tlog::KeyName::new(format!("{}/node/4", genesis.origin)).unwrap(),
            &ed25519(9),
        );
        let swapped = swap(&genesis.policy.trust, second.name().as_str(), &other).unwrap();
        assert_eq!(
            swapped.matches(" n2").count(),
            genesis.policy.trust.matches(" n2").count()
        );
        assert!(swapped.contains(&other.to_string()));
    }

    fn ed25519(seed: u8) -> ed25519_dalek::VerifyingKey {
        ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key()
    }

    #[test]
    fn a_node_that_the_policy_does_not_name_cannot_be_replaced_in_it() {
        let genesis = genesis();
        let key = genesis.nodes[0].cosigner.clone();
        assert!(swap(&genesis.policy.publish, "elsewhere/node/9", &key).is_err());
    }

    #[test]
    fn a_new_node_is_read_strictly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let cosigner = genesis().nodes[0].cosigner.to_string();
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
