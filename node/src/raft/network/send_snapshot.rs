//! Sending a snapshot: the manifest, then every file in chunks.

use std::{
    fs::File,
    io::{self, Read},
    time::Duration,
};

use aimslog_proto::pb::raft::v1 as pb;
use openraft::raft::SnapshotResponse;
use pb::install_snapshot_request::Part;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Peer, PeerError};
use crate::raft::{
    snapshot::{CHUNK_BYTES, SnapshotDir},
    type_config::{RaftVote, TypeConfig},
    wire::{self, Route},
};

/// Chunks read ahead of the network.
const AHEAD: usize = 2;

/// Sends `snapshot` and waits until the peer has installed it. Gives up when nothing moves for
/// `idle`; there is no limit on the whole, which depends on the size alone.
pub(super) async fn send(
    peer: &Peer,
    vote: RaftVote,
    snapshot: SnapshotDir,
    idle: Duration,
) -> Result<SnapshotResponse<TypeConfig>, PeerError> {
    let (parts, outgoing) = mpsc::channel(AHEAD);
    let (progress, moved) = watch::channel(Instant::now());
    let route = peer.route;
    // Ends by itself when the call ends, because the channel closes.
    let reader = tokio::task::spawn_blocking(move || {
        read_parts(&route, vote, &snapshot, |part| {
            let message = pb::InstallSnapshotRequest { part: Some(part) };
            let sent = parts.blocking_send(message).is_ok();
            progress.send_replace(Instant::now());
            sent
        })
    });
    let call = "install snapshot";
    let mut client = peer.client()?;
    let answer = tokio::select! {
        answer = client.install_snapshot(ReceiverStream::new(outgoing)) => answer,
        () = stalled(moved, idle) => return Err(PeerError::Timeout { call, limit: idle }),
    };
    if let Ok(Err(error)) = reader.await {
        return Err(PeerError::Snapshot(error));
    }
    let answer = answer.map_err(|status| PeerError::Call {
        call,
        status: Box::new(status),
    })?;
    let vote = wire::vote_from_pb(answer.into_inner().vote)
        .map_err(|source| PeerError::Answer { call, source })?;
    Ok(SnapshotResponse::new(vote))
}

/// Returns when the last movement is `idle` ago.
async fn stalled(moved: watch::Receiver<Instant>, idle: Duration) {
    loop {
        let deadline = *moved.borrow() + idle;
        if Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep_until(deadline).await;
    }
}

/// Calls `send` with the header and every chunk, until it returns false.
fn read_parts(
    route: &Route,
    vote: RaftVote,
    snapshot: &SnapshotDir,
    mut send: impl FnMut(Part) -> bool,
) -> io::Result<()> {
    let header = pb::SnapshotHeader {
        envelope: Some(route.envelope()),
        vote: Some(wire::vote_to_pb(&vote)),
        manifest: snapshot.manifest().encode(),
    };
    if !send(Part::Header(header)) {
        return Ok(());
    }
    for (number, entry) in (0_u32..).zip(&snapshot.manifest().files) {
        let mut file = File::open(snapshot.path().join(&entry.name))?;
        let mut offset = 0;
        while offset < entry.len {
            let mut data = Vec::new();
            let count = (&mut file)
                .take(CHUNK_BYTES as u64)
                .read_to_end(&mut data)? as u64;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if !send(Part::Chunk(pb::SnapshotChunk {
                file: number,
                offset,
                data,
            })) {
                return Ok(());
            }
            offset += count;
        }
    }
    Ok(())
}
