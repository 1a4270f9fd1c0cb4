//! What cosigner, publisher and exchange read from this node's own ledger: roots of its tree, keys
//! of the nodes, policies in force, and whether stored entries verify.

use std::sync::Arc;

use aimslog_proto::aims::content::check_content;
use aimslog_proto::aims::judge::check_signed;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::header::Family;
use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{NodeId, PrincipalId};
use aimslog_proto::tlog::note::KeyMaterial;
use aimslog_proto::tlog::{LeafHash, LeafIndex, Origin, Policy, RootHash, TreeSize, VerifierKey};
use ed25519_dalek::VerifyingKey;

use super::apply::ApplyError;
use super::cosigner_keys::KeyDirectory;
use super::door_memory::{DoorMemory, Seen};
use super::entries::accepted_algorithms;
use super::evidence::position;
use super::exchange::{NodeDirectory, OwnTree, OwnTreeError};
use super::head_keys::PolicyRules;
use super::head_sealer::SealDirectory;
use super::heads::policies_between;
use super::log_keys::log_keys_needed;
use super::machine::Ledger;
use super::payload::{self, PayloadRow};
use super::progress::CutNote;
use super::publisher::{PolicyError, PolicySource};
use super::publisher_state::HeadRules;
use super::row::EntryRow;
use super::verifier_task::{EntryFault, EntryVerifier};
use super::{reader, tree};

/// This node's ledger, as its own tasks see it.
#[derive(Clone)]
pub struct OwnLedger {
    ledger: Arc<Ledger>,
    origin: Origin,
    door: Arc<DoorMemory>,
}

impl std::fmt::Debug for OwnLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnLedger")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl OwnLedger {
    /// The ledger of the log `origin`; `door` knows what this node's door has verified.
    pub fn new(ledger: Arc<Ledger>, origin: Origin, door: Arc<DoorMemory>) -> Self {
        Self {
            ledger,
            origin,
            door,
        }
    }
}

impl OwnTree for OwnLedger {
    fn root_at(&self, size: TreeSize) -> Result<Option<RootHash>, OwnTreeError> {
        if self.ledger.progress().borrow().tree.size < size {
            return Ok(None);
        }
        let root = self.ledger.view(|rows| tree::root_at(rows, size))?;
        Ok(Some(root))
    }
}

impl NodeDirectory for OwnLedger {
    fn cosigner_keys(&self, node: u64, size: TreeSize) -> Vec<VerifyingKey> {
        let registry = self.ledger.registry();
        let Some(row) = NodeId::new(node).and_then(|id| registry.node(id)) else {
            return Vec::new();
        };
        let replaced = row.replaced.iter().filter(|(at, _)| !size.contains(*at));
        let keys = [&row.node.cosigner].into_iter();
        let keys = keys.chain(replaced.map(|(_, key)| key));
        keys.filter_map(|key| match key.material() {
            KeyMaterial::Ed25519(key) => Some(*key),
            KeyMaterial::Opaque(_) => None,
        })
        .collect()
    }
}

impl OwnLedger {
    /// The policies that a head of this size must satisfy.
    fn policies(&self, size: TreeSize) -> Result<Vec<Policy>, PolicyError> {
        let published = self.published();
        let registry = self.ledger.registry();
        let texts = policies_between(&registry, published, size).into_iter();
        let policies = texts.map(|texts| Policy::parse(texts.publish.as_bytes()));
        Ok(policies.collect::<Result<_, _>>()?)
    }

    /// Size of the newest published head.
    fn published(&self) -> u64 {
        let head = self.ledger.progress().borrow().head;
        head.map_or(0, |head| head.tree.size.0)
    }
}

impl KeyDirectory for OwnLedger {
    fn named(&self, node: u64) -> Option<VerifierKey> {
        let registry = self.ledger.registry();
        let row = registry.node(NodeId::new(node)?)?;
        Some(row.node.cosigner.clone())
    }

    fn counted(&self, size: TreeSize) -> Result<Vec<VerifierKey>, PolicyError> {
        let policies = self.policies(size)?;
        let witnesses = policies.iter().flat_map(Policy::witnesses);
        Ok(witnesses.map(|witness| witness.key.clone()).collect())
    }
}

impl SealDirectory for OwnLedger {
    fn log_keys(&self, size: TreeSize) -> Vec<PublicKey> {
        log_keys_needed(&self.ledger.registry(), TreeSize(self.published()), size)
    }

    fn receipt_keys(&self, size: TreeSize) -> Vec<PublicKey> {
        let last = LeafIndex(size.0.saturating_sub(1));
        let registry = self.ledger.registry();
        registry.receipt_keys_at(last).map(|row| row.key).collect()
    }
}

impl PolicySource for OwnLedger {
    fn rules_at(&self, cut: &CutNote) -> Result<Arc<dyn HeadRules + Send + Sync>, PolicyError> {
        let policies = self.policies(cut.tree.size)?;
        Ok(Arc::new(PolicyRules::new(self.origin.clone(), policies)))
    }
}

impl EntryVerifier for OwnLedger {
    fn verify_range(&self, from: u64, to: u64) -> Result<(), EntryFault> {
        // Keys, policies and rules are judged by log position, so the newest registry says what
        // was in force at every index below it.
        let registry = self.ledger.registry();
        let verdict = self.ledger.view(|rows| {
            for index in from..to {
                let entry = reader::entry(rows, LeafIndex(index))?;
                let payload = reader::payload(rows, LeafIndex(index))?;
                let Some(entry) = entry else {
                    return Ok(Err(wrong(index, "it is not stored")));
                };
                let stored = Stored {
                    index,
                    entry: &entry,
                    payload,
                };
                if let Err(fault) = stored.verify(&registry, &self.door) {
                    return Ok(Err(fault));
                }
            }
            Ok::<_, ApplyError>(Ok(()))
        });
        verdict.map_err(|error| EntryFault::Unreadable(Box::new(error)))?
    }
}

fn wrong(index: u64, found: impl std::fmt::Display) -> EntryFault {
    EntryFault::Wrong {
        index,
        found: format!("{found}"),
    }
}

/// An entry as it is stored here.
struct Stored<'a> {
    index: u64,
    entry: &'a EntryRow,
    payload: Option<PayloadRow>,
}

impl Stored<'_> {
    /// Whether it may stand in the log. Signature and content of what this node's own door has let
    /// in were verified there; all else is verified here.
    fn verify(&self, registry: &Registry, door: &DoorMemory) -> Result<(), EntryFault> {
        let index = self.index;
        let wrong = |found: &dyn std::fmt::Display| wrong(index, found);
        if LeafHash::of(&self.entry.statement).as_bytes() != &self.entry.leaf_hash {
            return Err(wrong(&"the stored leaf hash is not that of the statement"));
        }
        let accepted = accepted_algorithms(registry);
        let statement = UnverifiedStatement::parse_accepting(&self.entry.statement, &accepted)
            .map_err(|error| wrong(&error))?;
        let header = statement.header();
        let key = registry
            .key_at(&header.key, LeafIndex(index))
            .ok_or_else(|| wrong(&"its key was not valid there"))?;
        if header.content_type.family() == Family::Ledger {
            let verified = statement.verify(&key.key);
            return verified.map(drop).map_err(|error| wrong(&error));
        }
        let unreadable = |error| EntryFault::Unreadable(Box::new(error));
        let at = position(registry, LeafIndex(index)).map_err(unreadable)?;
        let rules = check_signed(at, header);
        if let Some(violation) = rules.violations.first() {
            return Err(wrong(violation));
        }
        let kind = rules.kind.ok_or_else(|| wrong(&"its kind is not known"))?;
        let seen = Seen {
            id: statement.entry_id(),
            payload: self.payload.as_ref().and_then(PayloadRow::disclosures),
            kind,
        };
        if door.recall(&seen) {
            return Ok(());
        }
        let signer = rules.principal.map(|principal| &principal.principal);
        self.verify_content(&statement, (kind, signer))?;
        let verified = statement.verify(&key.key);
        verified.map(drop).map_err(|error| wrong(&error))
    }

    fn verify_content(
        &self,
        statement: &UnverifiedStatement,
        (kind, signer): (&'static Kind, Option<&PrincipalId>),
    ) -> Result<(), EntryFault> {
        let disclosures = match &self.payload {
            Some(PayloadRow::Present(bytes)) => {
                payload::decode(bytes).map_err(|error| wrong(self.index, error))?
            }
            Some(PayloadRow::Sealed) => Vec::new(),
            // What was erased, or never came to this node, cannot be judged by content any more;
            // the signature over its commitment can.
            Some(PayloadRow::Erased) | None => return Ok(()),
        };
        match check_content(kind, statement, &disclosures, signer) {
            Ok(_) => Ok(()),
            Err(violations) => {
                let first = violations.first().map(ToString::to_string);
                Err(wrong(self.index, first.unwrap_or_default()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
