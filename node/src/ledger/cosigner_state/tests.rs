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

/// What may happen next, in the model.
#[derive(Debug, Clone)]
enum Step {
    Cut { grow: u64 },
    ReplayCut,
    Flush(u64),
    Verify(u64),
    Answer { peer: u64, lag: usize, honest: bool },
    Silence(u64),
    ReadOwn { honest: bool },
    GuardPersists,
    GuardFails { persisted: bool },
    Peers(u8),
    Permit(bool),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3).prop_map(|grow| Step::Cut { grow }),
        1 => Just(Step::ReplayCut),
        4 => (0u64..4).prop_map(Step::Flush),
        4 => (0u64..5).prop_map(Step::Verify),
        8 => (2u64..5, 0usize..3, prop::bool::weighted(0.97))
            .prop_map(|(peer, lag, honest)| Step::Answer { peer, lag, honest }),
        3 => (2u64..5).prop_map(Step::Silence),
        5 => prop::bool::weighted(0.98).prop_map(|honest| Step::ReadOwn { honest }),
        6 => Just(Step::GuardPersists),
        1 => any::<bool>().prop_map(|persisted| Step::GuardFails { persisted }),
        1 => (0u8..8).prop_map(Step::Peers),
        2 => prop::bool::weighted(0.8).prop_map(Step::Permit),
    ]
}

/// The outside world, with its own books.
struct World {
    state: CosignState,
    cuts: Vec<CutNote>,
    flushed: u64,
    verified: u64,
    peers: BTreeSet<u64>,
    permitted: bool,
    /// Roots by (peer, size) that contradict, while the peer votes.
    contradicted: BTreeSet<u64>,
    /// Peers heard at a size: agreed, or given the time.
    heard: BTreeSet<(u64, u64)>,
    /// Peers that were asked at a size without being awaited, since they were silent before.
    excused: BTreeSet<(u64, u64)>,
    own_reads: Vec<TreeSize>,
    guard_asked: Option<CutNote>,
    guard_disk: Option<CutNote>,
    failed: bool,
    corrupt: bool,
    released: Vec<CutNote>,
}

impl World {
    fn new() -> Self {
        let mut state = CosignState::new(&fresh());
        state.step(Event::MaySign(Permission::Given));
        state.step(Event::Peers(BTreeSet::from([2, 3])));
        Self {
            state,
            cuts: Vec::new(),
            flushed: 0,
            verified: 0,
            peers: BTreeSet::from([2, 3]),
            permitted: true,
            contradicted: BTreeSet::new(),
            heard: BTreeSet::new(),
            excused: BTreeSet::new(),
            own_reads: Vec::new(),
            guard_asked: None,
            guard_disk: None,
            failed: false,
            corrupt: false,
            released: Vec::new(),
        }
    }

    fn feed(&mut self, event: Event) {
        for action in self.state.step(event) {
            match action {
                Action::AskRoots {
                    size, background, ..
                } => {
                    self.excused
                        .extend(background.into_iter().map(|peer| (peer, size.0)));
                }
                Action::ReadOwnRoot { size } => self.own_reads.push(size),
                Action::WriteGuard(cut) => {
                    assert_eq!(self.guard_asked, None, "one write at a time");
                    self.guard_asked = Some(cut);
                }
                Action::Release(cut) => self.check_release(cut),
                Action::RaiseCorrupt { .. } => self.corrupt = true,
                Action::RaiseFork { .. } | Action::Decline { .. } | Action::Stop => {}
            }
        }
    }

    fn check_release(&mut self, cut: CutNote) {
        let size = cut.tree.size.0;
        assert!(self.cuts.contains(&cut), "noted at apply");
        assert!(self.flushed >= cut.position.index, "log flushed");
        assert!(self.verified >= size, "contents verified");
        assert_eq!(self.guard_disk, Some(cut), "guard holds it");
        assert!(self.permitted && !self.failed && !self.corrupt, "standing");
        assert!(self.contradicted.is_empty(), "nobody contradicts");
        if let Some(last) = self.released.last() {
            assert!(size >= last.tree.size.0, "never smaller");
            assert!(
                size > last.tree.size.0 || cut.tree.root == last.tree.root,
                "no other root"
            );
        }
        self.released.push(cut);
    }

    /// Before a guard is written every peer must have had its say at that size.
    fn check_guard_write(&self, cut: &CutNote) {
        let size = cut.tree.size.0;
        for peer in &self.peers {
            let said = self.heard.contains(&(*peer, size)) || self.excused.contains(&(*peer, size));
            assert!(said, "peer {peer} had no say at size {size}");
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Cut { grow } => {
                let last = self
                    .cuts
                    .last()
                    .map_or((1, 1), |cut| (cut.position.index, cut.tree.size.0));
                let next = cut(last.0 + 1, last.1 + grow);
                self.cuts.push(next);
                self.feed(cut_event(next));
            }
            Step::ReplayCut => {
                if let Some(first) = self.cuts.first().copied() {
                    self.feed(cut_event(first));
                }
            }
            Step::Flush(more) => {
                self.flushed += more;
                self.feed(Event::Flushed(position(self.flushed)));
            }
            Step::Verify(more) => {
                self.verified += more;
                self.feed(Event::Verified(TreeSize(self.verified)));
            }
            Step::Answer { peer, lag, honest } => self.answer(peer, lag, honest),
            Step::Silence(peer) => {
                if let Some(size) = self.state.pending().map(|cut| cut.tree.size.0) {
                    self.heard.insert((peer, size));
                    self.feed(silent(peer, size));
                }
            }
            Step::ReadOwn { honest } => {
                if let Some(size) = self.own_reads.pop() {
                    let found = if honest { Some(own_root(size.0)) } else { None };
                    self.feed(Event::OwnRoot { size, root: found });
                }
            }
            Step::GuardPersists => {
                if let Some(cut) = self.guard_asked.take() {
                    self.guard_disk = Some(cut);
                    self.feed(Event::Guarded(cut));
                }
            }
            Step::GuardFails { persisted } => {
                if let Some(cut) = self.guard_asked.take() {
                    if persisted {
                        self.guard_disk = Some(cut);
                    }
                    self.failed = true;
                    self.feed(Event::GuardFailed);
                }
            }
            Step::Peers(bits) => {
                self.peers = (2..5)
                    .filter(|peer| bits & (1 << (peer - 2)) != 0)
                    .collect();
                self.contradicted.retain(|peer| self.peers.contains(peer));
                self.feed(Event::Peers(self.peers.clone()));
            }
            Step::Permit(given) => {
                self.permitted = given;
                let permission = if given {
                    Permission::Given
                } else {
                    Permission::Withheld
                };
                self.feed(Event::MaySign(permission));
            }
        }
    }

    fn answer(&mut self, peer: u64, lag: usize, honest: bool) {
        let Some(cut) = self.cuts.iter().rev().nth(lag).copied() else {
            return;
        };
        let size = cut.tree.size;
        if honest {
            self.heard.insert((peer, size.0));
            if self.cuts.last().map(|cut| cut.tree.size) == Some(size) {
                self.contradicted.remove(&peer);
            }
        } else if self.peers.contains(&peer) {
            self.contradicted.insert(peer);
        }
        let root = if honest { own_root(size.0) } else { root(222) };
        self.feed(Event::PeerRoot { peer, size, root });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_release_keeps_the_promise(steps in prop::collection::vec(steps(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            let before = world.guard_asked;
            world.step(&step);
            if let Some(cut) = world.guard_asked.filter(|cut| before != Some(*cut)) {
                world.check_guard_write(&cut);
            }
        }
    }

    /// Peers that answer, in whatever order with flush and verification, always lead to a
    /// signature: the rules bar nothing but what they must.
    #[test]
    fn honest_node_among_honest_peers_signs(order in Just([0u8, 1, 2, 3]).prop_shuffle()) {
        let mut world = World::new();
        world.step(&Step::Cut { grow: 4 });
        for event in order {
            world.step(&match event {
                0 => Step::Flush(10),
                1 => Step::Verify(10),
                other => Step::Answer { peer: u64::from(other), lag: 0, honest: true },
            });
        }
        world.step(&Step::GuardPersists);
        prop_assert_eq!(world.released, vec![cut(2, 5)]);
    }
}
