//! What the fake ledger says of records: the one answer of its story, whatever is asked.

use std::pin::Pin;

use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::evidence_service_server::EvidenceService;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::Teller;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn untold() -> Status {
    Status::unimplemented("the story says nothing of it")
}

#[tonic::async_trait]
impl EvidenceService for Teller {
    type WatchStream = Answers<v1::WatchResponse>;
    type GetBlobStream = Answers<v1::GetBlobResponse>;

    async fn submit(
        &self,
        _request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let accepted = self.story().accepted.ok_or_else(untold)?;
        let outcome = Some(v1::submit_result::Outcome::Accepted(accepted));
        let results = vec![v1::SubmitResult { outcome }];
        Ok(Response::new(v1::SubmitResponse { results }))
    }

    async fn get_record(
        &self,
        _request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let record = Some(self.story().record.ok_or_else(untold)?);
        Ok(Response::new(v1::GetRecordResponse { record }))
    }

    async fn validate(
        &self,
        _request: Request<v1::ValidateRequest>,
    ) -> Result<Response<v1::ValidateResponse>, Status> {
        Err(untold())
    }

    async fn list_records(
        &self,
        _request: Request<v1::ListRecordsRequest>,
    ) -> Result<Response<v1::ListRecordsResponse>, Status> {
        Err(untold())
    }

    async fn list_register(
        &self,
        _request: Request<v1::ListRegisterRequest>,
    ) -> Result<Response<v1::ListRegisterResponse>, Status> {
        let told = self.story().register.ok_or_else(untold)?;
        Ok(Response::new(told))
    }

    async fn diff_register(
        &self,
        _request: Request<v1::DiffRegisterRequest>,
    ) -> Result<Response<v1::DiffRegisterResponse>, Status> {
        let told = self.story().diff.ok_or_else(untold)?;
        Ok(Response::new(told))
    }

    async fn get_history(
        &self,
        _request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let told = self.story().history.ok_or_else(untold)?;
        Ok(Response::new(told))
    }

    async fn watch(
        &self,
        _request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(untold())
    }

    async fn put_blob(
        &self,
        _request: Request<Streaming<v1::PutBlobRequest>>,
    ) -> Result<Response<v1::PutBlobResponse>, Status> {
        Err(untold())
    }

    async fn get_blob(
        &self,
        _request: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        Err(untold())
    }
}
