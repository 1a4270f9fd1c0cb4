//! Peer messages to and from our own types, and the refusals of the peer service.

use aimslog_proto::pb::raft::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::{Hash, RootHash, TreeHead, TreeSize};
use ed25519_dalek::SigningKey;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use zeroize::Zeroizing;

use super::exchange_memory::Report;
use super::guard::Memory;
use super::guard_record::Identity;
use super::publisher_state::CosignatureRefusal;
use crate::identity::LedgerKeys;

/// Longest name of an alarm, and how many are read.
const ALARM_NAMES_MAX: usize = 8;
const ALARM_NAME_LEN_MAX: usize = 32;

/// How many log keys a node has at most: one, and the one that is to follow.
const LOG_KEYS_HELD_MAX: usize = 2;

/// Metadata key under which a refused cosignature says why.
pub(super) const REFUSAL_KEY: &str = "refusal";

/// The envelope of a message from one node to another.
pub(super) fn envelope(from: Identity, to: u64) -> pb::Envelope {
    pb::Envelope {
        cluster_id: from.cluster.to_vec(),
        target_id: to,
        sender_id: from.node,
    }
}

/// The sender, if the message is for this node and of its cluster.
pub(super) fn sender(own: Identity, envelope: Option<pb::Envelope>) -> Result<u64, Status> {
    let envelope = envelope.ok_or_else(|| malformed("envelope is missing"))?;
    if envelope.cluster_id != own.cluster {
        return Err(not_permitted("the message is for another cluster"));
    }
    if envelope.target_id != own.node {
        return Err(not_permitted("the message is for another node"));
    }
    if envelope.sender_id == 0 || envelope.sender_id == own.node {
        return Err(not_permitted("the sender is no other node"));
    }
    Ok(envelope.sender_id)
}

/// A report as it travels.
pub(super) fn report_to_pb(report: &Report) -> pb::NodeReport {
    pb::NodeReport {
        node: report.node,
        incarnation: report.memory.incarnation,
        clock_ms: report.clock_ms,
        verified_size: report.verified_size,
        applied_size: report.applied_size,
        log_end_index: report.log_end_index,
        flushed_index: report.flushed_index,
        settled_index: report.memory.log_index,
        signed_size: report.memory.signed_size,
        cut_index: report.memory.cut_index,
        vote_term: report.memory.vote_term,
        alarms: report.alarms.clone(),
        log_keys: report.log_keys.iter().map(|key| key.to_vec()).collect(),
    }
}

/// A report of the node `from`; one that speaks for another node is malformed.
pub(super) fn report_from_pb(from: u64, report: Option<pb::NodeReport>) -> Option<Report> {
    let report = report.filter(|report| report.node == from)?;
    let memory = Memory {
        incarnation: report.incarnation,
        signed_size: report.signed_size,
        vote_term: report.vote_term,
        cut_index: report.cut_index,
        log_index: report.settled_index,
    };
    let mut alarms = report.alarms;
    alarms.truncate(ALARM_NAMES_MAX);
    alarms.retain(|name| name.len() <= ALARM_NAME_LEN_MAX);
    let keys = report.log_keys.into_iter().take(LOG_KEYS_HELD_MAX);
    let log_keys = keys.filter_map(|key| <[u8; 32]>::try_from(key).ok());
    let log_keys = log_keys.collect();
    Some(Report {
        node: from,
        clock_ms: report.clock_ms,
        verified_size: report.verified_size,
        applied_size: report.applied_size,
        log_end_index: report.log_end_index,
        flushed_index: report.flushed_index,
        memory,
        alarms,
        log_keys,
    })
}

/// A memory as it travels.
pub(super) fn memory_to_pb(memory: &Memory) -> pb::NodeMemory {
    pb::NodeMemory {
        incarnation: memory.incarnation,
        signed_size: memory.signed_size,
        vote_term: memory.vote_term,
        cut_index: memory.cut_index,
        settled_index: memory.log_index,
    }
}

/// A memory that travelled.
pub(super) fn memory_from_pb(memory: &pb::NodeMemory) -> Memory {
    Memory {
        incarnation: memory.incarnation,
        signed_size: memory.signed_size,
        vote_term: memory.vote_term,
        cut_index: memory.cut_index,
        log_index: memory.settled_index,
    }
}

/// The keys of the ledger as they travel.
pub(super) fn keys_to_pb(keys: &LedgerKeys) -> pb::GetLedgerKeysResponse {
    // `to_bytes` makes a copy on the stack, which is wiped too.
    let seed = |key: &SigningKey| Zeroizing::new(key.to_bytes()).to_vec();
    pb::GetLedgerKeysResponse {
        log_seed: seed(&keys.log),
        receipt_seed: seed(&keys.receipt),
        service_seed: seed(&keys.service),
        next_receipt_seed: keys.next_receipt.as_ref().map(seed).unwrap_or_default(),
        next_log_seed: keys.next_log.as_ref().map(seed).unwrap_or_default(),
    }
}

/// Keys that travelled; `None` where one is no seed of 32 bytes.
pub(super) fn keys_from_pb(message: &pb::GetLedgerKeysResponse) -> Option<LedgerKeys> {
    let key = |seed: &[u8]| {
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).ok()?);
        Some(SigningKey::from_bytes(&seed))
    };
    let next = |seed: &[u8]| match seed {
        [] => Some(None),
        seed => Some(Some(key(seed)?)),
    };
    Some(LedgerKeys {
        log: key(&message.log_seed)?,
        next_log: next(&message.next_log_seed)?,
        receipt: key(&message.receipt_seed)?,
        next_receipt: next(&message.next_receipt_seed)?,
        service: key(&message.service_seed)?,
    })
}

/// A root of 32 bytes.
pub(super) fn root_from_pb(bytes: &[u8]) -> Option<RootHash> {
    Hash::try_from(bytes).ok().map(RootHash::from_hash)
}

/// Size and root of a message.
pub(super) fn head_from_pb(size: u64, root: &[u8]) -> Result<TreeHead, Status> {
    let root = root_from_pb(root).ok_or_else(|| malformed("root is not 32 bytes"))?;
    Ok(TreeHead {
        size: TreeSize(size),
        root,
    })
}

/// The status of a refused cosignature.
pub(super) fn refusal_status(refusal: &CosignatureRefusal) -> Status {
    use pb::CosignatureRefusal as Wire;
    let (code, reason, wire) = match refusal {
        CosignatureRefusal::NotLeader => {
            return refuse(
                Code::FailedPrecondition,
                Reason::NotLeader,
                "this node does not lead",
            );
        }
        CosignatureRefusal::UnknownCosigner { .. } => (
            Code::InvalidArgument,
            Reason::UnknownKey,
            Wire::UnknownCosigner,
        ),
        CosignatureRefusal::OtherNode { .. } => {
            (Code::InvalidArgument, Reason::NotPermitted, Wire::OtherNode)
        }
        CosignatureRefusal::WrongSignature { .. } => (
            Code::InvalidArgument,
            Reason::WrongSignature,
            Wire::WrongSignature,
        ),
        CosignatureRefusal::OtherRoot { .. } => {
            (Code::InvalidArgument, Reason::Fork, Wire::OtherRoot)
        }
        CosignatureRefusal::Stale { .. } => (
            Code::InvalidArgument,
            Reason::FailedPrecondition,
            Wire::Stale,
        ),
    };
    let mut details = ErrorDetails::new();
    let metadata = [(REFUSAL_KEY.to_owned(), wire.as_str_name().to_owned())];
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    Status::with_error_details(code, refusal.to_string(), details)
}

/// A field that no honest node sends.
pub(super) fn malformed(what: &str) -> Status {
    refuse(Code::InvalidArgument, Reason::InvalidRequest, what)
}

/// A message that is not for this node, or not from whom it says.
pub(super) fn not_permitted(what: &str) -> Status {
    refuse(Code::PermissionDenied, Reason::NotPermitted, what)
}

/// A status with a reason, as all of ours have one.
pub(super) fn refuse(code: Code, reason: Reason, what: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, std::collections::HashMap::new());
    Status::with_error_details(code, what, details)
}

const DOMAIN: &str = "aimslog";

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Identity = Identity {
        cluster: [7; 32],
        node: 1,
    };

    #[test]
    fn takes_only_messages_of_its_cluster_for_itself() {
        let good = envelope(Identity { node: 2, ..OWN }, 1);
        assert_eq!(sender(OWN, Some(good.clone())).unwrap(), 2);
        let refused = [
            ("no envelope", None),
            (
                "other cluster",
                Some(pb::Envelope {
                    cluster_id: vec![8; 32],
                    ..good.clone()
                }),
            ),
            (
                "short cluster",
                Some(pb::Envelope {
                    cluster_id: vec![7; 31],
                    ..good.clone()
                }),
            ),
            (
                "other target",
                Some(pb::Envelope {
                    target_id: 3,
                    ..good.clone()
                }),
            ),
            (
                "itself",
                Some(pb::Envelope {
                    sender_id: 1,
                    ..good.clone()
                }),
            ),
            (
                "nobody",
                Some(pb::Envelope {
                    sender_id: 0,
                    ..good
                }),
            ),
        ];
        for (what, envelope) in refused {
            assert!(sender(OWN, envelope).is_err(), "{what}");
        }
    }

    #[test]
    fn report_comes_back_and_speaks_only_for_its_sender() {
        let memory = Memory {
            incarnation: 1,
            signed_size: 2,
            vote_term: 3,
            cut_index: 4,
            log_index: 5,
        };
        let report = Report {
            node: 2,
            clock_ms: 6,
            verified_size: 7,
            applied_size: 8,
            log_end_index: Some(9),
            flushed_index: None,
            memory,
            alarms: vec!["CLOCK".to_owned()],
            log_keys: vec![[1; 32], [2; 32]],
        };
        let wire = report_to_pb(&report);
        assert_eq!(report_from_pb(2, Some(wire.clone())), Some(report));
        assert_eq!(report_from_pb(3, Some(wire)), None);
        assert_eq!(report_from_pb(3, None), None);
        assert_eq!(memory_from_pb(&memory_to_pb(&memory)), memory);
    }

    #[test]
    fn keys_come_back_and_a_short_seed_is_none() {
        let key = |byte| SigningKey::from_bytes(&[byte; 32]);
        let keys = LedgerKeys {
            log: key(1),
            receipt: key(2),
            next_log: None,
            next_receipt: None,
            service: key(3),
        };
        let mut wire = keys_to_pb(&keys);
        let back = keys_from_pb(&wire).unwrap();
        assert_eq!(back.log.to_bytes(), [1; 32]);
        assert_eq!(back.receipt.to_bytes(), [2; 32]);
        assert_eq!(back.service.to_bytes(), [3; 32]);
        assert!(back.next_receipt.is_none());
        let with_next = LedgerKeys {
            next_receipt: Some(key(4)),
            next_log: Some(key(5)),
            ..keys
        };
        let mut wire_next = keys_to_pb(&with_next);
        let back = keys_from_pb(&wire_next).unwrap();
        assert_eq!(back.next_receipt.unwrap().to_bytes(), [4; 32]);
        assert_eq!(back.next_log.unwrap().to_bytes(), [5; 32]);
        wire_next.next_receipt_seed.pop();
        assert!(keys_from_pb(&wire_next).is_none());
        wire.receipt_seed.pop();
        assert!(keys_from_pb(&wire).is_none());
    }

    #[test]
    fn every_refused_cosignature_has_its_own_reason() {
        let name = aimslog_proto::tlog::KeyName::new("example.com/node/2").unwrap();
        let head = TreeHead::EMPTY;
        let refusals = [
            CosignatureRefusal::NotLeader,
            CosignatureRefusal::UnknownCosigner { name: name.clone() },
            CosignatureRefusal::OtherNode {
                from: 2,
                name: name.clone(),
            },
            CosignatureRefusal::WrongSignature { name },
            CosignatureRefusal::OtherRoot {
                from: 2,
                own: head,
                theirs: head,
            },
            CosignatureRefusal::Stale {
                offered: TreeSize(1),
                current: TreeSize(2),
            },
        ];
        let reasons: std::collections::BTreeSet<String> = refusals
            .iter()
            .filter_map(|refusal| refusal_status(refusal).get_details_error_info())
            .map(|info| info.reason)
            .collect();
        assert_eq!(reasons.len(), refusals.len());
    }
}
