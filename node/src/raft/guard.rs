//! The hook that remembers votes outside the database.

use super::types::Vote;

/// Remembers the newest vote where a rollback of the data folder does not reach it.
///
/// Called on a blocking thread before each vote is stored. When it returns `Ok` the vote must be on
/// stable storage. An error is fatal: the vote is neither stored nor answered and the node stops.
pub trait VoteGuard: Send + Sync + 'static {
    fn before_vote(&self, vote: &Vote) -> Result<(), GuardError>;
}

/// Why a vote was not recorded. Always fatal.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error("the guard holds the newer vote {held}, refusing {asked}")]
    Reversal { held: Vote, asked: Vote },
    #[error("the guard file could not be written")]
    Io(#[source] std::io::Error),
}
