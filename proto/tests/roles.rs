//! Who may sign what: every kind in every state, in every role, as a table that is written down
//! apart from the rule bundle. A state, kind or role that has no place in it fails the test.

#[path = "roles/life_supply_people.rs"]
mod life_supply_people;

use std::collections::BTreeSet;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Signer;
use aimslog_proto::aims::role::Reads;
use aimslog_proto::reason::Reason;

#[path = "roles/rows.rs"]
mod rows;

use rows::{ROWS, Row};

/// The rows of all areas.
fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(life_supply_people::ROWS)
}

#[test]
fn every_kind_and_state_has_a_row() {
    let bundle = RuleBundle::v1();
    let states: BTreeSet<(&str, &str)> = bundle
        .kinds()
        .flat_map(|kind| {
            kind.states()
                .iter()
                .map(|state| (kind.name(), state.as_str()))
        })
        .collect();
    let found: BTreeSet<(&str, &str)> = rows().map(|row| (row.0, row.1)).collect();
    assert_eq!(found, states);
    assert_eq!(found.len(), rows().count(), "a row twice");
}

#[test]
fn each_role_signs_what_its_rows_say_and_nothing_else() {
    let bundle = RuleBundle::v1();
    for (name, state, roles, agents) in rows() {
        let kind = bundle.newest_kind(name).unwrap();
        for role in bundle.roles() {
            let role = role.name.as_str();
            let may = roles.contains(&role);
            for is_agent in [false, true] {
                let signer = Signer {
                    roles: &[role],
                    is_agent,
                };
                let found = kind.check_signer(Some(state), signer);
                let mut expected = Vec::new();
                if !may {
                    expected.push((Reason::NotPermitted, "header.kid"));
                }
                if is_agent && !agents {
                    expected.push((Reason::NotPermitted, "header.origin"));
                }
                let found: Vec<_> = found.iter().map(|v| (v.reason, v.field.as_str())).collect();
                assert_eq!(found, expected, "{name} {state} {role} agent: {is_agent}");
            }
        }
    }
}

#[test]
fn one_of_several_roles_is_enough_and_none_is_not() {
    let kind = RuleBundle::v1().newest_kind("finding").unwrap();
    let check = |roles: &[&str]| {
        kind.check_signer(
            Some("issued"),
            Signer {
                roles,
                is_agent: false,
            },
        )
    };
    assert_eq!(check(&["administrator", "internal_auditor"]), []);
    let refused = check(&[]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].found.as_deref(), Some("no role"));
}

#[test]
fn a_kind_without_states_in_its_header_is_in_its_first_one() {
    let kind = RuleBundle::v1().newest_kind("oversight_decision").unwrap();
    assert_eq!(kind.status_field(), None);
    for (role, is_agent, expected) in [("submitter", false, 0), ("submitter", true, 1)] {
        let signer = Signer {
            roles: &[role],
            is_agent,
        };
        assert_eq!(kind.check_signer(None, signer).len(), expected);
    }
}

#[test]
fn each_role_reads_what_is_written_here() {
    let expected = [
        ("administrator", Reads::None, false),
        ("submitter", Reads::Signed, false),
        ("process_owner", Reads::All, false),
        ("internal_auditor", Reads::All, false),
        ("top_management", Reads::All, false),
        ("certification_body_auditor", Reads::All, true),
        ("accreditation_body", Reads::None, true),
        ("monitor", Reads::None, false),
    ];
    let bundle = RuleBundle::v1();
    let found: Vec<(&str, Reads, bool)> = bundle
        .roles()
        .iter()
        .map(|role| {
            let roles = [role.name.as_str()];
            let [person, agent] = [false, true].map(|is_agent| Signer {
                roles: &roles,
                is_agent,
            });
            assert_eq!(bundle.reads(agent), role.reads.min(Reads::Signed));
            assert!(!bundle.is_engaged(agent));
            let name = role.name.as_str();
            (name, bundle.reads(person), bundle.is_engaged(person))
        })
        .collect();
    assert_eq!(found, expected);
    let both = Signer {
        roles: &["process_owner", "submitter"],
        is_agent: false,
    };
    assert_eq!(bundle.reads(both), Reads::All);
    let nobody = Signer {
        roles: &[],
        is_agent: false,
    };
    assert_eq!(bundle.reads(nobody), Reads::None);
}
