//! Lists of records: what they are asked for, and that what comes fits it.

use aimslog_proto::limits;
use aimslog_proto::pb::v1;
use aimslog_proto::statement::header::{ControlRef, Header};
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::LeafIndex;

use crate::error::ClientError;
use crate::ledger::Ledger;
use crate::record::{ListedRecord, listed};
use crate::trust::chain;

/// What to list: records to which every condition applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// The organisation; required.
    pub organization: String,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only records about this system.
    pub system: Option<String>,
    /// Only records about this: the subject as it stands in the header.
    pub subject: Option<String>,
    /// Only evidence for this control.
    pub control: Option<ControlRef>,
    /// Only what this principal of the organisation has signed, with whichever key.
    pub principal: Option<String>,
    /// Only what the service says to have registered at this time or later.
    pub registered_from: Option<UnixMillis>,
    /// Only what the service says to have registered before this time.
    pub registered_to: Option<UnixMillis>,
    /// Only entries from this index on.
    pub start: Option<LeafIndex>,
    /// Only entries in front of this one.
    pub end: Option<LeafIndex>,
}

/// A page of records. That none was left out is the word of the node that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    /// In log order.
    pub records: Vec<ListedRecord>,
    /// Asks for the next page; `None` at the end.
    pub next: Option<String>,
}

impl RecordFilter {
    fn message(&self, page: Option<&str>) -> v1::ListRecordsRequest {
        v1::ListRecordsRequest {
            organization: self.organization.clone(),
            kind: self.kind.clone().unwrap_or_default(),
            system: self.system.clone().unwrap_or_default(),
            subject: self.subject.clone().unwrap_or_default(),
            control: self.control.as_ref().map(|control| v1::ControlFilter {
                scheme: control.scheme.clone(),
                id: control.id.clone(),
            }),
            principal: self.principal.clone().unwrap_or_default(),
            registered_from: self.registered_from.map(Into::into),
            registered_to: self.registered_to.map(Into::into),
            start_index: self.start.map_or(0, |start| start.0),
            end_index: self.end.map_or(0, |end| end.0),
            page_size: u32::try_from(limits::PAGE_MAX).unwrap_or(u32::MAX),
            page_token: page.unwrap_or_default().to_owned(),
        }
    }

    /// Why a record is not one of those asked for, as far as its header and the service's claims tell.
    /// Whose key it is that signed it, they do not.
    fn misfit(&self, record: &ListedRecord) -> Result<Option<&'static str>, String> {
        let statement =
            UnverifiedStatement::parse(&record.statement).map_err(|error| chain(&error))?;
        let header = statement.header();
        let (index, time) = (record.entry.index, record.entry.registered_at);
        let outside = self.start.is_some_and(|start| index < start)
            || self.end.is_some_and(|end| index >= end)
            || self.registered_from.is_some_and(|from| time < from)
            || self.registered_to.is_some_and(|to| time >= to);
        Ok(if outside {
            Some("logged outside the range that was asked for")
        } else {
            self.header_misfit(header)
        })
    }

    fn header_misfit(&self, header: &Header) -> Option<&'static str> {
        let system = self.system.as_ref();
        let system =
            system.map(|system| format!("urn:aimslog:{}:system:{system}", self.organization));
        let subjects = [system.as_ref(), self.subject.as_ref()];
        let mut subjects = subjects.into_iter().flatten();
        let kind = kind_of(header);
        if !is_of(header, &self.organization) {
            Some("of another organisation")
        } else if self.kind.as_ref().is_some_and(|asked| *asked != kind) {
            Some("of another kind")
        } else if subjects.any(|subject| *subject != header.subject) {
            Some("about something else")
        } else if (self.control.as_ref()).is_some_and(|asked| !header.controls.contains(asked)) {
            Some("no evidence for the control")
        } else {
            None
        }
    }
}

/// The kind as the service names it.
pub(crate) fn kind_of(header: &Header) -> String {
    aimslog_proto::aims::judge::kind_text(&header.content_type)
}

/// Whether the header says that this organisation issued the statement.
pub(crate) fn is_of(header: &Header, organization: &str) -> bool {
    header
        .issuer
        .rsplit_once("/o/")
        .is_some_and(|(_, issuer)| issuer == organization)
}

impl Ledger {
    /// A page of records to which the filter applies. Each is checked as [`ListedRecord`] says, and against
    /// the filter; whose key signed it, and whether the page is complete, is the word of the node that
    /// answered.
    pub async fn list(
        &self,
        filter: &RecordFilter,
        page: Option<&str>,
    ) -> Result<RecordPage, ClientError> {
        let message = filter.message(page);
        let (endpoint, answer) = self
            .evidence_service(async |mut client| {
                Ok(client
                    .list_records(self.request(message.clone())?)
                    .await?
                    .into_inner())
            })
            .await?;
        let records = answer
            .records
            .into_iter()
            .map(|record| listed(&endpoint, None, Some(record)));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        check(filter, &records).map_err(|why| ClientError::Unverified { endpoint, why })?;
        let next = Some(answer.next_page_token).filter(|token| !token.is_empty());
        Ok(RecordPage { records, next })
    }
}

/// Whether the records are ones that were asked for, in the order of the log.
fn check(filter: &RecordFilter, records: &[ListedRecord]) -> Result<(), String> {
    for record in records {
        if let Some(misfit) = filter.misfit(record)? {
            return Err(format!("a record was listed that is {misfit}"));
        }
    }
    let ascending = records.is_sorted_by(|one, next| one.entry.index < next.entry.index);
    if ascending {
        Ok(())
    } else {
        Err("a list is not in the order of the log".to_owned())
    }
}

#[cfg(test)]
mod tests;
