//! Goal: what one node says is what the other hears, and garbage is an error. Method: round trips
//! and messages with parts missing, damaged or out of order.

use openraft::EntryPayload;

use super::*;
use crate::raft::type_config::{CommandBytes, Entry};

const ROUTE: Route = Route {
    cluster_id: [9; 32],
    target: 2,
    sender: 1,
};

fn log_id(index: u64) -> LogId {
    log_id_of(Position {
        term: 3,
        leader: 1,
        index,
    })
}

fn vote() -> RaftVote {
    RaftVote::new_committed(3, 1)
}

fn request() -> AppendEntriesRequest<TypeConfig> {
    let entry = |index, payload| Entry {
        log_id: log_id(index),
        payload,
    };
    AppendEntriesRequest {
        vote: vote(),
        prev_log_id: Some(log_id(4)),
        entries: vec![
            entry(5, EntryPayload::Blank),
            entry(
                6,
                EntryPayload::Normal(CommandBytes(Bytes::from_static(b"c"))),
            ),
        ],
        leader_commit: Some(log_id(4)),
    }
}

#[test]
fn append_requests_come_through() {
    let message = append_to_pb(&ROUTE, request());
    assert_eq!(message.envelope, Some(ROUTE.envelope()));
    let (sent, heard) = (request(), append_from_pb(message).unwrap());
    assert_eq!(
        (sent.vote, sent.prev_log_id),
        (heard.vote, heard.prev_log_id)
    );
    assert_eq!(
        (sent.entries, sent.leader_commit),
        (heard.entries, heard.leader_commit)
    );
}

#[test]
fn rejects_damaged_missing_and_misplaced_parts() {
    let damaged = |edit: &dyn Fn(&mut pb::AppendEntriesRequest)| {
        let mut message = append_to_pb(&ROUTE, request());
        edit(&mut message);
        append_from_pb(message).err()
    };
    assert!(damaged(&|_| {}).is_none());
    assert!(matches!(
        damaged(&|m| m.vote = None),
        Some(WireError::Missing("vote"))
    ));
    let flipped = damaged(&|m| m.entries[1][20] ^= 1);
    assert!(matches!(flipped, Some(WireError::Entry { at: 1, .. })));
    let swapped = damaged(&|m| m.entries.swap(0, 1));
    assert!(matches!(
        swapped,
        Some(WireError::Order {
            at: 0,
            expected: 5,
            found: 6
        })
    ));
    let hole = damaged(&|m| m.prev_log_id = None);
    assert!(matches!(
        hole,
        Some(WireError::Order {
            at: 0,
            expected: 0,
            found: 5
        })
    ));
}

#[test]
fn answers_come_through() {
    let results: [StreamAppendResult<TypeConfig>; 4] = [
        Ok(None),
        Ok(Some(log_id(6))),
        Err(StreamAppendError::Conflict(log_id(4))),
        Err(StreamAppendError::HigherVote(vote())),
    ];
    for result in results {
        let heard = append_result_from_pb(append_result_to_pb(&result)).unwrap();
        assert_eq!(heard, result);
    }
    let empty = pb::AppendEntriesResponse { result: None };
    assert!(matches!(
        append_result_from_pb(empty),
        Err(WireError::Missing("result"))
    ));
}

#[test]
fn votes_come_through() {
    let mut request = VoteRequest::new(RaftVote::new(4, 2), Some(log_id(6)));
    request.leadership_transfer = true;
    let heard = vote_request_from_pb(&vote_request_to_pb(&ROUTE, &request)).unwrap();
    assert_eq!(heard, request);
    request.leadership_transfer = false;
    let heard = pre_vote_request_from_pb(&pre_vote_request_to_pb(&ROUTE, &request)).unwrap();
    assert_eq!(heard, request);
    for granted in [true, false] {
        let response = VoteResponse::new(vote(), Some(log_id(6)), granted);
        let heard = vote_response_from_pb(vote_response_to_pb(&response)).unwrap();
        assert_eq!(heard, response);
        let heard = pre_vote_response_from_pb(pre_vote_response_to_pb(&response)).unwrap();
        assert_eq!(heard, response);
    }
}

#[test]
fn transfers_come_through() {
    let request = TransferLeaderRequest::new(vote(), 3, Some(log_id(6)));
    let heard = transfer_from_pb(&transfer_to_pb(&ROUTE, &request)).unwrap();
    assert_eq!(heard, request);
    let changed = TransferLeaderError::VoteChanged {
        expected: vote(),
        actual: RaftVote::new(9, 3),
    };
    let behind = TransferLeaderError::LogNotFlushed {
        expected: Some(log_id(6)),
        actual: Some(log_id(5)),
    };
    for result in [Ok(()), Err(changed), Err(behind)] {
        let message = transfer_result_to_pb(&result);
        assert_eq!(transfer_result_from_pb(message, &request).unwrap(), result);
    }
}
