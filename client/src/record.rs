//! Records as a node hands them over, and what of them is checked before they are handed on.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::disclosure::Disclosure;
use aimslog_proto::statement::header::Family;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::tlog::LeafHash;

use crate::convert::{self, EntryRef};
use crate::error::ClientError;
use crate::ledger::EntryKey;
use crate::trust::chain;

/// A record with what the caller may see of it. The statement's bytes hash to the entry id, and the
/// disclosures are those that it commits to; that it stands in the log, and where, is what an evidence
/// file or an inclusion proof says, not this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRecord {
    /// Where the service says it stands.
    pub entry: EntryRef,
    /// The Signed Statement; its signature was not checked.
    pub statement: Vec<u8>,
    /// What became of the disclosures, as the service says.
    pub payload: v1::PayloadStatus,
    /// All disclosures, if present.
    pub disclosures: Vec<Vec<u8>>,
}

impl ListedRecord {
    /// Whether it is a record of the ledger itself, e.g. of a principal. Those need no evidence file of
    /// their own: they stand in the chain of every one, where their signatures are checked.
    pub fn is_of_ledger(&self) -> bool {
        UnverifiedStatement::parse(&self.statement)
            .is_ok_and(|statement| statement.header().content_type.family() == Family::Ledger)
    }
}

/// A record from the answer of a node, which was asked for this entry or for whatever there is.
pub(crate) fn listed(
    endpoint: &str,
    asked: Option<EntryKey>,
    message: Option<v1::Record>,
) -> Result<ListedRecord, ClientError> {
    let message = message.ok_or(ClientError::Malformed { what: "record" })?;
    let payload = message.payload_status();
    let record = ListedRecord {
        entry: convert::entry_ref(message.entry)?,
        statement: message.statement,
        payload,
        disclosures: message.disclosures,
    };
    check(asked, &record).map_err(|why| ClientError::Unverified {
        endpoint: endpoint.to_owned(),
        why,
    })?;
    Ok(record)
}

fn check(asked: Option<EntryKey>, record: &ListedRecord) -> Result<(), String> {
    let entry = &record.entry;
    let is_asked = match asked {
        None => true,
        Some(EntryKey::Id(id)) => entry.entry_id == id,
        Some(EntryKey::Index(index)) => entry.index == index,
    };
    if !is_asked {
        return Err("the record is another than the one that was asked for".to_owned());
    }
    if EntryId::of(&record.statement) != entry.entry_id {
        return Err("a statement does not hash to its entry id".to_owned());
    }
    if LeafHash::of(&record.statement) != entry.leaf_hash {
        return Err("a statement does not hash to its leaf hash".to_owned());
    }
    check_disclosures(record)
}

fn check_disclosures(record: &ListedRecord) -> Result<(), String> {
    if record.disclosures.is_empty() {
        return Ok(());
    }
    let statement = UnverifiedStatement::parse(&record.statement).map_err(|error| chain(&error))?;
    let leaves = record
        .disclosures
        .iter()
        .map(|bytes| Disclosure::parse(bytes).map(|disclosure| disclosure.leaf_hash()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| chain(&error))?;
    let commitment = statement.commitment();
    if commitment.is_some_and(|commitment| commitment.is_over(&leaves)) {
        Ok(())
    } else {
        Err("the fields of a record are not those that its statement commits to".to_owned())
    }
}

#[cfg(test)]
mod tests;
