//! A log service that tells clients whatever it likes, under the real certificate of a node.

mod evidence;

use std::fs;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::evidence_service_server::EvidenceServiceServer;
use aimslog_proto::pb::v1::log_service_server::{LogService, LogServiceServer};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::tree::NodeId;
use aimslog_proto::tlog::{
    ConsistencyPlan, Frontier, Hash, InclusionPlan, LeafHash, LeafIndex, TreeHead, TreeSize,
};
use futures::{Stream, stream};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::cluster::Cluster;

/// Makes the signed note of a head.
pub type Sign = Arc<dyn Fn(TreeHead) -> String + Send + Sync>;

/// What the service says.
#[derive(Clone)]
pub struct Story {
    /// Its log: the newest head covers all of it, proofs are made from it.
    pub entries: Vec<Vec<u8>>,
    /// Size of the head that it calls the newest.
    pub size: u64,
    /// Makes its heads.
    pub sign: Sign,
    /// Its answer to every question for evidence.
    pub evidence: Vec<u8>,
    /// The entry that it proves in the place of whatever is asked for by id.
    pub instead: LeafIndex,
    /// Its consistency proofs are wrong.
    pub wrong_consistency: bool,
    /// The size of the head that it shows with them, in the place of the one asked for.
    pub consistency_head: Option<u64>,
    /// The record that it gives in the place of whichever is asked for.
    pub record: Option<v1::Record>,
    /// What it says of whatever is submitted.
    pub accepted: Option<v1::Accepted>,
    /// The one page that it gives of any register.
    pub register: Option<v1::ListRegisterResponse>,
    /// The one page that it gives of what changed in any register.
    pub diff: Option<v1::DiffRegisterResponse>,
    /// The one page that it gives of any history.
    pub history: Option<v1::GetHistoryResponse>,
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Story {
    /// The log of these entries under heads that `sign` makes.
    pub fn of(entries: &[Vec<u8>], sign: Sign) -> Self {
        Self {
            entries: entries.to_vec(),
            size: entries.len() as u64,
            sign,
            evidence: Vec::new(),
            instead: LeafIndex(0),
            wrong_consistency: false,
            consistency_head: None,
            record: None,
            accepted: None,
            register: None,
            diff: None,
            history: None,
        }
    }

    /// The head of its first `size` entries.
    pub fn head(&self, size: u64) -> TreeHead {
        head_of(&self.entries[..usize::try_from(size).unwrap()])
    }

    /// The same, signed.
    pub fn signed(&self, size: u64) -> v1::SignedHead {
        v1::SignedHead {
            checkpoint: (self.sign)(self.head(size)),
            ..v1::SignedHead::default()
        }
    }

    /// Hashes of these nodes of its tree.
    pub fn read(&self, nodes: &[NodeId]) -> Vec<Hash> {
        let hash = |node: &NodeId| {
            let leaves = usize::try_from(node.first_leaf()).unwrap()
                ..=usize::try_from(node.last_leaf()).unwrap();
            head_of(&self.entries[leaves]).root.hash()
        };
        nodes.iter().map(hash).collect()
    }
}

/// Size and root of the tree over these entries.
pub fn head_of(entries: &[Vec<u8>]) -> TreeHead {
    let mut frontier = Frontier::EMPTY;
    for entry in entries {
        frontier.push(LeafHash::of(entry)).unwrap();
    }
    frontier.head()
}

/// The service. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeLedger {
    /// Where it listens, on loopback.
    pub port: u16,
    story: Arc<Mutex<Story>>,
    _server: JoinSet<()>,
}

impl FakeLedger {
    /// Starts it with the certificate of the cluster's first node.
    pub async fn start(cluster: &Cluster, story: Story) -> Self {
        let tls = cluster.nodes[0].folder.join("tls");
        let read = |name: &str| fs::read(tls.join(name)).unwrap();
        let identity = Identity::from_pem(read("server.pem"), read("server.key"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let story = Arc::new(Mutex::new(story));
        let service = LogServiceServer::new(Teller(Arc::clone(&story)));
        let records = EvidenceServiceServer::new(Teller(Arc::clone(&story)));
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap()
            .add_service(service)
            .add_service(records);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let incoming = TcpIncoming::from(listener);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            port,
            story,
            _server: tasks,
        }
    }

    /// From now on it says something else.
    pub fn tell(&self, story: Story) {
        *self.story.lock().unwrap_or_else(PoisonError::into_inner) = story;
    }
}

#[derive(Debug)]
struct Teller(Arc<Mutex<Story>>);

impl Teller {
    fn story(&self) -> Story {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn bytes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect()
}

#[tonic::async_trait]
impl LogService for Teller {
    type GetEvidenceStream =
        Pin<Box<dyn Stream<Item = Result<v1::GetEvidenceResponse, Status>> + Send>>;

    async fn get_checkpoint(
        &self,
        _request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let story = self.story();
        let head = Some(story.signed(story.size));
        Ok(Response::new(v1::GetCheckpointResponse { head }))
    }

    async fn get_entries(
        &self,
        request: Request<v1::GetEntriesRequest>,
    ) -> Result<Response<v1::GetEntriesResponse>, Status> {
        let start = request.into_inner().start_index;
        let entries = (0..).zip(self.story().entries);
        let entries = entries
            .filter(|(index, _)| *index >= start)
            .map(|(index, statement)| v1::LogEntry { index, statement });
        Ok(Response::new(v1::GetEntriesResponse {
            entries: entries.collect(),
            next_index: 0,
        }))
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        let story = self.story();
        let index = match request.into_inner().key {
            Some(v1::get_entry_request::Key::Index(index)) => index,
            _ => story.instead.0,
        };
        let statement = story.entries[usize::try_from(index).unwrap()].clone();
        let entry = Some(v1::EntryRef {
            index,
            entry_id: EntryId::of(&statement).as_bytes().to_vec(),
            leaf_hash: LeafHash::of(&statement).hash().as_bytes().to_vec(),
            ..v1::EntryRef::default()
        });
        Ok(Response::new(v1::GetEntryResponse { entry, statement }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        let story = self.story();
        let index = match request.into_inner().key {
            Some(v1::get_inclusion_proof_request::Key::Index(index)) => LeafIndex(index),
            _ => story.instead,
        };
        let plan = InclusionPlan::new(index, TreeSize(story.size)).unwrap();
        let proof = plan.build(&story.read(plan.nodes())).unwrap();
        let leaf = LeafHash::of(&story.entries[usize::try_from(index.0).unwrap()]);
        Ok(Response::new(v1::GetInclusionProofResponse {
            proof: Some(v1::InclusionProof {
                leaf_index: index.0,
                tree_size: story.size,
                hashes: bytes(proof.hashes()),
            }),
            head: Some(story.signed(story.size)),
            leaf_hash: leaf.hash().as_bytes().to_vec(),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        let story = self.story();
        let v1::GetConsistencyProofRequest { old_size, new_size } = request.into_inner();
        let plan = ConsistencyPlan::new(TreeSize(old_size), TreeSize(new_size)).unwrap();
        let proof = plan.build(&story.read(plan.nodes())).unwrap();
        let mut hashes = bytes(proof.hashes());
        if story.wrong_consistency {
            hashes[0][0] ^= 1;
        }
        Ok(Response::new(v1::GetConsistencyProofResponse {
            proof: Some(v1::ConsistencyProof {
                old_size,
                new_size,
                hashes,
            }),
            head: Some(story.signed(story.consistency_head.unwrap_or(new_size))),
        }))
    }

    async fn get_receipt(
        &self,
        _request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        Err(Status::unimplemented("receipts are told as files"))
    }

    async fn get_evidence(
        &self,
        _request: Request<v1::GetEvidenceRequest>,
    ) -> Result<Response<Self::GetEvidenceStream>, Status> {
        let chunk = self.story().evidence;
        let pieces = stream::iter([Ok(v1::GetEvidenceResponse { chunk })]);
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn get_log_info(
        &self,
        _request: Request<v1::GetLogInfoRequest>,
    ) -> Result<Response<v1::GetLogInfoResponse>, Status> {
        Err(Status::unimplemented("nobody may believe it"))
    }
}
