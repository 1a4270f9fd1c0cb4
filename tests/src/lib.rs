//! The harness of the whole-cluster tests: real `aimslogd` processes on loopback, what clients were
//! told, and what must hold afterwards. The scenarios stand in `tests/`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness of tests ends the test where something it needs is missing"
)]

pub mod check;
pub mod cluster;
pub mod crowd;
pub mod desk;
pub mod draft;
pub mod evil;
pub mod fake;
pub mod files;
pub mod forger;
pub mod history;
pub mod hostile;
pub mod load;
pub mod net;
pub mod netns;
pub mod operator;
pub mod peer;
pub mod people;
pub mod proxy;
pub mod recipe;
pub mod refusals;
pub mod sample;
pub mod stall;
pub mod terminal;
pub mod volume;
pub mod wire;
pub mod world;
