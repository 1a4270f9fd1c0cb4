use super::*;
use crate::aims::bundle::RuleBundle;
use crate::aims::small;

fn undefined(error: &BundleError) -> &str {
    match error {
        BundleError::Undefined { name, .. } => name,
        other => panic!("{other}"),
    }
}

fn fault(error: BundleError) -> GuardFault {
    match error {
        BundleError::Guard { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

/// The small kinds with a change of the guard `id` of `job`.
fn with(id: &str, change: impl FnOnce(&mut Guard)) -> Result<RuleBundle, BundleError> {
    let mut kinds = small::kinds();
    let mut guards = small::tables(&mut kinds, "job").guards.iter_mut();
    change(guards.find(|guard| guard.id == id).expect("a guard"));
    RuleBundle::v1().with_kinds(kinds)
}

fn linking(guard: &mut Guard) -> &mut LinkingNeed {
    match &mut guard.need {
        Need::Linking(need) => need,
        other => panic!("{other:?}"),
    }
}

fn text(word: &str) -> Vec<String> {
    vec![word.to_owned()]
}

#[test]
fn good_guards_are_read_and_their_links_counted() {
    let bundle = RuleBundle::v1().with_kinds(small::kinds()).expect("good");
    assert!(bundle.is_counted(("check", "job")));
    assert!(!bundle.is_counted(("job", "basis")) && !bundle.is_counted(("job", "job")));
}

#[test]
fn names_are_of_states_kinds_and_relations_that_there_are() {
    type Slip = (&'static str, fn(&mut Guard), &'static str);
    let slips: [Slip; 8] = [
        ("JOB-PERSON", |guard| guard.to = text("aproved"), "aproved"),
        (
            "JOB-OTHER",
            |guard| guard.need = Need::OtherThan(text("drafted")),
            "drafted",
        ),
        (
            "JOB-BASIS",
            |guard| basis(guard, "bases", "passed"),
            "bases",
        ),
        ("JOB-BASIS", |guard| basis(guard, "basis", "past"), "past"),
        (
            "JOB-ANY",
            |guard| linking(guard).kind = "chek".to_owned(),
            "chek",
        ),
        (
            "JOB-ANY",
            |guard| linking(guard).relation = "jobs".to_owned(),
            "jobs",
        ),
        (
            "JOB-ANY",
            |guard| linking(guard).states = text("past"),
            "past",
        ),
        (
            "JOB-EVERY",
            |guard| linking(guard).other_than = text("ran"),
            "ran",
        ),
    ];
    for (id, slip, name) in slips {
        let error = with(id, slip).expect_err(name);
        assert_eq!(undefined(&error), name, "{error}");
    }
    // A relation that does not lead here is none of this kind's.
    let mut kinds = small::kinds();
    small::tables(&mut kinds, "check").links[0].kinds = text("check");
    let error = RuleBundle::v1()
        .with_kinds(kinds)
        .expect_err("it leads elsewhere");
    assert_eq!(undefined(&error), "job");
}

fn basis(guard: &mut Guard, relation: &str, state: &str) {
    guard.need = Need::Links(vec![LinkNeed {
        relation: relation.to_owned(),
        states: text(state),
    }]);
}

#[test]
fn what_is_not_defined_yet_may_have_any_state() {
    assert!(with("JOB-BASIS", |guard| basis(guard, "plan", "whatever")).is_ok());
    let mut kinds = small::kinds();
    kinds.remove(&("check".to_owned(), 1));
    assert!(
        RuleBundle::v1().with_kinds(kinds).is_ok(),
        "named by `basis` alone"
    );
}

#[test]
fn a_guard_is_complete() {
    let empty: [fn(&mut Guard); 6] = [
        |guard| guard.id.clear(),
        |guard| guard.to.clear(),
        |guard| guard.rule.clear(),
        |guard| guard.need = Need::OtherThan(Vec::new()),
        |guard| guard.need = Need::Links(Vec::new()),
        |guard| {
            guard.need = Need::Linking(LinkingNeed {
                kind: "check".to_owned(),
                relation: String::new(),
                states: Vec::new(),
                every: false,
                other_than: Vec::new(),
                since: Vec::new(),
            });
        },
    ];
    for (place, change) in empty.into_iter().enumerate() {
        let error = with("JOB-OTHER", change).expect_err("empty");
        assert_eq!(fault(error), GuardFault::Empty, "{place}");
    }
}

#[test]
fn what_is_asked_on_entry_anyway_is_not_said_to_be() {
    let said = with("JOB-ANY", |guard| guard.on_entry = true).expect_err("twice said");
    assert_eq!(fault(said), GuardFault::OnEntry);
    assert!(with("JOB-OTHER", |guard| guard.on_entry = true).is_ok());
}

#[test]
fn a_name_stands_for_one_guard() {
    let twice = with("JOB-OTHER", |guard| guard.id = "JOB-PERSON".to_owned());
    assert!(matches!(twice, Err(BundleError::Duplicate(id)) if id == "JOB-PERSON"));
    let mut kinds = small::kinds();
    let guard = small::tables(&mut kinds, "job").guards[0].clone();
    small::tables(&mut kinds, "check").guards = vec![Guard {
        to: text("passed"),
        ..guard
    }];
    let shared = RuleBundle::v1().with_kinds(kinds);
    assert!(matches!(shared, Err(BundleError::Duplicate(id)) if id == "JOB-PERSON"));

    // The names of rules about content are derived, and no guard has one of those.
    let kinds = RuleBundle::v1()
        .kinds()
        .map(|kind| (kind.name().to_owned(), kind.version()));
    let kinds: BTreeMap<_, _> = kinds.zip(RuleBundle::v1().kinds().cloned()).collect();
    let mut changed = kinds;
    let tables = small::tables(&mut changed, "nonconformity");
    tables.guards.push(Guard {
        id: "NONCONFORMITY-ANALYSED".to_owned(),
        to: text("analysed"),
        rule: "a person analyses".to_owned(),
        on_entry: false,
        need: Need::Person,
    });
    let derived = RuleBundle::v1().with_kinds(changed);
    assert!(matches!(derived, Err(BundleError::Duplicate(id)) if id == "NONCONFORMITY-ANALYSED"));
    // The next version of a kind keeps its guards, and their names.
    let mut kinds = small::kinds();
    let mut next = kinds[&("job".to_owned(), 1)].clone();
    next.version = 2;
    kinds.insert(("job".to_owned(), 2), next);
    assert!(RuleBundle::v1().with_kinds(kinds).is_ok());
}

#[test]
fn no_guard_can_be_walked_around() {
    let opening = with("JOB-OTHER", |guard| {
        guard.to = text("draft");
        guard.need = Need::OtherThan(text("checked"));
    });
    let draft = "draft".to_owned();
    assert_eq!(
        fault(opening.expect_err("first")),
        GuardFault::Opening(draft.clone())
    );
    let opening = with("JOB-ANY", |guard| guard.to = text("draft"));
    assert_eq!(
        fault(opening.expect_err("first")),
        GuardFault::Opening(draft)
    );

    let same = with("JOB-OTHER", |guard| {
        guard.need = Need::OtherThan(text("approved"));
    });
    let approved = "approved".to_owned();
    assert_eq!(
        fault(same.expect_err("same")),
        GuardFault::SameState(approved.clone())
    );
    // From `checked` an entity also comes back to `draft`, never around it.
    let around = with("JOB-OTHER", |guard| {
        guard.need = Need::OtherThan(text("closed"));
    });
    assert_eq!(
        fault(around.expect_err("around")),
        GuardFault::Bypass(approved)
    );
    let around = with("JOB-EVERY", |guard| {
        linking(guard).other_than = text("failed");
    });
    let passed = "passed".to_owned();
    assert_eq!(
        fault(around.expect_err("around")),
        GuardFault::Bypass(passed)
    );
    let every = with("JOB-EVERY", |guard| linking(guard).states.clear());
    let run = "run".to_owned();
    assert_eq!(
        fault(every.expect_err("all states")),
        GuardFault::SameState(run)
    );
    for (guard, state) in [
        ("JOB-ANY", "approved"),
        ("JOB-ANY", "draft"),
        ("JOB-EVERY", "checked"),
    ] {
        let since = with(guard, |guard| linking(guard).since = text(state));
        let fault = fault(since.expect_err(state));
        assert_eq!(fault, GuardFault::Since(state.to_owned()), "{guard}");
    }
    let unknown = with("JOB-ANY", |guard| linking(guard).since = text("reopened"));
    assert!(matches!(unknown, Err(BundleError::Undefined { .. })));
}
