//! Real keys and real policies: what counts and what does not.

use aimslog_proto::tlog::KeyId;

use super::*;

fn origin() -> Origin {
    Origin::new("ledger.example.com/aims1").unwrap()
}

fn key(node: u64) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(node).unwrap(); 32])
}

fn cosigner(node: u64) -> NodeCosigner {
    let identity = Identity {
        cluster: [7; 32],
        node,
    };
    NodeCosigner::new(origin(), identity, key(node)).unwrap()
}

fn policy(nodes: &[u64], quorum: usize) -> Policy {
    let log = VerifierKey::ed25519(origin().key_name().clone(), &key(99).verifying_key());
    let witness = |node: &u64| {
        let name = cosigner_name(&origin(), *node).unwrap();
        let vkey = VerifierKey::cosignature_v1(name, &key(*node).verifying_key());
        format!("witness n{node} {vkey}\n")
    };
    let witnesses: String = nodes.iter().map(witness).collect();
    let names: Vec<String> = nodes.iter().map(|node| format!(" n{node}")).collect();
    let names = names.concat();
    let text = format!("log {log}\n{witnesses}group nodes {quorum}{names}\nquorum nodes\n");
    Policy::parse(text.as_bytes()).unwrap()
}

fn head(size: u64) -> TreeHead {
    TreeHead {
        size: TreeSize(size),
        root: RootHash::EMPTY,
    }
}

fn cosigned(nodes: &[u64], head: &TreeHead) -> Cosignatures {
    let sign = |node: &u64| {
        cosigner(*node)
            .cosign(head, UnixSeconds(1_700_000_000))
            .unwrap()
            .remove(0)
    };
    nodes
        .iter()
        .map(sign)
        .map(|made| ((made.name.clone(), made.id), made))
        .collect()
}

#[test]
fn two_of_three_and_one_of_one() {
    let rules = |nodes: &[u64], quorum| PolicyRules::new(origin(), vec![policy(nodes, quorum)]);
    let rows: [(&[u64], usize, &[u64], bool); 6] = [
        (&[1, 2, 3], 2, &[], false),
        (&[1, 2, 3], 2, &[1], false),
        (&[1, 2, 3], 2, &[1, 3], true),
        (&[1, 2, 3], 2, &[1, 2, 3], true),
        (&[1], 1, &[1], true),
        (&[1], 1, &[2], false),
    ];
    for (nodes, quorum, signers, expected) in rows {
        let satisfied = rules(nodes, quorum).satisfied(&head(5), &cosigned(signers, &head(5)));
        assert_eq!(satisfied, expected, "{signers:?} of {quorum} of {nodes:?}");
    }
}

#[test]
fn changed_policy_asks_for_both_quorums() {
    let rules = PolicyRules::new(origin(), vec![policy(&[1, 2, 3], 2), policy(&[2, 3, 4], 2)]);
    for (signers, expected) in [
        (&[1, 2][..], false),
        (&[3, 4][..], false),
        (&[2, 3][..], true),
        (&[1, 2, 4][..], true),
    ] {
        let satisfied = rules.satisfied(&head(5), &cosigned(signers, &head(5)));
        assert_eq!(satisfied, expected, "{signers:?}");
    }
    let none = PolicyRules::new(origin(), vec![]);
    assert!(!none.satisfied(&head(5), &cosigned(&[1, 2, 3], &head(5))));
}

#[test]
fn cosignature_must_be_of_the_sender_over_the_head() {
    let rules = PolicyRules::new(origin(), vec![policy(&[1, 2, 3], 2)]);
    let sign = |node: u64, size| {
        let mut made = cosigner(node).cosign(&head(size), UnixSeconds(9)).unwrap();
        made.remove(0)
    };
    assert_eq!(rules.check(2, &head(5), &sign(2, 5)), Ok(()));
    let name = |node| cosigner_name(&origin(), node).unwrap();
    let good = sign(2, 5);
    let other_id = NoteSignature::new(
        name(2),
        KeyId::from_bytes([0; 4]),
        good.signature().to_vec(),
    )
    .unwrap();
    let mut flipped = good.signature().to_vec();
    flipped[20] ^= 1;
    let flipped = NoteSignature::new(name(2), good.id, flipped).unwrap();
    let rows = [
        (
            "foreign",
            4,
            sign(4, 5),
            CosignatureRefusal::UnknownCosigner { name: name(4) },
        ),
        (
            "other key id",
            2,
            other_id,
            CosignatureRefusal::UnknownCosigner { name: name(2) },
        ),
        (
            "another node's",
            3,
            good,
            CosignatureRefusal::OtherNode {
                from: 3,
                name: name(2),
            },
        ),
        (
            "other head",
            2,
            sign(2, 6),
            CosignatureRefusal::WrongSignature { name: name(2) },
        ),
        (
            "flipped",
            2,
            flipped,
            CosignatureRefusal::WrongSignature { name: name(2) },
        ),
    ];
    for (what, from, signature, expected) in rows {
        assert_eq!(
            rules.check(from, &head(5), &signature),
            Err(expected),
            "{what}"
        );
    }
}

#[test]
fn root_answer_is_signed_by_the_node_and_is_no_cosignature() {
    let signed = cosigner(2).sign_root(TreeSize(5), RootHash::EMPTY).unwrap();
    let claim = signed.claim().clone();
    assert!(claim.clone().verify(&[key(2).verifying_key()]).is_ok());
    assert!(claim.clone().verify(&[key(3).verifying_key()]).is_err());
    // Put into a cosignature line, the same signature means nothing.
    let name = cosigner_name(&origin(), 2).unwrap();
    let id = VerifierKey::cosignature_v1(name.clone(), &key(2).verifying_key()).id();
    let blob = [&[0; 8][..], &claim.signature].concat();
    let posing = NoteSignature::new(name.clone(), id, blob).unwrap();
    let rules = PolicyRules::new(origin(), vec![policy(&[1, 2, 3], 2)]);
    let refused = rules.check(2, &head(5), &posing);
    assert_eq!(refused, Err(CosignatureRefusal::WrongSignature { name }));
}
