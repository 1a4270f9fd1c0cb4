//! Changes of the cluster that are refused.

use aimslog_proto::pb::admin::v1;
use aimslog_proto::reason::Reason as R;
use futures::FutureExt as _;
use tonic::Code;
use tonic::transport::Channel;

use super::FaultyCall;
use super::calls::status;
use super::scene::Scene;
use crate::wire;
use aimslog_proto::pb::admin::v1::cluster_service_client::ClusterServiceClient;

/// No node has it.
const NOBODY: u64 = 99;

macro_rules! row {
    ($name:literal, $code:ident, $reason:ident, $scene:ident => $call:expr) => {
        FaultyCall {
            name: $name,
            code: Code::$code,
            reason: R::$reason,
            fields: &[],
            call: |$scene| async move { status($call.await) }.boxed(),
        }
    };
}

fn leader(scene: &Scene) -> ClusterServiceClient<Channel> {
    wire::admin(&scene.cluster, scene.leader)
}

fn follower(scene: &Scene) -> ClusterServiceClient<Channel> {
    wire::admin(&scene.cluster, scene.follower)
}

fn id(scene: &Scene, position: usize) -> u64 {
    scene.cluster.nodes[position].id
}

/// What operators are refused.
pub const ROWS: &[FaultyCall] = &[
    row!("Init: a second time", AlreadyExists, AlreadyInitialized,
        scene => leader(scene).init(v1::InitRequest {})),
    row!("Remove: at a follower", Unavailable, NotLeader,
        scene => follower(scene).remove(v1::RemoveRequest { node_id: id(scene, scene.follower) })),
    row!("Remove: no member, at a follower", Unavailable, NotLeader,
        scene => follower(scene).remove(v1::RemoveRequest { node_id: NOBODY })),
    row!("Remove: one of three voters", FailedPrecondition, WouldLoseQuorum,
        scene => leader(scene).remove(v1::RemoveRequest { node_id: id(scene, scene.follower) })),
    row!("Remove: the leader", FailedPrecondition, WouldLoseQuorum,
        scene => leader(scene).remove(v1::RemoveRequest { node_id: id(scene, scene.leader) })),
    row!("Remove: no member", NotFound, NotFound,
        scene => leader(scene).remove(v1::RemoveRequest { node_id: NOBODY })),
    row!("Promote: no member", NotFound, NotFound,
        scene => leader(scene).promote(v1::PromoteRequest { node_id: NOBODY })),
    row!("Promote: a voter", FailedPrecondition, FailedPrecondition,
        scene => leader(scene).promote(v1::PromoteRequest { node_id: id(scene, scene.follower) })),
    row!("Promote: at a follower", Unavailable, NotLeader,
        scene => follower(scene).promote(v1::PromoteRequest { node_id: NOBODY })),
    row!("Replace: no voter goes", NotFound, NotFound,
    scene => leader(scene).replace(v1::ReplaceRequest {
        old_id: NOBODY,
        new_id: id(scene, scene.follower),
    })),
    row!("Replace: no learner comes", NotFound, NotFound,
    scene => leader(scene).replace(v1::ReplaceRequest {
        old_id: id(scene, scene.follower),
        new_id: NOBODY,
    })),
    row!("MoveLeader: to no member", NotFound, NotFound,
        scene => leader(scene).move_leader(v1::MoveLeaderRequest { node_id: NOBODY })),
    row!("MoveLeader: at a follower", Unavailable, NotLeader,
    scene => follower(scene).move_leader(v1::MoveLeaderRequest {
        node_id: id(scene, scene.leader),
    })),
    row!("AddLearner: a node that the operators have not let in", PermissionDenied, NotPermitted,
    scene => leader(scene).add_learner(v1::AddLearnerRequest {
        node_id: NOBODY,
        address: "127.0.0.1:1".to_owned(),
    })),
];
