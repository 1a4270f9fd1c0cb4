//! Calls of clients that are refused as a whole: batches, pages, proofs, files, tokens.

use std::time::Duration;

use aimslog_client::clock;
use aimslog_proto::limits::{BLOB_BYTES_MAX, EVIDENCE_RECORDS_MAX};
use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::put_blob_request::Part;
use aimslog_proto::reason::Reason as R;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::token::mint;
use futures::FutureExt as _;
use tonic::{Code, Status};

use super::FaultyCall;
use super::scene::Scene;
use crate::cluster::ORIGIN;
use crate::wire::{evidence, log, reading, showing, within};

const PATIENCE: Duration = Duration::from_secs(20);

/// A row whose call ends with a status, at the node named.
macro_rules! row {
    ($name:literal, $code:ident, $reason:ident, $fields:expr, $scene:ident => $call:expr) => {
        FaultyCall {
            name: $name,
            code: Code::$code,
            reason: R::$reason,
            fields: $fields,
            call: |$scene| async move { status($call.await) }.boxed(),
        }
    };
}

/// The status of a call that must not succeed.
pub(super) fn status<T>(answer: Result<T, Status>) -> Status {
    match answer {
        Ok(_) => Status::ok("the call was answered"),
        Err(status) => status,
    }
}

async fn submit(scene: &Scene, submissions: Vec<v1::Submission>) -> Result<(), Status> {
    let request = v1::SubmitRequest {
        submissions,
        wait: 0,
    };
    let mut service = evidence(&scene.cluster, scene.follower);
    service.submit(within(request, PATIENCE)).await.map(drop)
}

async fn validate(scene: &Scene, submissions: Vec<v1::Submission>) -> Result<(), Status> {
    let request = within(v1::ValidateRequest { submissions }, PATIENCE);
    let mut service = evidence(&scene.cluster, scene.follower);
    service.validate(request).await.map(drop)
}

fn many(count: usize, bytes: usize) -> Vec<v1::Submission> {
    let submission = v1::Submission {
        statement: vec![0; bytes],
        ..v1::Submission::default()
    };
    vec![submission; count]
}

async fn record(scene: &Scene, key: Option<v1::get_record_request::Key>) -> Result<(), Status> {
    let request = reading(v1::GetRecordRequest { key }, &scene.hospital.key);
    let mut service = evidence(&scene.cluster, scene.leader);
    service.get_record(request).await.map(drop)
}

async fn shown(scene: &Scene, authorization: String) -> Result<(), Status> {
    let key = Some(v1::get_record_request::Key::Index(scene.first.index.0));
    let request = showing(v1::GetRecordRequest { key }, &authorization);
    let mut service = evidence(&scene.cluster, scene.leader);
    service.get_record(request).await.map(drop)
}

fn bearer(key: &SigningKey, [audience, service]: [&str; 2], issued: u64) -> String {
    assert_eq!(service, ORIGIN);
    format!("Bearer {}", mint(key, audience, issued, 300).unwrap())
}

async fn list(scene: &Scene, request: v1::ListRecordsRequest) -> Result<(), Status> {
    let mut service = evidence(&scene.cluster, scene.leader);
    let request = reading(request, &scene.hospital.key);
    service.list_records(request).await.map(drop)
}

fn page(scene: &Scene) -> v1::ListRecordsRequest {
    v1::ListRecordsRequest {
        organization: scene.hospital.id.clone(),
        ..v1::ListRecordsRequest::default()
    }
}

async fn register(scene: &Scene, request: v1::ListRegisterRequest) -> Result<(), Status> {
    let mut service = evidence(&scene.cluster, scene.leader);
    let request = reading(request, &scene.hospital.key);
    service.list_register(request).await.map(drop)
}

fn decisions(scene: &Scene) -> v1::ListRegisterRequest {
    v1::ListRegisterRequest {
        organization: scene.hospital.id.clone(),
        kind: "oversight_decision".to_owned(),
        ..v1::ListRegisterRequest::default()
    }
}

async fn diff(scene: &Scene, organization: &str, places: [u64; 2]) -> Result<(), Status> {
    let [from, to] = places;
    let request = v1::DiffRegisterRequest {
        organization: organization.to_owned(),
        kind: "oversight_decision".to_owned(),
        from,
        to: Some(to),
        ..v1::DiffRegisterRequest::default()
    };
    let mut service = evidence(&scene.cluster, scene.leader);
    let request = reading(request, &scene.hospital.key);
    service.diff_register(request).await.map(drop)
}

async fn history(
    scene: &Scene,
    key: Option<v1::get_history_request::Key>,
    page_token: &str,
) -> Result<(), Status> {
    let request = v1::GetHistoryRequest {
        key,
        page_token: page_token.to_owned(),
        ..v1::GetHistoryRequest::default()
    };
    let mut service = evidence(&scene.cluster, scene.leader);
    let request = reading(request, &scene.hospital.key);
    service.get_history(request).await.map(drop)
}

async fn put(scene: &Scene, parts: Vec<Part>) -> Result<(), Status> {
    let parts = parts.into_iter();
    let messages = parts.map(|part| v1::PutBlobRequest { part: Some(part) });
    let stream = futures::stream::iter(messages.collect::<Vec<_>>());
    let mut service = evidence(&scene.cluster, scene.follower);
    let request = reading(stream, &scene.hospital.key);
    service.put_blob(request).await.map(drop)
}

fn file(scene: &Scene, size: u64) -> Part {
    Part::Header(v1::BlobHeader {
        organization: scene.hospital.id.clone(),
        digest: vec![1; 32],
        size,
    })
}

async fn blob(scene: &Scene, digest: Vec<u8>) -> Result<(), Status> {
    let request = v1::GetBlobRequest {
        organization: scene.hospital.id.clone(),
        digest,
        entry_id: Vec::new(),
    };
    let mut service = evidence(&scene.cluster, scene.leader);
    let request = reading(request, &scene.hospital.key);
    service.get_blob(request).await.map(drop)
}

async fn inclusion(
    scene: &Scene,
    key: Option<v1::get_inclusion_proof_request::Key>,
    tree_size: u64,
) -> Result<(), Status> {
    let request = v1::GetInclusionProofRequest { key, tree_size };
    let mut service = log(&scene.cluster, scene.follower);
    let answer = service.get_inclusion_proof(within(request, PATIENCE)).await;
    answer.map(drop)
}

fn at(index: u64) -> v1::get_inclusion_proof_request::Key {
    v1::get_inclusion_proof_request::Key::Index(index)
}

async fn consistency(scene: &Scene, [old_size, new_size]: [u64; 2]) -> Result<(), Status> {
    let request = v1::GetConsistencyProofRequest { old_size, new_size };
    let mut service = log(&scene.cluster, scene.follower);
    let answer = service
        .get_consistency_proof(within(request, PATIENCE))
        .await;
    answer.map(drop)
}

async fn checkpoint(scene: &Scene, tree_size: u64) -> Result<(), Status> {
    let request = v1::GetCheckpointRequest {
        tree_size,
        wait_for_size: 0,
    };
    let mut service = log(&scene.cluster, scene.follower);
    service
        .get_checkpoint(within(request, PATIENCE))
        .await
        .map(drop)
}

async fn proof_file(scene: &Scene, request: v1::GetEvidenceRequest) -> Result<(), Status> {
    let mut service = log(&scene.cluster, scene.follower);
    let request = reading(request, &scene.hospital.key);
    service.get_evidence(request).await.map(drop)
}

fn files_of(ids: Vec<Vec<u8>>) -> v1::GetEvidenceRequest {
    v1::GetEvidenceRequest {
        entry_ids: ids,
        ..v1::GetEvidenceRequest::default()
    }
}

/// What clients are refused.
pub const ROWS: &[FaultyCall] = &[
    row!("Submit: nothing", InvalidArgument, InvalidRequest, &["submissions"],
        scene => submit(scene, Vec::new())),
    row!("Submit: 1,001 statements", InvalidArgument, BatchTooLarge, &["submissions"],
        scene => submit(scene, many(1_001, 1))),
    row!("Submit: more than 3 MiB", InvalidArgument, BatchTooLarge, &["submissions"],
        scene => submit(scene, many(4, 900_000))),
    row!("Submit: a message of 20 MiB", InvalidArgument, BatchTooLarge, &["message"],
        scene => submit(scene, many(20, 1 << 20))),
    row!("Validate: nothing", InvalidArgument, InvalidRequest, &["submissions"],
        scene => validate(scene, Vec::new())),
    row!("Validate: 1,001 statements", InvalidArgument, BatchTooLarge, &["submissions"],
        scene => validate(scene, many(1_001, 1))),
    row!("GetRecord: nothing named", InvalidArgument, InvalidRequest, &["key"],
        scene => record(scene, None)),
    row!("GetRecord: an id of 31 bytes", InvalidArgument, InvalidRequest, &["entry_id"],
        scene => record(scene, Some(v1::get_record_request::Key::EntryId(vec![1; 31])))),
    row!("GetRecord: an id of nothing", NotFound, NotVisible, &[],
        scene => record(scene, Some(v1::get_record_request::Key::EntryId(vec![1; 32])))),
    row!("GetRecord: another organisation's", NotFound, NotVisible, &[],
        scene => record(scene, Some(v1::get_record_request::Key::Index(scene.foreign.index.0)))),
    row!("GetRecord: beyond the log", NotFound, NotVisible, &[],
        scene => record(scene, Some(v1::get_record_request::Key::Index(1 << 40)))),
    row!("GetRecord: no bearer token", Unauthenticated, Unauthenticated, &[],
        scene => shown(scene, "Basic aGVsbG8=".to_owned())),
    row!("GetRecord: a token that is none", Unauthenticated, Unauthenticated, &[],
        scene => shown(scene, "Bearer e30.e30.e30".to_owned())),
    row!("GetRecord: a token of a key that nobody registered", Unauthenticated, Unauthenticated, &[],
        scene => shown(scene, bearer(&SigningKey::from_seed(&[7; 32]), [ORIGIN; 2],
            clock::unix_seconds()))),
    row!("GetRecord: a token of a revoked key", Unauthenticated, Unauthenticated, &[],
        scene => shown(scene, bearer(&scene.revoked, [ORIGIN; 2], clock::unix_seconds()))),
    row!("GetRecord: a token that has expired", Unauthenticated, Unauthenticated, &[],
        scene => shown(scene, bearer(&scene.hospital.key, [ORIGIN; 2],
            clock::unix_seconds() - 1_000))),
    row!("GetRecord: a token for another ledger", Unauthenticated, Unauthenticated, &[],
        scene => shown(scene, bearer(&scene.hospital.key, ["ledger.example.com/x", ORIGIN],
            clock::unix_seconds()))),
    row!("ListRecords: another organisation's", NotFound, NotVisible, &[],
    scene => list(scene, v1::ListRecordsRequest {
        organization: scene.clinic.id.clone(),
        ..v1::ListRecordsRequest::default()
    })),
    row!("ListRecords: 1,001 at once", InvalidArgument, PageTooLarge, &["page_size"],
        scene => list(scene, v1::ListRecordsRequest { page_size: 1_001, ..page(scene) })),
    row!("ListRecords: a page token that we did not give", InvalidArgument, InvalidRequest,
    &["page_token"],
    scene => list(scene, v1::ListRecordsRequest {
        page_token: "v1/1/2/finding/".to_owned(),
        ..page(scene)
    })),
    row!("ListRecords: a control without its scheme", InvalidArgument, InvalidRequest,
    &["control.scheme"],
    scene => list(scene, v1::ListRecordsRequest {
        control: Some(v1::ControlFilter { scheme: String::new(), id: "A.9.2".to_owned() }),
        ..page(scene)
    })),
    row!("ListRecords: a principal of nobody", InvalidArgument, InvalidRequest, &["principal"],
        scene => list(scene, v1::ListRecordsRequest { principal: "nobody".to_owned(), ..page(scene) })),
    row!("ListRecords: a range that ends before it begins", InvalidArgument, InvalidRequest,
    &["end_index"],
    scene => list(scene, v1::ListRecordsRequest { start_index: 3, end_index: 2, ..page(scene) })),
    row!("ListRecords: a time before 1970", InvalidArgument, InvalidRequest, &["registered_from"],
    scene => list(scene, v1::ListRecordsRequest {
        registered_from: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }),
        ..page(scene)
    })),
    row!("ListRegister: another organisation's", NotFound, NotVisible, &[],
    scene => register(scene, v1::ListRegisterRequest {
        organization: scene.clinic.id.clone(),
        ..decisions(scene)
    })),
    row!("ListRegister: of no kind", InvalidArgument, InvalidRequest, &["kind"],
        scene => register(scene, v1::ListRegisterRequest { kind: String::new(), ..decisions(scene) })),
    row!("ListRegister: 1,001 at once", InvalidArgument, PageTooLarge, &["page_size"],
        scene => register(scene, v1::ListRegisterRequest { page_size: 1_001, ..decisions(scene) })),
    row!("ListRegister: a page token that we did not give", InvalidArgument, InvalidRequest,
    &["page_token"],
    scene => register(scene, v1::ListRegisterRequest {
        page_token: "3-1-0011223344556677".to_owned(),
        ..decisions(scene)
    })),
    row!("ListRegister: beyond the newest head", OutOfRange, BeyondTree, &[],
        scene => register(scene, v1::ListRegisterRequest { at: Some(1 << 40), ..decisions(scene) })),
    row!("DiffRegister: another organisation's", NotFound, NotVisible, &[],
        scene => diff(scene, &scene.clinic.id, [0, 1])),
    row!("DiffRegister: backwards", InvalidArgument, InvalidRequest, &["from"],
        scene => diff(scene, &scene.hospital.id, [2, 1])),
    row!("DiffRegister: beyond the newest head", OutOfRange, BeyondTree, &[],
        scene => diff(scene, &scene.hospital.id, [0, 1 << 40])),
    row!("GetHistory: nothing named", InvalidArgument, InvalidRequest, &["key"],
        scene => history(scene, None, "")),
    row!("GetHistory: another organisation's", NotFound, NotVisible, &[],
        scene => history(scene, Some(v1::get_history_request::Key::Index(scene.foreign.index.0)), "")),
    row!("GetHistory: a page token that we did not give", InvalidArgument, InvalidRequest,
        &["page_token"],
        scene => history(scene, Some(v1::get_history_request::Key::Index(4)), "x")),
    row!("Watch: another organisation", NotFound, NotVisible, &[],
    scene => async {
        let request = v1::WatchRequest {
            organization: scene.clinic.id.clone(),
            start_index: 0,
        };
        let mut service = evidence(&scene.cluster, scene.leader);
        service.watch(reading(request, &scene.hospital.key)).await
    }),
    row!("PutBlob: bytes before the header", InvalidArgument, InvalidRequest, &["header"],
        scene => put(scene, vec![Part::Chunk(vec![1])])),
    row!("PutBlob: larger than the limit", InvalidArgument, BlobTooLarge, &["header.size"],
        scene => put(scene, vec![file(scene, BLOB_BYTES_MAX + 1)])),
    row!("PutBlob: another digest", InvalidArgument, BlobMismatch, &["header.digest"],
        scene => put(scene, vec![file(scene, 3), Part::Chunk(vec![1, 2, 3])])),
    row!("PutBlob: more bytes than announced", InvalidArgument, BlobMismatch, &["chunk"],
        scene => put(scene, vec![file(scene, 3), Part::Chunk(vec![1, 2, 3, 4])])),
    row!("GetBlob: a digest of 31 bytes", InvalidArgument, InvalidRequest, &["digest"],
        scene => blob(scene, vec![1; 31])),
    row!("GetBlob: nothing was stored", NotFound, NotVisible, &[],
        scene => blob(scene, vec![1; 32])),
    row!("GetCheckpoint: beyond the newest head", OutOfRange, BeyondTree, &[],
        scene => checkpoint(scene, 1 << 40)),
    row!("GetCheckpoint: a size that no head had", NotFound, HeadNotFound, &[],
        scene => checkpoint(scene, 1)),
    row!("GetEntry: no token", Unauthenticated, Unauthenticated, &[],
    scene => async {
        let key = Some(v1::get_entry_request::Key::Index(0));
        let mut service = log(&scene.cluster, scene.leader);
        service.get_entry(within(v1::GetEntryRequest { key }, PATIENCE)).await
    }),
    row!("GetInclusionProof: nothing named", InvalidArgument, InvalidRequest, &["key"],
        scene => inclusion(scene, None, 0)),
    row!("GetInclusionProof: an id that is not logged", NotFound, NotFound, &[],
        scene => inclusion(scene,
            Some(v1::get_inclusion_proof_request::Key::EntryId(vec![1; 32])), 0)),
    row!("GetInclusionProof: an index beyond the tree", OutOfRange, BeyondTree, &[],
        scene => inclusion(scene, Some(at(1 << 40)), 0)),
    row!("GetInclusionProof: an index beyond its head", OutOfRange, BeyondTree, &[],
        scene => inclusion(scene, Some(at(scene.second.index.0)), 2)),
    row!("GetInclusionProof: a head beyond the tree", OutOfRange, BeyondTree, &[],
        scene => inclusion(scene, Some(at(0)), u64::MAX)),
    row!("GetConsistencyProof: a size beyond the tree", OutOfRange, BeyondTree, &[],
        scene => consistency(scene, [2, 1 << 40])),
    row!("GetConsistencyProof: from the larger to the smaller", InvalidArgument, InvalidRequest,
        &["old_size"], scene => consistency(scene, [1 << 40, 2])),
    row!("GetReceipt: an index beyond the tree", OutOfRange, BeyondTree, &[],
    scene => async {
        let key = Some(v1::get_receipt_request::Key::Index(1 << 40));
        let request = v1::GetReceiptRequest { key, tree_size: 0 };
        let mut service = log(&scene.cluster, scene.follower);
        service.get_receipt(within(request, PATIENCE)).await
    }),
    row!("GetEvidence: nothing named", InvalidArgument, InvalidRequest, &["entry_ids"],
        scene => proof_file(scene, files_of(Vec::new()))),
    row!("GetEvidence: 10,001 records", InvalidArgument, PageTooLarge, &["entry_ids"],
        scene => proof_file(scene, files_of(vec![vec![1; 32]; EVIDENCE_RECORDS_MAX + 1]))),
    row!("GetEvidence: another organisation's", NotFound, NotVisible, &[],
        scene => proof_file(scene, files_of(vec![scene.foreign.entry_id.as_bytes().to_vec()]))),
    row!("GetEvidence: behind the end of the file", OutOfRange, BeyondTree, &[],
    scene => proof_file(scene, v1::GetEvidenceRequest {
        offset: 1 << 40,
        ..files_of(vec![scene.first.entry_id.as_bytes().to_vec()])
    })),
];
