//! The pair of policies that a record names.

use super::super::chain::ALGORITHMS;
use super::super::file::FileEntry;
use super::super::heads::causes;
use crate::statement::UnverifiedStatement;
use crate::system::{Genesis, Payload as _, PolicyChange, SystemKind};
use crate::tlog::{LeafHash, LeafIndex, Policy};

/// The pair that a record put into force.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) since: LeafIndex,
    pub(super) leaf: LeafHash,
    /// The pair before; genesis has none.
    predecessor: Option<[u8; 32]>,
    digest: [u8; 32],
    /// What every published head satisfies.
    pub(super) publish: Policy,
    /// What verifiers are told to ask for.
    pub(super) trust: Policy,
}

impl Pair {
    /// The pair that this record of this kind names.
    pub(super) fn of(record: &FileEntry, kind: Option<SystemKind>) -> Result<Self, String> {
        let statement = UnverifiedStatement::parse_accepting(&record.statement, &ALGORITHMS)
            .map_err(|error| causes(&error))?;
        let payload = statement.payload();
        let (predecessor, texts) = match kind {
            Some(SystemKind::Genesis) => {
                let genesis = Genesis::decode(payload).map_err(|error| causes(&error))?;
                (None, genesis.policy)
            }
            Some(SystemKind::Policy) => {
                let change = PolicyChange::decode(payload).map_err(|error| causes(&error))?;
                (Some(change.predecessor), change.texts)
            }
            _ => return Err("it is no change of policy".to_owned()),
        };
        let parse = |text: &str| Policy::parse(text.as_bytes()).map_err(|error| causes(&error));
        Ok(Self {
            since: record.index,
            leaf: LeafHash::of(&record.statement),
            predecessor,
            digest: texts.digest(),
            publish: parse(&texts.publish)?,
            trust: parse(&texts.trust)?,
        })
    }

    /// Whether it is that of genesis.
    pub(super) const fn is_first(&self) -> bool {
        self.predecessor.is_none()
    }

    /// Whether the record of this pair stands behind that of the other, and names it.
    pub(super) fn follows(&self, before: &Self) -> bool {
        before.since < self.since && self.predecessor == Some(before.digest)
    }
}
