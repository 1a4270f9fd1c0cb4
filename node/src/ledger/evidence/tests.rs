//! What apply reads of a statement, and of the entries that it links to.

use aimslog_proto::statement::{
    Header,
    header::{Change, ContentType, Family, Link, Revision},
};

use super::*;
use crate::ledger::{
    outcome::ItemOutcome,
    testing::{
        Engine, World,
        counting::CountingRows,
        id_of,
        log::{RandomLog, Step},
        signed,
    },
};

#[test]
fn a_link_costs_two_reads_whichever_version_it_names() {
    let open = Step::Open {
        organization: 0,
        kind: 0,
        by: 0,
        subject: 0,
        controls: [false; 3],
    };
    let amend = Step::Continue {
        entity: 0,
        by: 0,
        state: 0,
        retracts: false,
    };
    let log = RandomLog::of(&[open, amend.clone(), amend]);
    let entries = log.entries();
    let ids = entries.iter().map(|(_, _, statement)| statement.entry_id());
    let ids: Vec<EntryId> = ids.collect();
    let [.., first, _, newest] = ids.as_slice() else {
        panic!("{ids:?}");
    };
    let rows = CountingRows::of(&log.engine.rows);
    let logged = LoggedRows {
        rows: &rows,
        continued: None,
        row: None,
    };
    let target = logged.target(*newest).unwrap().unwrap();
    assert_eq!(target.entity, Some(*first));
    assert_eq!(rows.read(), 2);
    let genesis = logged.target(ids[0]).unwrap().unwrap();
    assert_eq!(genesis.entity, None);
}

/// Who owns the process of the nonconformity.
const WORKER: u8 = 11;

/// The row of the entity is read once, each link costs three rows, and a fourth where what stands behind it
/// counts anew how this entity stands.
#[test]
fn a_version_costs_few_reads_and_each_link_four() {
    let world = World::new();
    let mut engine = Engine::with_acme(&world);
    let header = |id, kind: &str, state: &str, links: &[EntryId]| Header {
        content_type: ContentType::new(Family::Evidence, kind, 1).unwrap(),
        transition: Some(state.to_owned()),
        links: links
            .iter()
            .map(|target| Link {
                relation: "nonconformity".to_owned(),
                target: *target,
                origin: None,
            })
            .collect(),
        ..world.header(WORKER, id)
    };
    let mut log = |header: &Header| {
        let statement = signed(header, WORKER);
        let outcome = engine.submit(statement.clone());
        assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        id_of(&statement)
    };
    let cases = [1, 2, 3].map(|id| log(&header(id, "nonconformity", "open", &[])));
    let action = log(&header(4, "corrective_action", "planned", &cases));
    let rows = CountingRows::of(&engine.rows);
    for (state, of_link) in [("planned", 3), ("done", 4)] {
        rows.reset();
        let mut version = header(5, "corrective_action", state, &cases);
        version.revision = Some(Revision {
            entity: action,
            previous: action,
            change: Change::Amend,
        });
        let statement = signed(&version, WORKER);
        let case = Case {
            statement: &UnverifiedStatement::parse(&statement).unwrap(),
            index: LeafIndex(engine.core().frontier.size().0),
            time: UnixMillis(engine.time_ms),
            attachments: &[],
        };
        let judged = judge(&rows, &engine.registry, &case).unwrap();
        assert!(matches!(judged, Judgement::Accepted(_)), "{judged:?}");
        assert_eq!(rows.read_of(&codec::entity(action.as_bytes())), 1);
        // The unique id, the entity, and the links.
        assert_eq!(rows.read(), 2 + cases.len() * of_link, "{state}");
    }
}
