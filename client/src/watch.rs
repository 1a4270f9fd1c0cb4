//! Following the records of an organisation as they are applied.

use std::time::Duration;

use aimslog_proto::pb::v1;
use aimslog_proto::tlog::LeafIndex;
use tokio::time::sleep;
use tonic::Streaming;

use crate::error::ClientError;
use crate::ledger::Ledger;
use crate::record::{ListedRecord, listed};
use crate::status::{Verdict, judge};

/// Before a stream that ended is opened again: a node ends streams from time to time.
const REOPEN_AFTER: Duration = Duration::from_millis(200);

/// A stream of records that opens itself again, at another node if need be, and neither repeats
/// nor leaves out a record that the ledger shows.
#[derive(Debug)]
pub struct Watch<'a> {
    ledger: &'a Ledger,
    organization: String,
    next: LeafIndex,
    stream: Option<(String, Streaming<v1::WatchResponse>)>,
}

impl Ledger {
    /// Follows the records of the reader's organisation from an index on. Each is checked as
    /// [`ListedRecord`] says; that none is left out is the word of the nodes that answer.
    pub fn watch(&self, organization: impl Into<String>, from: LeafIndex) -> Watch<'_> {
        Watch {
            ledger: self,
            organization: organization.into(),
            next: from,
            stream: None,
        }
    }
}

impl Watch<'_> {
    /// The next record; waits for it as long as it takes. An error is final: refused, or no node
    /// could be reached within the deadline of a call.
    pub async fn next(&mut self) -> Result<ListedRecord, ClientError> {
        loop {
            let (endpoint, mut stream) = match self.stream.take() {
                Some(open) => open,
                None => self.open().await?,
            };
            match stream.message().await {
                Ok(Some(answer)) => {
                    let record = listed(&endpoint, None, answer.record)?;
                    if record.entry.index < self.next {
                        let why = "a watched record came twice or out of order".to_owned();
                        return Err(ClientError::Unverified { endpoint, why });
                    }
                    self.next = LeafIndex(record.entry.index.0.saturating_add(1));
                    self.stream = Some((endpoint, stream));
                    return Ok(record);
                }
                Ok(None) => {}
                Err(status) => {
                    if let Verdict::Final(refusal) = judge(&status) {
                        return Err(refusal.into());
                    }
                }
            }
            sleep(REOPEN_AFTER).await;
        }
    }

    async fn open(&self) -> Result<(String, Streaming<v1::WatchResponse>), ClientError> {
        let message = v1::WatchRequest {
            organization: self.organization.clone(),
            start_index: self.next.0,
        };
        self.ledger
            .evidence_service(async |mut client| {
                let request = self.ledger.request(message.clone())?;
                Ok(client.watch(request).await?.into_inner())
            })
            .await
    }
}
