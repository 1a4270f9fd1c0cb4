//! A closed-loop load: a fixed number of callers, each sending its next request when the answer to
//! the last one is there. The same loop drives the ledger and its peer, so that what differs is the
//! system and not the client.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What one run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Callers at once.
    pub(crate) callers: usize,
    /// Entries in one request.
    pub(crate) batch: usize,
    /// How long the run takes, after a fifth of it as a warm-up that is not counted.
    pub(crate) duration: Duration,
}

impl Shape {
    /// Entries on their way at once.
    pub(crate) const fn in_flight(&self) -> usize {
        self.callers * self.batch
    }
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Acknowledged.
    Acknowledged,
    /// There is nothing left to send: the run ends early.
    Exhausted,
}

/// What one run measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Entries (not requests) acknowledged while counted.
    pub(crate) entries: u64,
    /// The counted time.
    pub(crate) elapsed: Duration,
    /// Latency of requests in microseconds, ascending.
    latencies_us: Vec<u64>,
}

impl Measured {
    /// Acknowledged entries per second.
    pub(crate) fn entries_per_second(&self) -> f64 {
        ratio(self.entries, 1) / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The latency that `percent` of the requests did not exceed, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let last = self.latencies_us.len().saturating_sub(1);
        let position = (self.latencies_us.len() * percent / 100).min(last);
        ratio(self.latencies_us.get(position).copied().unwrap_or(0), 1000)
    }
}

/// A quotient for people.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures of a report, far below 2^52"
)]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / (whole.max(1)) as f64
}

/// When a request was acknowledged, and how long it took in microseconds.
type Latency = (Instant, u64);

/// Runs the load: `request(n)` sends the `n`-th request (of `shape.batch` entries) and returns when
/// it is acknowledged. The first error ends the run. `on_count_start` is called when the warm-up is
/// over, so that processes can be measured over the same time.
pub(crate) async fn run<F, Fut>(
    shape: Shape,
    request: F,
    on_count_start: impl AsyncFnOnce() -> Result<()>,
) -> Result<Measured>
where
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Sent>> + Send + 'static,
{
    let request = Arc::new(request);
    let next = Arc::new(AtomicU64::new(0));
    let count_from = Instant::now() + shape.duration / 5;
    let stop = count_from + shape.duration;
    let mut callers = JoinSet::new();
    for _ in 0..shape.callers {
        let (request, next) = (Arc::clone(&request), Arc::clone(&next));
        callers.spawn(async move {
            let mut latencies: Vec<Latency> = Vec::new();
            let mut end = stop;
            while Instant::now() < stop {
                let began = Instant::now();
                if request(next.fetch_add(1, Ordering::Relaxed)).await? == Sent::Exhausted {
                    end = began;
                    break;
                }
                let ended = Instant::now();
                latencies.push((ended, u64::try_from((ended - began).as_micros())?));
            }
            anyhow::Ok((latencies, end))
        });
    }
    tokio::time::sleep_until(count_from).await;
    on_count_start().await?;
    let (mut latencies, mut end) = (Vec::new(), stop);
    while let Some(caller) = callers.join_next().await {
        let (of_caller, ended) =
            caller.map_err(|error| anyhow!("a caller ended early: {error}"))??;
        latencies.extend(of_caller);
        end = end.min(ended);
    }
    // After the first caller ran dry the load is another one.
    let counted = |(at, _): &Latency| *at >= count_from && *at <= end;
    let mut latencies_us: Vec<u64> = latencies
        .into_iter()
        .filter(counted)
        .map(|(_, latency)| latency)
        .collect();
    latencies_us.sort_unstable();
    let requests = u64::try_from(latencies_us.len())?;
    let entries = requests * u64::try_from(shape.batch)?;
    Ok(Measured {
        entries,
        elapsed: end.saturating_duration_since(count_from),
        latencies_us,
    })
}
