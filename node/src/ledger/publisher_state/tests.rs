//! One cut at a time, enough cosignatures and no others, and no silence that lasts.

use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Hash, RootHash};
use proptest::prelude::*;

use super::*;
use crate::raft::Position;

const INTERVAL_MS: u64 = 1_000;

/// Counts the nodes 1 to `nodes`, and asks for `quorum` of them.
#[derive(Debug, Clone, Copy)]
struct FakeRules {
    nodes: u64,
    quorum: usize,
}

const TWO_OF_THREE: FakeRules = FakeRules {
    nodes: 3,
    quorum: 2,
};

impl HeadRules for FakeRules {
    fn check(
        &self,
        from: u64,
        _head: &TreeHead,
        signature: &NoteSignature,
    ) -> Result<(), CosignatureRefusal> {
        let name = signature.name.clone();
        if !(1..=self.nodes).any(|node| name == node_name(node)) {
            return Err(CosignatureRefusal::UnknownCosigner { name });
        }
        if name != node_name(from) {
            return Err(CosignatureRefusal::OtherNode { from, name });
        }
        if signature.signature() == [0] {
            return Err(CosignatureRefusal::WrongSignature { name });
        }
        Ok(())
    }

    fn satisfied(&self, _head: &TreeHead, cosignatures: &Cosignatures) -> bool {
        cosignatures.len() >= self.quorum
    }
}

fn node_name(node: u64) -> KeyName {
    KeyName::new(format!("example.com/node/{node}")).unwrap()
}

fn signature(node: u64) -> NoteSignature {
    NoteSignature::new(node_name(node), KeyId::from_bytes([1; 4]), vec![1]).unwrap()
}

fn head(size: u64) -> TreeHead {
    let root = RootHash::from_hash(Hash::from_bytes([u8::try_from(size).unwrap(); 32]));
    TreeHead {
        size: TreeSize(size),
        root,
    }
}

fn cut(term: u64, size: u64) -> CutNote {
    let position = Position {
        term,
        leader: 1,
        index: size + 100,
    };
    CutNote {
        position,
        time: UnixMillis(0),
        tree: head(size),
    }
}

fn cut_event(size: u64) -> Event<FakeRules> {
    Event::Cut {
        cut: cut(7, size),
        rules: TWO_OF_THREE,
    }
}

/// A leader in term 7 with `size` leaves applied, whose first cut is proposed and applied.
fn collecting(size: u64) -> PublishState<FakeRules> {
    let mut state = PublishState::new(INTERVAL_MS);
    assert_eq!(state.step(Event::Applied(TreeSize(size)), 0), vec![]);
    assert_eq!(
        state.step(Event::Lead(Some(7)), 0),
        vec![Action::ProposeCut]
    );
    assert_eq!(state.step(cut_event(size), 5), vec![]);
    state
}

fn counted(state: &mut PublishState<FakeRules>, node: u64, now_ms: u64) {
    let (taken, _) = state.cosignature(node, head(5), signature(node), now_ms);
    assert_eq!(taken, Ok(Taken::Counted));
}

fn published(nodes: &[u64], size: u64) -> Action {
    let entry = |node: &u64| {
        (
            (node_name(*node), KeyId::from_bytes([1; 4])),
            signature(*node),
        )
    };
    Action::ProposePublish {
        cut: cut(7, size),
        cosignatures: nodes.iter().map(entry).collect(),
    }
}

#[test]
fn two_of_three_publish() {
    let mut state = collecting(5);
    let first = state.cosignature(1, head(5), signature(1), 6);
    assert_eq!(first, (Ok(Taken::Counted), vec![]));
    // The same node again does not count twice.
    assert_eq!(state.cosignature(1, head(5), signature(1), 7).1, vec![]);
    let second = state.cosignature(3, head(5), signature(3), 8);
    assert_eq!(second, (Ok(Taken::Counted), vec![published(&[1, 3], 5)]));
    let late = state.cosignature(2, head(5), signature(2), 9);
    assert_eq!(late, (Ok(Taken::Late), vec![]));
}

#[test]
fn one_of_one_publishes_alone() {
    let mut state = PublishState::new(INTERVAL_MS);
    state.step(Event::Applied(TreeSize(5)), 0);
    state.step(Event::Lead(Some(7)), 0);
    let rules = FakeRules {
        nodes: 1,
        quorum: 1,
    };
    state.step(
        Event::Cut {
            cut: cut(7, 5),
            rules,
        },
        1,
    );
    let (taken, actions) = state.cosignature(1, head(5), signature(1), 2);
    assert_eq!(
        (taken, actions),
        (Ok(Taken::Counted), vec![published(&[1], 5)])
    );
}

#[test]
fn wrong_cosignatures_are_refused_each_by_its_own_reason() {
    let name = |node| node_name(node);
    let forged = NoteSignature::new(name(2), KeyId::from_bytes([1; 4]), vec![0]).unwrap();
    let fork = TreeHead {
        root: RootHash::EMPTY,
        ..head(5)
    };
    let other_root = CosignatureRefusal::OtherRoot {
        from: 2,
        own: head(5),
        theirs: fork,
    };
    let stale = CosignatureRefusal::Stale {
        offered: TreeSize(4),
        current: TreeSize(5),
    };
    let rows = [
        (
            9,
            head(5),
            signature(9),
            CosignatureRefusal::UnknownCosigner { name: name(9) },
        ),
        (
            2,
            head(5),
            signature(3),
            CosignatureRefusal::OtherNode {
                from: 2,
                name: name(3),
            },
        ),
        (
            2,
            head(5),
            forged,
            CosignatureRefusal::WrongSignature { name: name(2) },
        ),
        (2, fork, signature(2), other_root),
        (2, head(4), signature(2), stale),
    ];
    for (from, head, signature, expected) in rows {
        let mut state = collecting(5);
        assert_eq!(
            state.cosignature(from, head, signature, 6),
            (Err(expected), vec![])
        );
    }
    let mut follower = PublishState::<FakeRules>::new(INTERVAL_MS);
    let refused = follower.cosignature(2, head(5), signature(2), 6);
    assert_eq!(refused, (Err(CosignatureRefusal::NotLeader), vec![]));
}

#[test]
fn cosignatures_that_came_early_are_checked_when_their_cut_is_applied() {
    let mut state = PublishState::new(INTERVAL_MS);
    state.step(Event::Applied(TreeSize(5)), 0);
    state.step(Event::Lead(Some(7)), 0);
    assert_eq!(
        state.cosignature(2, head(5), signature(2), 1).0,
        Ok(Taken::Held)
    );
    assert_eq!(
        state.cosignature(3, head(5), signature(2), 1).0,
        Ok(Taken::Held)
    );
    assert_eq!(
        state.cosignature(1, head(5), signature(1), 1).0,
        Ok(Taken::Held)
    );
    let refusal = CosignatureRefusal::OtherNode {
        from: 3,
        name: node_name(2),
    };
    let refused = Action::Refused { from: 3, refusal };
    assert_eq!(
        state.step(cut_event(5), 2),
        vec![refused, published(&[1, 2], 5)]
    );
}

/// A node whose key is being exchanged signs the head that leads over with both.
#[test]
fn two_early_cosignatures_of_one_node_are_held_and_no_third() {
    let mut state = PublishState::new(INTERVAL_MS);
    state.step(Event::Applied(TreeSize(5)), 0);
    state.step(Event::Lead(Some(7)), 0);
    let with = |id: u8| {
        let id = KeyId::from_bytes([id; 4]);
        NoteSignature::new(node_name(2), id, vec![1]).unwrap()
    };
    for id in [1, 2, 2, 3] {
        let (taken, _) = state.cosignature(2, head(5), with(id), 1);
        assert_eq!(taken, Ok(Taken::Held), "{id}");
    }
    let Some(Action::ProposePublish { cosignatures, .. }) = state.step(cut_event(5), 2).pop()
    else {
        panic!("two of one node were not counted");
    };
    let ids = cosignatures.keys().map(|(_, id)| *id.as_bytes());
    assert_eq!(ids.collect::<Vec<_>>(), [[2; 4], [3; 4]]);
}

#[test]
fn cuts_at_the_interval_sooner_when_wanted_and_never_without_need() {
    let mut state = collecting(5);
    counted(&mut state, 1, 6);
    counted(&mut state, 2, 6);
    state.step(Event::Published(head(5)), 7);
    assert_eq!(state.step(Event::PublishDone, 8), vec![]);
    assert_eq!(state.wake_at_ms(), None, "nothing new");
    assert_eq!(
        state.step(Event::Tick, 60_000),
        vec![],
        "an idle log does not grow"
    );

    let mut state = collecting(5);
    counted(&mut state, 1, 6);
    counted(&mut state, 2, 6);
    state.step(Event::Published(head(5)), 7);
    state.step(Event::PublishDone, 8);
    assert_eq!(state.step(Event::Applied(TreeSize(6)), 9), vec![]);
    assert_eq!(state.wake_at_ms(), Some(INTERVAL_MS));
    assert_eq!(
        state.step(Event::Wanted(TreeSize(6)), 10),
        vec![],
        "20 ms apart"
    );
    assert_eq!(state.wake_at_ms(), Some(CUT_GAP_MS_MIN));
    assert_eq!(
        state.step(Event::Tick, CUT_GAP_MS_MIN),
        vec![Action::ProposeCut]
    );
    assert_eq!(state.step(Event::Tick, 50_000), vec![], "one cut at a time");
}

#[test]
fn who_asks_for_the_impossible_keeps_nobody_waiting() {
    let mut state = collecting(5);
    counted(&mut state, 1, 6);
    counted(&mut state, 2, 6);
    state.step(Event::Published(head(5)), 7);
    state.step(Event::PublishDone, 8);
    for far in 0..2 * WANTED_MAX as u64 {
        state.step(Event::Wanted(TreeSize(u64::MAX - far)), 9);
    }
    assert_eq!(state.step(Event::Applied(TreeSize(6)), 9), vec![]);
    assert_eq!(state.wake_at_ms(), Some(INTERVAL_MS));
    assert_eq!(state.step(Event::Wanted(TreeSize(6)), 10), vec![]);
    assert_eq!(state.wake_at_ms(), Some(CUT_GAP_MS_MIN));
    assert!(state.wanted.len() <= WANTED_MAX);
}

#[test]
fn stalled_cut_is_superseded_after_a_second_without_progress() {
    let mut state = collecting(5);
    assert_eq!(state.step(Event::Tick, 1_004), vec![]);
    counted(&mut state, 1, 900);
    assert_eq!(
        state.step(Event::Tick, 1_899),
        vec![],
        "a cosignature is progress"
    );
    assert_eq!(state.step(Event::Tick, 1_900), vec![Action::ProposeCut]);
    state.step(Event::Applied(TreeSize(6)), 1_901);
    assert_eq!(state.step(cut_event(6), 1_902), vec![]);
    let stale = CosignatureRefusal::Stale {
        offered: TreeSize(5),
        current: TreeSize(6),
    };
    assert_eq!(
        state.cosignature(2, head(5), signature(2), 1_903).0,
        Err(stale)
    );
}

#[test]
fn failed_proposals_are_made_again() {
    let mut state = PublishState::<FakeRules>::new(INTERVAL_MS);
    state.step(Event::Applied(TreeSize(5)), 0);
    assert_eq!(
        state.step(Event::Lead(Some(7)), 0),
        vec![Action::ProposeCut]
    );
    assert_eq!(
        state.step(Event::CutFailed, 10),
        vec![],
        "not before the interval"
    );
    assert_eq!(
        state.step(Event::Tick, INTERVAL_MS),
        vec![Action::ProposeCut]
    );
    // Committed, but its cut was never seen here: given up after a second.
    assert_eq!(state.step(Event::CutDone, 1_010), vec![]);
    assert_eq!(state.step(Event::Tick, 2_009), vec![]);
    assert_eq!(state.step(Event::Tick, 2_010), vec![Action::ProposeCut]);
}

#[test]
fn cut_of_another_term_is_not_collected_for() {
    let mut state = collecting(5);
    state.step(Event::Lead(None), 6);
    assert_eq!(
        state.step(Event::Lead(Some(9)), INTERVAL_MS),
        vec![Action::ProposeCut]
    );
    state.step(cut_event(5), 1_001);
    assert_eq!(
        state.cosignature(1, head(5), signature(1), 1_002).0,
        Ok(Taken::Held)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Grow,
    Want,
    CutApplied,
    CutFailed,
    Cosign(u64),
    PublishApplied,
    Lead(bool),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u64..700).prop_map(Step::Wait),
        4 => Just(Step::Grow),
        1 => Just(Step::Want),
        5 => Just(Step::CutApplied),
        1 => Just(Step::CutFailed),
        8 => (1u64..5).prop_map(Step::Cosign),
        4 => Just(Step::PublishApplied),
        1 => any::<bool>().prop_map(Step::Lead),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    /// For every order of events: a head is proposed only with a quorum of distinct, checked
    /// cosigners over the newest cut of this term; cuts are at least 20 ms apart, and one at a time.
    #[test]
    fn publishes_only_what_a_quorum_cosigned(steps in prop::collection::vec(steps(), 1..200)) {
        let mut state = PublishState::new(INTERVAL_MS);
        let (mut now, mut size, mut leads) = (0, 1, true);
        let mut cuts_under_way = 0u32;
        let mut last_cut: Option<u64> = None;
        let mut newest: Option<CutNote> = None;
        let mut publishing: Option<CutNote> = None;
        let mut actions = state.step(Event::Applied(TreeSize(size)), now);
        actions.extend(state.step(Event::Lead(Some(7)), now));
        for step in steps {
            for action in actions.drain(..) {
                match action {
                    Action::ProposeCut => {
                        prop_assert!(leads);
                        prop_assert!(publishing.is_none(), "one cut at a time");
                        if let Some(last) = last_cut {
                            prop_assert!(now >= last + CUT_GAP_MS_MIN, "{last} {now}");
                        }
                        last_cut = Some(now);
                        cuts_under_way += 1;
                    }
                    Action::ProposePublish { cut, cosignatures } => {
                        prop_assert!(leads);
                        prop_assert_eq!(Some(cut), newest);
                        prop_assert!(cosignatures.len() >= 2);
                        publishing = Some(cut);
                    }
                    Action::Refused { .. } => {}
                }
            }
            actions = match step {
                Step::Wait(more) => {
                    now += more;
                    state.step(Event::Tick, now)
                }
                Step::Grow => {
                    size = (size + 1).min(250);
                    state.step(Event::Applied(TreeSize(size)), now)
                }
                Step::Want => state.step(Event::Wanted(TreeSize(size)), now),
                Step::CutApplied if cuts_under_way > 0 && publishing.is_none() => {
                    cuts_under_way -= 1;
                    newest = Some(cut(7, size));
                    state.step(cut_event(size), now)
                }
                Step::CutFailed if cuts_under_way > 0 => {
                    cuts_under_way -= 1;
                    state.step(Event::CutFailed, now)
                }
                Step::Cosign(node) => match newest {
                    Some(cut) => state.cosignature(node, cut.tree, signature(node), now).1,
                    None => Vec::new(),
                },
                Step::PublishApplied => match publishing.take() {
                    Some(cut) => {
                        let mut actions = state.step(Event::Published(cut.tree), now);
                        actions.extend(state.step(Event::PublishDone, now));
                        actions
                    }
                    None => Vec::new(),
                },
                Step::Lead(lead) => {
                    leads = lead;
                    publishing = None;
                    cuts_under_way = 0;
                    last_cut = last_cut.filter(|_| lead);
                    state.step(Event::Lead(lead.then_some(7)), now)
                }
                Step::CutApplied | Step::CutFailed => Vec::new(),
            };
        }
    }
}
