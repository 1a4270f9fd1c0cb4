//! Who signs what: everything that a registry statement does, by every kind of signer, against a table
//! that is written down apart from the rule bundle.

use super::*;
use crate::aims::bundle::RuleBundle;
use crate::aims::catalog::Catalogue;
use crate::statement::evidence::testing::note_key;
use crate::system::{
    Access, AccessRead, Action, Controls, Engagement, EngagementChange, EngagementId, Grant,
    NewKey, OperatorChange, OperatorRecord, Organization, Permissions, Role, RoleChange,
    RoleRecord, SignedBy, SystemKind, prove_node_key, prove_operator_key, prove_principal_key,
    prove_read_key,
};
use crate::time::UnixSeconds;
use crate::tlog::KeyName;

use SignedBy::{Administrator, AllOperators, Operator, Operators, Service};

const ROWS: [(SystemKind, &str, SignedBy); 25] = [
    (SystemKind::Genesis, "found", AllOperators),
    (SystemKind::Keys, "begin", Service),
    (SystemKind::Keys, "replace", Operators),
    (SystemKind::Policy, "replace", Operators),
    (SystemKind::Rules, "activate", Operators),
    (SystemKind::Node, "admit", Operators),
    (SystemKind::Node, "remove", Operators),
    (SystemKind::Node, "rotate", Operators),
    (SystemKind::Organization, "register", Operator),
    (SystemKind::Organization, "suspend", Operators),
    (SystemKind::Organization, "resume", Operators),
    (SystemKind::Principal, "admit", Administrator),
    (SystemKind::Principal, "rotate", Administrator),
    (SystemKind::Principal, "revoke", Administrator),
    (SystemKind::Principal, "read_key", Administrator),
    (SystemKind::Principal, "end_read_key", Administrator),
    (SystemKind::Role, "grant", Administrator),
    (SystemKind::Role, "withdraw", Administrator),
    (SystemKind::Engagement, "grant", Administrator),
    (SystemKind::Engagement, "end", Administrator),
    (SystemKind::Access, "report", Service),
    (SystemKind::Controls, "declare", Administrator),
    (SystemKind::Operator, "admit", Operators),
    (SystemKind::Operator, "revoke", Operators),
    (SystemKind::Operator, "rotate", Operators),
];

/// The reviewer's key for reading.
const READS: u8 = 50;

/// The key of an operator that came later.
pub(super) const SPARE: u8 = 51;

/// Who signs, and which operator approves.
const SIGNERS: [(&str, u8, Option<u8>); 12] = [
    ("one operator", seed::OPERATOR_A, None),
    (
        "an operator twice",
        seed::OPERATOR_A,
        Some(seed::OPERATOR_A),
    ),
    ("two operators", seed::OPERATOR_A, Some(seed::OPERATOR_B)),
    ("a later operator and one", SPARE, Some(seed::OPERATOR_A)),
    ("an administrator", seed::ADMIN, None),
    ("an administrator elsewhere", seed::OTHER_ADMIN, None),
    ("a reviewer", seed::REVIEWER, None),
    ("an agent", seed::AGENT, None),
    ("the service", seed::SERVICE, None),
    ("a receipt key", seed::RECEIPT, None),
    ("a key for reading", READS, None),
    ("a stranger", 98, None),
];

pub(super) fn grant_to(body: &str) -> Grant {
    Grant {
        body: org(body),
        kinds: None,
        subjects: None,
        fields: None,
        claimed_from: None,
        claimed_to: None,
        valid_from: UnixSeconds(1_000),
        valid_to: UnixSeconds(2_000),
    }
}

pub(super) fn engagement(id: &str, change: EngagementChange) -> Engagement {
    Engagement {
        organization: org("acme"),
        engagement: EngagementId::new(id).unwrap(),
        change,
    }
}

pub(super) fn of(id: &str, change: PrincipalChange) -> Principal {
    Principal {
        organization: org("acme"),
        principal: principal(id),
        change,
    }
}

pub(super) fn rotation(id: &str, seed: u8) -> Principal {
    let new = NewKey {
        key: key(seed).public_key(),
        possession: prove_principal_key(&origin(), &org("acme"), &principal(id), &key(seed))
            .unwrap(),
    };
    of(id, PrincipalChange::Rotate(new))
}

pub(super) fn read_key(id: &str, seed: u8) -> Principal {
    let new = NewKey {
        key: key(seed).public_key(),
        possession: prove_read_key(&origin(), &org("acme"), &principal(id), &key(seed)).unwrap(),
    };
    of(id, PrincipalChange::ReadKey(new))
}

pub(super) fn role(id: &str, change: fn(Role) -> RoleChange, role: &str) -> RoleRecord {
    RoleRecord {
        organization: org("acme"),
        principal: principal(id),
        change: change(Role::new(role).unwrap()),
    }
}

pub(super) fn suspend(id: &str) -> Organization {
    let approvals = Vec::new();
    Organization {
        organization: org(id),
        change: OrganizationChange::Suspend { approvals },
    }
}

pub(super) fn resume(id: &str) -> Organization {
    let approvals = Vec::new();
    Organization {
        organization: org(id),
        change: OrganizationChange::Resume { approvals },
    }
}

pub(super) fn node_rotation(id: u64, seed: u8) -> Node {
    let name = KeyName::new(format!("{}/node/{id}", origin())).unwrap();
    let cosigner = VerifierKey::cosignature_v1(name, &note_key(seed).verifying_key());
    Node {
        change: NodeChange::Rotate {
            id: NodeId::new(id).unwrap(),
            cosigner: Box::new(cosigner),
            possession: prove_node_key(&origin(), NodeId::new(id).unwrap(), &key(seed)).unwrap(),
        },
        approvals: Vec::new(),
    }
}

pub(super) fn operator(name: &str, change: OperatorChange) -> OperatorRecord {
    OperatorRecord {
        name: name.to_owned(),
        change,
        approvals: Vec::new(),
    }
}

fn operator_proof(name: &str, seed: u8) -> NewKey {
    NewKey {
        key: key(seed).public_key(),
        possession: prove_operator_key(&origin(), name, &key(seed)).unwrap(),
    }
}

pub(super) fn operator_key(name: &str, seed: u8) -> OperatorRecord {
    operator(name, OperatorChange::Admit(operator_proof(name, seed)))
}

pub(super) fn operator_rotation(name: &str, seed: u8) -> OperatorRecord {
    operator(name, OperatorChange::Rotate(operator_proof(name, seed)))
}

pub(super) fn operator_gone(name: &str) -> OperatorRecord {
    operator(name, OperatorChange::Revoke(RevocationReason::Left))
}

pub(super) fn access(number: u64, engagement: &str, entry: u64) -> Access {
    let read = AccessRead {
        organization: org("acme"),
        engagement: EngagementId::new(engagement).unwrap(),
        principal: principal("auditor-1"),
        entry: LeafIndex(entry),
        time: UnixSeconds(1_500),
    };
    Access {
        number,
        reads: vec![read],
    }
}

/// The version with this number of a catalogue with one control, whose id says the number.
pub(super) fn controls(scheme: &str, version: u32) -> Controls {
    let text = format!(
        "scheme = \"{scheme}\"\nversion = {version}\ntitle = \"Ours\"\n[[control]]\n\
         id = \"SEC.{version}\"\ntitle = \"Tests\"\nkinds = [\"incident\"]\n\
         relates = [[\"intersects\", \"iso42001-2023/A.6.2.4\"]]\n"
    );
    Controls::new(org("acme"), Catalogue::parse(&text).unwrap()).unwrap()
}

/// A ledger on which each statement below is good.
pub(super) fn busy() -> World {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    world.system(&organization("other", seed::OTHER_ADMIN), seed::OPERATOR_A);
    world.system(&organization("asleep", 31), seed::OPERATOR_A);
    let operators = (seed::OPERATOR_A, seed::OPERATOR_B);
    world.agreed(suspend("asleep"), operators);
    world.agreed(operator_key("op-spare", SPARE), operators);
    world.system(&read_key("p-reviewer", READS), seed::ADMIN);
    let grant = EngagementChange::Grant(Box::new(grant_to("other")));
    world.system(&engagement("e-old", grant), seed::ADMIN);
    world
}

fn finish(record: impl Payload, (signer, approver): (u8, Option<u8>)) -> UnverifiedStatement {
    match approver {
        Some(operator) => signed(&approved(record, operator), signer),
        None => signed(&record, signer),
    }
}

/// A good statement that does this, but for its signer.
fn sample(action: Action, by: (u8, Option<u8>)) -> UnverifiedStatement {
    let node = |change| Node {
        change,
        approvals: Vec::new(),
    };
    match (action.kind(), action.name()) {
        (SystemKind::Keys, _) => finish(keys_record(), by),
        (SystemKind::Policy, _) => {
            let mut texts = policies();
            texts.trust.push_str("# next\n");
            let change = PolicyChange {
                predecessor: policies().digest(),
                texts,
                approvals: Vec::new(),
            };
            finish(change, by)
        }
        (SystemKind::Rules, _) => finish(rules(), by),
        (SystemKind::Node, "admit") => {
            let entry = NodeEntry {
                id: NodeId::new(4).unwrap(),
                label: "n4".to_owned(),
                cosigner: node_vkey(4),
            };
            finish(node(NodeChange::Admit(Box::new(entry))), by)
        }
        (SystemKind::Node, "remove") => {
            finish(node(NodeChange::Remove(NodeId::new(3).unwrap())), by)
        }
        (SystemKind::Node, "rotate") => finish(node_rotation(3, 77), by),
        (SystemKind::Organization, "register") => finish(organization("third", 70), by),
        (SystemKind::Organization, "suspend") => finish(suspend("other"), by),
        (SystemKind::Organization, "resume") => finish(resume("asleep"), by),
        (SystemKind::Principal, "admit") => finish(admit("p-new", 71, None), by),
        (SystemKind::Principal, "rotate") => finish(rotation("p-reviewer", 72), by),
        (SystemKind::Principal, "revoke") => finish(revoke("p-reviewer"), by),
        (SystemKind::Principal, "read_key") => finish(read_key("p-reviewer", 73), by),
        (SystemKind::Principal, "end_read_key") => {
            finish(of("p-reviewer", PrincipalChange::EndReadKey), by)
        }
        (SystemKind::Role, "grant") => finish(role("p-reviewer", RoleChange::Grant, "auditor"), by),
        (SystemKind::Role, "withdraw") => {
            finish(role("p-reviewer", RoleChange::Withdraw, "reviewer"), by)
        }
        (SystemKind::Engagement, "grant") => {
            let grant = EngagementChange::Grant(Box::new(grant_to("other")));
            finish(engagement("e-new", grant), by)
        }
        (SystemKind::Engagement, "end") => finish(engagement("e-old", EngagementChange::End), by),
        (SystemKind::Access, _) => finish(access(1, "e-old", 5), by),
        (SystemKind::Controls, _) => finish(controls("org", 1), by),
        (SystemKind::Operator, "admit") => finish(operator_key("op-3", 80), by),
        (SystemKind::Operator, "revoke") => finish(operator_gone("op-spare"), by),
        (SystemKind::Operator, "rotate") => finish(operator_rotation("op-spare", 81), by),
        (kind, name) => panic!("no sample of {kind} {name}"),
    }
}

#[test]
fn the_table_of_the_bundle_is_the_one_that_is_written_here() {
    let table = RuleBundle::v1().permissions();
    assert_eq!(table, Permissions::v1());
    assert_eq!(ROWS.len(), Action::ALL.len());
    for action in Action::ALL {
        let row = ROWS
            .iter()
            .find(|row| (row.0, row.1) == (action.kind(), action.name()));
        let row = row.unwrap_or_else(|| panic!("{action} has no row"));
        assert_eq!(table.signed_by(action), Some(row.2), "{action}");
    }
}

#[test]
fn each_statement_is_taken_of_whom_its_row_names_and_of_nobody_else() {
    let world = busy();
    let index = LeafIndex(world.entries.len() as u64);
    let mut counted = [0, 0];
    for (kind, name, signed_by) in ROWS {
        if matches!((kind, name), (SystemKind::Genesis, _) | (_, "begin")) {
            continue;
        }
        let mut actions = Action::ALL.into_iter();
        let action = actions.find(|one| (one.kind(), one.name()) == (kind, name));
        let action = action.unwrap();
        for (signer, seed, approver) in SIGNERS {
            let statement = sample(action, (seed, approver));
            let said = match world.registry.clone().apply(index, &statement) {
                Ok(record) => {
                    assert_eq!(Action::of(&record, index), action);
                    None
                }
                Err(_) => Some(refused(&world, &statement)),
            };
            let expected = match (signed_by, signer) {
                (_, "a stranger") => Some(Reason::UnknownKey),
                (_, "a key for reading") => Some(Reason::KeyPurpose),
                (Operators, "two operators" | "a later operator and one")
                | (Administrator, "an administrator")
                | (Service, "the service")
                | (
                    Operator,
                    "one operator"
                    | "an operator twice"
                    | "two operators"
                    | "a later operator and one",
                ) => None,
                (Operators, "one operator" | "an operator twice") => Some(Reason::TooFewOperators),
                (_, "an administrator elsewhere") if kind == SystemKind::Engagement => {
                    Some(Reason::ForeignRecords)
                }
                _ => Some(Reason::NotPermitted),
            };
            assert_eq!(said, expected, "{action} by {signer}");
            counted[usize::from(said.is_none())] += 1;
        }
    }
    assert!(counted[0] > 150 && counted[1] >= 20, "{counted:?}");
}

/// What takes a right away, and gives nobody one.
const WHILE_SUSPENDED: [(SystemKind, &str); 4] = [
    (SystemKind::Principal, "revoke"),
    (SystemKind::Principal, "end_read_key"),
    (SystemKind::Role, "withdraw"),
    (SystemKind::Engagement, "end"),
];

#[test]
fn a_suspended_organisation_takes_rights_away_and_grants_none() {
    let mut world = busy();
    let operators = (seed::OPERATOR_A, seed::OPERATOR_B);
    world.agreed(suspend("acme"), operators);
    let index = LeafIndex(world.entries.len() as u64);
    let mut counted = [0, 0];
    for (kind, name, signed_by) in ROWS {
        if signed_by != Administrator {
            continue;
        }
        let mut actions = Action::ALL.into_iter();
        let action = actions.find(|one| (one.kind(), one.name()) == (kind, name));
        let action = action.unwrap();
        let takes_away = WHILE_SUSPENDED.contains(&(kind, name));
        assert_eq!(Permissions::v1().while_suspended(action), takes_away);
        let by_administrator = sample(action, (seed::ADMIN, None));
        if takes_away {
            let taken = world.registry.clone().apply(index, &by_administrator);
            assert!(taken.is_ok(), "{action}: {taken:?}");
            // It is still the administrator's own business.
            for stranger in [seed::REVIEWER, seed::OTHER_ADMIN, seed::OPERATOR_A] {
                let statement = sample(action, (stranger, None));
                let reason = refused(&world, &statement);
                let foreign = (kind, stranger) == (SystemKind::Engagement, seed::OTHER_ADMIN);
                let expected = if foreign {
                    Reason::ForeignRecords
                } else {
                    Reason::NotPermitted
                };
                assert_eq!(reason, expected, "{action} by {stranger}");
            }
        } else {
            let reason = refused(&world, &by_administrator);
            assert_eq!(reason, Reason::OrganizationSuspended, "{action}");
        }
        counted[usize::from(takes_away)] += 1;
    }
    assert_eq!(counted, [6, 4]);
}

#[test]
fn the_first_keys_record_is_the_services() {
    for (signer, seed, approver) in SIGNERS {
        let mut registry = Registry::new();
        let operators = [seed::OPERATOR_A, seed::OPERATOR_B];
        let founded = signed_as(0, &genesis(&operators, 2), seed::OPERATOR_A);
        registry.apply(LeafIndex(0), &founded).unwrap();
        let statement = finish(keys_record(), (seed, approver));
        let taken = registry.apply(LeafIndex(1), &statement).is_ok();
        assert_eq!(taken, signer == "the service", "{signer}");
    }
}
