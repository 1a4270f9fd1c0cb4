//! `ledger.genesis`: the first entry, which fixes what the log is and whom it starts with.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use crate::limits::{NODES_MAX, OPERATOR_NAME_BYTES_MAX, OPERATORS_MAX, POLICY_TEXT_BYTES_MAX};
use crate::statement::key::PublicKey;
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::fields::{MapReader, MapWriter, Payload, PayloadError};
use crate::system::node::NodeEntry;
use crate::system::policy::PolicyTexts;
use crate::tlog::{Origin, VerifierKey};

/// Version of the genesis payload.
const FORMAT: u64 = 1;
/// What a log entry is: the tagged statement with an empty unprotected header.
pub const ENTRY_RULE: &str = "signed-statement-tag18-empty-unprotected";
/// COSE algorithms that a log may accept: `EdDSA` and `Ed25519`.
const ALGORITHMS: [i64; 2] = [-8, -19];

/// The first entry of a log. Its entry id is the cluster id.
///
/// CBOR map: 1 format (1), 2 origin, 3 created (seconds), 4 operators `[[name, key]]`, 5 operators
/// required, 6 nodes `[[id, label, vkey]]`, 7 publish policy, 8 trust policy, 9 log vkey, 10 receipt
/// key (32 bytes), 11 service key (32 bytes), 12 level, 13 rule bundle digest (32 bytes), 14 entry
/// rule, 15 algorithms, 23 approvals by all operators but the signer: in genesis they are the
/// operators' proofs of possession too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Name of the log and service id of the ledger.
    pub origin: Origin,
    /// When the log was made, the operators' claim.
    pub created: u64,
    /// Who runs the cluster.
    pub operators: Vec<Operator>,
    /// How many operators must stand behind policy, rules, keys and nodes.
    pub operators_required: u64,
    /// The first nodes.
    pub nodes: Vec<NodeEntry>,
    /// The first policies.
    pub policy: PolicyTexts,
    /// Signs checkpoints.
    pub log_key: VerifierKey,
    /// Signs receipts.
    pub receipt_key: PublicKey,
    /// Signs what the service itself asserts.
    pub service_key: PublicKey,
    /// The level at which the state machine starts.
    pub level: u64,
    /// The first active rule bundle.
    pub rule_bundle: [u8; 32],
    /// COSE algorithms accepted in statements, strictly descending.
    pub algorithms: Vec<i64>,
    /// Of every operator but the one who signs.
    pub approvals: Vec<Approval>,
}

/// An operator of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What people call the operator: a function, not a person.
    pub name: String,
    /// The admin key.
    pub key: PublicKey,
}

impl Payload for Genesis {
    const KIND: SystemKind = SystemKind::Genesis;

    fn write(&self, map: &mut MapWriter) {
        map.uint(1, FORMAT);
        map.text(2, self.origin.as_str());
        map.uint(3, self.created);
        map.list(4, &self.operators, |encoder, operator| {
            encoder.array(2);
            encoder.text(&operator.name);
            encoder.bytes(operator.key.as_bytes());
        });
        map.uint(5, self.operators_required);
        map.list(6, &self.nodes, |encoder, node| node.write(encoder));
        map.text(7, &self.policy.publish);
        map.text(8, &self.policy.trust);
        map.text(9, &self.log_key.to_string());
        map.bytes(10, self.receipt_key.as_bytes());
        map.bytes(11, self.service_key.as_bytes());
        map.uint(12, self.level);
        map.bytes(13, &self.rule_bundle);
        map.text(14, ENTRY_RULE);
        map.list(15, &self.algorithms, |encoder, algorithm| {
            encoder.int(*algorithm);
        });
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let format = map.required(1, "format")?.uint()?;
        if format != FORMAT {
            return Err(map.wrong("format", "1 is the only format"));
        }
        let genesis = Self {
            origin: map
                .required(2, "origin")?
                .parsed(|text| Origin::new(text))?,
            created: map.required(3, "created")?.uint()?,
            operators: map
                .required(4, "operators")?
                .list(1..=OPERATORS_MAX, |entry| {
                    let [name, key] = entry.tuple()?;
                    Ok(Operator {
                        name: name.text(1..=OPERATOR_NAME_BYTES_MAX)?,
                        key: key.key()?,
                    })
                })?,
            operators_required: map.required(5, "operators_required")?.uint()?,
            nodes: map
                .required(6, "nodes")?
                .list(1..=NODES_MAX, NodeEntry::read)?,
            policy: PolicyTexts {
                publish: map
                    .required(7, "publish")?
                    .text(1..=POLICY_TEXT_BYTES_MAX)?,
                trust: map.required(8, "trust")?.text(1..=POLICY_TEXT_BYTES_MAX)?,
            },
            log_key: map.required(9, "log_key")?.parsed(VerifierKey::from_str)?,
            receipt_key: map.required(10, "receipt_key")?.key()?,
            service_key: map.required(11, "service_key")?.key()?,
            level: map.required(12, "level")?.uint()?,
            rule_bundle: map.required(13, "rule_bundle")?.digest()?,
            algorithms: {
                read_entry_rule(map)?;
                let algorithms = map.required(15, "algorithms")?;
                algorithms.list(1..=ALGORITHMS.len(), |entry| entry.int())?
            },
            approvals: Approval::read_all(map)?,
        };
        genesis.check(map)?;
        Ok(genesis)
    }

    fn subject_part(&self) -> String {
        "genesis".to_owned()
    }

    fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    fn with_approvals(self, approvals: Vec<Approval>) -> Self {
        Self { approvals, ..self }
    }
}

impl Genesis {
    /// What holds between the fields.
    fn check(&self, map: &MapReader<'_, '_>) -> Result<(), PayloadError> {
        let wrong = |field, rule: &str| Err(map.wrong(field, rule));
        let operators = self.operators.len() as u64;
        if self.operators_required == 0 || self.operators_required > operators {
            return wrong("operators_required", "1 to the number of operators");
        }
        let names: BTreeSet<_> = self.operators.iter().map(|one| &one.name).collect();
        if names.len() as u64 != operators {
            return wrong("operators", "the names of operators are distinct");
        }
        let descending = self.algorithms.is_sorted_by(|a, b| a > b);
        if !descending || self.algorithms.iter().any(|id| !ALGORITHMS.contains(id)) {
            return wrong("algorithms", "of -8 and -19, strictly descending");
        }
        let nodes: BTreeSet<_> = self.nodes.iter().map(|node| node.id).collect();
        if nodes.len() != self.nodes.len() {
            return wrong("nodes", "node ids are distinct");
        }
        let keys: BTreeSet<[u8; 32]> = self.keys().map(|key| *key.as_bytes()).collect();
        if keys.len() as u64 != operators + 2 {
            return wrong("operators", "one key has one purpose");
        }
        Ok(())
    }

    /// Every COSE key that genesis names.
    fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        let operators = self.operators.iter().map(|operator| &operator.key);
        operators.chain([&self.receipt_key, &self.service_key])
    }
}

fn read_entry_rule(map: &mut MapReader<'_, '_>) -> Result<(), PayloadError> {
    if map.required(14, "entry_rule")?.text(0..=ENTRY_RULE.len())? == ENTRY_RULE {
        Ok(())
    } else {
        Err(map.wrong("entry_rule", ENTRY_RULE))
    }
}
