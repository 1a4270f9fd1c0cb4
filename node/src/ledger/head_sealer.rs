//! The log key and the receipt key, which sign what a quorum has cosigned and nothing else.
//!
//! Where the policy changes from one log key to another, the head that leads over is signed with both:
//! each policy is satisfied by its own. Every later one is signed with the new key alone.

use std::sync::Arc;

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::note::sign;
use aimslog_proto::tlog::{Checkpoint, Note, Origin, TreeSize, VerifierKey};
use ed25519_dalek::SigningKey;

use super::command::Publish;
use super::progress::CutNote;
use super::publisher::{HeadSealer, SealError};
use super::publisher_state::Cosignatures;
use crate::identity::{KeyRing, LedgerKeys, Sort};
use crate::init::statement_key;

/// Knows from the log which log and receipt keys count.
pub trait SealDirectory: Send + Sync + 'static {
    /// The log keys of every policy that a head of this size must satisfy.
    fn log_keys(&self, size: TreeSize) -> Vec<PublicKey>;

    /// The keys that may sign receipts under a head of this size.
    fn receipt_keys(&self, size: TreeSize) -> Vec<PublicKey>;
}

/// The log key and the receipt keys.
pub struct LogSealer {
    origin: Origin,
    ring: Arc<KeyRing>,
    directory: Arc<dyn SealDirectory>,
}

impl std::fmt::Debug for LogSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSealer")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// A node to which no voter has handed the keys yet does not lead, so this is never seen where the
/// alarms are obeyed.
#[derive(Debug, thiserror::Error)]
#[error("the keys of the ledger are not here yet")]
struct KeysAwaited;

/// The operators have named a receipt key that has not come yet; the head is published when it has.
#[derive(Debug, thiserror::Error)]
#[error("no receipt key that counts under a head of {size} is here yet")]
struct ReceiptKeyAwaited {
    size: TreeSize,
}

/// A policy names a log key that has not come yet; the head is published when it has, or by another
/// node that has it.
#[derive(Debug, thiserror::Error)]
#[error(
    "a head of {size} needs the log key {key}, which is not here: keys/log.next.seed is missing, or no \
     voter has handed it over yet"
)]
struct LogKeyAwaited {
    size: TreeSize,
    key: Box<VerifierKey>,
}

impl LogSealer {
    /// The keys that are here of those that a head of this size needs, which are all of them.
    fn log_keys<'a>(
        &self,
        size: TreeSize,
        keys: &'a LedgerKeys,
    ) -> Result<Vec<&'a SigningKey>, LogKeyAwaited> {
        let needed = self.directory.log_keys(size).into_iter();
        let held = |key: PublicKey| {
            let mut held = keys.all(Sort::Log);
            held.find(|held| statement_key(held).public_key() == key)
                .ok_or_else(|| LogKeyAwaited {
                    size,
                    key: Box::new(key.to_log_key(&self.origin)),
                })
        };
        needed.map(held).collect()
    }

    /// Seals heads of the log `origin`.
    pub fn new(origin: Origin, ring: Arc<KeyRing>, directory: Arc<dyn SealDirectory>) -> Self {
        Self {
            origin,
            ring,
            directory,
        }
    }
}

impl HeadSealer for LogSealer {
    fn seal(&self, cut: &CutNote, cosignatures: &Cosignatures) -> Result<Publish, SealError> {
        let keys = self.ring.keys().ok_or(KeysAwaited)?;
        let size = cut.tree.size;
        let text = Checkpoint::new(self.origin.clone(), cut.tree).to_string();
        let mut note = Note::new(text.clone())?;
        for key in self.log_keys(size, &keys)? {
            note.add(sign(&text, self.origin.key_name(), key))?;
        }
        for signature in cosignatures.values() {
            note.add(signature.clone())?;
        }
        let time = UnixSeconds(cut.time.0 / 1_000);
        let counted = self.directory.receipt_keys(size);
        // While two are named the one before signs: the one that follows may still be on its way to
        // those who lead next.
        let mut receipt_keys = keys.all(Sort::Receipt).map(statement_key);
        let receipt_key = receipt_keys.find(|key| counted.contains(&key.public_key()));
        let receipt_key = receipt_key.ok_or(ReceiptKeyAwaited { size })?;
        let receipt = HeadReceipt::sign(&receipt_key, &self.origin, &cut.tree.root, time)?;
        Ok(Publish {
            note: note.to_string().into_bytes().into(),
            receipt_iat: time.0,
            receipt_signature: *receipt.signature().as_bytes(),
        })
    }
}
