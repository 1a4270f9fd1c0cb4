//! `aimslog cluster rotate-node`, `rotate-receipt-key` and `rotate-log-key`: another key while the
//! cluster runs.
//!
//! The new key was made by `aimslogd rotate` where it will be used, and does not leave that machine
//! but sealed. As with a replacement each step looks whether it is done already, so that the same
//! command, repeated, goes on where it stopped.

mod log;
mod node;
mod proof;
mod receipt;

pub(crate) use log::RotateLogKey;
pub(crate) use node::RotateNode;
pub(crate) use receipt::RotateReceiptKey;
