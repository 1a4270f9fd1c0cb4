//! A cosigner key of this node, and the policy that says whose cosignatures make a head.

use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::cosignature;
use aimslog_proto::tlog::note::KeyNameError;
use aimslog_proto::tlog::{
    Checkpoint, KeyName, Note, NoteSignature, Origin, Policy, RootHash, TreeHead, TreeSize,
    VerifierKey,
};
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::cosigner::{HeadCosigner, HeadSignError, RootNotSigned};
use super::exchange_root::SignedRoot;
use super::guard_record::Identity;
use super::publisher_state::{CosignatureRefusal, Cosignatures, HeadRules};

/// The cosigner name of a node: `<origin>/node/<id>`.
pub fn cosigner_name(origin: &Origin, node: u64) -> Result<KeyName, KeyNameError> {
    KeyName::new(format!("{origin}/node/{node}"))
}

/// One cosigner key of this node.
pub struct NodeCosigner {
    origin: Origin,
    vkey: VerifierKey,
    identity: Identity,
    key: SigningKey,
}

impl std::fmt::Debug for NodeCosigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeCosigner")
            .field("vkey", &self.vkey)
            .finish_non_exhaustive()
    }
}

impl NodeCosigner {
    /// The key under the node's cosigner name.
    pub fn new(origin: Origin, identity: Identity, key: SigningKey) -> Result<Self, KeyNameError> {
        let name = cosigner_name(&origin, identity.node)?;
        Ok(Self {
            origin,
            vkey: VerifierKey::cosignature_v1(name, &key.verifying_key()),
            identity,
            key,
        })
    }

    /// The public half, as policies name it.
    pub fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }
}

impl HeadCosigner for NodeCosigner {
    fn cosign(
        &self,
        head: &TreeHead,
        time: UnixSeconds,
    ) -> Result<Vec<NoteSignature>, HeadSignError> {
        let text = Checkpoint::new(self.origin.clone(), *head).to_string();
        let made = cosignature::sign(&text, time, self.vkey.name(), &self.key)?;
        Ok(vec![made])
    }

    fn sign_root(&self, size: TreeSize, root: RootHash) -> Result<SignedRoot, RootNotSigned> {
        Ok(SignedRoot::sign(&self.key, self.identity, size, root))
    }
}

/// The `publish` policies that a head must satisfy, all of them: normally one, and two where the
/// policy changed since the newest head.
#[derive(Debug, Clone)]
pub struct PolicyRules {
    origin: Origin,
    policies: Vec<Policy>,
}

impl PolicyRules {
    /// Rules of a log under these policies. Without any policy no head satisfies them.
    pub fn new(origin: Origin, policies: Vec<Policy>) -> Self {
        Self { origin, policies }
    }

    fn text(&self, head: &TreeHead) -> String {
        Checkpoint::new(self.origin.clone(), *head).to_string()
    }

    fn key(&self, signature: &NoteSignature) -> Option<&VerifierKey> {
        let keys = self
            .policies
            .iter()
            .flat_map(Policy::witnesses)
            .map(|witness| &witness.key);
        let ours = |key: &&VerifierKey| *key.name() == signature.name && key.id() == signature.id;
        keys.into_iter().find(ours)
    }

    fn note(&self, head: &TreeHead, cosignatures: &Cosignatures) -> Option<Note> {
        let mut note = Note::new(self.text(head)).ok()?;
        for signature in cosignatures.values() {
            note.add(signature.clone()).ok()?;
        }
        Some(note)
    }
}

impl HeadRules for PolicyRules {
    fn check(
        &self,
        from: u64,
        head: &TreeHead,
        signature: &NoteSignature,
    ) -> Result<(), CosignatureRefusal> {
        let name = signature.name.clone();
        let Some(key) = self.key(signature) else {
            return Err(CosignatureRefusal::UnknownCosigner { name });
        };
        if cosigner_name(&self.origin, from).as_ref() != Ok(&name) {
            return Err(CosignatureRefusal::OtherNode { from, name });
        }
        match key.verify(&self.text(head), signature.signature()) {
            Ok(Some(_time)) => Ok(()),
            Ok(None) | Err(_) => Err(CosignatureRefusal::WrongSignature { name }),
        }
    }

    fn satisfied(&self, head: &TreeHead, cosignatures: &Cosignatures) -> bool {
        let Some(note) = self.note(head, cosignatures) else {
            return false;
        };
        let met = |policy: &Policy| policy.quorum_met(&note).unwrap_or(false);
        !self.policies.is_empty() && self.policies.iter().all(met)
    }
}

#[cfg(test)]
mod tests;
