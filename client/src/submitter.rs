//! Submitting finished statements: batches within the limits, and answers that are checked.

use aimslog_proto::limits;
use aimslog_proto::pb::v1;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::header::Family;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::tlog::LeafHash;
use sha2::{Digest as _, Sha256};

use crate::convert::{self, EntryRef};
use crate::error::ClientError;
use crate::evidence::EvidenceRequest;
use crate::finished::FinishedStatement;
use crate::ledger::Ledger;
use crate::status;

/// What the ledger says of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log.
    Logged {
        /// Where.
        entry: EntryRef,
        /// The same bytes had been logged before.
        already: bool,
        /// The verified evidence file, where a receipt was waited for.
        evidence: Option<Vec<u8>>,
    },
    /// It was refused, and nothing of it was stored.
    Refused {
        /// Everything that was found to be wrong.
        violations: Vec<Violation>,
        /// With `VERSION_CONFLICT`: the newest version.
        newest_version: Option<EntryId>,
    },
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// On the disks of a majority, and applied.
    Committed,
    /// Also under a published head, with the evidence file.
    Receipt,
}

impl Ledger {
    /// Submits statements, in batches within the limits, and returns one outcome for each, in
    /// order. Batches are not atomic. Where the call ends with [`ClientError::OutcomeUnknown`], the
    /// same statements may be sent again.
    pub async fn submit(
        &self,
        statements: &[FinishedStatement],
        wait: Wait,
    ) -> Result<Vec<Outcome>, ClientError> {
        let mut outcomes = Vec::with_capacity(statements.len());
        let mut rest = statements;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_length(rest, wait));
            outcomes.extend(self.submit_batch(batch, wait).await?);
            rest = later;
        }
        Ok(outcomes)
    }

    async fn submit_batch(
        &self,
        batch: &[FinishedStatement],
        wait: Wait,
    ) -> Result<Vec<Outcome>, ClientError> {
        let waited = wait;
        let wait = match wait {
            Wait::Committed => v1::Wait::Committed,
            Wait::Receipt => v1::Wait::Receipt,
        };
        let message = v1::SubmitRequest {
            submissions: batch.iter().map(message_of).collect(),
            wait: wait.into(),
        };
        let (endpoint, answer) = self
            .evidence_service(async |client| {
                let mut client = client.max_encoding_message_size(2 * limits::BATCH_BYTES_MAX);
                Ok(client
                    .submit(self.request(message.clone())?)
                    .await?
                    .into_inner())
            })
            .await?;
        if answer.results.len() != batch.len() {
            return Err(ClientError::Malformed {
                what: "one result for each submission",
            });
        }
        let outcomes = batch
            .iter()
            .zip(answer.results)
            .map(|(sent, result)| self.outcome(&endpoint, (sent, waited), result))
            .collect::<Result<Vec<_>, _>>()?;
        for outcome in &outcomes {
            if let Outcome::Logged {
                evidence: Some(file),
                ..
            } = outcome
            {
                self.relate_file(file).await?;
            }
        }
        Ok(outcomes)
    }

    fn outcome(
        &self,
        endpoint: &str,
        (sent, wait): (&FinishedStatement, Wait),
        result: v1::SubmitResult,
    ) -> Result<Outcome, ClientError> {
        match result
            .outcome
            .ok_or(ClientError::Malformed { what: "outcome" })?
        {
            v1::submit_result::Outcome::Refused(refused) => Ok(refusal(refused)),
            v1::submit_result::Outcome::Accepted(accepted) => {
                let entry = convert::entry_ref(accepted.entry)?;
                // What was sent is what must have been logged: no answer about other bytes counts.
                if entry.entry_id != sent.entry_id()
                    || entry.leaf_hash != LeafHash::of(&sent.statement)
                {
                    let why = "the answer names another entry than the one sent".to_owned();
                    return Err(ClientError::Unverified {
                        endpoint: endpoint.to_owned(),
                        why,
                    });
                }
                let evidence = Some(accepted.evidence).filter(|file| !file.is_empty());
                if let Some(file) = &evidence {
                    let asked = EvidenceRequest {
                        entries: vec![entry.entry_id],
                        ..EvidenceRequest::default()
                    };
                    let report = self.check_evidence(endpoint, &asked, file)?;
                    // The proof says where the entry stands; the answer must not say otherwise.
                    if report
                        .records
                        .iter()
                        .any(|record| record.index != entry.index.0)
                    {
                        let why = "the answer names another index than its evidence".to_owned();
                        return Err(ClientError::Unverified {
                            endpoint: endpoint.to_owned(),
                            why,
                        });
                    }
                } else if wait == Wait::Receipt && has_evidence(sent) {
                    return Err(ClientError::Malformed {
                        what: "the evidence file that was waited for",
                    });
                }
                Ok(Outcome::Logged {
                    entry,
                    already: accepted.already_logged,
                    evidence,
                })
            }
        }
    }

    /// Asks what a submission would be answered now, without storing anything: one list of
    /// violations for each statement, empty where it would be accepted.
    pub async fn validate(
        &self,
        statements: &[FinishedStatement],
    ) -> Result<Vec<Vec<Violation>>, ClientError> {
        let mut all = Vec::with_capacity(statements.len());
        let mut rest = statements;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_length(rest, Wait::Committed));
            let message = v1::ValidateRequest {
                submissions: batch.iter().map(message_of).collect(),
            };
            let (_, answer) = self
                .evidence_service(async |client| {
                    let mut client = client.max_encoding_message_size(2 * limits::BATCH_BYTES_MAX);
                    Ok(client
                        .validate(self.request(message.clone())?)
                        .await?
                        .into_inner())
                })
                .await?;
            all.extend(answer.results.into_iter().map(|result| {
                result
                    .violations
                    .into_iter()
                    .map(status::violation)
                    .collect::<Vec<_>>()
            }));
            rest = later;
        }
        if all.len() == statements.len() {
            Ok(all)
        } else {
            Err(ClientError::Malformed {
                what: "one result for each submission",
            })
        }
    }

    /// Stores a file of at most 4 MiB for the reader's organisation and returns its SHA-256, which
    /// the ledger checked too.
    pub async fn put_blob(
        &self,
        organization: &str,
        content: &[u8],
    ) -> Result<[u8; 32], ClientError> {
        let digest: [u8; 32] = Sha256::digest(content).into();
        let header = v1::BlobHeader {
            organization: organization.to_owned(),
            digest: digest.to_vec(),
            size: u64::try_from(content.len()).unwrap_or(u64::MAX),
        };
        let mut parts = vec![v1::put_blob_request::Part::Header(header)];
        parts.extend(
            content
                .chunks(limits::BLOB_CHUNK_BYTES_MAX)
                .map(|part| v1::put_blob_request::Part::Chunk(part.to_vec())),
        );
        let messages: Vec<v1::PutBlobRequest> = parts
            .into_iter()
            .map(|part| v1::PutBlobRequest { part: Some(part) })
            .collect();
        self.evidence_service(async |mut client| {
            let request = self.request(tokio_stream::iter(messages.clone()))?;
            Ok(client.put_blob(request).await?.into_inner())
        })
        .await?;
        Ok(digest)
    }

    /// A stored file of the reader's organisation, whose digest is checked.
    pub async fn blob(
        &self,
        organization: &str,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, ClientError> {
        let message = v1::GetBlobRequest {
            organization: organization.to_owned(),
            digest: digest.to_vec(),
            entry_id: Vec::new(),
        };
        self.fetch_blob(message, digest).await
    }

    /// A stored file of an organisation that has engaged the reader's, which is named by a field that the
    /// reader may see of this record. Its digest is checked; the read is in the log.
    pub async fn blob_of(
        &self,
        organization: &str,
        record: &EntryId,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, ClientError> {
        let message = v1::GetBlobRequest {
            organization: organization.to_owned(),
            digest: digest.to_vec(),
            entry_id: record.as_bytes().to_vec(),
        };
        self.fetch_blob(message, digest).await
    }

    async fn fetch_blob(
        &self,
        message: v1::GetBlobRequest,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, ClientError> {
        let blob_bytes_max = usize::try_from(limits::BLOB_BYTES_MAX).unwrap_or(usize::MAX);
        let (endpoint, content) = self
            .evidence_service(async |mut client| {
                let mut stream = client
                    .get_blob(self.request(message.clone())?)
                    .await?
                    .into_inner();
                let mut content = Vec::new();
                while let Some(part) = stream.message().await? {
                    if content.len() + part.chunk.len() > blob_bytes_max {
                        return Err(tonic::Status::out_of_range("the attachment is too large"));
                    }
                    content.extend_from_slice(&part.chunk);
                }
                Ok(content)
            })
            .await?;
        let found: [u8; 32] = Sha256::digest(&content).into();
        if found != *digest {
            let why = "the attachment does not have the digest that was asked for".to_owned();
            return Err(ClientError::Unverified { endpoint, why });
        }
        Ok(content)
    }
}

/// Records of the ledger itself have no evidence file.
fn has_evidence(sent: &FinishedStatement) -> bool {
    UnverifiedStatement::parse_submitted(&sent.statement)
        .is_ok_and(|statement| statement.header().content_type.family() == Family::Evidence)
}

fn message_of(statement: &FinishedStatement) -> v1::Submission {
    v1::Submission {
        statement: statement.statement.clone(),
        disclosures: statement.disclosures.clone(),
        digest_only: statement
            .digest_only
            .iter()
            .map(|digest| digest.to_vec())
            .collect(),
    }
}

fn refusal(message: v1::Refused) -> Outcome {
    let newest = <[u8; 32]>::try_from(message.newest_version.as_slice());
    let mut violations: Vec<Violation> = message
        .violations
        .into_iter()
        .map(status::violation)
        .collect();
    if violations.is_empty() {
        let rule = "the ledger gave no reason";
        violations.push(Violation::new(Reason::Internal, "statement", rule));
    }
    Outcome::Refused {
        violations,
        newest_version: newest.ok().map(EntryId::from_bytes),
    }
}

/// How many of the first statements fit in one request; at least one.
fn batch_length(statements: &[FinishedStatement], wait: Wait) -> usize {
    let count_max = match wait {
        Wait::Committed => limits::BATCH_STATEMENTS_MAX,
        Wait::Receipt => limits::RECEIPTS_MAX,
    };
    let mut bytes = 0;
    statements
        .iter()
        .take(count_max)
        .take_while(|statement| {
            bytes += statement.byte_count();
            bytes <= limits::BATCH_BYTES_MAX
        })
        .count()
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(bytes: usize) -> FinishedStatement {
        FinishedStatement {
            statement: vec![0; bytes],
            disclosures: Vec::new(),
            digest_only: Vec::new(),
        }
    }

    #[test]
    fn batches_stay_within_count_and_bytes() {
        let batch_length = |statements: &[_]| batch_length(statements, Wait::Committed);
        assert_eq!(batch_length(&vec![statement(10); 5]), 5);
        assert_eq!(
            batch_length(&vec![statement(10); 5000]),
            limits::BATCH_STATEMENTS_MAX
        );
        assert_eq!(
            super::batch_length(&vec![statement(10); 5000], Wait::Receipt),
            limits::RECEIPTS_MAX
        );
        let half = limits::BATCH_BYTES_MAX / 2;
        assert_eq!(batch_length(&vec![statement(half); 5]), 2);
        assert_eq!(batch_length(&[statement(limits::BATCH_BYTES_MAX + 1)]), 1);
    }
}
