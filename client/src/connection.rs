//! Connections to the nodes of one ledger: deadlines, and safe retries over several endpoints.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aimslog_proto::reason::Reason;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::error::{Attempt, ClientError, Refusal};
use crate::status::{Verdict, judge};

/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_millis(250);
/// First wait, after every endpoint has been tried once.
const BACKOFF_MIN: Duration = Duration::from_millis(25);
/// One attempt at most; a call has its own, longer deadline.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// How to reach the nodes.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// `host:port` of the client (or admin) listener of each node; at least one.
    pub addresses: Vec<String>,
    /// PEM of the authority that signed the nodes' certificates.
    pub ca_pem: Vec<u8>,
    /// PEM of a client certificate and its key; the admin listener asks for one.
    pub identity_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// How long a call may take in all.
    pub deadline: Duration,
}

/// Channels to every endpoint; the one that answered last is asked first.
#[derive(Debug)]
pub(crate) struct Connection {
    channels: Vec<(String, Channel)>,
    preferred: AtomicUsize,
    deadline: Duration,
}

impl Connection {
    /// Connects lazily: an endpoint that is down is found out by the first call.
    pub(crate) fn new(endpoints: &Endpoints) -> Result<Self, ClientError> {
        let channels = endpoints
            .addresses
            .iter()
            .map(|address| Ok((address.clone(), channel(address, endpoints)?)))
            .collect::<Result<Vec<_>, ClientError>>()?;
        if channels.is_empty() {
            return Err(ClientError::Configuration {
                what: "endpoints",
                why: "at least one host:port is needed".to_owned(),
            });
        }
        Ok(Self {
            channels,
            preferred: AtomicUsize::new(0),
            deadline: endpoints.deadline,
        })
    }

    /// How many there are.
    pub(crate) fn endpoints(&self) -> usize {
        self.channels.len()
    }

    /// How long a call may take in all.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Makes the call until it has a final answer or the deadline has passed. Endpoints are tried in
    /// turn, at once for the first round. After it each of them is left alone for as long as it has
    /// asked for, or for a pause that grows. Returns the endpoint that answered with the answer.
    pub(crate) async fn call<T, F, Fut>(&self, attempt: F) -> Result<(String, T), ClientError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        self.call_except(&[], attempt).await
    }

    /// The same without these endpoints, whose answers were of no use.
    pub(crate) async fn call_except<T, F, Fut>(
        &self,
        except: &[String],
        attempt: F,
    ) -> Result<(String, T), ClientError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let until = Instant::now() + self.deadline;
        let mut asked = self.in_turn(except);
        let mut backoff = BACKOFF_MIN;
        let mut may_have_arrived = None;
        loop {
            for at in 0..asked.len() {
                let now = Instant::now();
                let ready = |one: &&mut Asked<'_>| one.ready <= now && now < until;
                let Some(one) = asked.get_mut(at).filter(ready) else {
                    continue;
                };
                let limit = until.min(Instant::now() + ATTEMPT_MAX);
                let verdict = match timeout_at(limit, attempt(one.channel.clone())).await {
                    Ok(Ok(answer)) => {
                        self.preferred.store(one.position, Ordering::Relaxed);
                        return Ok((one.address.to_owned(), answer));
                    }
                    Ok(Err(status)) => {
                        one.why = why(&status);
                        judge(&status)
                    }
                    Err(_elapsed) => {
                        "no answer in time".clone_into(&mut one.why);
                        Verdict::RetryUnknown
                    }
                };
                let mut pause = backoff;
                one.outcome = None;
                one.no_majority = false;
                match verdict {
                    Verdict::Final(refusal) => return Err(refusal.into()),
                    Verdict::Elsewhere(refusal) => one.outcome = Some(refusal),
                    Verdict::Retry { after, reason } => {
                        pause = after.unwrap_or(backoff);
                        one.no_majority = reason == Some(Reason::NoQuorum);
                    }
                    Verdict::RetryUnknown => {
                        may_have_arrived = Some(format!("{}: {}", one.address, one.why));
                    }
                }
                one.ready = Instant::now() + pause;
                if may_have_arrived.is_none()
                    && asked.iter().all(|one| one.outcome.is_some())
                    && let Some(refusal) = asked.get_mut(at).and_then(|one| one.outcome.take())
                {
                    return Err(refusal.into());
                }
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
            // Whoever was not asked for want of time is ready and will not be asked any more.
            let is_over = Instant::now() >= until;
            match asked.iter().map(|one| one.ready).min() {
                Some(ready) if ready < until && !is_over => sleep_until(ready).await,
                _ => break,
            }
        }
        Err(given_up(asked, may_have_arrived))
    }

    /// The endpoints, beginning with the one that answered last.
    fn in_turn(&self, except: &[String]) -> Vec<Asked<'_>> {
        let first = self.preferred.load(Ordering::Relaxed) % self.channels.len();
        let positions = 0..self.channels.len();
        positions
            .clone()
            .skip(first)
            .chain(positions.take(first))
            .filter_map(|position| Some((position, self.channels.get(position)?)))
            .filter(|(_, (address, _))| !except.contains(address))
            .map(|(position, (address, channel))| Asked::new(position, address, channel))
            .collect()
    }
}

fn given_up(mut asked: Vec<Asked<'_>>, may_have_arrived: Option<String>) -> ClientError {
    if let Some(last) = may_have_arrived {
        return ClientError::OutcomeUnknown { last };
    }
    asked.sort_by_key(|one| one.position);
    ClientError::Unreachable {
        no_majority: asked.iter().any(|one| one.no_majority),
        attempts: asked.into_iter().map(Asked::into_attempt).collect(),
    }
}

/// What came of an endpoint so far.
struct Asked<'a> {
    position: usize,
    address: &'a str,
    channel: &'a Channel,
    /// When it may be asked again.
    ready: Instant,
    /// What it said last, or why it said nothing.
    why: String,
    /// Why it cannot, where it leaves the call to the others.
    outcome: Option<Refusal>,
    no_majority: bool,
}

impl<'a> Asked<'a> {
    fn new(position: usize, address: &'a str, channel: &'a Channel) -> Self {
        Self {
            position,
            address,
            channel,
            ready: Instant::now(),
            why: "no attempt was made".to_owned(),
            outcome: None,
            no_majority: false,
        }
    }

    fn into_attempt(self) -> Attempt {
        Attempt {
            endpoint: self.address.to_owned(),
            why: self.why,
        }
    }
}

/// What a status says, with what lies behind it where it is no word of a node.
fn why(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn channel(address: &str, endpoints: &Endpoints) -> Result<Channel, ClientError> {
    let bad = |source: tonic::transport::Error| ClientError::Configuration {
        what: "endpoint",
        why: format!("{address}: {source}"),
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&endpoints.ca_pem));
    if let Some((certificate, key)) = &endpoints.identity_pem {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .map_err(bad)?
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(false)
        .tcp_nodelay(true)
        .tls_config(tls)
        .map_err(bad)?;
    Ok(endpoint.connect_lazy())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    /// How long a busy node asks to be left alone here.
    const BUSY: Duration = Duration::from_millis(300);

    fn connection(addresses: &[&str]) -> Connection {
        let channel = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let channels = addresses
            .iter()
            .map(|address| ((*address).to_owned(), channel()));
        Connection {
            channels: channels.collect(),
            preferred: AtomicUsize::new(0),
            deadline: Duration::from_secs(5),
        }
    }

    fn refusal(reason: Reason, message: &str) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason.as_str(), "aimslog", []);
        details.set_retry_info(Some(BUSY));
        Status::with_error_details(Code::Unavailable, message, details)
    }

    /// The first attempts are refused, and then one is answered: by whom, and after how long.
    async fn busy_for(refused: u32, addresses: &[&str]) -> (String, Duration) {
        let left = Cell::new(refused);
        let began = Instant::now();
        let answer = connection(addresses)
            .call(async |_channel| {
                if left.get() == 0 {
                    return Ok(());
                }
                left.set(left.get() - 1);
                Err(refusal(Reason::Overloaded, "busy"))
            })
            .await;
        (answer.unwrap().0, began.elapsed())
    }

    #[tokio::test]
    async fn the_others_are_asked_at_once_and_a_busy_node_is_left_alone() {
        let (endpoint, took) = busy_for(1, &["a:1", "b:2"]).await;
        assert_eq!(endpoint, "b:2");
        assert!(took < BUSY, "{took:?}");
        let (endpoint, took) = busy_for(2, &["a:1", "b:2"]).await;
        assert_eq!(endpoint, "a:1");
        assert!(took >= BUSY, "{took:?}");
    }

    #[tokio::test]
    async fn an_endpoint_that_takes_all_the_time_ends_the_call_in_time() {
        let mut connection = connection(&["a:1", "b:2"]);
        connection.deadline = Duration::from_millis(50);
        let call = connection.call(async |_channel| std::future::pending::<Result<(), _>>().await);
        let told = tokio::time::timeout(Duration::from_secs(5), call).await;
        assert!(matches!(told, Ok(Err(_))), "{told:?}");
    }

    #[tokio::test]
    async fn every_endpoint_is_told_of_in_its_place() {
        let mut connection = connection(&["a:1", "b:2"]);
        connection.deadline = Duration::from_millis(50);
        connection.preferred.store(1, Ordering::Relaxed);
        let number = Cell::new(0);
        let told = connection
            .call(async |_channel| {
                number.set(number.get() + 1);
                let message = format!("attempt {}", number.get());
                Err::<(), _>(refusal(Reason::NoQuorum, &message))
            })
            .await;
        let Err(ClientError::Unreachable {
            attempts,
            no_majority,
        }) = told
        else {
            panic!("{told:?}");
        };
        let told: Vec<_> = attempts.iter().map(|a| (&*a.endpoint, &*a.why)).collect();
        assert_eq!(told, [("a:1", "attempt 2"), ("b:2", "attempt 1")]);
        assert!(no_majority);
    }
}
