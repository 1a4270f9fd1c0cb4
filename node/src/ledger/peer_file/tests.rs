//! The bytes, what is refused, and what survives.

use super::*;
use crate::ledger::exchange_memory::{Heard, Report};
use tokio::time::Instant;

const OWNER: Identity = Identity {
    cluster: [0xab; 32],
    node: 1,
};

/// Format version 1 with two peers. If this test fails, old files can no longer be read.
const GOLDEN: &str = "61696d7370656572\
    00000001\
    abababababababababababababababababababababababababababababababab\
    0000000000000001\
    00000002\
    0000000000000002\
    0000000000000003\
    0000000000000064\
    0000000000000005\
    00000000000000c8\
    000000000000012c\
    0000000000000003\
    0000000000000001\
    0000000000000000\
    0000000000000000\
    0000000000000000\
    0000000000000000\
    2e73d5a7";

fn memories() -> Memories {
    let known = Memory {
        incarnation: 3,
        signed_size: 100,
        vote_term: 5,
        cut_index: 200,
        log_index: 300,
    };
    let new = Memory {
        incarnation: 1,
        ..Memory::default()
    };
    Memories::from([(2, known), (3, new)])
}

#[test]
fn the_bytes_are_the_documented_ones() {
    let bytes = encode(OWNER, &memories());
    let text = crate::ledger::apply::hex(&bytes);
    assert_eq!(text, GOLDEN);
    assert_eq!(decode(OWNER, &bytes).unwrap(), memories());
    assert_eq!(
        decode(OWNER, &encode(OWNER, &Memories::new())).unwrap(),
        Memories::new()
    );
}

#[test]
fn every_changed_byte_and_every_other_length_is_refused() {
    let bytes = encode(OWNER, &memories());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        decode(OWNER, &changed).unwrap_err();
        decode(OWNER, &bytes[..at]).unwrap_err();
    }
    decode(OWNER, &[bytes, vec![0]].concat()).unwrap_err();
}

#[test]
fn content_that_is_sealed_but_wrong_is_refused() {
    let sealed = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = encode(OWNER, &memories());
        bytes.truncate(bytes.len() - CRC_LEN);
        edit(&mut bytes);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        decode(OWNER, &bytes).unwrap_err()
    };
    let id_of_first = HEADER_LEN + 7;
    assert_eq!(
        sealed(&|bytes| bytes[id_of_first] = 3),
        PeerBytesError::Order { id: 3 }
    );
    assert_eq!(sealed(&|bytes| bytes[11] = 2), PeerBytesError::Mark);
    assert!(matches!(
        sealed(&|bytes| bytes[HEADER_LEN - 1] = 3),
        PeerBytesError::Length { .. }
    ));
    let other = Identity { node: 2, ..OWNER };
    assert_eq!(
        decode(other, &encode(OWNER, &memories())),
        Err(PeerBytesError::Owner { found: OWNER }),
        "the memories of another node say nothing about this one's peers"
    );
}

fn hear(peers: &PeerMemories, node: u64, signed_size: u64) {
    let memory = Memory {
        signed_size,
        ..Memory::default()
    };
    peers.hear(Heard {
        report: Report {
            node,
            memory,
            ..Report::default()
        },
        at: Instant::now(),
        clock_ms: 0,
        under_way: Duration::ZERO,
    });
}

fn parts(dir: &Path, peers: &Arc<PeerMemories>, kept: Memories) -> PeerFileParts {
    PeerFileParts {
        dir: dir.to_owned(),
        owner: OWNER,
        kept,
        memories: Arc::clone(peers),
        shutdown: CancellationToken::new(),
    }
}

/// Runs the task until its last write.
async fn run_once(parts: PeerFileParts) {
    parts.shutdown.cancel();
    run(parts).await;
}

#[tokio::test]
async fn what_was_heard_is_kept_at_the_latest_by_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let peers = Arc::new(PeerMemories::from_memories(memories()));
    hear(&peers, 3, 20);
    run_once(parts(folder.path(), &peers, memories())).await;
    let kept = read(folder.path(), OWNER).unwrap();
    assert_eq!((kept[&2].signed_size, kept[&3].signed_size), (100, 20));
    let again = PeerMemories::from_memories(kept);
    assert_eq!(again.memory(3).unwrap().incarnation, 1);
}

#[tokio::test]
async fn nothing_is_written_when_nothing_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let peers = Arc::new(PeerMemories::from_memories(memories()));
    hear(&peers, 2, 99);
    run_once(parts(folder.path(), &peers, memories())).await;
    assert!(!folder.path().join(PEER_FILE).exists());
}

#[tokio::test]
async fn a_directory_that_is_gone_stops_no_node() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("guard");
    let peers = Arc::new(PeerMemories::from_memories(memories()));
    run_once(parts(&dir, &peers, Memories::new())).await;
    assert!(matches!(
        write(&dir, OWNER, &memories()),
        Err(PeerFileError::Io { .. })
    ));
    assert_eq!(read(&dir, OWNER).unwrap(), Memories::new());
}

#[tokio::test(start_paused = true)]
async fn memories_are_kept_while_the_node_runs() {
    let folder = tempfile::tempdir().unwrap();
    let peers = Arc::new(PeerMemories::from_memories(memories()));
    let parts = parts(folder.path(), &peers, Memories::new());
    let shutdown = parts.shutdown.clone();
    let task = tokio::spawn(run(parts));
    // Paused time runs on by itself only when the task has nothing left to do but wait.
    tokio::time::sleep(INTERVAL / 2).await;
    assert_eq!(read(folder.path(), OWNER).unwrap(), memories());
    shutdown.cancel();
    task.await.unwrap();
}
