//! The commands, one file each.

pub(crate) mod context;
pub(crate) mod init;
pub(crate) mod key;
