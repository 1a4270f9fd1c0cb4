//! Runs gRPC services on a listener, with the limits of its kind.

use crate::limits_server as limits;
use crate::service::answers::AnswersLayer;
use crate::service::budget::BudgetLayer;
use crate::service::listener::Connection;
use crate::service::penalty::PenaltyLayer;
use crate::service::reasons::ReasonsLayer;
use std::io;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

/// Which callers a listener serves; decides its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Everybody.
    Clients,
    /// The other nodes.
    Peers,
    /// Operators.
    Operators,
}

impl Callers {
    /// Name of the listener in messages and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Peers => "peers",
            Self::Operators => "operators",
        }
    }

    /// How many connections are open at most.
    pub fn connections_max(self) -> usize {
        match self {
            Self::Clients => limits::CLIENT_CONNECTIONS_MAX,
            Self::Peers => limits::PEER_CONNECTIONS_MAX,
            Self::Operators => limits::ADMIN_CONNECTIONS_MAX,
        }
    }

    fn streams_max(self) -> u32 {
        match self {
            Self::Clients => limits::CLIENT_STREAMS_MAX,
            Self::Peers => limits::PEER_STREAMS_MAX,
            Self::Operators => limits::ADMIN_STREAMS_MAX,
        }
    }

    /// Peers have shown a certificate, and their requests are streams that never end.
    fn request_bytes_max(self) -> Option<usize> {
        match self {
            Self::Clients => Some(limits::CLIENT_REQUEST_BYTES_MAX),
            Self::Operators => Some(limits::ADMIN_REQUEST_BYTES_MAX),
            Self::Peers => None,
        }
    }

    /// Operators have shown a certificate, too, and get small answers.
    fn answer_bytes_max(self) -> Option<usize> {
        match self {
            Self::Clients => Some(limits::CLIENT_ANSWER_BYTES_MAX),
            Self::Operators | Self::Peers => None,
        }
    }

    /// Peer connections live as long as they work: every raft stream runs over one.
    fn connection_age_max(self) -> Option<Duration> {
        match self {
            Self::Clients | Self::Operators => Some(limits::CONNECTION_AGE_MAX),
            Self::Peers => None,
        }
    }
}

/// Serves `routes` until `stop`, then lets open calls finish; the caller gives them a deadline.
pub async fn serve(
    callers: Callers,
    connections: ReceiverStream<io::Result<Connection>>,
    routes: Routes,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let mut server = Server::builder()
        .max_concurrent_streams(callers.streams_max())
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(limits::PENDING_RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(limits::LOCAL_ERROR_RESET_STREAMS_MAX));
    if let Some(age) = callers.connection_age_max() {
        server = server
            .timeout(limits::CALL_DEADLINE_MAX)
            .max_connection_age(age)
            .max_connection_age_grace(limits::CONNECTION_AGE_GRACE);
    }
    server
        .layer(PenaltyLayer::default())
        .layer(ReasonsLayer)
        .layer(BudgetLayer::new(callers.request_bytes_max()))
        .layer(AnswersLayer::new(callers.answer_bytes_max()))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await
}
