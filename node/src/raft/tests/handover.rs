//! A leader hands over to one node, and that one alone campaigns.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_but_never_to_who_must_not_campaign() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let (idle, next) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.seats[idle]
        .consensus()
        .participate(Participation::NoCampaign);
    cluster.seats[leader]
        .consensus()
        .transfer_leader(cluster.seats[next].id)
        .await
        .unwrap();
    cluster.seats[next]
        .until("led", |s| s.role == Role::Leader)
        .await;
    cluster.propose("led by the next").await;
    let idle_id = cluster.seats[idle].id;
    let leading = cluster.leader().await;
    cluster.seats[leading]
        .consensus()
        .transfer_leader(idle_id)
        .await
        .unwrap();
    cluster.propose("still going").await;
    assert_ne!(cluster.leader().await, idle);
}

/// The request goes to every voter. Were each of them to take it for its own, two would campaign in
/// the same term, and whoever wins would be a matter of luck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_campaigns_but_the_one_who_is_named() {
    let cluster = Cluster::of_three().await;
    for round in 0..6 {
        let leader = cluster.leader().await;
        let next = (leader + 1 + round % 2) % 3;
        cluster.propose("before the hand-over").await;
        let before = cluster.seats[leader]
            .consensus()
            .status()
            .borrow()
            .vote
            .term;
        let id = cluster.seats[next].id;
        let handed = cluster.seats[leader].consensus().transfer_leader(id).await;
        handed.unwrap();
        cluster.seats[next]
            .until("led", |s| s.role == Role::Leader)
            .await;
        let after = cluster.seats[next].consensus().status().borrow().vote.term;
        assert_eq!(after, before + 1, "round {round}: more than one election");
    }
}

/// Raft itself would stop leading, and whoever campaigns first would win.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handing_over_to_oneself_changes_nothing() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let consensus = cluster.seats[leader].consensus();
    let before = consensus.status().borrow().vote.term;
    consensus
        .transfer_leader(cluster.seats[leader].id)
        .await
        .unwrap();
    cluster.propose("still led by the same").await;
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(consensus.status().borrow().vote.term, before);
}
