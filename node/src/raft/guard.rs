//! The hook that remembers votes outside the database.

use super::types::Vote;

/// Remembers the newest vote where a rollback of the data folder does not reach it.
///
/// Called on a blocking thread after each vote is stored and synced, and before anybody hears of
/// it. When it returns `Ok` the vote must be on stable storage here too. An error is fatal: the
/// vote is not answered and the node stops.
///
/// The order matters: a crash between the two leaves the database newer than the guard, which is
/// harmless. The other way round every such crash would look like a database rolled back.
pub trait VoteGuard: Send + Sync + 'static {
    fn vote_stored(&self, vote: &Vote) -> Result<(), GuardError>;
}

/// Why a vote was not recorded. Always fatal.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error("the guard holds the newer vote {held}, refusing {asked}")]
    Reversal { held: Vote, asked: Vote },
    #[error("the guard file could not be written")]
    Io(#[source] std::io::Error),
}
