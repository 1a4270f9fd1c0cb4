//! A bounded load in the background: callers that submit one record after another and write down
//! what they were told, and watchers that write down every head they are shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aimslog_client::{ClientError, Ledger, Outcome, Wait};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::history::History;
use crate::people::Hospital;

/// Most records of one load, so that a test that goes wrong ends.
const RECORDS_MAX: u64 = 200_000;

/// A running load.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts `callers` callers over all nodes, and one watcher of heads per node.
    pub fn start(cluster: &Cluster, hospital: &Hospital, history: &History, callers: u64) -> Self {
        Self::start_among(cluster, hospital, history, callers, |_| true)
    }

    /// The same, with callers that talk only to some of the nodes; heads are watched on all.
    pub fn start_among(
        cluster: &Cluster,
        hospital: &Hospital,
        history: &History,
        callers: u64,
        among: impl Fn(usize) -> bool,
    ) -> Self {
        let mut load = Self::start_unwatched(cluster, hospital, history, callers, among);
        load.watch(cluster, history);
        load
    }

    /// The same without watchers, for tests in which the policy changes meanwhile.
    pub fn start_unwatched(
        cluster: &Cluster,
        hospital: &Hospital,
        history: &History,
        callers: u64,
        among: impl Fn(usize) -> bool,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let ledger = cluster.ledger_among(&among);
            let (hospital, history) = (hospital.clone(), history.clone());
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    if number >= RECORDS_MAX {
                        return;
                    }
                    submit_until_told(&ledger, &hospital, &history, number).await;
                }
            });
        }
        Self { stop, sent, tasks }
    }

    fn watch(&mut self, cluster: &Cluster, history: &History) {
        for position in 0..cluster.nodes.len() {
            let ledger = cluster.ledger_of(position);
            let (history, stop) = (history.clone(), Arc::clone(&self.stop));
            self.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match ledger.checkpoint().await {
                        Ok(head) => history.see(head),
                        Err(
                            error @ (ClientError::Fork { .. } | ClientError::Unverified { .. }),
                        ) => {
                            panic!("node {position}: {error}")
                        }
                        // A node that is down shows no head.
                        Err(_) => {}
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }

    /// Records that callers have begun to send.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until this many more entries are acknowledged; panics after `limit`.
    pub async fn wait_for_progress(history: &History, more: usize, limit: Duration) {
        let goal = history.acknowledged() + more;
        let deadline = Instant::now() + limit;
        while history.acknowledged() < goal {
            assert!(
                Instant::now() < deadline,
                "no progress: {} acknowledged, {goal} hoped for",
                history.acknowledged()
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the load after the answers that are under way.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a caller saw something that must not be");
        }
    }
}

/// Sends one record, and the same bytes again while the outcome is not known, as a client should.
async fn submit_until_told(ledger: &Ledger, hospital: &Hospital, history: &History, number: u64) {
    let statement = [hospital.decision(number)];
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match ledger.submit(&statement, Wait::Committed).await {
            Ok(outcomes) => {
                match outcomes.as_slice() {
                    [Outcome::Logged { entry, .. }] => history.acknowledge(entry),
                    other => panic!("a valid record was answered with {other:?}"),
                }
                return;
            }
            Err(ClientError::OutcomeUnknown { .. } | ClientError::Unreachable { .. })
                if Instant::now() < deadline => {}
            Err(error) => panic!("a submission failed: {error}"),
        }
    }
}

/// Submits one record through whoever takes it, keeps its acknowledgement, and returns how long it took.
pub async fn submit(
    ledger: &Ledger,
    hospital: &Hospital,
    history: &History,
    number: u64,
) -> Duration {
    let statement = [hospital.decision(number)];
    let began = Instant::now();
    loop {
        match ledger.submit(&statement, Wait::Committed).await {
            Ok(outcomes) => match outcomes.as_slice() {
                [Outcome::Logged { entry, .. }] => {
                    history.acknowledge(entry);
                    return began.elapsed();
                }
                other => panic!("a valid record was answered with {other:?}"),
            },
            Err(error) => {
                assert!(
                    began.elapsed() < Duration::from_secs(30),
                    "no writes: {error}"
                );
            }
        }
    }
}
