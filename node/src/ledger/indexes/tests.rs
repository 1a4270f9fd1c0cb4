//! The index follows from headers, places and times alone, and shows nothing of a payload.

use std::collections::BTreeMap;

use aimslog_proto::{
    aims::judge::kind_text,
    statement::{EntryId, header::Family, header::Issuer},
    system::registry::Registry,
};
use proptest::{prelude::*, strategy::ValueTree as _};

use super::*;
use crate::{
    ledger::{
        state::MemoryRows,
        testing::log::{CONTENT, RandomLog, steps},
    },
    store::codec::Family as Table,
};

/// Builds the index again from what the entries say, when they were logged, and nothing else.
fn rebuilt(log: &RandomLog) -> MemoryRows {
    let mut rows = MemoryRows::default();
    let mut registry = Registry::new();
    let mut registers: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    let mut entities: BTreeMap<EntryId, (u64, u32)> = BTreeMap::new();
    for (index, stored, statement) in log.entries() {
        let header = statement.header();
        let kind = kind_text(&header.content_type);
        let mut entry = EntryRow {
            organization: String::new(),
            number: 0,
            version: 0,
            kind,
            ..stored
        };
        let mut position = None;
        match header.content_type.family() {
            Family::Ledger => {
                registry.apply(index, &statement).unwrap();
                let origin = log.world.origin.as_str();
                if let Some(Issuer::Organization { organization, .. }) = header.issuer_in(origin) {
                    organization.clone_into(&mut entry.organization);
                }
            }
            Family::Evidence => {
                let signer = registry.principal_at(&header.key, index).unwrap();
                entry.organization = signer.organization.to_string();
                let name = (entry.organization.clone(), entry.kind.clone());
                let register = registers.entry(name).or_default();
                position = Some(register.0);
                register.0 += 1;
                let id = header
                    .revision
                    .map_or_else(|| statement.entry_id(), |revision| revision.entity);
                let entity = entities.entry(id).or_insert_with(|| {
                    register.1 += 1;
                    (register.1, 0)
                });
                entity.1 += 1;
                (entry.number, entry.version) = *entity;
            }
        }
        let mut overlay = Overlay::new(&rows);
        let indexed = Indexed {
            entry: &entry,
            statement: &statement,
            index: index.0,
            position,
        };
        put(&mut overlay, indexed).unwrap();
        let writes = overlay.into_writes();
        rows.write(writes);
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_index_is_what_headers_places_and_times_make_of_it(steps in steps(40)) {
        let log = RandomLog::of(&steps);
        let rebuilt = rebuilt(&log);
        let stored = log.engine.rows.iter().filter(|(key, _)| key.family == Table::Index);
        prop_assert!(stored.eq(rebuilt.iter()));
    }
}

#[test]
fn nothing_of_a_payload_stands_in_an_index() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = steps(40).new_tree(&mut runner).unwrap();
    let log = RandomLog::of(&tree.current());
    let holds = |bytes: &[u8]| bytes.windows(CONTENT.len()).any(|part| part == CONTENT);
    let (mut payloads, mut others) = (0, 0);
    for (key, value) in log.engine.rows.iter() {
        if key.family == Table::Payloads {
            payloads += usize::from(holds(value));
        } else {
            others += 1;
            assert!(!holds(&key.bytes) && !holds(value), "{key:?}");
        }
    }
    assert!(payloads > 5 && others > 100, "{payloads} {others}");
}
