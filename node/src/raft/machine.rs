//! The replicated state machine, as Raft sees it.

use std::path::Path;

use bytes::Bytes;

use super::types::Position;

/// The state that committed commands build. Implemented by the ledger.
///
/// All methods are called on blocking threads. `apply` and `install` are never called at the same
/// time as each other or as themselves; `checkpoint` may run beside `apply`. Any error is fatal: it
/// means that this replica is broken, never that a command was refused. A refusal is an outcome.
pub trait Machine: Send + Sync + 'static {
    /// The last applied entry, as it would be found after a crash now.
    fn applied(&self) -> Result<Applied, MachineError>;

    /// Applies consecutive entries and returns one outcome per entry, in order (empty for entries
    /// that are no commands).
    ///
    /// Effects, the last applied position and the newest membership go into one atomic write. It
    /// needs no sync of its own: after a crash the entries above [`Machine::applied`] come again.
    fn apply(&self, entries: &[LogEntry]) -> Result<Vec<Bytes>, MachineError>;

    /// Makes everything applied so far survive a crash, and returns what that is.
    ///
    /// Called before entries are removed from the Raft log.
    fn sync(&self) -> Result<Applied, MachineError>;

    /// Writes a complete copy of the state into `dir`, which does not exist yet, and returns what
    /// was applied in it. Sub-directories are not allowed in it. The caller syncs the files.
    fn checkpoint(&self, dir: &Path) -> Result<Applied, MachineError>;

    /// Replaces the whole state by the copy in `dir`, whose files were verified and synced, and
    /// which stands on the same file system as the node's data. May move files out of it.
    ///
    /// Must refuse when the copy's own applied state is not `expected`. The switch is atomic: after
    /// a crash either the old or the new state is there.
    fn install(&self, dir: &Path, expected: &Applied) -> Result<(), MachineError>;
}

/// What a machine has applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    pub last: Option<Position>,
    /// The bytes of the newest [`EntryKind::Membership`] applied; empty when there was none.
    pub membership: Bytes,
}

/// One committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub position: Position,
    pub kind: EntryKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// The first entry of a term; changes nothing but the position.
    Blank,
    Command(Bytes),
    /// To be kept as [`Applied::membership`], unread. Holds its own position.
    Membership(Bytes),
}

/// Why this replica is broken.
pub type MachineError = Box<dyn std::error::Error + Send + Sync>;
