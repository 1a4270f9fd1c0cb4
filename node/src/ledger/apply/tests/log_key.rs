//! The log key changes: which heads are published, and which signatures the leader makes for them.

use std::sync::Mutex;

use aimslog_proto::statement::key::PublicKey;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{Note, Policy, TreeHead};

use super::*;
use crate::identity::{KeyRing, LedgerKeys, Sort};
use crate::ledger::command::Command;
use crate::ledger::head_sealer::{LogSealer, SealDirectory};
use crate::ledger::log_keys::log_keys_needed;
use crate::ledger::outcome::Outcome;
use crate::ledger::progress::CutNote;
use crate::ledger::publisher::HeadSealer;
use crate::ledger::publisher_state::Cosignatures;
use crate::ledger::testing::LOG_SEED;
use crate::raft::Position;

const NEXT: u8 = 50;

fn publish(world: &World, engine: &mut Engine, seeds: &[u8]) -> Outcome {
    let TreeHead { size, root } = engine.core().frontier.head();
    engine.run(&Command::Publish(world.publish_logged(
        (size.0, root),
        &[0, 1],
        seeds,
    )))
}

fn is_published(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Published { .. })
}

#[test]
fn the_head_that_leads_over_is_signed_with_both_log_keys_and_later_ones_with_the_new_one() {
    let (world, mut engine) = world();
    assert!(is_published(&publish(&world, &mut engine, &[LOG_SEED])));
    let before = world.policy([0, 1, 2]);
    let switch = world.policy_change(&before, world.policy_with_log_key(NEXT));
    // A key that no record names is in no policy.
    let refused = engine.submit(switch.clone());
    assert_eq!(reasons(&refused), [Reason::UnknownKey, Reason::UnknownKey]);
    logged(engine.submit(world.log_keys(&[LOG_SEED, NEXT], 60)));
    // It may sign already, but not alone.
    assert!(!is_published(&publish(&world, &mut engine, &[NEXT])));
    assert!(is_published(&publish(&world, &mut engine, &[LOG_SEED])));
    let refused = engine.submit(world.log_keys(&[NEXT], 61));
    assert_eq!(reasons(&refused), [Reason::FailedPrecondition]);
    logged(engine.submit(switch));
    for alone in [&[LOG_SEED][..], &[NEXT]] {
        let outcome = publish(&world, &mut engine, alone);
        assert!(!is_published(&outcome), "{alone:?}: {outcome:?}");
    }
    // Retired before that head: it signs it all the same, and no other one.
    logged(engine.submit(world.log_keys(&[NEXT], 62)));
    let led_over = publish(&world, &mut engine, &[LOG_SEED, NEXT]);
    assert!(is_published(&led_over), "{led_over:?}");
    logged(engine.submit(world.organization("other", 20)));
    assert!(!is_published(&publish(&world, &mut engine, &[LOG_SEED])));
    assert!(is_published(&publish(&world, &mut engine, &[NEXT])));
}

/// What the registry says while the newest head has so many entries.
struct Directory {
    registry: Mutex<(Registry, u64)>,
    receipt: PublicKey,
}

impl SealDirectory for Directory {
    fn log_keys(&self, size: TreeSize) -> Vec<PublicKey> {
        let (registry, published) = self.registry.lock().unwrap().clone();
        log_keys_needed(&registry, TreeSize(published), size)
    }

    fn receipt_keys(&self, _size: TreeSize) -> Vec<PublicKey> {
        vec![self.receipt]
    }
}

#[test]
fn the_leader_signs_with_the_log_keys_of_every_policy_that_a_head_satisfies_or_not_at_all() {
    let (world, mut engine) = world();
    let key = |seed: u8| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let keys = LedgerKeys {
        log: key(LOG_SEED),
        next_log: None,
        receipt: key(4),
        next_receipt: None,
        service: key(3),
    };
    let receipt = keys.publics(Sort::Receipt)[0];
    let published = engine.core().frontier.size().0;
    let before = world.policy([0, 1, 2]);
    logged(engine.submit(world.log_keys(&[LOG_SEED, NEXT], 60)));
    let registry = |engine: &Engine, published| ((*engine.registry).clone(), published);
    let directory = Arc::new(Directory {
        registry: Mutex::new(registry(&engine, published)),
        receipt,
    });
    let ring = Arc::new(KeyRing::new(Some(keys.clone())));
    let origin = engine.registry.genesis().unwrap().origin.clone();
    let sealer = LogSealer::new(origin, Arc::clone(&ring), Arc::clone(&directory) as _);
    let seal = |engine: &Engine| {
        let cut = CutNote {
            position: Position {
                term: 1,
                leader: 1,
                index: 9,
            },
            time: UnixMillis(START_MS),
            tree: engine.core().frontier.head(),
        };
        let sealed = sealer.seal(&cut, &Cosignatures::new());
        sealed.map(|publish| Note::parse(&publish.note).unwrap())
    };
    let by = |note: &Note| note.signatures().len();
    let first = Policy::parse(before.publish.as_bytes()).unwrap();
    assert_eq!(by(&seal(&engine).unwrap()), 1);

    let after = world.policy_with_log_key(NEXT);
    logged(engine.submit(world.policy_change(&before, after.clone())));
    *directory.registry.lock().unwrap() = registry(&engine, published);
    let refused = seal(&engine).unwrap_err().to_string();
    assert!(refused.contains("which is not here"), "{refused}");
    assert!(refused.contains("keys/log.next.seed"), "{refused}");
    ring.put(keys.clone().with_next(Sort::Log, Some(key(NEXT))));
    let led_over = seal(&engine).unwrap();
    assert_eq!(by(&led_over), 2);
    let logs = [&first, &Policy::parse(after.publish.as_bytes()).unwrap()]
        .map(|policy| policy.logs()[0].key.clone());
    for log in &logs {
        led_over.verify(std::slice::from_ref(log)).unwrap();
    }
    let size = engine.core().frontier.size().0;
    *directory.registry.lock().unwrap() = registry(&engine, size);
    let behind = seal(&engine).unwrap();
    assert_eq!(by(&behind), 1);
    behind.verify(&logs[1..]).unwrap();
}
