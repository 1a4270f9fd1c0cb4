//! The service's own records of who read from outside.

use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::statement::SignError;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{Access, AccessRead, Making, sign_record};
use aimslog_proto::time::UnixSeconds;

use crate::identity::LedgerKeys;
use crate::init::statement_key;

/// The next `ledger.access` statement with these reads; `None` before genesis.
///
/// # Errors
/// [`SignError`].
pub fn access_statement(
    keys: &LedgerKeys,
    registry: &Registry,
    reads: Vec<AccessRead>,
    (issued, id): (UnixSeconds, StatementId),
) -> Result<Option<Vec<u8>>, SignError> {
    let Some(genesis) = registry.genesis() else {
        return Ok(None);
    };
    let record = Access {
        number: registry.access_batches().saturating_add(1),
        reads,
    };
    let making = Making {
        origin: &genesis.origin,
        issued,
        expires: None,
        id,
    };
    let statement = sign_record(&record, &making, &statement_key(&keys.service))?;
    Ok(Some(statement.bytes().to_vec()))
}
