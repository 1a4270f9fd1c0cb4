//! The nodes behind the admin endpoints, each asked for itself and all at once: one that is gone costs
//! no more time than one that answers late.

use std::sync::Arc;
use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_client::{ClientError, Endpoints};
use aimslog_proto::pb::admin::v1::StatusResponse;
use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::exit::UserError;

/// Between two looks at what changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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

impl Nodes {
    /// How the leader is; waits so long for one where there is none.
    pub(crate) async fn leader(&self, patience: Duration) -> Result<StatusResponse> {
        let until = Instant::now() + patience;
        loop {
            let answers = self.ask().await?;
            if let Some(status) = leader(&answers) {
                return Ok(status.clone());
            }
            let last = answers.into_iter().find_map(|(_, answer)| answer.err());
            if Instant::now() >= until {
                let none = || UserError::refused("no node of the admin endpoints leads");
                return Err(last.map_or_else(none, Into::into));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks all of them until what they say suffices, or so long at most; what was missing last is
    /// what `judge` says then.
    pub(crate) async fn until(
        &self,
        patience: Duration,
        judge: impl Fn(&[StatusResponse]) -> Result<(), String>,
    ) -> Result<Result<(), String>> {
        let until = Instant::now() + patience;
        loop {
            let answers = self.ask().await?.into_iter();
            let answered: Vec<StatusResponse> = answers.filter_map(|(_, it)| it.ok()).collect();
            let judged = judge(&answered);
            if judged.is_ok() || Instant::now() >= until {
                return Ok(judged);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The leader's answer. Where two say that they lead, one of them has not heard of the newer term.
pub(crate) fn leader(answers: &[(String, Answer)]) -> Option<&StatusResponse> {
    let all = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    leader_of(all)
}

/// The same among nodes that answered.
pub(crate) fn leader_of<'a>(
    answered: impl Iterator<Item = &'a StatusResponse>,
) -> Option<&'a StatusResponse> {
    answered
        .filter(|status| status.role == "leader")
        .max_by_key(|status| status.term)
}
