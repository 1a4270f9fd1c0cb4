//! One direction of one connection of the evil node: everything that one node asks of the other.

use std::fs;
use std::time::Duration;

use aimslog_proto::pb::raft::v1 as pb;
use aimslog_proto::pb::raft::v1::ledger_peer_service_client::LedgerPeerServiceClient;
use aimslog_proto::pb::raft::v1::ledger_peer_service_server::{
    LedgerPeerService, LedgerPeerServiceServer,
};
use aimslog_proto::pb::raft::v1::peer_service_client::PeerServiceClient;
use aimslog_proto::pb::raft::v1::peer_service_server::{PeerService, PeerServiceServer};
use aimslog_proto::tlog::{Checkpoint, Hash, Note, NoteSignature, RootHash, TreeHead};
use futures::{Stream, stream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
use tonic::{Request, Response, Status, Streaming};

use super::{EVIL, Kept, Malice, Mind};
use crate::cluster::{Cluster, Node};
use crate::forger::{Forger, cosign, node_name, note_in, replace};

/// As the nodes have it.
const MESSAGE_BYTES: usize = 8 << 20;
/// How long the middle waits for a cosignature that it needs for a forged head.
const COSIGNATURE_WAIT: Duration = Duration::from_secs(5);

/// Who asks whom, by position in the cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Stands between two nodes: shows the asking one the certificate of the other, and the other way
/// round.
#[derive(Debug, Clone)]
pub(super) struct Middle {
    ends: Ends,
    /// Node ids of the same.
    from: u64,
    to: u64,
    forger: Forger,
    mind: watch::Sender<Mind>,
    /// To the node that is asked, as the node that asks.
    onward: Channel,
    /// To the node that asks, as the node that is asked.
    back: Channel,
}

impl Middle {
    pub(super) fn new(
        cluster: &Cluster,
        ends: Ends,
        forger: Forger,
        mind: watch::Sender<Mind>,
    ) -> Self {
        let (from, to) = (&cluster.nodes[ends.from], &cluster.nodes[ends.to]);
        Self {
            ends,
            from: from.id,
            to: to.id,
            onward: dial(from, to, &forger),
            back: dial(to, from, &forger),
            forger,
            mind,
        }
    }

    /// Serves on loopback until the tasks are dropped; returns the port.
    pub(super) async fn serve(self, cluster: &Cluster, tasks: &mut JoinSet<()>) -> u16 {
        let shown = &cluster.nodes[self.ends.to];
        let tls = ServerTlsConfig::new()
            .identity(identity(shown))
            .client_ca_root(authority(shown));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let raft = PeerServiceServer::new(self.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let ledger = LedgerPeerServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let server = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(raft)
            .add_service(ledger);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tasks.spawn(async move {
            server.serve_with_incoming(incoming).await.unwrap();
        });
        port
    }

    fn raft(&self) -> PeerServiceClient<Channel> {
        PeerServiceClient::new(self.onward.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    fn ledger(&self) -> LedgerPeerServiceClient<Channel> {
        LedgerPeerServiceClient::new(self.onward.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    fn malice(&self) -> Malice {
        self.mind.borrow().malice.clone()
    }

    /// Whether the evil node is asked by a node that it feeds with another log.
    fn asked_by_victim(&self) -> bool {
        self.ends.to == EVIL && self.malice().swaps.contains_key(&self.from)
    }

    /// Changes what the evil leader sends.
    async fn corrupt(&self, message: &mut pb::AppendEntriesRequest) {
        if self.ends.from != EVIL {
            return;
        }
        let malice = self.malice();
        for record in &mut message.entries {
            if let Some(swaps) = malice.swaps.get(&self.to) {
                for swap in swaps {
                    replace(record, &swap.old, &swap.new);
                }
            }
            let Some((note, head)) = note_in(record) else {
                continue;
            };
            if let Some(forged) = self.forge(&malice, &note, head).await {
                let claimed = *Checkpoint::parse(forged.text()).unwrap().head();
                self.forger.seal_again(record, &note, [head, claimed]);
                replace(record, &note, forged.to_string().as_bytes());
            }
        }
    }

    /// The head that this node gets in the place of a published one, if it is not to have that.
    async fn forge(&self, malice: &Malice, note: &[u8], head: TreeHead) -> Option<Note> {
        if let Some(foreign) = &malice.foreign {
            return Some(self.with_foreign_key(note, head, foreign));
        }
        if !malice.swaps.contains_key(&self.to) || head.size.0 < malice.forked_at {
            return None;
        }
        let kept = self.wait_for_cosignature(head.size.0).await?;
        let forged = TreeHead {
            root: kept.root,
            ..head
        };
        let mut note = self.forger.note(forged, &[self.from]);
        note.add(kept.line).unwrap();
        Some(note)
    }

    /// The same head with the honest cosignatures made by a foreign key.
    fn with_foreign_key(
        &self,
        note: &[u8],
        head: TreeHead,
        key: &ed25519_dalek::SigningKey,
    ) -> Note {
        let published = Note::parse(note).unwrap();
        let mut forged = self.forger.note(head, &[]);
        let (log, own) = (forged.signatures()[0].name.clone(), node_name(self.from));
        for line in published.signatures() {
            if line.name == own {
                forged.add(line.clone()).unwrap();
            } else if line.name != log {
                let node = line.name.as_str().rsplit('/').next().unwrap();
                let line = cosign(published.text(), node.parse().unwrap(), key);
                forged.add(line).unwrap();
            }
        }
        forged
    }

    async fn wait_for_cosignature(&self, size: u64) -> Option<Kept> {
        let key = (self.to, size);
        let mut mind = self.mind.subscribe();
        let kept = mind.wait_for(|mind| mind.kept.contains_key(&key));
        let kept = tokio::time::timeout(COSIGNATURE_WAIT, kept).await;
        kept.ok()?.ok()?.kept.get(&key).cloned()
    }
}

/// A channel as one node to another.
fn dial(from: &Node, to: &Node, forger: &Forger) -> Channel {
    let tls = ClientTlsConfig::new()
        .ca_certificate(authority(from))
        .identity(identity(from))
        .domain_name(forger.tls_name(to.id));
    Endpoint::from_shared(format!("https://127.0.0.1:{}", to.peer))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .tcp_nodelay(true)
        .connect_lazy()
}

fn identity(node: &Node) -> Identity {
    let read = |name: &str| fs::read(node.folder.join("tls").join(name)).unwrap();
    Identity::from_pem(read("peer.pem"), read("peer.key"))
}

fn authority(node: &Node) -> Certificate {
    Certificate::from_pem(fs::read(node.folder.join("tls/peer-ca.pem")).unwrap())
}

#[tonic::async_trait]
impl PeerService for Middle {
    type AppendEntriesStream = Streaming<pb::AppendEntriesResponse>;

    async fn append_entries(
        &self,
        request: Request<Streaming<pb::AppendEntriesRequest>>,
    ) -> Result<Response<Self::AppendEntriesStream>, Status> {
        let requests = corrupted(self.clone(), request.into_inner());
        self.raft().append_entries(requests).await
    }

    async fn vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteResponse>, Status> {
        self.raft().vote(request.into_inner()).await
    }

    async fn pre_vote(
        &self,
        request: Request<pb::PreVoteRequest>,
    ) -> Result<Response<pb::PreVoteResponse>, Status> {
        self.raft().pre_vote(request.into_inner()).await
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        self.raft().transfer_leader(request.into_inner()).await
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::InstallSnapshotRequest>>,
    ) -> Result<Response<pb::InstallSnapshotResponse>, Status> {
        let parts = passed_on(request.into_inner());
        self.raft().install_snapshot(parts).await
    }

    async fn read_index(
        &self,
        request: Request<pb::ReadIndexRequest>,
    ) -> Result<Response<pb::ReadIndexResponse>, Status> {
        self.raft().read_index(request.into_inner()).await
    }
}

/// As it came, up to its end or the first error.
fn passed_on<T: Send + 'static>(parts: Streaming<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(parts, |mut parts| async move {
        let part = parts.message().await.ok()??;
        Some((part, parts))
    })
}

fn corrupted(
    middle: Middle,
    requests: Streaming<pb::AppendEntriesRequest>,
) -> impl Stream<Item = pb::AppendEntriesRequest> + Send + 'static {
    stream::unfold((middle, requests), |(middle, mut requests)| async move {
        let mut message = requests.message().await.ok()??;
        middle.corrupt(&mut message).await;
        Some((message, (middle, requests)))
    })
}

#[tonic::async_trait]
impl LedgerPeerService for Middle {
    async fn hello(
        &self,
        request: Request<pb::HelloRequest>,
    ) -> Result<Response<pb::HelloResponse>, Status> {
        self.ledger().hello(request.into_inner()).await
    }

    /// Tells a victim that the evil node has the victim's own root, and the puppet nothing about the
    /// victims.
    async fn get_root(
        &self,
        request: Request<pb::GetRootRequest>,
    ) -> Result<Response<pb::GetRootResponse>, Status> {
        let message = request.into_inner();
        if self.ends.from == EVIL && self.malice().swaps.contains_key(&self.to) {
            return Err(Status::unavailable("the puppet must not hear this"));
        }
        if !self.asked_by_victim() {
            return self.ledger().get_root(message).await;
        }
        let size = message.size;
        let mut ask = LedgerPeerServiceClient::new(self.back.clone());
        let envelope = message.envelope.map(|envelope| pb::Envelope {
            target_id: envelope.sender_id,
            sender_id: envelope.target_id,
            ..envelope
        });
        let own = ask.get_root(pb::GetRootRequest { envelope, size }).await?;
        let root = own.into_inner().root;
        let signature = self.forger.sign_root(self.to, size, &root);
        Ok(Response::new(pb::GetRootResponse { root, signature }))
    }

    /// Keeps what a victim cosigns: the puppet collects signatures over another root.
    async fn submit_cosignature(
        &self,
        request: Request<pb::SubmitCosignatureRequest>,
    ) -> Result<Response<pb::SubmitCosignatureResponse>, Status> {
        let message = request.into_inner();
        if !self.asked_by_victim() || message.size < self.malice().forked_at {
            return self.ledger().submit_cosignature(message).await;
        }
        let root = message.root.as_slice().try_into().map(Hash::from_bytes);
        let kept = Kept {
            root: RootHash::from_hash(root.unwrap()),
            line: NoteSignature::parse(&message.cosignature).unwrap(),
        };
        let key = (self.from, message.size);
        self.mind.send_modify(|mind| {
            mind.kept.insert(key, kept);
        });
        Ok(Response::new(pb::SubmitCosignatureResponse {}))
    }

    async fn forward(
        &self,
        request: Request<pb::ForwardRequest>,
    ) -> Result<Response<pb::ForwardResponse>, Status> {
        self.ledger().forward(request.into_inner()).await
    }

    async fn get_ledger_keys(
        &self,
        request: Request<pb::GetLedgerKeysRequest>,
    ) -> Result<Response<pb::GetLedgerKeysResponse>, Status> {
        self.ledger().get_ledger_keys(request.into_inner()).await
    }
}
