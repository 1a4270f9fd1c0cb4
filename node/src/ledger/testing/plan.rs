//! An oversight plan: a record that names who signs the state in which it is.

use aimslog_proto::statement::{
    EntryId, Header,
    header::{Change as Differs, ContentType, Family, Revision},
};
use bytes::Bytes;

use super::{Change, World};

/// The key of `p-105`, whom the plan names as its approver.
pub(crate) const APPROVER: u8 = 13;

/// The fields of the golden record: active, approved by `p-105`.
pub(crate) fn fields() -> Vec<Vec<u8>> {
    let lines = include_str!("../../../../proto/tests/golden/oversight_plan.disclosures.jsonl");
    lines.lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// Admits the approver to `acme`.
pub(crate) fn approver(world: &World) -> Bytes {
    let admit = Change::Admit {
        name: "p-105",
        seed: APPROVER,
        roles: &["process_owner"],
        acts_for: None,
    };
    world.principal("acme", admit, 10)
}

/// A version in `state`, by the key of `seed`, behind an entity's newest version; unique by `id`.
pub(crate) fn version(
    world: &World,
    (id, seed): (u64, u8),
    state: &str,
    follows: Option<(EntryId, EntryId)>,
) -> Header {
    Header {
        content_type: ContentType::new(Family::Evidence, "oversight_plan", 1).unwrap(),
        subject: "urn:aimslog:acme:system:sys-triage-1".to_owned(),
        transition: Some(state.to_owned()),
        revision: follows.map(|(entity, previous)| Revision {
            entity,
            previous,
            change: Differs::Amend,
        }),
        ..world.header(seed, id)
    }
}
