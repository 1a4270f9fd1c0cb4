//! The cosigner keys that this node holds: one, and two while the operators exchange it.
//!
//! The old key signs heads for as long as a policy names it that a head must satisfy, the new one as
//! soon as one does. Where the policy changes from one to the other both sign the head that leads
//! over. Which head may be signed is decided before, by the guard, which knows nothing of keys: its
//! promise, never two heads of one size, is the node's and goes on through every key.

use std::sync::{Arc, PoisonError, RwLock};

use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{NoteSignature, RootHash, TreeHead, TreeSize, VerifierKey};

use super::cosigner::{HeadCosigner, HeadSignError, RootNotSigned};
use super::exchange_root::SignedRoot;
use super::head_keys::NodeCosigner;
use super::publisher::PolicyError;

/// Knows from the log which cosigner keys count.
pub trait KeyDirectory: Send + Sync + 'static {
    /// The key that the newest record names for a node; `None` for one that was never admitted.
    fn named(&self, node: u64) -> Option<VerifierKey>;

    /// The keys of every policy that a head of this size must satisfy.
    fn counted(&self, size: TreeSize) -> Result<Vec<VerifierKey>, PolicyError>;
}

/// Where the cosigner keys lie while the node runs.
#[derive(Debug)]
pub struct CosignerRing(RwLock<Held>);

/// The keys of this node.
#[derive(Debug, Clone)]
pub struct Held {
    /// In `cosigner.seed`.
    pub current: Arc<NodeCosigner>,
    /// Beside it, to follow.
    pub next: Option<Arc<NodeCosigner>>,
}

impl Held {
    /// All of them, the one that is to follow last.
    pub fn all(&self) -> impl Iterator<Item = &Arc<NodeCosigner>> {
        [&self.current].into_iter().chain(&self.next)
    }
}

impl CosignerRing {
    /// The keys that were read at the start.
    pub fn new(current: NodeCosigner, next: Option<NodeCosigner>) -> Self {
        Self(RwLock::new(Held {
            current: Arc::new(current),
            next: next.map(Arc::new),
        }))
    }

    /// What is held now.
    pub fn held(&self) -> Held {
        // Keys are put in whole, so a panic elsewhere leaves nothing half done.
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The public halves, the one that is to follow last.
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.held().all().map(|key| key.vkey().clone()).collect()
    }

    /// The key that is to follow, in the place of another one that was.
    pub fn put_next(&self, next: NodeCosigner) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.next = Some(Arc::new(next));
    }

    /// Forgets the key before the one that follows it.
    pub fn promote(&self) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = held.next.take() {
            held.current = next;
        }
    }
}

/// Signs with whichever of the held keys the log asks for.
pub struct OwnCosigner {
    node: u64,
    ring: Arc<CosignerRing>,
    directory: Arc<dyn KeyDirectory>,
}

impl std::fmt::Debug for OwnCosigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnCosigner")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl OwnCosigner {
    /// The keys of this node, and the log that says which count.
    pub fn new(node: u64, ring: Arc<CosignerRing>, directory: Arc<dyn KeyDirectory>) -> Self {
        Self {
            node,
            ring,
            directory,
        }
    }
}

impl HeadCosigner for OwnCosigner {
    fn cosign(
        &self,
        head: &TreeHead,
        time: UnixSeconds,
    ) -> Result<Vec<NoteSignature>, HeadSignError> {
        let counted = self.directory.counted(head.size);
        let counted = counted.map_err(HeadSignError::Policy)?;
        let mut signatures = Vec::new();
        for key in self.ring.held().all() {
            if counted.contains(key.vkey()) {
                signatures.extend(key.cosign(head, time)?);
            }
        }
        Ok(signatures)
    }

    fn sign_root(&self, size: TreeSize, root: RootHash) -> Result<SignedRoot, RootNotSigned> {
        let named = self.directory.named(self.node);
        let named = named.ok_or(RootNotSigned::NoKey)?;
        let held = self.ring.held();
        match held.all().find(|key| *key.vkey() == named) {
            Some(key) => key.sign_root(size, root),
            None => Err(RootNotSigned::OtherKey {
                named: Box::new(named),
            }),
        }
    }
}

/// What is to be done with the keys of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The log names a key that is not held: it is to be read from the disk.
    Load,
    /// The key that follows is named, and nothing asks for the one before it any more.
    Promote,
}

/// Compares what is held with what the log names for this node and what counts under the next head.
pub fn due(held: &[VerifierKey], named: Option<&VerifierKey>, counted: &[VerifierKey]) -> Due {
    let Some(named) = named else {
        return Due::Nothing;
    };
    match held {
        [current, ..] if current == named => Due::Nothing,
        [current, next] if next == named => {
            if counted.contains(current) {
                Due::Nothing
            } else {
                Due::Promote
            }
        }
        _ => Due::Load,
    }
}

#[cfg(test)]
mod tests;
