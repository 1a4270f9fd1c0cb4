use super::super::fixture::{cosigned_by, mutations, policy, seven};
use super::super::hash::TreeSize;
use super::super::inclusion::InclusionPlan;
use super::super::oracle::read;
use super::TlogProofError as E;
use super::*;

fn proof(index: u64, extra: Option<&[u8]>) -> TlogProof {
    let plan = InclusionPlan::new(LeafIndex(index), TreeSize(7)).unwrap();
    let inclusion = plan.build(&read(plan.nodes(), &seven())).unwrap();
    TlogProof::new(inclusion, cosigned_by(&[1, 3]), extra.map(<[u8]>::to_vec)).unwrap()
}

#[test]
fn has_its_golden_bytes() {
    let proof = proof(2, Some(b"v1"));
    let golden = include_str!("golden.tlog-proof");
    assert_eq!(proof.to_string(), golden);
    assert_eq!(TlogProof::parse(golden.as_bytes()), Ok(proof.clone()));
    assert_eq!(proof.unauthenticated_extra(), Some(b"v1".as_slice()));
    let verified = proof.verify(seven()[2], &policy()).unwrap();
    assert_eq!(
        (verified.leaf(), verified.index()),
        (seven()[2], LeafIndex(2))
    );
    assert_eq!(verified.checkpoint().head().size, TreeSize(7));
}

#[test]
fn proves_each_leaf_and_no_other() {
    for index in 0..7 {
        let bytes = proof(index, None).to_string();
        let read = TlogProof::parse(bytes.as_bytes()).unwrap();
        for (other, leaf) in (0..).zip(seven()) {
            assert_eq!(read.verify(leaf, &policy()).is_ok(), other == index);
        }
    }
}

#[test]
fn refuses_without_quorum() {
    let plan = InclusionPlan::new(LeafIndex(0), TreeSize(7)).unwrap();
    let inclusion = plan.build(&read(plan.nodes(), &seven())).unwrap();
    let alone = TlogProof::new(inclusion, cosigned_by(&[2]), None).unwrap();
    let refused = alone.verify(seven()[0], &policy());
    assert!(matches!(
        refused,
        Err(TlogProofError::Policy(PolicyError::NoQuorum { .. }))
    ));
}

#[test]
fn refuses_a_path_for_another_size() {
    let plan = InclusionPlan::new(LeafIndex(0), TreeSize(6)).unwrap();
    let inclusion = plan.build(&read(plan.nodes(), &seven())).unwrap();
    let refused = TlogProof::new(inclusion, cosigned_by(&[1, 2]), None);
    let other = matches!(
        refused,
        Err(TlogProofError::Inclusion(InclusionError::OtherSize { .. }))
    );
    assert!(other);
}

#[test]
fn refuses_malformed_proofs() {
    let good = proof(2, Some(b"v1")).to_string();
    let with = |from: &str, to: &str| TlogProof::parse(good.replacen(from, to, 1).as_bytes());
    assert_eq!(with("@v1", "@v2"), Err(E::Header));
    assert_eq!(TlogProof::parse(b""), Err(E::NoEmptyLine));
    assert_eq!(TlogProof::parse(b"\n\n"), Err(E::Header));
    assert_eq!(with("index 2", "index 02"), Err(E::Index));
    assert_eq!(with("index 2", "Index 2"), Err(E::Index));
    assert_eq!(with("index 2\n", ""), Err(E::Index));
    assert_eq!(with("index 2", "index 18446744073709551616"), Err(E::Index));
    assert!(matches!(with("index 2", "index 7"), Err(E::Inclusion(_))));
    assert!(matches!(
        with("index 2", "index 6"),
        Err(E::Inclusion(InclusionError::WrongLength { .. }))
    ));
    assert_eq!(with("extra djE=", "extra djE"), Err(E::Extra));
    assert!(
        with("extra djE=", "extra ").is_ok(),
        "extra data may be empty"
    );
    assert_eq!(with("extra djE=", "extra"), Err(E::Index));
    assert_eq!(with("extra djE=", "extra djE=\nextra djE="), Err(E::Index));
    assert!(matches!(with("\n\n", "\nAAAA\n\n"), Err(E::Hash(_))));
    assert!(matches!(
        with("\n\n", "\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"),
        Err(E::Inclusion(_))
    ));
    assert!(matches!(with("\n\n", "\n\n\n"), Err(E::Checkpoint(_))));
    assert!(matches!(with("\u{2014}", "-"), Err(E::Note(_))));
    assert!(matches!(with("\n7\n", "\n07\n"), Err(E::Checkpoint(_))));
    assert!(matches!(TlogProof::parse(b"\xff\n\n"), Err(E::NotUtf8(_))));
    assert!(matches!(
        TlogProof::parse(&vec![b'a'; PROOF_BYTES_MAX + 1]),
        Err(E::TooLong { .. })
    ));
}

#[test]
fn limits_extra_data() {
    let plan = InclusionPlan::new(LeafIndex(0), TreeSize(7)).unwrap();
    let inclusion = plan.build(&read(plan.nodes(), &seven())).unwrap();
    let with = |bytes: usize| {
        TlogProof::new(
            inclusion.clone(),
            cosigned_by(&[1, 2]),
            Some(vec![0; bytes]),
        )
    };
    let largest = with(PROOF_EXTRA_BYTES_MAX).unwrap();
    assert_eq!(
        TlogProof::parse(largest.to_string().as_bytes()),
        Ok(largest)
    );
    assert_eq!(with(PROOF_EXTRA_BYTES_MAX + 1), Err(TlogProofError::Extra));
}

#[test]
fn every_mutated_byte_is_refused_or_in_the_extra_data() {
    let good = proof(2, Some(b"v1"));
    for mutant in mutations(good.to_string().as_bytes()) {
        let Ok(parsed) = TlogProof::parse(&mutant) else {
            continue;
        };
        assert_ne!(parsed, good);
        assert_eq!(
            parsed.to_string().as_bytes(),
            mutant,
            "one proof has one spelling"
        );
        if parsed.verify(seven()[2], &policy()).is_ok() {
            assert_eq!(
                (&parsed.note, &parsed.inclusion),
                (&good.note, &good.inclusion)
            );
        }
    }
}
