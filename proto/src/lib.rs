//! The Aimslog protocol: what both ends must agree on.
//!
//! Pure functions over bytes: no I/O, no clock, no randomness. Salts, keys and times are passed in.
#![warn(missing_docs)]

pub mod aims;
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
pub mod pb;
pub mod reason;
pub mod statement;
pub mod system;
pub mod time;
pub mod tlog;
pub mod token;
