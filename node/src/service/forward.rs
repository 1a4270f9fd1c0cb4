//! The way to the leader: one hop, raw bytes, and what a hop that failed means.

use crate::ledger::exchange::{ExchangeError, ForwardTarget};
use crate::ledger::sequencer::SubmitError;
use crate::raft::Status;
use crate::service::backend::Backend;
use crate::service::status::{Chain, Failure};
use crate::service::{blobs, deadline, submit};
use aimslog_proto::pb::raft::v1::{ForwardedBlob, ForwardedCall};
use aimslog_proto::pb::{admin, v1 as pb};
use aimslog_proto::reason::Reason;
use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// Hands a call to the leader and gives its answer.
pub(super) async fn to_leader<A: Message + Default>(
    backend: &Backend,
    call: ForwardedCall,
    request: &impl Message,
    until: Instant,
) -> Result<A, Failure> {
    let leader = backend
        .leader()
        .ok_or_else(|| Failure::new(Reason::NoQuorum, "no leader is known; try again"))?;
    let left = until.saturating_duration_since(Instant::now());
    let request = request.encode_to_vec();
    let answer = tokio::select! {
        answer = backend.peers.forward(leader, (call, request), left) => {
            answer.map_err(|error| failure(backend, leader, error))?
        }
        // A leader that stands still keeps its connections open: waiting for it would cost the
        // caller the whole deadline. Whether it carried the call out is not known.
        () = deposed(backend.consensus.status(), leader) => return Err(submit::outcome_unknown()),
    };
    A::decode(answer)
        .map_err(|error| Failure::internal("the leader's answer cannot be read", &error))
}

/// Resolves when another node leads.
async fn deposed(mut status: watch::Receiver<Status>, leader: u64) {
    let other = |status: &Status| status.leader.is_some_and(|known| known != leader);
    if status.wait_for(other).await.is_err() {
        // The consensus has stopped, and with it everything that could still answer.
        tracing::debug!(leader, "nobody leads any more");
    }
}

/// What a failed forward means: only a refusal says that nothing was done.
fn failure(backend: &Backend, leader: u64, error: ExchangeError) -> Failure {
    match error {
        ExchangeError::Refused { status, .. } => Failure::relayed(&status),
        ExchangeError::UnknownPeer { .. }
        | ExchangeError::Dial { .. }
        | ExchangeError::Unreachable { .. } => {
            // A leader that others can reach would have been heard of, or another one by now.
            let reason = match backend.fresh() {
                Ok(()) => Reason::NotLeader,
                Err(_stale) => Reason::NoQuorum,
            };
            Failure::new(reason, "the leader cannot be reached; try again").with("leader", leader)
        }
        other => {
            tracing::debug!(leader, error = %Chain(&other), "forwarding has no answer");
            submit::outcome_unknown()
        }
    }
}

/// Takes what other nodes forward.
#[derive(Debug, Clone)]
pub struct Forwarded {
    backend: Backend,
}

impl Forwarded {
    /// Takes calls for this node.
    pub fn new(backend: Backend) -> Arc<Self> {
        Arc::new(Self { backend })
    }

    async fn answer(
        &self,
        call: ForwardedCall,
        request: Bytes,
        until: Instant,
    ) -> Result<Vec<u8>, Failure> {
        if !self.backend.leads() {
            // Never a second hop: the caller learns who leads and asks again.
            return Err(submit::failure(&SubmitError::NotLeader {
                leader: self.backend.leader(),
            }));
        }
        self.backend.serving()?;
        match call {
            ForwardedCall::Submit => {
                let request: pb::SubmitRequest = read(request)?;
                submit::check_batch(&request.submissions)?;
                let answer = submit::here(&self.backend, request, until).await?;
                Ok(answer.encode_to_vec())
            }
            ForwardedCall::SubmitSystem => {
                let request: admin::v1::SubmitSystemRequest = read(request)?;
                submit::check_system(&request)?;
                let answer = submit::system_here(&self.backend, request, until).await?;
                Ok(answer.encode_to_vec())
            }
            ForwardedCall::PutBlob => {
                let request: ForwardedBlob = read(request)?;
                let answer = blobs::forwarded(&self.backend, request, until).await?;
                Ok(answer.encode_to_vec())
            }
            ForwardedCall::Unspecified => Err(Failure::field(
                Reason::InvalidRequest,
                "call",
                "a call that this node knows",
            )),
        }
    }
}

fn read<T: Message + Default>(request: Bytes) -> Result<T, Failure> {
    T::decode(request).map_err(|_malformed| {
        Failure::field(
            Reason::InvalidRequest,
            "request",
            "the request of that call",
        )
    })
}

impl ForwardTarget for Forwarded {
    fn answer(
        &self,
        call: ForwardedCall,
        request: Bytes,
        metadata: MetadataMap,
    ) -> BoxFuture<'_, Result<Vec<u8>, tonic::Status>> {
        // What the follower has left of the caller's time, less the way back.
        let until = deadline::of(&metadata);
        Box::pin(async move { Ok(Self::answer(self, call, request, until).await?) })
    }
}
