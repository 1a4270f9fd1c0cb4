//! The services of a node that answers nobody: every call is refused with the reason why, so that a
//! client goes on to the next node.

use crate::ledger::alarms::Alarms;
use crate::service::backend::barred;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

/// Refuses by the alarms of the node.
#[derive(Debug, Clone)]
pub struct Refusing {
    alarms: Alarms,
}

impl Refusing {
    /// Refuses as long as one of these alarms stands, which is for ever.
    pub fn new(alarms: Alarms) -> Self {
        Self { alarms }
    }

    /// Stands in the place of the service `S`.
    pub fn service<S: NamedService>(&self) -> RefusingService<S> {
        RefusingService {
            alarms: self.alarms.clone(),
            place_of: PhantomData,
        }
    }
}

/// In the place of the service `S`.
#[derive(Debug)]
pub struct RefusingService<S> {
    alarms: Alarms,
    place_of: PhantomData<fn() -> S>,
}

impl<S> Clone for RefusingService<S> {
    fn clone(&self) -> Self {
        Self {
            alarms: self.alarms.clone(),
            place_of: PhantomData,
        }
    }
}

impl<S: NamedService> NamedService for RefusingService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for RefusingService<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: http::Request<Body>) -> Self::Future {
        let refusal = barred(&self.alarms.standing());
        ready(Ok(Status::from(refusal).into_http()))
    }
}
