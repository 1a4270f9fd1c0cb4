//! Lists by filters against a look at every entry.

use aimslog_proto::{
    statement::UnverifiedStatement,
    system::{KeyPurpose, registry::Registry},
};
use proptest::prelude::*;

use super::*;
use crate::ledger::testing::{
    START_MS,
    log::{CONTROLS, KINDS, ORGANIZATIONS, RandomLog, SUBJECTS, SUBMITTERS, steps},
};

/// A question; numbers choose among what there is.
#[derive(Debug, Clone)]
struct Question {
    organization: usize,
    kind: Option<usize>,
    subject: Option<usize>,
    control: Option<usize>,
    principal: Option<usize>,
    /// Milliseconds since the start.
    times: (Option<u64>, Option<u64>),
    indices: (u64, Option<u64>),
}

fn question() -> impl Strategy<Value = Question> {
    let some = |count: usize| prop::option::of(0..count);
    let filters = (some(4), some(2), some(3), some(3));
    let time = || prop::option::weighted(0.3, 0_u64..400_000);
    let indices = (
        prop_oneof![3 => Just(0), 1 => 0_u64..60],
        prop::option::weighted(0.3, 0_u64..60),
    );
    (0..2_usize, filters, (time(), time()), indices).prop_map(
        |(organization, (kind, subject, control, principal), times, indices)| Question {
            organization,
            kind,
            subject,
            control,
            principal,
            times,
            indices,
        },
    )
}

/// Kinds of the records, a system kind, and one that there is none of.
fn kind(choice: usize) -> &'static str {
    [KINDS[0], KINDS[1], "ledger.principal", "finding"][choice]
}

fn principal(choice: usize) -> &'static str {
    [SUBMITTERS[0], SUBMITTERS[1], "boss"][choice]
}

impl Question {
    fn selection(&self, registry: &Registry) -> Selection {
        let organization = ORGANIZATIONS[self.organization];
        Selection {
            organization: organization.to_owned(),
            kind: self.kind.map(|choice| kind(choice).to_owned()),
            subject: self
                .subject
                .map(|choice| format!("urn:aimslog:{organization}:{}", SUBJECTS[choice])),
            control: self
                .control
                .map(|choice| ("iso42001-2023".to_owned(), CONTROLS[choice].to_owned())),
            signers: self
                .principal
                .map(|choice| keys(registry, organization, principal(choice))),
            from_ms: self.times.0.map(|ms| START_MS + ms),
            to_ms: self.times.1.map(|ms| START_MS + ms),
            start: self.indices.0,
            end: self.indices.1,
        }
    }

    /// Whether an entry is an answer, said in other words than those of the selection.
    fn wants(
        &self,
        registry: &Registry,
        (index, entry, statement): &(LeafIndex, EntryRow, UnverifiedStatement),
    ) -> bool {
        let header = statement.header();
        let signer = registry.key(&header.key).and_then(|row| row.principal());
        let since_start = entry.time_ms - START_MS;
        let about = SUBJECTS
            .iter()
            .position(|name| header.subject.ends_with(name));
        entry.organization == ORGANIZATIONS[self.organization]
            && self.kind.is_none_or(|choice| entry.kind == kind(choice))
            && self.subject.is_none_or(|choice| about == Some(choice))
            && self.control.is_none_or(|choice| {
                header
                    .controls
                    .iter()
                    .any(|control| control.id == CONTROLS[choice])
            })
            && self.principal.is_none_or(|choice| {
                signer.is_some_and(|owner| owner.principal.as_str() == principal(choice))
            })
            && self.times.0.is_none_or(|from| from <= since_start)
            && self.times.1.is_none_or(|to| since_start < to)
            && self.indices.0 <= index.0
            && self.indices.1.is_none_or(|end| index.0 < end)
    }
}

fn keys(registry: &Registry, organization: &str, principal: &str) -> Vec<[u8; 32]> {
    let mut keys: Vec<_> = registry
        .keys()
        .filter(|(_, row)| {
            row.principal().is_some_and(|owner| {
                owner.purpose == KeyPurpose::Sign
                    && owner.organization.as_str() == organization
                    && owner.principal.as_str() == principal
            })
        })
        .map(|(key, row)| (row.registered_at, *key.as_bytes()))
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, key)| key).collect()
}

/// Every answer, found in stretches of at most `limit` rows.
fn walked(
    log: &RandomLog,
    selection: &Selection,
    (limit, probe): (usize, usize),
) -> Vec<LeafIndex> {
    let rows = &log.engine.rows;
    let (mut found, mut from) = (Vec::new(), LeafIndex(0));
    loop {
        let stretch = walk_probing(rows, selection, from, (limit, probe)).unwrap();
        assert!(stretch.indices.len() <= limit);
        for index in &stretch.indices {
            assert!(*index >= from, "{index} again");
            from = LeafIndex(index.0 + 1);
            let entry = reader::entry(rows, *index).unwrap().unwrap();
            let statement = UnverifiedStatement::parse(&entry.statement).unwrap();
            if selection.admits_row(&entry) && selection.admits_header(statement.header()) {
                found.push(*index);
            }
        }
        if stretch.is_last {
            return found;
        }
        assert!(!stretch.indices.is_empty(), "a walk that goes nowhere");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_list_by_filters_is_what_a_look_at_every_entry_finds(
        steps in steps(60),
        questions in proptest::collection::vec(question(), 24),
        limit in 1_usize..8,
        probe in 1_usize..8,
    ) {
        let log = RandomLog::of(&steps);
        let entries = log.entries();
        let registry = &log.engine.registry;
        for question in questions {
            let selection = question.selection(registry);
            let expected: Vec<LeafIndex> = entries
                .iter()
                .filter(|entry| question.wants(registry, entry))
                .map(|(index, _, _)| *index)
                .collect();
            let found = walked(&log, &selection, (limit, probe));
            prop_assert_eq!(&found, &expected, "{:?}", question);
            let at_once = walk(&log.engine.rows, &selection, LeafIndex(0), 1_000).unwrap();
            prop_assert!(at_once.is_last);
        }
    }
}

#[test]
fn the_index_with_the_fewest_rows_is_walked() {
    let mut steps = Vec::new();
    let open = |kind, controls| crate::ledger::testing::log::Step::Open {
        organization: 0,
        kind,
        by: 0,
        subject: 0,
        controls,
    };
    for number in 0..40 {
        steps.push(open(0, [number == 20, false, false]));
    }
    let log = RandomLog::of(&steps);
    let mut selection = Selection {
        organization: "acme".to_owned(),
        kind: Some(KINDS[0].to_owned()),
        subject: Some("urn:aimslog:acme:system:triage".to_owned()),
        control: Some(("iso42001-2023".to_owned(), CONTROLS[0].to_owned())),
        ..Selection::default()
    };
    let rows = &log.engine.rows;
    let looked_at = |selection: &Selection| {
        let stretch = walk_probing(rows, selection, LeafIndex(0), (1_000, 4)).unwrap();
        stretch.indices.len()
    };
    assert_eq!(looked_at(&selection), 1, "by control");
    selection.control = Some(("iso42001-2023".to_owned(), CONTROLS[1].to_owned()));
    assert_eq!(looked_at(&selection), 0, "a control that nothing names");
    selection.control = None;
    assert_eq!(looked_at(&selection), 40);
}
