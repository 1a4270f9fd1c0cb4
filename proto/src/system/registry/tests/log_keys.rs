//! Log keys: named by the operators with a proof, put into a policy only where they are in force, and
//! retired only where no policy needs them.

use super::*;
use crate::statement::evidence::testing::{log_vkey, log_vkey_of};
use crate::system::{Keys, LogKey, PolicyTexts, ReceiptKey, prove_log_key, prove_receipt_key};

const OPERATORS: (u8, u8) = (seed::OPERATOR_A, seed::OPERATOR_B);
const NEXT: u8 = seed::NEXT_LOG;
const UNKNOWN: u8 = 60;

fn world() -> World {
    World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2)
}

fn log(seed: u8) -> LogKey {
    LogKey {
        key: key(seed).public_key(),
        possession: prove_log_key(&origin(), &key(seed)).unwrap(),
    }
}

fn named(seeds: &[u8]) -> Keys {
    Keys {
        receipt: Vec::new(),
        log: seeds.iter().map(|seed| log(*seed)).collect(),
        approvals: Vec::new(),
    }
}

/// The policies of genesis with another log key.
fn with_log(seed: u8) -> PolicyTexts {
    let swap = |text: &str| text.replace(&log_vkey().to_string(), &log_vkey_of(seed).to_string());
    let texts = policies();
    PolicyTexts {
        publish: swap(&texts.publish),
        trust: swap(&texts.trust),
    }
}

fn policy_change(before: &PolicyTexts, texts: PolicyTexts) -> PolicyChange {
    PolicyChange {
        predecessor: before.digest(),
        texts,
        approvals: Vec::new(),
    }
}

fn agreed_refusal<P: Payload>(world: &World, record: P) -> Violations {
    let statement = signed(&approved(record, seed::OPERATOR_B), seed::OPERATOR_A);
    let index = LeafIndex(world.entries.len() as u64);
    world.registry.check(index, &statement).unwrap_err()
}

fn in_force(world: &World) -> Vec<[u8; 32]> {
    let next = LeafIndex(world.entries.len() as u64);
    let rows = world.registry.log_keys_at(next);
    let mut keys: Vec<[u8; 32]> = rows.map(|row| *row.key.as_bytes()).collect();
    keys.sort_unstable();
    keys
}

fn publics(seeds: &[u8]) -> Vec<[u8; 32]> {
    let public = |seed: &u8| *key(*seed).public_key().as_bytes();
    let mut keys: Vec<[u8; 32]> = seeds.iter().map(public).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_log_key_is_named_put_into_the_policy_and_follows_the_old_one() {
    let mut world = world();
    assert_eq!(in_force(&world), publics(&[seed::LOG]));
    let beside = world.agreed(named(&[seed::LOG, NEXT]), OPERATORS);
    assert_eq!(in_force(&world), publics(&[seed::LOG, NEXT]));
    let change = policy_change(&policies(), with_log(NEXT));
    let switch = world.agreed(change, OPERATORS);
    let (since, texts) = world.registry.policy().unwrap();
    assert_eq!((since, texts), (switch, &with_log(NEXT)));
    let alone = world.agreed(named(&[NEXT]), OPERATORS);
    assert_eq!(in_force(&world), publics(&[NEXT]));
    // It was in force up to the record that retired it.
    assert!(world.registry.log_keys_at(alone).count() == 2);
    // Receipt keys are as they were, and evidence brings the records along.
    let all = TreeSize(world.entries.len() as u64);
    assert_eq!(world.registry.keys_record(all), Some(LeafIndex(1)));
    let reviewer = key(seed::REVIEWER).public_key().thumbprint();
    let chain = world.registry.chain_of([reviewer]);
    for index in [beside, switch, alone] {
        assert!(chain.contains(&index), "{index}");
    }
    // Another one follows, and the old one never again.
    world.agreed(named(&[NEXT, UNKNOWN]), OPERATORS);
    let back = agreed_refusal(&world, named(&[NEXT, seed::LOG]));
    assert_eq!(back.reason(), Some(Reason::KeyInUse), "{back}");
}

#[test]
fn a_policy_names_log_keys_in_force_and_both_texts_the_same() {
    let mut world = world();
    let refusal = |world: &World, before: &PolicyTexts, texts: PolicyTexts| {
        let found = agreed_refusal(world, policy_change(before, texts));
        let first = &found.as_slice()[0];
        (first.reason, first.field.clone(), first.rule.clone())
    };
    let (reason, field, rule) = refusal(&world, &policies(), with_log(NEXT));
    assert_eq!(
        (reason, field.as_str()),
        (Reason::UnknownKey, "payload.publish")
    );
    assert!(rule.contains("ledger.keys has named"), "{rule}");
    // Both may sign, and only one is named.
    let both = |text: &str| format!("log {}\n{text}", log_vkey_of(NEXT));
    let two = PolicyTexts {
        publish: both(&policies().publish),
        trust: both(&policies().trust),
    };
    let (reason, ..) = refusal(&world, &policies(), two.clone());
    assert_eq!(reason, Reason::UnknownKey);
    world.agreed(named(&[seed::LOG, NEXT]), OPERATORS);
    let uneven = PolicyTexts {
        trust: policies().trust,
        ..with_log(NEXT)
    };
    let (reason, field, _) = refusal(&world, &policies(), uneven);
    assert_eq!(
        (reason, field.as_str()),
        (Reason::InvalidField, "payload.trust")
    );
    let elsewhere = |text: &str| text.replacen("log ledger.example/test", "log elsewhere/test", 1);
    let foreign = PolicyTexts {
        publish: elsewhere(&policies().publish),
        trust: elsewhere(&policies().trust),
    };
    let (reason, ..) = refusal(&world, &policies(), foreign);
    assert_eq!(reason, Reason::InvalidField);
    world.agreed(policy_change(&policies(), two.clone()), OPERATORS);
    world.agreed(policy_change(&two, with_log(NEXT)), OPERATORS);
    world.agreed(named(&[NEXT]), OPERATORS);
    let (reason, field, rule) = refusal(&world, &with_log(NEXT), policies());
    assert_eq!(
        (reason, field.as_str()),
        (Reason::RevokedKey, "payload.publish")
    );
    assert!(rule.contains("retired"), "{rule}");
}

#[test]
fn a_log_key_that_the_policy_names_stays_in_force() {
    let mut world = world();
    let alone = agreed_refusal(&world, named(&[NEXT]));
    assert_eq!(
        alone.reason(),
        Some(Reason::FailedPrecondition),
        "no head could be made: {alone}"
    );
    world.agreed(named(&[seed::LOG, NEXT]), OPERATORS);
    let alone = agreed_refusal(&world, named(&[NEXT]));
    assert_eq!(alone.reason(), Some(Reason::FailedPrecondition), "{alone}");
    world.agreed(policy_change(&policies(), with_log(NEXT)), OPERATORS);
    let back = agreed_refusal(&world, named(&[seed::LOG]));
    assert_eq!(back.reason(), Some(Reason::FailedPrecondition), "{back}");
    world.agreed(named(&[NEXT]), OPERATORS);
}

#[test]
fn a_log_key_is_named_by_the_operators_with_its_own_proof_and_for_nothing_else() {
    let world = world();
    let few = refused(
        &world,
        &signed(&named(&[seed::LOG, NEXT]), seed::OPERATOR_A),
    );
    assert_eq!(few, Reason::TooFewOperators);
    let service = signed(&named(&[seed::LOG, NEXT]), seed::SERVICE);
    assert_eq!(refused(&world, &service), Reason::NotPermitted);
    let receipt = |seed: u8| ReceiptKey {
        key: key(seed).public_key(),
        possession: prove_receipt_key(&origin(), &key(seed)).unwrap(),
    };
    let mut borrowed = named(&[seed::LOG, NEXT]);
    borrowed.log[1].possession = receipt(NEXT).possession;
    let mut stolen = named(&[seed::LOG, NEXT]);
    stolen.log[1].possession = log(UNKNOWN).possession;
    let mut twice = named(&[seed::LOG, NEXT]);
    twice.receipt = vec![receipt(seed::RECEIPT), receipt(NEXT)];
    for (what, record, reason) in [
        ("a proof for receipts", borrowed, Reason::WrongPossession),
        ("another's proof", stolen, Reason::WrongPossession),
        ("for both purposes", twice, Reason::KeyInUse),
        (
            "a receipt key",
            named(&[seed::LOG, seed::RECEIPT]),
            Reason::KeyInUse,
        ),
        (
            "a principal's key",
            named(&[seed::LOG, seed::REVIEWER]),
            Reason::KeyInUse,
        ),
    ] {
        let found = agreed_refusal(&world, record);
        assert_eq!(found.reason(), Some(reason), "{what}: {found}");
    }
    // Nor is a log key anything else.
    let mut as_receipt = keys_record();
    as_receipt.receipt.push(receipt(seed::LOG));
    let found = agreed_refusal(&world, as_receipt);
    assert_eq!(found.reason(), Some(Reason::KeyInUse), "{found}");
    let admin = signed(&admit("p-new", seed::LOG, None), seed::ADMIN);
    assert_eq!(refused(&world, &admin), Reason::KeyInUse);
}

#[test]
fn both_sorts_change_in_one_record_and_none_in_no_record() {
    let mut world = world();
    let mut both = named(&[seed::LOG, NEXT]);
    both.receipt = vec![ReceiptKey {
        key: key(41).public_key(),
        possession: prove_receipt_key(&origin(), &key(41)).unwrap(),
    }];
    let decoded = Keys::decode(&both.encode()).unwrap();
    assert_eq!(decoded, both);
    let at = world.agreed(both, OPERATORS);
    assert_eq!(in_force(&world), publics(&[seed::LOG, NEXT]));
    let next = LeafIndex(at.0 + 1);
    let receipts: Vec<_> = world.registry.receipt_keys_at(next).collect();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].key, key(41).public_key());
    let none = Keys {
        receipt: Vec::new(),
        log: Vec::new(),
        approvals: Vec::new(),
    };
    let error = Keys::decode(&none.encode()).unwrap_err().to_string();
    assert!(error.contains("receipt keys, log keys or both"), "{error}");
}

#[test]
fn the_first_record_of_keys_names_no_log_key_and_genesis_one_of_its_own() {
    let operators = [seed::OPERATOR_A, seed::OPERATOR_B];
    let start = |record: &Genesis| {
        let mut registry = Registry::new();
        let statement = signed_as(0, record, seed::OPERATOR_A);
        let applied = registry.apply(LeafIndex(0), &statement);
        applied
            .map(|_| registry)
            .map_err(|error| error.reason().unwrap())
    };
    let mut registry = start(&genesis(&operators, 2)).unwrap();
    let mut first = keys_record();
    first.log = vec![log(seed::LOG)];
    let statement = signed(&first, seed::SERVICE);
    let found = registry.apply(LeafIndex(1), &statement).unwrap_err();
    assert_eq!(found.reason(), Some(Reason::InvalidField), "{found}");

    let swapped = |seed: u8, texts: PolicyTexts| {
        let mut record = genesis(&operators, 2);
        record.approvals.clear();
        record.log_key = log_vkey_of(seed);
        record.policy = texts;
        let approval = approve_record(&record, &making(&origin(), 0), &key(operators[1])).unwrap();
        start(&add_approval(record, approval)).map(drop)
    };
    assert_eq!(swapped(NEXT, with_log(NEXT)), Ok(()));
    assert_eq!(swapped(NEXT, policies()), Err(Reason::UnknownKey));
    let receipt = seed::RECEIPT;
    assert_eq!(swapped(receipt, with_log(receipt)), Err(Reason::KeyInUse));
}
