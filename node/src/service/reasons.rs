//! Reasons for what gRPC itself refuses, before a service of ours is called.
//!
//! A message that is too large or no message at all never reaches us, and the library answers it
//! with a bare code. Every refusal has a reason, so these get theirs on the way out.

use crate::service::status::Failure;
use aimslog_proto::reason::Reason;
use futures::TryFutureExt as _;
use futures::future::MapOk;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Puts [`Reasoned`] around a service.
#[derive(Debug, Clone, Copy)]
pub struct ReasonsLayer;

impl<S> Layer<S> for ReasonsLayer {
    type Service = Reasoned<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Reasoned { inner }
    }
}

/// A service whose every refusal has a reason.
#[derive(Debug, Clone)]
pub struct Reasoned<S> {
    inner: S,
}

type Answer = http::Response<Body>;

impl<S> Service<http::Request<Body>> for Reasoned<S>
where
    S: Service<http::Request<Body>, Response = Answer>,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Answer) -> Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.inner.call(request).map_ok(explained)
    }
}

/// The answer, or a refusal with a reason in the place of one without.
fn explained(answer: Answer) -> Answer {
    let Some(status) = Status::from_header_map(answer.headers()) else {
        return answer;
    };
    if !status.details().is_empty() {
        return answer;
    }
    let (reason, field) = match status.code() {
        // The length in front of the message is beyond the limit of the listener.
        Code::OutOfRange => (Reason::BatchTooLarge, "message"),
        // Our own internal errors say so in their details; these are bytes that are no message.
        Code::Internal => (Reason::InvalidRequest, "message"),
        _ => return answer,
    };
    let failure = Failure::field(reason, field, &status.message().to_lowercase());
    Status::from(failure).into_http()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;

    fn after(status: Status) -> Status {
        let answer = explained(status.into_http());
        Status::from_header_map(answer.headers()).unwrap()
    }

    #[test]
    fn what_grpc_refuses_gets_a_reason() {
        let large = after(Status::out_of_range(
            "Error, decoded message length too large",
        ));
        assert_eq!(large.code(), Code::InvalidArgument);
        let info = large.get_details_error_info().unwrap();
        assert_eq!(info.reason, "BATCH_TOO_LARGE");
        let garbage = after(Status::internal("failed to decode Protobuf message"));
        assert_eq!(garbage.code(), Code::InvalidArgument);
        let broken = garbage.get_details_bad_request().unwrap();
        assert_eq!(broken.field_violations[0].field, "message");
    }

    #[test]
    fn what_we_refuse_and_what_is_no_refusal_stays() {
        let ours = Status::from(Failure::new(Reason::Internal, "words"));
        assert_eq!(after(ours).code(), Code::Internal);
        let ours = Status::from(Failure::new(Reason::BeyondTree, "words"));
        assert_eq!(after(ours).code(), Code::OutOfRange);
        let unknown = after(Status::unimplemented(""));
        assert_eq!(unknown.code(), Code::Unimplemented);
        let fine = explained(http::Response::new(Body::empty()));
        assert!(Status::from_header_map(fine.headers()).is_none());
    }
}
