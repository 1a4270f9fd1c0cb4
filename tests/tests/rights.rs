//! Who gets what from the client listener: every call of every service that reflection names, by a
//! stranger, by each role and by an agent. A call without a row fails.
//!
//! What each role may append is walked in `proto/tests/roles.rs`, kind by kind and state by state.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aimslog_client::{Outcome, Wait, clock};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::role::Reads;
use aimslog_proto::pb::v1;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::system::{Admission, PrincipalChange, PrincipalId};
use aimslog_proto::token::mint;
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::people::{Hospital, admission, principal, system_record};
use aimslog_tests::wire::{self, Told};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const PATIENCE: Duration = Duration::from_secs(20);
/// Whoever sees a record is told of it sooner.
const SILENCE: Duration = Duration::from_secs(1);

/// What a call asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Nothing: the answer is for everybody.
    Nothing,
    /// Nothing of the caller: the statement in it says who signed.
    Signature,
    /// A read token of anybody whom an organisation has admitted.
    Token,
    /// A read token, and a role that reads the record.
    Sight,
    /// A read token, and a role that reads at all.
    Sighted,
    /// What the other listeners ask, where this one does not know the service.
    OtherListener,
}

/// One record, an attachment, and whoever wrote them.
struct Scene {
    cluster: Cluster,
    hospital: Hospital,
    /// A record of the office.
    entry_id: Vec<u8>,
    /// The digest of an attachment.
    blob: [u8; 32],
}

impl Scene {
    async fn set() -> Self {
        let cluster = Cluster::start(1).await;
        let hospital = Hospital::register(&cluster, "hospital").await;
        let ledger = cluster.ledger_as(hospital.read_key());
        let entry_id = log_one(&ledger, &[hospital.decision(1)]).await;
        let file = b"what the record names";
        ledger.put_blob("hospital", file).await.unwrap();
        ledger
            .checkpoint_covering(aimslog_proto::tlog::TreeSize(5))
            .await
            .unwrap();
        Self {
            cluster,
            hospital,
            entry_id,
            blob: Sha256::digest(file).into(),
        }
    }

    /// A request to which there is an answer for whoever may have it, and what it asks of the caller.
    fn row(&self, path: &str) -> Option<(Asks, Vec<u8>)> {
        let (service, method) = path.trim_start_matches('/').split_once('/')?;
        match (service, method) {
            ("aimslog.v1.EvidenceService", method) => self.evidence_row(method),
            ("aimslog.v1.LogService", method) => self.log_row(method),
            ("grpc.health.v1.Health", "Check") => Some((Asks::Nothing, Vec::new())),
            ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo") => {
                let message_request = Some(MessageRequest::ListServices(String::new()));
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request,
                };
                Some((Asks::Nothing, request.encode_to_vec()))
            }
            (
                "aimslog.admin.v1.ClusterService"
                | "aimslog.raft.v1.PeerService"
                | "aimslog.raft.v1.LedgerPeerService",
                _,
            ) => Some((Asks::OtherListener, Vec::new())),
            _ => None,
        }
    }

    fn evidence_row(&self, method: &str) -> Option<(Asks, Vec<u8>)> {
        let organization = self.hospital.id.clone();
        let row = match method {
            "Submit" => {
                let request = v1::SubmitRequest {
                    submissions: vec![self.unsigned()],
                    wait: 0,
                };
                (Asks::Signature, request.encode_to_vec())
            }
            "Validate" => {
                let submissions = vec![self.unsigned()];
                let request = v1::ValidateRequest { submissions };
                (Asks::Signature, request.encode_to_vec())
            }
            "GetRecord" => {
                let id = self.entry_id.clone();
                let key = Some(v1::get_record_request::Key::EntryId(id));
                (Asks::Sight, v1::GetRecordRequest { key }.encode_to_vec())
            }
            "ListRecords" => {
                let request = v1::ListRecordsRequest {
                    organization,
                    ..v1::ListRecordsRequest::default()
                };
                (Asks::Sight, request.encode_to_vec())
            }
            "ListRegister" | "DiffRegister" | "GetHistory" => self.register_row(method),
            "Watch" => {
                let request = v1::WatchRequest {
                    organization,
                    start_index: 0,
                };
                (Asks::Sight, request.encode_to_vec())
            }
            "PutBlob" => {
                // Without bytes: whoever may store is told that some are missing.
                let header = v1::BlobHeader {
                    organization,
                    digest: vec![7; 32],
                    size: 1,
                };
                let part = Some(v1::put_blob_request::Part::Header(header));
                (Asks::Token, v1::PutBlobRequest { part }.encode_to_vec())
            }
            "GetBlob" => {
                let digest = self.blob.to_vec();
                let request = v1::GetBlobRequest {
                    organization,
                    digest,
                    entry_id: Vec::new(),
                };
                (Asks::Sighted, request.encode_to_vec())
            }
            _ => return None,
        };
        Some(row)
    }

    /// The register of the record that the office has logged.
    fn register_row(&self, method: &str) -> (Asks, Vec<u8>) {
        let (organization, kind) = (self.hospital.id.clone(), "oversight_decision".to_owned());
        let request = match method {
            "ListRegister" => v1::ListRegisterRequest {
                organization,
                kind,
                ..v1::ListRegisterRequest::default()
            }
            .encode_to_vec(),
            "DiffRegister" => v1::DiffRegisterRequest {
                organization,
                kind,
                ..v1::DiffRegisterRequest::default()
            }
            .encode_to_vec(),
            _ => {
                let id = self.entry_id.clone();
                v1::GetHistoryRequest {
                    key: Some(v1::get_history_request::Key::EntryId(id)),
                    ..v1::GetHistoryRequest::default()
                }
                .encode_to_vec()
            }
        };
        (Asks::Sight, request)
    }

    fn log_row(&self, method: &str) -> Option<(Asks, Vec<u8>)> {
        let id = self.entry_id.clone();
        let row = match method {
            "GetCheckpoint" | "GetLogInfo" => (Asks::Nothing, Vec::new()),
            "GetEntry" => {
                let key = Some(v1::get_entry_request::Key::EntryId(id));
                (Asks::Token, v1::GetEntryRequest { key }.encode_to_vec())
            }
            "GetEntries" => (Asks::Token, Vec::new()),
            "GetInclusionProof" => {
                let request = v1::GetInclusionProofRequest {
                    key: Some(v1::get_inclusion_proof_request::Key::EntryId(id)),
                    tree_size: 0,
                };
                (Asks::Nothing, request.encode_to_vec())
            }
            "GetConsistencyProof" => {
                let request = v1::GetConsistencyProofRequest {
                    old_size: 1,
                    new_size: 0,
                };
                (Asks::Nothing, request.encode_to_vec())
            }
            "GetReceipt" => {
                let request = v1::GetReceiptRequest {
                    key: Some(v1::get_receipt_request::Key::EntryId(id)),
                    tree_size: 0,
                };
                (Asks::Nothing, request.encode_to_vec())
            }
            "GetEvidence" => {
                let request = v1::GetEvidenceRequest {
                    entry_ids: vec![id],
                    ..v1::GetEvidenceRequest::default()
                };
                (Asks::Sight, request.encode_to_vec())
            }
            _ => return None,
        };
        Some(row)
    }

    /// A statement of the office, signed by somebody whom nobody admitted.
    fn unsigned(&self) -> v1::Submission {
        let stranger = Hospital {
            key: Arc::new(SigningKey::from_seed(&[99; 32])),
            ..self.hospital.clone()
        };
        let finished = stranger.decision(2);
        v1::Submission {
            statement: finished.statement,
            disclosures: finished.disclosures,
            digest_only: Vec::new(),
        }
    }

    /// What a caller with this token, or without one, is told at a call.
    async fn told(&self, path: &str, request: &[u8], token: Option<&str>) -> Result<Vec<u8>, Told> {
        let answer = wire::raw_call_showing(&self.cluster, 0, (path, token), request.to_vec());
        // A stream of records stays open and says nothing as long as there is nothing to see.
        let is_watch = path.ends_with("/Watch");
        let patience = if is_watch { SILENCE } else { PATIENCE };
        let answer = match tokio::time::timeout(patience, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => {
                assert!(is_watch, "{path}: {elapsed}");
                Err(Status::deadline_exceeded("nothing was said"))
            }
        };
        answer.map_err(|status| Told::by(&status))
    }
}

async fn log_one(
    ledger: &aimslog_client::Ledger,
    statements: &[aimslog_client::FinishedStatement],
) -> Vec<u8> {
    let outcomes = ledger.submit(statements, Wait::Committed).await.unwrap();
    match &outcomes[..] {
        [Outcome::Logged { entry, .. }] => entry.entry_id.as_bytes().to_vec(),
        other => panic!("a good record was answered with {other:?}"),
    }
}

fn token(key: &SigningKey) -> String {
    mint(key, ORIGIN, clock::unix_seconds(), 300).unwrap()
}

/// Every call that the services of the client listener name, as paths.
async fn paths(cluster: &Cluster) -> Vec<String> {
    let mut reflection = ServerReflectionClient::new(wire::client_channel(cluster, 0));
    let mut ask = async |message_request| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let requests = futures::stream::iter([request]);
        let mut answers = reflection
            .server_reflection_info(requests)
            .await?
            .into_inner();
        let answer = answers.message().await?.unwrap();
        Ok::<_, Status>(answer.message_response.unwrap())
    };
    let listed = ask(MessageRequest::ListServices(String::new()))
        .await
        .unwrap();
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("services are not listed: {listed:?}");
    };
    let mut paths = Vec::new();
    for service in listed.service {
        let symbol = MessageRequest::FileContainingSymbol(service.name.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await.unwrap() else {
            panic!("{} is not described", service.name);
        };
        for file in files.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(&*file).unwrap();
            let services = file.service.iter();
            let named = services.filter(|described| {
                format!("{}.{}", file.package(), described.name()) == service.name
            });
            for method in named.flat_map(|described| &described.method) {
                paths.push(format!("/{}/{}", service.name, method.name()));
            }
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_what_is_public_and_nothing_else() {
    let scene = Scene::set().await;
    let stranger = token(&SigningKey::from_seed(&[99; 32]));
    let operator = std::fs::read_to_string(scene.cluster.folder().join("operator-1/operator.seed"));
    let operator = aimslog_tests::people::dalek_key(&operator.unwrap());
    let operator = token(&SigningKey::from_seed(&operator.to_bytes()));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths(&scene.cluster).await {
        let Some((asks, request)) = scene.row(&path) else {
            panic!("{path} has no row: say what it asks of its caller");
        };
        *seen.entry(format!("{asks:?}")).or_default() += 1;
        for token in [
            None,
            Some(stranger.as_str()),
            Some(operator.as_str()),
            Some("x.y.z"),
        ] {
            let answer = scene.told(&path, &request, token).await;
            let name = format!("{path} {asks:?} with {token:?}: {answer:?}");
            match (asks, answer) {
                (Asks::Nothing, Ok(_)) => {}
                (Asks::Signature, Ok(answer)) => refuses_a_stranger(&path, &answer),
                (Asks::Token | Asks::Sight | Asks::Sighted, Err(told)) => {
                    assert_eq!(told.reason, Some(Reason::Unauthenticated), "{name}");
                    assert_eq!(told.code, Code::Unauthenticated, "{name}");
                }
                (Asks::OtherListener, Err(told)) => {
                    assert_eq!(told.code, Code::Unimplemented, "{name}");
                }
                _ => panic!("{name}"),
            }
        }
    }
    println!("calls by what they ask: {seen:?}");
    assert!(seen.len() >= 5, "{seen:?}");
}

/// A batch of one statement, refused for its signer and for nothing that one would have to know the
/// ledger for.
fn refuses_a_stranger(path: &str, answer: &[u8]) {
    let refused = if path.ends_with("/Submit") {
        let answer = v1::SubmitResponse::decode(answer).unwrap();
        match answer.results[0].outcome.clone() {
            Some(v1::submit_result::Outcome::Refused(refused)) => refused,
            other => panic!("{path}: {other:?}"),
        }
    } else {
        let answer = v1::ValidateResponse::decode(answer).unwrap();
        answer.results[0].clone()
    };
    let reasons: Vec<&str> = refused
        .violations
        .iter()
        .map(|it| it.reason.as_str())
        .collect();
    assert_eq!(reasons, ["UNKNOWN_KEY"], "{path}");
}

/// Whoever reads: a name, its key, and what its role reads of its own organisation.
struct Reader {
    name: String,
    key: SigningKey,
    reads: Reads,
}

/// Somebody in each role, and an agent.
async fn readers(scene: &Scene) -> Vec<Reader> {
    let mut readers = Vec::new();
    let admin = scene.cluster.admin_of(0);
    let bundle = RuleBundle::v1();
    for (seed, role) in (100..).zip(bundle.roles()) {
        let key = SigningKey::from_seed(&[seed; 32]);
        let id = format!("p-{seed}");
        let change = admission("hospital", (&id, &[role.name.as_str()]), &key);
        let record = principal("hospital", &id, change);
        let record = system_record(&record, &scene.hospital.administrator);
        admin.submit_system(&record).await.unwrap();
        readers.push(Reader {
            name: role.name.clone(),
            key,
            reads: role.reads,
        });
    }
    // An agent reads what it has signed at most, whatever its role.
    let key = SigningKey::from_seed(&[200; 32]);
    let PrincipalChange::Admit(admitted) =
        admission("hospital", ("agent", &["process_owner"]), &key)
    else {
        panic!("an admission");
    };
    let change = PrincipalChange::Admit(Box::new(Admission {
        acts_for: Some(PrincipalId::new("office-1").unwrap()),
        ..*admitted
    }));
    let record = principal("hospital", "agent", change);
    let record = system_record(&record, &scene.hospital.administrator);
    admin.submit_system(&record).await.unwrap();
    readers.push(Reader {
        name: "agent".to_owned(),
        key,
        reads: Reads::Signed,
    });
    readers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_gets_what_the_bundle_gives_it_at_every_call() {
    let scene = Scene::set().await;
    let readers = readers(&scene).await;
    let paths = paths(&scene.cluster).await;
    for Reader { name, key, reads } in &readers {
        let token = token(key);
        for path in &paths {
            let Some((asks, request)) = scene.row(path) else {
                panic!("{path} has no row");
            };
            let answer = scene.told(path, &request, Some(&token)).await;
            let what = format!("{name} at {path}: {answer:?}");
            let sees = *reads == Reads::All;
            let sighted = *reads != Reads::None;
            match (asks, path.rsplit('/').next()) {
                (Asks::Nothing | Asks::Signature | Asks::OtherListener, _) => {}
                // It may store; only the bytes are missing.
                (Asks::Token, Some("PutBlob")) => {
                    let told = answer.unwrap_err();
                    assert_eq!(told.reason, Some(Reason::BlobMismatch), "{what}");
                }
                (Asks::Token, _) => assert!(answer.is_ok(), "{what}"),
                (Asks::Sighted, _) => assert_eq!(answer.is_ok(), sighted, "{what}"),
                (Asks::Sight, Some("ListRecords")) => {
                    let list = v1::ListRecordsResponse::decode(&*answer.unwrap()).unwrap();
                    assert_eq!(!list.records.is_empty(), sees, "{what}");
                }
                // Whoever sees nothing is not told how much there is, either.
                (Asks::Sight, Some("ListRegister")) => {
                    let list = v1::ListRegisterResponse::decode(&*answer.unwrap()).unwrap();
                    let told = (!list.entities.is_empty(), list.count.is_some());
                    assert_eq!(told, (sees, sees), "{what}");
                }
                (Asks::Sight, Some("DiffRegister")) => {
                    let diff = v1::DiffRegisterResponse::decode(&*answer.unwrap()).unwrap();
                    let counts = diff.count_from.is_some() && diff.count_to.is_some();
                    let told = (!diff.changes.is_empty(), counts);
                    assert_eq!(told, (sees, sees), "{what}");
                }
                // Streams what it sees, and nothing as long as it sees nothing.
                (Asks::Sight, Some("Watch")) => assert_eq!(answer.is_ok(), sees, "{what}"),
                (Asks::Sight, _) => match answer {
                    Ok(_) => assert!(sees, "{what}"),
                    Err(told) => {
                        assert!(!sees, "{what}");
                        assert_eq!(told.reason, Some(Reason::NotVisible), "{what}");
                    }
                },
            }
        }
    }
}
