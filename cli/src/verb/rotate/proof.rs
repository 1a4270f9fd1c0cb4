//! What `aimslogd rotate` writes of a new key: its public half, and its proof of possession. Checked
//! here before anybody signs; every node checks it again.

use std::path::Path;
use std::str::FromStr as _;

use aimslog_proto::statement::key::{Possession, PublicKey, Signature};
use aimslog_proto::system::{LogKey, NodeId, ReceiptKey, subject};
use aimslog_proto::tlog::note::KeyMaterial;
use aimslog_proto::tlog::{Origin, VerifierKey};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::context::read;
use crate::exit::UserError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    node: u64,
    cosigner: String,
    possession: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptFile {
    receipt: String,
    possession: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFile {
    log: String,
    possession: String,
    current: String,
    current_possession: String,
}

/// A new cosigner key of a node, which has proven itself.
#[derive(Debug, Clone)]
pub(super) struct NodeProof {
    pub(super) id: NodeId,
    pub(super) cosigner: VerifierKey,
    pub(super) possession: Signature,
}

impl NodeProof {
    /// Reads the proof for this node.
    pub(super) fn read(path: &Path, origin: &Origin, node: u64) -> Result<Self> {
        let file: NodeFile = parsed(path)?;
        if file.node != node {
            return Err(wrong(
                path,
                format_args!("the key is for node {}", file.node),
            ));
        }
        let id =
            NodeId::new(node).ok_or_else(|| UserError::usage("NODE: a node id is above zero"))?;
        let cosigner = VerifierKey::from_str(&file.cosigner)
            .map_err(|error| wrong(path, format_args!("cosigner: {error}")))?;
        let name = format!("{origin}/node/{id}");
        if cosigner.name().as_str() != name {
            return Err(wrong(path, format_args!("the key is not named {name}")));
        }
        let KeyMaterial::Ed25519(key) = cosigner.material() else {
            return Err(wrong(path, "no Ed25519 key that cosigns"));
        };
        let key = PublicKey::from_bytes(key.as_bytes())
            .map_err(|error| wrong(path, format_args!("cosigner: {error}")))?;
        let possession = signature(path, &file.possession)?;
        prove(path, (&key, &possession), (origin, &format!("node/{id}")))?;
        Ok(Self {
            id,
            cosigner,
            possession,
        })
    }
}

/// A new receipt key, which has proven itself.
pub(super) fn receipt(path: &Path, origin: &Origin) -> Result<ReceiptKey> {
    let file: ReceiptFile = parsed(path)?;
    let key = public(path, ("receipt", &file.receipt))?;
    let possession = signature(path, &file.possession)?;
    prove(path, (&key, &possession), (origin, "keys"))?;
    Ok(ReceiptKey { key, possession })
}

/// The log key in use, and the new one; both have proven themselves.
#[derive(Debug, Clone)]
pub(super) struct LogProof {
    pub(super) current: LogKey,
    pub(super) new: LogKey,
}

impl LogProof {
    /// Reads the proof of a new log key.
    pub(super) fn read(path: &Path, origin: &Origin) -> Result<Self> {
        let file: LogFile = parsed(path)?;
        let key = |name, (text, proof): (&str, &str)| {
            let key = public(path, (name, text))?;
            let possession = signature(path, proof)?;
            prove(path, (&key, &possession), (origin, "keys/log"))?;
            Ok::<_, anyhow::Error>(LogKey { key, possession })
        };
        Ok(Self {
            current: key("current", (&file.current, &file.current_possession))?,
            new: key("log", (&file.log, &file.possession))?,
        })
    }
}

fn public(path: &Path, (name, text): (&str, &str)) -> Result<PublicKey> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let bytes = <[u8; 32]>::try_from(bytes.as_slice())
        .map_err(|_length| wrong(path, format_args!("{name}: not base64 of 32 bytes")))?;
    PublicKey::from_bytes(&bytes).map_err(|error| wrong(path, format_args!("{name}: {error}")))
}

fn parsed<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = String::from_utf8(read(path)?)?;
    toml::from_str(&text).map_err(|error| wrong(path, error))
}

fn signature(path: &Path, text: &str) -> Result<Signature> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let bytes = <[u8; 64]>::try_from(bytes.as_slice())
        .map_err(|_length| wrong(path, "possession: not base64 of 64 bytes"))?;
    Ok(Signature(bytes))
}

fn prove(
    path: &Path,
    (key, possession): (&PublicKey, &Signature),
    (origin, part): (&Origin, &str),
) -> Result<()> {
    let claim = Possession {
        service: origin.as_str(),
        subject: &subject(origin, part),
    };
    key.verify_possession(&claim, possession).map_err(|_wrong| {
        let words = "possession: not by this key, or not for what it is to be";
        wrong(path, words)
    })
}

fn wrong(path: &Path, words: impl std::fmt::Display) -> anyhow::Error {
    UserError::usage(format!("--possession {}: {words}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aimslog_proto::statement::key::SigningKey;
    use aimslog_proto::system::{prove_log_key, prove_node_key, prove_receipt_key};
    use aimslog_proto::tlog::KeyName;

    use super::*;

    fn origin() -> Origin {
        Origin::new("ledger.example.com/aims1").unwrap()
    }

    fn refusal<T: std::fmt::Debug>(read: Result<T>) -> String {
        read.unwrap_err().to_string()
    }

    #[test]
    fn a_nodes_key_is_taken_for_that_node_by_its_own_proof_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.toml");
        let vkey = |id: u64| {
            let name = KeyName::new(format!("{}/node/{id}", origin())).unwrap();
            let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
            VerifierKey::cosignature_v1(name, &key)
        };
        let write = |vkey: &VerifierKey, proven_for: u64, by: u8| {
            let id = NodeId::new(proven_for).unwrap();
            let signer = SigningKey::from_seed(&[by; 32]);
            let possession = prove_node_key(&origin(), id, &signer).unwrap();
            let possession = STANDARD.encode(possession.as_bytes());
            let text = format!("node = 3\ncosigner = \"{vkey}\"\npossession = \"{possession}\"\n");
            fs::write(&path, text).unwrap();
        };
        let read = |node| NodeProof::read(&path, &origin(), node);
        write(&vkey(3), 3, 7);
        assert_eq!(read(3).unwrap().cosigner, vkey(3));
        assert!(refusal(read(2)).contains("for node 3"));
        write(&vkey(3), 3, 8);
        assert!(refusal(read(3)).contains("not by this key"));
        write(&vkey(3), 2, 7);
        assert!(refusal(read(3)).contains("not for what it is to be"));
        write(&vkey(2), 3, 7);
        assert!(refusal(read(3)).contains("not named"));
        fs::write(&path, "node = 3\n").unwrap();
        assert!(refusal(read(3)).contains("--possession"));
    }

    #[test]
    fn a_receipt_key_proves_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.toml");
        let key = SigningKey::from_seed(&[7; 32]);
        let write = |by: u8| {
            let possession = prove_receipt_key(&origin(), &SigningKey::from_seed(&[by; 32]));
            let text = format!(
                "receipt = \"{}\"\npossession = \"{}\"\n",
                STANDARD.encode(key.public_key().as_bytes()),
                STANDARD.encode(possession.unwrap().as_bytes())
            );
            fs::write(&path, text).unwrap();
        };
        write(7);
        assert_eq!(receipt(&path, &origin()).unwrap().key, key.public_key());
        write(8);
        assert!(refusal(receipt(&path, &origin())).contains("not by this key"));
        fs::write(&path, "receipt = \"AA==\"\npossession = \"AA==\"\n").unwrap();
        assert!(refusal(receipt(&path, &origin())).contains("32 bytes"));
    }

    #[test]
    fn a_log_key_is_taken_with_the_one_in_use_by_their_own_proofs_for_that_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.toml");
        let public = |seed: u8| {
            let key = SigningKey::from_seed(&[seed; 32]).public_key();
            STANDARD.encode(key.as_bytes())
        };
        let proof = |by: u8, for_receipts: bool| {
            let signer = SigningKey::from_seed(&[by; 32]);
            let made = if for_receipts {
                prove_receipt_key(&origin(), &signer)
            } else {
                prove_log_key(&origin(), &signer)
            };
            STANDARD.encode(made.unwrap().as_bytes())
        };
        let read = |new: String, current: String| {
            let (log, now) = (public(8), public(7));
            let text = format!(
                "log = \"{log}\"\npossession = \"{new}\"\ncurrent = \"{now}\"\ncurrent_possession = \
                 \"{current}\"\n"
            );
            fs::write(&path, text).unwrap();
            LogProof::read(&path, &origin())
        };
        let good = read(proof(8, false), proof(7, false)).unwrap();
        assert_eq!(STANDARD.encode(good.new.key.as_bytes()), public(8));
        assert_eq!(STANDARD.encode(good.current.key.as_bytes()), public(7));
        for (new, current) in [
            (proof(8, true), proof(7, false)),
            (proof(7, false), proof(7, false)),
            (proof(8, false), proof(8, false)),
            (proof(8, false), proof(7, true)),
        ] {
            let said = refusal(read(new, current));
            assert!(said.contains("not by this key, or not for what"), "{said}");
        }
        fs::write(&path, "receipt = \"x\"\npossession = \"x\"\n").unwrap();
        assert!(refusal(LogProof::read(&path, &origin())).contains("--possession"));
    }
}
