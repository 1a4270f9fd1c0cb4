//! Goal: every honest chain leads each of its readers on, and no other one leads anybody anywhere else.
//!
//! Method: chains from random changes of nodes, quorum, witness and log key, a few of them under each head,
//! which is signed by those alone whom an honest log would ask. Then somebody shows them otherwise.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const LOGS: [u8; 3] = [seed::LOG, seed::NEXT_LOG, 7];
/// Who is in no policy of the log.
const STRANGERS: [u8; 2] = [8, 9];

/// A pair of policies.
#[derive(Debug, Clone, PartialEq)]
struct Plan {
    log: u8,
    nodes: BTreeSet<u8>,
    quorum: usize,
    known: bool,
    asked: bool,
}

impl Plan {
    /// What readers are told to ask for, without the words.
    fn trust(&self) -> Self {
        Self {
            asked: self.known && self.asked,
            ..self.clone()
        }
    }

    /// What every head satisfies.
    fn publish(&self) -> Self {
        Self {
            known: false,
            asked: false,
            ..self.clone()
        }
    }

    fn texts(&self) -> PolicyTexts {
        let nodes: Vec<u8> = self.nodes.iter().copied().collect();
        let PolicyTexts { publish, trust } = texts(self.log, &nodes, self.known);
        let quorum = format!("group nodes {} ", self.quorum);
        let of = |text: String| text.replace("group nodes 2 ", &quorum);
        let mut trust = of(trust);
        if self.known && self.asked {
            trust = trust.replace("quorum nodes", "group more all nodes w\nquorum more");
        }
        PolicyTexts {
            publish: of(publish),
            trust,
        }
    }
}

/// What changes: the seed of it.
#[derive(Debug, Clone)]
enum Turn {
    Node(u8),
    Quorum(usize),
    Log(usize),
    Known,
    Asked,
}

impl Turn {
    fn applied(&self, plan: &Plan) -> Plan {
        let mut next = plan.clone();
        match self {
            Self::Node(id) if next.nodes.remove(id) && next.nodes.len() >= 2 => {}
            Self::Node(id) => drop(next.nodes.insert(*id)),
            Self::Quorum(count) => next.quorum = *count,
            Self::Log(at) => next.log = LOGS[*at],
            Self::Known => next.known = !next.known,
            Self::Asked => next.asked = !next.asked,
        }
        next.quorum = next.quorum.clamp(1, next.nodes.len());
        next
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (1_u8..=5).prop_map(Turn::Node),
        2 => (1_usize..=4).prop_map(Turn::Quorum),
        2 => (0..LOGS.len()).prop_map(Turn::Log),
        1 => Just(Turn::Known),
        1 => Just(Turn::Asked),
    ]
}

/// The turns that stand under each head.
fn turns() -> impl Strategy<Value = Vec<Vec<Turn>>> {
    prop::collection::vec(prop::collection::vec(turn(), 1..4), 1..5)
}

/// Of genesis.
fn first() -> Plan {
    Plan {
        log: seed::LOG,
        nodes: BTreeSet::from([1, 2, 3]),
        quorum: 2,
        known: true,
        asked: true,
    }
}

/// The chain of these turns, with heads by as few as the policies in front, in between and behind ask for.
fn honest(turns: &[Vec<Turn>]) -> (Way, Vec<Plan>) {
    let mut way = Way::through(&[]);
    let mut plan = first();
    let mut all = vec![plan.clone()];
    for together in turns {
        let mut plans = vec![plan.clone()];
        let mut changes = Vec::new();
        for turn in together {
            plan = turn.applied(&plan);
            let predecessor = way.pairs.last().unwrap().digest();
            changes.push(way.change(predecessor, &plan.texts()));
            plans.push(plan.clone());
            all.push(plan.clone());
        }
        let size = changes.last().unwrap().0 + 1;
        let (logs, cosigners) = signers(&plans);
        let note = way.note(size, &logs, &cosigners);
        for at in changes {
            let step = way.step(at, size, note.clone());
            way.steps.push(step);
        }
    }
    (way, all)
}

/// A key of the log that two of these name signs once.
fn signers(plans: &[Plan]) -> (Vec<u8>, Vec<u8>) {
    let logs: BTreeSet<u8> = plans.iter().map(|plan| plan.log).collect();
    let mut cosigners = BTreeSet::new();
    for plan in plans {
        cosigners.extend(
            plan.nodes
                .iter()
                .take(plan.quorum)
                .map(|id| seed::NODE + id),
        );
        cosigners.extend((plan.known && plan.asked).then_some(seed::WITNESS));
    }
    (logs.into_iter().collect(), cosigners.into_iter().collect())
}

/// Where a holder of this policy stands: at the last pair that tells verifiers to ask for it, or else at
/// the last that is published by it.
fn place(plans: &[Plan], own: &Plan) -> usize {
    let by_trust = plans.iter().rposition(|plan| plan.trust() == *own);
    let by_publish = || plans.iter().rposition(|plan| plan.publish() == *own);
    by_trust.or_else(by_publish).unwrap()
}

/// What somebody does to an honest chain.
#[derive(Debug, Clone)]
enum Lie {
    StepLeftOut,
    RecordLeftOut,
    BothLeftOut,
    Reordered,
    Doubled,
    StepOfAnother,
    EndLeftOut,
    FrontLeftOut,
    Forged,
    ForgedWithoutHead,
}

impl Lie {
    const ALL: [Self; 10] = [
        Self::StepLeftOut,
        Self::RecordLeftOut,
        Self::BothLeftOut,
        Self::Reordered,
        Self::Doubled,
        Self::StepOfAnother,
        Self::EndLeftOut,
        Self::FrontLeftOut,
        Self::Forged,
        Self::ForgedWithoutHead,
    ];

    /// Tells it of the change at this place, from 1.
    fn tell(&self, way: &mut Way, at: usize) {
        let count = way.steps.len();
        match self {
            Self::StepLeftOut => drop(way.steps.remove(at - 1)),
            Self::RecordLeftOut => drop(way.records.remove(at)),
            Self::BothLeftOut => {
                way.steps.remove(at - 1);
                way.records.remove(at);
            }
            Self::Reordered => {
                let other = at % count + 1;
                way.records.swap(at, other);
                way.steps.swap(at - 1, other - 1);
            }
            Self::Doubled => {
                way.records.insert(at, way.records[at].clone());
                way.steps.insert(at, way.steps[at - 1].clone());
            }
            Self::StepOfAnother => {
                let other = way.steps[at % count].clone();
                way.steps[at - 1].checkpoint = other.checkpoint;
                way.steps[at - 1].proof = other.proof;
            }
            Self::EndLeftOut => {
                way.records.truncate(at);
                way.steps.truncate(at - 1);
            }
            Self::FrontLeftOut => {
                way.records.drain(..at);
                way.steps.drain(..at - 1);
            }
            Self::Forged | Self::ForgedWithoutHead => {
                way.records.truncate(at);
                way.steps.truncate(at - 1);
                self.forge(way, at);
            }
        }
    }

    /// Goes on behind the first pairs with one of strangers, who have every key of the log.
    fn forge(&self, way: &mut Way, at: usize) {
        let forged = texts(LOGS[0], &STRANGERS, false);
        let predecessor = way.pairs[at - 1].digest();
        let since = way.change(predecessor, &forged);
        way.pairs.pop();
        let size = since.0 + 1;
        let note = way.note(size, &LOGS, &STRANGERS.map(|id| seed::NODE + id));
        if matches!(self, Self::Forged) {
            let step = way.step(since, size, note);
            way.steps.push(step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn honest_chains_lead_every_reader_to_their_end(turns in turns()) {
        let (way, plans) = honest(&turns);
        for (pair, plan) in way.pairs.iter().zip(&plans) {
            for (text, own) in [(&pair.trust, plan.trust()), (&pair.publish, plan.publish())] {
                let held = Policy::parse(text.as_bytes()).unwrap();
                let behind = (place(&plans, &own) + 1..plans.len()).collect::<Vec<_>>();
                prop_assert_eq!(way.walked_from(&held).unwrap(), behind, "{}", text);
            }
        }
    }

    #[test]
    fn no_lie_leads_anybody_to_what_the_log_never_had(
        turns in turns(),
        lie in prop::sample::select(&Lie::ALL[..]),
        at in any::<prop::sample::Index>(),
        holder in any::<prop::sample::Index>(),
    ) {
        let (mut way, _) = honest(&turns);
        let truth: Vec<(LeafIndex, Policy)> = way
            .records
            .iter()
            .zip(&way.pairs)
            .map(|(record, pair)| (record.index, policy(pair)))
            .collect();
        let holder = holder.index(way.pairs.len());
        let at = 1 + at.index(way.steps.len());
        lie.tell(&mut way, at);
        let own = truth[holder].1.clone();
        let Ok(walked) = walk_policies(&way.steps, &way.records, &own) else {
            return Ok(());
        };
        // What is left is a piece of the truth in its order, behind a pair with that policy.
        let Some((first, _)) = walked.first() else {
            return Ok(());
        };
        let start = truth.iter().position(|(since, _)| since == first).unwrap();
        prop_assert!(start > 0);
        prop_assert_eq!(&truth[start..start + walked.len()], &walked[..]);
        // Its publish policy, where that is what the reader holds.
        let publish = Policy::parse(way.pairs[start - 1].publish.as_bytes()).unwrap();
        let is_there = [&truth[start - 1].1, &publish].into_iter().any(|it| it.asks_the_same_as(&own));
        prop_assert!(is_there, "{:?}", lie);
    }
}
