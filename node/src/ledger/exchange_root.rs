//! A node's signed word about its own tree: "at this size, my root is this".
//!
//! It is no cosignature: the text begins with a line of its own, so neither can pass for the other.
//! Two such answers that contradict each other prove a fork to anybody who has the nodes' keys.

use std::fmt::Write as _;

use aimslog_proto::tlog::{RootHash, TreeSize};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use super::guard_record::Identity;

/// A root that a node claims, with its signature; not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootClaim {
    /// Whose tree, and in which cluster.
    pub identity: Identity,
    /// Number of leaves.
    pub size: TreeSize,
    /// The root claimed.
    pub root: RootHash,
    /// Ed25519 over [`root_text`].
    pub signature: [u8; 64],
}

/// A claim whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRoot(RootClaim);

/// The signature of a claim does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the root that {identity} claims at size {size} is not signed by its key")]
pub struct WrongRootSignature {
    /// Whom the claim names.
    pub identity: Identity,
    /// The size it is about.
    pub size: TreeSize,
}

impl RootClaim {
    /// The claim as a checked one, if one of these keys signed it.
    pub fn verify(self, keys: &[VerifyingKey]) -> Result<SignedRoot, WrongRootSignature> {
        let text = root_text(self.identity, self.size, &self.root);
        let signature = Signature::from_bytes(&self.signature);
        let by = |key: &VerifyingKey| key.verify_strict(text.as_bytes(), &signature).is_ok();
        if keys.iter().any(by) {
            Ok(SignedRoot(self))
        } else {
            Err(WrongRootSignature {
                identity: self.identity,
                size: self.size,
            })
        }
    }
}

impl SignedRoot {
    /// This node's own word.
    pub fn sign(key: &SigningKey, identity: Identity, size: TreeSize, root: RootHash) -> Self {
        let signature = key
            .sign(root_text(identity, size, &root).as_bytes())
            .to_bytes();
        Self(RootClaim {
            identity,
            size,
            root,
            signature,
        })
    }

    /// What was signed.
    pub fn claim(&self) -> &RootClaim {
        &self.0
    }
}

/// The bytes that are signed: five lines, each with a line feed: `aimslog-root/v1`, cluster id in
/// hexadecimal, node id, size, root in hexadecimal.
pub fn root_text(identity: Identity, size: TreeSize, root: &RootHash) -> String {
    let mut text = "aimslog-root/v1\n".to_owned();
    push_hex(&mut text, &identity.cluster);
    text.push_str(&format_line(identity.node));
    text.push_str(&format_line(size.0));
    push_hex(&mut text, root.as_bytes());
    text
}

/// The two answers as a text that proves the contradiction without this program: for each, the
/// signed lines and the signature in hexadecimal. This node's own is missing where it has no key to
/// sign it with.
pub fn fork_text(own: Option<&SignedRoot>, theirs: &SignedRoot) -> String {
    let mut text = "aimslog-fork/v1\n".to_owned();
    for answer in own.into_iter().chain([theirs]) {
        let claim = answer.claim();
        text.push('\n');
        text.push_str(&root_text(claim.identity, claim.size, &claim.root));
        push_hex(&mut text, &claim.signature);
    }
    text
}

fn format_line(number: u64) -> String {
    format!("{number}\n")
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use aimslog_proto::tlog::Hash;

    use super::*;

    fn identity(node: u64) -> Identity {
        Identity {
            cluster: [0xab; 32],
            node,
        }
    }

    fn root(byte: u8) -> RootHash {
        RootHash::from_hash(Hash::from_bytes([byte; 32]))
    }

    #[test]
    fn signed_text_is_golden() {
        let expected = format!(
            "aimslog-root/v1\n{}\n7\n1234\n{}\n",
            "ab".repeat(32),
            "05".repeat(32)
        );
        assert_eq!(root_text(identity(7), TreeSize(1234), &root(5)), expected);
    }

    #[test]
    fn only_the_signed_claim_verifies() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let signed = SignedRoot::sign(&key, identity(1), TreeSize(10), root(1));
        let claim = signed.claim().clone();
        assert_eq!(claim.clone().verify(&[key.verifying_key()]), Ok(signed));
        let other_key = SigningKey::from_bytes(&[4; 32]).verifying_key();
        let mut flipped = claim.signature;
        flipped[40] ^= 1;
        let changed = [
            (
                "other node",
                RootClaim {
                    identity: identity(2),
                    ..claim.clone()
                },
            ),
            (
                "other size",
                RootClaim {
                    size: TreeSize(11),
                    ..claim.clone()
                },
            ),
            (
                "other root",
                RootClaim {
                    root: root(2),
                    ..claim.clone()
                },
            ),
            (
                "other cluster",
                RootClaim {
                    identity: Identity {
                        cluster: [1; 32],
                        node: 1,
                    },
                    ..claim.clone()
                },
            ),
            (
                "other signature",
                RootClaim {
                    signature: flipped,
                    ..claim.clone()
                },
            ),
        ];
        for (what, changed) in changed {
            assert!(changed.verify(&[key.verifying_key()]).is_err(), "{what}");
        }
        assert!(claim.clone().verify(&[other_key]).is_err());
        assert!(claim.clone().verify(&[]).is_err());
        // Of a node whose key was exchanged either may have signed.
        assert!(claim.verify(&[other_key, key.verifying_key()]).is_ok());
    }

    #[test]
    fn fork_text_holds_both_signed_answers() {
        let (a, b) = (
            SigningKey::from_bytes(&[3; 32]),
            SigningKey::from_bytes(&[4; 32]),
        );
        let own = SignedRoot::sign(&a, identity(1), TreeSize(10), root(1));
        let theirs = SignedRoot::sign(&b, identity(2), TreeSize(10), root(2));
        let text = fork_text(Some(&own), &theirs);
        let parts: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(parts.len(), 3);
        assert!(parts[1].starts_with(&root_text(identity(1), TreeSize(10), &root(1))));
        assert!(parts[2].starts_with(&root_text(identity(2), TreeSize(10), &root(2))));
    }
}
