//! Limits of the three listeners. Each protects memory or time of this node from one caller;
//! the limits of the protocol itself stand in `aimslog_proto::limits`.

use std::time::Duration;

/// Largest message of the client and the admin listener: a batch of 3 MiB and its framing.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest header list of a request; a read token takes about 400 bytes of it.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// Requests in flight on one client connection; more wait in the caller's HTTP/2 stack.
pub const CLIENT_STREAMS_MAX: u32 = 256;
/// Requests in flight on one peer connection: appends, votes, exchange and one snapshot.
pub const PEER_STREAMS_MAX: u32 = 256;
/// Requests in flight on one admin connection.
pub const ADMIN_STREAMS_MAX: u32 = 16;

/// Bytes of client requests that are not answered yet, of all connections together: 64 batches of the
/// largest size. One address gets a quarter of them.
pub const CLIENT_REQUEST_BYTES_MAX: usize = 256 << 20;
/// Bytes of answers to clients that are not sent yet, of all connections together: 80 pages of the largest
/// size. One address gets a quarter of them, one principal an eighth.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 256 << 20;
/// The bytes of requests of operators.
pub const ADMIN_REQUEST_BYTES_MAX: usize = 32 << 20;

/// Open connections; the next one is closed before its TLS handshake. One address gets three
/// quarters of them.
pub const CLIENT_CONNECTIONS_MAX: usize = 1_024;
/// Every node holds a few connections to every other one.
pub const PEER_CONNECTIONS_MAX: usize = 128;
/// Operators are few.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;

/// A handshake (TLS and the first words of HTTP/2) that takes longer is given up.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Unfinished handshakes at once and listener, each some tens of KiB; where one more comes the oldest
/// gives way. Many, so that an honest caller is through before hundreds came after it.
pub const HANDSHAKES_MAX: usize = 256;

/// Deadline of a call whose caller set none.
pub const CALL_DEADLINE_DEFAULT: Duration =
    Duration::from_secs(aimslog_proto::limits::DEADLINE_SECONDS_DEFAULT);
/// Longest deadline of a call that a caller may set, except for streams.
pub const CALL_DEADLINE_MAX: Duration = Duration::from_mins(2);
/// Longest life of a `Watch` stream: a reader resumes from its index with a fresh token.
pub const WATCH_LIFE_MAX: Duration = Duration::from_hours(1);

/// A connection is asked to go away after this time, so that a certificate taken back or renewed
/// takes effect.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_hours(1);
/// Time that an aged connection has to finish its calls.
pub const CONNECTION_AGE_GRACE: Duration = Duration::from_mins(1);
/// A silent connection is pinged after this time.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A connection whose ping is not answered in this time is closed.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that a caller opened and reset before they were accepted (the rapid-reset flood).
pub const PENDING_RESET_STREAMS_MAX: usize = 20;
/// Streams that this end reset for protocol errors of the caller.
pub const LOCAL_ERROR_RESET_STREAMS_MAX: usize = 256;

/// Time that open calls have at shutdown.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Chunk of an evidence file that `GetEvidence` streams.
pub const EVIDENCE_CHUNK_BYTES: usize = 1 << 20;
/// Attachments being received at once, of at most 4 MiB each.
pub const BLOB_UPLOADS_MAX: usize = 16;
/// The same of one organisation.
pub const BLOB_UPLOADS_OF_ORGANIZATION_MAX: usize = 8;
/// The same of one principal.
pub const BLOB_UPLOADS_OF_PRINCIPAL_MAX: usize = 4;
/// Attachments being sent at once: each lies in memory until it is taken, two minutes at most.
pub const BLOB_DOWNLOADS_MAX: usize = 32;
/// The same to one organisation.
pub const BLOB_DOWNLOADS_OF_ORGANIZATION_MAX: usize = 16;
/// The same to one principal.
pub const BLOB_DOWNLOADS_OF_PRINCIPAL_MAX: usize = 8;
/// `Watch` streams open at once.
pub const WATCHES_MAX: usize = 256;
/// The same of one organisation.
pub const WATCHES_OF_ORGANIZATION_MAX: usize = 32;
/// The same of one principal.
pub const WATCHES_OF_PRINCIPAL_MAX: usize = 16;
/// Evidence files being made at once: each lies in memory until it is sent.
pub const EVIDENCE_FILES_MAX: usize = 4;
/// The same for one organisation: a file may lie there for minutes while it is not taken.
pub const EVIDENCE_FILES_OF_ORGANIZATION_MAX: usize = 3;
/// The same for one principal.
pub const EVIDENCE_FILES_OF_PRINCIPAL_MAX: usize = 2;
/// Calls with `WAIT_RECEIPT` whose evidence files are being made at once. Organisations take turns.
pub const RECEIPT_FILES_MAX: usize = 16;
/// Answers with changes of policy being made at once: anybody may ask for them.
pub const POLICY_ANSWERS_MAX: usize = 2;
/// Changes of policy in one answer; the last of them may stand under one head with a few more.
pub const POLICY_PAGE_CHANGES_MAX: usize = 64;
/// Records and notes after which an answer with changes of policy ends: with the changes that stand under
/// one head it stays below what a caller takes at once.
pub const POLICY_PAGE_BYTES_MAX: usize = 1 << 20;
