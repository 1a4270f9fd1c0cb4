//! How many bytes of requests a listener holds at once.
//!
//! Each message has a limit, each connection a limit of calls, each listener one of connections; all
//! of them together are more than a machine has. A caller who sends most of a large message on each
//! of many calls and then stops would make us hold all of it. So the bytes of all requests that are
//! not answered yet have one budget, of which each address gets a share, and a call that would go
//! beyond either is refused.
//!
//! The library sets memory aside for a whole message as soon as its length is announced. So a message
//! is handed on when all of it has arrived: an announcement alone costs nothing.

mod held;

use crate::limits_server::CLIENT_MESSAGE_BYTES_MAX;
use crate::service::network::Network;
use crate::service::status::Failure;
use aimslog_proto::reason::Reason;
use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::Map;
use held::{Claim, Full};
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Layer, Service};

/// In front of each message: a flag and four bytes of length.
const PREFIX_BYTES: usize = 5;

/// What the listener says of a connection.
type ConnectInfo = TlsConnectInfo<TcpConnectInfo>;

/// Puts [`Budgeted`] around a service.
#[derive(Debug, Clone)]
pub struct BudgetLayer {
    bytes: Option<Arc<held::Bytes>>,
}

impl BudgetLayer {
    /// So many bytes for all calls together; `None` counts nothing.
    pub fn new(bytes_max: Option<usize>) -> Self {
        Self {
            bytes: bytes_max.map(held::Bytes::new),
        }
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budgeted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Budgeted {
            inner,
            bytes: self.bytes.clone(),
        }
    }
}

/// A service whose requests count against a budget until they are answered.
#[derive(Debug, Clone)]
pub struct Budgeted<S> {
    inner: S,
    bytes: Option<Arc<held::Bytes>>,
}

impl<S> Service<http::Request<Body>> for Budgeted<S>
where
    S: Service<http::Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Held<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let claim = self.bytes.as_ref();
        let claim = claim.map(|bytes| Arc::new(bytes.claim(address(&request))));
        let request = match claim.clone() {
            Some(claim) => request.map(|inner| {
                Body::new(Counted {
                    inner,
                    claim,
                    gathered: BytesMut::new(),
                    last: None,
                })
            }),
            None => request,
        };
        let release: Release<S::Future> = Box::new(move |answer| {
            drop(claim);
            answer
        });
        self.inner.call(request).map(release)
    }
}

/// Where a request comes from, as the listener says.
pub(super) fn address(request: &http::Request<Body>) -> Option<Network> {
    let info = request.extensions().get::<ConnectInfo>()?;
    let address = info.get_ref().remote_addr()?;
    Some(Network::of(address.ip()))
}

fn refusal(full: Full) -> Status {
    let words = match full {
        Full::All => "too many bytes of requests are held by this node; try again later",
        Full::Address => {
            "too many bytes of requests from this address are held by this node; try again later"
        }
    };
    Failure::new(Reason::Overloaded, words).into()
}

type Release<F> = Box<dyn FnOnce(<F as Future>::Output) -> <F as Future>::Output + Send>;

/// A call that holds its bytes until it has its answer.
pub type Held<F> = Map<F, Release<F>>;

/// The body of a request, each piece of it counted, in whole messages.
#[derive(Debug)]
struct Counted {
    inner: Body,
    claim: Arc<Claim>,
    /// What has arrived of the next message; copied, so that it keeps no larger buffer alive.
    gathered: BytesMut,
    /// What came behind the messages.
    last: Option<Frame<Bytes>>,
}

impl Counted {
    /// What can be handed on of `gathered`: a whole message, or the beginning of one that is larger
    /// than any and will be refused for it.
    fn ready_length(&self) -> Option<usize> {
        let (head, _) = self.gathered.split_first_chunk::<PREFIX_BYTES>()?;
        let [_compressed, length @ ..] = *head;
        let announced = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if announced > CLIENT_MESSAGE_BYTES_MAX {
            return Some(self.gathered.len());
        }
        let whole = PREFIX_BYTES.saturating_add(announced);
        (self.gathered.len() >= whole).then_some(whole)
    }

    fn take(&mut self, length: usize) -> Frame<Bytes> {
        Frame::data(self.gathered.split_to(length).freeze())
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
            if let Some(length) = self.ready_length() {
                return Poll::Ready(Some(Ok(self.take(length))));
            }
            if let Some(last) = self.last.take() {
                return Poll::Ready(Some(Ok(last)));
            }
            match task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(full) = self.claim.take(data.len()) {
                            return Poll::Ready(Some(Err(refusal(full))));
                        }
                        self.gathered.extend_from_slice(&data);
                    }
                    Err(trailers) => self.last = Some(trailers),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // Of a message that was cut off the reader says so itself.
                None if self.gathered.is_empty() => return Poll::Ready(None),
                None => {
                    let length = self.gathered.len();
                    return Poll::Ready(Some(Ok(self.take(length))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gathered.is_empty() && self.last.is_none() && self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::{Ready, poll_fn, ready};
    use std::convert::Infallible;

    /// Reads a body as a service does; the number of bytes, or the refusal.
    async fn read(mut body: Body) -> Result<usize, tonic::Code> {
        let mut total = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|status| status.code())?;
            total += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(total)
    }

    /// A message of so many bytes with its prefix.
    fn message(length: usize) -> Bytes {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length - PREFIX_BYTES).unwrap().to_be_bytes());
        bytes.resize(length, 0);
        bytes.into()
    }

    /// A body of a few pieces.
    struct Pieces(std::vec::IntoIter<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.next().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn sending<const N: usize>(pieces: [Bytes; N]) -> http::Request<Body> {
        let pieces = Vec::from(pieces).into_iter();
        http::Request::new(Body::new(Pieces(pieces)))
    }

    fn request(length: usize) -> http::Request<Body> {
        sending([message(length)])
    }

    /// Answers with the body of the request.
    struct Echo;

    impl Service<http::Request<Body>> for Echo {
        type Response = Body;
        type Error = Infallible;
        type Future = Ready<Result<Body, Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            ready(Ok(request.into_body()))
        }
    }

    #[tokio::test]
    async fn bytes_are_held_until_the_answer_and_come_back_all() {
        // One caller gets a quarter.
        let layer = BudgetLayer::new(Some(400));
        let held = || layer.bytes.as_ref().unwrap().held();
        let mut service = layer.layer(Echo);
        // The body outlives its call here, and keeps what it holds.
        let mut first = service.call(request(60)).await.unwrap();
        let second = service.call(request(60)).await.unwrap();
        let piece = poll_fn(|cx| Pin::new(&mut first).poll_frame(cx)).await;
        assert!(piece.unwrap().is_ok());
        assert_eq!(read(second).await, Err(tonic::Code::ResourceExhausted));
        drop(first);
        assert_eq!(held(), 0);
        let third = service.call(request(100)).await.unwrap();
        assert_eq!(read(third).await, Ok(100));
        assert_eq!(held(), 0);
        let (announced, rest) = (message(90), Bytes::from_static(b"no more than this"));
        let head = Bytes::copy_from_slice(&announced[..PREFIX_BYTES]);
        let mut fourth = service.call(sending([head, rest])).await.unwrap();
        // Nothing is handed on of a message that has not come, but for its cut-off end.
        let pieces = poll_fn(|cx| Pin::new(&mut fourth).poll_frame(cx)).await;
        assert_eq!(pieces.unwrap().unwrap().into_data().unwrap().len(), 22);
        drop(fourth);
        let mut unlimited = BudgetLayer::new(None).layer(Echo);
        let body = unlimited.call(request(1_000)).await.unwrap();
        assert_eq!(read(body).await, Ok(1_000));
    }
}
