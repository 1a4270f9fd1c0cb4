//! Receiving a snapshot: stage, verify, sync, then install.

use std::time::Duration;

use aimslog_proto::pb::raft::v1 as pb;
use pb::install_snapshot_request::Part;
use tonic::{Request, Status, Streaming};

use super::{PeerServer, stopped, unreadable};
use crate::raft::{
    adapter,
    snapshot::{Manifest, SnapshotDir, SnapshotError, Stage},
    wire,
};

/// A sender that is silent for this long has gone.
const IDLE: Duration = Duration::from_secs(30);

pub(super) async fn receive(
    server: &PeerServer,
    request: Request<Streaming<pb::InstallSnapshotRequest>>,
) -> Result<pb::InstallSnapshotResponse, Status> {
    let (_metadata, extensions, mut parts) = request.into_parts();
    let Some(Part::Header(header)) = next(&mut parts).await? else {
        return Err(Status::invalid_argument(
            "a snapshot begins with its header",
        ));
    };
    server.door.check(&extensions, header.envelope.as_ref())?;
    let vote = wire::vote_from_pb(header.vote).map_err(|error| unreadable(&error))?;
    let manifest = Manifest::decode(&header.manifest)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let Ok(_one_at_a_time) = server.receiving.try_acquire() else {
        return Err(Status::resource_exhausted(
            "another snapshot is being received",
        ));
    };
    let snapshots = server.snapshots.clone();
    let stage = blocking(move || snapshots.stage(manifest)).await?;
    let received = fill(stage, &mut parts).await?;
    let snapshot = adapter::snapshot_of(received.clone())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    tracing::info!(path = %received.path().display(), "a snapshot was received");
    let answer = server.raft.install_full_snapshot(vote, snapshot).await;
    // Kept by the state machine if it was installed, gone with the last handle if not.
    let answer = answer.map_err(|error| stopped(&error))?;
    Ok(pb::InstallSnapshotResponse {
        vote: Some(wire::vote_to_pb(&answer.vote)),
    })
}

async fn fill(
    mut stage: Stage,
    parts: &mut Streaming<pb::InstallSnapshotRequest>,
) -> Result<SnapshotDir, Status> {
    loop {
        match next(parts).await? {
            Some(Part::Chunk(pb::SnapshotChunk { file, offset, data })) => {
                stage = blocking(move || {
                    stage.write(file, offset, &data)?;
                    Ok(stage)
                })
                .await?;
            }
            Some(Part::Header(_)) => return Err(Status::invalid_argument("a second header")),
            None => return blocking(move || stage.finish()).await,
        }
    }
}

async fn next(parts: &mut Streaming<pb::InstallSnapshotRequest>) -> Result<Option<Part>, Status> {
    match tokio::time::timeout(IDLE, parts.message()).await {
        Ok(message) => match message? {
            Some(message) => message
                .part
                .map(Some)
                .ok_or_else(|| Status::invalid_argument("an empty part")),
            None => Ok(None),
        },
        Err(_elapsed) => Err(Status::deadline_exceeded("the snapshot stream is silent")),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a snapshot could not be received");
            Err(Status::aborted(error.to_string()))
        }
        Err(cancelled) => Err(Status::aborted(cancelled.to_string())),
    }
}
