//! A crowd: far more submitters than a cluster can take. They speak the protocol themselves, so that
//! a test sees each refusal; and watchers, who note how old what is not under a head yet has become.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, EntryRef, Ledger};
use aimslog_proto::aims::submission::Submission;
use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::evidence_service_client::EvidenceServiceClient;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Hash, LeafHash, LeafIndex};
use futures::future::join_all;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_types::StatusExt as _;

use crate::cluster::Cluster;
use crate::history::History;
use crate::people::{Hospital, decision_json};

/// How many submitters share a connection.
const PER_CONNECTION: usize = 20;
/// How often each node is asked for its newest head.
const WATCH_INTERVAL: Duration = Duration::from_millis(150);
/// How long a submitter waits that was told neither yes nor no.
const UNTOLD_PAUSE: Duration = Duration::from_millis(250);

/// How large a crowd, and how much each of it sends in a call.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Calls in flight.
    pub submitters: usize,
    /// Statements in each.
    pub batch: usize,
}

/// What the crowd was told so far.
#[derive(Debug, Default)]
pub struct Told {
    /// Calls that were refused because too much is waiting.
    pub refused: AtomicU64,
    /// Calls whose outcome was not known.
    pub unknown: AtomicU64,
    freshness: Mutex<Freshness>,
}

#[derive(Debug, Default)]
struct Freshness {
    /// Acknowledged entries that no head seen so far covers, and when they were acknowledged.
    uncovered: BTreeMap<u64, Instant>,
    covered: u64,
    oldest: Duration,
    looks: u64,
}

impl Told {
    /// The greatest age that an acknowledged entry had which no published head covered, and at how
    /// many looks at heads it was measured.
    pub fn oldest_uncovered(&self) -> (Duration, u64) {
        let freshness = self.lock();
        (freshness.oldest, freshness.looks)
    }

    fn acknowledged(&self, index: u64) {
        let mut freshness = self.lock();
        if index >= freshness.covered {
            freshness
                .uncovered
                .entry(index)
                .or_insert_with(Instant::now);
        }
    }

    fn head(&self, size: u64) {
        let mut freshness = self.lock();
        if size > freshness.covered {
            freshness.covered = size;
            freshness.uncovered = freshness.uncovered.split_off(&size);
        }
        let oldest = freshness.uncovered.values().min().copied();
        let age = oldest.map_or(Duration::ZERO, |at| at.elapsed());
        freshness.oldest = freshness.oldest.max(age);
        freshness.looks += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Freshness> {
        self.freshness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running crowd.
#[derive(Debug)]
pub struct Crowd {
    stop: Arc<AtomicBool>,
    told: Arc<Told>,
    submitters: JoinSet<()>,
    watchers: Option<thread::JoinHandle<()>>,
}

impl Crowd {
    /// Lets a crowd loose on all nodes, and a watcher on each.
    pub async fn start(
        cluster: &Cluster,
        hospital: &Hospital,
        history: &History,
        size: Size,
    ) -> Self {
        let mut crowd = Self {
            stop: Arc::default(),
            told: Arc::default(),
            submitters: JoinSet::new(),
            watchers: None,
        };
        // Signed anew for each statement: what the crowd does for itself, the nodes cannot do.
        let record = Arc::new(hospital.submission(&decision_json(0)));
        let mut connections = Vec::new();
        for number in 0..size.submitters.div_ceil(PER_CONNECTION) {
            connections.push(connection(cluster, number % cluster.nodes.len()).await);
        }
        for number in 0..size.submitters {
            let submitter = Submitter {
                client: connections[number % connections.len()].clone(),
                hospital: hospital.clone(),
                history: history.clone(),
                told: Arc::clone(&crowd.told),
                record: Arc::clone(&record),
                batch: size.batch,
                stop: Arc::clone(&crowd.stop),
            };
            crowd.submitters.spawn(submitter.run());
        }
        crowd.watch(cluster, history);
        crowd
    }

    /// Watches on a thread of its own: the crowd leaves the others no time, and a look that comes late
    /// would be taken for a head that does.
    fn watch(&mut self, cluster: &Cluster, history: &History) {
        let nodes = cluster.nodes.iter().map(|node| node.client);
        let endpoints: Vec<_> = nodes
            .map(|port| cluster.endpoints(std::iter::once(port)))
            .collect();
        let policy = cluster.policy();
        let (told, stop) = (Arc::clone(&self.told), Arc::clone(&self.stop));
        let history = history.clone();
        self.watchers = Some(thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            // Connections live where they are made.
            runtime.block_on(async {
                let ledgers: Vec<_> = endpoints
                    .iter()
                    .map(|at| Ledger::new(at, policy.clone(), HeadMemory::in_memory()).unwrap())
                    .collect();
                let watchers = ledgers
                    .iter()
                    .map(|ledger| watch_heads(ledger, &told, &history, &stop));
                join_all(watchers).await;
            });
        }));
    }

    /// Ends it after the answers that are under way, and gives what it was told.
    pub async fn stop(mut self) -> Arc<Told> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.submitters.join_next().await {
            ended.expect("a submitter saw something that must not be");
        }
        if let Some(watchers) = self.watchers.take() {
            let ended = tokio::task::spawn_blocking(|| watchers.join()).await;
            ended
                .expect("nobody takes it away")
                .expect("a watcher saw something that must not be");
        }
        self.told
    }
}

/// Notes every head that one node shows.
async fn watch_heads(ledger: &Ledger, told: &Told, history: &History, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match ledger.checkpoint().await {
            Ok(head) => {
                told.head(head.head().size.0);
                history.see(head);
            }
            // No head seen is a look too: what waits grows older.
            Err(ClientError::Unreachable { .. } | ClientError::OutcomeUnknown { .. }) => {
                told.head(0);
            }
            Err(error) => panic!("{error}"),
        }
        sleep(WATCH_INTERVAL).await;
    }
}

struct Submitter {
    client: EvidenceServiceClient<Channel>,
    hospital: Hospital,
    history: History,
    told: Arc<Told>,
    record: Arc<Submission>,
    batch: usize,
    stop: Arc<AtomicBool>,
}

impl Submitter {
    async fn run(mut self) {
        while !self.stopped() {
            let statements = (0..self.batch).map(|_| self.hospital.finish_again(&self.record));
            let submissions = statements.map(|statement| v1::Submission {
                statement: statement.statement,
                disclosures: statement.disclosures,
                digest_only: Vec::new(),
            });
            let request = v1::SubmitRequest {
                submissions: submissions.collect(),
                wait: v1::Wait::Committed.into(),
            };
            self.send(&request).await;
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sends the same bytes until they are logged, as a client should, or until the crowd ends.
    async fn send(&mut self, request: &v1::SubmitRequest) {
        loop {
            let pause = match self.client.submit(request.clone()).await {
                Ok(answer) => {
                    for result in answer.into_inner().results {
                        let entry = logged(result);
                        self.told.acknowledged(entry.index.0);
                        self.history.acknowledge(&entry);
                    }
                    return;
                }
                Err(status) => self.refused(&status),
            };
            if self.stopped() {
                return;
            }
            sleep(pause).await;
        }
    }

    /// How long to wait after a refusal. Panics where a client could not know what to do.
    fn refused(&self, status: &Status) -> Duration {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let reason = reason.and_then(|text| Reason::from_text(&text));
        let after = details.retry_info().and_then(|info| info.retry_delay);
        match reason {
            Some(Reason::Overloaded) => {
                self.told.refused.fetch_add(1, Ordering::Relaxed);
                after.expect("a refusal for too much load says when to come again")
            }
            Some(Reason::OutcomeUnknown | Reason::NotLeader | Reason::NoQuorum) => {
                self.told.unknown.fetch_add(1, Ordering::Relaxed);
                UNTOLD_PAUSE
            }
            // The connection broke, which says nothing of the batch.
            None if status.source().is_some() => {
                self.told.unknown.fetch_add(1, Ordering::Relaxed);
                UNTOLD_PAUSE
            }
            _ => panic!("a valid batch was answered with {status:?}"),
        }
    }
}

fn logged(result: v1::SubmitResult) -> EntryRef {
    let Some(v1::submit_result::Outcome::Accepted(accepted)) = result.outcome else {
        panic!("a valid record was answered with {result:?}");
    };
    let entry = accepted.entry.expect("the answer names the entry");
    let bytes = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).expect("32 bytes");
    EntryRef {
        index: LeafIndex(entry.index),
        entry_id: EntryId::from_bytes(bytes(entry.entry_id)),
        leaf_hash: LeafHash::from_hash(Hash::from_bytes(bytes(entry.leaf_hash))),
        registered_at: UnixMillis(0),
        register_number: entry.register_number,
    }
}

/// A connection that stands: afterwards the crowd leaves no time to make one.
async fn connection(cluster: &Cluster, position: usize) -> EvidenceServiceClient<Channel> {
    let node = &cluster.nodes[position];
    let ca = fs::read(cluster.folder().join("public/client-ca.pem")).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let address = format!("https://{}:{}", node.place.host, node.client);
    let endpoint = Endpoint::from_shared(address).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    EvidenceServiceClient::new(channel).max_encoding_message_size(8 << 20)
}
