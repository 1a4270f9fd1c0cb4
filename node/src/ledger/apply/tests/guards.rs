//! Guards on a whole ledger: two people close a nonconformity, and what the rows remember for that.

use aimslog_proto::{
    aims::{bundle::RuleBundle, kind::Kind},
    reason::Violation,
    statement::UnverifiedStatement,
};

use super::{twin::Twin, *};

/// Owns the process, and audits as well: the roles alone would let it do everything.
const OWNER: u8 = 11;
/// Audits.
const AUDITOR: u8 = 12;

struct Entity {
    kind: &'static Kind,
    versions: Vec<EntryId>,
    links: Vec<Link>,
}

impl Entity {
    fn newest(&self) -> EntryId {
        *self.versions.last().unwrap()
    }
}

struct Case {
    twin: Twin,
    nonconformity: Entity,
    action: Entity,
}

/// Which of the two entities a step is about.
#[derive(Debug, Clone, Copy)]
enum Of {
    Nonconformity,
    Action,
}

use Of::{Action, Nonconformity};

impl Case {
    fn new() -> Self {
        let mut twin = Twin::new();
        twin.admit("auditor", AUDITOR, &["internal_auditor"]);
        let entity = |name| Entity {
            kind: RuleBundle::v1().newest_kind(name).unwrap(),
            versions: Vec::new(),
            links: Vec::new(),
        };
        Self {
            twin,
            nonconformity: entity("nonconformity"),
            action: entity("corrective_action"),
        }
    }

    fn entity(&mut self, of: Of) -> &mut Entity {
        match of {
            Nonconformity => &mut self.nonconformity,
            Action => &mut self.action,
        }
    }

    fn statement(&mut self, of: Of, (state, change): (&str, Differs), seed: u8) -> Bytes {
        let kind = self.entity(of).kind;
        let mut header = self.twin.header(seed, (kind, state));
        let entity = self.entity(of);
        header.links.clone_from(&entity.links);
        header.revision = entity.versions.first().map(|first| Revision {
            entity: *first,
            previous: entity.newest(),
            change,
        });
        signed(&header, seed)
    }

    /// Says that the entity is in this state; what is refused is named by guard, or by reason.
    fn say(&mut self, of: Of, state: &str, seed: u8) -> Vec<String> {
        self.change(of, (state, Differs::Amend), seed)
    }

    fn change(&mut self, of: Of, to: (&str, Differs), seed: u8) -> Vec<String> {
        let statement = self.statement(of, to, seed);
        let id = id_of(&statement);
        match self.twin.submit(statement) {
            Ok(_) => {
                self.entity(of).versions.push(id);
                Vec::new()
            }
            Err(violations) => violations.iter().map(named).collect(),
        }
    }

    #[track_caller]
    fn all(&mut self, steps: &[(Of, &str, u8)]) {
        for (of, state, seed) in steps {
            let found = self.say(*of, state, *seed);
            assert_eq!(found, [""; 0], "{of:?} {state}");
        }
    }

    /// Opened and analysed, with an action that is planned: it links to the second version.
    fn planned() -> Self {
        let mut case = Self::new();
        case.all(&[
            (Nonconformity, "open", OWNER),
            (Nonconformity, "analysed", OWNER),
        ]);
        case.action.links = vec![link(
            "nonconformity",
            *case.nonconformity.newest().as_bytes(),
        )];
        case.all(&[
            (Action, "planned", OWNER),
            (Nonconformity, "action_planned", OWNER),
        ]);
        case
    }

    /// Everything done by the owner, nothing verified.
    fn done() -> Self {
        let mut case = Self::planned();
        case.all(&[
            (Action, "done", OWNER),
            (Nonconformity, "implemented", OWNER),
        ]);
        case
    }
}

fn named(violation: &Violation) -> String {
    match violation.reason {
        Reason::GuardFailed => violation.rule.split(':').next().unwrap().to_owned(),
        reason => reason.to_string(),
    }
}

#[test]
fn a_nonconformity_closes_after_another_holder_has_verified_the_action() {
    let mut case = Case::done();
    assert_eq!(
        case.say(Nonconformity, "closed", OWNER),
        ["INVALID_TRANSITION"]
    );
    let not_verified = ["NONCONFORMITY-VERIFY-ACTION", "NONCONFORMITY-VERIFY-ALL"];
    assert_eq!(
        case.say(Nonconformity, "effectiveness_verified", AUDITOR),
        not_verified
    );
    assert_eq!(
        case.say(Action, "verified", OWNER),
        ["CORRECTIVE-ACTION-VERIFY-OTHER"]
    );
    // Another key of the same holder is nobody else.
    let rotate = Change::Rotate {
        name: "worker",
        seed: 14,
    };
    let rotate = case.twin.world.principal("acme", rotate, 10);
    case.twin.submit(rotate).unwrap();
    assert_eq!(
        case.say(Action, "verified", 14),
        ["CORRECTIVE-ACTION-VERIFY-OTHER"]
    );
    case.all(&[(Action, "verified", AUDITOR)]);
    assert_eq!(
        case.say(Nonconformity, "effectiveness_verified", 14),
        ["NONCONFORMITY-VERIFY-OTHER"]
    );
    case.all(&[
        (Nonconformity, "effectiveness_verified", AUDITOR),
        (Nonconformity, "closed", 14),
    ]);
    assert!(case.twin.finish() >= 9);
}

#[test]
fn an_action_comes_before_what_is_said_of_it() {
    let mut case = Case::new();
    case.all(&[
        (Nonconformity, "open", OWNER),
        (Nonconformity, "analysed", OWNER),
    ]);
    assert_eq!(
        case.say(Nonconformity, "action_planned", OWNER),
        ["NONCONFORMITY-PLAN-ACTION"]
    );
    let mut case = Case::planned();
    assert_eq!(
        case.say(Nonconformity, "implemented", OWNER),
        ["NONCONFORMITY-DONE-ACTION", "NONCONFORMITY-DONE-ALL"]
    );
    case.twin.finish();
}

#[test]
fn what_is_retracted_or_links_elsewhere_verifies_nothing() {
    let mut case = Case::done();
    case.all(&[(Action, "verified", AUDITOR)]);
    assert_eq!(
        case.change(Action, ("verified", Differs::Retract), AUDITOR),
        [""; 0]
    );
    let none = ["NONCONFORMITY-VERIFY-ACTION", "NONCONFORMITY-VERIFY-ALL"];
    assert_eq!(
        case.say(Nonconformity, "effectiveness_verified", AUDITOR),
        none
    );
    case.twin.finish();

    let mut case = Case::done();
    let other = case.twin.header(OWNER, (case.nonconformity.kind, "open"));
    let other = signed(&other, OWNER);
    let elsewhere = *id_of(&other).as_bytes();
    case.twin.submit(other).unwrap();
    case.action.links = vec![link("nonconformity", elsewhere)];
    assert_eq!(
        case.say(Action, "verified", AUDITOR),
        ["INVALID_HEADER"],
        "what counts there cannot be moved elsewhere"
    );
    case.twin.finish();
}

/// An agent makes no second person of whom it acts for.
#[test]
fn for_whom_an_agent_signs_is_compared_as_well() {
    const AGENT: u8 = 13;
    let mut case = Case::new();
    let admit = Change::Admit {
        name: "agent",
        seed: AGENT,
        roles: &["process_owner"],
        acts_for: Some("auditor"),
    };
    let admit = case.twin.world.principal("acme", admit, 10);
    case.twin.submit(admit).unwrap();
    let by_agent = |case: &mut Case, change| {
        let statement = case.statement(Nonconformity, ("open", change), AGENT);
        let mut header = UnverifiedStatement::parse(&statement)
            .unwrap()
            .header()
            .clone();
        header.origin = Some(Origin::AiAgent);
        header.on_behalf_of = Some("auditor".to_owned());
        signed(&header, AGENT)
    };
    let opened = by_agent(&mut case, Differs::Amend);
    let entity = id_of(&opened);
    case.twin.submit(opened).unwrap();
    case.nonconformity.versions.push(entity);
    let row = reader::entity(&case.twin.engine.rows, &entity)
        .unwrap()
        .unwrap();
    let signed_by: Vec<_> = row.entity.signings.iter().map(|one| &*one.holder).collect();
    assert_eq!(signed_by, ["holder-12", "holder-13"]);

    let retracted = by_agent(&mut case, Differs::Retract);
    let refused = case.twin.submit(retracted).unwrap_err();
    let told: Vec<_> = refused
        .iter()
        .map(|one| (one.reason, &*one.field))
        .collect();
    assert_eq!(told, [(Reason::NotPermitted, "header.change")]);
    case.twin.finish();
}

/// Or anybody could keep the auditor from verifying, by naming him.
#[test]
fn whom_a_colleague_names_has_not_signed() {
    let mut case = Case::planned();
    let done = case.statement(Action, ("done", Differs::Amend), OWNER);
    let mut header = UnverifiedStatement::parse(&done).unwrap().header().clone();
    header.on_behalf_of = Some("auditor".to_owned());
    let done = signed(&header, OWNER);
    let version = id_of(&done);
    case.twin.submit(done).unwrap();
    case.action.versions.push(version);
    let row = reader::entity(&case.twin.engine.rows, &case.action.versions[0]);
    let action = row.unwrap().unwrap().entity;
    let signed_by = action.signings.iter().map(|one| one.holder.as_str());
    assert!(signed_by.clone().all(|holder| holder == "holder-11"));
    assert_eq!(action.entered_by, ["holder-11".to_owned()].into());
    case.all(&[(Action, "verified", AUDITOR)]);
    case.twin.finish();
}

#[test]
fn statements_of_one_command_see_each_other() {
    let mut case = Case::done();
    let verified = case.statement(Action, ("verified", Differs::Amend), AUDITOR);
    let effective = case.statement(
        Nonconformity,
        ("effectiveness_verified", Differs::Amend),
        AUDITOR,
    );
    let swapped = case.twin.engine.batch(vec![item(effective.clone())]);
    assert_eq!(reasons(&swapped[0]), [Reason::GuardFailed; 2]);
    let outcomes = case
        .twin
        .engine
        .batch(vec![item(verified), item(effective)]);
    for outcome in outcomes {
        logged(outcome);
    }
    replayed(&case.twin.engine);
}

#[test]
fn rows_are_kept_for_what_guards_ask_and_removed_again() {
    let mut case = Case::planned();
    let nonconformity = case.nonconformity.versions[0];
    let key = codec::linking(
        nonconformity.as_bytes(),
        ("corrective_action", "nonconformity"),
    );
    let standing = |case: &Case| {
        let row: Option<LinkingRow> = case.twin.engine.rows.value(&key).unwrap();
        row.map(|row| {
            let standings = row.0.iter();
            let told = standings.map(|(standing, count)| (standing.state.clone(), count));
            told.collect::<Vec<_>>()
        })
    };
    assert_eq!(standing(&case), Some(vec![("planned".to_owned(), 1)]));
    case.all(&[(Action, "done", OWNER)]);
    assert_eq!(standing(&case), Some(vec![("done".to_owned(), 1)]));
    let action = reader::entity(&case.twin.engine.rows, &case.action.versions[0]);
    let action = action.unwrap().unwrap().entity;
    let target = action
        .links
        .keys()
        .map(|link| link.target)
        .collect::<Vec<_>>();
    assert_eq!(
        target,
        [nonconformity],
        "the entity, not the version that is named"
    );
    let signed: Vec<_> = action
        .signings
        .iter()
        .map(|one| one.state.as_str())
        .collect();
    assert_eq!(signed, ["done", "planned"]);
    assert_eq!(action.entered_by, ["holder-11".to_owned()].into());
    assert_eq!(
        case.change(Action, ("done", Differs::Retract), OWNER),
        [""; 0]
    );
    assert_eq!(standing(&case), None);
}
