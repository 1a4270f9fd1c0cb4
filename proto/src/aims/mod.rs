//! The domain: kinds of evidence, their records, life cycles and controls, as one rule bundle.
//!
//! Kinds are data. A kind is a protobuf message (`aimslog/evidence/v1`), whose fields carry their
//! rules as options, and an entry in `rules/kinds/`; there is no code per kind.

pub mod bundle;
pub mod catalog;
pub mod comments;
pub mod content;
pub mod convert;
pub mod entity;
#[doc(hidden)]
pub mod fuzz;
pub mod judge;
pub mod kind;
pub mod lifecycle;
pub mod nearest;
pub mod record;
pub mod replay;
pub mod role;
pub mod schema;
pub mod submission;

mod cited;
mod cross;
mod format;
mod guards;
#[cfg(test)]
mod small;
mod value;

pub use format::is_placeholder;
