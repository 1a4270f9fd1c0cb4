//! What each alarm takes away from a node.

use std::path::PathBuf;

use super::*;

fn root(byte: u8) -> RootHash {
    RootHash::from_hash(Hash::from_bytes([byte; 32]))
}

fn fork() -> Fork {
    let evidence = PathBuf::from("/guard/fork.txt");
    Fork {
        peer: 2,
        size: TreeSize(5),
        own: root(1),
        theirs: root(2),
        evidence,
    }
}

fn corrupt() -> Corrupt {
    Corrupt::PublishedHead {
        size: TreeSize(5),
        own: root(1),
        published: root(2),
    }
}

fn removed(index: Option<u64>) -> Removed {
    Removed { node: 2, index }
}

fn no_space(elsewhere: Elsewhere) -> Alarm {
    Alarm::NoSpace(NoSpace {
        free: 3 << 20,
        reserve: 16 << 20,
        elsewhere,
    })
}

fn cosigner_key() -> VerifierKey {
    let name = aimslog_proto::tlog::KeyName::new("example.com/node/2").unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    VerifierKey::cosignature_v1(name, &key)
}

#[test]
fn rights_follow_from_alarms() {
    // (alarm, may vote, lead, campaign, sign, serve)
    let rows = [
        (None, [true, true, true, true, true]),
        (Some(Alarm::Amnesia(Amnesia::GuardMissing)), [false; 5]),
        (
            Some(Alarm::Corrupt(corrupt())),
            [true, false, false, false, false],
        ),
        (Some(Alarm::Fork(fork())), [true, true, true, true, true]),
        (
            Some(Alarm::Clock(ClockOff { offset_ms: 2_500 })),
            [true, true, false, true, true],
        ),
        (
            Some(no_space(Elsewhere::Room)),
            [true, true, false, true, true],
        ),
        (Some(no_space(Elsewhere::NoRoom)), [true; 5]),
        (Some(Alarm::Removed(removed(Some(31)))), [false; 5]),
        (Some(Alarm::Keys), [true, false, false, true, true]),
        (Some(Alarm::Cosigner(cosigner_key())), [true; 5]),
    ];
    for (alarm, expected) in rows {
        let alarms = Alarms::new(Probation::Passed);
        if let Some(alarm) = &alarm {
            alarms.raise(alarm);
        }
        let standing = alarms.standing();
        let rights = [
            standing.may_vote(),
            standing.may_lead(),
            standing.may_campaign(),
            standing.may_sign(),
            standing.may_serve(),
        ];
        assert_eq!(rights, expected, "{alarm:?}");
        assert_eq!(standing.alarms(), Vec::from_iter(alarm));
    }
}

#[test]
fn probation_bars_votes_and_signatures() {
    let alarms = Alarms::new(Probation::Waiting);
    let standing = alarms.standing();
    assert!(!standing.may_vote() && !standing.may_sign() && !standing.may_lead());
    assert!(standing.may_serve(), "published heads are served at once");
    assert_eq!(standing.participation(), Participation::Silent);
    alarms.pass_probation();
    assert!(alarms.standing().may_sign());
    assert_eq!(alarms.standing().participation(), Participation::Full);
    alarms.raise(&Alarm::Clock(ClockOff { offset_ms: 9_000 }));
    assert_eq!(alarms.standing().participation(), Participation::NoCampaign);
}

#[test]
fn first_amnesia_is_kept_and_the_clock_recovers() {
    let alarms = Alarms::amnesiac(Amnesia::GuardMissing);
    alarms.raise(&Alarm::Amnesia(Amnesia::DataMissing));
    assert_eq!(alarms.standing().amnesia, Some(Amnesia::GuardMissing));
    alarms.raise(&Alarm::Clock(ClockOff { offset_ms: 9_000 }));
    alarms.clock_is_right();
    assert_eq!(
        alarms.standing().alarms(),
        vec![Alarm::Amnesia(Amnesia::GuardMissing)]
    );
}

#[test]
fn room_on_the_disk_comes_back() {
    let alarms = Alarms::new(Probation::Passed);
    alarms.raise(&no_space(Elsewhere::Room));
    assert_eq!(alarms.standing().participation(), Participation::NoCampaign);
    alarms.space_is_back();
    assert_eq!(alarms.standing(), Standing::good(Probation::Passed));
}

#[test]
fn a_node_without_keys_leads_once_they_are_here() {
    let alarms = Alarms::new(Probation::Passed);
    alarms.raise(&Alarm::Keys);
    assert_eq!(alarms.standing().participation(), Participation::NoCampaign);
    alarms.keys_are_here();
    assert_eq!(alarms.standing(), Standing::good(Probation::Passed));
    let missing = cosigner_key();
    alarms.cosigner_is_missing(&missing);
    assert_eq!(alarms.standing().alarms(), [Alarm::Cosigner(missing)]);
    alarms.cosigner_is_here();
    assert_eq!(alarms.standing(), Standing::good(Probation::Passed));
}

#[test]
fn every_alarm_says_what_to_do() {
    let sentences = [
        (Alarm::Amnesia(Amnesia::GuardMissing), "cluster replace"),
        (Alarm::Corrupt(corrupt()), "keep the files"),
        (Alarm::Fork(fork()), "/guard/fork.txt"),
        (Alarm::Clock(ClockOff { offset_ms: -3_000 }), "-3000 ms"),
        (Alarm::Removed(removed(None)), "stop it"),
        (Alarm::Removed(removed(Some(31))), "index 31"),
        (no_space(Elsewhere::Room), "3 MiB free, 16 MiB must be"),
        (Alarm::Keys, "asks the voters"),
        (Alarm::Cosigner(cosigner_key()), "aimslogd rotate"),
        (Alarm::Cosigner(cosigner_key()), "example.com/node/2+"),
        (
            Alarm::Cosigner(cosigner_key()),
            "back as keys/cosigner.next.seed",
        ),
    ];
    for (alarm, hint) in sentences {
        let sentence = alarm.to_string();
        assert!(sentence.starts_with(alarm.name()), "{sentence}");
        assert!(sentence.contains(hint), "{sentence}");
    }
}

#[test]
fn clock_is_judged_by_the_median() {
    let rows: [(&str, i64, &[i64], Option<i64>); 8] = [
        ("alone", 0, &[], None),
        ("all agree", 0, &[10, -10], None),
        ("own is ahead", 5_000, &[0, 0], Some(5_000)),
        ("own is behind", -2_000, &[0, 100], Some(-2_000)),
        ("just inside", 1_999, &[0, 0], None),
        ("another one is off", 0, &[0, 60_000], None),
        ("of two nobody can tell", 0, &[60_000], None),
        ("five voters", 3_000, &[0, 10, 20, 9_000], Some(2_980)),
    ];
    for (what, own, peers, expected) in rows {
        assert_eq!(
            clock_off(own, peers).map(|off| off.offset_ms),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_node_and_those_it_asks_are_a_majority() {
    let group = |count: u64| (1..=count).collect::<BTreeSet<u64>>();
    for (voters, needed) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 3)] {
        assert_eq!(answers_needed(&group(voters), 1), needed, "{voters} voters");
    }
    assert_eq!(
        answers_needed(&group(3), 4),
        2,
        "a node that does not vote is not half of a majority of two"
    );
}
