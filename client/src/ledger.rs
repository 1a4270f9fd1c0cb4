//! Reading from a ledger: every answer is checked against the policy before it is handed on.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aimslog_proto::pb::v1;
use aimslog_proto::pb::v1::evidence_service_client::EvidenceServiceClient;
use aimslog_proto::pb::v1::log_service_client::LogServiceClient;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::key::Signer;
use aimslog_proto::tlog::note::NoteError;
use aimslog_proto::tlog::policy::PolicyError;
use aimslog_proto::tlog::{LeafIndex, Note, Policy, TreeSize};
use aimslog_proto::token;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::clock;
use crate::connection::{Connection, Endpoints};
use crate::error::ClientError;
use crate::record::{ListedRecord, listed};
use crate::trust::{HeadMemory, SignedHead, chain};

/// Largest answer that is read, in bytes: a page of records.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long a read token lives; a new one is made for each call.
const TOKEN_SECONDS: u64 = 120;

/// What to do where the head of a ledger is signed or cosigned by others than the policy names.
const NEWER_POLICY: &str = ". Its operators may have replaced a node or a key: get the newest policy file from \
    them, compare its fingerprint over another channel, use it in the place of this one, and keep this \
    one for what was made under it";

/// Who reads: a key that the registry of the ledger knows.
pub type ReadKey = Arc<dyn Signer>;

/// One entry to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKey {
    /// By what it is.
    Id(EntryId),
    /// By where it stands.
    Index(LeafIndex),
}

/// A ledger: its nodes, the policy that its heads must satisfy, and the heads remembered of it.
pub struct Ledger {
    connection: Connection,
    policy: Policy,
    memory: Mutex<HeadMemory>,
    reader: Option<(ReadKey, String)>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// A ledger at these endpoints. Nothing is sent yet.
    pub fn new(
        endpoints: &Endpoints,
        policy: Policy,
        memory: HeadMemory,
    ) -> Result<Self, ClientError> {
        let connection = Connection::new(endpoints)?;
        Ok(Self {
            connection,
            policy,
            memory: Mutex::new(memory),
            reader: None,
        })
    }

    /// The same, reading as the holder of this key; `service_id` is what the key signs tokens for.
    #[must_use]
    pub fn reading_as(mut self, key: ReadKey, service_id: impl Into<String>) -> Self {
        self.reader = Some((key, service_id.into()));
        self
    }

    /// The policy that every head must satisfy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The request with a fresh token of the reader, if there is one, and its deadline.
    pub(crate) fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        request.set_timeout(self.connection.deadline());
        if let Some((key, service_id)) = &self.reader {
            let now = clock::unix_seconds();
            let token = token::mint(key.as_ref(), service_id, now, TOKEN_SECONDS)
                .map_err(|error| Status::failed_precondition(chain(&error)))?;
            let value = MetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|error| Status::failed_precondition(error.to_string()))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }

    pub(crate) async fn log<T, F, Fut>(&self, call: F) -> Result<(String, T), ClientError>
    where
        F: Fn(LogServiceClient<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        self.log_except(&[], call).await
    }

    pub(crate) async fn log_except<T, F, Fut>(
        &self,
        except: &[String],
        call: F,
    ) -> Result<(String, T), ClientError>
    where
        F: Fn(LogServiceClient<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let call = |channel| {
            call(LogServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
        };
        self.connection.call_except(except, call).await
    }

    pub(crate) async fn evidence_service<T, F, Fut>(
        &self,
        call: F,
    ) -> Result<(String, T), ClientError>
    where
        F: Fn(EvidenceServiceClient<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let call = |channel| {
            let client = EvidenceServiceClient::new(channel);
            call(client.max_decoding_message_size(ANSWER_BYTES_MAX))
        };
        self.connection.call(call).await
    }

    /// Facts about the log: service id, genesis, policies. Not verified; a policy from here is no
    /// better than whoever answered.
    pub async fn unverified_info(&self) -> Result<v1::GetLogInfoResponse, ClientError> {
        let (_, answer) = self
            .log(async |mut client| {
                let request = self.request(v1::GetLogInfoRequest::default())?;
                Ok(client.get_log_info(request).await?.into_inner())
            })
            .await?;
        Ok(answer)
    }

    /// The newest head of the ledger, checked against the policy and against the head remembered.
    /// A stale answer is not returned: the remembered head is newer.
    pub async fn checkpoint(&self) -> Result<SignedHead, ClientError> {
        self.checkpoint_of(v1::GetCheckpointRequest::default())
            .await
    }

    /// A head of at least this size; waits for one up to the deadline.
    pub async fn checkpoint_covering(&self, size: TreeSize) -> Result<SignedHead, ClientError> {
        let request = v1::GetCheckpointRequest {
            wait_for_size: size.0,
            ..Default::default()
        };
        let head = self.checkpoint_of(request).await?;
        if head.head().size < size {
            let why = format!(
                "a head of at least {size} entries was asked for, not {}",
                head.head()
            );
            let endpoint = "the ledger".to_owned();
            return Err(ClientError::Unverified { endpoint, why });
        }
        Ok(head)
    }

    async fn checkpoint_of(
        &self,
        message: v1::GetCheckpointRequest,
    ) -> Result<SignedHead, ClientError> {
        let (endpoint, answer) = self
            .log(async |mut client| {
                Ok(client
                    .get_checkpoint(self.request(message)?)
                    .await?
                    .into_inner())
            })
            .await?;
        let head = self.check_head(&endpoint, answer.head)?;
        self.learn(&endpoint, head).await
    }

    pub(crate) fn check_head(
        &self,
        endpoint: &str,
        message: Option<v1::SignedHead>,
    ) -> Result<SignedHead, ClientError> {
        let message = message.ok_or(ClientError::Malformed { what: "head" })?;
        let note = &message.checkpoint;
        SignedHead::check(note, &self.policy).map_err(|mut why| {
            if is_of_other_policy(note, &self.policy) {
                why.push_str(NEWER_POLICY);
            }
            ClientError::Unverified {
                endpoint: endpoint.to_owned(),
                why,
            }
        })
    }

    /// One record of the reader's organisation, which is the one that was asked for. Asked for by its
    /// index, it is whatever the answering node says stands there.
    pub async fn record(&self, key: EntryKey) -> Result<ListedRecord, ClientError> {
        let asked = match key {
            EntryKey::Id(id) => v1::get_record_request::Key::EntryId(id.as_bytes().to_vec()),
            EntryKey::Index(index) => v1::get_record_request::Key::Index(index.0),
        };
        let message = v1::GetRecordRequest { key: Some(asked) };
        let (endpoint, answer) = self
            .evidence_service(async |mut client| {
                Ok(client
                    .get_record(self.request(message.clone())?)
                    .await?
                    .into_inner())
            })
            .await?;
        listed(&endpoint, Some(key), answer.record)
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, HeadMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many nodes there are to ask.
    pub(crate) fn endpoints(&self) -> usize {
        self.connection.endpoints()
    }

    /// How long a call may take in all.
    pub fn deadline(&self) -> Duration {
        self.connection.deadline()
    }
}

/// Whether a policy refuses a note for nothing but a log key or cosigners that it does not name.
fn is_of_other_policy(note: &str, policy: &Policy) -> bool {
    Note::parse(note.as_bytes()).is_ok_and(|note| match policy.check(&note) {
        Err(PolicyError::NoQuorum { strangers, .. }) => !strangers.is_empty(),
        Err(PolicyError::Log(NoteError::NoKnownKey)) => true,
        _ => false,
    })
}
