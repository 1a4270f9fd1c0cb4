//! Who may sign what: every kind in every state, in every role, as a table that is written down
//! apart from the rule bundle. A state, kind or role that has no place in it fails the test.

use std::collections::BTreeSet;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Signer;
use aimslog_proto::aims::role::Reads;
use aimslog_proto::reason::Reason;

/// Kind, state, the roles that may sign it, and whether an AI agent in such a role may.
type Row = (&'static str, &'static str, &'static [&'static str], bool);

const OWNERS: &[&str] = &["process_owner", "submitter"];
const AUDITORS: &[&str] = &["internal_auditor"];
const ALL_AUDITORS: &[&str] = &["certification_body_auditor", "internal_auditor"];
const IMPROVERS: &[&str] = &["internal_auditor", "process_owner"];
const MANAGERS: &[&str] = &["process_owner", "top_management"];
const BODY: &[&str] = &["certification_body_auditor"];
const ADMINISTRATORS: &[&str] = &["administrator"];
const EVERYBODY: &[&str] = &[
    "accreditation_body",
    "administrator",
    "certification_body_auditor",
    "internal_auditor",
    "monitor",
    "process_owner",
    "submitter",
    "top_management",
];

const ROWS: &[Row] = &[
    ("ai_system", "proposed", OWNERS, true),
    ("ai_system", "development", OWNERS, true),
    ("ai_system", "pilot", OWNERS, false),
    ("ai_system", "production", OWNERS, false),
    ("ai_system", "suspended", OWNERS, false),
    ("ai_system", "retired", OWNERS, false),
    ("oversight_decision", "recorded", OWNERS, false),
    ("internal_audit", "planned", AUDITORS, false),
    ("internal_audit", "population_sealed", AUDITORS, false),
    ("internal_audit", "sample_drawn", AUDITORS, false),
    ("internal_audit", "fieldwork", AUDITORS, false),
    ("internal_audit", "findings_issued", AUDITORS, false),
    ("internal_audit", "reported", &["top_management"], false),
    ("internal_audit", "closed", AUDITORS, false),
    ("finding", "issued", ALL_AUDITORS, false),
    ("finding", "acknowledged", MANAGERS, false),
    ("finding", "closed", ALL_AUDITORS, false),
    ("audit_programme", "drafted", AUDITORS, false),
    (
        "audit_programme",
        "approved",
        &["internal_auditor", "top_management"],
        false,
    ),
    ("audit_programme", "running", AUDITORS, false),
    ("audit_programme", "done", AUDITORS, false),
    (
        "population",
        "sealed",
        &[
            "certification_body_auditor",
            "internal_auditor",
            "process_owner",
        ],
        false,
    ),
    ("sample", "planned", ALL_AUDITORS, false),
    ("sample", "sealed", ALL_AUDITORS, false),
    ("measurement", "recorded", OWNERS, true),
    ("concern_report", "received", OWNERS, true),
    ("concern_report", "triaged", OWNERS, false),
    ("concern_report", "closed", OWNERS, false),
    ("concern_report", "channel_checked", OWNERS, true),
    ("incident", "open", OWNERS, true),
    ("incident", "contained", OWNERS, false),
    ("incident", "resolved", OWNERS, false),
    ("incident", "closed", OWNERS, false),
    ("communication", "sent", MANAGERS, false),
    ("improvement", "proposed", IMPROVERS, true),
    ("improvement", "accepted", MANAGERS, false),
    ("improvement", "rejected", MANAGERS, false),
    ("improvement", "done", IMPROVERS, false),
    ("management_review", "planned", MANAGERS, false),
    ("management_review", "inputs_frozen", MANAGERS, false),
    ("management_review", "held", MANAGERS, false),
    ("management_review", "signed", &["top_management"], false),
    ("cb_engagement", "planned", BODY, false),
    ("cb_engagement", "performed", BODY, false),
    ("cb_engagement", "decision", BODY, false),
    ("cb_finding", "issued", BODY, false),
    ("cb_finding", "acknowledged", MANAGERS, false),
    ("cb_finding", "responded", MANAGERS, false),
    ("cb_finding", "accepted", BODY, false),
    ("cb_finding", "rejected", BODY, false),
    ("cb_finding", "closed", BODY, false),
    ("certificate", "issued", BODY, false),
    (
        "certificate",
        "suspended",
        &["accreditation_body", "certification_body_auditor"],
        false,
    ),
    ("certificate", "restored", BODY, false),
    ("certificate", "withdrawn", BODY, false),
    ("certificate", "expired", BODY, false),
    ("rule_verdict", "recorded", EVERYBODY, true),
    ("erasure", "recorded", ADMINISTRATORS, false),
    ("retention_event", "recorded", ADMINISTRATORS, false),
    ("nonconformity", "open", IMPROVERS, true),
    ("nonconformity", "analysed", IMPROVERS, false),
    ("nonconformity", "action_planned", IMPROVERS, false),
    ("nonconformity", "implemented", IMPROVERS, false),
    ("nonconformity", "effectiveness_verified", AUDITORS, false),
    ("nonconformity", "closed", IMPROVERS, false),
    ("nonconformity", "reopened", IMPROVERS, false),
    ("corrective_action", "planned", IMPROVERS, true),
    ("corrective_action", "done", IMPROVERS, false),
    ("corrective_action", "verified", AUDITORS, false),
    ("corrective_action", "failed", AUDITORS, false),
];

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
    let rows: BTreeSet<(&str, &str)> = ROWS.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(rows, states);
    assert_eq!(rows.len(), ROWS.len(), "a row twice");
}

#[test]
fn each_role_signs_what_its_rows_say_and_nothing_else() {
    let bundle = RuleBundle::v1();
    for (name, state, roles, agents) in ROWS {
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
