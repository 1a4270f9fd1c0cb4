//! Goal: three seats keep one log whatever happens to one of them. Method: real gRPC on loopback,
//! real databases, every wait on a status and none on a clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

mod handover;

use super::{
    testing::{Collector, MemoryGuard, OpenGate, PlainDialer, panicking},
    *,
};

const CLUSTER: [u8; 32] = [5; 32];
const PATIENCE: Duration = Duration::from_secs(30);

/// One seat, with its listener; the listener outlives restarts so that the port stays ours.
struct Seat {
    id: u64,
    dir: TempDir,
    member: Member,
    running: Option<Running>,
    keep_bytes: u64,
}

struct Running {
    consensus: Consensus,
    machine: Arc<Collector>,
    stop: CancellationToken,
    server: JoinHandle<TcpListener>,
}

impl Seat {
    async fn new(id: u64) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let dir = tempfile::tempdir().unwrap();
        create_store(dir.path(), CLUSTER, id).unwrap();
        let member = Member {
            addr,
            name: format!("test/node/{id}"),
        };
        (
            Self {
                id,
                dir,
                member,
                running: None,
                keep_bytes: 256 << 20,
            },
            listener,
        )
    }

    async fn start(&mut self, listener: TcpListener) {
        let machine = Collector::open(self.dir.path());
        let config = RaftConfig {
            data_dir: self.dir.path().to_owned(),
            cluster_id: CLUSTER,
            node_id: self.id,
            timing: Timing::default(),
            retention: Retention {
                keep_bytes: self.keep_bytes,
                ..Retention::new(|| 0)
            },
            participation: Participation::Full,
        };
        let hooks = Hooks {
            machine: Arc::clone(&machine) as Arc<dyn Machine>,
            guard: Arc::new(MemoryGuard::default()),
            dialer: Arc::new(PlainDialer),
            gate: Arc::new(OpenGate),
            fatal: panicking(),
        };
        let consensus = Consensus::open(config, hooks).await.unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, consensus.clone(), stop.clone()));
        self.running = Some(Running {
            consensus,
            machine,
            stop,
            server,
        });
    }

    fn consensus(&self) -> &Consensus {
        &self.running.as_ref().unwrap().consensus
    }

    fn machine(&self) -> &Collector {
        &self.running.as_ref().unwrap().machine
    }

    /// Ends connections and Raft together, and gives the port back.
    async fn stop(&mut self) -> TcpListener {
        let Running {
            consensus,
            stop,
            server,
            ..
        } = self.running.take().unwrap();
        stop.cancel();
        consensus.shutdown().await;
        server.await.unwrap()
    }

    /// Leaves nothing in the log that a new node could be brought up with.
    async fn snapshot_and_purge(&self) {
        self.consensus().shorten_log().unwrap();
        let shortened = |s: &Status| s.snapshot.is_some() && s.purged.is_some();
        self.until("made a snapshot and purged", shortened).await;
    }

    async fn until(&self, what: &str, condition: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.consensus().status();
        let reached = tokio::time::timeout(PATIENCE, status.wait_for(condition)).await;
        let Ok(reached) = reached else {
            panic!(
                "node {} never {what}: {:?}",
                self.id,
                self.consensus().status()
            );
        };
        reached.unwrap().clone()
    }
}

/// Serves connections of the listener until `stop`, then ends them and gives it back.
async fn serve(
    listener: TcpListener,
    consensus: Consensus,
    stop: CancellationToken,
) -> TcpListener {
    let listener = listener.into_std().unwrap();
    let own = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
    let router = tonic::transport::Server::builder().add_service(consensus.peer_service());
    let incoming = TcpListenerStream::new(own);
    router
        .serve_with_incoming_shutdown(incoming, stop.cancelled())
        .await
        .unwrap();
    TcpListener::from_std(listener).unwrap()
}

struct Cluster {
    seats: Vec<Seat>,
}

impl Cluster {
    async fn of_three() -> Self {
        let mut seats = Vec::new();
        let mut listeners = Vec::new();
        for id in 1..=3 {
            let (seat, listener) = Seat::new(id).await;
            seats.push(seat);
            listeners.push(listener);
        }
        for (seat, listener) in seats.iter_mut().zip(listeners) {
            seat.start(listener).await;
        }
        let members: BTreeMap<u64, Member> = seats
            .iter()
            .map(|seat| (seat.id, seat.member.clone()))
            .collect();
        seats[0].consensus().initialize(members).await.unwrap();
        let cluster = Self { seats };
        let leader = cluster.leader().await;
        // A new leader proposes only once a quorum has followed it.
        let leader = cluster.seats[leader].consensus();
        leader.read_barrier(PATIENCE).await.unwrap();
        cluster
    }

    /// The place of a seat that leads, as all that run agree.
    async fn leader(&self) -> usize {
        let running: Vec<&Seat> = self.seats.iter().filter(|s| s.running.is_some()).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ids: BTreeSet<u64> = running.iter().map(|seat| seat.id).collect();
            let seen: BTreeSet<Option<u64>> = running
                .iter()
                .map(|seat| seat.consensus().status().borrow().leader)
                .collect();
            let leads = running
                .iter()
                .find(|seat| seat.consensus().status().borrow().role == Role::Leader);
            if let ([Some(id)], Some(seat)) = (Vec::from_iter(seen).as_slice(), leads)
                && ids.contains(id)
                && seat.id == *id
            {
                return self.seats.iter().position(|seat| seat.id == *id).unwrap();
            }
            assert!(Instant::now() < deadline, "no leader was found");
            let mut status = running[0].consensus().status();
            // Whether something changed or not, it is looked at again.
            drop(tokio::time::timeout(Duration::from_millis(50), status.changed()).await);
        }
    }

    /// Proposes until it is committed, whoever leads.
    async fn propose(&self, command: &str) -> Committed {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            let proposal = self.seats[leader].consensus().propose(bytes(command));
            match proposal.await {
                Ok(committed) => return committed,
                Err(error) => assert!(Instant::now() < deadline, "{command}: {error}"),
            }
        }
    }

    async fn all_applied(&self, index: u64) {
        for seat in self.seats.iter().filter(|seat| seat.running.is_some()) {
            seat.until("applied everything", |s| {
                s.applied.is_some_and(|p| p.index >= index)
            })
            .await;
        }
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_in_flight_keep_their_order_on_every_node() {
    let cluster = Cluster::of_three().await;
    let leader = &cluster.seats[cluster.leader().await];
    let mut pending = Vec::new();
    for number in 0..200 {
        pending.push(
            leader
                .consensus()
                .submit(bytes(&format!("c{number}")))
                .await
                .unwrap(),
        );
    }
    let mut last = 0;
    for (number, pending) in pending.into_iter().enumerate() {
        let committed = pending.outcome().await.unwrap();
        assert_eq!(committed.outcome, bytes(&(number + 1).to_string()));
        assert!(committed.position.index > last);
        last = committed.position.index;
    }
    cluster.all_applied(last).await;
    for seat in &cluster.seats {
        let commands = seat.machine().state().commands;
        let expected: Vec<Bytes> = (0..200).map(|n| bytes(&format!("c{n}"))).collect();
        assert_eq!(commands, expected);
        let barrier = seat.consensus().read_barrier(PATIENCE).await.unwrap();
        assert!(barrier.index >= last);
        seat.until("flushed", |s| s.flushed.is_some_and(|p| p.index >= last))
            .await;
    }
    let follower = cluster
        .seats
        .iter()
        .find(|seat| seat.id != leader.id)
        .unwrap();
    let refused = follower.consensus().propose(bytes("x")).await;
    assert_eq!(
        refused,
        Err(ProposeError::NotLeader {
            leader: Some(leader.id)
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_replaced_and_comes_back_with_everything() {
    let mut cluster = Cluster::of_three().await;
    for number in 0..20 {
        cluster.propose(&format!("before{number}")).await;
    }
    let old = cluster.leader().await;
    let killed = Instant::now();
    let listener = cluster.seats[old].stop().await;
    let committed = cluster.propose("after").await;
    let silence = killed.elapsed();
    assert!(
        silence < Duration::from_secs(10),
        "no writes for {silence:?}"
    );
    println!("writes resumed after {silence:?}");
    cluster.seats[old].start(listener).await;
    cluster.all_applied(committed.position.index).await;
    let states: Vec<_> = cluster
        .seats
        .iter()
        .map(|s| s.machine().state().commands)
        .collect();
    assert_eq!(states[0].len(), 21);
    assert!(states.iter().all(|state| *state == states[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_alone_commits_nothing_and_serves_no_barrier() {
    let mut cluster = Cluster::of_three().await;
    cluster.propose("one").await;
    let leader = cluster.leader().await;
    for at in (0..3).filter(|at| *at != leader) {
        cluster.seats[at].stop().await;
    }
    let alone = cluster.seats[leader].consensus();
    let barrier = alone.read_barrier(Duration::from_secs(2)).await;
    assert!(barrier.is_err(), "a barrier without a quorum: {barrier:?}");
    // Once its lease is over it refuses at once.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let proposal = tokio::time::timeout(Duration::from_secs(1), alone.propose(bytes("lost")));
        match proposal.await {
            Ok(Err(ProposeError::NoQuorum)) => break,
            Ok(Ok(committed)) => panic!("committed alone: {committed:?}"),
            Ok(Err(_)) | Err(_) => assert!(Instant::now() < deadline),
        }
    }
    assert_eq!(
        cluster.seats[leader].machine().state().commands,
        [bytes("one")]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_catches_up_by_snapshot_and_replaces_a_voter() {
    let mut cluster = Cluster::of_three().await;
    for number in 0..30 {
        cluster.propose(&format!("c{number}")).await;
    }
    let leader = cluster.leader().await;
    cluster.seats[leader].snapshot_and_purge().await;
    let (mut seat, listener) = Seat::new(4).await;
    seat.start(listener).await;
    let leading = cluster.seats[leader].consensus();
    leading.add_learner(4, seat.member.clone()).await.unwrap();
    leading.add_learner(4, seat.member.clone()).await.unwrap();
    let other = Member {
        addr: "127.0.0.1:1".into(),
        ..seat.member.clone()
    };
    assert!(matches!(
        leading.add_learner(4, other).await,
        Err(ChangeError::IdTaken { id: 4 })
    ));
    seat.until("installed a snapshot", |s| s.snapshot.is_some())
        .await;
    let end = leading.status().borrow().last_log.unwrap();
    seat.until("caught up", |s| s.applied.is_some_and(|p| p.index >= end))
        .await;
    let commands = cluster.seats[leader].machine().state().commands;
    assert_eq!(seat.machine().state().commands, commands);
    let matched = |s: &Status| s.matched.get(&4).copied().flatten().is_some();
    cluster.seats[leader]
        .until("heard of the learner", matched)
        .await;

    let old = (0..3).find(|at| *at != leader).unwrap();
    let (old_id, leader_id) = (cluster.seats[old].id, cluster.seats[leader].id);
    let refused = leading.remove(old_id).await;
    assert!(matches!(
        refused,
        Err(ChangeError::TooFewVoters { left: 2 })
    ));
    assert!(matches!(
        leading.remove(leader_id).await,
        Err(ChangeError::Leads { .. })
    ));
    leading.replace(old_id, 4).await.unwrap();
    let voters = leading.status().borrow().voters.clone();
    assert!(
        voters.contains(&4) && !voters.contains(&old_id),
        "{voters:?}"
    );
    cluster.seats[old].stop().await;
    cluster.seats.push(seat);
    let committed = cluster.propose("with the new one").await;
    cluster.seats[3]
        .until("applied", |s| s.applied >= Some(committed.position))
        .await;

    // The installed state and the snapshot are there after a restart.
    let listener = cluster.seats[3].stop().await;
    cluster.seats[3].start(listener).await;
    cluster.seats[3]
        .until("applied again", |s| s.applied >= Some(committed.position))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_swallows_everything_does_not_delay_the_others() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let victim = (0..3).find(|at| *at != leader).unwrap();
    let black_hole = cluster.seats[victim].stop().await;
    // The port accepts connections and reads them, and never answers.
    let swallow = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = black_hole.accept().await {
            held.push(stream);
        }
    });
    for number in 0..50 {
        let proposal = cluster.seats[leader]
            .consensus()
            .propose(bytes(&format!("c{number}")));
        let committed = tokio::time::timeout(Duration::from_secs(5), proposal).await;
        assert!(matches!(committed, Ok(Ok(_))), "{number}: {committed:?}");
    }
    swallow.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_neither_follows_nor_votes() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let (silent, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.seats[silent]
        .consensus()
        .participate(Participation::Silent);
    cluster.propose("without the silent one").await;
    let behind = cluster.seats[silent].machine().state().commands.len();
    cluster.seats[other].stop().await;
    let proposal = cluster.seats[leader]
        .consensus()
        .propose(bytes("needs the silent one"));
    let answer = tokio::time::timeout(Duration::from_secs(3), proposal).await;
    assert!(
        !matches!(answer, Ok(Ok(_))),
        "a silent node acknowledged: {answer:?}"
    );
    assert_eq!(
        cluster.seats[silent].machine().state().commands.len(),
        behind
    );
}

/// Speaks to one seat as a peer would, with every id wrong in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_for_another_cluster_or_node_are_refused() {
    use aimslog_proto::pb::raft::v1::{self as pb, peer_service_client::PeerServiceClient};
    let cluster = Cluster::of_three().await;
    let seat = &cluster.seats[0];
    let channel = PlainDialer.dial(seat.id, &seat.member).unwrap();
    let mut client = PeerServiceClient::new(channel);
    let envelope = |cluster_id: [u8; 32], target_id| {
        Some(pb::Envelope {
            cluster_id: cluster_id.to_vec(),
            target_id,
            sender_id: 2,
        })
    };
    let vote = Some(pb::VoteState {
        term: 1_000,
        node_id: 2,
        committed: false,
    });
    for (name, envelope) in [
        ("no envelope", None),
        ("another cluster", envelope([6; 32], 1)),
        ("another target", envelope(CLUSTER, 2)),
    ] {
        let request = pb::VoteRequest {
            envelope,
            vote,
            ..pb::VoteRequest::default()
        };
        assert!(client.vote(request).await.is_err(), "{name} was let in");
    }
    assert!(seat.consensus().status().borrow().vote.term < 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarting_node_does_not_raise_the_term() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let term = cluster.propose("before").await.position.term;
    let away = (leader + 1) % 3;
    for _ in 0..3 {
        let listener = cluster.seats[away].stop().await;
        cluster.propose("meanwhile").await;
        cluster.seats[away].start(listener).await;
        let end = cluster.propose("back").await.position;
        cluster.seats[away]
            .until("caught up", |s| s.applied >= Some(end))
            .await;
        assert_eq!(end.term, term);
    }
}

#[tokio::test]
async fn the_folder_of_another_node_or_cluster_is_refused() {
    let (seat, _listener) = Seat::new(1).await;
    let hooks = || Hooks {
        machine: Collector::open(seat.dir.path()),
        guard: Arc::new(MemoryGuard::default()),
        dialer: Arc::new(PlainDialer),
        gate: Arc::new(OpenGate),
        fatal: panicking(),
    };
    for (cluster_id, node_id) in [([6; 32], 1), (CLUSTER, 2)] {
        let config = RaftConfig {
            data_dir: seat.dir.path().to_owned(),
            cluster_id,
            node_id,
            timing: Timing::default(),
            retention: Retention::new(|| 0),
            participation: Participation::Full,
        };
        let refused = Consensus::open(config, hooks()).await;
        assert!(matches!(
            refused,
            Err(OpenError::OtherIdentity {
                found: 1,
                cluster: CLUSTER
            })
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_bounded_by_bytes() {
    let (mut seat, listener) = Seat::new(1).await;
    seat.keep_bytes = 2 << 20;
    seat.start(listener).await;
    let members = BTreeMap::from([(1, seat.member.clone())]);
    seat.consensus().initialize(members).await.unwrap();
    seat.until("led", |s| s.role == Role::Leader).await;
    for number in 0..12_u8 {
        let command = Bytes::from(vec![number; 1 << 20]);
        seat.consensus().propose(command).await.unwrap();
    }
    seat.until("purged", |s| s.purged.is_some_and(|p| p.index >= 5))
        .await;
    let snapshot = seat
        .until("made a snapshot", |s| s.snapshot.is_some())
        .await
        .snapshot;
    assert!(snapshot >= seat.consensus().status().borrow().purged);
}
