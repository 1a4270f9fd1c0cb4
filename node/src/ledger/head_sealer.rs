//! The log key and the receipt key, which sign what a quorum has cosigned and nothing else.

use std::sync::Arc;

use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, Origin};

use super::command::Publish;
use super::progress::CutNote;
use super::publisher::{HeadSealer, SealError};
use super::publisher_state::Cosignatures;
use crate::identity::KeyRing;
use crate::init::statement_key;

/// The log key and the receipt key.
#[derive(Debug)]
pub struct LogSealer {
    origin: Origin,
    ring: Arc<KeyRing>,
}

/// A node to which no voter has handed the keys yet does not lead, so this is never seen where the
/// alarms are obeyed.
#[derive(Debug, thiserror::Error)]
#[error("the keys of the ledger are not here yet")]
struct KeysAwaited;

impl LogSealer {
    /// Seals heads of the log `origin`.
    pub fn new(origin: Origin, ring: Arc<KeyRing>) -> Self {
        Self { origin, ring }
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
        let receipt_key = statement_key(&keys.receipt);
        let receipt = HeadReceipt::sign(&receipt_key, &self.origin, &cut.tree.root, time)?;
        Ok(Publish {
            note: note.to_string().into_bytes().into(),
            receipt_iat: time.0,
            receipt_signature: *receipt.signature().as_bytes(),
        })
    }
}
