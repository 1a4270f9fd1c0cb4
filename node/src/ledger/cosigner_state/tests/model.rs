//! Random orders of events against an independent model of the outside world.

use super::*;

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
