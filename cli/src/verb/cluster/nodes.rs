//! The nodes behind the admin endpoints, each asked for itself and all at once: one that is gone costs
//! no more time than one that answers late.

use std::sync::Arc;
use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_client::{ClientError, Endpoints};
use aimslog_proto::pb::admin::v1::StatusResponse;
use anyhow::Result;
use tokio::task::JoinSet;

/// How long one node may take to say how it is.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What a node says of itself, or why it says nothing.
pub(crate) type Answer = Result<StatusResponse, ClientError>;

/// The nodes, by admin endpoint.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: Vec<(String, Arc<Cluster>)>,
}

impl Nodes {
    /// One at each of the admin endpoints.
    pub(crate) fn new(endpoints: &Endpoints) -> Result<Self> {
        let alone = |address: &String| {
            let node = Cluster::new(&Endpoints {
                addresses: vec![address.clone()],
                deadline: endpoints.deadline.min(ANSWER_MAX),
                ..endpoints.clone()
            })?;
            Ok((address.clone(), Arc::new(node)))
        };
        let nodes = endpoints.addresses.iter().map(alone);
        Ok(Self {
            nodes: nodes.collect::<Result<_, ClientError>>()?,
        })
    }

    /// How each of them is, in the order of the endpoints.
    pub(crate) async fn ask(&self) -> Result<Vec<(String, Answer)>> {
        let mut asked = JoinSet::new();
        for (position, (_, node)) in self.nodes.iter().enumerate() {
            let node = Arc::clone(node);
            asked.spawn(async move { (position, node.status().await) });
        }
        let mut answers = Vec::with_capacity(self.nodes.len());
        while let Some(answer) = asked.join_next().await {
            answers.push(answer?);
        }
        answers.sort_by_key(|(position, _)| *position);
        let addresses = self.nodes.iter().map(|(address, _)| address.clone());
        Ok(addresses
            .zip(answers.into_iter().map(|(_, answer)| answer))
            .collect())
    }
}

/// The leader's answer. Where two say that they lead, one of them has not heard of the newer term.
pub(crate) fn leader(answers: &[(String, Answer)]) -> Option<&StatusResponse> {
    let all = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    all.filter(|status| status.role == "leader")
        .max_by_key(|status| status.term)
}
