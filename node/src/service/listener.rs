//! A listener: accepts connections, caps them, does the TLS handshake with a deadline, and hands
//! the streams to tonic.
//!
//! Handshakes run beside each other, so that a caller who is slow to speak delays nobody else.

use crate::limits_server::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

/// Pause after `accept` failed for lack of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection after its handshake. While it lives it counts against the cap of its listener.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    _slot: OwnedSemaphorePermit,
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

    /// Accepts on its own task until `stop`; the stream of connections ends then.
    pub fn accept(
        self,
        tls: Arc<ServerConfig>,
        connections_max: usize,
        stop: CancellationToken,
    ) -> ReceiverStream<io::Result<Connection>> {
        let (ready, connections) = mpsc::channel(HANDSHAKES_MAX);
        tokio::spawn(accept_loop(
            self,
            TlsAcceptor::from(tls),
            connections_max,
            (ready, stop),
        ));
        ReceiverStream::new(connections)
    }
}

type Ready = mpsc::Sender<io::Result<Connection>>;

async fn accept_loop(
    bound: Bound,
    tls: TlsAcceptor,
    connections_max: usize,
    (ready, stop): (Ready, CancellationToken),
) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        // A handshake slot first: while all are taken, callers wait in the kernel's queue.
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = bound.tcp.accept() => accepted,
        };
        let (tcp, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = bound.name, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!(listener = bound.name, %caller, "connection refused, all are taken");
            continue;
        };
        let (tls, ready, name) = (tls.clone(), ready.clone(), bound.name);
        tokio::spawn(async move {
            let result = handshake_with_deadline(&tls, tcp).await;
            drop(handshake);
            match result {
                // The receiver is gone when the server stops; the connection is dropped then.
                Ok(stream) => {
                    drop(
                        ready
                            .send(Ok(Connection {
                                stream,
                                _slot: slot,
                            }))
                            .await,
                    );
                }
                Err(error) => {
                    tracing::debug!(listener = name, %caller, %error, "TLS handshake failed");
                }
            }
        });
    }
}

async fn handshake_with_deadline(
    tls: &TlsAcceptor,
    tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    tcp.set_nodelay(true)?;
    tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp))
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
}
