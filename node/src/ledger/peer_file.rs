//! What this node remembers of its peers, on disk: so that a node that was set back is found out
//! also when all the others were started again in the meantime.
//!
//! The file `peers` lies beside the guard file, where backups of the data do not reach it. It is
//! replaced as a whole, synced, at most once a second and only when a memory has grown, by a task
//! that nothing waits for: what is lost with the last second weakens the guard of a peer by a
//! second and promises nothing of this node. For the same reason a file that cannot be read is no
//! amnesia; the node begins a new one and says so. An old file is no danger either: everything in
//! it was true of the peer once, and no honest node goes back.
//!
//! Integers are big-endian.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 8 | `aimspeer` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 32 | cluster id |
//! | 44 | 8 | id of the node that remembers |
//! | 52 | 4 | number of peers |
//! | 56 | 48 each | peers by rising id: id, incarnation, size signed, term of the vote, raft index of the cut cosigned, raft index settled |
//! | end | 4 | CRC32C of everything before |

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::exchange_memory::PeerMemories;
use super::guard::Memory;
use super::guard_record::Identity;
use crate::store::durable::sync_folder;

/// Name of the file in the guard directory.
pub const PEER_FILE: &str = "peers";

/// Shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(1);

const MAGIC: &[u8; 8] = b"aimspeer";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 56;
const PEER_LEN: usize = 48;
const CRC_LEN: usize = 4;

/// More nodes than a cluster ever admits; the file stays below 64 KiB.
const PEERS_MAX: usize = 1_024;

/// What a node remembers of the others, by their id.
pub type Memories = BTreeMap<u64, Memory>;

/// Why the memories were not read or written. Never fatal.
#[derive(Debug, Error)]
pub enum PeerFileError {
    /// The disk failed.
    #[error("the memories of peers in {} could not be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not the file that this node writes.
    #[error("the memories of peers in {} cannot be used", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PeerBytesError,
    },
}

/// Why bytes are not the memories of this node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerBytesError {
    /// Shorter or longer than the number of peers in it says.
    #[error("{found} bytes are not the length of any such file")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// Something else.
    #[error("does not begin with the mark and version {VERSION} of such a file")]
    Mark,
    /// Torn or rotten.
    #[error("has checksum {stored:#010x}, its bytes give {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// Another node's.
    #[error("belongs to {found}")]
    Owner {
        /// Whose it is.
        found: Identity,
    },
    /// Peers that are not in order.
    #[error("peer {id} stands at the wrong place")]
    Order {
        /// The one that does.
        id: u64,
    },
}

/// The bytes of the file.
pub fn encode(owner: Identity, memories: &Memories) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + memories.len() * PEER_LEN + CRC_LEN);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&owner.cluster);
    out.extend_from_slice(&owner.node.to_be_bytes());
    let kept = memories.len().min(PEERS_MAX);
    out.extend_from_slice(&u32::try_from(kept).unwrap_or(u32::MAX).to_be_bytes());
    for (id, memory) in memories.iter().take(kept) {
        let fields = [
            *id,
            memory.incarnation,
            memory.signed_size,
            memory.vote_term,
            memory.cut_index,
            memory.log_index,
        ];
        for field in fields {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// Reads what [`encode`] wrote for the same owner, and nothing else.
pub fn decode(owner: Identity, bytes: &[u8]) -> Result<Memories, PeerBytesError> {
    let length = || PeerBytesError::Length { found: bytes.len() };
    if bytes.len() > HEADER_LEN + PEERS_MAX * PEER_LEN + CRC_LEN {
        return Err(length());
    }
    let (covered, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or_else(length)?;
    let (stored, computed) = (u32::from_be_bytes(*crc), crc32c::crc32c(covered));
    let (mark, rest) = covered.split_first_chunk::<12>().ok_or_else(length)?;
    if mark[..8] != MAGIC[..] || mark[8..] != VERSION.to_be_bytes() {
        return Err(PeerBytesError::Mark);
    }
    if stored != computed {
        return Err(PeerBytesError::Checksum { stored, computed });
    }
    let (cluster, rest) = rest.split_first_chunk::<32>().ok_or_else(length)?;
    let (node, rest) = rest.split_first_chunk::<8>().ok_or_else(length)?;
    let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
    let found = Identity {
        cluster: *cluster,
        node: u64::from_be_bytes(*node),
    };
    if found != owner {
        return Err(PeerBytesError::Owner { found });
    }
    let (peers, odd) = rest.as_chunks::<PEER_LEN>();
    if !odd.is_empty() || u32::try_from(peers.len()) != Ok(u32::from_be_bytes(*count)) {
        return Err(length());
    }
    let mut memories = Memories::new();
    for peer in peers {
        let (id, memory) = decode_peer(peer);
        if memories
            .last_key_value()
            .is_some_and(|(last, _)| id <= *last)
        {
            return Err(PeerBytesError::Order { id });
        }
        memories.insert(id, memory);
    }
    Ok(memories)
}

fn decode_peer(bytes: &[u8; PEER_LEN]) -> (u64, Memory) {
    let mut fields = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .copied()
        .map(u64::from_be_bytes);
    let mut field = || fields.next().unwrap_or_default();
    let id = field();
    let memory = Memory {
        incarnation: field(),
        signed_size: field(),
        vote_term: field(),
        cut_index: field(),
        log_index: field(),
    };
    (id, memory)
}

/// What `owner` remembered when it last ran; nothing where there is no file.
pub fn read(dir: &Path, owner: Identity) -> Result<Memories, PeerFileError> {
    let path = dir.join(PEER_FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            decode(owner, &bytes).map_err(|source| PeerFileError::Content { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memories::new()),
        Err(source) => Err(PeerFileError::Io { path, source }),
    }
}

/// Replaces the file; a crash leaves the old one or the new one.
pub fn write(dir: &Path, owner: Identity, memories: &Memories) -> Result<(), PeerFileError> {
    let path = dir.join(PEER_FILE);
    replace(dir, &path, &encode(owner, memories))
        .map_err(|source| PeerFileError::Io { path, source })
}

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = dir.join("peers.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&staged)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&staged, path)?;
    sync_folder(dir)
}

/// What the task writes, and where.
#[derive(Debug)]
pub struct PeerFileParts {
    /// The guard directory.
    pub dir: PathBuf,
    /// Whose memories they are.
    pub owner: Identity,
    /// What the file holds.
    pub kept: Memories,
    /// The memories.
    pub memories: Arc<PeerMemories>,
    /// Ends the task, after a last write.
    pub shutdown: CancellationToken,
}

/// Keeps the file up to date until the shutdown.
pub async fn run(parts: PeerFileParts) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = parts.kept.clone();
    let mut failed = false;
    loop {
        let last = tokio::select! {
            () = parts.shutdown.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let now = parts.memories.memories();
        if now != written {
            match store(&parts, now.clone()).await {
                Ok(()) => (written, failed) = (now, false),
                Err(error) if failed => tracing::debug!(%error, "still not written"),
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(cause, "what is known of the peers is not kept");
                    failed = true;
                }
            }
        }
        if last {
            return;
        }
    }
}

async fn store(parts: &PeerFileParts, memories: Memories) -> Result<(), PeerFileError> {
    let (dir, owner) = (parts.dir.clone(), parts.owner);
    let path = dir.join(PEER_FILE);
    match spawn_blocking(move || write(&dir, owner, &memories)).await {
        Ok(written) => written,
        Err(ended) => {
            let source = io::Error::other(ended);
            Err(PeerFileError::Io { path, source })
        }
    }
}

#[cfg(test)]
mod tests;
