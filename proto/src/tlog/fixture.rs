//! A small log with fixed keys, for tests alone: one log key, three cosigning nodes.
//!
//! The `golden.*` files beside the modules were made from the same seeds by a second implementation
//! of the formats (Python, with the Ed25519 of OpenSSL), not by this code.

use ed25519_dalek::SigningKey;

use super::checkpoint::{Checkpoint, Origin};
use super::note::{KeyName, Note, VerifierKey};
use super::oracle::{head, leaves};
use super::policy::Policy;
use super::{cosignature, hash::LeafHash};
use crate::time::UnixSeconds;

pub(super) const ORIGIN: &str = "ledger.example.com/aims1";

/// The time of the first node's cosignature; node `n` cosigns `n` seconds later.
pub(super) const TIME: u64 = 1_763_935_200;

pub(super) fn origin() -> Origin {
    Origin::new(ORIGIN).unwrap()
}

pub(super) fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub(super) fn log_vkey() -> VerifierKey {
    VerifierKey::ed25519(origin().key_name().clone(), &log_key().verifying_key())
}

pub(super) fn node_name(node: u8) -> KeyName {
    KeyName::new(format!("{ORIGIN}/node/{node}")).unwrap()
}

pub(super) fn node_key(node: u8) -> SigningKey {
    SigningKey::from_bytes(&[0x10 + node; 32])
}

pub(super) fn node_vkey(node: u8) -> VerifierKey {
    VerifierKey::cosignature_v1(node_name(node), &node_key(node).verifying_key())
}

/// Two of three nodes.
pub(super) fn policy() -> Policy {
    Policy::threshold(&log_vkey(), &[1, 2, 3].map(node_vkey), 2).unwrap()
}

pub(super) fn seven() -> Vec<LeafHash> {
    leaves(7)
}

pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint::new(origin(), head(&seven()))
}

/// The checkpoint of seven leaves, signed by the log and cosigned by these nodes.
pub(super) fn cosigned_by(nodes: &[u8]) -> Note {
    let mut note = checkpoint().sign(&log_key()).unwrap();
    for &node in nodes {
        let time = UnixSeconds(TIME + u64::from(node));
        let line = cosignature::sign(note.text(), time, &node_name(node), &node_key(node));
        note.add(line.unwrap()).unwrap();
    }
    note
}

/// Every text that differs from `bytes` in one place: a bit, another byte, one less, one more.
pub(super) fn mutations(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut mutants = Vec::new();
    for at in 0..bytes.len() {
        for replace in [
            bytes[at] ^ 1,
            bytes[at] ^ 0x80,
            bytes[at] ^ 0x20,
            b'\n',
            b' ',
            b'0',
            b'+',
            0,
            0xff,
        ] {
            let mut mutant = bytes.to_vec();
            mutant[at] = replace;
            mutants.push(mutant);
        }
        let mut shorter = bytes.to_vec();
        shorter.remove(at);
        mutants.push(shorter);
        mutants.push(bytes[..at].to_vec());
    }
    for at in 0..=bytes.len() {
        for insert in *b"\n 0=a" {
            let mut longer = bytes.to_vec();
            longer.insert(at, insert);
            mutants.push(longer);
        }
    }
    mutants.retain(|mutant| mutant != bytes);
    mutants
}
