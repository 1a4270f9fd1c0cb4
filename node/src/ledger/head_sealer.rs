//! The log key and the receipt key, which sign what a quorum has cosigned and nothing else.

use aimslog_proto::statement::key::Signer;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, Origin};
use ed25519_dalek::SigningKey;

use super::command::Publish;
use super::progress::CutNote;
use super::publisher::{HeadSealer, SealError};
use super::publisher_state::Cosignatures;

/// The log key and the receipt key.
pub struct LogSealer<K> {
    origin: Origin,
    log: SigningKey,
    receipt: K,
}

impl<K> std::fmt::Debug for LogSealer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSealer")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl<K: Signer> LogSealer<K> {
    /// Seals heads of the log `origin`.
    pub fn new(origin: Origin, log: SigningKey, receipt: K) -> Self {
        Self {
            origin,
            log,
            receipt,
        }
    }
}

impl<K: Signer + Send + Sync + 'static> HeadSealer for LogSealer<K> {
    fn seal(&self, cut: &CutNote, cosignatures: &Cosignatures) -> Result<Publish, SealError> {
        let mut note = Checkpoint::new(self.origin.clone(), cut.tree).sign(&self.log)?;
        for signature in cosignatures.values() {
            note.add(signature.clone())?;
        }
        let time = UnixSeconds(cut.time.0 / 1_000);
        let receipt = HeadReceipt::sign(&self.receipt, &self.origin, &cut.tree.root, time)?;
        Ok(Publish {
            note: note.to_string().into_bytes().into(),
            receipt_iat: time.0,
            receipt_signature: *receipt.signature().as_bytes(),
        })
    }
}
