//! What a node says of itself, and what it lets others hold against it.

use super::Probation::{Passed, Waiting};
use super::*;
use crate::clock::FixedClock;
use crate::ledger::guard::Amnesia;
use crate::ledger::guard_record::{GuardedVote, Identity};
use crate::raft::{Position, Role, Vote};
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Frontier, TreeHead};
use bytes::Bytes;

fn at(index: u64) -> Position {
    Position {
        term: 1,
        leader: 1,
        index,
    }
}

fn status() -> Status {
    Status {
        id: 1,
        role: Role::Leader,
        vote: Vote {
            term: 1,
            node: 1,
            committed: true,
        },
        leader: Some(1),
        last_log: Some(90),
        flushed: Some(at(80)),
        committed: Some(at(70)),
        applied: Some(at(70)),
        snapshot: None,
        purged: None,
        voters: BTreeSet::from([1, 2, 3]),
        learners: BTreeSet::new(),
        members: BTreeMap::new(),
        last_quorum_ack: None,
        matched: BTreeMap::from([(2, Some(at(60))), (3, Some(at(85))), (4, None)]),
    }
}

fn report(status: Status, log_end_at_start: Option<u64>) -> OwnReport {
    let identity = Identity {
        cluster: [7; 32],
        node: 1,
    };
    let vote = GuardedVote {
        term: 4,
        voted_for: Some(2),
    };
    let record = GuardRecord::fresh(identity).started().voted(vote).unwrap();
    let tree = Frontier::EMPTY;
    let progress = LedgerProgress {
        applied: None,
        founded: false,
        level: 1,
        time: UnixMillis(0),
        time_term: None,
        tree: TreeHead {
            size: tree.size(),
            root: tree.root(),
        },
        cut: None,
        head: None,
        trusted_head: None,
        corrupt: None,
    };
    OwnReport::new(
        1,
        ReportSources {
            log_end_at_start,
            guard: watch::channel(record).1,
            status: watch::channel(status).1,
            progress: watch::channel(progress).1,
            verified: watch::channel(TreeSize(0)).1,
            alarms: Alarms::new(Waiting),
            ring: Arc::default(),
            clock: Arc::new(FixedClock::at_millis(5)),
        },
    )
}

#[test]
fn a_report_promises_no_more_than_the_node_must_know_later() {
    let report = report(status(), Some(95));
    let told = report.now().memory;
    assert_eq!(
        (told.log_index, told.vote_term, told.incarnation),
        (70, 4, 1)
    );
    assert_eq!(
        report.own_memory().log_index,
        95,
        "raft has not read all of it"
    );
    assert_eq!(examine_peer(2, &told, &report.own_memory()), None);
}

#[test]
fn only_committed_entries_count_as_acknowledged() {
    let report = report(status(), None);
    let acknowledged: Vec<_> = (2..6).map(|node| report.acknowledged_by(node)).collect();
    assert_eq!(acknowledged, [Some(60), Some(70), None, None]);
    let follower = Status {
        matched: BTreeMap::new(),
        ..status()
    };
    assert_eq!(self::report(follower, None).acknowledged_by(2), None);
}

fn answer(remembered: Option<u64>, acknowledged: Option<u64>) -> HelloAnswer {
    HelloAnswer {
        report: Report::default(),
        remembered: remembered.map(|log_index| Memory {
            log_index,
            ..Memory::default()
        }),
        acknowledged,
        removal: Bytes::new(),
    }
}

/// The node was set back to an instant after its last report and before its last acknowledgement.
#[test]
fn acknowledgements_are_held_against_a_node_on_probation_alone() {
    let own = Memory {
        log_index: 50,
        ..Memory::default()
    };
    let fires = |answer: &HelloAnswer, probation| {
        held_against(answer, probation).and_then(|memory| examine_peer(2, &memory, &own))
    };
    let log = |remembered| Amnesia::PeerRemembersLog {
        peer: 2,
        remembered,
        own: 50,
    };
    let table = [
        ("nothing known", None, None, Waiting, None),
        ("as far as the node", Some(50), Some(50), Waiting, None),
        (
            "newer acknowledgement",
            Some(50),
            Some(51),
            Waiting,
            Some(log(51)),
        ),
        (
            "acknowledgement alone",
            None,
            Some(51),
            Waiting,
            Some(log(51)),
        ),
        (
            "memory ahead of both",
            Some(60),
            Some(51),
            Waiting,
            Some(log(60)),
        ),
        ("a status may trail", Some(50), Some(51), Passed, None),
        (
            "memory always counts",
            Some(60),
            Some(51),
            Passed,
            Some(log(60)),
        ),
    ];
    for (name, remembered, acknowledged, probation, expected) in table {
        let answer = answer(remembered, acknowledged);
        assert_eq!(fires(&answer, probation), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn old_clocks_and_learners_do_not_count() {
    let memories = PeerMemories::default();
    let heard = |node, clock_ms| Heard {
        report: Report {
            node,
            clock_ms,
            ..Report::default()
        },
        at: Instant::now(),
        clock_ms: 50_000,
        under_way: Duration::ZERO,
    };
    memories.hear(heard(2, 53_000));
    tokio::time::advance(CLOCK_AGE_MAX + Duration::from_millis(1)).await;
    memories.hear(heard(3, 51_000));
    memories.hear(heard(4, 90_000));
    let voters = BTreeSet::from([1, 2, 3]);
    assert_eq!(
        fresh_offsets(&memories.views(), &voters, Instant::now()),
        vec![1_000]
    );
}
