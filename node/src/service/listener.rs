//! A listener: accepts connections, caps them, does the TLS handshake with a deadline, and hands
//! the streams to tonic.
//!
//! Handshakes run beside each other, and where too many are unfinished the oldest gives way, so that
//! callers who are slow to speak, or never do, delay nobody else. A caller has finished when it has
//! sent the first words of HTTP/2: up to there nothing but this module would ever close it.

mod seats;
mod waiting;

use crate::limits_server::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX};
use crate::service::network::Network;
use rustls::ServerConfig;
use seats::{Seat, Seats};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};
use waiting::Waiting;

/// Pause after `accept` failed for lack of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many finished connections may wait for the server to take them.
const READY_MAX: usize = 64;
/// What every HTTP/2 client says first (RFC 9113 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection after its handshake. While it lives it counts against the caps of its listener.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    /// What of the preface the server has not read yet.
    preface: &'static [u8],
    _seat: Seat,
}

impl Connected for Connection {
    type ConnectInfo = TlsConnectInfo<TcpConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.preface.is_empty() {
            let length = self.preface.len().min(buf.remaining());
            let (first, rest) = self.preface.split_at(length);
            buf.put_slice(first);
            self.preface = rest;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What a connection that begins now is accepted with.
pub type CurrentTls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Why a listener does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {name}; is another program using the port?")]
pub struct BindError {
    /// Which listener.
    pub name: &'static str,
    /// The address of the configuration.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Bound {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds `address`; port 0 lets the system choose.
    pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let error = |source| BindError {
            name,
            address,
            source,
        };
        let tcp = TcpListener::bind(address).await.map_err(error)?;
        let address = tcp.local_addr().map_err(error)?;
        Ok(Self { name, tcp, address })
    }

    /// The address that is bound, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts on a task of `tasks` until `stop`; the stream of connections ends then, and with it
    /// every handshake that is not finished.
    pub fn accept(
        self,
        tls: CurrentTls,
        connections_max: usize,
        (tasks, stop): (&TaskTracker, CancellationToken),
    ) -> ReceiverStream<io::Result<Connection>> {
        let (ready, connections) = mpsc::channel(READY_MAX);
        let waiting = Waiting::new(HANDSHAKES_MAX, tasks.clone());
        let accepting = accept_loop(self, tls, connections_max, (ready, Arc::clone(&waiting)));
        // If it panics the stream ends, and with it the server, which the node cannot go on without.
        tasks.spawn(async move {
            let _stopped = stop.run_until_cancelled_owned(accepting).await;
            waiting.end();
        });
        ReceiverStream::new(connections)
    }
}

type Ready = mpsc::Sender<io::Result<Connection>>;

async fn accept_loop(
    bound: Bound,
    tls: CurrentTls,
    connections_max: usize,
    (ready, waiting): (Ready, Arc<Waiting>),
) {
    let seats = Seats::new(connections_max);
    loop {
        let (tcp, caller) = match bound.tcp.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = bound.name, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (name, address) = (bound.name, Network::of(caller.ip()));
        // Before the handshake, which is what costs the most.
        if !seats.is_free(address) {
            tracing::warn!(listener = name, %caller, "connection refused, all are taken");
            continue;
        }
        let (ready, seats) = (ready.clone(), Arc::clone(&seats));
        let tls = TlsAcceptor::from(tls());
        waiting.start(address, |ticket| async move {
            let result = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(&tls, tcp)).await;
            drop(ticket);
            let stream = match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(listener = name, %caller, %error, "handshake failed");
                    return;
                }
                Err(_elapsed) => {
                    tracing::debug!(listener = name, %caller, "handshake not finished in time");
                    return;
                }
            };
            if let Some(seat) = seats.take(address) {
                let connection = Connection {
                    stream,
                    preface: PREFACE,
                    _seat: seat,
                };
                // The receiver is gone when the server stops; the connection is dropped then.
                drop(ready.send(Ok(connection)).await);
            }
        });
    }
}

async fn handshake(tls: &TlsAcceptor, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    tcp.set_nodelay(true)?;
    let mut stream = tls.accept(tcp).await?;
    let mut first = [0; PREFACE.len()];
    stream.read_exact(&mut first).await?;
    if first == *PREFACE {
        Ok(stream)
    } else {
        let words = "the caller does not speak HTTP/2";
        Err(io::Error::new(io::ErrorKind::InvalidData, words))
    }
}
