//! The facade: everything the rest of the node may ask of Raft.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aimslog_proto::limits::PEER_MESSAGE_BYTES_MAX;
use aimslog_proto::pb::raft::v1::peer_service_server::PeerServiceServer;
use bytes::Bytes;
use openraft::{
    Raft, ReadPolicy,
    errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError},
    impls::ProgressResponder,
    raft::ClientWriteResult,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{
    adapter::StateMachine,
    network::PeerNetwork,
    peer_service::PeerServer,
    type_config::{CommandBytes, TypeConfig, position_of},
    types::{Committed, Position, Status},
};
use crate::store::raft_db::RaftDb;

/// How long a shutdown waits for the core's tasks.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// A node's seat in its Raft group. Cheap to clone; all clones are one seat.
#[derive(Clone)]
pub struct Consensus {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) id: u64,
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) network: PeerNetwork,
    pub(super) server: PeerServer,
    /// Gone after a shutdown, so that the database closes.
    pub(super) db: Mutex<Option<RaftDb>>,
    pub(super) stop: CancellationToken,
    /// Asks for a snapshot and a short log.
    pub(super) shorten: Arc<Notify>,
}

/// An accepted command on its way. Dropping it does not take the command back.
#[derive(Debug)]
pub struct Pending {
    answer: tokio::sync::oneshot::Receiver<ClientWriteResult<TypeConfig>>,
}

/// What a node does in its Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Participation {
    /// Everything.
    Full = 0,
    /// Follows and votes, but never campaigns; for example while its clock is off.
    NoCampaign = 1,
    /// Refuses every message of its peers and sends none of its own accord; for example when it has
    /// lost its memory. It can still be read.
    Silent = 2,
}

/// Why a command has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Not appended here. Ask the leader, if it is known.
    #[error("this node does not lead; the leader is {leader:?}")]
    NotLeader { leader: Option<u64> },
    /// Not appended: this leader has not heard from a quorum within its lease.
    #[error("the leader has no quorum")]
    NoQuorum,
    /// Appended, and the leader changed before it was committed. It may or may not take effect;
    /// only a command that may be repeated safely may be sent again.
    #[error("the outcome is unknown: the leader changed while the command was on its way")]
    Unknown,
    /// This node's Raft has stopped. Says nothing about a command already accepted.
    #[error("raft has stopped on this node")]
    Stopped,
}

/// Why a linearizable read is not possible now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error("no leader is known")]
    NoLeader,
    #[error("the leader has no quorum")]
    NoQuorum,
    #[error("the leader {leader} could not be asked")]
    LeaderUnreachable { leader: u64 },
    #[error("this node did not apply the log up to index {index} in time")]
    Behind { index: u64 },
    #[error("raft has stopped on this node")]
    Stopped,
}

impl Consensus {
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// The service for the peer listener. A message beyond the limit is refused before it is read.
    pub fn peer_service(&self) -> PeerServiceServer<PeerServer> {
        PeerServiceServer::new(self.inner.server.clone())
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    /// Changes what this node does in Raft from now on.
    ///
    /// A leader that may no longer campaign goes on leading; hand over to end that.
    pub fn participate(&self, participation: Participation) {
        let runtime = self.inner.raft.runtime_config();
        runtime.elect(participation == Participation::Full);
        runtime.heartbeat(participation != Participation::Silent);
        self.inner.server.door.set(participation);
    }

    /// Stops Raft, closes the database, and ends the streams of peers. Idempotent.
    pub async fn shutdown(&self) {
        self.inner.server.door.set(Participation::Silent);
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::error!(%error, "raft did not stop cleanly");
        }
        self.inner.stop.cancel();
        let db = self
            .inner
            .db
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(db) = db else { return };
        // The core's tasks let go of the log one by one; the next opening needs all of them gone.
        let deadline = tokio::time::Instant::now() + RELEASE_MAX;
        while db.is_shared() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Err(error) = tokio::task::spawn_blocking(move || db.close()).await {
            tracing::error!(%error, "the raft database did not close cleanly");
        }
    }

    /// The newest status, and a way to wait for the next one.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.inner.status.clone()
    }

    /// Hands a command to the leader's log if this node leads. Commands accepted one after the
    /// other by one caller are logged in that order, so several may be on their way.
    ///
    /// Errors here mean that the command was not accepted, except [`ProposeError::Stopped`].
    /// Refusals by Raft itself arrive through [`Pending`].
    pub async fn submit(&self, command: Bytes) -> Result<Pending, ProposeError> {
        let (responder, answer) = ProgressResponder::complete_only();
        self.inner
            .raft
            .client_write_ff(CommandBytes(command), Some(responder))
            .await
            .map_err(|stopped| {
                tracing::debug!(%stopped, "command not accepted");
                ProposeError::Stopped
            })?;
        Ok(Pending { answer })
    }

    /// Submits a command and waits until it is committed (synced by a quorum) and applied here.
    ///
    /// There is no deadline inside; a caller that gives up must treat the outcome as unknown.
    pub fn propose(
        &self,
        command: Bytes,
    ) -> impl Future<Output = Result<Committed, ProposeError>> + Send + use<> {
        let this = self.clone();
        async move { this.submit(command).await?.outcome().await }
    }

    /// Returns once this node has applied everything that was committed anywhere when the call
    /// began (`ReadIndex`; rests on no clock). Works on followers by asking the leader.
    pub async fn read_barrier(&self, timeout: Duration) -> Result<Position, ReadError> {
        let status = self.inner.status.borrow().clone();
        let index = match status.leader {
            None => return Err(ReadError::NoLeader),
            Some(leader) if leader == self.inner.id => {
                let asked = tokio::time::timeout(timeout, self.read_index()).await;
                asked.map_err(|_elapsed| ReadError::NoQuorum)??
            }
            Some(leader) => self
                .inner
                .network
                .read_index(leader, &status.members, timeout)
                .await
                .map_err(|error| {
                    tracing::debug!(leader, %error, "read index not obtained");
                    ReadError::LeaderUnreachable { leader }
                })?,
        };
        self.applied_at_least(index, timeout).await
    }

    /// The index that a linearizable read must have applied; on the leader only.
    pub(super) async fn read_index(&self) -> Result<u64, ReadError> {
        match self
            .inner
            .raft
            .get_read_linearizer(ReadPolicy::ReadIndex)
            .await
        {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(ReadError::NoQuorum)
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                Err(ReadError::NoLeader)
            }
            Err(RaftError::Fatal(_)) => Err(ReadError::Stopped),
        }
    }

    /// Waits until this node has applied the entry at `index`.
    pub async fn applied_at_least(
        &self,
        index: u64,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        let mut status = self.status();
        let reached = status.wait_for(|s| s.applied.is_some_and(|p| p.index >= index));
        match tokio::time::timeout(timeout, reached).await {
            Err(_elapsed) => Err(ReadError::Behind { index }),
            Ok(Err(_closed)) => Err(ReadError::Stopped),
            Ok(Ok(status)) => status.applied.ok_or(ReadError::Behind { index }),
        }
    }
}

impl Pending {
    /// Waits until the command is committed and applied on this node.
    pub async fn outcome(self) -> Result<Committed, ProposeError> {
        match self.answer.await {
            Ok(Ok(response)) => Ok(Committed {
                position: position_of(&response.log_id),
                outcome: response.data,
            }),
            Ok(Err(error)) => Err(ProposeError::from(error)),
            // The core dropped the responder: it stopped, after it may have appended.
            Err(_dropped) => Err(ProposeError::Stopped),
        }
    }
}

impl From<ClientWriteError<TypeConfig>> for ProposeError {
    fn from(error: ClientWriteError<TypeConfig>) -> Self {
        match error {
            ClientWriteError::ForwardToLeader(forward) => Self::from(&forward),
            // Membership errors cannot answer a command; if one ever did, the command's fate would
            // be unknown to us, which is what the last arm says.
            ClientWriteError::LogEntryDiscarded(_)
            | ClientWriteError::ChangeMembershipError(_)
            | ClientWriteError::PreconditionFailed(_) => Self::Unknown,
        }
    }
}

impl From<&ForwardToLeader<TypeConfig>> for ProposeError {
    fn from(forward: &ForwardToLeader<TypeConfig>) -> Self {
        use openraft::errors::ForwardReason;
        match forward.reason {
            ForwardReason::LeaseExpired => Self::NoQuorum,
            ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => Self::NotLeader {
                leader: forward.leader_id,
            },
        }
    }
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consensus")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}
