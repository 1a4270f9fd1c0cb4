//! Goal: through a change of its key a node signs with what counts, and gives the old key up in time.

use std::sync::Mutex;

use aimslog_proto::tlog::Origin;
use ed25519_dalek::SigningKey;

use super::*;
use crate::ledger::guard_record::Identity;

/// A log that names and counts what the test says.
#[derive(Debug, Default)]
struct Log(Mutex<(Option<VerifierKey>, Vec<VerifierKey>)>);

impl KeyDirectory for Log {
    fn named(&self, _node: u64) -> Option<VerifierKey> {
        self.0.lock().unwrap().0.clone()
    }

    fn counted(&self, _size: TreeSize) -> Result<Vec<VerifierKey>, PolicyError> {
        Ok(self.0.lock().unwrap().1.clone())
    }
}

fn cosigner(seed: u8) -> NodeCosigner {
    let identity = Identity {
        cluster: [7; 32],
        node: 3,
    };
    let origin = Origin::new("ledger.example.com/aims1").unwrap();
    NodeCosigner::new(origin, identity, SigningKey::from_bytes(&[seed; 32])).unwrap()
}

fn vkey(seed: u8) -> VerifierKey {
    cosigner(seed).vkey().clone()
}

/// The seeds of the keys that have signed a head and a root, or why none has signed the root.
fn signers(own: &OwnCosigner) -> (Vec<u8>, Result<u8, RootNotSigned>) {
    let head = TreeHead {
        size: TreeSize(5),
        root: RootHash::EMPTY,
    };
    let signatures = own.cosign(&head, UnixSeconds(9)).unwrap();
    let seed_of = |signature: &NoteSignature| {
        let mut seeds = 1..=3;
        seeds.find(|seed| vkey(*seed).id() == signature.id).unwrap()
    };
    let by = own.sign_root(TreeSize(5), RootHash::EMPTY).map(|root| {
        let mut seeds = 1..=3;
        let signed = |seed: &u8| {
            let key = SigningKey::from_bytes(&[*seed; 32]).verifying_key();
            root.claim().clone().verify(&[key]).is_ok()
        };
        seeds.find(signed).unwrap()
    });
    (signatures.iter().map(seed_of).collect(), by)
}

#[test]
fn the_keys_that_count_sign_heads_and_the_named_one_roots() {
    let ring = Arc::new(CosignerRing::new(cosigner(1), Some(cosigner(2))));
    let log = Arc::new(Log::default());
    let own = OwnCosigner::new(3, Arc::clone(&ring), Arc::clone(&log) as _);
    for (what, named, counted, heads, root) in [
        (
            "before genesis",
            None,
            &[][..],
            &[][..],
            Err(RootNotSigned::NoKey),
        ),
        ("at first", Some(1), &[1], &[1], Ok(1)),
        ("the record is logged", Some(2), &[1], &[1], Ok(2)),
        ("the head that leads over", Some(2), &[1, 2], &[1, 2], Ok(2)),
        ("behind it", Some(2), &[2], &[2], Ok(2)),
        (
            "a key that is not here",
            Some(3),
            &[3],
            &[],
            Err(RootNotSigned::OtherKey {
                named: Box::new(vkey(3)),
            }),
        ),
    ] {
        let counted = counted.iter().map(|seed| vkey(*seed)).collect();
        *log.0.lock().unwrap() = (named.map(vkey), counted);
        assert_eq!(signers(&own), (heads.to_vec(), root), "{what}");
    }
    ring.promote();
    assert_eq!(ring.keys(), [vkey(2)]);
    ring.promote();
    assert_eq!(ring.keys(), [vkey(2)], "the last key stays");
    ring.put_next(cosigner(1));
    ring.put_next(cosigner(3));
    assert_eq!(ring.keys(), [vkey(2), vkey(3)], "one follows, not two");
}

#[test]
fn the_old_key_goes_when_nothing_asks_for_it_any_more() {
    let keys = |seeds: &[u8]| seeds.iter().map(|seed| vkey(*seed)).collect::<Vec<_>>();
    for (held, named, counted, expected) in [
        (&[1][..], None, &[][..], Due::Nothing),
        (&[1], Some(1), &[1], Due::Nothing),
        // A next key that the operators have not agreed on yet.
        (&[1, 2], Some(1), &[1], Due::Nothing),
        (&[1], Some(2), &[1], Due::Load),
        (&[1, 3], Some(2), &[1], Due::Load),
        (&[1, 2], Some(2), &[1], Due::Nothing),
        (&[1, 2], Some(2), &[1, 2], Due::Nothing),
        (&[1, 2], Some(2), &[2], Due::Promote),
        (&[2], Some(2), &[2], Due::Nothing),
        // Set back to an old copy of its keys.
        (&[1], Some(3), &[3], Due::Load),
    ] {
        let found = due(&keys(held), named.map(vkey).as_ref(), &keys(counted));
        assert_eq!(found, expected, "{held:?} {named:?} {counted:?}");
    }
}
