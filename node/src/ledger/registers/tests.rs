//! Registers at every place of random logs, against a look at every entry.

use std::collections::BTreeMap;

use aimslog_proto::statement::header::Family;
use aimslog_proto::tlog::Frontier;
use proptest::prelude::*;

use super::*;
use crate::ledger::{
    row::{RegisterRow, Value as _},
    state::MemoryRows,
    testing::{
        counting::CountingRows,
        log::{KINDS, ORGANIZATIONS, RandomLog, Step, steps},
    },
};

/// A version as it is told by going through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    entity: EntryId,
    version: u32,
    index: LeafIndex,
    state: String,
}

/// One register: its entities by number.
type Register = BTreeMap<u64, Told>;

/// Every register in front of `at`, with how many versions it has.
fn told(log: &RandomLog, at: LeafIndex) -> BTreeMap<(String, String), (Register, u64)> {
    let mut registers: BTreeMap<(String, String), (Register, u64)> = BTreeMap::new();
    for (index, entry, statement) in log.entries() {
        let header = statement.header();
        if index >= at || header.content_type.family() == Family::Ledger {
            continue;
        }
        let name = (entry.organization, entry.kind);
        let (register, versions) = registers.entry(name).or_default();
        *versions += 1;
        let id = statement.entry_id();
        let number = match header.revision {
            None => register.len() as u64 + 1,
            Some(revision) => {
                let mut known = register.iter();
                *known
                    .find(|(_, it)| it.entity == revision.entity)
                    .unwrap()
                    .0
            }
        };
        let before = register.get(&number);
        let told = Told {
            entity: header.revision.map_or(id, |revision| revision.entity),
            version: before.map_or(1, |before| before.version + 1),
            index,
            state: header.transition.clone().unwrap_or_else(|| {
                before
                    .map(|before| before.state.clone())
                    .unwrap_or_default()
            }),
        };
        register.insert(number, told);
    }
    registers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_register_in_front_of_an_entry_is_what_the_log_says_up_to_there(steps in steps(40)) {
        let log = RandomLog::of(&steps);
        let rows = &log.engine.rows;
        let size = log.engine.core().frontier.size().0;
        for at in (0..=size).map(LeafIndex) {
            let mut told = told(&log, at);
            for (organization, kind) in ORGANIZATIONS.iter().flat_map(|it| KINDS.map(|kind| (*it, kind))) {
                let name = RegisterName { organization, kind };
                let key = (organization.to_owned(), kind.to_owned());
                let (register, versions) = told.remove(&key).unwrap_or_default();
                let count = count_before(rows, name, at).unwrap();
                let entities = register.len() as u64;
                prop_assert_eq!(count, Count { entities, versions });
                for (number, expected) in &register {
                    let (newest, index) = newest_before(rows, name, *number, at).unwrap().unwrap();
                    let found = version(rows, index).unwrap();
                    prop_assert_eq!(found.entry.version, newest);
                    let found = Told {
                        entity: found.entity,
                        version: newest,
                        index: found.index,
                        state: found.entry.state,
                    };
                    prop_assert_eq!(&found, expected);
                }
                prop_assert_eq!(newest_before(rows, name, entities + 1, at).unwrap(), None);
            }
        }
    }
}

#[test]
fn versions_that_name_no_state_are_in_that_of_an_earlier_one() {
    let open = Step::Open {
        organization: 0,
        kind: 0,
        by: 0,
        subject: 0,
        controls: [false; 3],
    };
    // An odd choice names a state, an even one names none.
    let more = |state| Step::Continue {
        entity: 0,
        by: 0,
        state,
        retracts: false,
    };
    let steps: Vec<Step> = [open, more(0), more(1), more(2), more(4), more(6)].into();
    let log = RandomLog::of(&steps);
    let first = log.engine.core().frontier.size().0 - 6;
    let rows = CountingRows::of(&log.engine.rows);
    let version = |place| version(&rows, LeafIndex(first + place)).unwrap();
    let states: Vec<String> = (0..6).map(|place| version(place).entry.state).collect();
    assert_eq!(states[..2], ["", ""]);
    assert!(
        states[2..].iter().all(|state| state == "recorded"),
        "{states:?}"
    );
    // Each from its own row: what was said four versions ago is not looked for.
    assert_eq!(rows.read(), 6);
}

#[test]
fn a_record_of_the_ledger_itself_is_no_version() {
    let log = RandomLog::of(&[]);
    let told = version(&log.engine.rows, LeafIndex(0));
    assert!(
        matches!(told, Err(StateError::Contradiction { .. })),
        "{told:?}"
    );
}

const NAME: RegisterName<'_> = RegisterName {
    organization: "acme",
    kind: "risk",
};

/// The index rows of a register of so many entities, logged one after the other, each with so many
/// versions behind them in rounds.
fn large(entities: u64, versions: u32) -> MemoryRows {
    let mut writes = crate::store::state_db::Writes::new();
    let mut put = |key, value: Vec<u8>| writes.insert(key, Some(value));
    let mut index = 0_u64;
    for version in 1..=versions {
        for number in 1..=entities {
            let place = RegisterPlace {
                organization: NAME.organization,
                kind: NAME.kind,
                number,
                version,
            };
            put(codec::by_number(place), index.to_be_bytes().to_vec());
            let by_kind = codec::by_kind(NAME.organization, NAME.kind, index);
            put(by_kind, index.to_be_bytes().to_vec());
            index += 1;
        }
    }
    let register = RegisterRow {
        entities,
        frontier: Frontier::EMPTY,
    };
    put(
        codec::register(NAME.organization, NAME.kind),
        register.encode(),
    );
    let mut rows = MemoryRows::default();
    rows.write(writes);
    rows
}

#[test]
fn what_is_read_for_an_answer_does_not_grow_with_the_register() {
    for (entities, versions) in [(100_000, 1), (2, 50_000)] {
        let rows = large(entities, versions);
        let all = entities * u64::from(versions);
        let counting = CountingRows::of(&rows);
        for at in [0, 1, all / 3, all - 1, all].map(LeafIndex) {
            counting.reset();
            let count = count_before(&counting, NAME, at).unwrap();
            assert_eq!(count.versions, at.0);
            assert_eq!(count.entities, at.0.min(entities));
            assert!(counting.read() <= 24, "{} rows", counting.read());
            for number in [1, entities / 2, entities] {
                counting.reset();
                let newest = newest_before(&counting, NAME, number, at).unwrap();
                // Entity `number` has a version in each round of the log.
                let expected = (at.0 + entities).checked_sub(number);
                let expected = expected.map_or(0, |left| left / entities);
                let found = newest.map_or(0, |(version, _)| u64::from(version));
                assert_eq!(found, expected, "{number} at {at}");
                assert!(counting.read() <= 40, "{} rows", counting.read());
            }
        }
    }
}
