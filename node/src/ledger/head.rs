//! A tree head of this node's own tree, and the cut at which it was taken.

use std::fmt;

use aimslog_proto::tlog::{RootHash, TreeSize};

use crate::raft::Position;

/// A tree head that a node computed for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: TreeSize,
    /// RFC 6962 root over them.
    pub root: RootHash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.root)
    }
}

/// A cut as this node saw it when it applied the command: where it stands in the raft log, the
/// head of this node's own tree there, and the leader's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutPoint {
    /// Raft log position of the cut command.
    pub position: Position,
    /// Head of this node's own tree after everything before the cut.
    pub head: Head,
    /// The leader's clock in the command, milliseconds since 1970.
    pub time_ms: u64,
}

/// Whether a raft log that ends at `end` can hold the committed entry at `entry`.
///
/// A later leader only appends, and in a later term, so both fields must have reached it.
pub fn covers(end: Position, entry: Position) -> bool {
    end.term >= entry.term && end.index >= entry.index
}
