//! COSE receipts (RFC 9942) per tree head.
//!
//! One signature is made per published head, over the head's root; whoever has it assembles a
//! receipt for any leaf under that head from an inclusion proof, without a key:
//!
//! ```text
//! 18([ << {1: -8, 4: kid, 15: {1: "https://<origin>", 2: "urn:aimslog:<origin>:tree-head", 6: iat},
//!         16: "application/scitt-receipt+cose", 395: 1} >>,
//!      {396: {-1: [ << [size, index, [path ...]] >> ]}},
//!      nil,
//!      signature ])
//! ```
//!
//! The signature is over `["Signature1", protected, h'', root]` (RFC 9052 4.4, detached payload).
//! **A receipt alone is a form, not trust**: it proves that a holder of the receipt key said so.
//! Only the cosigned checkpoint of the same size and root, checked against a policy, makes it count.

use thiserror::Error;

use crate::limits::{RECEIPT_BYTES_MAX, RECEIPT_HEADER_BYTES_MAX};
use crate::statement::cbor::{self, CborError, Encoder, KeyOrder, MapEncoder};
use crate::statement::key::{KeyError, PublicKey, Signature, Signer, SignerError, Thumbprint};
use crate::time::UnixSeconds;
use crate::tlog::inclusion::InclusionError;
use crate::tlog::{
    Hash, InclusionProof, LeafHash, LeafIndex, Origin, RootHash, TreeHead, TreeSize,
};

/// Type of the whole COSE object (RFC 9596).
const TYPE: &str = "application/scitt-receipt+cose";
/// COSE `EdDSA`, the one algorithm of receipts.
const EDDSA: i64 = -8;
/// `RFC9162_SHA256` in the registry of verifiable data structures.
const RFC9162_SHA256: i64 = 1;

mod label {
    pub(super) const ALG: i64 = 1;
    pub(super) const KID: i64 = 4;
    pub(super) const CLAIMS: i64 = 15;
    pub(super) const TYP: i64 = 16;
    pub(super) const VDS: i64 = 395;
    pub(super) const VDP: i64 = 396;
    pub(super) const INCLUSION: i64 = -1;
    pub(super) const ISS: i64 = 1;
    pub(super) const SUB: i64 = 2;
    pub(super) const IAT: i64 = 6;
}

/// Why bytes are not a receipt, or not a receipt for what they were checked against.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not strict CBOR, or not of the shape of a receipt.
    #[error("malformed receipt")]
    Cbor(#[from] CborError),
    /// A header parameter or claim with another value than ours.
    #[error("receipt: {field} is not {expected}")]
    Header {
        /// The parameter.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The payload is attached, although it might be right.
    #[error("receipt: the payload is not nil")]
    AttachedPayload,
    /// More bytes than a receipt can have.
    #[error("receipt of {bytes} bytes")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Another number of inclusion proofs than one.
    #[error("receipt with {found} inclusion proofs")]
    ProofCount {
        /// How many.
        found: usize,
    },
    /// The inclusion proof is malformed or does not lead to a root.
    #[error("receipt: the inclusion proof is not one for its index and size")]
    Proof(#[source] InclusionError),
    /// The receipt is of another log.
    #[error("receipt of log {found}, expected {expected}")]
    WrongLog {
        /// The log asked for.
        expected: Origin,
        /// The log in the receipt.
        found: String,
    },
    /// The key identifier is not that of the key.
    #[error("receipt by key {found}, expected {expected}")]
    WrongKey {
        /// Thumbprint of the key.
        expected: Thumbprint,
        /// Key identifier in the receipt.
        found: Thumbprint,
    },
    /// The signature does not verify over the root.
    #[error("receipt: the signature does not verify over the root")]
    WrongSignature(#[source] KeyError),
}

/// The part of a receipt that is the same for every leaf under one head: protected header and
/// signature. What it says is not verified until [`HeadReceipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadReceipt {
    protected: Vec<u8>,
    signature: Signature,
    kid: Thumbprint,
    issuer: String,
    issued_at: UnixSeconds,
}

impl HeadReceipt {
    /// Signs the root of a head; `issued_at` is the time of the head.
    pub fn sign(
        key: &dyn Signer,
        origin: &Origin,
        root: &RootHash,
        issued_at: UnixSeconds,
    ) -> Result<Self, SignerError> {
        let kid = key.public_key().thumbprint();
        let protected = protected(origin, &kid, issued_at);
        let signature = key.sign(&to_be_signed(&protected, root))?;
        Ok(Self {
            protected,
            signature,
            kid,
            issuer: issuer(origin),
            issued_at,
        })
    }

    /// The head receipt with this signature: the protected header is a function of the rest.
    pub fn from_signature(
        origin: &Origin,
        kid: Thumbprint,
        issued_at: UnixSeconds,
        signature: Signature,
    ) -> Self {
        let protected = protected(origin, &kid, issued_at);
        Self {
            protected,
            signature,
            kid,
            issuer: issuer(origin),
            issued_at,
        }
    }

    /// Reads a protected header strictly: every entry of the form above, and no other.
    pub fn from_parts(protected: &[u8], signature: Signature) -> Result<Self, ReceiptError> {
        if protected.len() > RECEIPT_HEADER_BYTES_MAX {
            return Err(ReceiptError::TooLarge {
                bytes: protected.len(),
            });
        }
        let item = cbor::parse(protected)?;
        let mut header = item.fields("protected")?;
        if header.required(label::ALG, "alg")?.int("alg")? != EDDSA {
            return Err(ReceiptError::Header {
                field: "alg",
                expected: "-8 (EdDSA)",
            });
        }
        let kid = header
            .required(label::KID, "kid")?
            .byte_array::<32>("kid")?;
        let mut claims = header.required(label::CLAIMS, "claims")?.fields("claims")?;
        let issuer = claims.required(label::ISS, "iss")?.text("iss")?.to_owned();
        let subject = claims.required(label::SUB, "sub")?.text("sub")?;
        let issued_at = claims.required(label::IAT, "iat")?.uint("iat")?;
        claims.finish()?;
        let origin = issuer.strip_prefix("https://").unwrap_or_default();
        if origin.is_empty() || subject != format!("urn:aimslog:{origin}:tree-head") {
            let expected = "urn:aimslog:<origin>:tree-head with iss https://<origin>";
            return Err(ReceiptError::Header {
                field: "sub",
                expected,
            });
        }
        if header.required(label::TYP, "typ")?.text("typ")? != TYPE {
            return Err(ReceiptError::Header {
                field: "typ",
                expected: TYPE,
            });
        }
        if header.required(label::VDS, "vds")?.int("vds")? != RFC9162_SHA256 {
            return Err(ReceiptError::Header {
                field: "vds",
                expected: "1 (RFC9162_SHA256)",
            });
        }
        header.finish()?;
        Ok(Self {
            protected: protected.to_vec(),
            signature,
            kid: Thumbprint::from_bytes(kid),
            issuer,
            issued_at: UnixSeconds(issued_at),
        })
    }

    /// The protected header, as it stands under the signature.
    pub fn protected(&self) -> &[u8] {
        &self.protected
    }

    /// The signature over the root.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The key that is said to have signed.
    pub const fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// The issuer as it stands in the header, `https://<origin>`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The claimed time of the head.
    pub const fn issued_at(&self) -> UnixSeconds {
        self.issued_at
    }

    /// Succeeds if `key` signed this root for this log.
    pub fn verify(
        &self,
        key: &PublicKey,
        origin: &Origin,
        root: &RootHash,
    ) -> Result<(), ReceiptError> {
        if self.issuer != issuer(origin) {
            let expected = origin.clone();
            return Err(ReceiptError::WrongLog {
                expected,
                found: self.issuer.clone(),
            });
        }
        let expected = key.thumbprint();
        if self.kid != expected {
            return Err(ReceiptError::WrongKey {
                expected,
                found: self.kid,
            });
        }
        let signed = to_be_signed(&self.protected, root);
        key.verify(&signed, &self.signature)
            .map_err(ReceiptError::WrongSignature)
    }

    /// The receipt of the leaf that `proof` is for; needs no key.
    pub fn assemble(&self, proof: &InclusionProof) -> Vec<u8> {
        let mut path = Encoder::new();
        path.array(3).uint(proof.size().0).uint(proof.index().0);
        path.array(proof.hashes().len());
        for hash in proof.hashes() {
            path.bytes(hash.as_bytes());
        }
        let path = path.finish();
        let mut inclusion = MapEncoder::new();
        inclusion.entry(label::INCLUSION, |encoder| {
            encoder.array(1).bytes(&path);
        });
        let mut unprotected = MapEncoder::new();
        unprotected.entry(label::VDP, |encoder| {
            encoder.map(inclusion);
        });
        let mut receipt = Encoder::new();
        receipt
            .tag(cbor::TAG_COSE_SIGN1)
            .array(4)
            .bytes(&self.protected)
            .map(unprotected);
        receipt.null().bytes(self.signature.as_bytes()).finish()
    }
}

/// A receipt, parsed strictly but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    head: HeadReceipt,
    proof: InclusionProof,
}

impl Receipt {
    /// Reads a receipt: strict CBOR, tag 18, nil payload, exactly our header, one inclusion proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLarge { bytes: bytes.len() });
        }
        let item = cbor::parse_cose_sign1(bytes, KeyOrder::Sorted)?;
        let [protected, unprotected, payload, signature] = item.tuple::<4>("receipt")?;
        if !payload.is_null() {
            return Err(ReceiptError::AttachedPayload);
        }
        let signature = Signature(signature.byte_array::<64>("signature")?);
        let head = HeadReceipt::from_parts(protected.byte_string("protected")?, signature)?;
        let mut unprotected = unprotected.fields("unprotected")?;
        let mut vdp = unprotected.required(label::VDP, "vdp")?.fields("vdp")?;
        let proofs = vdp
            .required(label::INCLUSION, "inclusion")?
            .array("inclusion")?;
        vdp.finish()?;
        unprotected.finish()?;
        let [proof] = proofs else {
            return Err(ReceiptError::ProofCount {
                found: proofs.len(),
            });
        };
        let proof = parse_proof(proof.byte_string("inclusion")?)?;
        Ok(Self { head, proof })
    }

    /// The part that is the same for every leaf under the head.
    pub const fn head(&self) -> &HeadReceipt {
        &self.head
    }

    /// The inclusion proof in it.
    pub const fn proof(&self) -> &InclusionProof {
        &self.proof
    }

    /// The root to which the proof leads from this leaf.
    pub fn root(&self, leaf: &LeafHash) -> RootHash {
        self.proof.root_of(*leaf)
    }

    /// The head under which the receipt puts this leaf, if `key` signed its root.
    ///
    /// RFC 9942 5.2.1: first the proof is folded to a root, then the signature is checked over it.
    pub fn verify(
        &self,
        leaf: &LeafHash,
        key: &PublicKey,
        origin: &Origin,
    ) -> Result<TreeHead, ReceiptError> {
        let root = self.root(leaf);
        self.head.verify(key, origin, &root)?;
        Ok(TreeHead {
            size: self.proof.size(),
            root,
        })
    }
}

fn parse_proof(bytes: &[u8]) -> Result<InclusionProof, ReceiptError> {
    let item = cbor::parse(bytes)?;
    let [size, index, path] = item.tuple::<3>("inclusion")?;
    let size = TreeSize(size.uint("size")?);
    let index = LeafIndex(index.uint("index")?);
    let hashes = path.array("path")?.iter();
    let hashes = hashes.map(|hash| Ok(Hash::from_bytes(hash.byte_array::<32>("path")?)));
    let hashes = hashes.collect::<Result<Vec<_>, CborError>>()?;
    InclusionProof::new(index, size, hashes).map_err(ReceiptError::Proof)
}

fn issuer(origin: &Origin) -> String {
    format!("https://{origin}")
}

fn protected(origin: &Origin, kid: &Thumbprint, issued_at: UnixSeconds) -> Vec<u8> {
    let mut claims = MapEncoder::new();
    claims.entry(label::ISS, |encoder| {
        encoder.text(&issuer(origin));
    });
    claims.entry(label::SUB, |encoder| {
        encoder.text(&format!("urn:aimslog:{origin}:tree-head"));
    });
    claims.entry(label::IAT, |encoder| {
        encoder.uint(issued_at.0);
    });
    let mut header = MapEncoder::new();
    header.entry(label::ALG, |encoder| {
        encoder.int(EDDSA);
    });
    header.entry(label::KID, |encoder| {
        encoder.bytes(kid.as_bytes());
    });
    header.entry(label::CLAIMS, |encoder| {
        encoder.map(claims);
    });
    header.entry(label::TYP, |encoder| {
        encoder.text(TYPE);
    });
    header.entry(label::VDS, |encoder| {
        encoder.int(RFC9162_SHA256);
    });
    Encoder::new().map(header).finish()
}

/// The `Sig_structure` of RFC 9052 4.4 with the root as detached payload.
fn to_be_signed(protected: &[u8], root: &RootHash) -> Vec<u8> {
    let mut structure = Encoder::new();
    structure
        .array(4)
        .text("Signature1")
        .bytes(protected)
        .bytes(&[])
        .bytes(root.as_bytes());
    structure.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::evidence::testing::{START, World, key, origin, seed};

    fn receipt() -> (World, Vec<u8>) {
        let world = World::standard();
        let bytes = world
            .receipt(9, START)
            .assemble(&world.inclusion(LeafIndex(6), 9));
        (world, bytes)
    }

    #[test]
    fn receipt_reads_back_and_verifies() {
        let (world, bytes) = receipt();
        let parsed = Receipt::parse(&bytes).unwrap();
        assert_eq!(parsed.head().assemble(parsed.proof()), bytes);
        let leaf = LeafHash::of(&world.entries[6]);
        let key = key(seed::RECEIPT).public_key();
        assert_eq!(parsed.verify(&leaf, &key, &origin()), Ok(world.head(9)));
        let other = LeafHash::of(&world.entries[5]);
        assert!(matches!(
            parsed.verify(&other, &key, &origin()),
            Err(ReceiptError::WrongSignature(_))
        ));
        let head = parsed.head();
        let rebuilt =
            HeadReceipt::from_signature(&origin(), head.kid(), head.issued_at(), *head.signature());
        assert_eq!(rebuilt, *head);
    }

    /// `coset` is the second opinion on the COSE structure and on what is signed.
    #[test]
    fn coset_reads_and_verifies_the_same_receipt() {
        use coset::TaggedCborSerializable as _;
        let (world, bytes) = receipt();
        let theirs = coset::CoseSign1::from_tagged_slice(&bytes).unwrap();
        assert!(theirs.payload.is_none());
        let root = *world.head(9).root.as_bytes();
        let key = key(seed::RECEIPT).public_key();
        let verified = theirs.verify_detached_signature(&root, &[], |signature, message| {
            key.verify(message, &Signature(signature.try_into().unwrap()))
        });
        assert_eq!(verified, Ok(()));
    }

    #[test]
    fn no_changed_bit_verifies() {
        let (world, bytes) = receipt();
        let leaf = LeafHash::of(&world.entries[6]);
        let key = key(seed::RECEIPT).public_key();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let verified = Receipt::parse(&changed)
                    .and_then(|receipt| receipt.verify(&leaf, &key, &origin()));
                assert_ne!(verified, Ok(world.head(9)), "byte {at} bit {bit}");
            }
            assert!(Receipt::parse(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn attached_root_and_second_proof_are_refused() {
        let (world, bytes) = receipt();
        let signature_at = bytes.len() - 66;
        assert_eq!(bytes[signature_at - 1], 0xf6, "nil before the signature");
        let mut attached = bytes[..signature_at - 1].to_vec();
        attached.extend([0x58, 0x20]);
        attached.extend(world.head(9).root.as_bytes());
        attached.extend(&bytes[signature_at..]);
        assert_eq!(
            Receipt::parse(&attached),
            Err(ReceiptError::AttachedPayload)
        );
        assert!(Receipt::parse(&bytes[1..]).is_err(), "without tag");
        assert!(
            Receipt::parse(&[bytes.as_slice(), &[0]].concat()).is_err(),
            "trailing byte"
        );
        let huge = vec![0xd2; RECEIPT_BYTES_MAX + 1];
        assert!(matches!(
            Receipt::parse(&huge),
            Err(ReceiptError::TooLarge { .. })
        ));
    }
}
