//! Whoever shows bad tokens waits for being told so: a flood of them then costs little more than the
//! connections that it comes over.
//!
//! An address may be refused a few times in a second for nothing; what goes beyond is answered late.
//! Good calls are never late, also those from the same address. Only so many answers are kept waiting
//! at once, so that waiting cannot fill the memory.

use crate::service::budget::address;
use crate::service::network::Network;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Refusals of one address in a second that are answered at once.
const FREE_PER_SECOND: u32 = 50;
/// How late the others are answered.
const PAUSE: Duration = Duration::from_millis(500);
/// Answers that wait at once, of all addresses.
const WAITING_MAX: usize = 4_096;
/// Addresses that are counted at once.
const ADDRESSES_MAX: usize = 4_096;
const SECOND: Duration = Duration::from_secs(1);

/// Puts [`Penalized`] around a service.
#[derive(Debug, Clone, Default)]
pub struct PenaltyLayer {
    refusals: Arc<Refusals>,
}

impl<S> Layer<S> for PenaltyLayer {
    type Service = Penalized<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Penalized {
            inner,
            refusals: Arc::clone(&self.refusals),
        }
    }
}

/// A service whose `UNAUTHENTICATED` comes late to whoever provokes it often.
#[derive(Debug, Clone)]
pub struct Penalized<S> {
    inner: S,
    refusals: Arc<Refusals>,
}

impl<S> Service<http::Request<Body>> for Penalized<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let caller = address(&request);
        let refusals = Arc::clone(&self.refusals);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let status = Status::from_header_map(answer.headers());
            let is_refused = status.is_some_and(|it| it.code() == Code::Unauthenticated);
            if is_refused && refusals.is_frequent(caller, Instant::now()) {
                refusals.wait().await;
            }
            Ok(answer)
        })
    }
}

/// Who was refused how often lately.
#[derive(Debug, Default)]
struct Refusals {
    /// Begin of the second that is counted, and how many it has.
    counts: Mutex<HashMap<Option<Network>, (Instant, u32)>>,
    waiting: AtomicUsize,
}

impl Refusals {
    /// Counts a refusal; true where the address has used up what is free.
    fn is_frequent(&self, caller: Option<Network>, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |begun: Instant| now.saturating_duration_since(begun) >= SECOND;
        if counts.len() >= ADDRESSES_MAX && !counts.contains_key(&caller) {
            counts.retain(|_, (begun, _)| !is_over(*begun));
            if counts.len() >= ADDRESSES_MAX {
                // So many at once are one flood.
                return true;
            }
        }
        let (begun, count) = counts.entry(caller).or_insert((now, 0));
        if is_over(*begun) {
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count > FREE_PER_SECOND
    }

    async fn wait(&self) {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(&self.waiting);
        if before < WAITING_MAX {
            sleep(PAUSE).await;
        }
        drop(seat);
    }
}

/// Given back also where the caller goes away meanwhile.
struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::net::IpAddr;

    /// Answers with this status.
    #[derive(Clone, Copy)]
    struct Fixed(Code);

    impl Service<http::Request<Body>> for Fixed {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _request: http::Request<Body>) -> Self::Future {
            ready(Ok(Status::new(self.0, "words").into_http()))
        }
    }

    /// How long so many calls take one after the other.
    async fn time(layer: &PenaltyLayer, code: Code, calls: u32) -> Duration {
        let mut service = layer.layer(Fixed(code));
        let began = Instant::now();
        for _ in 0..calls {
            let answer = service.call(http::Request::new(Body::empty())).await;
            let status = Status::from_header_map(answer.unwrap().headers()).unwrap();
            assert_eq!(status.code(), code);
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_refusals_of_a_second_are_free_and_good_calls_always() {
        let layer = PenaltyLayer::default();
        assert_eq!(time(&layer, Code::NotFound, 1_000).await, Duration::ZERO);
        let free = time(&layer, Code::Unauthenticated, FREE_PER_SECOND).await;
        assert_eq!(free, Duration::ZERO);
        assert_eq!(time(&layer, Code::Unauthenticated, 1).await, PAUSE);
        assert_eq!(time(&layer, Code::NotFound, 1_000).await, Duration::ZERO);
        tokio::time::advance(SECOND).await;
        let free = time(&layer, Code::Unauthenticated, FREE_PER_SECOND).await;
        assert_eq!(free, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait_at_once_and_so_many_addresses_are_counted() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            let address = Network::of(IpAddr::from(number.to_be_bytes()));
            assert!(!refusals.is_frequent(Some(address), now));
        }
        assert!(refusals.is_frequent(None, now));
        assert!(!refusals.is_frequent(None, now + SECOND));
        assert_eq!(refusals.counts.lock().unwrap().len(), 1);
        refusals.waiting.store(WAITING_MAX, Ordering::Relaxed);
        refusals.wait().await;
        assert_eq!(Instant::now(), now, "one too many waited");
        refusals.waiting.store(WAITING_MAX - 1, Ordering::Relaxed);
        refusals.wait().await;
        assert_eq!(Instant::now(), now + PAUSE);
    }
}
