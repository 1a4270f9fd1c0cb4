//! Goal: a verifier comes to the same signer through everything that an organisation and its
//! administrators did before.

use super::super::testing::{admit, org, principal};
use super::*;
use crate::system::{
    NewKey, Organization, OrganizationChange, Principal, PrincipalChange, Role, RoleChange,
    RoleRecord, prove_principal_key,
};

#[test]
fn the_chain_leads_through_rotations_roles_and_suspensions() {
    let mut world = World::new(&[seed::OPERATOR_A, seed::OPERATOR_B], 2);
    let acme = org("acme");
    let standing = |change| Organization {
        organization: acme.clone(),
        change,
    };
    let operators = (seed::OPERATOR_A, seed::OPERATOR_B);
    let role = |id: &str, name: &str, change: fn(Role) -> RoleChange| RoleRecord {
        organization: acme.clone(),
        principal: principal(id),
        change: change(Role::new(name).unwrap()),
    };
    // The reviewer becomes an administrator and lets somebody in, who gets another key and role.
    let administrator = role("p-reviewer", "administrator", RoleChange::Grant);
    world.system(&administrator, seed::ADMIN);
    world.system(&admit("p-two", 50, None), seed::REVIEWER);
    let approvals = Vec::new();
    let suspend = standing(OrganizationChange::Suspend { approvals });
    world.agreed(suspend, operators);
    let approvals = Vec::new();
    let resume = standing(OrganizationChange::Resume { approvals });
    world.agreed(resume, operators);
    let possession = prove_principal_key(&origin(), &acme, &principal("p-two"), &key(51)).unwrap();
    let rotate = Principal {
        organization: acme.clone(),
        principal: principal("p-two"),
        change: PrincipalChange::Rotate(NewKey {
            key: key(51).public_key(),
            possession,
        }),
    };
    world.system(&rotate, seed::ADMIN);
    world.system(&role("p-two", "auditor", RoleChange::Grant), seed::REVIEWER);
    let finding = world.finding(0, 51);
    let kids = [51, seed::RECEIPT].map(|seed| key(seed).public_key().thumbprint());
    let chain: Vec<u64> = world
        .registry
        .chain_of(kids)
        .into_iter()
        .map(|i| i.0)
        .collect();
    assert_eq!(chain, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]);
    let records = || vec![world.record(finding.0, Shown::All)];
    let report = check(&world.file_with(records(), &chain), &trust());
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
    assert_eq!(report.records[0].signer.roles, ["auditor", "reviewer"]);
    // Without the record that made its administrator one, nobody let the signer in.
    let without: Vec<u64> = chain.iter().copied().filter(|index| *index != 5).collect();
    let report = check(&world.file_with(records(), &without), &trust());
    assert_eq!(report.verdict, Verdict::NotVerified, "{report}");
    assert_eq!(codes(&report), [Code::ChainRefused], "{report}");
    // With the suspension alone, the record would stand behind it.
    let without: Vec<u64> = chain.iter().copied().filter(|index| *index != 8).collect();
    let report = check(&world.file_with(records(), &without), &trust());
    assert_eq!(report.verdict, Verdict::NotVerified, "{report}");
}
