//! One node cut off from the others: the majority goes on, the minority neither acknowledges,
//! publishes nor discloses, and heals by itself.
//!
//! In network namespaces where this is root, else by proxies on every link between nodes; the test
//! says which. In a namespace nobody is told that a peer is gone: no reset, no refused connection.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::time::Duration;

use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, Endpoints, EntryKey, Ledger, Outcome, Wait};
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::LeafIndex;
use aimslog_tests::check::check_log;
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::net::Net;
use aimslog_tests::netns::say;
use aimslog_tests::people::Hospital;
use tokio::time::{Instant, sleep};

/// A node that has not heard from a quorum for 5 s discloses nothing. One second more for asking.
const DISCLOSES_AT_MOST: Duration = Duration::from_secs(6);
/// No submission may wait for a peer that is gone; an election takes up to 3 s.
const WRITE_AT_MOST: Duration = Duration::from_secs(1);
const RESUMES_WITHIN: Duration = Duration::from_secs(5);
/// From the mended cable to a node that knows everything and serves again.
const HEALS_WITHIN: Duration = Duration::from_secs(15);

/// Which node is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Leader,
    Follower,
}

/// Which direction is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Both,
    /// What the node sends is lost; it hears the others.
    Outward,
}

struct Scene {
    cluster: Cluster,
    hospital: Hospital,
    history: History,
    /// The record that is asked for.
    known: LeafIndex,
    /// The node that is cut off.
    alone: usize,
    /// After the cluster, whose processes live in it.
    net: Net,
}

impl Scene {
    async fn set((net, mut cluster): (Net, Cluster), who: Who) -> Self {
        cluster.start_all();
        cluster.found().await;
        let hospital = Hospital::register(&cluster, "hospital").await;
        let history = History::default();
        let statement = [hospital.decision(2_000_000)];
        let logged = cluster.ledger().submit(&statement, Wait::Receipt).await;
        let known = match logged.unwrap().as_slice() {
            [Outcome::Logged { entry, .. }] => {
                history.acknowledge(entry);
                entry.index
            }
            other => panic!("{other:?}"),
        };
        let leader = cluster.leader().await;
        let alone = match who {
            Who::Leader => leader,
            Who::Follower => (leader + 1) % 3,
        };
        Self {
            cluster,
            hospital,
            history,
            known,
            alone,
            net,
        }
    }

    /// The node that is cut off, and nobody else.
    fn impatient(&self, deadline: Duration) -> Ledger {
        let ports = std::iter::once(self.cluster.nodes[self.alone].client);
        let endpoints = Endpoints {
            deadline,
            ..self.cluster.endpoints(ports)
        };
        let policy = self.cluster.policy();
        let ledger = Ledger::new(&endpoints, policy, HeadMemory::in_memory()).unwrap();
        ledger.reading_as(self.hospital.read_key(), ORIGIN)
    }

    fn majority(&self) -> Ledger {
        self.cluster.ledger_among(|node| node != self.alone)
    }

    /// Waits until the node discloses (or no longer); returns why it does not.
    async fn wait_for_disclosure(&self, discloses: bool, limit: Duration) -> String {
        let ledger = self.impatient(Duration::from_millis(500));
        let until = Instant::now() + limit;
        loop {
            let answer = ledger.record(EntryKey::Index(self.known)).await;
            match answer {
                Ok(_) if discloses => return String::new(),
                Err(error) if !discloses && is_stale(&error) => return error.to_string(),
                other => {
                    let (now, logs) = (Instant::now(), || self.cluster.logs());
                    assert!(now < until, "after {limit:?}: {other:?}\n{}", logs());
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a node without quorum must not do, from the moment of the cut on.
    async fn assert_powerless(&self) {
        let ledger = self.impatient(RESUMES_WITHIN);
        let before = ledger.checkpoint().await.unwrap();
        let statement = [self.hospital.decision(1_000_000)];
        let (answer, why) = tokio::join!(
            ledger.submit(&statement, Wait::Committed),
            self.wait_for_disclosure(false, DISCLOSES_AT_MOST),
        );
        assert!(
            matches!(
                answer,
                Err(ClientError::Unreachable { .. } | ClientError::OutcomeUnknown { .. })
            ),
            "a node without quorum answered {answer:?}"
        );
        assert!(why.contains("has not heard from a leader"), "{why}");
        let after = ledger.checkpoint().await.unwrap();
        assert_eq!(
            before.head(),
            after.head(),
            "a node without quorum published"
        );
    }

    /// The majority acknowledges, each record within a second, and publishes.
    async fn assert_majority_goes_on(&self) {
        let ledger = self.majority();
        let first = Instant::now();
        let mut slowest = Duration::ZERO;
        let mut size = 0;
        for number in 3_000_000..3_000_040 {
            let began = Instant::now();
            let statement = [self.hospital.decision(number)];
            match ledger.submit(&statement, Wait::Committed).await.as_deref() {
                Ok([Outcome::Logged { entry, .. }]) => {
                    self.history.acknowledge(entry);
                    size = entry.index.0 + 1;
                }
                other => panic!("{other:?}\n{}", self.cluster.logs()),
            }
            if number == 3_000_000 {
                assert!(first.elapsed() < RESUMES_WITHIN, "{:?}", first.elapsed());
            } else {
                slowest = slowest.max(began.elapsed());
            }
        }
        assert!(slowest < WRITE_AT_MOST, "a record took {slowest:?}");
        for position in (0..3).filter(|position| *position != self.alone) {
            let published = |status: &_| published_size(status) >= size;
            let limit = RESUMES_WITHIN;
            self.cluster.wait_until(position, limit, published).await;
        }
    }

    async fn assert_heals(&self) {
        let began = Instant::now();
        let other = (self.alone + 1) % 3;
        let size = published_size(&self.cluster.status(other).await.unwrap());
        let caught_up = |status: &_| published_size(status) >= size;
        let limit = HEALS_WITHIN;
        self.cluster.wait_until(self.alone, limit, caught_up).await;
        self.wait_for_disclosure(true, limit).await;
        say(&format!("healed after {:?}", began.elapsed()));
        let statement = [self.hospital.decision(4_000_000)];
        let ledger = self.impatient(Duration::from_secs(20));
        match ledger.submit(&statement, Wait::Receipt).await.as_deref() {
            Ok([Outcome::Logged { entry, .. }]) => self.history.acknowledge(entry),
            other => panic!("{other:?}\n{}", self.cluster.logs()),
        }
    }
}

fn published_size(status: &aimslog_proto::pb::admin::v1::StatusResponse) -> u64 {
    status.published_size
}

/// The client tells a stale node's refusal as the last thing that it was told before its deadline.
fn is_stale(error: &ClientError) -> bool {
    let text = error.to_string();
    text.contains("has not heard from a leader") || text.contains(Reason::StaleRegistry.as_str())
}

async fn cut_off(network: (Net, Cluster), who: Who, cut: Cut) {
    let scene = Scene::set(network, who).await;
    scene.wait_for_disclosure(true, HEALS_WITHIN).await;
    let (net, alone) = (&scene.net, scene.alone);
    match cut {
        Cut::Both => net.cut(alone),
        Cut::Outward => net.mute(alone),
    }
    tokio::join!(scene.assert_powerless(), scene.assert_majority_goes_on());
    let load = Load::start_among(&scene.cluster, &scene.hospital, &scene.history, 2, |node| {
        node != alone
    });
    Load::wait_for_progress(&scene.history, 50, Duration::from_secs(20)).await;
    match cut {
        Cut::Both => net.mend(alone),
        Cut::Outward => net.speak(alone),
    }
    scene.assert_heals().await;
    load.stop().await;
    let reader = scene.hospital.read_key();
    check_log(&scene.cluster, &scene.history, &reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_cut_off_is_powerless_and_heals() {
    cut_off(Net::with_cluster(3).await, Who::Follower, Cut::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_is_powerless_and_heals() {
    cut_off(Net::with_cluster(3).await, Who::Leader, Cut::Both).await;
}

/// It hears the others and cannot answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_hears_is_powerless_and_heals() {
    cut_off(Net::with_cluster(3).await, Who::Leader, Cut::Outward).await;
}

/// The proxies stay tested where namespaces are at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_behind_cut_proxies_is_powerless_and_heals() {
    cut_off(Net::of_proxies(3).await, Who::Leader, Cut::Both).await;
}
