//! Where cuts stand in the raft log.

use crate::raft::Position;

/// Whether a raft log that ends at `end` can hold the committed entry at `entry`.
///
/// A later leader only appends, and in a later term, so both fields must have reached it.
pub fn covers(end: Position, entry: Position) -> bool {
    end.term >= entry.term && end.index >= entry.index
}
