//! Answers through the layer, as the connection takes them.

use super::unsent::PIECE_BYTES;
use super::*;
use aimslog_proto::statement::key::SigningKey;
use futures::future::{Ready, poll_fn, ready};
use std::convert::Infallible;
use tonic::Code;

/// Answers with a body of these frames, to this principal.
#[derive(Clone)]
struct Frames(Vec<Bytes>, Option<Thumbprint>);

/// A body of a few frames, with trailers behind them.
struct Pieces(std::vec::IntoIter<Frame<Bytes>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

impl Service<http::Request<Body>> for Frames {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: http::Request<Body>) -> Self::Future {
        let mut trailers = http::HeaderMap::new();
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("0"));
        let mut frames: Vec<_> = self.0.iter().cloned().map(Frame::data).collect();
        frames.push(Frame::trailers(trailers));
        let mut response = http::Response::new(Body::new(Pieces(frames.into_iter())));
        if let Some(key) = self.1 {
            response.extensions_mut().insert(For(key));
        }
        ready(Ok(response))
    }
}

async fn ask(layer: &AnswersLayer, inner: Frames, path: &str) -> Body {
    let request = http::Request::builder().uri(path).body(Body::empty());
    let response = layer.layer(inner).call(request.unwrap()).await.unwrap();
    response.into_body()
}

async fn frame(body: &mut Body) -> Option<Frame<Bytes>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    frame.map(Result::unwrap)
}

/// What is read to the end: the bytes, the largest piece, and the status.
async fn read(mut body: Body) -> (Vec<u8>, usize, Status) {
    let (mut bytes, mut largest) = (Vec::new(), 0);
    while let Some(frame) = frame(&mut body).await {
        match frame.into_data() {
            Ok(data) => {
                largest = largest.max(data.len());
                bytes.extend_from_slice(&data);
            }
            Err(trailers) => {
                let status = Status::from_header_map(&trailers.into_trailers().unwrap());
                return (bytes, largest, status.unwrap());
            }
        }
    }
    panic!("an answer ended without a status");
}

fn large() -> Bytes {
    let bytes = (0..5 * PIECE_BYTES + 7).map(|place| u8::try_from(place % 251).unwrap());
    bytes.collect::<Vec<u8>>().into()
}

fn held(layer: &AnswersLayer) -> usize {
    layer.unsent.as_ref().unwrap().held()
}

#[tokio::test]
async fn an_answer_comes_in_small_pieces_with_its_end_and_leaves_nothing() {
    let layer = AnswersLayer::new(Some(8 * large().len()));
    let frames = Frames(vec![large(), Bytes::from_static(b"more")], None);
    let body = ask(&layer, frames, "/x/Get").await;
    let (bytes, largest, status) = read(body).await;
    assert_eq!(bytes, [&large()[..], b"more"].concat());
    assert_eq!((largest, status.code()), (PIECE_BYTES, Code::Ok));
    assert_eq!(held(&layer), 0);
}

#[tokio::test]
async fn what_a_principal_does_not_take_counts_and_one_more_is_refused() {
    let layer = AnswersLayer::new(Some(8 * large().len()));
    let key = SigningKey::from_seed(&[1; 32]).public_key().thumbprint();
    let answer = Frames(vec![large()], Some(key));
    let mut slow = ask(&layer, answer.clone(), "/x/List").await;
    let piece = frame(&mut slow).await.unwrap().into_data().unwrap();
    assert_eq!(held(&layer), large().len());
    let (bytes, _, refused) = read(ask(&layer, answer.clone(), "/x/List").await).await;
    assert!(bytes.is_empty());
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("principal"), "{refused:?}");
    // Whoever shows no key is another one.
    let (bytes, ..) = read(ask(&layer, Frames(vec![large()], None), "/x/List").await).await;
    assert_eq!(bytes, large());
    let (rest, _, status) = read(slow).await;
    assert_eq!(
        (rest.len(), status.code()),
        (large().len() - piece.len(), Code::Ok)
    );
    assert_eq!(
        held(&layer),
        piece.len(),
        "that piece is still in the connection, and nothing else"
    );
    drop(piece);
    assert_eq!(held(&layer), 0);
    let (bytes, ..) = read(ask(&layer, answer, "/x/List").await).await;
    assert_eq!(bytes, large());
}

#[tokio::test]
async fn of_a_write_whose_answer_is_not_given_the_outcome_is_unknown() {
    let layer = AnswersLayer::new(Some(large().len()));
    for (path, code) in [
        ("/aimslog.v1.EvidenceService/Submit", Code::DeadlineExceeded),
        (
            "/aimslog.v1.EvidenceService/PutBlob",
            Code::DeadlineExceeded,
        ),
        (
            "/aimslog.v1.EvidenceService/GetRecord",
            Code::ResourceExhausted,
        ),
    ] {
        let refused = read(ask(&layer, Frames(vec![large()], None), path).await).await;
        assert_eq!(refused.2.code(), code, "{path}: {:?}", refused.2);
    }
}

#[tokio::test]
async fn without_a_limit_nothing_is_counted() {
    let layer = AnswersLayer::new(None);
    let (bytes, largest, _) = read(ask(&layer, Frames(vec![large()], None), "/x/Get").await).await;
    assert_eq!((bytes.len(), largest), (large().len(), large().len()));
}

/// A body that says when it is dropped.
struct Told(Pieces, #[expect(dead_code, reason = "is counted")] Arc<()>);

impl HttpBody for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }
}

/// Answers with this response.
struct Fixed(Option<http::Response<Body>>);

impl Service<http::Request<Body>> for Fixed {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: http::Request<Body>) -> Self::Future {
        ready(Ok(self.0.take().unwrap()))
    }
}

async fn through(layer: &AnswersLayer, response: http::Response<Body>) -> Body {
    let request = http::Request::builder().uri("/x/Get").body(Body::empty());
    let mut service = layer.layer(Fixed(Some(response)));
    service.call(request.unwrap()).await.unwrap().into_body()
}

#[tokio::test]
async fn what_is_refused_ends_with_its_headers_and_what_is_taken_with_its_trailers() {
    let layer = AnswersLayer::new(Some(8 * large().len()));
    let refused = Status::from(Failure::new(Reason::NotVisible, "words")).into_http();
    assert!(through(&layer, refused).await.is_end_stream());
    let mut body = ask(&layer, Frames(vec![large()], None), "/x/Get").await;
    let mut frames = 0;
    while !body.is_end_stream() {
        assert!(frame(&mut body).await.is_some());
        frames += 1;
    }
    assert_eq!(frames, 6 + 1, "pieces and trailers");
    // An answer that gives way still has to say so.
    let mut body = ask(&layer, Frames(vec![large()], None), "/x/Get").await;
    let first = frame(&mut body).await.unwrap();
    assert!(first.is_data());
    let unsent = layer.unsent.as_ref().unwrap();
    assert!(unsent.make_room());
    assert!(!body.is_end_stream());
    let (_, _, status) = read(body).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn an_answer_that_waits_is_all_that_is_kept_of_its_message() {
    let layer = AnswersLayer::new(Some(8 * large().len()));
    let alive = Arc::new(());
    let frames = [
        Frame::data(large()),
        Frame::trailers(http::HeaderMap::new()),
    ];
    let told = Told(Pieces(Vec::from(frames).into_iter()), Arc::clone(&alive));
    let mut body = through(&layer, http::Response::new(Body::new(told))).await;
    let piece = frame(&mut body).await.unwrap().into_data().unwrap();
    assert_eq!(Arc::strong_count(&alive), 1, "the service's body is kept");
    assert_eq!(held(&layer), large().len());
    drop(piece);
    assert_eq!(held(&layer), large().len() - PIECE_BYTES);
}
