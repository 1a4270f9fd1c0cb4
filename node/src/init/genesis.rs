//! Entries 0 and 1 of a new log: genesis and its receipt key.

use super::plan::{Plan, node_name};
use aimslog_proto::statement::header::Algorithm;
use aimslog_proto::statement::id::{EntryId, StatementId};
use aimslog_proto::statement::key::{Possession, Signature, Signer as _, SignerError, SigningKey};
use aimslog_proto::statement::statement::SignError;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{
    Genesis, Keys, Making, NodeEntry, NodeId, Operator, Payload, PolicyTexts, ReceiptKey,
    add_approval, approve_record, sign_record, subject,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafIndex;
use aimslog_proto::tlog::note::{KeyName, KeyNameError, VerifierKey};
use std::fmt::Write as _;

/// The level at which a new state machine starts.
const LEVEL: u64 = 1;
/// The group of nodes in both policies.
const NODES_GROUP: &str = "nodes";

/// All keys of a new cluster, made by the caller.
#[derive(Debug)]
pub struct ClusterKeys {
    /// Signs checkpoints.
    pub log: ed25519_dalek::SigningKey,
    /// Signs receipts.
    pub receipt: ed25519_dalek::SigningKey,
    /// Signs what the service asserts.
    pub service: ed25519_dalek::SigningKey,
    /// One per node, in the order of their ids.
    pub cosigners: Vec<ed25519_dalek::SigningKey>,
    /// One per operator.
    pub operators: Vec<ed25519_dalek::SigningKey>,
}

/// What is decided outside: time, rules, ids.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Unix seconds.
    pub now: u64,
    /// Digest of the rule bundle of this program.
    pub rule_bundle: [u8; 32],
    /// Random, for the two statements.
    pub statement_ids: [[u8; 16]; 2],
}

/// The first two entries and what they say.
#[derive(Debug)]
pub struct Founding {
    /// Entry 0.
    pub genesis: Vec<u8>,
    /// Entry 1.
    pub keys: Vec<u8>,
    /// The cluster id: entry id of genesis.
    pub cluster_id: EntryId,
    /// The policy for verifiers.
    pub trust_policy: String,
}

/// Why genesis cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The origin is too long for the names of nodes.
    #[error("the origin is too long: the name {name} of a node is no key name")]
    Name {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: KeyNameError,
    },
    /// A statement could not be made.
    #[error("cannot make the first statements")]
    Statement(#[from] SignError),
    /// A key could not sign.
    #[error("cannot sign the first statements")]
    Signer(#[from] SignerError),
    /// The program's own rules do not accept the genesis it made.
    #[error("the genesis is not acceptable: {0}")]
    Refused(#[source] Box<aimslog_proto::reason::Violations>),
    /// There is no first operator or no node with that number.
    #[error("a cluster needs a node and an operator")]
    Empty,
}

/// The statement key of the same seed.
pub fn statement_key(key: &ed25519_dalek::SigningKey) -> SigningKey {
    SigningKey::from_seed(&zeroize::Zeroizing::new(key.to_bytes()))
}

/// Makes and signs the first two entries, and checks them as every node will.
pub fn found(
    plan: &Plan,
    keys: &ClusterKeys,
    circumstances: Circumstances,
) -> Result<Founding, GenesisError> {
    let operators: Vec<SigningKey> = keys.operators.iter().map(statement_key).collect();
    let first = operators.first().ok_or(GenesisError::Empty)?;
    let mut genesis = unapproved(plan, keys, circumstances)?;
    let trust_policy = genesis.policy.trust.clone();
    let [genesis_making, keys_making] = circumstances.statement_ids.map(|id| Making {
        origin: &plan.origin,
        issued: UnixSeconds(circumstances.now),
        expires: None,
        id: StatementId::from_bytes(id),
    });
    for operator in operators.iter().skip(1) {
        let approval = approve_record(&genesis, &genesis_making, operator)?;
        genesis = add_approval(genesis, approval);
    }
    let entry_0 = sign_record(&genesis, &genesis_making, first)?;
    let service = statement_key(&keys.service);
    let entry_1 = sign_record(&receipt_keys(plan, keys)?, &keys_making, &service)?;
    let mut registry = Registry::new();
    for (index, entry) in [&entry_0, &entry_1].into_iter().enumerate() {
        registry
            .apply(LeafIndex(index as u64), &entry.clone().into_unverified())
            .map_err(|violations| GenesisError::Refused(Box::new(violations)))?;
    }
    Ok(Founding {
        genesis: entry_0.bytes().to_vec(),
        keys: entry_1.bytes().to_vec(),
        cluster_id: entry_0.entry_id(),
        trust_policy,
    })
}

fn key_name(name: String) -> Result<KeyName, GenesisError> {
    KeyName::new(name.clone()).map_err(|source| GenesisError::Name { name, source })
}

fn unapproved(
    plan: &Plan,
    keys: &ClusterKeys,
    circumstances: Circumstances,
) -> Result<Genesis, GenesisError> {
    let log_key = VerifierKey::ed25519(
        key_name(plan.origin.to_string())?,
        &keys.log.verifying_key(),
    );
    let mut nodes = Vec::new();
    for ((id, node), key) in plan.numbered().zip(&keys.cosigners) {
        let name = key_name(node_name(&plan.origin, id))?;
        nodes.push(NodeEntry {
            id: NodeId::new(id).ok_or(GenesisError::Empty)?,
            label: node.peer.to_string(),
            cosigner: VerifierKey::cosignature_v1(name, &key.verifying_key()),
        });
    }
    let text = policy_text(plan, &log_key, &nodes);
    Ok(Genesis {
        origin: plan.origin.clone(),
        created: circumstances.now,
        operators: (1..)
            .zip(&keys.operators)
            .map(|(number, key)| Operator {
                name: format!("operator-{number}"),
                key: statement_key(key).public_key(),
            })
            .collect(),
        operators_required: plan.operators_required() as u64,
        nodes,
        policy: PolicyTexts {
            publish: text.clone(),
            trust: text,
        },
        log_key,
        receipt_key: statement_key(&keys.receipt).public_key(),
        service_key: statement_key(&keys.service).public_key(),
        level: LEVEL,
        rule_bundle: circumstances.rule_bundle,
        algorithms: vec![Algorithm::EdDsa.id()],
        approvals: Vec::new(),
    })
}

/// A C2SP tlog-policy: the log's key, the nodes, and how many of them must cosign.
fn policy_text(plan: &Plan, log_key: &VerifierKey, nodes: &[NodeEntry]) -> String {
    let mut text = format!("log {log_key}\n");
    let mut names = String::new();
    for node in nodes {
        // Writing to a String cannot fail.
        let name = node.cosigner.name();
        let _infallible = writeln!(text, "witness {name} {}", node.cosigner);
        let _infallible = write!(names, " {name}");
    }
    let _infallible = write!(
        text,
        "group {NODES_GROUP} {}{names}\nquorum {NODES_GROUP}\n",
        plan.quorum()
    );
    text
}

fn receipt_keys(plan: &Plan, keys: &ClusterKeys) -> Result<Keys, GenesisError> {
    let receipt = statement_key(&keys.receipt);
    let mut record = Keys {
        receipt: vec![ReceiptKey {
            key: receipt.public_key(),
            possession: Signature([0; 64]),
        }],
        log: Vec::new(),
        approvals: Vec::new(),
    };
    let subject = subject(&plan.origin, &record.subject_part());
    let claim = Possession {
        service: plan.origin.as_str(),
        subject: &subject,
    };
    let possession = receipt.prove_possession(&claim)?;
    record.receipt = vec![ReceiptKey {
        key: receipt.public_key(),
        possession,
    }];
    Ok(record)
}
