//! `aimslog cluster rotate-node` and `rotate-receipt-key`: another key while the cluster runs.
//!
//! The new key was made by `aimslogd rotate` where it will be used, and does not leave that machine
//! but sealed. As with a replacement each step looks whether it is done already, so that the same
//! command, repeated, goes on where it stopped.

mod node;
mod proof;
mod receipt;

pub(crate) use node::RotateNode;
pub(crate) use receipt::RotateReceiptKey;
