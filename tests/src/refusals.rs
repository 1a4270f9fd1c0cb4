//! What a ledger refuses, as tables: what is sent, and what must be said of it.

pub mod administration;
pub mod calls;
pub mod content;
pub mod form;
pub mod references;
pub mod scene;
pub mod systems;

use aimslog_proto::pb::v1::Submission;
use aimslog_proto::reason::Reason;
use futures::future::BoxFuture;
use tonic::{Code, Status};

use crate::refusals::scene::Scene;

/// A submission with something wrong, and all that is to be said of it.
#[derive(Debug)]
pub struct Faulty {
    /// What is wrong, in words.
    pub name: &'static str,
    /// Every violation, in any order.
    pub expected: &'static [(Reason, &'static str)],
    /// Makes it.
    pub make: fn(&Scene) -> Submission,
}

/// A call with something wrong, and what is to be said of it.
#[derive(Debug)]
pub struct FaultyCall {
    /// Service, rpc and what is wrong.
    pub name: &'static str,
    /// The canonical code.
    pub code: Code,
    /// The reason of the call.
    pub reason: Reason,
    /// Every field that is named; none where the call as a whole is refused.
    pub fields: &'static [&'static str],
    /// Makes the call, and gives the status that it ended with.
    pub call: fn(&Scene) -> BoxFuture<'_, Status>,
}

/// Every submission of the tables.
pub fn submissions() -> impl Iterator<Item = &'static Faulty> {
    form::ROWS
        .iter()
        .chain(content::ROWS)
        .chain(references::ROWS)
}

/// Every call of the tables.
pub fn calls() -> impl Iterator<Item = &'static FaultyCall> {
    calls::ROWS
        .iter()
        .chain(systems::ROWS)
        .chain(administration::ROWS)
}
