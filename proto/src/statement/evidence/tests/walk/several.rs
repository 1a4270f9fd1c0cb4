//! Many changes, and several under one head.

use super::*;
use crate::tlog::Note;

/// Two of the nodes and the witness, which is asked for.
fn asking_for_witness(nodes: &[u8]) -> PolicyTexts {
    let mut texts = texts(seed::LOG, nodes, true);
    let more = "group more all nodes w\nquorum more";
    texts.trust = texts.trust.replace("quorum nodes", more);
    texts
}

/// A log that has had these pairs before it published one head, which leads over all of them.
fn under_one_head(pairs: &[PolicyTexts], cosigners: &[u8]) -> Way {
    let mut way = Way::through(&[]);
    let changes: Vec<LeafIndex> = pairs
        .iter()
        .map(|texts| way.change(way.pairs.last().unwrap().digest(), texts))
        .collect();
    let size = changes.last().unwrap().0 + 1;
    let note = way.note(size, &[seed::LOG], cosigners);
    for at in changes {
        let step = way.step(at, size, note.clone());
        way.steps.push(step);
    }
    way
}

fn nodes(ids: &[u8]) -> PolicyTexts {
    texts(seed::LOG, ids, false)
}

#[test]
fn quick_changes_under_one_head_lead_on_from_each_of_them() {
    let pairs = [nodes(&[1, 2, 3, 4]), nodes(&[2, 3, 4]), nodes(&[1, 3, 4])];
    let all = [&NODES[..], &[seed::WITNESS]].concat();
    let way = under_one_head(&pairs, &all);
    for (holder, expected) in [(0, &[1, 2, 3][..]), (1, &[2, 3]), (2, &[3]), (3, &[])] {
        assert_eq!(way.walked(holder).unwrap(), expected, "{holder}");
    }
}

/// A pair asked verifiers for a witness that never came, and the next one did not any more.
#[test]
fn a_policy_that_no_head_satisfied_is_gone_over_together_with_the_next() {
    let ids = [1, 2, 3, 4];
    let pairs = [asking_for_witness(&ids), nodes(&ids)];
    let way = under_one_head(&pairs, &[&NODES[..], &[seed::WITNESS]].concat());
    assert_eq!(way.walked(0).unwrap(), [1, 2]);
    // Nobody with the policy of genesis goes over without the witness that it asks for.
    assert!(under_one_head(&pairs, &NODES).walked(0).is_err());

    let pairs = [nodes(&ids), asking_for_witness(&ids), nodes(&[2, 3, 4])];
    let way = under_one_head(&pairs, &NODES);
    assert_eq!(way.walked(1).unwrap(), [2, 3]);
    // Who holds the one in the middle was told to ask for the witness, and does.
    let index = way.records[3].index.0;
    let refused = way.walked(2).unwrap_err();
    assert!(matches!(refused, WalkError::Step { index: at, .. } if at == index));
    // Without the change behind it nobody is led to it.
    let mut way = way;
    way.steps.pop();
    let index = way.records[2].index.0;
    let refused = way.walked(1).unwrap_err();
    assert!(matches!(refused, WalkError::Step { index: at, .. } if at == index));
    // Nor with another head behind it.
    let size = way.world.entries.len() as u64;
    let at = way.records[3].index;
    let note = way.note(size, &[seed::LOG], &NODES[1..]);
    let step = way.step(at, size, note);
    way.steps.push(step);
    let refused = way.walked(1).unwrap_err();
    assert!(matches!(refused, WalkError::Step { index: at, .. } if at == index));
}

/// Nothing less than what every published head had to satisfy is enough in the middle.
#[test]
fn a_head_without_the_nodes_in_the_middle_leads_over_nothing() {
    let pairs = [nodes(&[1, 2]), nodes(&[3, 4]), nodes(&[1, 2])];
    let two = [seed::NODE + 1, seed::NODE + 2];
    let way = under_one_head(&pairs, &two);
    let note = Note::parse(way.steps[0].checkpoint.as_bytes()).unwrap();
    for (pair, accepts) in [(1, true), (2, false), (3, true)] {
        assert_eq!(policy(&way.pairs[pair]).check(&note).is_ok(), accepts);
    }
    let mut way = Way::through(&[pairs[0].clone(), nodes(&[1, 2, 3])]);
    let first = way.pairs.last().unwrap().digest();
    let between = way.change(first, &pairs[1]);
    let last = way.change(pairs[1].digest(), &nodes(&[1, 2, 4]));
    let size = last.0 + 1;
    let note = way.note(size, &[seed::LOG], &two);
    for at in [between, last] {
        let step = way.step(at, size, note.clone());
        way.steps.push(step);
    }
    let index = between.0;
    let refused = way.walked(2).unwrap_err();
    assert!(matches!(refused, WalkError::Step { index: at, .. } if at == index));
}

/// Nobody counts the changes that a log has had.
#[test]
fn a_long_chain_leads_on_from_its_first_policy_and_without_its_front() {
    let pair = |number: usize| {
        let PolicyTexts { publish, trust } =
            texts(seed::LOG, &[1, 2, 3, 4], number.is_multiple_of(2));
        let quorum = format!("nodes {} ", 2 + number % 3);
        PolicyTexts {
            publish: publish.replace("nodes 2 ", &quorum),
            trust: trust.replace("nodes 2 ", &quorum),
        }
    };
    let count = 80;
    let pairs: Vec<_> = (1..=count).map(pair).collect();
    let way = Way::through(&pairs);
    assert_eq!(way.walked(0).unwrap().len(), count);
    // Piece by piece, and from any pair on that is not behind the verifier's own.
    let own = policy(&way.pairs[count - 3]);
    for front in [0, 1, count - 4, count - 3] {
        let mut walk = PolicyWalk::new(own.clone());
        for (record, step) in way.records.iter().zip(steps_by_record(&way)).skip(front) {
            walk.add(record, step).unwrap();
        }
        assert_eq!(walk.finish().unwrap().len(), 3, "{front}");
    }
    let mut walk = PolicyWalk::new(policy(&way.pairs[0]));
    for (record, step) in way.records.iter().zip(steps_by_record(&way)).skip(1) {
        walk.add(record, step).unwrap();
    }
    let refused = walk.finish().unwrap_err();
    assert_eq!(refused, WalkError::UnknownPolicy { shown: count });
    for word in ["none of the 80", "another time", "another history"] {
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

/// For genesis and each change its head.
fn steps_by_record(way: &Way) -> impl Iterator<Item = Option<&PolicyStep>> {
    std::iter::once(None).chain(way.steps.iter().map(Some))
}

#[test]
fn a_chain_that_is_shown_piece_by_piece_has_no_holes() {
    let way = way();
    let mut walk = PolicyWalk::new(policy(&way.pairs[1]));
    walk.add(&way.records[1], way.steps.first()).unwrap();
    let index = way.records[3].index.0;
    let hole = walk.add(&way.records[3], way.steps.last());
    assert_eq!(hole, Err(WalkError::NotLinked { index }));
    let mut walk = PolicyWalk::new(policy(&way.pairs[0]));
    let other = walk.add(&way.records[0], way.steps.first());
    assert_eq!(other, Err(WalkError::StepsWrong));
    let mut walk = PolicyWalk::new(policy(&way.pairs[0]));
    let statement = way.world.entries[3].clone();
    let index = LeafIndex(3);
    let record = walk.add(&FileEntry { index, statement }, None);
    assert!(matches!(record, Err(WalkError::Record { index: 3, .. })));
    let mut moved = way.records[0].clone();
    moved.index = index;
    let mut walk = PolicyWalk::new(policy(&way.pairs[0]));
    assert_eq!(walk.add(&moved, None), Err(WalkError::NoGenesis));
}
