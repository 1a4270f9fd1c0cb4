//! Every role against every kind in every state that an entity can reach, on a whole ledger.

use aimslog_proto::aims::{
    bundle::RuleBundle,
    kind::{Kind, Signer},
};

use super::{
    twin::{Walker, path_between},
    *,
};

/// The roles with the keys of their principals; whoever may not sign `state` first.
fn signers(kind: &Kind, state: &str) -> Vec<(&'static str, u8, bool)> {
    let mut signers: Vec<_> = RuleBundle::v1()
        .roles()
        .iter()
        .zip(100..)
        .map(|(role, seed)| {
            let signer = Signer {
                roles: &[role.name.as_str()],
                is_agent: false,
            };
            let may = kind.check_signer(Some(state), signer).is_empty();
            (role.name.as_str(), seed, may)
        })
        .collect();
    signers.sort_by_key(|(_, _, may)| *may);
    signers
}

#[test]
fn each_role_signs_what_the_bundle_gives_it_and_nothing_else() {
    let mut walker = Walker::new();
    for (role, seed) in RuleBundle::v1().roles().iter().zip(100..) {
        walker.twin.admit(&format!("p-{seed}"), seed, &[&role.name]);
    }
    let mut counted = [0, 0];
    for kind in RuleBundle::v1().kinds() {
        for state in kind.states() {
            let path = path_between(kind, None, state);
            let from = path.iter().rev().nth(1).map(String::as_str);
            let mut ready = walker.ready(kind, from, state);
            for (role, seed, may) in signers(kind, state) {
                let statement = walker.statement(&ready, (kind, state), seed);
                let found = match walker.twin.submit(statement) {
                    Ok(_) => vec![],
                    Err(violations) => violations.iter().map(|one| one.reason).collect(),
                };
                let expected = if may {
                    vec![]
                } else {
                    vec![Reason::NotPermitted]
                };
                assert_eq!(
                    found,
                    expected,
                    "{role}: {} from {from:?} to {state}",
                    kind.name()
                );
                counted[usize::from(may)] += 1;
                if may {
                    ready = walker.ready(kind, from, state);
                }
            }
        }
    }
    assert!(walker.twin.finish() > 100);
    assert!(counted.iter().all(|count| *count > 30), "{counted:?}");
}

#[test]
fn every_move_of_every_kind_is_made_on_a_ledger_and_repeated_from_its_log() {
    let mut walker = Walker::new();
    let mut moves = 0;
    for kind in RuleBundle::v1().kinds() {
        let starts = std::iter::once(None).chain(kind.states().iter().map(Some));
        for from in starts.map(|from| from.map(String::as_str)) {
            let is_move =
                |to: &&String| from != Some(to.as_str()) && kind.check_transition(from, to).is_ok();
            for to in kind.states().iter().filter(is_move) {
                let ready = walker.ready(kind, from, to);
                walker.enter(kind, to, ready);
                moves += 1;
            }
        }
    }
    assert!(walker.twin.finish() > moves);
}
