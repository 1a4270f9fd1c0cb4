//! Nodes whose disk is full, each with its data on a small volume of its own: nothing acknowledged is
//! lost, whoever submits is told clearly, and everything goes on by itself when there is room.
//!
//! Volumes are mounted where this is root and the kernel lets it; elsewhere the tests say aloud that
//! they did not run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use aimslog_client::{ClientError, EntryKey, Ledger, Outcome, Wait};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::TreeSize;
use aimslog_tests::check::{check_log, verify_evidence};
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::history::History;
use aimslog_tests::load::Load;
use aimslog_tests::netns::say;
use aimslog_tests::people::Hospital;
use aimslog_tests::volume::Volume;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

/// The databases reserve room ahead for their logs: some 150 MiB before the first record.
const VOLUME_MIB: u64 = 512;
const RESERVE_MIB: u64 = 64;
/// A node asks its volume twice a second, and the others hear of it within a second.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// Attachments of 4 MiB fill what was reserved ahead, and then there is no more.
const ATTACHMENT_BYTES: usize = 4 << 20;
const ATTACHMENTS_MAX: usize = 200;

struct Scene {
    cluster: Cluster,
    hospital: Hospital,
    history: History,
    /// After the cluster, whose processes have files on them.
    volumes: Vec<Volume>,
}

impl Scene {
    /// Three nodes with some records, or why there are none.
    async fn set() -> Result<Self, String> {
        let volumes: Vec<Volume> = (0..3)
            .map(|_| Volume::mount(VOLUME_MIB))
            .collect::<Result<_, _>>()?;
        let mut cluster = Cluster::prepare(3);
        for (position, volume) in volumes.iter().enumerate() {
            let folder = format!("data_dir = \"{}\"", volume.path().display());
            cluster.configure(position, ("data_dir = \"data\"", &folder));
            let reserve = format!("reserve_mib = {RESERVE_MIB}");
            cluster.configure(position, ("reserve_mib = 1024", &reserve));
        }
        cluster.start_all();
        cluster.found().await;
        let hospital = Hospital::register(&cluster, "hospital").await;
        let scene = Self {
            cluster,
            hospital,
            history: History::default(),
            volumes,
        };
        for number in 1_000_000..1_000_020 {
            scene.submit(&scene.cluster.ledger(), number).await.unwrap();
        }
        Ok(scene)
    }

    /// The scene, where this machine allows one; says aloud where it does not.
    async fn set_or_say() -> Option<Self> {
        match Self::set().await {
            Ok(scene) => Some(scene),
            Err(why) => {
                say(&format!(
                    "NOT RUN, nothing was tested with a full disk: {why}"
                ));
                None
            }
        }
    }

    /// Leaves a node half of what it must have in reserve, and waits until it says so.
    async fn fill(&self, position: usize) {
        self.volumes[position].leave(RESERVE_MIB << 19);
        let full = |status: &_| has_alarm(status, "NOSPACE");
        self.cluster
            .wait_until(position, NOTICED_WITHIN, full)
            .await;
    }

    async fn make_room(&self, position: usize) {
        self.volumes[position].make_room();
        let well = |status: &StatusResponse| status.alarms.is_empty();
        self.cluster
            .wait_until(position, NOTICED_WITHIN, well)
            .await;
    }

    async fn submit(&self, ledger: &Ledger, number: u64) -> Result<(), ClientError> {
        let statement = [self.hospital.decision(number)];
        match ledger.submit(&statement, Wait::Committed).await?.as_slice() {
            [Outcome::Logged { entry, .. }] => self.history.acknowledge(entry),
            other => panic!("a valid record was answered with {other:?}"),
        }
        Ok(())
    }

    /// Submits until it is taken, which must be soon.
    async fn submit_until_taken(&self, number: u64) {
        let until = Instant::now() + NOTICED_WITHIN;
        while let Err(error) = self.submit(&self.cluster.ledger(), number).await {
            let logs = || self.cluster.logs();
            assert!(Instant::now() < until, "not taken: {error}\n{}", logs());
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn check(&self) {
        check_log(&self.cluster, &self.history, &self.hospital.read_key()).await;
    }
}

fn has_alarm(status: &StatusResponse, name: &str) -> bool {
    status.alarms.iter().any(|alarm| alarm.name == name)
}

/// A leader without room hands over to a node that has some, and submitters notice nothing. It goes
/// on following out of its reserve, and can lead again when it has room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_room_hands_over_and_writes_go_on() {
    let Some(scene) = Scene::set_or_say().await else {
        return;
    };
    let cluster = &scene.cluster;
    let load = Load::start(cluster, &scene.hospital, &scene.history, 4);
    let leader = cluster.leader().await;
    scene.fill(leader).await;
    let follows = |status: &StatusResponse| status.role == "follower" && status.leader_id != 0;
    cluster.wait_until(leader, NOTICED_WITHIN, follows).await;
    Load::wait_for_progress(&scene.history, 200, NOTICED_WITHIN).await;
    let now_leading = cluster.leader().await;
    assert_ne!(now_leading, leader);
    let term = cluster.status(now_leading).await.unwrap().term;

    scene.make_room(leader).await;
    let id = cluster.nodes[leader].id;
    // The leader hears of the room with the next greeting.
    let deadline = Instant::now() + NOTICED_WITHIN;
    while let Err(refused) = cluster.admin_of(now_leading).move_leader(id).await {
        assert!(Instant::now() < deadline, "{refused}");
        sleep(Duration::from_millis(100)).await;
    }
    let leads = |status: &StatusResponse| status.role == "leader";
    let status = cluster.wait_until(leader, NOTICED_WITHIN, leads).await;
    assert_eq!(status.term, term + 1, "leadership went to and fro");
    Load::wait_for_progress(&scene.history, 50, NOTICED_WITHIN).await;
    load.stop().await;
    scene.check().await;
}

/// With two of three without room nothing more can be stored. Everybody is told so by every node,
/// the one with room leads and keeps leading, and what is stored is served and proven as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_on_a_majority_submissions_are_refused_and_reads_go_on() {
    let Some(scene) = Scene::set_or_say().await else {
        return;
    };
    let cluster = &scene.cluster;
    let leader = cluster.leader().await;
    let (other, roomy) = ((leader + 1) % 3, (leader + 2) % 3);
    scene.fill(other).await;
    scene.fill(leader).await;
    let leads = |status: &StatusResponse| status.role == "leader";
    let led = cluster.wait_until(roomy, NOTICED_WITHIN, leads).await;
    refused_everywhere(&scene).await;
    let settled = cluster.status(roomy).await.unwrap();

    let told = scene.history.told();
    let entries: Vec<_> = told.acknowledged.values().copied().collect();
    let (index, _) = told.acknowledged.iter().next_back().unwrap();
    let covering = TreeSize(index.0 + 1);
    for position in 0..3 {
        let key = scene.hospital.read_key();
        let ledger = cluster.ledger_of(position).reading_as(key, ORIGIN);
        ledger.checkpoint_covering(covering).await.unwrap();
        ledger.inclusion(EntryKey::Index(*index)).await.unwrap();
        ledger.record(EntryKey::Index(*index)).await.unwrap();
    }
    verify_evidence(cluster, &entries, &scene.hospital.read_key()).await;
    refused_everywhere(&scene).await;
    let after = cluster.status(roomy).await.unwrap();
    assert_eq!(
        (after.role.as_str(), after.term, after.tree_size),
        ("leader", led.term, settled.tree_size),
        "leadership moved, or something was stored"
    );

    scene.make_room(leader).await;
    scene.submit_until_taken(2_000_000).await;
    scene.make_room(other).await;
    scene.submit_until_taken(2_000_001).await;
    scene.check().await;
}

/// Asks every node until it refuses for want of room. A node that has just begun to lead takes a
/// record until it has heard how the others are.
async fn refused_everywhere(scene: &Scene) {
    let until = Instant::now() + NOTICED_WITHIN;
    for position in 0..3 {
        let ledger = scene.cluster.ledger_of(position);
        loop {
            let number = 3_000_000 + scene.history.acknowledged() as u64;
            let answer = scene.submit(&ledger, number).await;
            if let Err(ClientError::Refused(refusal)) = &answer {
                assert_eq!(refusal.reason, Some(Reason::DiskFull), "{refusal}");
                assert!(refusal.message.contains("nothing was stored"), "{refusal}");
                break;
            }
            assert!(Instant::now() < until, "node {position}: {answer:?}");
        }
    }
}

/// A follower whose disk takes not one byte more ends, and says why; the others go on. With room it
/// comes back and knows everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_fails_it_ends_and_comes_back_with_everything() {
    let Some(mut scene) = Scene::set_or_say().await else {
        return;
    };
    let victim = (scene.cluster.leader().await + 1) % 3;
    scene.volumes[victim].leave(0);
    let ledger = scene.cluster.ledger_as(scene.hospital.read_key());
    let organization = scene.hospital.id.clone();
    let writer = tokio::spawn(async move {
        let mut content = vec![0; ATTACHMENT_BYTES];
        for number in 0..ATTACHMENTS_MAX {
            content[..8].copy_from_slice(&number.to_be_bytes());
            ledger.put_blob(&organization, &content).await.unwrap();
        }
    });
    let status = scene.cluster.wait_for_end(victim).await;
    writer.abort();
    let by_itself = status.code() == Some(1) || status.signal() == Some(Signal::ABORT.as_raw());
    let log = scene.cluster.log_of(victim);
    assert!(by_itself, "{status:?}\n{log}");
    assert!(log.contains("No space left on device"), "{log}");
    assert!(
        log.contains("fatal error") || log.contains("task failed"),
        "{log}"
    );

    for number in 4_000_000..4_000_020 {
        scene.submit_until_taken(number).await;
    }
    scene.volumes[victim].make_room();
    scene.cluster.start_node(victim);
    let well = |status: &StatusResponse| status.alarms.is_empty() && status.role == "follower";
    let limit = Duration::from_secs(20);
    scene.cluster.wait_until(victim, limit, well).await;
    scene.submit_until_taken(4_000_020).await;
    scene.check().await;
}
