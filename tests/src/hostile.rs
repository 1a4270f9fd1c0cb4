//! Callers who mean harm, or are broken: garbage, silence, half of everything, too much of it. Each
//! attack goes on until it is dropped, and counts what it got done.

use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aimslog_proto::pb::v1;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::Cluster;
use crate::wire::{self, showing, within};

/// What every HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// How long a silent caller holds on before it tries another connection.
const HOLD: Duration = Duration::from_secs(20);
/// Between two attempts of one attacker, so that the machine is not what gives in.
const PAUSE: Duration = Duration::from_millis(5);

/// A running attack.
#[derive(Debug)]
pub struct Attack {
    /// What it does.
    pub name: &'static str,
    done: Arc<AtomicU64>,
    _attackers: JoinSet<()>,
}

impl Attack {
    /// Lets so many attackers do the same over and over.
    fn start<F>(name: &'static str, attackers: usize, once: impl Fn(usize) -> F) -> Self
    where
        F: AsyncRepeat,
    {
        let done = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for attacker in 0..attackers {
            let (repeat, done) = (once(attacker), Arc::clone(&done));
            tasks.spawn(async move {
                loop {
                    repeat.once().await;
                    done.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
            });
        }
        Self {
            name,
            done,
            _attackers: tasks,
        }
    }

    /// How often an attacker got to the end of what it does.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// What an attacker does again and again.
trait AsyncRepeat: Send + Sync + 'static {
    fn once(&self) -> impl Future<Output = ()> + Send;
}

/// Bytes that are nothing, to the listener at this port.
struct Garbage(u16);

impl AsyncRepeat for Garbage {
    async fn once(&self) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.0)).await else {
            return;
        };
        let bytes: Vec<u8> = (0..512).flat_map(|_| rand::random::<[u8; 8]>()).collect();
        // Whether the node reads them is its affair.
        drop(stream.write_all(&bytes).await);
        let mut answer = [0; 64];
        drop(timeout(HOLD, stream.read(&mut answer)).await);
    }
}

/// A connection over which nothing is ever said.
struct Silence(u16);

impl AsyncRepeat for Silence {
    async fn once(&self) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.0)).await else {
            return;
        };
        let mut answer = [0; 64];
        drop(timeout(HOLD, stream.read(&mut answer)).await);
    }
}

/// A proper TLS connection, over which these bytes are sent and nothing more.
struct AfterTls {
    tls: TlsConnector,
    port: u16,
    bytes: Vec<u8>,
}

impl AsyncRepeat for AfterTls {
    async fn once(&self) {
        let Some(mut stream) = connect(&self.tls, self.port).await else {
            return;
        };
        drop(stream.write_all(&self.bytes).await);
        let mut answer = vec![0; 4_096];
        let until_closed = async { while let Ok(1..) = stream.read(&mut answer).await {} };
        drop(timeout(HOLD, until_closed).await);
    }
}

async fn connect(tls: &TlsConnector, port: u16) -> Option<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    timeout(HOLD, tls.connect(name, tcp)).await.ok()?.ok()
}

fn connector(cluster: &Cluster) -> TlsConnector {
    let pem = fs::read(cluster.folder().join("public/client-ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Calls of `Submit` that each announce a message of 4,000,000 bytes, send a little of it, and stop.
fn half_open_calls(calls: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/aimslog.v1.EvidenceService/Submit"),
        (":authority", "127.0.0.1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    // HPACK: literal fields without indexing and without Huffman codes.
    let mut block = Vec::new();
    for (name, value) in fields {
        for text in [name, value] {
            if text == name {
                block.push(0);
            }
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    let mut start = vec![0];
    start.extend(4_000_000_u32.to_be_bytes());
    start.resize(128, 0x0a);
    let mut bytes = [PREFACE, &SETTINGS].concat();
    for call in 0..calls {
        let stream = 2 * call + 1;
        bytes.extend(frame(1, 4, stream, &block));
        bytes.extend(frame(0, 0, stream, &start));
    }
    bytes
}

/// One unary call that is refused, over a channel that stays.
struct Call<F>(F);

impl<F, A> AsyncRepeat for Call<F>
where
    F: Fn() -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send,
{
    async fn once(&self) {
        (self.0)().await;
    }
}

/// Everything at once against one node.
pub fn all(cluster: &Cluster, position: usize) -> Vec<Attack> {
    let node = &cluster.nodes[position];
    let listeners = [node.client, node.peer, node.admin];
    let tls = connector(cluster);
    let after_tls = |bytes: Vec<u8>| {
        let (tls, port) = (tls.clone(), node.client);
        move |_: usize| AfterTls {
            tls: tls.clone(),
            port,
            bytes: bytes.clone(),
        }
    };
    let junk: Vec<u8> = (0..256).flat_map(|_| rand::random::<[u8; 8]>()).collect();
    vec![
        Attack::start("random bytes", 12, |n| Garbage(listeners[n % 3])),
        Attack::start("silence", 900, |n| Silence(listeners[n % 3])),
        Attack::start("silence after TLS", 100, after_tls(Vec::new())),
        Attack::start(
            "HTTP/1",
            10,
            after_tls(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ),
        Attack::start("random frames", 20, after_tls([PREFACE, &junk].concat())),
        Attack::start("calls left half open", 8, after_tls(half_open_calls(200))),
        giant_messages(cluster, position),
        bad_tokens(cluster, position),
        large_headers(cluster, position),
    ]
}

fn giant_messages(cluster: &Cluster, position: usize) -> Attack {
    let service = wire::evidence(cluster, position);
    let submission = v1::Submission {
        statement: vec![0; 24 << 20],
        ..v1::Submission::default()
    };
    let request = v1::SubmitRequest {
        submissions: vec![submission],
        wait: 0,
    };
    Attack::start("messages of 24 MiB", 1, |_| {
        let (service, request) = (service.clone(), request.clone());
        Call(move || {
            let (mut service, request) = (service.clone(), request.clone());
            async move {
                let refused = service.submit(within(request, HOLD)).await;
                assert!(refused.is_err(), "a message of 24 MiB was taken");
            }
        })
    })
}

fn bad_tokens(cluster: &Cluster, position: usize) -> Attack {
    let service = wire::evidence(cluster, position);
    Attack::start("bad tokens", 8, |_| {
        let service = service.clone();
        Call(move || {
            let mut service = service.clone();
            async move {
                let token = format!("{:032x}", rand::random::<u128>());
                let key = Some(v1::get_record_request::Key::Index(0));
                let message = v1::GetRecordRequest { key };
                let request = showing(message, &format!("Bearer {token}.{token}.{token}"));
                let refused = service.get_record(request).await;
                assert!(refused.is_err(), "a token of nobody was taken");
            }
        })
    })
}

fn large_headers(cluster: &Cluster, position: usize) -> Attack {
    let service = wire::log(cluster, position);
    Attack::start("headers of 64 KiB", 2, |_| {
        let service = service.clone();
        Call(move || {
            let mut service = service.clone();
            async move {
                let message = v1::GetCheckpointRequest::default();
                let request = showing(message, &"x".repeat(64 << 10));
                let refused = service.get_checkpoint(request).await;
                assert!(refused.is_err(), "a header of 64 KiB was taken");
            }
        })
    })
}
