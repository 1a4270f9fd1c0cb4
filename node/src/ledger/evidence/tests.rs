//! What apply reads of the entries that a statement links to.

use super::*;
use crate::ledger::testing::{
    counting::CountingRows,
    log::{RandomLog, Step},
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
    let target = LoggedRows(&rows).target(*newest).unwrap().unwrap();
    assert_eq!(target.entity, Some(*first));
    assert_eq!(rows.read(), 2);
    let genesis = LoggedRows(&rows).target(ids[0]).unwrap().unwrap();
    assert_eq!(genesis.entity, None);
}
