//! Goal: a payload has one form. Every accepted byte string encodes to itself, whatever is changed.

use super::*;
use crate::aims::catalog::Catalogue;
use crate::statement::evidence::testing::{
    World, admit, genesis, key, keys_record, making, node_vkey, org, organization, origin,
    policies, principal, seed,
};
use crate::time::UnixSeconds;
use crate::tlog::LeafIndex;

fn samples() -> Vec<(SystemKind, Vec<u8>)> {
    [
        ledger_samples(),
        member_samples(),
        engagement_samples(),
        controls_samples(),
    ]
    .concat()
}

fn ledger_samples() -> Vec<(SystemKind, Vec<u8>)> {
    let entry = NodeEntry {
        id: NodeId::new(4).unwrap(),
        label: "n4:7001".to_owned(),
        cosigner: node_vkey(4),
    };
    let revoke = Principal {
        organization: org("acme"),
        principal: principal("p-1"),
        change: PrincipalChange::Revoke(RevocationReason::KeyCompromised),
    };
    let policy = PolicyChange {
        predecessor: [1; 32],
        texts: policies(),
        approvals: Vec::new(),
    };
    let rules = Rules {
        predecessor: [1; 32],
        bundle: [2; 32],
        approvals: Vec::new(),
    };
    let admitted = Node {
        change: NodeChange::Admit(Box::new(entry)),
        approvals: Vec::new(),
    };
    let removed = Node {
        change: NodeChange::Remove(NodeId::new(4).unwrap()),
        approvals: Vec::new(),
    };
    vec![
        (SystemKind::Genesis, genesis(&[1, 2], 2).encode()),
        (SystemKind::Keys, keys_record().encode()),
        (SystemKind::Policy, policy.encode()),
        (SystemKind::Rules, rules.encode()),
        (
            SystemKind::Organization,
            organization("acme", seed::ADMIN).encode(),
        ),
        (
            SystemKind::Principal,
            admit("p-agent", seed::AGENT, Some("p-1")).encode(),
        ),
        (SystemKind::Principal, revoke.encode()),
        (SystemKind::Node, admitted.encode()),
        (SystemKind::Node, removed.encode()),
    ]
}

fn member_samples() -> Vec<(SystemKind, Vec<u8>)> {
    let new = NewKey {
        key: key(50).public_key(),
        possession: prove_read_key(&origin(), &org("acme"), &principal("p-1"), &key(50)).unwrap(),
    };
    let of = |change| Principal {
        organization: org("acme"),
        principal: principal("p-1"),
        change,
    };
    let standing = |change| Organization {
        organization: org("acme"),
        change,
    };
    let approvals = vec![approve_record(&keys_record(), &making(&origin(), 0), &key(1)).unwrap()];
    let suspended = standing(OrganizationChange::Suspend { approvals });
    let resumed = standing(OrganizationChange::Resume {
        approvals: Vec::new(),
    });
    let role = |change: fn(Role) -> RoleChange| RoleRecord {
        organization: org("acme"),
        principal: principal("p-1"),
        change: change(Role::new("internal_auditor").unwrap()),
    };
    let rotated = Node {
        change: NodeChange::Rotate {
            id: NodeId::new(4).unwrap(),
            cosigner: Box::new(node_vkey(4)),
            possession: prove_node_key(&origin(), NodeId::new(4).unwrap(), &key(64)).unwrap(),
        },
        approvals: Vec::new(),
    };
    let operator = |change| OperatorRecord {
        name: "operator 3".to_owned(),
        change,
        approvals: Vec::new(),
    };
    let operators = [
        operator(OperatorChange::Admit(new.clone())),
        operator(OperatorChange::Revoke(RevocationReason::KeyLost)),
        operator(OperatorChange::Rotate(new.clone())),
    ];
    let operators = operators.map(|record| (SystemKind::Operator, record.encode()));
    let rest = vec![
        (SystemKind::Organization, suspended.encode()),
        (SystemKind::Organization, resumed.encode()),
        (
            SystemKind::Principal,
            of(PrincipalChange::Rotate(new.clone())).encode(),
        ),
        (
            SystemKind::Principal,
            of(PrincipalChange::ReadKey(new)).encode(),
        ),
        (
            SystemKind::Principal,
            of(PrincipalChange::EndReadKey).encode(),
        ),
        (SystemKind::Role, role(RoleChange::Grant).encode()),
        (SystemKind::Role, role(RoleChange::Withdraw).encode()),
        (SystemKind::Node, rotated.encode()),
    ];
    [rest, operators.to_vec()].concat()
}

fn engagement_samples() -> Vec<(SystemKind, Vec<u8>)> {
    let (kinds, fields) = (vec!["finding".to_owned()], vec!["grade".to_owned()]);
    let grant = Grant {
        body: org("certifier"),
        kinds: Some(kinds),
        subjects: Some(vec!["urn:aimslog:acme:aims:audit".to_owned()]),
        fields: Some(fields),
        claimed_from: Some(UnixSeconds(1)),
        claimed_to: Some(UnixSeconds(2)),
        valid_from: UnixSeconds(3),
        valid_to: UnixSeconds(4),
    };
    let engagement = |change| Engagement {
        organization: org("acme"),
        engagement: EngagementId::new("stage-1").unwrap(),
        change,
    };
    let read = AccessRead {
        organization: org("acme"),
        engagement: EngagementId::new("stage-1").unwrap(),
        principal: principal("auditor-1"),
        entry: LeafIndex(5),
        time: UnixSeconds(3),
    };
    let access = Access {
        number: 1,
        reads: vec![read],
    };
    vec![
        (
            SystemKind::Engagement,
            engagement(EngagementChange::Grant(Box::new(grant))).encode(),
        ),
        (
            SystemKind::Engagement,
            engagement(EngagementChange::End).encode(),
        ),
        (SystemKind::Access, access.encode()),
    ]
}

fn controls_samples() -> Vec<(SystemKind, Vec<u8>)> {
    let of = |text: &str| {
        let catalogue = Catalogue::parse(text).unwrap();
        let record = Controls::new(org("acme"), catalogue).unwrap();
        (SystemKind::Controls, record.encode())
    };
    vec![
        of(OWN),
        of(
            "scheme = \"s\"\nversion = 2\ntitle = \"t\"\ntext = \"first\"\n[[control]]\nid = \"1\"\ntitle = \"c\"\n",
        ),
    ]
}

const OWN: &str = include_str!("../../../docs/examples/own-controls.toml");

#[test]
fn a_catalogue_is_logged_as_it_is_read_and_with_nothing_for_lookup_alone() {
    for text in [
        OWN,
        include_str!("../../../docs/examples/iso27001-2022.toml"),
    ] {
        let catalogue = Catalogue::parse(text).unwrap();
        let record = Controls::new(org("acme"), catalogue.clone()).unwrap();
        let bytes = record.encode();
        assert!(bytes.len() < crate::limits::LEDGER_STATEMENT_BYTES_MAX / 4);
        let Ok(SystemRecord::Controls(again)) = SystemRecord::decode(SystemKind::Controls, &bytes)
        else {
            panic!("it was written by us");
        };
        assert_eq!(again.catalogue().digest(), catalogue.digest());
    }
    let bundled = crate::aims::bundle::RuleBundle::v1().schemes();
    for scheme in ["guide", "eu-ai-act-2024"] {
        let catalogue = bundled.catalogue(scheme).unwrap().clone();
        assert!(Controls::new(org("acme"), catalogue).is_err(), "{scheme}");
    }
    let duty = OWN.replacen("title = \"Tests", "duty = \"Test\"\ntitle = \"Tests", 1);
    let refused = Controls::new(org("acme"), Catalogue::parse(&duty).unwrap()).unwrap_err();
    assert_eq!(refused.place, "ORG.SEC.1");
}

#[test]
fn payloads_read_back_and_have_one_form() {
    for (kind, bytes) in samples() {
        let record = SystemRecord::decode(kind, &bytes).unwrap();
        assert_eq!(
            (record.kind(), record.encode()),
            (kind, bytes.clone()),
            "{kind}"
        );
        for position in 0..bytes.len() {
            for flip in [0x01, 0x80] {
                let mut changed = bytes.clone();
                changed[position] ^= flip;
                if let Ok(record) = SystemRecord::decode(kind, &changed) {
                    assert_eq!(record.encode(), changed, "{kind} byte {position}");
                }
            }
            assert!(
                SystemRecord::decode(kind, &bytes[..position]).is_err(),
                "{kind} {position}"
            );
        }
    }
}

/// A field, and what makes it wrong.
type Contradiction = (&'static str, fn(&mut Grant));

#[test]
fn an_engagement_that_contradicts_itself_is_none() {
    let good = |change: fn(&mut Grant)| {
        let mut grant = Grant {
            body: org("certifier"),
            kinds: None,
            subjects: None,
            fields: None,
            claimed_from: None,
            claimed_to: None,
            valid_from: UnixSeconds(3),
            valid_to: UnixSeconds(4),
        };
        change(&mut grant);
        let record = Engagement {
            organization: org("acme"),
            engagement: EngagementId::new("stage-1").unwrap(),
            change: EngagementChange::Grant(Box::new(grant)),
        };
        let decoded = SystemRecord::decode(SystemKind::Engagement, &record.encode());
        decoded.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(good(|_| {}), Ok(()));
    let cases: [Contradiction; 8] = [
        ("valid_to", |grant| grant.valid_to = UnixSeconds(2)),
        ("claimed_to", |grant| {
            grant.claimed_from = Some(UnixSeconds(2));
            grant.claimed_to = Some(UnixSeconds(1));
        }),
        ("valid_to", |grant| grant.valid_to = UnixSeconds(u64::MAX)),
        ("kinds", |grant| grant.kinds = Some(Vec::new())),
        ("kinds", |grant| {
            grant.kinds = Some(vec!["Finding".to_owned()]);
        }),
        ("kinds", |grant| {
            grant.kinds = Some(["risk", "finding"].map(str::to_owned).to_vec());
        }),
        ("subjects", |grant| {
            grant.subjects = Some(vec!["urn:aimslog:acme:org:x".to_owned()]);
        }),
        ("fields", |grant| {
            grant.fields = Some(["grade", "grade"].map(str::to_owned).to_vec());
        }),
    ];
    for (field, change) in cases {
        let refused = good(change).unwrap_err();
        assert!(refused.contains(field), "{field}: {refused}");
    }
}

#[test]
fn unknown_and_missing_keys_name_field_and_rule() {
    let mut more = Rules {
        predecessor: [1; 32],
        bundle: [2; 32],
        approvals: Vec::new(),
    }
    .encode();
    more[0] += 1;
    more.extend([0x16, 0x00]);
    let error = SystemRecord::decode(SystemKind::Rules, &more)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "ledger.rules: unknown map key 22 at byte {}",
            more.len() - 2
        )
    );
    let error = SystemRecord::decode(SystemKind::Rules, &[0xa0])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "ledger.rules: predecessor: missing (key 1)");
}

#[test]
fn relations_between_fields_of_genesis_hold() {
    let base = genesis(&[1, 2], 2);
    let mut none = base.clone();
    none.operators_required = 0;
    let mut many = base.clone();
    many.operators_required = 3;
    let mut shared = base.clone();
    shared.service_key = shared.receipt_key;
    let mut order = base.clone();
    order.algorithms = vec![-19, -8];
    let mut twice = base.clone();
    twice.nodes[1].id = twice.nodes[0].id;
    let mut named = base.clone();
    named.operators[1].name = named.operators[0].name.clone();
    for wrong in [none, many, shared, order, twice, named] {
        assert!(SystemRecord::decode(SystemKind::Genesis, &wrong.encode()).is_err());
    }
}

#[test]
fn kinds_have_content_types_of_their_own() {
    for kind in SystemKind::ALL {
        let content_type = kind.content_type();
        assert_eq!(SystemKind::of(&content_type), Some(kind));
        assert!(
            content_type
                .to_string()
                .contains(&format!("ledger.{kind}.v1+cbor"))
        );
    }
}

/// A fuzz function.
type Target = fn(&[u8]);

/// 30,000 seeded mutations of real inputs for each of the fuzz functions.
#[test]
fn mutated_inputs_never_panic_and_keep_one_form() {
    let world = World::standard();
    let receipt = world
        .receipt(9, 1)
        .assemble(&world.inclusion(LeafIndex(6), 9));
    let golden = include_bytes!("../../tests/golden/evidence-v1.json").to_vec();
    let mut seeds: Vec<(Target, Vec<u8>)> =
        vec![(fuzz::receipt, receipt), (fuzz::evidence, golden)];
    for (kind, payload) in samples() {
        let number = SystemKind::ALL
            .iter()
            .position(|known| *known == kind)
            .unwrap();
        let data = [vec![u8::try_from(number).unwrap()], payload].concat();
        seeds.push((fuzz::system, data));
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for (target, seed) in &seeds {
        target(seed);
        for _ in 0..30_000 / seeds.len() {
            let mut data = seed.clone();
            for _ in 0..=next(3) {
                let at = next(data.len());
                match next(3) {
                    0 => data[at] = u8::try_from(next(256)).unwrap(),
                    1 => drop(data.remove(at)),
                    _ => data.insert(at, u8::try_from(next(256)).unwrap()),
                }
            }
            target(&data);
        }
    }
}
