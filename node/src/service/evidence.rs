//! `EvidenceService`: takes evidence, gives records back to their owner.

use crate::ledger::evidence_file::Signers;
use crate::ledger::outcome::Outcome;
use crate::limits_server;
use crate::service::backend::Backend;
use crate::service::files::{ChunkStream, Fields, WantedRecord};
use crate::service::filter::Query;
use crate::service::heads::HeadChoice;
use crate::service::history::{self, HistoryQuery};
use crate::service::registers::{self, DiffQuery, RegisterQuery};
use crate::service::slots::{Places, Slots};
use crate::service::status::Failure;
use crate::service::submit::{self, Depth};
use crate::service::turns::{Line, Turns};
use crate::service::{answers, auth, blobs, convert, deadline, files, outside, records, watch};
use aimslog_proto::limits::RECEIPTS_MAX;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::pb::v1::evidence_service_server::EvidenceService;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::header::Family;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, Streaming};

const UPLOADS: Places = Places {
    what: "uploads",
    all: limits_server::BLOB_UPLOADS_MAX,
    of_organization: limits_server::BLOB_UPLOADS_OF_ORGANIZATION_MAX,
    of_principal: limits_server::BLOB_UPLOADS_OF_PRINCIPAL_MAX,
};
const DOWNLOADS: Places = Places {
    what: "files",
    all: limits_server::BLOB_DOWNLOADS_MAX,
    of_organization: limits_server::BLOB_DOWNLOADS_OF_ORGANIZATION_MAX,
    of_principal: limits_server::BLOB_DOWNLOADS_OF_PRINCIPAL_MAX,
};
const WATCHES: Places = Places {
    what: "watches",
    all: limits_server::WATCHES_MAX,
    of_organization: limits_server::WATCHES_OF_ORGANIZATION_MAX,
    of_principal: limits_server::WATCHES_OF_PRINCIPAL_MAX,
};

/// Takes and gives evidence.
#[derive(Debug, Clone)]
pub struct EvidenceApi {
    backend: Backend,
    /// Turns to make the evidence files of receipts.
    receipts: Arc<Turns>,
    uploads: Slots,
    downloads: Slots,
    watches: Slots,
}

impl EvidenceApi {
    /// Answers from this node.
    pub fn new(backend: Backend) -> Self {
        Self {
            backend,
            receipts: Turns::new(limits_server::RECEIPT_FILES_MAX),
            uploads: Slots::new(UPLOADS),
            downloads: Slots::new(DOWNLOADS),
            watches: Slots::new(WATCHES),
        }
    }

    async fn submit(
        &self,
        request: pb::SubmitRequest,
        until: Instant,
    ) -> Result<pb::SubmitResponse, Failure> {
        if request.wait != i32::from(pb::Wait::Receipt) {
            return submit::batch(&self.backend, request, until).await;
        }
        if request.submissions.len() > RECEIPTS_MAX {
            let rule =
                format!("at most {RECEIPTS_MAX} statements in a call that waits for receipts");
            return Err(Failure::field(Reason::BatchTooLarge, "submissions", &rule));
        }
        let shown: Vec<Option<Fields>> = request.submissions.iter().map(shown).collect();
        let line = submit::line(&self.backend, &request.submissions);
        let mut response = submit::batch(&self.backend, request, until).await?;
        let wanted = (shown, line);
        self.add_evidence(&mut response, wanted, until).await?;
        Ok(response)
    }

    /// Waits for a head over everything that was accepted, and adds the evidence files.
    ///
    /// The statements are logged whatever happens here, so a head that does not come in time is an
    /// unknown outcome only in name: sending the same bytes again gives the same entries.
    async fn add_evidence(
        &self,
        response: &mut pb::SubmitResponse,
        (shown, line): (Vec<Option<Fields>>, Line),
        until: Instant,
    ) -> Result<(), Failure> {
        let Some(last) = submit::last_index(response) else {
            return Ok(());
        };
        let mut progress = self.backend.ledger.progress();
        let covered = progress.wait_for(|now| now.head.is_some_and(|head| head.tree.size.0 > last));
        match timeout_at(until, covered).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Failure::new(Reason::ShuttingDown, "the node is stopping")),
            Err(_) => {
                let words = "logged, but no head covers it yet; send the same bytes again";
                return Err(Failure::new(Reason::OutcomeUnknown, words));
            }
        }
        let logged = logged_at(response);
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for ((place, index), shown) in (0..).zip(logged).zip(shown) {
            if let (Some(index), Some(fields)) = (index, shown) {
                asked.push((index, fields));
                places.push(place);
            }
        }
        let made = self.evidence_of(asked, line, until).await;
        let made = made.map_err(|failure| {
            let words = format!("logged, but without its evidence: {failure}");
            Failure::new(Reason::OutcomeUnknown, words)
        })?;
        for (place, file) in places.into_iter().zip(made) {
            let result = response.results.get_mut(place);
            let outcome = result.and_then(|result| result.outcome.as_mut());
            if let Some(pb::submit_result::Outcome::Accepted(accepted)) = outcome {
                accepted.evidence = file;
            }
        }
        Ok(())
    }

    /// The evidence files of records that this caller has just handed in, each of its own, read at once in
    /// one turn. Whoever hands in a statement again need not be its signer and shows no token, so it tells
    /// nothing of the signer that was logged behind the record: it is what the first one who handed it in
    /// was given.
    async fn evidence_of(
        &self,
        asked: Vec<(u64, Fields)>,
        line: Line,
        until: Instant,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let turn = timeout_at(until, self.receipts.take(line)).await;
        let turn = turn.map_err(|_elapsed| {
            Failure::new(Reason::Overloaded, "too many evidence files are being made")
        })?;
        let registry = self.backend.ledger.registry();
        let made = self.backend.read_in(turn, move |view| {
            let files = asked.into_iter().map(|(index, fields)| {
                let record = WantedRecord::at(view, index, fields)?;
                let wanted = files::Wanted {
                    records: BTreeMap::from([(index, record)]),
                    since: 0,
                    head: HeadChoice::Newest,
                    signers: Signers::UntilRecord,
                };
                files::build(view, &registry, &wanted)
            });
            files.collect::<Result<Vec<_>, _>>()
        });
        made.await.map(|(files, _turn)| files)
    }
}

/// For each result the index of the entry, where there is one.
fn logged_at(response: &pb::SubmitResponse) -> Vec<Option<u64>> {
    let index = |result: &pb::SubmitResult| match &result.outcome {
        Some(pb::submit_result::Outcome::Accepted(accepted)) => {
            accepted.entry.as_ref().map(|entry| entry.index)
        }
        Some(pb::submit_result::Outcome::Refused(_)) | None => None,
    };
    response.results.iter().map(index).collect()
}

/// What the evidence file of a submission shows to whoever submits it; `None` for a record of the
/// ledger itself, which has none.
///
/// Submitting needs no login and repeating a logged statement gives its first result. So a caller
/// who sends a statement without its disclosures, which many may read, gets none of them back: who
/// sends them has them already.
fn shown(submission: &pb::Submission) -> Option<Fields> {
    let statement = UnverifiedStatement::parse_submitted(&submission.statement).ok()?;
    if statement.header().content_type.family() == Family::Ledger {
        return None;
    }
    Some(if submission.disclosures.is_empty() {
        Fields::None
    } else {
        Fields::All
    })
}

#[tonic::async_trait]
impl EvidenceService for EvidenceApi {
    type WatchStream = ChunkStream<pb::WatchResponse>;
    type GetBlobStream = ChunkStream<pb::GetBlobResponse>;

    async fn submit(
        &self,
        request: Request<pb::SubmitRequest>,
    ) -> Result<Response<pb::SubmitResponse>, Status> {
        let until = deadline::of(request.metadata());
        Ok(Response::new(
            self.submit(request.into_inner(), until).await?,
        ))
    }

    async fn validate(
        &self,
        request: Request<pb::ValidateRequest>,
    ) -> Result<Response<pb::ValidateResponse>, Status> {
        self.backend.serving()?;
        let submissions = request.into_inner().submissions;
        submit::check_batch(&submissions)?;
        self.backend.founded()?;
        // A node that was cut off would judge by an old registry and old versions.
        self.backend.fresh()?;
        let _room = submit::room_in_memory(&self.backend, &submissions)?;
        let admitted = submit::admit(&self.backend, submissions, Depth::Foresee).await?;
        submit::charge(&self.backend, &admitted, Depth::Foresee)?;
        let results = admitted
            .iter()
            .map(|admission| match admission {
                Ok(_) => pb::Refused::default(),
                Err(violations) => convert::refused(violations),
            })
            .collect();
        Ok(Response::new(pb::ValidateResponse { results }))
    }

    async fn get_record(
        &self,
        request: Request<pb::GetRecordRequest>,
    ) -> Result<Response<pb::GetRecordResponse>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let key = convert::key_of!(request.get_ref(), get_record_request)?;
        let sight = self.backend.sight(&reader)?;
        let record = self
            .backend
            .read(move |view| records::one(view, &sight, key))
            .await?;
        Ok(answers::to(
            &reader,
            pb::GetRecordResponse {
                record: Some(record),
            },
        ))
    }

    async fn list_records(
        &self,
        request: Request<pb::ListRecordsRequest>,
    ) -> Result<Response<pb::ListRecordsResponse>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let sight = self.backend.sight(&reader)?;
        let registry = self.backend.ledger.registry();
        let query = Query::new(&sight, &registry, request.into_inner())?;
        Ok(answers::to(
            &reader,
            self.backend
                .read(move |view| records::page(view, &query, &sight))
                .await?,
        ))
    }

    async fn list_register(
        &self,
        request: Request<pb::ListRegisterRequest>,
    ) -> Result<Response<pb::ListRegisterResponse>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let sight = self.backend.sight(&reader)?;
        let registry = self.backend.ledger.registry();
        let query = RegisterQuery::new(&sight, request.into_inner())?;
        Ok(answers::to(
            &reader,
            self.backend
                .read(move |view| registers::list(view, &registry, (&query, &sight)))
                .await?,
        ))
    }

    async fn diff_register(
        &self,
        request: Request<pb::DiffRegisterRequest>,
    ) -> Result<Response<pb::DiffRegisterResponse>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let sight = self.backend.sight(&reader)?;
        let registry = self.backend.ledger.registry();
        let query = DiffQuery::new(&sight, request.into_inner())?;
        Ok(answers::to(
            &reader,
            self.backend
                .read(move |view| registers::diff(view, &registry, (&query, &sight)))
                .await?,
        ))
    }

    async fn get_history(
        &self,
        request: Request<pb::GetHistoryRequest>,
    ) -> Result<Response<pb::GetHistoryResponse>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let sight = self.backend.sight(&reader)?;
        let registry = self.backend.ledger.registry();
        let query = HistoryQuery::new(request.into_inner())?;
        Ok(answers::to(
            &reader,
            self.backend
                .read(move |view| history::page(view, &registry, (&query, &sight)))
                .await?,
        ))
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let request = request.into_inner();
        let slot = self.watches.take(&reader)?;
        let followed = watch::Followed {
            reader: reader.clone(),
            organization: request.organization,
            start: request.start_index,
        };
        let tasks = (&self.backend.tasks, &self.backend.stop);
        let stream = watch::watch(self.backend.clone(), tasks, (followed, slot))?;
        Ok(answers::to(&reader, stream))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<pb::PutBlobRequest>>,
    ) -> Result<Response<pb::PutBlobResponse>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let token = auth::authorization(request.metadata()).map_err(Failure::from)?;
        let token = token.to_owned();
        let until = deadline::of(request.metadata());
        let _slot = self.uploads.take(&reader)?;
        let upload = blobs::receive(&reader, request.into_inner(), until).await?;
        let stored = blobs::store(&self.backend, upload, token, until).await?;
        Ok(Response::new(stored))
    }

    async fn get_blob(
        &self,
        request: Request<pb::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let sight = self.backend.sight(&reader)?;
        let asked = blobs::Asked::new(&sight, request.into_inner())?;
        let slot = self.downloads.take(&reader)?;
        let ((content, reads), slot) = self
            .backend
            .read_in(slot, move |view| blobs::content(view, &sight, &asked))
            .await?;
        outside::journal(&self.backend, &reader, reads).await?;
        let chunks = blobs::chunks(&self.backend, content, slot);
        Ok(answers::to(&reader, chunks))
    }
}

/// Whether a control command was carried out.
pub(super) fn carried_out(outcome: Outcome) -> Result<Outcome, Failure> {
    match outcome {
        Outcome::Refused(violations) => Err(Failure::violations(&violations)),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;

    #[test]
    fn of_every_kind_of_place_one_principal_and_one_organisation_get_a_part() {
        for places in [UPLOADS, DOWNLOADS, WATCHES] {
            let slots = Slots::new(places);
            let take = |organization: &str, seed: u8| {
                slots.take(&auth::Reader {
                    organization: organization.to_owned(),
                    principal: "p".to_owned(),
                    key: SigningKey::from_seed(&[seed; 32]).public_key().thumbprint(),
                })
            };
            let of_one: Vec<_> = std::iter::from_fn(|| take("acme", 1).ok()).collect();
            let of_all: Vec<_> = (2..).map_while(|seed| take("acme", seed).ok()).collect();
            let of_other = take("zeta", 200);
            assert!(!of_all.is_empty() && of_other.is_ok(), "{places:?}");
            let taken = of_one.len() + of_all.len();
            assert_eq!(of_one.len(), places.of_principal, "{places:?}");
            assert_eq!(taken, places.of_organization, "{places:?}");
        }
    }
}
