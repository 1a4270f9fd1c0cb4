//! Links that guards ask for, here and where they lead.

use super::*;

#[test]
fn an_entity_is_no_witness_for_itself() {
    let mut kinds = small::kinds();
    let moves = &mut small::tables(&mut kinds, "job").moves;
    moves.insert("closed".to_owned(), vec!["checked".to_owned()]);
    let bundle = leaked(RuleBundle::v1().with_kinds(kinds).expect("consistent"));
    let mut world = World::default();
    let own = job(&mut world, "closed");
    let mut attempt = Attempt::of(("job", 1), Some(own), "checked");
    attempt.links = vec![("basis".to_owned(), own)];
    assert_eq!(rules(&attempt.refusals(bundle, &world)), ["JOB-BASIS"]);
    let other = job(&mut world, "closed");
    attempt.links.push(("basis".to_owned(), other));
    assert_eq!(attempt.refusals(bundle, &world), []);
}

/// A job in `checked` whose basis are these, or what speaks against that.
fn rest_on(
    world: &mut World,
    own: EntryId,
    basis: &[EntryId],
) -> Result<BTreeMap<EntityLink, String>, Vec<Violation>> {
    let mut attempt = Attempt::of(("job", 1), Some(own), "checked");
    attempt.links = basis.iter().map(|to| ("basis".to_owned(), *to)).collect();
    let (found, reached) = attempt.judge(small_bundle(), world);
    if !found.is_empty() {
        return Err(found);
    }
    let grounds = reached.after.grounds.clone();
    world.take(reached);
    Ok(grounds)
}

/// What stays rests on what it came with, whichever way that has gone since, or on what is good now; it
/// cannot put something else in its place.
#[test]
fn a_version_that_stays_rests_on_the_links_with_which_it_came() {
    let mut world = World::default();
    let own = job(&mut world, "draft");
    let [first, bad, second] = ["passed", "run", "passed"].map(|state| {
        let check = entity("check", state);
        world.add(check)
    });
    let targets = |grounds: BTreeMap<EntityLink, String>| {
        let grounds = grounds.into_iter();
        let told = grounds.map(|(link, state)| (link.target, state));
        told.collect::<BTreeMap<EntryId, String>>()
    };
    let passed = |ids: &[EntryId]| {
        let ids = ids.iter().map(|id| (*id, "passed".to_owned()));
        ids.collect::<BTreeMap<EntryId, String>>()
    };
    let grounds = rest_on(&mut world, own, &[first, bad]).expect("one is good");
    assert_eq!(
        targets(grounds),
        passed(&[first]),
        "only what was asked for"
    );
    world.change(first, |check| check.state = "run".to_owned());
    let grounds = rest_on(&mut world, own, &[first, bad]).expect("it was good then");
    assert_eq!(targets(grounds), passed(&[first]));
    for swapped in [vec![], vec![bad]] {
        let found = rest_on(&mut world, own, &swapped).expect_err("not what it came with");
        assert_eq!(rules(&found), ["JOB-BASIS"], "{swapped:?}");
    }
    let grounds = rest_on(&mut world, own, &[second]).expect("good now");
    assert_eq!(targets(grounds), passed(&[second]));
    world.change(second, |check| check.state = "failed".to_owned());
    rest_on(&mut world, own, &[second]).expect("it was good when it was linked");
    let found = rest_on(&mut world, own, &[first]).expect_err("given up before");
    assert_eq!(rules(&found), ["JOB-BASIS"]);
    world.change(second, |check| check.retracted = true);
    let found = rest_on(&mut world, own, &[second]).expect_err("taken back");
    assert_eq!(rules(&found), ["JOB-BASIS"]);

    // Whoever comes again begins anew.
    world.change(second, |check| check.retracted = false);
    let (found, reached) =
        Attempt::of(("job", 1), Some(own), "draft").judge(small_bundle(), &world);
    assert_eq!((found, reached.after.grounds.len()), (vec![], 0));
    world.take(reached);
    let found = rest_on(&mut world, own, &[second]).expect_err("failed by now");
    assert_eq!(rules(&found), ["JOB-BASIS"]);
}

/// An action is planned for a case that is open: not for one that is closed, and counts there, because it
/// links to an open one as well.
#[test]
fn what_counts_at_its_target_is_good_itself() {
    let bundle = RuleBundle::v1();
    let mut world = World::default();
    let [open, closed] = ["open", "closed"].map(|state| world.add(entity("nonconformity", state)));
    let with = |own, state: &str, cases: &[EntryId]| {
        let mut attempt = Attempt::of(("corrective_action", 1), own, state);
        let links = cases.iter().map(|to| ("nonconformity".to_owned(), *to));
        attempt.links = links.collect();
        attempt
    };
    let found = with(None, "planned", &[open, closed]).refusals(bundle, &world);
    assert_eq!(rules(&found), ["CORRECTIVE-ACTION-OPEN-CASE"]);
    assert_eq!(
        (found[0].field.as_str(), found[0].found.as_deref()),
        (
            "header.links",
            Some("nonconformity to nonconformity in closed")
        )
    );
    let nearest = found[0].nearest.as_deref().expect("nearest");
    assert!(nearest.contains("each that is added"), "{nearest}");

    let (found, reached) = with(None, "planned", &[open]).judge(bundle, &world);
    assert_eq!(found, []);
    let own = Some(reached.id);
    world.take(reached);
    let found = with(own, "planned", &[open, closed]).refusals(bundle, &world);
    assert_eq!(
        rules(&found),
        ["CORRECTIVE-ACTION-OPEN-CASE"],
        "added later"
    );
    let other = world.add(entity("nonconformity", "open"));
    let (found, reached) = with(own, "planned", &[open, other]).judge(bundle, &world);
    assert_eq!(found, []);
    world.take(reached);
    world.change(other, |case| case.state = "closed".to_owned());
    let both = with(own, "planned", &[open, other]).refusals(bundle, &world);
    assert_eq!(both, [], "it was open when the action was planned for it");
}

/// What one system has passed is no ground for another; what holds for the management system is one
/// for all.
#[test]
fn what_is_about_another_system_does_not_count() {
    let bundle = small_bundle();
    let about = |subject: &str| format!("urn:aimslog:acme:{subject}");
    let cases = [
        ("system:triage", "system:triage", true),
        ("system:triage", "system:billing", false),
        ("system:triage", "aims:main", true),
        ("aims:main", "system:triage", true),
        ("aims:main", "aims:other", true),
    ];
    for (one, other, counts) in cases {
        let mut world = World::default();
        let mut draft = entity("job", "draft");
        draft.subject = about(one);
        let own = world.add(draft);
        let mut basis = entity("check", "passed");
        basis.subject = about(other);
        let basis = world.add(basis);
        let mut attempt = Attempt::of(("job", 1), Some(own), "checked");
        attempt.subject = about(one);
        attempt.links = vec![("basis".to_owned(), basis)];
        let found = attempt.refusals(bundle, &world);
        assert_eq!(found.is_empty(), counts, "{one} {other} {found:?}");
        if !counts {
            let text = found[0].found.as_deref().expect("found");
            assert_eq!(text, "basis to check in passed about another system");
        }

        // Where it would count, it is refused: nobody would hear that it counts for nothing.
        let mut linking = Attempt::of(("check", 1), None, "run");
        linking.subject = about(other);
        linking.links = vec![("job".to_owned(), own)];
        let (found, reached) = linking.judge(bundle, &world);
        assert_eq!(found.is_empty(), counts, "{one} {other} {found:?}");
        assert_eq!(reached.linking.len(), usize::from(counts), "{one} {other}");
        if let [astray] = found.as_slice() {
            assert_eq!(
                (astray.reason, &*astray.field),
                (Reason::HeaderMismatch, "header.links")
            );
            let told = (astray.found.clone(), astray.nearest.clone());
            assert_eq!(told, (Some(about(one)), Some(about(other))));
        }
    }
}

/// What is taken back is taken back with its links, whatever they are.
#[test]
fn a_retraction_is_not_asked_where_it_links() {
    let mut world = World::default();
    let own = job(&mut world, "draft");
    let mut check = entity("check", "run");
    check.subject = world::SYSTEM.to_owned();
    let check = world.add(check);
    world.change(own, |job| job.subject = format!("{}-other", world::SYSTEM));
    let mut retraction = Attempt::of(("check", 1), Some(check), "run");
    retraction.subject = world::SYSTEM.to_owned();
    retraction.links = vec![("job".to_owned(), own)];
    retraction.change = Change::Retract;
    let (found, reached) = retraction.judge(small_bundle(), &world);
    assert_eq!((found, reached.linking.len()), (vec![], 0));
    assert!(reached.after.links.is_empty() && reached.after.grounds.is_empty());
}

/// Another rating needs another acceptance: neither the one from before nor a new link to it lets the risk
/// be accepted again. Treatments stay in place.
#[test]
fn a_risk_that_was_assessed_again_is_accepted_again() {
    let bundle = RuleBundle::v1();
    let mut world = World::default();
    let step = |world: &mut World, kind, own, state: &str, risk: Option<EntryId>| {
        let mut attempt = Attempt::of((kind, 1), own, state);
        attempt.links = risk.map(|id| ("risk".to_owned(), id)).into_iter().collect();
        attempt.holder = format!("holder-{state}");
        let (found, reached) = attempt.judge(bundle, world);
        if !found.is_empty() {
            return Err(rules(&found).join(" "));
        }
        let id = reached.id;
        world.take(reached);
        Ok(id)
    };
    let risk = world.add(entity("risk", "identified"));
    let on_risk = |world: &mut World, state| step(world, "risk", Some(risk), state, None);
    let accept = |world: &mut World| {
        let asked = step(world, "risk_acceptance", None, "submitted", Some(risk));
        let asked = Some(asked.expect("the risk is assessed"));
        step(world, "risk_acceptance", asked, "accepted", Some(risk)).expect("by another")
    };
    on_risk(&mut world, "assessed").expect("assessed");
    let treatment = step(&mut world, "risk_treatment", None, "planned", Some(risk));
    let treatment = Some(treatment.expect("planned"));
    step(&mut world, "risk_treatment", treatment, "done", Some(risk)).expect("done");
    let first = accept(&mut world);
    on_risk(&mut world, "accepted").expect("accepted");

    on_risk(&mut world, "assessed").expect("assessed again");
    let refused = Err("RISK-ACCEPTED-BY-ACCEPTANCE".to_owned());
    assert_eq!(on_risk(&mut world, "accepted"), refused);
    step(
        &mut world,
        "risk_acceptance",
        Some(first),
        "accepted",
        Some(risk),
    )
    .expect("amended");
    assert_eq!(on_risk(&mut world, "accepted"), refused);
    on_risk(&mut world, "treated").expect("the treatment is still there");
    accept(&mut world);
    on_risk(&mut world, "accepted").expect("accepted since");
}
