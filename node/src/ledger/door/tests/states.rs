//! Who signs a state by the record's own word, and what a dry run says of guards.

use aimslog_proto::statement::header::{Change as Differs, ContentType, Revision};

use super::*;
use crate::ledger::testing::{id_of, item, plan};

const WORKER: u8 = 11;

struct Plan {
    case: Case,
    fields: Vec<Vec<u8>>,
    draft: Bytes,
}

impl Plan {
    fn new() -> Self {
        let mut case = Case::new();
        case.engine.submit(plan::approver(&case.world));
        let fields = plan::fields();
        let draft = plan::version(&case.world, (1, WORKER), "draft", None);
        let draft = signed_over(&draft, WORKER, &commitment(&fields));
        case.engine.submit(draft.clone());
        Self {
            case,
            fields,
            draft,
        }
    }

    /// The version that makes the plan active, behind `previous`.
    fn active(&self, id: u64, seed: u8, previous: &[u8]) -> Bytes {
        let follows = Some((id_of(&self.draft), id_of(previous)));
        let header = plan::version(&self.case.world, (id, seed), "active", follows);
        signed_over(&header, seed, &commitment(&self.fields))
    }

    fn admit(&self, statement: &[u8], companions: &[&[u8]]) -> Vec<(Reason, String)> {
        let companions = Companions::of(companions.iter().copied());
        let view = self.case.view(&companions);
        let submission = Submission {
            statement,
            disclosures: &self.fields,
            digest_only: &digests_in(&self.fields),
        };
        let refused = admit(&view, &submission).unwrap().err();
        let refused = refused.into_iter().flatten();
        refused.map(|one| (one.reason, one.field)).collect()
    }
}

#[test]
fn a_state_is_signed_by_whom_the_record_names() {
    let mut case = Plan::new();
    let other = vec![(Reason::NotPermitted, "record.approver".to_owned())];
    assert_eq!(case.admit(&case.active(2, WORKER, &case.draft), &[]), other);
    let active = case.active(3, plan::APPROVER, &case.draft);
    assert_eq!(case.admit(&active, &[]), []);
    // Whose the key is, is told to nobody who does not hold it.
    let mut forged = case.active(4, WORKER, &case.draft).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let wrong = vec![(Reason::WrongSignature, "signature".to_owned())];
    assert_eq!(case.admit(&forged, &[]), wrong);

    let logged = case.case.engine.batch(vec![item(active.clone())]).remove(0);
    assert!(
        matches!(logged, crate::ledger::outcome::ItemOutcome::Logged(_)),
        "{logged:?}"
    );
    // Whoever amends it later signs what is approved as well.
    assert_eq!(case.admit(&case.active(5, WORKER, &active), &[]), other);
    let amended = case.active(6, plan::APPROVER, &active);
    assert_eq!(case.admit(&amended, &[]), []);
}

/// A nonconformity that waits for its action, alone and in one call with the action.
#[test]
fn a_dry_run_tells_of_guards_that_nothing_of_the_call_can_meet() {
    let mut case = Case::new();
    let header = |case: &Case, id, (kind, state): (&str, &str)| Header {
        content_type: ContentType::new(Family::Evidence, kind, 1).unwrap(),
        transition: Some(state.to_owned()),
        ..case.world.header(WORKER, id)
    };
    let opened = signed(&header(&case, 1, ("nonconformity", "open")), WORKER);
    let entity = id_of(&opened);
    case.engine.submit(opened);
    let follow = |case: &Case, id, state, previous| {
        let mut header = header(case, id, ("nonconformity", state));
        header.revision = Some(Revision {
            entity,
            previous,
            change: Differs::Amend,
        });
        signed(&header, WORKER)
    };
    let analysed = follow(&case, 2, "analysed", entity);
    let newest = id_of(&analysed);
    case.engine.submit(analysed);
    let planned = follow(&case, 3, "action_planned", newest);
    let mut action = header(&case, 4, ("corrective_action", "planned"));
    let unrelated = signed(&action, WORKER);
    action.links = vec![Link {
        relation: "nonconformity".to_owned(),
        target: entity,
        origin: None,
    }];
    let action = signed(&action, WORKER);

    let foreseen = |case: &Case, companions: &[&[u8]]| {
        let companions = Companions::of(companions.iter().copied());
        let statement = UnverifiedStatement::parse(&planned).unwrap();
        let found = foresight::of(&case.view(&companions), &statement, &[]).unwrap();
        found.iter().map(|one| one.reason).collect::<Vec<_>>()
    };
    assert_eq!(foreseen(&case, &[&planned]), [Reason::GuardFailed]);
    assert_eq!(
        foreseen(&case, &[&unrelated, &planned]),
        [Reason::GuardFailed]
    );
    assert_eq!(foreseen(&case, &[&action, &planned]), []);
    case.engine.submit(action.clone());
    assert_eq!(foreseen(&case, &[&action, &planned]), [], "it is there");
}
