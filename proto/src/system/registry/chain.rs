//! Which system records an evidence file needs, so that its reader comes to the same signers.

use std::collections::BTreeSet;

use super::{PrincipalHistory, Registry};
use crate::statement::key::Thumbprint;
use crate::tlog::LeafIndex;

impl Registry {
    /// The positions of the system records that a verifier needs to come to these keys: genesis, the
    /// records of receipt and log keys, every change of policy, and [`Registry::leading_to`] the keys and the
    /// operators behind those records.
    ///
    /// Give the signers of the records and the receipt key of the head. Unknown keys add nothing.
    pub fn chain_of(&self, kids: impl IntoIterator<Item = Thumbprint>) -> BTreeSet<LeafIndex> {
        let mut chain = BTreeSet::from([LeafIndex(0)]);
        chain.extend(self.policies.keys());
        chain.extend(self.keys_records());
        let behind = chain.iter().flat_map(|index| self.signers_of(*index));
        let leading = self.leading_to(kids.into_iter().chain(behind.copied()));
        chain.extend(leading);
        chain
    }

    /// The keys behind the system record at this position: its signer's, and those of the operators who
    /// approve it. Empty for another entry, and for batches of reads, on which nothing rests.
    pub fn signers_of(&self, index: LeafIndex) -> &[Thumbprint] {
        self.signers.get(&index).map_or(&[], Vec::as_slice)
    }

    /// The positions of the records that say what these keys are and may do
    /// ([`Registry::records_behind`]), what the keys are that signed those, and so on to genesis.
    /// Cost: one step per key on the way.
    pub fn leading_to(&self, kids: impl IntoIterator<Item = Thumbprint>) -> BTreeSet<LeafIndex> {
        let mut records = BTreeSet::new();
        let mut open: Vec<Thumbprint> = kids.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(kid) = open.pop() {
            if !seen.insert(kid) {
                continue;
            }
            for index in self.records_behind(&kid) {
                if records.insert(index) {
                    open.extend(self.signers_of(index));
                }
            }
        }
        records
    }

    /// The positions of the records that say what this key is and may do: those that registered and
    /// retired it, and for a principal's key every record about the principal and its organisation.
    pub fn records_behind(&self, kid: &Thumbprint) -> BTreeSet<LeafIndex> {
        let Some(row) = self.key(kid) else {
            return BTreeSet::new();
        };
        let mut records = BTreeSet::from([row.registered_at]);
        records.extend(row.retired_at);
        if let Some(owner) = row.principal() {
            let history = self.history(&owner.organization, &owner.principal);
            records.extend(history.into_iter().flat_map(PrincipalHistory::records));
            if let Some(organization) = self.organization(&owner.organization) {
                records.insert(organization.registered_at);
                records.extend(organization.changes());
            }
        }
        records
    }
}
