//! Genesis at apply: entries 0 and 1, on an empty state only.

use std::sync::Arc;

use aimslog_proto::{
    reason::{Reason, Violation},
    statement::UnverifiedStatement,
    system::{SystemRecord, registry::Registry},
    tlog::{Frontier, LeafIndex},
};

use super::{
    apply::{ApplyError, LEVELS, State, known_rules},
    command::Genesis,
    entries::{Facts, log_entry},
    outcome::{ItemOutcome, Outcome},
    row::Core,
};
use crate::{
    raft::Position,
    store::{
        codec::{self, Single},
        state_db::Rows,
    },
};

/// Founds the ledger, or refuses and leaves the state empty.
///
/// # Errors
/// When the level or the rules of genesis are not part of this program.
pub(super) fn found<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    command: &Genesis,
    position: Position,
) -> Result<Outcome, ApplyError> {
    let mut registry = Registry::new();
    let mut statements = Vec::new();
    for (index, bytes) in (0..).map(LeafIndex).zip([&command.genesis, &command.keys]) {
        let statement = match UnverifiedStatement::parse(bytes) {
            Ok(statement) => statement,
            Err(error) => return Ok(Outcome::Refused(error.violations())),
        };
        let record = match registry.apply(index, &statement) {
            Ok(record) => record,
            Err(violations) => return Ok(Outcome::Refused(violations.into_vec())),
        };
        if index == LeafIndex(1) && !matches!(record, SystemRecord::Keys(_)) {
            let rule = "entry 1 holds the receipt keys";
            let violation = Violation::new(Reason::InvalidRequest, "keys", rule);
            return Ok(Outcome::refused(violation));
        }
        statements.push((statement, bytes));
    }
    let Some(genesis) = registry.genesis() else {
        let violation = Violation::new(Reason::InvalidRequest, "genesis", "entry 0 is genesis");
        return Ok(Outcome::refused(violation));
    };
    let level = u32::try_from(genesis.level)
        .ok()
        .filter(|level| LEVELS.contains(level))
        .ok_or(ApplyError::UnknownLevel {
            found: genesis.level,
        })?;
    known_rules(genesis.rule_bundle)?;
    let cluster = statements
        .first()
        .map(|(statement, _)| *statement.entry_id().as_bytes());
    let mut core = Core {
        level,
        time_ms: command.time_ms,
        time_term: (position.term, position.leader),
        cluster: cluster.unwrap_or_default(),
        frontier: Frontier::EMPTY,
        next_head: 0,
        trusted_head: None,
        thin_from: 0,
    };
    let mut outcomes = Vec::new();
    for (statement, bytes) in statements {
        let facts = Facts {
            statement: &statement,
            bytes,
            organization: "",
            place: None,
        };
        outcomes.push(ItemOutcome::Logged(log_entry(
            &mut state.rows,
            &mut core,
            &facts,
        )?));
    }
    state.registry = Arc::new(registry);
    state.rows.put_value(codec::single(Single::Core), &core);
    Ok(Outcome::Batch(outcomes))
}
