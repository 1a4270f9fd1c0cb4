//! What clients were told: acknowledged entries and heads. It is the promise that
//! [`crate::check`] holds the cluster to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aimslog_client::EntryRef;
use aimslog_client::trust::SignedHead;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::LeafIndex;

/// Shared by everything that talks to the cluster during a test.
#[derive(Debug, Clone, Default)]
pub struct History {
    told: Arc<Mutex<Told>>,
}

/// What was told so far.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Every acknowledged entry by its index.
    pub acknowledged: BTreeMap<LeafIndex, EntryId>,
    /// One head for each size that was seen anywhere.
    pub heads: BTreeMap<u64, SignedHead>,
}

impl History {
    /// An entry was acknowledged. Panics where the index or the entry was given before otherwise.
    pub fn acknowledge(&self, entry: &EntryRef) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.acknowledged.insert(entry.index, entry.entry_id);
        assert!(
            before.is_none_or(|before| before == entry.entry_id),
            "index {} was given to {before:?} and to {}",
            entry.index,
            entry.entry_id
        );
    }

    /// A head was seen. Panics where another root was seen at its size.
    pub fn see(&self, head: SignedHead) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let size = head.head().size.0;
        if let Some(before) = told.heads.get(&size) {
            assert_eq!(
                before.head().root,
                head.head().root,
                "two roots at size {size}"
            );
            return;
        }
        told.heads.insert(size, head);
    }

    /// How many entries were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .acknowledged
            .len()
    }

    /// All of it.
    pub fn told(&self) -> Told {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
