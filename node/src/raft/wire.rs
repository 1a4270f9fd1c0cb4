//! Between openraft's messages and those of the peer protocol. Nothing else knows both.
//!
//! Reading is total: a message of a peer, however wrong, gives an error and never a panic.

use aimslog_proto::pb::raft::v1 as pb;
use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::type_config::{
    LogId, RaftVote, TypeConfig, entry_of, log_id_of, position_of, raft_vote_of, record_of, vote_of,
};
use crate::store::raft_codec::{CodecError, Position, Record, Vote};

/// Why a peer's message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the message has no {0}")]
    Missing(&'static str),
    #[error("entry {at} of the message cannot be read")]
    Entry {
        at: usize,
        #[source]
        source: CodecError,
    },
    #[error("entry {at} of the message holds impossible members")]
    Members {
        at: usize,
        #[source]
        source: std::io::Error,
    },
    #[error("entry {at} has index {found}, expected {expected}")]
    Order {
        at: usize,
        expected: u64,
        found: u64,
    },
}

/// Who speaks to whom; the same in every message of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) cluster_id: [u8; 32],
    pub(super) target: u64,
    pub(super) sender: u64,
}

impl Route {
    pub(super) fn envelope(&self) -> pb::Envelope {
        pb::Envelope {
            cluster_id: self.cluster_id.to_vec(),
            target_id: self.target,
            sender_id: self.sender,
        }
    }
}

pub(super) fn append_to_pb(
    route: &Route,
    request: AppendEntriesRequest<TypeConfig>,
) -> pb::AppendEntriesRequest {
    let entries = request
        .entries
        .into_iter()
        .map(|entry| record_of(entry).encode());
    pb::AppendEntriesRequest {
        envelope: Some(route.envelope()),
        vote: Some(vote_to_pb(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id_to_pb),
        entries: entries.collect(),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_pb),
    }
}

/// Refuses entries whose checksum or order is wrong before they can reach the log.
pub(super) fn append_from_pb(
    request: pb::AppendEntriesRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let prev_log_id = request.prev_log_id.map(|id| log_id_from_pb(&id));
    let first = prev_log_id
        .as_ref()
        .map_or(0, |id| id.index.saturating_add(1));
    let mut entries = Vec::new();
    for (at, (expected, bytes)) in (first..).zip(request.entries).enumerate() {
        let record = Record::decode(&Bytes::from(bytes))
            .map_err(|source| WireError::Entry { at, source })?;
        let found = record.position.index;
        if found != expected {
            return Err(WireError::Order {
                at,
                expected,
                found,
            });
        }
        entries.push(entry_of(record).map_err(|source| WireError::Members { at, source })?);
    }
    Ok(AppendEntriesRequest {
        vote: vote_from_pb(request.vote)?,
        prev_log_id,
        entries,
        leader_commit: request.leader_commit.map(|id| log_id_from_pb(&id)),
    })
}

pub(super) fn append_result_to_pb(
    result: &StreamAppendResult<TypeConfig>,
) -> pb::AppendEntriesResponse {
    use pb::append_entries_response::Result as Answer;
    let answer = match result {
        Ok(matched) => Answer::Matched(pb::Matched {
            log_id: matched.as_ref().map(log_id_to_pb),
        }),
        Err(StreamAppendError::Conflict(at)) => Answer::Conflict(log_id_to_pb(at)),
        Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(vote_to_pb(vote)),
    };
    pb::AppendEntriesResponse {
        result: Some(answer),
    }
}

pub(super) fn append_result_from_pb(
    response: pb::AppendEntriesResponse,
) -> Result<StreamAppendResult<TypeConfig>, WireError> {
    use pb::append_entries_response::Result as Answer;
    Ok(match response.result.ok_or(WireError::Missing("result"))? {
        Answer::Matched(matched) => Ok(matched.log_id.map(|id| log_id_from_pb(&id))),
        Answer::Conflict(at) => Err(StreamAppendError::Conflict(log_id_from_pb(&at))),
        Answer::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from_pb(Some(vote))?)),
    })
}

pub(super) fn vote_request_to_pb(
    route: &Route,
    request: &VoteRequest<TypeConfig>,
) -> pb::VoteRequest {
    pb::VoteRequest {
        envelope: Some(route.envelope()),
        vote: Some(vote_to_pb(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_pb),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn vote_request_from_pb(
    request: &pb::VoteRequest,
) -> Result<VoteRequest<TypeConfig>, WireError> {
    let last_log_id = request.last_log_id.as_ref().map(log_id_from_pb);
    let mut vote = VoteRequest::new(vote_from_pb(request.vote)?, last_log_id);
    vote.leadership_transfer = request.leadership_transfer;
    Ok(vote)
}

pub(super) fn vote_response_to_pb(response: &VoteResponse<TypeConfig>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(vote_to_pb(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.as_ref().map(log_id_to_pb),
    }
}

pub(super) fn vote_response_from_pb(
    response: pb::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, WireError> {
    let vote = vote_from_pb(response.vote)?;
    let last_log_id = response.last_log_id.map(|id| log_id_from_pb(&id));
    Ok(VoteResponse::new(vote, last_log_id, response.granted))
}

pub(super) fn pre_vote_request_to_pb(
    route: &Route,
    request: &VoteRequest<TypeConfig>,
) -> pb::PreVoteRequest {
    pb::PreVoteRequest {
        envelope: Some(route.envelope()),
        vote: Some(vote_to_pb(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_pb),
    }
}

pub(super) fn pre_vote_request_from_pb(
    request: &pb::PreVoteRequest,
) -> Result<VoteRequest<TypeConfig>, WireError> {
    let last_log_id = request.last_log_id.as_ref().map(log_id_from_pb);
    Ok(VoteRequest::new(vote_from_pb(request.vote)?, last_log_id))
}

pub(super) fn pre_vote_response_to_pb(response: &VoteResponse<TypeConfig>) -> pb::PreVoteResponse {
    let pb::VoteResponse {
        vote,
        granted,
        last_log_id,
    } = vote_response_to_pb(response);
    pb::PreVoteResponse {
        vote,
        granted,
        last_log_id,
    }
}

pub(super) fn pre_vote_response_from_pb(
    response: pb::PreVoteResponse,
) -> Result<VoteResponse<TypeConfig>, WireError> {
    let pb::PreVoteResponse {
        vote,
        granted,
        last_log_id,
    } = response;
    vote_response_from_pb(pb::VoteResponse {
        vote,
        granted,
        last_log_id,
    })
}

pub(super) fn transfer_to_pb(
    route: &Route,
    request: &TransferLeaderRequest<TypeConfig>,
) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        envelope: Some(route.envelope()),
        from_leader: Some(vote_to_pb(request.from_leader())),
        last_log_id: request.last_log_id().map(log_id_to_pb),
        next_leader_id: *request.to_node_id(),
    }
}

pub(super) fn transfer_from_pb(
    request: &pb::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, WireError> {
    let last_log_id = request.last_log_id.as_ref().map(log_id_from_pb);
    Ok(TransferLeaderRequest::new(
        vote_from_pb(request.from_leader)?,
        request.next_leader_id,
        last_log_id,
    ))
}

pub(super) fn transfer_result_to_pb(
    result: &TransferLeaderResponse<TypeConfig>,
) -> pb::TransferLeaderResponse {
    use pb::transfer_leader_response::Result as Answer;
    let answer = match result {
        Ok(()) => Answer::Accepted(pb::Accepted {}),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            Answer::VoteChanged(vote_to_pb(actual))
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            Answer::NotFlushed(pb::NotFlushed {
                log_id: actual.as_ref().map(log_id_to_pb),
            })
        }
    };
    pb::TransferLeaderResponse {
        result: Some(answer),
    }
}

pub(super) fn transfer_result_from_pb(
    response: pb::TransferLeaderResponse,
    request: &TransferLeaderRequest<TypeConfig>,
) -> Result<TransferLeaderResponse<TypeConfig>, WireError> {
    use pb::transfer_leader_response::Result as Answer;
    Ok(match response.result.ok_or(WireError::Missing("result"))? {
        Answer::Accepted(pb::Accepted {}) => Ok(()),
        Answer::VoteChanged(vote) => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: vote_from_pb(Some(vote))?,
        }),
        Answer::NotFlushed(pb::NotFlushed { log_id }) => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: log_id.map(|id| log_id_from_pb(&id)),
        }),
    })
}

pub(super) fn vote_to_pb(vote: &RaftVote) -> pb::VoteState {
    let Vote {
        term,
        node,
        committed,
    } = vote_of(vote);
    pb::VoteState {
        term,
        node_id: node,
        committed,
    }
}

pub(super) fn vote_from_pb(vote: Option<pb::VoteState>) -> Result<RaftVote, WireError> {
    let pb::VoteState {
        term,
        node_id,
        committed,
    } = vote.ok_or(WireError::Missing("vote"))?;
    Ok(raft_vote_of(Vote {
        term,
        node: node_id,
        committed,
    }))
}

fn log_id_to_pb(id: &LogId) -> pb::LogId {
    let Position {
        term,
        leader,
        index,
    } = position_of(id);
    pb::LogId {
        term,
        leader_id: leader,
        index,
    }
}

fn log_id_from_pb(id: &pb::LogId) -> LogId {
    log_id_of(Position {
        term: id.term,
        leader: id.leader_id,
        index: id.index,
    })
}

#[cfg(test)]
mod tests;
