//! One node cut off from the others, by proxies on every link between nodes: the majority goes on,
//! the minority neither acknowledges, publishes nor discloses, and heals by itself.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, Endpoints, EntryKey, Ledger, Outcome, Wait};
use aimslog_proto::reason::Reason;
use aimslog_tests::check::check_log;
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::people::Hospital;
use aimslog_tests::proxy::Link;
use tokio::time::sleep;

/// A link for each ordered pair of nodes.
struct Net {
    links: BTreeMap<(usize, usize), Link>,
}

impl Net {
    /// Puts a proxy on every link and writes it into the configuration of the node that dials.
    async fn between(cluster: &Cluster) -> Self {
        let mut links = BTreeMap::new();
        for (from, node) in cluster.nodes.iter().enumerate() {
            let config = node.folder.join("aimslogd.toml");
            let mut text = fs::read_to_string(&config).unwrap();
            for (to, peer) in cluster
                .nodes
                .iter()
                .enumerate()
                .filter(|(to, _)| *to != from)
            {
                let link = Link::to(peer.peer).await;
                let direct = format!("address = \"127.0.0.1:{}\"", peer.peer);
                assert!(text.contains(&direct), "{text}");
                text = text.replace(&direct, &format!("address = \"127.0.0.1:{}\"", link.port));
                links.insert((from, to), link);
            }
            fs::write(&config, text).unwrap();
        }
        Self { links }
    }

    /// Cuts a node off, in both directions.
    fn isolate(&self, node: usize) {
        for ((from, to), link) in &self.links {
            if *from == node || *to == node {
                link.cut();
            }
        }
    }

    fn heal(&self) {
        for link in self.links.values() {
            link.mend();
        }
    }
}

fn impatient(cluster: &Cluster, position: usize, hospital: &Hospital) -> Ledger {
    let ports = std::iter::once(cluster.nodes[position].client);
    let endpoints = Endpoints {
        deadline: Duration::from_secs(3),
        ..cluster.endpoints(ports)
    };
    let ledger = Ledger::new(&endpoints, cluster.policy(), HeadMemory::in_memory()).unwrap();
    ledger.reading_as(hospital.read_key(), ORIGIN)
}

/// What a node that is cut off must not do.
async fn assert_powerless(cluster: &Cluster, position: usize, hospital: &Hospital) {
    let ledger = impatient(cluster, position, hospital);
    let before = ledger.checkpoint().await.unwrap();
    let answer = ledger
        .submit(&[hospital.decision(1_000_000)], Wait::Committed)
        .await;
    assert!(
        matches!(
            answer,
            Err(ClientError::Unreachable { .. } | ClientError::OutcomeUnknown { .. })
        ),
        "a node without quorum answered {answer:?}"
    );
    // Disclosures need a node that knows who may read now.
    let known = EntryKey::Index(aimslog_proto::tlog::LeafIndex(3));
    let error = ledger
        .record(known)
        .await
        .expect_err("a node cut off disclosed a record");
    assert!(
        error.to_string().contains("heard")
            || error.to_string().contains(Reason::StaleRegistry.as_str()),
        "{error}"
    );
    let after = ledger.checkpoint().await.unwrap();
    assert_eq!(
        before.head(),
        after.head(),
        "a node without quorum published"
    );
}

async fn cut_off(leads: bool) {
    let mut cluster = Cluster::prepare(3);
    let net = Net::between(&cluster).await;
    cluster.start_all();
    cluster.found().await;
    let hospital = Hospital::register(&cluster, "hospital").await;
    let history = History::default();
    match cluster
        .ledger()
        .submit(&[hospital.decision(2_000_000)], Wait::Receipt)
        .await
        .unwrap()
        .as_slice()
    {
        [Outcome::Logged { entry, .. }] => history.acknowledge(entry),
        other => panic!("{other:?}"),
    }
    let leader = cluster.leader().await;
    let alone = if leads { leader } else { (leader + 1) % 3 };
    net.isolate(alone);
    // A follower's knowledge of who may read goes stale after five seconds.
    sleep(Duration::from_secs(6)).await;
    let load = Load::start_among(&cluster, &hospital, &history, 2, |node| node != alone);
    Load::wait_for_progress(&history, 50, Duration::from_secs(30)).await;
    assert_powerless(&cluster, alone, &hospital).await;
    net.heal();
    Load::wait_for_progress(&history, 50, Duration::from_secs(30)).await;
    load.stop().await;
    check_log(&cluster, &history, &hospital.read_key()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_cut_off_is_powerless_and_heals() {
    cut_off(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_is_powerless_and_heals() {
    cut_off(true).await;
}
