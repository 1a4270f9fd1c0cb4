//! How many bytes of answers a listener holds for callers who do not take them.
//!
//! A caller who asks on many calls and reads nothing would make us hold all answers: the library makes
//! each of them at once and waits for room on the connection with the rest of it. So what is not sent
//! has one budget, of which each address and each principal gets a share. An answer beyond a share is
//! refused; where all is full, the oldest of whoever has the most gives way.
//!
//! The connection gets an answer in small pieces, as it has room for them, and a piece counts until it
//! has been written: what lies in the buffers of the connection is held, too.

mod unsent;

use crate::service::auth::Reader;
use crate::service::budget::address;
use crate::service::status::Failure;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::Map;
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Context, Poll};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Response, Status};
use tower::{Layer, Service};
use unsent::{Answer, Full, GaveWay, Unsent, Who};

/// How much a connection is given at a time: one frame of HTTP/2.
const PIECE_BYTES: usize = 16 << 10;

/// The principal that an answer is for; goes with the answer to where its bytes are counted.
#[derive(Debug, Clone, Copy)]
struct For(Thumbprint);

/// The answer to a reader, whose share it counts against.
pub(super) fn to<T>(reader: &Reader, message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(For(reader.key));
    response
}

/// Puts [`Held`] answers around a service.
#[derive(Debug, Clone)]
pub struct AnswersLayer {
    unsent: Option<Arc<Unsent>>,
}

impl AnswersLayer {
    /// So many bytes for all answers together; `None` counts nothing.
    pub fn new(bytes_max: Option<usize>) -> Self {
        Self {
            unsent: bytes_max.map(Unsent::new),
        }
    }
}

impl<S> Layer<S> for AnswersLayer {
    type Service = Held<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Held {
            inner,
            unsent: self.unsent.clone(),
        }
    }
}

/// A service whose answers count against a budget until they are sent.
#[derive(Debug, Clone)]
pub struct Held<S> {
    inner: S,
    unsent: Option<Arc<Unsent>>,
}

type Answered<F> = Box<dyn FnOnce(<F as Future>::Output) -> <F as Future>::Output + Send>;

impl<S> Service<http::Request<Body>> for Held<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Map<S::Future, Answered<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let unsent = self.unsent.clone();
        let (address, refused) = (address(&request), reason_of(request.uri().path()));
        let answered: Answered<S::Future> = Box::new(move |answer| {
            let Some(unsent) = unsent else {
                return answer;
            };
            answer.map(|response| {
                let principal = response.extensions().get::<For>().map(|For(key)| *key);
                let answer = unsent.answer(Who { address, principal });
                response.map(|inner| {
                    Body::new(Counted {
                        inner,
                        answer,
                        refused,
                        is_over: false,
                    })
                })
            })
        });
        self.inner.call(request).map(answered)
    }
}

/// Why an answer to this call is not given. What was written is written, whether the caller hears of it or
/// not.
fn reason_of(path: &str) -> Reason {
    match path.rsplit('/').next() {
        Some("Submit" | "PutBlob") => Reason::OutcomeUnknown,
        _ => Reason::Overloaded,
    }
}

/// The body of an answer, each piece of it counted.
#[derive(Debug)]
struct Counted {
    inner: Body,
    answer: Arc<Answer>,
    refused: Reason,
    is_over: bool,
}

impl Counted {
    /// The end of an answer that cannot be given.
    fn refuse(&mut self, words: &str) -> Frame<Bytes> {
        self.is_over = true;
        let words = format!("{words}; take the answers that were asked for");
        let status = Status::from(Failure::new(self.refused, words));
        let mut trailers = http::HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            trailers.insert(Status::GRPC_STATUS, (status.code() as i32).into());
        }
        Frame::trailers(trailers)
    }
}

fn words(full: Full) -> &'static str {
    match full {
        Full::All => "too many bytes of answers wait in this node for being taken",
        Full::Address => "too many bytes of answers wait for being taken from this address",
        Full::Principal => "too many bytes of answers wait for being taken by this principal",
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.answer.piece(PIECE_BYTES) {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(None) => {}
                Err(GaveWay) => {
                    let words = "the answer was not taken in time and gave way to others";
                    return Poll::Ready(Some(Ok(self.refuse(words))));
                }
            }
            match task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(full) = self.answer.hold(data) {
                            return Poll::Ready(Some(Ok(self.refuse(words(full)))));
                        }
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
    }
}

#[cfg(test)]
mod tests;
