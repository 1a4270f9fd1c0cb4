//! `aimslog cluster move-leader`: asks for it, and looks whether it happened.

use std::time::Duration;

use aimslog_client::admin::Cluster;
use aimslog_client::{ClientError, Endpoints};
use anyhow::Result;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::nodes::{Answer, Nodes, leader};
use crate::exit::{Exit, UserError};
use crate::output::Output;

/// How long the others may take to follow the new leader: several elections.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Lead {
    leader: u64,
    /// Who led before; the same where there was nothing to do.
    before: Option<u64>,
}

/// Hands the lead to `node`, and ends well only when that node says that it leads.
pub(super) async fn run(endpoints: &Endpoints, node: u64, output: Output) -> Result<Exit> {
    let nodes = Nodes::new(endpoints)?;
    let before = leader(&nodes.ask().await?).map(|status| status.node_id);
    let done = |text: String| {
        let lead = Lead {
            leader: node,
            before,
        };
        output.data(&lead, text).map(|()| Exit::Ok)
    };
    if before == Some(node) {
        return done(format!("node {node} leads already; nothing was changed"));
    }
    match Cluster::new(endpoints)?.move_leader(node).await {
        // What is not known is found out by looking.
        Ok(()) | Err(ClientError::OutcomeUnknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let answers = nodes.ask().await?;
        if leader(&answers).is_some_and(|status| status.node_id == node) {
            return done(format!("node {node} leads"));
        }
        if Instant::now() >= until {
            return Err(UserError::refused(why(node, &answers)));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Why a node does not lead, as far as anybody says.
fn why(node: u64, answers: &[(String, Answer)]) -> String {
    let seconds = PATIENCE.as_secs();
    let leads = leader(answers).map_or_else(
        || "no node that answers leads".to_owned(),
        |status| format!("node {} leads", status.node_id),
    );
    let mut all = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let itself = match all.find(|status| status.node_id == node) {
        None => format!("node {node} answered at none of the admin endpoints"),
        Some(status) if status.alarms.is_empty() => {
            format!("node {node} is a {} and has no alarm", status.role)
        }
        Some(status) => {
            let alarms = status.alarms.iter().map(|alarm| alarm.detail.as_str());
            format!("node {node} says {}", alarms.collect::<Vec<_>>().join("; "))
        }
    };
    format!("node {node} does not lead after {seconds} s: {leads}; {itself}")
}

#[cfg(test)]
mod tests {
    use aimslog_proto::pb::admin::v1::{Alarm, StatusResponse};

    use super::*;

    fn answer(node_id: u64, role: &str, term: u64, alarms: &[&str]) -> (String, Answer) {
        let alarm = |detail: &&str| Alarm {
            name: "CLOCK".to_owned(),
            detail: (*detail).to_owned(),
        };
        let status = StatusResponse {
            node_id,
            role: role.to_owned(),
            term,
            alarms: alarms.iter().map(alarm).collect(),
            ..StatusResponse::default()
        };
        (format!("n{node_id}:7003"), Ok(status))
    }

    #[test]
    fn of_two_leaders_the_one_of_the_newer_term_leads() {
        let answers = [
            answer(1, "leader", 4, &[]),
            answer(2, "leader", 5, &[]),
            answer(3, "follower", 5, &[]),
        ];
        assert_eq!(leader(&answers).unwrap().node_id, 2);
        assert!(leader(&answers[2..]).is_none());
    }

    #[test]
    fn what_keeps_a_node_from_leading_is_said() {
        let answers = [
            answer(1, "leader", 4, &[]),
            answer(2, "follower", 4, &["CLOCK: 9000 ms off"]),
        ];
        let off = why(2, &answers);
        assert!(
            off.ends_with("node 1 leads; node 2 says CLOCK: 9000 ms off"),
            "{off}"
        );
        let silent = why(3, &answers);
        assert!(silent.contains("node 3 answered at none"), "{silent}");
        let nobody = why(2, &answers[1..]);
        assert!(nobody.contains("no node that answers leads"), "{nobody}");
    }
}
