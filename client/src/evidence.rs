//! Evidence files from the ledger: downloaded in pieces, continued where a connection broke off, and
//! verified before they count.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::limits::EVIDENCE_BYTES_MAX;
use aimslog_proto::pb::v1;
use aimslog_proto::statement::evidence::{RecordReport, Report};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::TreeSize;
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use crate::clock;
use crate::error::{Attempt, ClientError};
use crate::ledger::Ledger;
use crate::status::{Verdict, judge};
use crate::verifier;

/// How long the next piece may take.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a download is continued without a single new byte.
const BARREN_ATTEMPTS_MAX: u32 = 5;

/// What to disclose in an evidence file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvidenceRequest {
    /// At least one.
    pub entries: Vec<EntryId>,
    /// Only these fields; empty: all.
    pub fields: Vec<String>,
    /// The ledger says that the caller reads some of the records under an engagement, which may show
    /// fewer fields than those asked for.
    pub engaged: bool,
    /// An older head that the caller kept.
    pub since: Option<TreeSize>,
    /// The kept head to prove under; `None` asks for the newest. Only with one can a download be
    /// continued: the file under another head is another file.
    pub under: Option<TreeSize>,
}

impl EvidenceRequest {
    fn message(&self, offset: u64) -> v1::GetEvidenceRequest {
        v1::GetEvidenceRequest {
            entry_ids: self
                .entries
                .iter()
                .map(|id| id.as_bytes().to_vec())
                .collect(),
            fields: self.fields.clone(),
            since_size: self.since.map_or(0, |size| size.0),
            tree_size: self.under.map_or(0, |size| size.0),
            offset,
        }
    }

    /// Whether a file with this report holds what was asked for: exactly these records, under this
    /// head, and of each record exactly these fields, or none where the ledger has none to show; under an
    /// engagement some of them.
    pub fn answered_by(&self, report: &Report) -> Result<(), String> {
        let asked: BTreeSet<String> = self.entries.iter().map(ToString::to_string).collect();
        let found: BTreeSet<String> = report
            .records
            .iter()
            .map(|record| record.entry_id.clone())
            .collect();
        if found != asked || report.records_total != asked.len() {
            return Err("the evidence file is not over the records that were asked for".to_owned());
        }
        let head = report.head.as_ref().map(|head| head.size);
        if self.under.is_some_and(|size| head != Some(size.0)) {
            return Err("the evidence file is not under the head that was asked for".to_owned());
        }
        match report.records.iter().find(|record| !self.shown_by(record)) {
            None => Ok(()),
            Some(record) => Err(format!(
                "the evidence file shows other fields of record {} than those asked for",
                record.index
            )),
        }
    }

    fn shown_by(&self, record: &RecordReport) -> bool {
        let shown = record.fields.len();
        if shown == 0 {
            return true;
        }
        if self.fields.is_empty() {
            return self.engaged || u64::try_from(shown) == Ok(record.fields_total);
        }
        let mut names = record.fields.iter().map(|field| &field.name);
        let asked: BTreeSet<&str> = self.fields.iter().map(String::as_str).collect();
        let of_kind = record.kind.rsplit_once(".v").and_then(|(name, version)| {
            let kind = RuleBundle::v1().kind(name, version.parse().ok()?).ok()?;
            Some(
                kind.field_names()
                    .filter(|name| asked.contains(name))
                    .count(),
            )
        });
        names.all(|name| asked.contains(name.as_str())) && (self.engaged || of_kind == Some(shown))
    }
}

impl Ledger {
    /// The evidence file of these records. That it verifies, that it holds what was asked for, and that its
    /// head is of one history with the remembered one is checked before it is returned.
    pub async fn evidence(&self, asked: &EvidenceRequest) -> Result<Vec<u8>, ClientError> {
        // Pinned, so that a broken connection costs no more than the rest of the file.
        let under = match asked.under {
            Some(size) => size,
            None => self.checkpoint().await?.head().size,
        };
        let asked = EvidenceRequest {
            under: Some(under),
            ..asked.clone()
        };
        let mut file = Vec::new();
        let mut keep = |piece: &[u8]| {
            file.extend_from_slice(piece);
            Ok(())
        };
        self.download_unverified_evidence(&asked, 0, &mut keep)
            .await?;
        self.check_evidence("the ledger", &asked, &file)?;
        self.relate_file(&file).await?;
        Ok(file)
    }

    /// Downloads an evidence file from byte `offset` on and returns its length. `keep` gets the
    /// pieces in order, each once; what it has kept may be continued by a later call with the same
    /// request. The request names the head (`under`). Nothing is verified: that is for the caller,
    /// once the file is whole.
    pub async fn download_unverified_evidence(
        &self,
        asked: &EvidenceRequest,
        offset: u64,
        keep: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<u64, ClientError> {
        let mut length = offset;
        let mut barren = 0;
        loop {
            let message = asked.message(length);
            let (endpoint, mut stream) = self
                .log(async |mut client| {
                    let request = self.request(message.clone())?;
                    Ok(client.get_evidence(request).await?.into_inner())
                })
                .await?;
            let before = length;
            let Some(broken) = drain(&mut stream, &mut length, keep).await? else {
                return Ok(length);
            };
            if let Verdict::Final(refusal) = judge(&broken) {
                return Err(refusal.into());
            }
            barren = if length > before { 0 } else { barren + 1 };
            if barren == BARREN_ATTEMPTS_MAX {
                let why = broken.message().to_owned();
                return Err(ClientError::Unreachable {
                    attempts: vec![Attempt { endpoint, why }],
                    no_majority: false,
                });
            }
            sleep(Duration::from_millis(100) * barren).await;
        }
    }

    /// Refuses an evidence file that does not verify under the policy of this ledger, or that holds
    /// something else than what was asked for.
    pub(crate) fn check_evidence(
        &self,
        endpoint: &str,
        asked: &EvidenceRequest,
        file: &[u8],
    ) -> Result<Report, ClientError> {
        let now = UnixSeconds(clock::unix_seconds());
        let report = verifier::verify(file, self.policy(), now);
        let answered = if report.verdict.is_verified() {
            asked.answered_by(&report)
        } else {
            Err(report.to_string())
        };
        match answered {
            Ok(()) => Ok(report),
            Err(why) => Err(ClientError::Unverified {
                endpoint: endpoint.to_owned(),
                why,
            }),
        }
    }
}

/// Keeps what comes. Returns `None` at the end of the file, and why it broke off before that.
async fn drain(
    stream: &mut Streaming<v1::GetEvidenceResponse>,
    length: &mut u64,
    keep: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<Option<Status>, ClientError> {
    let length_max = u64::try_from(EVIDENCE_BYTES_MAX).unwrap_or(u64::MAX);
    loop {
        let piece = match timeout(PIECE_WAIT_MAX, stream.message()).await {
            Ok(Ok(Some(piece))) => piece.chunk,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(status)) => return Ok(Some(status)),
            Err(_elapsed) => return Ok(Some(Status::deadline_exceeded("no piece in time"))),
        };
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if length.saturating_add(bytes) > length_max {
            return Err(ClientError::Malformed {
                what: "an end of the evidence file within its limit",
            });
        }
        keep(&piece).map_err(|source| ClientError::File {
            path: "the evidence file".to_owned(),
            source,
        })?;
        *length += bytes;
    }
}

#[cfg(test)]
mod tests;
