//! Which start is healthy, which is amnesia, and what a peer's memory adds.

use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Hash, RootHash, TreeHead, TreeSize};

use super::*;
use crate::ledger::guard_record::SignedCut;

const OWN: Identity = Identity {
    cluster: [7; 32],
    node: 1,
};
const OTHER: Identity = Identity {
    cluster: [7; 32],
    node: 2,
};

fn position(term: u64, index: u64) -> Position {
    Position {
        term,
        leader: 1,
        index,
    }
}

fn vote(term: u64, node: u64) -> Vote {
    Vote {
        term,
        node,
        committed: false,
    }
}

fn head(size: u64) -> TreeHead {
    TreeHead {
        size: TreeSize(size),
        root: RootHash::from_hash(Hash::from_bytes([1; 32])),
    }
}

fn promised() -> GuardRecord {
    GuardRecord {
        identity: OWN,
        incarnation: 3,
        vote: GuardedVote {
            term: 4,
            voted_for: Some(2),
        },
        signed: Some(SignedCut {
            position: position(3, 50),
            head: head(10),
        }),
    }
}

fn data(log_end: Option<Position>, vote: Option<Vote>) -> DataState {
    DataState {
        identity: Some(OWN),
        log_end,
        vote,
    }
}

fn whole() -> DataState {
    data(Some(position(4, 60)), Some(vote(4, 2)))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, a row per case")]
fn start_is_judged_by_guard_and_data() {
    let present = || GuardState::Present(promised());
    let fresh = || GuardState::Present(GuardRecord::fresh(OWN).started());
    let foreign = || {
        GuardState::Present(GuardRecord {
            identity: OTHER,
            ..promised()
        })
    };
    let rows: [(&str, GuardState, DataState, Option<&str>); 16] = [
        ("all there", present(), whole(), None),
        (
            "log ends at the cut",
            present(),
            data(Some(position(3, 50)), Some(vote(4, 2))),
            None,
        ),
        (
            "newer vote",
            present(),
            data(Some(position(4, 60)), Some(vote(9, 1))),
            None,
        ),
        (
            "never started",
            GuardState::Missing,
            DataState::default(),
            None,
        ),
        ("made by init", GuardState::Missing, data(None, None), None),
        (
            "stopped before its first vote",
            fresh(),
            data(None, None),
            None,
        ),
        (
            "vote stored, guard not",
            fresh(),
            data(None, Some(vote(1, 1))),
            None,
        ),
        (
            "log rolled back",
            present(),
            data(Some(position(4, 49)), Some(vote(4, 2))),
            Some("LOG_BEHIND_GUARD"),
        ),
        (
            "log of an older term",
            present(),
            data(Some(position(2, 90)), Some(vote(4, 2))),
            Some("LOG_BEHIND_GUARD"),
        ),
        (
            "log gone, vote there",
            present(),
            data(None, Some(vote(4, 2))),
            Some("LOG_BEHIND_GUARD"),
        ),
        (
            "vote rolled back",
            present(),
            data(Some(position(4, 60)), Some(vote(3, 2))),
            Some("VOTE_BEHIND_GUARD"),
        ),
        (
            "other vote, same term",
            present(),
            data(Some(position(4, 60)), Some(vote(4, 1))),
            Some("VOTE_BEHIND_GUARD"),
        ),
        (
            "guard lost",
            GuardState::Missing,
            whole(),
            Some("GUARD_MISSING"),
        ),
        (
            "guard rotten",
            GuardState::Unreadable,
            whole(),
            Some("GUARD_UNREADABLE"),
        ),
        (
            "data lost",
            present(),
            DataState::default(),
            Some("DATA_MISSING"),
        ),
        (
            "guard of another node",
            foreign(),
            whole(),
            Some("GUARD_OF_ANOTHER"),
        ),
    ];
    for (what, guard, data, expected) in rows {
        let found = match examine(OWN, &guard, &data) {
            Examination::Healthy(_) => None,
            Examination::Amnesia(amnesia) => Some(amnesia.guard_name()),
        };
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn data_of_another_node_or_cluster_is_amnesia() {
    for found in [
        OTHER,
        Identity {
            cluster: [8; 32],
            node: 1,
        },
    ] {
        let data = DataState {
            identity: Some(found),
            ..whole()
        };
        let verdict = examine(OWN, &GuardState::Present(promised()), &data);
        assert_eq!(
            verdict,
            Examination::Amnesia(Amnesia::DataOfAnother {
                found,
                expected: OWN
            })
        );
    }
}

/// The node runs honestly for a while; then any earlier image of its data is put under its
/// newest guard. Only an image that lost nothing promised may pass.
#[test]
fn every_older_image_of_the_data_is_noticed() {
    let mut images = vec![(data(None, None), GuardRecord::fresh(OWN).started())];
    for round in 1..6 {
        let (mut data, mut guard) = *images.last().unwrap();
        data.vote = Some(vote(round, 1));
        guard = guard.voted(GuardedVote::from(&vote(round, 1))).unwrap();
        images.push((data, guard));
        data.log_end = Some(position(round, round * 10));
        let cut = CutNote {
            position: position(round, round * 10),
            time: UnixMillis(0),
            tree: head(round * 2),
        };
        guard = guard.cosigning(&cut).unwrap();
        images.push((data, guard));
    }
    for (at, (_, guard)) in images.iter().enumerate() {
        for (older, (data, _)) in images.iter().enumerate().take(at) {
            let verdict = examine(OWN, &GuardState::Present(*guard), data);
            assert!(
                matches!(verdict, Examination::Amnesia(_)),
                "data {older} under guard {at}"
            );
        }
        let verdict = examine(OWN, &GuardState::Present(*guard), &images[at].0);
        assert!(
            matches!(verdict, Examination::Healthy(_)),
            "data and guard {at}"
        );
    }
}

#[test]
fn peer_that_remembers_more_fires_the_guard_by_name() {
    let own = Memory {
        incarnation: 3,
        signed_size: 10,
        vote_term: 4,
        cut_index: 50,
        log_index: 60,
    };
    assert_eq!(examine_peer(2, &own, &own), None);
    assert_eq!(examine_peer(2, &Memory::default(), &own), None);
    let rows = [
        (
            Memory {
                incarnation: 4,
                ..own
            },
            "PEER_REMEMBERS_INCARNATION",
        ),
        (
            Memory {
                signed_size: 11,
                ..own
            },
            "PEER_REMEMBERS_HEAD",
        ),
        (
            Memory {
                vote_term: 5,
                ..own
            },
            "PEER_REMEMBERS_VOTE",
        ),
        (
            Memory {
                cut_index: 51,
                ..own
            },
            "PEER_REMEMBERS_CUT",
        ),
        (
            Memory {
                log_index: 61,
                ..own
            },
            "PEER_REMEMBERS_LOG",
        ),
    ];
    for (remembered, expected) in rows {
        let amnesia = examine_peer(2, &remembered, &own).unwrap();
        assert_eq!(amnesia.guard_name(), expected);
        assert!(amnesia.to_string().contains("node 2"), "{amnesia}");
    }
}

fn opened(dir: &Path, data: &DataState) -> Guard {
    match Guard::open(dir, OWN, data).unwrap() {
        Opened::Healthy(guard) => guard,
        Opened::Amnesia(amnesia) => panic!("{amnesia}"),
    }
}

#[test]
fn guard_on_disk_remembers_votes_cuts_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    let guard = opened(folder.path(), &DataState::default());
    assert_eq!(guard.record().incarnation, 1);
    guard.vote_stored(&vote(4, 2)).unwrap();
    let cut = CutNote {
        position: position(4, 50),
        time: UnixMillis(0),
        tree: head(10),
    };
    guard.cosigning(&cut).unwrap();
    assert!(
        guard.vote_stored(&vote(3, 2)).is_err(),
        "a vote never goes back"
    );
    drop(guard);
    let again = opened(folder.path(), &whole());
    let expected = SignedCut {
        position: cut.position,
        head: cut.tree,
    };
    assert_eq!(again.record().incarnation, 2);
    assert_eq!(again.record().signed, Some(expected));
    assert_eq!(
        again.record().vote,
        GuardedVote {
            term: 4,
            voted_for: Some(2)
        }
    );
    drop(again);
    let lost = Guard::open(folder.path(), OWN, &DataState::default()).unwrap();
    assert!(matches!(lost, Opened::Amnesia(Amnesia::DataMissing)));
}

#[test]
fn amnesia_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path(), &DataState::default()));
    let path = folder.path().join(super::super::guard_file::GUARD_FILE);
    let before = std::fs::read(&path).unwrap();
    let foreign = Identity { node: 5, ..OWN };
    let verdict = Guard::open(folder.path(), foreign, &DataState::default()).unwrap();
    assert!(matches!(
        verdict,
        Opened::Amnesia(Amnesia::GuardOfAnother { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
