//! `ledger.node`: operators admit a node to the cluster, give it a new cosigner key, or remove it for
//! ever.

use std::str::FromStr as _;

use crate::limits::NODE_LABEL_BYTES_MAX;
use crate::statement::cbor::Encoder;
use crate::statement::key::Signature;
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{Entry, MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::NodeId;
use crate::tlog::VerifierKey;

/// A change of the cluster's nodes.
///
/// CBOR map: 1 change (0 admit, 1 remove, 2 rotate), 2 node id, for an admission also 3 label
/// (`host:port`, what people call it; nothing is decided by it), for an admission and a rotation 4
/// cosigner vkey, for a rotation 5 proof of possession (64 bytes); 23 approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What changes.
    pub change: NodeChange,
    /// Of the other operators.
    pub approvals: Vec<Approval>,
}

/// What a [`Node`] record does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeChange {
    /// The node may join.
    Admit(Box<NodeEntry>),
    /// The node is gone and its id with it.
    Remove(NodeId),
    /// The node signs with another key from here on. Which keys count is said by the policy alone.
    Rotate {
        /// The node.
        id: NodeId,
        /// Its new cosigner key, named as the old one.
        cosigner: Box<VerifierKey>,
        /// By that key over the subject of the record.
        possession: Signature,
    },
}

/// An admitted node, here and in genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    /// The node: ids are never used twice.
    pub id: NodeId,
    /// Address or name for people, 1 to 255 bytes.
    pub label: String,
    /// The node's cosigner key, named `<origin>/node/<id>`.
    pub cosigner: VerifierKey,
}

impl NodeEntry {
    /// As `[id, label, vkey]`.
    pub(crate) fn write(&self, encoder: &mut Encoder) {
        encoder.array(3);
        encoder.uint(self.id.number());
        encoder.text(&self.label);
        encoder.text(&self.cosigner.to_string());
    }

    /// From `[id, label, vkey]`.
    pub(crate) fn read(entry: Entry<'_, '_>) -> Result<Self, PayloadError> {
        let [id, label, cosigner] = entry.tuple()?;
        Ok(Self {
            id: read_id(id)?,
            label: label.text(1..=NODE_LABEL_BYTES_MAX)?,
            cosigner: cosigner.parsed(VerifierKey::from_str)?,
        })
    }
}

impl Node {
    /// The node that the record is about.
    pub const fn id(&self) -> NodeId {
        match &self.change {
            NodeChange::Admit(node) => node.id,
            NodeChange::Remove(id) | NodeChange::Rotate { id, .. } => *id,
        }
    }
}

impl Payload for Node {
    const KIND: SystemKind = SystemKind::Node;

    fn write(&self, map: &mut MapWriter) {
        match &self.change {
            NodeChange::Admit(node) => {
                map.uint(1, 0);
                map.uint(2, node.id.number());
                map.text(3, &node.label);
                map.text(4, &node.cosigner.to_string());
            }
            NodeChange::Remove(id) => {
                map.uint(1, 1);
                map.uint(2, id.number());
            }
            NodeChange::Rotate {
                id,
                cosigner,
                possession,
            } => {
                map.uint(1, 2);
                map.uint(2, id.number());
                map.text(4, &cosigner.to_string());
                map.bytes(5, possession.as_bytes());
            }
        }
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let change = map.required(1, "change")?.uint()?;
        let id = read_id(map.required(2, "id")?)?;
        let change = match change {
            0 => NodeChange::Admit(Box::new(NodeEntry {
                id,
                label: map.required(3, "label")?.text(1..=NODE_LABEL_BYTES_MAX)?,
                cosigner: map.required(4, "cosigner")?.parsed(VerifierKey::from_str)?,
            })),
            1 => NodeChange::Remove(id),
            2 => NodeChange::Rotate {
                id,
                cosigner: Box::new(map.required(4, "cosigner")?.parsed(VerifierKey::from_str)?),
                possession: map.required(5, "possession")?.signature()?,
            },
            _ => return Err(map.wrong("change", "0 admit, 1 remove or 2 rotate")),
        };
        let approvals = Approval::read_all(map)?;
        Ok(Self { change, approvals })
    }

    fn subject_part(&self) -> String {
        node_subject_part(self.id())
    }

    fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        Self { approvals, ..self }
    }
}

/// The part of the subject behind `https://<origin>/` of what is about this node.
pub(super) fn node_subject_part(id: NodeId) -> String {
    format!("node/{id}")
}

fn read_id(entry: Entry<'_, '_>) -> Result<NodeId, PayloadError> {
    NodeId::new(entry.uint()?).ok_or_else(|| entry.wrong("a node id is above zero"))
}
