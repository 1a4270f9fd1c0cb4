//! How many bytes of answers a listener holds for callers who do not take them.
//!
//! A caller who asks on many calls and reads nothing would make us hold all answers: the library makes
//! each of them at once and waits for room on the connection with the rest of it. So what is not sent
//! has one budget, of which each address and each principal gets a share. An answer beyond a share is
//! refused; where all is full, the oldest of whoever has the most gives way.
//!
//! The connection gets an answer in small pieces, as it has room for them, and a piece counts until it
//! has been written: what lies in the buffers of the connection is held, too. The pieces are copies, and
//! the service's own body is read one step ahead and let go of at its end: the buffer in which the
//! library writes a message is as large as the message, and would lie there uncounted until it is taken.

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
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Response, Status};
use tower::{Layer, Service};
use unsent::{Answer, Full, GaveWay, Unsent, Who};

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
                        inner: Some(inner),
                        end: None,
                        answer,
                        refused,
                        is_refused: false,
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
    /// What the service makes; `None` when it has been read to its end.
    inner: Option<Body>,
    /// What comes behind the pieces that wait: trailers, a refusal, or an error.
    end: Option<Result<Frame<Bytes>, Status>>,
    answer: Arc<Answer>,
    refused: Reason,
    /// Whether the caller was told that it gave way.
    is_refused: bool,
}

impl Counted {
    /// Takes in what the service's body gave.
    fn take_in(&mut self, given: Option<Result<Frame<Bytes>, Status>>) {
        let end = match given {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match self.answer.hold(&data) {
                    Ok(()) => return,
                    Err(full) => Some(Ok(self.refusal(words(full)))),
                },
                Err(trailers) => Some(Ok(trailers)),
            },
        };
        self.inner = None;
        self.end = end;
    }

    /// The next step of the service's body, if there is one.
    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(inner) = &mut self.inner {
            let given = ready!(Pin::new(inner).poll_frame(context));
            self.take_in(given);
        }
        Poll::Ready(())
    }

    /// The end of an answer that cannot be given.
    fn refusal(&self, words: &str) -> Frame<Bytes> {
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
            match self.answer.piece() {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(None) => {}
                Err(GaveWay) if self.is_refused => return Poll::Ready(None),
                Err(GaveWay) => {
                    let words = "the answer was not taken in time and gave way to others";
                    (self.inner, self.end, self.is_refused) = (None, None, true);
                    return Poll::Ready(Some(Ok(self.refusal(words))));
                }
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(Some(end));
            }
            if self.inner.is_none() {
                return Poll::Ready(None);
            }
            ready!(self.poll_inner(context));
            // One step ahead; who has nothing yet is asked again when the piece has been taken.
            let _ahead = self.poll_inner(context);
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_read = self.inner.as_ref().is_none_or(HttpBody::is_end_stream);
        is_read && self.end.is_none() && (self.is_refused || self.answer.is_empty())
    }
}

#[cfg(test)]
mod tests;
