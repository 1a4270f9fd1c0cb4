//! The key of the log changes, too: the head that leads over has a signature by each of them.

use super::*;
use crate::tlog::Note;

const LAST_LOG: u8 = 7;

fn all(log: u8) -> PolicyTexts {
    texts(log, &[1, 2, 3, 4], false)
}

/// The same with a line for a second key of the log.
fn both(first: u8, second: u8) -> PolicyTexts {
    let line = format!("log {}\n", log_vkey_of(second));
    let PolicyTexts { publish, trust } = all(first);
    PolicyTexts {
        publish: line.clone() + &publish,
        trust: line + &trust,
    }
}

/// A log that has had these pairs, with a head at each change by all nodes and these keys of the log.
fn led_by(changes: &[(PolicyTexts, &[u8])]) -> Way {
    let mut way = Way::through(&[]);
    for (texts, logs) in changes {
        let predecessor = way.pairs.last().unwrap().digest();
        let at = way.change(predecessor, texts);
        let cosigners = [&NODES[..], &[seed::WITNESS]].concat();
        let note = way.note(at.0 + 1, logs, &cosigners);
        let step = way.step(at, at.0 + 1, note);
        way.steps.push(step);
    }
    way
}

/// Why the holder of the pair at `holder` is not led over the change at `at`.
fn refused(way: &Way, holder: usize, at: usize) -> String {
    let index = way.records[at].index.0;
    match way.walked(holder) {
        Err(WalkError::Step { index: there, why }) if there == index => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_log_changes_its_key_and_each_policy_asks_for_its_own() {
    let way = Way::through(&[
        texts(seed::LOG, &[1, 2, 3, 4], false),
        texts(seed::NEXT_LOG, &[1, 2, 3, 4], false),
        texts(seed::NEXT_LOG, &[2, 3, 4], false),
    ]);
    for (holder, expected) in [(0, &[1, 2, 3][..]), (1, &[2, 3]), (2, &[3]), (3, &[])] {
        assert_eq!(way.walked(holder).unwrap(), expected, "{holder}");
    }
    // The head that leads over has a line of each key; one of them alone leads nowhere.
    let at = way.records[2].index;
    for (name, alone) in [("retired", seed::LOG), ("new", seed::NEXT_LOG)] {
        let mut way = Way::through(&way.pairs[1..]);
        way.steps[1].checkpoint = way.note(at.0 + 1, &[alone], &NODES);
        let refused = way.walked(1).unwrap_err();
        let words = refused.to_string();
        assert!(words.contains("the log has not signed"), "{name}: {words}");
        assert!(matches!(refused, WalkError::Step { index, .. } if index == at.0));
        // Whoever is behind that change does not depend on it.
        assert_eq!(way.walked(2).unwrap(), [3], "{name}");
    }
}

#[test]
fn the_log_changes_its_key_twice() {
    let (first, next, last) = (seed::LOG, seed::NEXT_LOG, LAST_LOG);
    let changes = [
        (all(first), &[first][..]),
        (all(next), &[first, next]),
        (all(last), &[next, last]),
    ];
    let together = [first, next];
    let way = led_by(&changes);
    for (holder, expected) in [(0, &[1, 2, 3][..]), (1, &[2, 3]), (2, &[3]), (3, &[])] {
        assert_eq!(way.walked(holder).unwrap(), expected, "{holder}");
    }
    // The first key alone, or with the last one, leads over neither change.
    for retired in [&[first][..], &[first, last]] {
        let mut changes = changes.clone();
        changes[1].1 = retired;
        let why = refused(&led_by(&changes), 0, 2);
        assert!(why.contains("the log has not signed"), "{why}");
        changes[1].1 = &together;
        changes[2].1 = retired;
        let way = led_by(&changes);
        for holder in [0, 1, 2] {
            let why = refused(&way, holder, 3);
            assert!(why.contains("the log has not signed"), "{why}");
        }
        assert_eq!(way.walked(3).unwrap(), [0; 0]);
    }
}

#[test]
fn the_log_changes_its_key_twice_under_one_head() {
    let (first, next, last) = (seed::LOG, seed::NEXT_LOG, LAST_LOG);
    let over = |logs: &[u8]| {
        let mut way = led_by(&[(all(first), &[first])]);
        let steps: Vec<LeafIndex> = [all(next), all(last)]
            .iter()
            .map(|texts| way.change(way.pairs.last().unwrap().digest(), texts))
            .collect();
        let size = steps[1].0 + 1;
        let note = way.note(size, logs, &NODES);
        for at in steps {
            let step = way.step(at, size, note.clone());
            way.steps.push(step);
        }
        way
    };
    let way = over(&[first, next, last]);
    assert_eq!(way.walked(0).unwrap(), [1, 2, 3]);
    assert_eq!(way.walked(2).unwrap(), [3]);
    // Each of the three has to sign it.
    for (logs, holder, at) in [
        (&[first, last][..], 1, 2),
        (&[next, last], 1, 2),
        (&[first, next], 1, 3),
        (&[first, next], 2, 3),
    ] {
        let why = refused(&over(logs), holder, at);
        assert!(why.contains("the log has not signed"), "{logs:?}: {why}");
    }
}

/// Where a policy names two keys of the log, a head by one of them satisfies it. The key that comes or goes
/// has signed the head that leads over all the same.
#[test]
fn two_keys_of_the_log_in_one_policy_lead_from_one_to_the_other_by_both_alone() {
    let (first, next) = (seed::LOG, seed::NEXT_LOG);
    let together: &[u8] = &[first, next];
    let changes = [
        (all(first), &[first][..]),
        (both(first, next), together),
        (all(next), together),
    ];
    let way = led_by(&changes);
    assert_eq!(way.walked(0).unwrap(), [1, 2, 3]);
    assert_eq!(way.walked(2).unwrap(), [3]);
    for (at, alone, missing) in [(2, first, next), (3, next, first)] {
        let mut changes = changes.clone();
        let logs = [alone];
        changes[at - 1].1 = &logs;
        let way = led_by(&changes);
        let note = Note::parse(way.steps[at - 1].checkpoint.as_bytes()).unwrap();
        for pair in [at - 1, at] {
            assert!(policy(&way.pairs[pair]).check(&note).is_ok(), "{pair}");
        }
        let why = refused(&way, at - 1, at);
        assert!(why.contains("the log's keys change"), "{why}");
        assert!(why.contains(&log_vkey_of(missing).to_string()), "{why}");
    }
}
