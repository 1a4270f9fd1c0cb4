//! Running a cluster, as an operator: the admin listener, which takes client certificates.

use std::future::Future;

use aimslog_proto::pb::admin::v1;
use aimslog_proto::pb::admin::v1::cluster_service_client::ClusterServiceClient;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::LeafIndex;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::connection::{Connection, Endpoints};
use crate::convert;
use crate::error::ClientError;

/// The cluster behind some admin listeners.
#[derive(Debug)]
pub struct Cluster {
    connection: Connection,
}

impl Cluster {
    /// The cluster at these admin endpoints; the endpoints need an identity.
    pub fn new(endpoints: &Endpoints) -> Result<Self, ClientError> {
        Ok(Self {
            connection: Connection::new(endpoints)?,
        })
    }

    async fn call<T, F, Fut>(&self, call: F) -> Result<T, ClientError>
    where
        F: Fn(ClusterServiceClient<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let call = |channel| call(ClusterServiceClient::new(channel));
        Ok(self.connection.call(call).await?.1)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.connection.deadline());
        request
    }

    /// Founds the cluster from the genesis that its nodes hold; returns the cluster id.
    pub async fn init(&self) -> Result<EntryId, ClientError> {
        let answer = self
            .call(async |mut client| {
                Ok(client
                    .init(self.request(v1::InitRequest {}))
                    .await?
                    .into_inner())
            })
            .await?;
        Ok(EntryId::from_bytes(convert::array(
            &answer.cluster_id,
            "cluster_id of 32 bytes",
        )?))
    }

    /// How the cluster is, as the node sees it that answers.
    pub async fn status(&self) -> Result<v1::StatusResponse, ClientError> {
        self.call(async |mut client| {
            Ok(client
                .status(self.request(v1::StatusRequest {}))
                .await?
                .into_inner())
        })
        .await
    }

    /// Logs a signed system record; returns where.
    pub async fn submit_system(&self, statement: &[u8]) -> Result<LeafIndex, ClientError> {
        let message = v1::SubmitSystemRequest {
            statement: statement.to_vec(),
        };
        let answer = self
            .call(async |mut client| {
                Ok(client
                    .submit_system(self.request(message.clone()))
                    .await?
                    .into_inner())
            })
            .await?;
        let id: [u8; 32] = convert::array(&answer.entry_id, "entry_id of 32 bytes")?;
        if EntryId::from_bytes(id) != EntryId::of(statement) {
            let why = "the answer names another entry than the one sent".to_owned();
            return Err(ClientError::Unverified {
                endpoint: "the ledger".to_owned(),
                why,
            });
        }
        Ok(LeafIndex(answer.index))
    }

    /// Adds an admitted node as a learner.
    pub async fn add_learner(&self, node_id: u64, address: &str) -> Result<(), ClientError> {
        let message = v1::AddLearnerRequest {
            node_id,
            address: address.to_owned(),
        };
        self.call(async |mut client| {
            client.add_learner(self.request(message.clone())).await?;
            Ok(())
        })
        .await
    }

    /// Makes a caught-up learner a voter.
    pub async fn promote(&self, node_id: u64) -> Result<(), ClientError> {
        self.call(async |mut client| {
            client
                .promote(self.request(v1::PromoteRequest { node_id }))
                .await?;
            Ok(())
        })
        .await
    }

    /// Makes a caught-up learner a voter in the place of another one.
    pub async fn replace(&self, old_id: u64, new_id: u64) -> Result<(), ClientError> {
        self.call(async |mut client| {
            client
                .replace(self.request(v1::ReplaceRequest { old_id, new_id }))
                .await?;
            Ok(())
        })
        .await
    }

    /// Removes a node from the cluster.
    pub async fn remove(&self, node_id: u64) -> Result<(), ClientError> {
        self.call(async |mut client| {
            client
                .remove(self.request(v1::RemoveRequest { node_id }))
                .await?;
            Ok(())
        })
        .await
    }

    /// Hands the lead to another voter.
    pub async fn move_leader(&self, node_id: u64) -> Result<(), ClientError> {
        self.call(async |mut client| {
            client
                .move_leader(self.request(v1::MoveLeaderRequest { node_id }))
                .await?;
            Ok(())
        })
        .await
    }

    /// Builds a snapshot now; returns the applied position that it holds.
    pub async fn snapshot(&self) -> Result<u64, ClientError> {
        let answer = self
            .call(async |mut client| {
                Ok(client
                    .snapshot(self.request(v1::SnapshotRequest {}))
                    .await?
                    .into_inner())
            })
            .await?;
        Ok(answer.applied_index)
    }
}
