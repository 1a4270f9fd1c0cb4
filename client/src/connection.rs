//! Connections to the nodes of one ledger: deadlines, and safe retries over several endpoints.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::error::ClientError;
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
    /// turn, at once for the first round and with growing pauses after it, or as long as a node asks
    /// for. Returns the endpoint that answered with the answer.
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
        let mut backoff = BACKOFF_MIN;
        let mut may_have_arrived = false;
        // How many endpoints in a row cannot, each for want of its own.
        let mut unable = 0;
        let mut last = String::from("no attempt was made");
        let first = self.preferred.load(Ordering::Relaxed) % self.channels.len();
        let positions = self.channels.iter().enumerate();
        let round: Vec<_> = positions
            .clone()
            .skip(first)
            .chain(positions.take(first))
            .filter(|(_, (address, _))| !except.contains(address))
            .collect();
        for (attempts, (position, (address, channel))) in round.iter().cycle().enumerate() {
            let limit = until.min(Instant::now() + ATTEMPT_MAX);
            let pause = match timeout_at(limit, attempt(channel.clone())).await {
                Ok(Ok(answer)) => {
                    self.preferred.store(*position, Ordering::Relaxed);
                    return Ok((address.clone(), answer));
                }
                Ok(Err(status)) => {
                    last = format!("{address}: {}", status.message());
                    let verdict = judge(&status);
                    unable = match &verdict {
                        Verdict::Elsewhere(_) => unable + 1,
                        _ => 0,
                    };
                    match verdict {
                        Verdict::Final(refusal) => return Err(refusal.into()),
                        Verdict::Elsewhere(refusal)
                            if unable == self.channels.len() && !may_have_arrived =>
                        {
                            return Err(refusal.into());
                        }
                        Verdict::Elsewhere(_) => None,
                        Verdict::Retry { after } => after,
                        Verdict::RetryUnknown => {
                            may_have_arrived = true;
                            None
                        }
                    }
                }
                Err(_elapsed) => {
                    unable = 0;
                    may_have_arrived = true;
                    last = format!("{address}: no answer in time");
                    None
                }
            };
            let whole_round = (attempts + 1) % round.len() == 0;
            let wait = pause.unwrap_or(if whole_round { backoff } else { Duration::ZERO });
            if whole_round {
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            if Instant::now() + wait >= until {
                break;
            }
            sleep(wait).await;
        }
        if may_have_arrived {
            return Err(ClientError::OutcomeUnknown { last });
        }
        let tried = self
            .channels
            .iter()
            .map(|(address, _)| address.clone())
            .collect();
        Err(ClientError::Unreachable { tried, last })
    }
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
