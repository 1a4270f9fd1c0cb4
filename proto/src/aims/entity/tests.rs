use super::*;

fn id(byte: u8) -> EntryId {
    EntryId::from_bytes([byte; 32])
}

fn link(target: u8) -> EntityLink {
    EntityLink {
        relation: "job".to_owned(),
        target: id(target),
    }
}

const SUBJECT: &str = "urn:aimslog:acme:aims:main";

fn holders(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The next version, in this state, by this holder, with links to these entities.
fn next(before: Option<&Entity>, (state, holder): (&str, &str), links: &[u8]) -> Entity {
    let version = NewVersion {
        id: id(200),
        organization: "acme",
        kind: "check".to_owned(),
        kind_version: 1,
        subject: SUBJECT,
        holders: &holders(&[holder]),
        state: state.to_owned(),
        retracts: false,
        begins_again: false,
        links: links.iter().map(|to| (link(*to), 0)).collect(),
        grounds: BTreeMap::new(),
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
        (signed(&opened), &opened.entered_by),
        (vec![("run", "h-1")], &holders(&["h-1"]))
    );
    let stays = next(Some(&opened), ("run", "h-2"), &[]);
    assert_eq!(signed(&stays), [("run", "h-1"), ("run", "h-2")]);
    assert_eq!(
        stays.entered_by,
        holders(&["h-1"]),
        "whoever amends did not bring it there"
    );
    let again = next(Some(&stays), ("run", "h-2"), &[]);
    assert_eq!(again.signings, stays.signings, "each pair once");
    let passed = next(Some(&stays), ("passed", "h-2"), &[]);
    assert_eq!(passed.entered_by, holders(&["h-2"]));
    let standing = passed.standing(0);
    assert_eq!(standing.signed, BTreeSet::from(["run".to_owned()]));
    let states = ["passed".to_owned(), "run".to_owned(), "failed".to_owned()];
    assert_eq!(
        passed.signed_in("h-1", &states).collect::<Vec<_>>(),
        ["run"]
    );
    assert_eq!(passed.signed_in("h-3", &states).count(), 0);
    let other = next(Some(&stays), ("passed", "h-3"), &[]);
    assert!(other.standing(0).signed.is_empty(), "in other hands");
    assert!(
        next(None, ("", "h-1"), &[]).signings.is_empty(),
        "a kind without states"
    );
}

/// Whoever lets an agent sign has signed: a second person it is not.
#[test]
fn whoever_an_agent_signs_for_counts_as_well() {
    let version = |state: &str, holders| NewVersion {
        id: id(200),
        organization: "acme",
        kind: "check".to_owned(),
        kind_version: 1,
        subject: SUBJECT,
        holders,
        state: state.to_owned(),
        retracts: false,
        begins_again: false,
        links: BTreeMap::new(),
        grounds: BTreeMap::new(),
    };
    let by_agent = holders(&["h-agent", "h-1"]);
    let run = Entity::after(None, version("run", &by_agent));
    assert_eq!(signed(&run), [("run", "h-1"), ("run", "h-agent")]);
    let states = ["run".to_owned()];
    assert_eq!(run.signed_in("h-1", &states).count(), 1);
    let passed = next(Some(&run), ("passed", "h-1"), &[]);
    assert_eq!(passed.standing(0).signed, holders(&["run"]));
    let run = next(None, ("run", "h-1"), &[]);
    let passed = Entity::after(Some(&run), version("passed", &by_agent));
    assert_eq!(passed.standing(0).signed, holders(&["run"]));
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
        kind_version: 1,
        subject: SUBJECT,
        holders: &holders(&["h-1"]),
        state: "run".to_owned(),
        retracts: true,
        begins_again: false,
        links: [(link(1), 0)].into(),
        grounds: [(link(1), "closed".to_owned())].into(),
    };
    let gone = Entity::after(Some(&opened), retracts);
    assert!(gone.retracted && gone.links.is_empty() && gone.grounds.is_empty());
    let shifts = Entity::shifts(Some(&opened), &gone);
    assert_eq!(shifts.len(), 1);
    assert_eq!(
        (shifts[0].from.clone(), shifts[0].to.clone()),
        (Some(opened.standing(0)), None)
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
    let mut most = 0;
    for step in 0..2_000 {
        let number = below(12);
        let before = entities.get(&number);
        if before.is_some_and(|entity| entity.retracted) {
            continue;
        }
        let state = ["run", "passed", "failed"][usize::try_from(below(3)).expect("small")];
        let holder = format!("h-{}", below(3));
        let links = [below(4), below(4)].map(|to| link(u8::try_from(to).expect("small")));
        let links = links.map(|link| (link, u32::try_from(below(3)).expect("small")));
        let version = NewVersion {
            id: id(0),
            organization: "acme",
            kind: "check".to_owned(),
            kind_version: 1,
            subject: SUBJECT,
            holders: &holders(&[&holder]),
            state: state.to_owned(),
            retracts: step > 1_000 && below(100) == 0,
            begins_again: false,
            links: links.into(),
            grounds: BTreeMap::new(),
        };
        let after = Entity::after(before, version);
        for shift in Entity::shifts(before, &after) {
            counted.entry(shift.link.target).or_default().shift(&shift);
        }
        entities.insert(number, after);

        let to_link = |target| EntityLink {
            relation: "job".to_owned(),
            target,
        };
        for target in (0..4).map(id) {
            let mut found: BTreeMap<Standing, u64> = BTreeMap::new();
            for entity in entities.values() {
                if let Some(round) = entity.links.get(&to_link(target)) {
                    *found.entry(entity.standing(*round)).or_default() += 1;
                }
            }
            let kept = counted.get(&target).cloned().unwrap_or_default();
            most = most.max(kept.iter().len());
            assert_eq!(kept, Linking::new(found), "step {step}");
        }
    }
    assert!(
        entities.values().any(|entity| entity.retracted),
        "some were taken back"
    );
    assert!(most > 2, "{most}");
}
