//! Which changes of policy a ledger shows, and that everybody is led on by them.

use super::*;
use crate::ledger::command::{Command, Item};
use crate::ledger::outcome::{ItemOutcome, Outcome};
use crate::ledger::policy_steps::policy_steps;
use crate::ledger::testing::{Engine, World};
use aimslog_proto::statement::evidence::{FileEntry, PolicyStep, PolicyWalk, WalkError};
use aimslog_proto::system::PolicyTexts;
use aimslog_proto::tlog::{Hash, Policy};
use std::collections::BTreeSet;

/// A ledger with the changes that a test makes.
struct Story {
    world: World,
    engine: Engine,
    newest: PolicyTexts,
    used: BTreeSet<u8>,
}

impl Story {
    fn new() -> Self {
        let world = World::new();
        Self {
            engine: Engine::with_acme(&world),
            newest: world.policy([0, 1, 2]),
            used: BTreeSet::new(),
            world,
        }
    }

    /// Changes the policy, in words of its own: the first byte of the pair's digest numbers the record.
    fn change(&mut self, texts: &PolicyTexts) -> LeafIndex {
        let worded = |number: u32| PolicyTexts {
            publish: format!("# {number}\n{}", texts.publish),
            trust: format!("# {number}\n{}", texts.trust),
        };
        let mut wordings = (0..).map(worded);
        let is_free = |texts: &PolicyTexts| {
            let number = texts.digest()[0];
            number >= 100 && !self.used.contains(&number)
        };
        let texts = wordings.find(is_free).unwrap();
        self.used.insert(texts.digest()[0]);
        let index = self.engine.core().frontier.size().0;
        let item = Item {
            statement: self.world.policy_change(&self.newest, texts.clone()),
            payload: None,
            attachments: Vec::new(),
        };
        let outcome = self.engine.batch(vec![item]).remove(0);
        assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        self.newest = texts;
        LeafIndex(index)
    }

    fn publish(&mut self, places: &[usize]) {
        let head = self.engine.core().frontier.head();
        let publish = self.world.publish_by(head.size.0, head.root, places);
        let outcome = self.engine.run(&Command::Publish(publish));
        assert!(matches!(outcome, Outcome::Published { .. }), "{outcome:?}");
    }

    fn page(&self, after: u64) -> (Vec<pb::PolicyStep>, bool) {
        let (rows, registry) = (&self.engine.rows, &self.engine.registry);
        let mut changes = policy_changes(registry, self.engine.core().frontier.size());
        changes.retain(|index| index.0 > after);
        changes.reverse();
        policy_page(rows, &mut Way::new(rows, registry, &changes)).unwrap()
    }

    /// Where the pages lead whoever holds this policy.
    fn walked(&self, own: &PolicyTexts) -> Result<Vec<u64>, WalkError> {
        let mut walk = PolicyWalk::new(Policy::parse(own.trust.as_bytes()).unwrap());
        let genesis = statement_at(&self.engine.rows, LeafIndex(0)).unwrap();
        walk.add(&entry(0, genesis), None)?;
        let (mut after, mut more) = (0, true);
        while more {
            let (page, goes_on) = self.page(after);
            for step in page {
                after = step.index;
                let led = (!step.checkpoint.is_empty()).then(|| step_of(&step));
                walk.add(&entry(step.index, step.statement), led.as_ref())?;
            }
            more = goes_on;
        }
        let reached = walk.finish()?.into_iter();
        Ok(reached.map(|(since, _)| since.0).collect())
    }
}

fn entry(index: u64, statement: Vec<u8>) -> FileEntry {
    let index = LeafIndex(index);
    FileEntry { index, statement }
}

fn step_of(step: &pb::PolicyStep) -> PolicyStep {
    let hashes = step.proof.iter();
    PolicyStep {
        checkpoint: step.checkpoint.clone(),
        index: LeafIndex(step.index),
        proof: hashes
            .map(|hash| Hash::from_bytes(hash.as_slice().try_into().unwrap()))
            .collect(),
    }
}

/// Asks verifiers for a witness that never cosigns.
fn unmet(world: &World, places: [usize; 3]) -> PolicyTexts {
    let publish = world.policy(places).publish;
    let strangers = world.policy_of_strangers().publish;
    let line = strangers
        .lines()
        .find(|line| line.starts_with("witness"))
        .unwrap();
    let name = line.split(' ').nth(1).unwrap();
    let more = format!("{line}\ngroup more all nodes {name}\nquorum more");
    PolicyTexts {
        trust: publish.replace("quorum nodes", &more),
        publish,
    }
}

#[test]
fn more_changes_than_one_answer_holds_come_page_by_page() {
    let mut story = Story::new();
    let first = story.world.policy([0, 1, 2]);
    let changes = POLICY_PAGE_CHANGES_MAX + 6;
    let others = story.world.policy([0, 1, 3]);
    let last = story.world.policy([1, 2, 3]);
    let made: Vec<u64> = (1..=changes)
        .map(|number| {
            story
                .change(if number == changes { &last } else { &others })
                .0
        })
        .collect();
    story.publish(&[0, 1, 2, 3]);
    let (page, more) = story.page(0);
    assert_eq!((page.len(), more), (POLICY_PAGE_CHANGES_MAX, true));
    let (rest, more) = story.page(page.last().unwrap().index);
    assert_eq!((rest.len(), more), (6, false));
    assert_eq!(story.walked(&first).unwrap(), made);
    assert_eq!(story.walked(&others).unwrap(), made[changes - 1..]);
    // A file brings all of the heads along.
    let size = story.engine.core().frontier.size();
    let steps = policy_steps(&story.engine.rows, &story.engine.registry, size).unwrap();
    assert_eq!(steps.len(), changes);
}

#[test]
fn one_head_leads_over_a_policy_that_no_head_satisfied() {
    let heads_between: [&[usize]; 2] = [&[], &[0, 1]];
    for between in heads_between {
        let mut story = Story::new();
        let asking = unmet(&story.world, [0, 1, 2]);
        let asked = story.change(&asking);
        if !between.is_empty() {
            story.publish(between);
        }
        let newest = story.world.policy([0, 1, 3]);
        let last = story.change(&newest);
        story.publish(&[0, 1]);
        let first = story.world.policy([0, 1, 2]);
        assert_eq!(story.walked(&first).unwrap(), [asked.0, last.0]);
        assert_eq!(story.walked(&newest).unwrap(), [0; 0]);
    }
}

/// Nothing leads over the first change, because all keys before it are gone at the next one. That keeps those
/// alone who stand in front of it.
#[test]
fn a_change_that_nothing_leads_over_keeps_nobody_behind_it() {
    let mut story = Story::new();
    let asking = unmet(&story.world, [1, 2, 3]);
    let asked = story.change(&asking);
    story.publish(&[1, 2]);
    let second = story.world.policy([0, 2, 3]);
    story.change(&second);
    story.publish(&[2, 3]);
    let third = story.world.policy([0, 1, 3]);
    let last = story.change(&third);
    story.publish(&[0, 3]);
    let (page, _) = story.page(0);
    let led: Vec<bool> = page
        .iter()
        .map(|step| !step.checkpoint.is_empty())
        .collect();
    assert_eq!(led, [false, false, true]);
    assert_eq!(story.walked(&second).unwrap(), [last.0]);
    let index = asked.0;
    let first = story.world.policy([0, 1, 2]);
    assert_eq!(story.walked(&first), Err(WalkError::NoStep { index }));
}
