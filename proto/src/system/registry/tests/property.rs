//! Goal: whatever is sent in whatever order, a refusal changes nothing, what held at a position goes on
//! to hold there, each organisation keeps an administrator, and the log alone gives the same registry.
//!
//! Method: seeded sequences of good and bad statements about few principals; the seed is printed.

use super::signers::{
    controls, engagement, grant_to, of, read_key, resume, role, rotation, suspend,
};
use super::*;
use crate::system::{EngagementChange, RoleChange};

const SEQUENCES: u64 = 60;
const STEPS: u64 = 40;
const PRINCIPALS: [&str; 4] = ["p-admin", "p-reviewer", "p-1", "p-2"];
/// Seeds of keys that steps bring; few, so that some come twice.
const KEYS: std::ops::Range<u8> = 100..130;

/// Marsaglia's xorshift64*: the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let next = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        usize::try_from(next % end as u64).unwrap()
    }

    fn key(&mut self) -> u8 {
        KEYS.start + u8::try_from(self.below(KEYS.len())).unwrap()
    }
}

/// The seed of the key with which a principal signs now.
fn signer_of(world: &World, id: &str) -> u8 {
    let row = world.registry.principal(&org("acme"), &principal(id));
    let current = row.map(|row| row.key.thumbprint());
    let mut seeds =
        (0..=u8::MAX).filter(|seed| Some(key(*seed).public_key().thumbprint()) == current);
    seeds.next().unwrap_or(98)
}

fn step(world: &World, random: &mut Random) -> UnverifiedStatement {
    let id = PRINCIPALS[random.below(PRINCIPALS.len())];
    let by = if random.below(8) == 0 {
        [seed::OPERATOR_A, seed::SERVICE, 98][random.below(3)]
    } else {
        signer_of(world, PRINCIPALS[random.below(PRINCIPALS.len())])
    };
    let named = ["administrator", "reviewer", "auditor"][random.below(3)];
    let next = LeafIndex(world.entries.len() as u64);
    if world.registry.is_suspended_at(&org("acme"), next) && random.below(2) == 0 {
        return signed(
            &approved(resume("acme"), seed::OPERATOR_B),
            seed::OPERATOR_A,
        );
    }
    match random.below(20) {
        0 => signed(&admit(id, random.key(), None), by),
        1 => signed(&resume("acme"), seed::OPERATOR_A),
        2 => signed(&read_key(id, random.key()), by),
        3 => signed(&of(id, PrincipalChange::EndReadKey), by),
        4 => signed(&revoke(id), by),
        5 | 6 => signed(&role(id, RoleChange::Grant, named), by),
        7 => signed(&role(id, RoleChange::Withdraw, named), by),
        8 => {
            let grant = EngagementChange::Grant(Box::new(grant_to("other")));
            let change = [grant, EngagementChange::End];
            let change = change[random.below(2)].clone();
            signed(&engagement("e-1", change), by)
        }
        9 => signed(
            &approved(suspend("acme"), seed::OPERATOR_B),
            seed::OPERATOR_A,
        ),
        10..=13 => signed(&rotation(id, random.key()), by),
        14 => {
            let version = u32::try_from(random.below(3)).unwrap() + 1;
            signed(&controls(["org", "ours"][random.below(2)], version), by)
        }
        _ => signed(&role(id, RoleChange::Grant, "administrator"), by),
    }
}

#[test]
fn histories_of_members_hold_whatever_comes() {
    let mut taken = 0;
    for number in 1..=SEQUENCES {
        let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
        world.system(&organization("other", seed::OTHER_ADMIN), seed::OPERATOR_A);
        let mut earlier = vec![(world.entries.len() as u64, world.registry.clone())];
        for _ in 0..STEPS {
            let statement = step(&world, &mut random);
            let index = LeafIndex(world.entries.len() as u64);
            let before = format!("{:?}", world.registry);
            if world.registry.apply(index, &statement).is_ok() {
                world.push(statement.bytes().to_vec(), Vec::new());
                earlier.push((index.0 + 1, world.registry.clone()));
                taken += 1;
            } else {
                assert_eq!(format!("{:?}", world.registry), before, "seed {number}");
            }
            let administrators = world.registry.principals().filter(|history| {
                let row = history.newest().unwrap();
                row.organization == org("acme") && history.is_administrator()
            });
            assert!(administrators.count() > 0, "seed {number}");
        }
        for (next, registry) in &earlier {
            let index = LeafIndex(*next);
            for (kid, _) in registry.keys() {
                let now = &world.registry;
                assert_eq!(
                    now.principal_at(kid, index),
                    registry.principal_at(kid, index),
                    "seed {number} at {next}"
                );
                assert_eq!(
                    now.reader_at(kid, index),
                    registry.reader_at(kid, index),
                    "seed {number} at {next}"
                );
            }
            let held = |registry: &Registry| {
                let schemes = ["org", "ours"].into_iter();
                let held =
                    schemes.map(|one| registry.catalogue_at(&org("acme"), one, index).cloned());
                held.collect::<Vec<_>>()
            };
            assert_eq!(held(&world.registry), held(registry), "seed {number}");
            let suspended = |registry: &Registry| registry.is_suspended_at(&org("acme"), index);
            assert_eq!(suspended(&world.registry), suspended(registry));
        }
        let mut again = Registry::new();
        for (index, entry) in (0..).map(LeafIndex).zip(&world.entries) {
            let statement = UnverifiedStatement::parse(entry).unwrap();
            again.apply(index, &statement).unwrap();
        }
        assert_eq!(format!("{again:?}"), format!("{:?}", world.registry));
    }
    assert!(taken > SEQUENCES * 5, "{taken}");
}
