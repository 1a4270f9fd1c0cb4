//! The log key and the receipt key, which sign what a quorum has cosigned and nothing else.

use std::sync::Arc;

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, Origin, TreeSize};

use super::command::Publish;
use super::progress::CutNote;
use super::publisher::{HeadSealer, SealError};
use super::publisher_state::Cosignatures;
use crate::identity::KeyRing;
use crate::init::statement_key;

/// Knows from the log which receipt keys count.
pub trait ReceiptDirectory: Send + Sync + 'static {
    /// The keys that may sign receipts under a head of this size.
    fn receipt_keys(&self, size: TreeSize) -> Vec<PublicKey>;
}

/// The log key and the receipt keys.
pub struct LogSealer {
    origin: Origin,
    ring: Arc<KeyRing>,
    directory: Arc<dyn ReceiptDirectory>,
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

impl LogSealer {
    /// Seals heads of the log `origin`.
    pub fn new(origin: Origin, ring: Arc<KeyRing>, directory: Arc<dyn ReceiptDirectory>) -> Self {
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
        let mut note = Checkpoint::new(self.origin.clone(), cut.tree).sign(&keys.log)?;
        for signature in cosignatures.values() {
            note.add(signature.clone())?;
        }
        let time = UnixSeconds(cut.time.0 / 1_000);
        let size = cut.tree.size;
        let counted = self.directory.receipt_keys(size);
        // While two are named the one before signs: the one that follows may still be on its way to
        // those who lead next.
        let mut receipt_keys = keys.receipt_keys().map(statement_key);
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
