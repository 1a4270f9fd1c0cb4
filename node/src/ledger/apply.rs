//! The one function that decides: state and command in, writes and outcome out.
//!
//! `apply` reads statement headers and state. It reads no clock, no random number, no JSON and no
//! payload, so every node that is fed the same commands has the same state, also after payloads
//! were erased. What the caller did wrong is an [`Outcome`]; an error means that this replica is
//! broken or older than the state, and must stop before it applies.
#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use aimslog_proto::{
    aims::bundle::RuleBundle,
    limits::TIME_STEP_MS_MAX,
    reason::{Reason, Violation, Violations},
    statement::StatementError,
    system::registry::Registry,
    tlog::LeafIndex,
};

use super::{
    blobs,
    command::{Batch, Command},
    entries, founding, heads,
    outcome::Outcome,
    row::Core,
    state::{Overlay, TypedRows},
};
use crate::{
    raft::Position,
    store::{
        codec::{self, Single, bytes::DecodeError},
        state_db::{Rows, StateError},
    },
};

/// The levels of the state that this program applies.
pub const LEVELS: std::ops::RangeInclusive<u32> = 1..=1;

/// The state that a command is applied to, and what it changes.
#[derive(Debug)]
pub struct State<'a, R: ?Sized> {
    /// Changes over the rows.
    pub rows: Overlay<'a, R>,
    /// Who may do what; a function of the system records among the rows.
    pub registry: Arc<Registry>,
}

/// Why this replica cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Rows are damaged or cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A committed command that this program does not know.
    #[error("the command at {position} cannot be read")]
    Command {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// The state has, or is to get, a level that this program does not know.
    #[error("level {found} is not one of {LEVELS:?}")]
    UnknownLevel {
        /// The level.
        found: u64,
    },
    /// The log activates a rule bundle that this program does not contain.
    #[error("the rule bundle {} is not part of this program", hex(digest))]
    UnknownRules {
        /// Its digest.
        digest: [u8; 32],
    },
    /// An entry of the log is not a statement any more.
    #[error("entry {index} is damaged")]
    StoredStatement {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: StatementError,
    },
    /// A logged system record does not pass the check that it passed when it was logged.
    #[error("the system record {index} is refused by its own registry")]
    StoredRecord {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: Box<Violations>,
    },
}

/// Applies one command. The changes stand in `state` afterwards; a refused command leaves none.
///
/// # Errors
/// When this replica must stop: damaged rows, or a level or rule bundle of a newer program.
pub fn apply<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    command: &Command,
    position: Position,
) -> Result<Outcome, ApplyError> {
    let Some(mut core) = state.rows.core()? else {
        return match command {
            Command::Genesis(genesis) => founding::found(state, genesis, position),
            Command::Batch(_)
            | Command::Cut { .. }
            | Command::Publish(_)
            | Command::Tick { .. }
            | Command::Blob(_)
            | Command::Level(_) => Ok(not_now("the ledger is founded first")),
        };
    };
    if !LEVELS.contains(&core.level) {
        return Err(ApplyError::UnknownLevel {
            found: core.level.into(),
        });
    }
    if let Some(time_ms) = command.time_ms()
        && let Err(last_ms) = advance(&mut core, time_ms, position)
    {
        return Ok(Outcome::TimeRefused { last_ms });
    }
    let outcome = match command {
        Command::Genesis(_) => return Ok(not_now("a ledger is founded once")),
        Command::Batch(batch) => run_batch(state, &mut core, batch)?,
        Command::Cut { time_ms: _ } => heads::cut(state, &core, position)?,
        Command::Publish(publish) => heads::publish(state, &mut core, publish)?,
        Command::Tick { time_ms: _ } => Outcome::Done,
        Command::Blob(chunk) => take_chunk(state, chunk)?,
        Command::Level(level) => raise_level(&mut core, *level)?,
    };
    if command.time_ms().is_some() {
        blobs::expire(&mut state.rows, core.time_ms)?;
    }
    state.rows.put_value(codec::single(Single::Core), &core);
    Ok(outcome)
}

/// Moves the registration time on, or returns the newest one where `time_ms` is not acceptable.
fn advance(core: &mut Core, time_ms: u64, position: Position) -> Result<(), u64> {
    let term = (position.term, position.leader);
    let step = time_ms.checked_sub(core.time_ms).ok_or(core.time_ms)?;
    // A new leader comes after a silence of unknown length; within a term there is none.
    if step > TIME_STEP_MS_MAX && core.time_term == term {
        return Err(core.time_ms);
    }
    core.time_ms = time_ms;
    core.time_term = term;
    Ok(())
}

fn run_batch<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    core: &mut Core,
    batch: &Batch,
) -> Result<Outcome, ApplyError> {
    let mut outcomes = Vec::with_capacity(batch.items.len());
    for item in &batch.items {
        outcomes.push(entries::submit(state, core, item)?);
    }
    Ok(Outcome::Batch(outcomes))
}

fn take_chunk<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    chunk: &super::command::BlobChunk,
) -> Result<Outcome, ApplyError> {
    let mut organizations = state.registry.organizations();
    let refused = match organizations.find(|(id, _)| id.as_str() == chunk.organization) {
        Some((_, row)) if row.suspended_at().is_none() => None,
        Some(_) => {
            let rule = "an organisation that the operators have not suspended";
            Some((Reason::OrganizationSuspended, rule))
        }
        None => {
            let rule = "an attachment belongs to a registered organisation";
            Some((Reason::NotFound, rule))
        }
    };
    if let Some((reason, rule)) = refused {
        let violation = Violation::new(reason, "organization", rule);
        return Ok(Outcome::refused(violation.found(&chunk.organization)));
    }
    Ok(blobs::take(&mut state.rows, chunk)?)
}

fn raise_level(core: &mut Core, level: u32) -> Result<Outcome, ApplyError> {
    if level <= core.level {
        return Ok(not_now("a level is only ever raised"));
    }
    if !LEVELS.contains(&level) {
        return Err(ApplyError::UnknownLevel {
            found: level.into(),
        });
    }
    core.level = level;
    Ok(Outcome::Done)
}

/// The rule bundle that judges the entry at `index`.
pub fn rules_at(registry: &Registry, index: LeafIndex) -> Result<&'static RuleBundle, ApplyError> {
    let digest = registry.rules_at(index).ok_or(StateError::Contradiction {
        what: "a founded ledger has rules",
    })?;
    known_rules(digest)
}

/// The bundle with this digest, if this program contains it.
pub(super) fn known_rules(digest: [u8; 32]) -> Result<&'static RuleBundle, ApplyError> {
    RuleBundle::of_digest(digest).ok_or(ApplyError::UnknownRules { digest })
}

/// Lower-case hex, as digests stand in messages.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            if write!(text, "{byte:02x}").is_err() {
                text.clear();
            }
            text
        })
}

fn not_now(rule: &str) -> Outcome {
    Outcome::refused(Violation::new(Reason::FailedPrecondition, "command", rule))
}

#[cfg(test)]
mod tests;
