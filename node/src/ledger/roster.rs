//! What the log says of the nodes of the cluster: who was admitted, who was removed for ever, and the
//! signed record that proves it.
//!
//! A node that was removed gets no more of the log, so it cannot learn of its removal there. The
//! others show it the record, and it checks the operators' signatures itself.

use std::sync::Arc;

use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{NodeChange, NodeId, SystemRecord};
use aimslog_proto::tlog::LeafIndex;
use bytes::Bytes;

use super::apply::ApplyError;
use super::machine::Ledger;
use super::reader;
use crate::raft::{GateError, PeerGate};

/// Where a node stands by the log that was applied here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Never admitted, as far as this node knows.
    None,
    /// Admitted and not removed.
    Admitted,
    /// Removed for ever by the record at this index. A later log says the same: no id comes back.
    Removed(LeafIndex),
}

/// Knows the nodes of the cluster.
pub trait Roster: Send + Sync + 'static {
    /// Where a node stands. Cheap.
    fn seat(&self, node: u64) -> Seat;

    /// The statement that removed a node, if one did. Called where blocking is allowed.
    fn removal(&self, node: u64) -> Result<Option<Bytes>, ApplyError>;

    /// Whether these bytes are a record by which enough operators of this ledger remove the node.
    fn proves_removal(&self, node: u64, statement: &[u8]) -> bool;
}

impl Roster for Ledger {
    fn seat(&self, node: u64) -> Seat {
        seat(&self.registry(), node)
    }

    fn removal(&self, node: u64) -> Result<Option<Bytes>, ApplyError> {
        let Seat::Removed(index) = Roster::seat(self, node) else {
            return Ok(None);
        };
        let entry = self.view(|rows| Ok::<_, ApplyError>(reader::entry(rows, index)?))?;
        Ok(entry.map(|entry| entry.statement))
    }

    fn proves_removal(&self, node: u64, statement: &[u8]) -> bool {
        proves_removal(&self.registry(), node, statement)
    }
}

fn seat(registry: &Registry, node: u64) -> Seat {
    let Some(row) = NodeId::new(node).and_then(|id| registry.node(id)) else {
        return Seat::None;
    };
    row.removed_at.map_or(Seat::Admitted, Seat::Removed)
}

/// Judged as the next entry of this node's own log, so that every rule holds that held when it was
/// logged.
fn proves_removal(registry: &Registry, node: u64, statement: &[u8]) -> bool {
    let Ok(statement) = UnverifiedStatement::parse(statement) else {
        return false;
    };
    let next = registry.last_index().map_or(0, |last| last.0 + 1);
    match registry.check(LeafIndex(next), &statement) {
        Ok(SystemRecord::Node(record)) => {
            matches!(record.change, NodeChange::Remove(id) if id.number() == node)
        }
        Ok(_) | Err(_) => false,
    }
}

/// Lets nodes in that the inner gate lets in and that were not removed.
pub struct RosterGate {
    inner: Arc<dyn PeerGate>,
    roster: Arc<dyn Roster>,
}

impl RosterGate {
    /// `inner` proves who calls.
    pub fn new(inner: Arc<dyn PeerGate>, roster: Arc<dyn Roster>) -> Self {
        Self { inner, roster }
    }
}

impl std::fmt::Debug for RosterGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RosterGate").finish_non_exhaustive()
    }
}

impl PeerGate for RosterGate {
    fn check(&self, extensions: &tonic::Extensions, claimed: u64) -> Result<(), GateError> {
        self.inner.check(extensions, claimed)?;
        match self.roster.seat(claimed) {
            Seat::Removed(_) => Err(GateError::Removed { id: claimed }),
            // A node that this one does not know yet may be one that a newer log admits.
            Seat::None | Seat::Admitted => Ok(()),
        }
    }
}
