//! A signature leaves only for a head that this node computed, whose log it has flushed, that it
//! verified, that every peer it could reach agrees on, and that its guard already holds: for every
//! order of events. The model below keeps the books of the outside world independently and checks
//! each release against them.

use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Hash, TreeHead};
use proptest::prelude::*;

use super::*;
use crate::ledger::guard_record::Identity;

const OWN: Identity = Identity {
    cluster: [7; 32],
    node: 1,
};
const NOW_MS: u64 = 1_000_000;

mod model;

fn root(byte: u8) -> RootHash {
    RootHash::from_hash(Hash::from_bytes([byte; 32]))
}

/// The root of this node's own tree at a size, unless a test says otherwise.
fn own_root(size: u64) -> RootHash {
    root(u8::try_from(size % 200).unwrap())
}

fn position(index: u64) -> Position {
    Position {
        term: 1,
        leader: 2,
        index,
    }
}

fn cut(index: u64, size: u64) -> CutNote {
    let tree = TreeHead {
        size: TreeSize(size),
        root: own_root(size),
    };
    CutNote {
        position: position(index),
        time: UnixMillis(NOW_MS),
        tree,
    }
}

fn fresh() -> GuardRecord {
    GuardRecord::fresh(OWN)
}

/// A node with two peers that may sign, has flushed and verified everything.
fn ready() -> CosignState {
    let mut state = CosignState::new(&fresh());
    state.step(Event::MaySign(Permission::Given));
    state.step(Event::Peers(BTreeSet::from([2, 3])));
    state.step(Event::Flushed(position(1_000)));
    state.step(Event::Verified(TreeSize(1_000)));
    state
}

fn cut_event(cut: CutNote) -> Event {
    Event::Cut {
        cut,
        now_ms: NOW_MS,
    }
}

fn agrees(peer: u64, size: u64) -> Event {
    Event::PeerRoot {
        peer,
        size: TreeSize(size),
        root: own_root(size),
    }
}

fn silent(peer: u64, size: u64) -> Event {
    Event::PeerSilent {
        peer,
        size: TreeSize(size),
    }
}

fn ask(size: u64, awaited: &[u64], background: &[u64]) -> Action {
    let (awaited, background) = (awaited.to_vec(), background.to_vec());
    Action::AskRoots {
        size: TreeSize(size),
        awaited,
        background,
    }
}

/// Signs one cut with both peers agreeing.
fn sign(state: &mut CosignState, cut: CutNote) {
    state.step(cut_event(cut));
    if let Some(signed) = state.signed {
        let size = signed.head.size;
        state.step(Event::OwnRoot {
            size,
            root: Some(signed.head.root),
        });
    }
    state.step(agrees(2, cut.tree.size.0));
    assert_eq!(
        state.step(agrees(3, cut.tree.size.0)),
        vec![Action::WriteGuard(cut)]
    );
    assert_eq!(state.step(Event::Guarded(cut)), vec![Action::Release(cut)]);
}

#[test]
fn asks_then_guards_then_releases() {
    let mut state = ready();
    let cut = cut(10, 5);
    assert_eq!(state.step(cut_event(cut)), vec![ask(5, &[2, 3], &[])]);
    assert_eq!(state.step(agrees(2, 5)), vec![]);
    assert_eq!(state.step(agrees(3, 5)), vec![Action::WriteGuard(cut)]);
    assert_eq!(state.step(Event::Guarded(cut)), vec![Action::Release(cut)]);
}

#[test]
fn waits_for_flush_and_verification() {
    let mut state = CosignState::new(&fresh());
    state.step(Event::MaySign(Permission::Given));
    let cut = cut(10, 5);
    assert_eq!(state.step(cut_event(cut)), vec![]);
    assert_eq!(state.step(Event::Flushed(position(9))), vec![]);
    assert_eq!(state.step(Event::Verified(TreeSize(4))), vec![]);
    assert_eq!(state.step(Event::Flushed(position(10))), vec![]);
    assert_eq!(
        state.step(Event::Verified(TreeSize(5))),
        vec![Action::WriteGuard(cut)]
    );
}

#[test]
fn silent_peer_is_skipped_and_not_waited_for_until_it_answers() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    state.step(agrees(2, 5));
    assert_eq!(
        state.step(silent(3, 5)),
        vec![Action::WriteGuard(cut(10, 5))]
    );
    state.step(Event::Guarded(cut(10, 5)));
    let read = Action::ReadOwnRoot { size: TreeSize(5) };
    assert_eq!(
        state.step(cut_event(cut(11, 6))),
        vec![read, ask(6, &[2], &[3])]
    );
    state.step(Event::OwnRoot {
        size: TreeSize(5),
        root: Some(own_root(5)),
    });
    assert_eq!(
        state.step(agrees(2, 6)),
        vec![Action::WriteGuard(cut(11, 6))]
    );
    state.step(Event::Guarded(cut(11, 6)));
    // Its answer comes in the background, so the next cut waits for it again.
    assert_eq!(state.step(agrees(3, 6)), vec![]);
    assert!(
        state
            .step(cut_event(cut(12, 7)))
            .contains(&ask(7, &[2, 3], &[]))
    );
}

#[test]
fn late_timeout_of_an_earlier_cut_does_not_silence_a_peer() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    state.step(cut_event(cut(11, 6)));
    assert_eq!(state.step(silent(3, 5)), vec![]);
    assert_eq!(state.step(agrees(2, 6)), vec![]);
    assert_eq!(
        state.step(agrees(3, 6)),
        vec![Action::WriteGuard(cut(11, 6))]
    );
}

#[test]
fn another_root_is_a_fork_and_releases_nothing() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    let fork = Action::RaiseFork {
        peer: 3,
        size: TreeSize(5),
        own: own_root(5),
        theirs: root(99),
    };
    let differs = Event::PeerRoot {
        peer: 3,
        size: TreeSize(5),
        root: root(99),
    };
    assert_eq!(state.step(differs), vec![fork]);
    assert_eq!(state.step(agrees(2, 5)), vec![]);
    // Falling silent afterwards takes nothing back, not for later cuts either.
    state.step(cut_event(cut(11, 6)));
    state.step(agrees(2, 6));
    assert_eq!(state.step(silent(3, 6)), vec![]);
    // Only when it is no voter any more does the rest go on.
    let actions = state.step(Event::Peers(BTreeSet::from([2])));
    assert_eq!(actions, vec![Action::WriteGuard(cut(11, 6))]);
}

#[test]
fn fork_found_while_the_guard_is_written_stops_the_signature() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    state.step(agrees(2, 5));
    state.step(silent(3, 5));
    state.step(Event::PeerRoot {
        peer: 3,
        size: TreeSize(5),
        root: root(99),
    });
    let declined = Action::Decline {
        cut: cut(10, 5),
        reason: Declined::Withheld,
    };
    assert_eq!(state.step(Event::Guarded(cut(10, 5))), vec![declined]);
}

#[test]
fn failed_guard_stops_everything() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    state.step(agrees(2, 5));
    state.step(agrees(3, 5));
    assert_eq!(state.step(Event::GuardFailed), vec![Action::Stop]);
    assert_eq!(state.step(Event::Guarded(cut(10, 5))), vec![]);
    assert_eq!(state.step(cut_event(cut(11, 6))), vec![]);
}

#[test]
fn same_cut_sent_twice_keeps_what_was_learned() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    state.step(agrees(2, 5));
    assert_eq!(state.step(cut_event(cut(11, 5))), vec![]);
    assert_eq!(
        state.step(agrees(3, 5)),
        vec![Action::WriteGuard(cut(11, 5))]
    );
    state.step(Event::Guarded(cut(11, 5)));
    // Once signed, the same head is signed again under a later cut: the leader may have lost it.
    state.step(cut_event(cut(12, 5)));
    state.step(Event::OwnRoot {
        size: TreeSize(5),
        root: Some(own_root(5)),
    });
    state.step(agrees(2, 5));
    assert_eq!(
        state.step(agrees(3, 5)),
        vec![Action::WriteGuard(cut(12, 5))]
    );
}

#[test]
fn older_smaller_and_future_cuts_are_declined() {
    let mut state = ready();
    sign(&mut state, cut(10, 5));
    let future = CutNote {
        time: UnixMillis(NOW_MS + CUT_AHEAD_MS_MAX + 1),
        ..cut(11, 6)
    };
    let rows = [
        (cut(9, 5), Declined::Older),
        (cut(11, 4), Declined::Older),
        (
            future,
            Declined::FutureDated {
                ahead_ms: CUT_AHEAD_MS_MAX + 1,
            },
        ),
    ];
    for (cut, reason) in rows {
        assert_eq!(
            state.step(cut_event(cut)),
            vec![Action::Decline { cut, reason }]
        );
    }
    let edge = CutNote {
        time: UnixMillis(NOW_MS + CUT_AHEAD_MS_MAX),
        ..cut(11, 6)
    };
    assert!(state.step(cut_event(edge)).contains(&ask(6, &[2, 3], &[])));
}

#[test]
fn tree_that_lost_its_signed_root_is_corrupt_for_good() {
    for found in [None, Some(root(77))] {
        let mut state = ready();
        sign(&mut state, cut(10, 5));
        state.step(cut_event(cut(11, 6)));
        let size = TreeSize(5);
        let corrupt = Action::RaiseCorrupt {
            size,
            own: found,
            signed: own_root(5),
        };
        assert_eq!(
            state.step(Event::OwnRoot { size, root: found }),
            vec![corrupt]
        );
        assert_eq!(state.step(Event::MaySign(Permission::Given)), vec![]);
        let declined = Action::Decline {
            cut: cut(12, 7),
            reason: Declined::Withheld,
        };
        assert_eq!(state.step(cut_event(cut(12, 7))), vec![declined]);
    }
}

#[test]
fn same_size_with_another_root_is_never_signed() {
    let mut state = ready();
    sign(&mut state, cut(10, 5));
    let tree = TreeHead {
        size: TreeSize(5),
        root: root(77),
    };
    let forged = CutNote { tree, ..cut(11, 5) };
    let mut actions = state.step(cut_event(forged));
    for event in [
        Event::OwnRoot {
            size: TreeSize(5),
            root: Some(own_root(5)),
        },
        Event::PeerRoot {
            peer: 2,
            size: TreeSize(5),
            root: root(77),
        },
        Event::PeerRoot {
            peer: 3,
            size: TreeSize(5),
            root: root(77),
        },
    ] {
        actions.extend(state.step(event));
    }
    assert!(!actions.contains(&Action::WriteGuard(forged)));
    let corrupt = Action::RaiseCorrupt {
        size: TreeSize(5),
        own: Some(root(77)),
        signed: own_root(5),
    };
    assert_eq!(actions.last(), Some(&corrupt));
}

#[test]
fn without_permission_nothing_begins() {
    let mut state = ready();
    state.step(cut_event(cut(10, 5)));
    let declined = Action::Decline {
        cut: cut(10, 5),
        reason: Declined::Withheld,
    };
    assert_eq!(
        state.step(Event::MaySign(Permission::Withheld)),
        vec![declined]
    );
    assert_eq!(state.step(agrees(2, 5)), vec![]);
    assert_eq!(state.step(agrees(3, 5)), vec![]);
}
