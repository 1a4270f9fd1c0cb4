//! Somebody who holds all keys of a cluster: signs heads, roots and entries of the Raft log that no
//! honest node would.
//!
//! Written from `docs/format.md` and the protocol files alone and with none of the node's code: an
//! attacker has a program of their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::SigningKey as StatementKey;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{
    Checkpoint, KeyName, Note, NoteSignature, Origin, TreeHead, TreeSize, cosignature,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};

use crate::cluster::{Cluster, ORIGIN};

/// The keys of a cluster, taken from its folders.
#[derive(Debug, Clone)]
pub struct Forger {
    /// Entry id of genesis.
    pub cluster_id: [u8; 32],
    /// Signs checkpoints.
    pub log: SigningKey,
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Cosigner keys by node id.
    pub cosigners: BTreeMap<u64, SigningKey>,
}

impl Forger {
    /// Takes the keys of this cluster.
    pub fn of(cluster: &Cluster) -> Self {
        let first = &cluster.nodes[0].folder;
        let genesis = fs::read(first.join("genesis.cose")).unwrap();
        let cosigner = |folder: &Path| read_seed(&folder.join("keys/cosigner.seed"));
        Self {
            cluster_id: *EntryId::of(&genesis).as_bytes(),
            log: read_seed(&first.join("keys/log.seed")),
            receipt: read_seed(&first.join("keys/receipt.seed")),
            cosigners: cluster
                .nodes
                .iter()
                .map(|node| (node.id, cosigner(&node.folder)))
                .collect(),
        }
    }

    /// The checkpoint of a head under the log's signature alone.
    pub fn checkpoint(&self, head: TreeHead) -> Note {
        let origin = Origin::new(ORIGIN).unwrap();
        Checkpoint::new(origin, head).sign(&self.log).unwrap()
    }

    /// The checkpoint of a head, signed by the log and cosigned by these nodes.
    pub fn note(&self, head: TreeHead, cosigners: &[u64]) -> Note {
        let mut note = self.checkpoint(head);
        for node in cosigners {
            let line = cosign(note.text(), *node, &self.cosigners[node]);
            note.add(line).unwrap();
        }
        note
    }

    /// A node's signed word about its root.
    pub fn sign_root(&self, node: u64, size: u64, root: &[u8]) -> Vec<u8> {
        let text = root_text(&self.cluster_id, node, size, root);
        self.cosigners[&node]
            .sign(text.as_bytes())
            .to_bytes()
            .to_vec()
    }

    /// Signs the receipt of a published head, whose time stands behind its note, for another root.
    pub fn seal_again(&self, record: &mut [u8], note: &[u8], heads: [TreeHead; 2]) {
        let at = record.windows(note.len()).position(|bytes| bytes == note);
        let behind = at.unwrap() + note.len();
        let time = record[behind..].first_chunk::<8>().unwrap();
        let time = UnixSeconds(u64::from_be_bytes(*time));
        let key = StatementKey::from_seed(&self.receipt.to_bytes());
        let origin = Origin::new(ORIGIN).unwrap();
        let [old, new] = heads.map(|head| {
            let receipt = HeadReceipt::sign(&key, &origin, &head.root, time).unwrap();
            receipt.signature().as_bytes().to_vec()
        });
        assert!(
            replace(record, &old, &new),
            "the receipt is not where it should be"
        );
    }

    /// How the node is named in certificates.
    pub fn tls_name(&self, node: u64) -> String {
        format!(
            "node-{node}.{}.aimslog.internal",
            hex(&self.cluster_id[..16])
        )
    }
}

/// A cosignature now, with any key under the name of a node.
pub fn cosign(text: &str, node: u64, key: &SigningKey) -> NoteSignature {
    let time = UnixSeconds(aimslog_client::clock::unix_seconds());
    cosignature::sign(text, time, &node_name(node), key).unwrap()
}

/// The name under which a node cosigns.
pub fn node_name(node: u64) -> KeyName {
    KeyName::new(format!("{ORIGIN}/node/{node}")).unwrap()
}

/// The five lines that a node signs when it is asked for its root.
pub fn root_text(cluster_id: &[u8], node: u64, size: u64, root: &[u8]) -> String {
    let (cluster, root) = (hex(cluster_id), hex(root));
    format!("aimslog-root/v1\n{cluster}\n{node}\n{size}\n{root}\n")
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn read_seed(path: &Path) -> SigningKey {
    let text = fs::read_to_string(path).unwrap();
    let encoded = text.trim_end().rsplit(' ').next().unwrap();
    let seed: [u8; 32] = STANDARD.decode(encoded).unwrap().try_into().unwrap();
    SigningKey::from_bytes(&seed)
}

/// Puts other bytes of the same length in the place of some, in a record of the Raft log, and seals
/// the record again. Returns whether it held them.
pub fn replace(record: &mut [u8], old: &[u8], new: &[u8]) -> bool {
    assert_eq!(old.len(), new.len(), "lengths stand before what they count");
    let Some(at) = record.windows(old.len()).position(|bytes| bytes == old) else {
        return false;
    };
    record[at..at + old.len()].copy_from_slice(new);
    let (sealed, seal) = record.split_last_chunk_mut::<4>().unwrap();
    *seal = crc32c::crc32c(sealed).to_be_bytes();
    true
}

/// The signed checkpoint of this log in a record of the Raft log, if it publishes one: the bytes of
/// the note.
pub fn note_in(record: &[u8]) -> Option<(Vec<u8>, TreeHead)> {
    let start = format!("{ORIGIN}\n");
    let signature = "\u{2014} ".as_bytes();
    let from = record
        .windows(start.len())
        .position(|bytes| bytes == start.as_bytes())?;
    let mut rest = &record[from..];
    let mut note = Vec::new();
    for line in 0.. {
        // Origin, size, root and an empty line; then signatures.
        if line >= 4 && !rest.starts_with(signature) {
            break;
        }
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, behind) = rest.split_at(end + 1);
        note.extend_from_slice(line);
        rest = behind;
    }
    let parsed = Note::parse(&note).ok()?;
    let head = *Checkpoint::parse(parsed.text()).ok()?.head();
    (head.size > TreeSize(0)).then_some((note, head))
}
