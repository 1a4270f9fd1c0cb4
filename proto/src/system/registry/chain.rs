//! Which system records an evidence file needs, so that its reader comes to the same signers.

use std::collections::BTreeSet;

use super::{KeyOwner, Registry};
use crate::statement::key::Thumbprint;
use crate::tlog::LeafIndex;

impl Registry {
    /// The positions of the system records that lead from genesis to these keys: genesis, the
    /// records of receipt keys, every change of policy, and for each key the records that registered it, its
    /// organisation and the administrators behind it.
    ///
    /// Give the signers of the records and the receipt key of the head. Unknown keys add nothing.
    /// Cost: one step per key on the way.
    pub fn chain_of(&self, kids: impl IntoIterator<Item = Thumbprint>) -> BTreeSet<LeafIndex> {
        let mut chain = BTreeSet::from([LeafIndex(0)]);
        chain.extend(self.policies.keys());
        chain.extend(&self.keys_records);
        let mut open: Vec<Thumbprint> = kids.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(kid) = open.pop() {
            let Some(row) = self.key(&kid).filter(|_| seen.insert(kid)) else {
                continue;
            };
            chain.insert(row.registered_at);
            open.push(row.registered_by);
            if let KeyOwner::Principal(principal) = &row.owner {
                chain.extend(self.organization(&principal.organization));
            }
        }
        chain
    }
}
