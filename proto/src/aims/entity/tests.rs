use super::*;

fn id(byte: u8) -> EntryId {
    EntryId::from_bytes([byte; 32])
}

fn link(target: u8) -> CountedLink {
    CountedLink {
        relation: "job".to_owned(),
        target: id(target),
    }
}

/// The next version, in this state, by this holder, with links to these entities.
fn next(before: Option<&Entity>, (state, holder): (&str, &str), links: &[u8]) -> Entity {
    let version = NewVersion {
        id: id(200),
        organization: "acme",
        kind: "check".to_owned(),
        holder,
        state: state.to_owned(),
        retracts: false,
        links: links.iter().copied().map(link).collect(),
    };
    Entity::after(before, version)
}

fn signed(entity: &Entity) -> Vec<(&str, &str)> {
    let signings = entity.signings.iter();
    signings
        .map(|signing| (signing.state.as_str(), signing.holder.as_str()))
        .collect()
}

#[test]
fn remembers_who_signed_in_which_state_and_who_brought_it_there() {
    let opened = next(None, ("run", "h-1"), &[]);
    assert_eq!(
        (signed(&opened), opened.entered_by.as_str()),
        (vec![("run", "h-1")], "h-1")
    );
    let stays = next(Some(&opened), ("run", "h-2"), &[]);
    assert_eq!(signed(&stays), [("run", "h-1"), ("run", "h-2")]);
    assert_eq!(
        stays.entered_by, "h-1",
        "whoever amends did not bring it there"
    );
    let again = next(Some(&stays), ("run", "h-2"), &[]);
    assert_eq!(again.signings, stays.signings, "each pair once");
    let passed = next(Some(&stays), ("passed", "h-2"), &[]);
    assert_eq!(passed.entered_by, "h-2");
    let standing = passed.standing();
    assert_eq!(standing.signed, BTreeSet::from(["run".to_owned()]));
    let states = ["passed".to_owned(), "run".to_owned(), "failed".to_owned()];
    assert_eq!(
        passed.signed_in("h-1", &states).collect::<Vec<_>>(),
        ["run"]
    );
    assert_eq!(passed.signed_in("h-3", &states).count(), 0);
    let other = next(Some(&stays), ("passed", "h-3"), &[]);
    assert!(other.standing().signed.is_empty(), "in other hands");
    assert!(
        next(None, ("", "h-1"), &[]).signings.is_empty(),
        "a kind without states"
    );
}

#[test]
fn takes_no_more_signers_than_the_limit() {
    let mut entity = next(None, ("run", "h-0"), &[]);
    for number in 1..ENTITY_SIGNINGS_MAX {
        entity = next(Some(&entity), ("run", &format!("h-{number}")), &[]);
        assert_eq!(entity.check_size(), None, "{number}");
    }
    assert_eq!(
        next(Some(&entity), ("run", "h-7"), &[]).check_size(),
        None,
        "known"
    );
    let one_more = next(Some(&entity), ("run", "h-new"), &[]);
    let refused = one_more.check_size().expect("too many");
    assert_eq!(refused.reason, Reason::InvalidTransition);
    assert!(refused.rule.contains("256"), "{refused}");
}

#[test]
fn a_retracted_entity_links_to_nothing() {
    let opened = next(None, ("run", "h-1"), &[1]);
    let retracts = NewVersion {
        id: id(201),
        organization: "acme",
        kind: "check".to_owned(),
        holder: "h-1",
        state: "run".to_owned(),
        retracts: true,
        links: BTreeSet::from([link(1)]),
    };
    let gone = Entity::after(Some(&opened), retracts);
    assert!(gone.retracted && gone.links.is_empty());
    let shifts = Entity::shifts(Some(&opened), &gone);
    assert_eq!(shifts.len(), 1);
    assert_eq!(
        (shifts[0].from.clone(), shifts[0].to.clone()),
        (Some(opened.standing()), None)
    );
}

/// Random histories of some entities that link to some others: what is counted step by step is what a
/// look at all of them at the end finds.
#[test]
fn counts_are_those_of_the_newest_versions() {
    let mut random: u64 = 42_001;
    let mut below = |bound: u64| {
        // Constants of Knuth's MMIX generator; the high bits are the good ones.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut entities: BTreeMap<u64, Entity> = BTreeMap::new();
    let mut counted: BTreeMap<EntryId, Linking> = BTreeMap::new();
    for step in 0..2_000 {
        let number = below(12);
        let before = entities.get(&number);
        if before.is_some_and(|entity| entity.retracted) {
            continue;
        }
        let state = ["run", "passed", "failed"][usize::try_from(below(3)).expect("small")];
        let holder = format!("h-{}", below(3));
        let links =
            BTreeSet::from([below(4), below(4)].map(|to| link(u8::try_from(to).expect("small"))));
        let version = NewVersion {
            id: id(0),
            organization: "acme",
            kind: "check".to_owned(),
            holder: &holder,
            state: state.to_owned(),
            retracts: step > 1_000 && below(100) == 0,
            links,
        };
        let after = Entity::after(before, version);
        for shift in Entity::shifts(before, &after) {
            counted.entry(shift.link.target).or_default().shift(&shift);
        }
        entities.insert(number, after);

        for target in (0..4).map(id) {
            let mut found: BTreeMap<Standing, u64> = BTreeMap::new();
            let links_there =
                |entity: &&Entity| entity.links.iter().any(|link| link.target == target);
            for entity in entities.values().filter(links_there) {
                *found.entry(entity.standing()).or_default() += 1;
            }
            let kept = counted.get(&target).cloned().unwrap_or_default();
            assert_eq!(kept, Linking::new(found), "step {step}");
        }
    }
    assert!(
        entities.values().any(|entity| entity.retracted),
        "some were taken back"
    );
    assert!(counted.values().any(|linking| linking.iter().len() > 2));
}
