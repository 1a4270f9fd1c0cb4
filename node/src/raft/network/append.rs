//! Appending as one stream in each direction: several requests under way, answers in order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aimslog_proto::pb::raft::v1 as pb;
use futures::{Stream, StreamExt, stream};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tonic::Streaming;

use super::{Peer, PeerError};
use crate::raft::{type_config::TypeConfig, wire};

/// How many requests may be without an answer. Enough to keep a peer's disk busy over a round
/// trip; few enough that a slow peer holds at most 16 x 3 MiB of ours.
const WINDOW: usize = 16;

type Answer = Result<StreamAppendResult<TypeConfig>, PeerError>;

/// The requests without an answer: when each was sent.
#[derive(Clone)]
struct Window {
    slots: Arc<Semaphore>,
    /// Locked for moments, never across an await.
    sent: Arc<Mutex<VecDeque<Instant>>>,
}

/// Opens the stream. The answers end after the first error, conflict or higher vote, and when all
/// requests are answered.
pub(super) async fn open<S>(
    peer: &Peer,
    input: S,
) -> Result<impl Stream<Item = Answer> + Send + use<S>, PeerError>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let idle = peer.append_idle;
    let window = Window::new();
    let input = begun(input).await;
    let requests = requests(peer.route, window.clone(), input);
    let mut client = peer.client()?;
    let answers = super::call("append", idle, client.append_entries(requests)).await?;
    let state = Some(Answers {
        stream: answers,
        window,
        idle,
    });
    Ok(stream::unfold(state, |state| async move {
        let mut state = state?;
        let answer = state.next().await?;
        let goes_on = matches!(answer, Ok(Ok(_)));
        Some((answer, goes_on.then_some(state)))
    }))
}

/// The same stream, once its first item is there.
///
/// openraft waits out its backoff where the next request is asked for. Asking before the call is
/// opened keeps a peer that refuses connections from being called thousands of times a second. The
/// stream may end here, when the leader steps down; openraft's streams panic when they are polled
/// again after that, hence the fuse.
async fn begun<S: Stream + Unpin>(input: S) -> impl Stream<Item = S::Item> + use<S> {
    let mut input = input.fuse();
    let first = input.next().await;
    stream::iter(first).chain(input)
}

/// Sends one request and waits for its answer.
pub(super) async fn single(
    peer: &Peer,
    request: AppendEntriesRequest<TypeConfig>,
) -> Result<StreamAppendResult<TypeConfig>, PeerError> {
    let answers = open(peer, stream::iter([request])).await?;
    let first = Box::pin(answers).next().await;
    first.unwrap_or(Err(PeerError::Ended { open: 1 }))
}

fn requests<S>(
    route: wire::Route,
    window: Window,
    input: S,
) -> impl Stream<Item = pb::AppendEntriesRequest> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    stream::unfold((window, input), move |(window, mut input)| async move {
        // Closed when the answers have ended; then no request matters any more.
        let slot = window.slots.acquire().await.ok()?;
        let request = input.next().await?;
        slot.forget();
        window.lock().push_back(Instant::now());
        Some((wire::append_to_pb(&route, request), (window, input)))
    })
}

struct Answers {
    stream: Streaming<pb::AppendEntriesResponse>,
    window: Window,
    idle: Duration,
}

impl Answers {
    /// The next answer, or none when the peer has answered everything and closed.
    ///
    /// Silence counts only from the moment at which the oldest unanswered request was sent: an idle
    /// leader sends nothing, and then there is nothing to answer.
    async fn next(&mut self) -> Option<Answer> {
        let message = loop {
            let oldest = self.window.lock().front().copied();
            let waited = match oldest {
                Some(sent) => timeout_at(sent + self.idle, self.stream.message()).await,
                None => timeout(self.idle, self.stream.message()).await,
            };
            match waited {
                Ok(message) => break message,
                Err(_elapsed) if self.window.expired(self.idle) => {
                    return Some(Err(PeerError::Timeout {
                        call: "append",
                        limit: self.idle,
                    }));
                }
                Err(_elapsed) => {}
            }
        };
        let call = "append";
        match message {
            Ok(Some(answer)) => {
                self.window.answered();
                let answer = wire::append_result_from_pb(answer);
                Some(answer.map_err(|source| PeerError::Answer { call, source }))
            }
            Ok(None) => {
                let open = self.window.lock().len();
                (open > 0).then_some(Err(PeerError::Ended { open }))
            }
            Err(status) => Some(Err(PeerError::Call {
                call,
                status: Box::new(status),
            })),
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.window.slots.close();
    }
}

impl Window {
    fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(WINDOW)),
            sent: Arc::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Instant>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        self.lock().pop_front();
        self.slots.add_permits(1);
    }

    fn expired(&self, idle: Duration) -> bool {
        self.lock()
            .front()
            .is_some_and(|sent| sent.elapsed() >= idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_not_asked_again_after_its_end() {
        for length in 0..3 {
            let input = stream::unfold(0, move |next| async move {
                (next < length).then_some((next, next + 1))
            });
            let items: Vec<i32> = begun(Box::pin(input)).await.collect().await;
            assert_eq!(items, (0..length).collect::<Vec<_>>());
        }
    }
}
