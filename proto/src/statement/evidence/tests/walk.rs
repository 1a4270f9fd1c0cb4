//! Goal: whoever shows the way from policy to policy leads a verifier forward or nowhere.
//!
//! Method: a log whose policies have so many keys in common that each head that leads over satisfies all
//! of them. Signatures alone then keep nobody from going back; only the chain of the pairs does.

use std::fmt::Write as _;

use super::*;
use crate::statement::evidence::testing::{log_vkey_of, node_vkey, policies, witness_vkey};
use crate::system::{PolicyChange, PolicyTexts};

mod log_keys;
mod random;
mod several;

/// Two of these nodes, under this log key; the witness is known where it is said so.
fn texts(log: u8, nodes: &[u8], witness: bool) -> PolicyTexts {
    let mut publish = format!("log {}\n", log_vkey_of(log));
    for id in nodes {
        writeln!(publish, "witness n{id} {}", node_vkey(*id)).unwrap();
    }
    let known = if witness {
        format!("witness w {}\n", witness_vkey())
    } else {
        String::new()
    };
    let names: Vec<String> = nodes.iter().map(|id| format!("n{id}")).collect();
    let quorum = format!("group nodes 2 {}\nquorum nodes\n", names.join(" "));
    PolicyTexts {
        trust: format!("{publish}{known}{quorum}"),
        publish: format!("{publish}{quorum}"),
    }
}

fn policy(texts: &PolicyTexts) -> Policy {
    Policy::parse(texts.trust.as_bytes()).unwrap()
}

/// The seeds of all cosigners of [`texts`] that are nodes.
const NODES: [u8; 4] = [
    seed::NODE + 1,
    seed::NODE + 2,
    seed::NODE + 3,
    seed::NODE + 4,
];

/// A log and what it shows of its policies.
struct Way {
    world: World,
    pairs: Vec<PolicyTexts>,
    records: Vec<FileEntry>,
    steps: Vec<PolicyStep>,
}

impl Way {
    /// A log that has had these pairs behind that of genesis, each led to by a head with the signatures
    /// of all nodes, the witness and both log keys.
    fn through(pairs: &[PolicyTexts]) -> Self {
        let mut way = Self {
            world: World::standard(),
            pairs: vec![policies()],
            records: Vec::new(),
            steps: Vec::new(),
        };
        way.record(LeafIndex(0));
        for texts in pairs {
            let predecessor = way.pairs.last().unwrap().digest();
            way.add(predecessor, texts);
        }
        way
    }

    fn add(&mut self, predecessor: [u8; 32], texts: &PolicyTexts) {
        let at = self.change(predecessor, texts);
        let cosigners = [&NODES[..], &[seed::WITNESS]].concat();
        let note = self.note(at.0 + 1, &[seed::LOG, seed::NEXT_LOG], &cosigners);
        let step = self.step(at, at.0 + 1, note);
        self.steps.push(step);
    }

    /// A change without a head.
    fn change(&mut self, predecessor: [u8; 32], texts: &PolicyTexts) -> LeafIndex {
        let change = PolicyChange {
            predecessor,
            texts: texts.clone(),
            approvals: Vec::new(),
        };
        let at = self.world.unchecked(&change, seed::OPERATOR_A);
        self.record(at);
        self.pairs.push(texts.clone());
        at
    }

    fn note(&self, size: u64, logs: &[u8], cosigners: &[u8]) -> String {
        let note = self
            .world
            .checkpoint_by(logs, (size, START + size), cosigners);
        note.to_string()
    }

    /// The step over a change by a head of this size.
    fn step(&self, index: LeafIndex, size: u64, checkpoint: String) -> PolicyStep {
        PolicyStep {
            checkpoint,
            index,
            proof: self.world.inclusion(index, size).hashes().to_vec(),
        }
    }

    fn record(&mut self, index: LeafIndex) {
        let statement = self.world.entries[usize::try_from(index.0).unwrap()].clone();
        self.records.push(FileEntry { index, statement });
    }

    /// Where the holder of the pair at this place in the chain is led, by places.
    fn walked(&self, holder: usize) -> Result<Vec<usize>, WalkError> {
        self.walked_from(&policy(&self.pairs[holder]))
    }

    /// The same of the holder of this policy.
    fn walked_from(&self, own: &Policy) -> Result<Vec<usize>, WalkError> {
        let walked = walk_policies(&self.steps, &self.records, own)?;
        let place = |(since, reached): (LeafIndex, Policy)| {
            let at = self
                .records
                .iter()
                .position(|it| it.index == since)
                .unwrap();
            assert_eq!(reached, policy(&self.pairs[at]));
            at
        };
        Ok(walked.into_iter().map(place).collect())
    }
}

/// Genesis and three changes: a node comes, the witness goes, a node goes.
fn way() -> Way {
    Way::through(&[
        texts(seed::LOG, &[1, 2, 3, 4], true),
        texts(seed::LOG, &[1, 2, 3, 4], false),
        texts(seed::LOG, &[2, 3, 4], false),
    ])
}

#[test]
fn the_way_leads_forward_from_wherever_the_verifier_stands() {
    let way = way();
    for (holder, expected) in [(0, &[1, 2, 3][..]), (1, &[2, 3]), (2, &[3]), (3, &[])] {
        assert_eq!(way.walked(holder).unwrap(), expected, "{holder}");
    }
}

#[test]
fn a_way_without_its_end_leads_nobody_back() {
    for shown in 1..=3 {
        let mut way = way();
        way.records.truncate(shown);
        way.steps.truncate(shown - 1);
        for holder in shown..=3 {
            // The pair before published by it already, and nothing stands behind that.
            if (shown, holder) == (2, 2) {
                assert_eq!(way.pairs[1].publish, way.pairs[2].trust);
                assert_eq!(way.walked(2).unwrap(), [0; 0]);
                continue;
            }
            let refused = way.walked(holder).unwrap_err();
            assert_eq!(refused, WalkError::UnknownPolicy { shown }, "{holder}");
        }
    }
}

#[test]
fn a_pair_that_comes_back_leads_nobody_in_a_circle() {
    let with = texts(seed::LOG, &[1, 2, 3, 4], true);
    let without = texts(seed::LOG, &[1, 2, 3, 4], false);
    let way = Way::through(&[without.clone(), with.clone(), without]);
    assert_eq!(way.walked(1), Ok(Vec::new()));
    assert_eq!(way.walked(2).unwrap(), [3]);
    assert_eq!(way.walked(0).unwrap(), [1, 2, 3]);
}

#[test]
fn a_policy_in_other_words_is_known_by_its_keys_and_its_quorum() {
    let way = way();
    let text = format!("# from the operators\n{}", way.pairs[1].trust);
    let text = text.replace("nodes", "all-of-us").replace(" n", " m");
    let own = Policy::parse(text.as_bytes()).unwrap();
    assert_eq!(way.walked_from(&own).unwrap(), [2, 3]);
    // One that asks for more is another policy, which the log never had.
    let strict = way.pairs[1].trust.replace("nodes 2 ", "nodes all ");
    let strict = Policy::parse(strict.as_bytes()).unwrap();
    let refused = way.walked_from(&strict).unwrap_err();
    assert_eq!(refused, WalkError::UnknownPolicy { shown: 4 });
}

/// The keys of the third pair are those of the first, and the second has others. By the keys alone the holder
/// of the third would stand at the first, and be led back to the second.
#[test]
fn a_change_of_the_quorum_alone_leads_nobody_back() {
    let two = texts(seed::LOG, &[1, 2, 3], false);
    let three = PolicyTexts {
        publish: two.publish.replace("nodes 2", "nodes 3"),
        trust: two.trust.replace("nodes 2", "nodes 3"),
    };
    let other = texts(seed::LOG, &[2, 3, 4], false);
    let mut way = Way::through(&[two, other, three]);
    assert_eq!(way.walked(1).unwrap(), [2, 3]);
    let held = format!("# mine\n{}", way.pairs[3].trust);
    let held = Policy::parse(held.as_bytes()).unwrap();
    assert_eq!(way.walked_from(&held).unwrap(), [0; 0]);
    way.records.pop();
    way.steps.pop();
    let refused = way.walked_from(&held).unwrap_err();
    assert_eq!(refused, WalkError::UnknownPolicy { shown: 3 });
}

#[test]
fn whoever_holds_a_publish_policy_is_led_as_well() {
    let way = way();
    for (holder, expected) in [(0, &[1, 2, 3][..]), (3, &[])] {
        let own = Policy::parse(way.pairs[holder].publish.as_bytes()).unwrap();
        assert_eq!(way.walked_from(&own).unwrap(), expected, "{holder}");
    }
    let publish = texts(seed::LOG, &[1, 2, 3, 4], false).publish;
    let own = Policy::parse(publish.as_bytes()).unwrap();
    assert_eq!(way.walked_from(&own).unwrap(), [3]);
}

/// What the first pair asks verifiers for is published in the second, which asks them for more.
#[test]
fn whoever_is_to_ask_for_more_is_told() {
    let mut asks = texts(seed::LOG, &[1, 2, 3, 4], true);
    asks.publish = texts(seed::LOG, &[1, 2, 3, 4], false).publish;
    let nodes = texts(seed::LOG, &[1, 2, 3, 4], false);
    let more = asks
        .trust
        .replace("quorum nodes", "group more all nodes w\nquorum more");
    asks.trust = more;
    let way = Way::through(&[nodes, asks]);
    assert_eq!(way.walked(1).unwrap(), [2]);
    assert_eq!(way.walked(2).unwrap(), [0; 0]);
}

#[test]
fn pairs_that_do_not_follow_one_another_are_no_way() {
    type Expected<'a> = &'a dyn Fn(&Way) -> WalkError;
    type Change = fn(&mut Way);
    let index = |way: &Way, at: usize| way.records[at].index.0;
    let linked = |at: usize| {
        move |way: &Way| WalkError::NotLinked {
            index: index(way, at),
        }
    };
    let genesis_left_out: Change = |way| drop(way.records.remove(0));
    let one_left_out: Change = |way| {
        way.records.remove(1);
        way.steps.remove(0);
    };
    let swapped: Change = |way| way.records.swap(1, 2);
    let twice: Change = |way| way.records.insert(2, way.records[1].clone());
    let moved_down: Change = |way| {
        way.records[2].index = way.records[1].index;
        way.steps.remove(1);
    };
    let table: [(&str, Change, Expected<'_>); 5] = [
        ("genesis left out", genesis_left_out, &|_| {
            WalkError::NoGenesis
        }),
        ("one left out", one_left_out, &linked(1)),
        ("swapped", swapped, &linked(1)),
        ("twice", twice, &linked(2)),
        ("at the place of another", moved_down, &linked(2)),
    ];
    for (name, change, expected) in table {
        let mut way = way();
        change(&mut way);
        let expected = expected(&way);
        let own = policy(&policies());
        let refused = walk_policies(&way.steps, &way.records, &own);
        assert_eq!(refused, Err(expected), "{name}");
    }
    // The record of a pair that follows another one, under a head of everybody.
    let mut way = way();
    let other = way.pairs[1].digest();
    way.add(other, &texts(seed::LOG, &[1, 2, 3], false));
    let index = index(&way, 4);
    assert_eq!(way.walked(3), Err(WalkError::NotLinked { index }));
}

#[test]
fn each_change_on_the_way_has_its_own_head() {
    let order = |change: fn(&mut Way)| {
        let mut way = way();
        change(&mut way);
        way.walked(0).unwrap_err()
    };
    let index = way().records[2].index.0;
    let left_out = order(|way| drop(way.steps.remove(1)));
    assert_eq!(left_out, WalkError::NoStep { index });
    for wrong in [
        order(|way| way.steps.swap(0, 1)),
        order(|way| way.steps.insert(1, way.steps[0].clone())),
        order(|way| way.steps[0].index = LeafIndex(0)),
        order(|way| way.steps[0].index = LeafIndex(4)),
    ] {
        assert_eq!(wrong, WalkError::StepsWrong);
    }
    for wrong in [
        order(|way| way.steps[1].proof.clear()),
        order(|way| way.steps[1].checkpoint = way.steps[0].checkpoint.clone()),
        order(|way| way.steps[1].checkpoint.clear()),
    ] {
        assert!(
            matches!(wrong, WalkError::Step { index: at, .. } if at == index),
            "{wrong}"
        );
    }
    let record = order(|way| way.records[1].statement.truncate(9));
    assert!(matches!(record, WalkError::Record { .. }), "{record}");
    // What lies in front of the verifier's own policy is no affair of its.
    let mut way = way();
    way.steps.remove(0);
    assert_eq!(way.walked(1).unwrap(), [2, 3]);
    way.steps[0].checkpoint.clear();
    assert_eq!(way.walked(2).unwrap(), [3]);
    // Without a head the end is as good as left out.
    way.steps.clear();
    assert_eq!(way.walked(1).unwrap(), [0; 0]);
}

#[test]
fn entries_that_change_no_policy_are_not_looked_into() {
    let mut way = way();
    let mut entry = way.world.entries[3].clone();
    // The signature is no part of it any more, and the payload is another.
    let end = entry.len() - 70;
    entry[end] ^= 1;
    way.records.insert(
        1,
        FileEntry {
            index: LeafIndex(3),
            statement: entry,
        },
    );
    let own = policy(&policies());
    let walked = walk_policies(&way.steps, &way.records, &own).unwrap();
    assert_eq!(walked.len(), 3);
}
